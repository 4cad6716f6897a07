/**
 * `mount` and `protect` for Express: `app.use(mount(postern))` before any body parser, then
 * `app.post('/mcp', protect(postern), handler)`; the handler finds `req.principal` and `req.auth`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ProtectOptions, usesDpop } from '../middleware/guard.ts'
import { guardOf, type Mountable, type Protectable } from '../middleware/protectable.ts'
import {
  type Authenticated,
  authorizationOf,
  memoryOf,
  mountedListener,
  proofOf,
  settle,
} from './middleware.ts'
import { remotePlatform } from './remote-platform.ts'

/** Express's middleware shape, without its types, so that Express stays the user's dependency. */
export type ExpressMiddleware = (
  request: IncomingMessage & Authenticated & { originalUrl?: string },
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void

export function mount(house: Mountable): ExpressMiddleware {
  const answer = mountedListener(house)
  return (request, response, next) => {
    if (!answer(request, response, request.originalUrl ?? request.url ?? '/')) next()
  }
}

export function protect(house: Protectable, options: ProtectOptions = {}): ExpressMiddleware {
  const guard = guardOf(house, remotePlatform)
  return (request, response, next) => {
    const proceed = (principal: unknown) => {
      if (principal !== undefined) next()
    }
    const authorization = authorizationOf(request.rawHeaders)
    const pending = guard.authenticate(
      authorization,
      options,
      memoryOf(request.socket),
      usesDpop(authorization) ? proofOf(request, request.originalUrl ?? request.url) : undefined,
    )
    if (!(pending instanceof Promise)) proceed(settle(pending, request, response))
    else pending.then((answer) => proceed(settle(answer, request, response)), next)
  }
}
