/**
 * `protect` for plain `Request` and `Response`: Workers, Deno, Bun, any framework built on them.
 * Mount by hand: `postern.handles(request.url) ? postern.fetch(request) : ...`.
 */

import {
  type AuthInfo,
  type Principal,
  type ProtectOptions,
  proofOfRequest,
  refusalResponse,
} from './guard.ts'
import { guardOf, type Protectable } from './protectable.ts'

/** Runs only for a principal; every refusal is answered before. */
export type ProtectedHandler = (
  request: Request,
  context: { principal: Principal; authInfo: AuthInfo },
) => Response | Promise<Response>

/**
 * @param house A `Postern`, or `{ issuer, resource, credential? }` in another process than the issuer's.
 * @returns A handler that answers 401, 403 or 503 by itself.
 */
export function protect(
  house: Protectable,
  handler: ProtectedHandler,
  options: ProtectOptions = {},
): (request: Request) => Promise<Response> {
  const guard = guardOf(house)
  return async (request) => {
    const answer = await guard.authenticate(
      request.headers.get('authorization') ?? undefined,
      options,
      undefined,
      proofOfRequest(request),
    )
    if (!answer.ok) return refusalResponse(answer.refusal)
    return handler(request, { principal: answer.principal, authInfo: answer.authInfo })
  }
}
