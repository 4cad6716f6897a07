/**
 * Makes an access token of a grant: the one place where claims are filled in and signed, whatever
 * grant type asked for it (TOK-15). No claim says more than the resource needs (TOK-17).
 */
import { type AccessTokenClaims, createJti, signAccessToken } from '../oauth/access-token.ts'
import { formatScope } from '../oauth/scope.ts'
import type { Grant } from '../records.ts'
import type { IssuerHouse } from './house.ts'

export interface AccessTokenWish {
  readonly scopes: readonly string[]
  readonly issuedAtSeconds: number
}

/** Never outlives its grant. The signed token is handed to the node that will see it first. */
export function issueAccessToken(
  house: IssuerHouse,
  grant: Grant,
  { scopes, issuedAtSeconds }: AccessTokenWish,
): { accessToken: string; expiresInSeconds: number } {
  const { runtime, keys, config } = house
  const exp = Math.min(
    issuedAtSeconds + config.limits.accessTokenTtlSeconds,
    Math.floor(grant.absoluteExpiresAtMs / 1000),
  )
  const claims: AccessTokenClaims = {
    iss: config.issuer,
    aud: grant.resource,
    sub: grant.userId,
    client_id: grant.clientId,
    iat: issuedAtSeconds,
    exp,
    jti: createJti(runtime, keys.tagKey(), { gid: grant.id, exp }),
    scope: formatScope(scopes),
    gid: grant.id,
  }
  const current = keys.current()
  const accessToken = signAccessToken(claims, current, runtime)
  house.adopt?.(accessToken, claims, current.kid)
  return { accessToken, expiresInSeconds: Math.max(1, exp - Math.floor(runtime.nowMs() / 1000)) }
}

/** What an event says about a grant. */
export function about(grant: Grant): { grantId: string; userId: string; clientId: string } {
  return { grantId: grant.id, userId: grant.userId, clientId: grant.clientId }
}
