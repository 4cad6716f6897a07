/**
 * The authorization code grant at `POST /token`: everything is checked before the one conditional
 * write that redeems the code, so a wrong client never burns it (TOK-04, TOK-06 to TOK-09).
 */

import type { Client } from '../oauth/client.ts'
import { parseCode } from '../oauth/code.ts'
import { matchesChallenge } from '../oauth/pkce.ts'
import {
  type AuthorizationCodeRequest,
  requireGrantedResource,
  type TokenAnswer,
} from '../oauth/token-request.ts'
import { about, issueAccessToken } from './access-tokens.ts'
import type { ProvedKey } from './dpop.ts'
import { endGrant } from './endings.ts'
import { type IssuerHouse, report } from './house.ts'
import { key } from './ids.ts'
import { createRefreshToken, idleEndMs, invalidGrant } from './refresh.ts'

/** Checks client, redirect URI, verifier and resource first; then one UPDATE (TOK-08). */
export async function redeem(
  house: IssuerHouse,
  client: Client,
  request: AuthorizationCodeRequest,
  proved: ProvedKey | undefined,
): Promise<TokenAnswer> {
  const { runtime, store } = house
  const grantId = parseCode(request.code)?.grantId
  const grant = grantId === undefined ? undefined : await store.grants.find(key(grantId))
  const codeDigest = runtime.sha256(request.code)
  if (grant === undefined || !runtime.equal(grant.codeDigest, codeDigest))
    throw invalidGrant('code_unknown')
  if (grant.clientId !== client.clientId) throw invalidGrant('code_of_other_client')
  if (request.redirectUri !== undefined && request.redirectUri !== grant.redirectUri) {
    throw invalidGrant('redirect_uri_mismatch')
  }
  if (!matchesChallenge(request.codeVerifier, grant.codeChallenge, runtime))
    throw invalidGrant('verifier_mismatch')
  // `dpop_jkt` of the authorization request: the code works with that key only (RFC 9449 section 10).
  if (grant.jkt !== undefined && grant.jkt !== proved?.jkt) throw invalidGrant('code_of_other_key')
  requireGrantedResource(request.resources, grant.resource)

  const nowMs = runtime.nowMs()
  const refreshToken = client.grantTypes.includes('refresh_token')
    ? createRefreshToken(house, grant.id, 0)
    : undefined
  const refreshDigest = refreshToken === undefined ? undefined : runtime.sha256(refreshToken)
  await proved?.spend()
  const outcome = await store.grants.redeem(
    key(grant.id),
    codeDigest,
    refreshDigest,
    nowMs,
    idleEndMs(house, grant, nowMs),
    grant.jkt === undefined ? proved?.jkt : undefined,
  )
  if (outcome === 'reused') {
    // TOK-09: right client, right verifier, second use: what the first use issued ends.
    await endGrant(house, grant, 'code_reused')
    report(house, { type: 'token.replayed', level: 'warn', reason: 'code_reused', ...about(grant) })
    throw invalidGrant('code_reused')
  }
  if (outcome === 'dead') throw invalidGrant('code_expired')
  report(house, { type: 'token.issued', reason: 'authorization_code', ...about(grant) })
  const accessToken = issueAccessToken(house, grant, {
    scopes: grant.scopes,
    issuedAtSeconds: Math.floor(nowMs / 1000),
    jkt: proved?.jkt,
  })
  return {
    ...accessToken,
    scopes: grant.scopes,
    ...(refreshToken === undefined ? {} : { refreshToken }),
  }
}
