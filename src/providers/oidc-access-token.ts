/**
 * Access tokens of a provider that are JWTs for this client: checked here, with its published keys.
 * A token that was issued to somebody else is refused without a call (PRV-03, PRV-16, PRV-19).
 */

import { isObject, type JsonObject } from '../oauth/claims.ts'
import { judgeSignedToken } from '../oauth/id-token.ts'
import { decodeClaims, expectedIssuers } from './oidc-client.ts'
import { discover, type OpenIdHouse } from './oidc-product.ts'
import type { ProviderContext } from './provider.ts'

export type AccessTokenState =
  /** Not a JWT, or none that we could judge: only the provider knows. */
  | { readonly state: 'opaque' }
  | { readonly state: 'ours'; readonly claims: JsonObject; readonly scopes?: readonly string[] }
  | { readonly state: 'foreign'; readonly reason: string }
  /** Signed with a key that is not published (any more). */
  | { readonly state: 'unknown'; readonly reason: string }

const SCOPES_MAX = 256

/** RFC 9068 section 4 and the product's own claims; one more look at the keys for an unknown one. */
export async function judgeAccessToken(
  house: OpenIdHouse,
  context: ProviderContext,
  accessToken: string,
): Promise<AccessTokenState> {
  const { quirks } = house
  if (quirks.accessToken === undefined || accessToken.split('.').length !== 3)
    return { state: 'opaque' }
  const unverified = decodeClaims(accessToken)
  if (unverified === undefined) return { state: 'opaque' }
  const issuers = expectedIssuers(house, unverified)
  if (issuers === undefined) return { state: 'foreign', reason: 'issuer' }
  const { jwksUri } = await discover(house, context)
  const facts = { issuers, nowMs: context.runtime.nowMs() }
  const read = async (load: ProviderContext['jwks']) => {
    const keys = await load(jwksUri)
    return quirks.keysOf?.(keys, issuers[0] ?? '') ?? keys
  }
  let judged = await judgeSignedToken(accessToken, { ...facts, jwks: await read(context.jwks) })
  if (!judged.ok && judged.reason === 'unknown_key')
    judged = await judgeSignedToken(accessToken, {
      ...facts,
      jwks: await read(context.refreshJwks),
    })
  if (!judged.ok) {
    const isOpen = judged.reason === 'unknown_key' || judged.reason === 'expired'
    return { state: isOpen ? 'unknown' : 'foreign', reason: judged.reason }
  }
  const { claims } = judged
  if (!isObject(claims)) return { state: 'foreign', reason: 'claims' }
  const refusal = quirks.accessToken(claims)
  if (refusal !== undefined) return { state: 'foreign', reason: refusal }
  const scopes = grantedScopes(claims)
  return { state: 'ours', claims, ...(scopes === undefined ? {} : { scopes }) }
}

/** `scope` as a string, or `scp` as a string or a list (PRV-16). `undefined`: nothing is said. */
export function grantedScopes(claims: JsonObject): readonly string[] | undefined {
  const said = claims['scope'] ?? claims['scp']
  const words = typeof said === 'string' ? said.split(' ') : said
  if (!Array.isArray(words)) return undefined
  const names = words.filter((word): word is string => typeof word === 'string' && word !== '')
  return names.slice(0, SCOPES_MAX)
}

/** `aud` as a string or a list. */
export function isAudience(claims: JsonObject, audience: string): boolean {
  const aud = claims['aud']
  return Array.isArray(aud) ? aud.includes(audience) : aud === audience
}
