/**
 * `mount` and `protect` for Hono: `app.use(mount(postern))`, `app.use('/mcp', protect(postern))`, then
 * `c.var.principal` and `c.var.auth`.
 */
import type { MiddlewareHandler } from 'hono'
import {
  type AuthInfo,
  type Principal,
  type ProtectOptions,
  proofOfRequest,
  refusalResponse,
} from './guard.ts'
import { guardOf, type Mountable, mountable, type Protectable } from './protectable.ts'

/** Answers every route of the house; the rest of the app sees only other paths. */
export function mount(house: Mountable): MiddlewareHandler {
  const routes = mountable(house)
  return async (context, next) => {
    if (!routes.handles(context.req.url)) return next()
    return routes.fetch(context.req.raw)
  }
}

/** Lets a request through only with a principal; sets `c.var.principal` and `c.var.auth`. */
export function protect(
  house: Protectable,
  options: ProtectOptions = {},
): MiddlewareHandler<{ Variables: { principal: Principal; auth: AuthInfo } }> {
  const guard = guardOf(house)
  return async (context, next) => {
    const answer = await guard.authenticate(
      context.req.header('authorization'),
      options,
      undefined,
      proofOfRequest(context.req.raw),
    )
    if (!answer.ok) return refusalResponse(answer.refusal)
    context.set('principal', answer.principal)
    context.set('auth', answer.authInfo)
    return next()
  }
}
