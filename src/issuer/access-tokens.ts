/**
 * Makes an access token of a grant: the one place where claims are filled in and signed, whatever
 * grant type asked for it (TOK-15). No claim says more than the resource needs (TOK-17).
 */
import {
  type AccessTokenClaims,
  type Actor,
  createJti,
  signAccessToken,
} from '../oauth/access-token.ts'
import { formatScope } from '../oauth/scope.ts'
import type { Grant } from '../records.ts'
import type { IssuerHouse } from './house.ts'

export interface AccessTokenWish {
  readonly scopes: readonly string[]
  readonly issuedAtSeconds: number
  /** Thumbprint of the key whose possession was proved with this request (RFC 9449). */
  readonly jkt?: string | undefined
  /** Token exchange only: another audience, who acts, and the end of the token it was made from. */
  readonly exchanged?: {
    readonly resource: string
    readonly act: Actor
    readonly expiresAtSeconds: number
  }
}

export interface SignedToken {
  readonly accessToken: string
  readonly expiresInSeconds: number
  readonly tokenType: 'Bearer' | 'DPoP'
}

/** Never outlives its grant. The signed token is handed to the node that will see it first. */
export function issueAccessToken(
  house: IssuerHouse,
  grant: Grant,
  { scopes, issuedAtSeconds, jkt, exchanged }: AccessTokenWish,
): SignedToken {
  const { runtime, keys, config } = house
  const exp = Math.min(
    issuedAtSeconds + config.limits.accessTokenTtlSeconds,
    Math.floor(grant.absoluteExpiresAtMs / 1000),
    exchanged?.expiresAtSeconds ?? Number.POSITIVE_INFINITY,
  )
  const claims: AccessTokenClaims = {
    iss: config.issuer,
    aud: exchanged?.resource ?? grant.resource,
    sub: grant.userId,
    client_id: grant.clientId,
    iat: issuedAtSeconds,
    exp,
    jti: createJti(runtime, keys.tagKey(), { gid: grant.id, exp }),
    scope: formatScope(scopes),
    gid: grant.id,
    ...authenticationOf(grant),
    ...(exchanged === undefined ? {} : { act: exchanged.act }),
    ...(jkt === undefined ? {} : { cnf: { jkt } }),
  }
  const current = keys.current()
  const accessToken = signAccessToken(claims, current, runtime)
  house.adopt?.(accessToken, claims, current.kid)
  return {
    accessToken,
    expiresInSeconds: Math.max(1, exp - Math.floor(runtime.nowMs() / 1000)),
    tokenType: jkt === undefined ? 'Bearer' : 'DPoP',
  }
}

/** RFC 9470 section 6, where it was asked for. */
function authenticationOf(grant: Grant): { auth_time?: number; acr?: string } {
  if (grant.tellsAuthentication !== true) return {}
  return {
    auth_time: grant.authTimeSeconds,
    ...(grant.acr === undefined ? {} : { acr: grant.acr }),
  }
}

/** What an event says about a grant. */
export function about(grant: Grant): { grantId: string; userId: string; clientId: string } {
  return { grantId: grant.id, userId: grant.userId, clientId: grant.clientId }
}
