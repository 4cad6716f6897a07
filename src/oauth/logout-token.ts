/**
 * Logout tokens of OpenID providers (Back-Channel Logout 1.0 sections 2.4 and 2.6), against a key set
 * at hand. Whether its `jti` was seen before is asked by the caller.
 */
import type { JSONWebKeySet } from 'jose'
import { isObject } from './claims.ts'
import { judgeSecurityEvent, type SecurityEventRefusal } from './security-event.ts'

const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout'
/** Section 2.4: `exp` should be two minutes away. What lives longer than a day is not a logout token. */
const LIFE_MAX_SECONDS = 86_400

export interface LogoutTokenFacts {
  readonly jwks: JSONWebKeySet
  readonly issuer: string
  readonly clientId: string
  readonly nowMs: number
  /** What the provider publishes; only asymmetric ones count. */
  readonly algorithms: readonly string[]
}

/** At least one of `sub` and `sid`. */
export interface LogoutToken {
  readonly jti: string
  readonly expiresAtMs: number
  readonly sub?: string
  readonly sid?: string
}

export type LogoutTokenJudgement =
  | { readonly ok: true; readonly token: LogoutToken }
  | { readonly ok: false; readonly reason: SecurityEventRefusal }

/** Everything of section 2.6 but the use of `jti`. */
export async function judgeLogoutToken(
  jwt: string,
  { clientId, ...facts }: LogoutTokenFacts,
): Promise<LogoutTokenJudgement> {
  const refuse = (reason: SecurityEventRefusal): LogoutTokenJudgement => ({ ok: false, reason })
  // Section 2.4 only recommends `logout+jwt`: several providers send `JWT`. `events` tells them apart.
  const types = ['logout+jwt', 'jwt', undefined]
  const judged = await judgeSecurityEvent(jwt, { ...facts, audience: clientId, types })
  if (!judged.ok) return judged
  const { jti, iat, exp, sub, sid, events, hasNonce } = judged.event
  if (hasNonce) return refuse('nonce')
  if (!isObject(events[LOGOUT_EVENT])) return refuse('claims')
  if (exp === undefined || exp <= iat || exp - iat > LIFE_MAX_SECONDS) return refuse('claims')
  if (sub === undefined && sid === undefined) return refuse('claims')
  const token = { jti, expiresAtMs: Math.ceil(exp) * 1_000 }
  return {
    ok: true,
    token: {
      ...token,
      ...(sub === undefined ? {} : { sub }),
      ...(sid === undefined ? {} : { sid }),
    },
  }
}
