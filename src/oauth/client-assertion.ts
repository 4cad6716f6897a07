/**
 * `private_key_jwt`: a client proves itself with a signed assertion (RFC 7523 section 3).
 *
 * What every signed JWT must be is in `signed-jwt.ts`; keys come from the client's registered set. The
 * audience is our issuer as one string: an assertion made for an endpoint or for several servers could be used here by one of them (A23); see `tokenEndpoint` for
 * the one exception. Never throws, never fetches; that the `jti` is new is asked of the store by the
 * caller.
 */
import type { JSONWebKeySet, JWTPayload } from 'jose'
import { isTime, readPart } from './claims.ts'
import {
  isCompactJwt,
  JWT_SKEW_SECONDS,
  type JwtRefusal,
  judgeSignedJwt,
  type SignedJwtJudgement,
} from './signed-jwt.ts'

export const CLIENT_ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
export const CLIENT_ASSERTION_ALGORITHMS: readonly string[] = ['ES256', 'RS256', 'PS256', 'EdDSA']
export const CLIENT_ASSERTION_MAX_CHARS = 8_192
/** How far ahead `exp` may be, besides the skew. */
export const CLIENT_ASSERTION_LIFE_MAX_SECONDS = 300
const JTI_MAX_CHARS = 256
/** A token of another kind is no assertion, whoever signed it (J3). */
const TYPES = ['jwt', 'client-authentication+jwt', undefined]

export interface ClientAssertionFacts {
  readonly keys: JSONWebKeySet
  readonly clientId: string
  readonly issuer: string
  /**
   * Given: our token endpoint is a right audience too. Only for a client whose document also offers
   * `none`: whoever got hold of such an assertion has gained nothing that coming without one would not
   * give where signatures are not asked. ChatGPT signs for the token endpoint (docs/clients.md).
   */
  readonly tokenEndpoint?: string | undefined
  readonly nowMs: number
}

export type ClientAssertionRefusal =
  | 'assertion_malformed'
  | 'assertion_algorithm'
  | 'assertion_unknown_key'
  | 'assertion_signature'
  | 'assertion_subject'
  | 'assertion_audience'
  | 'assertion_expired'
  | 'assertion_not_yet'
  | 'assertion_too_long'
  | 'assertion_jti'

/** `assertion_unknown_key` is worth one fetch of a published set (VAL-14); other refusals are final. */
export type ClientAssertionJudgement =
  | { readonly ok: true; readonly jti: string; readonly expiresAtMs: number }
  | { readonly ok: false; readonly reason: ClientAssertionRefusal }

/** Who an assertion says it is of, unverified: only to find the client whose keys decide. */
export function assertedClientId(jwt: string): string | undefined {
  if (!isCompactJwt(jwt, CLIENT_ASSERTION_MAX_CHARS)) return undefined
  const sub = readPart(jwt.split('.')[1])?.['sub']
  return typeof sub === 'string' && sub !== '' ? sub : undefined
}

/**
 * Everything of RFC 7523 section 3 but the use of `jti`.
 *
 * @returns `jti` and how long it must be remembered, in ms of the wall clock.
 */
export async function judgeClientAssertion(
  jwt: string,
  facts: ClientAssertionFacts,
): Promise<ClientAssertionJudgement> {
  const judged = await judgeSignedJwt(jwt, {
    jwks: facts.keys,
    algorithms: CLIENT_ASSERTION_ALGORITHMS,
    types: TYPES,
    maxChars: CLIENT_ASSERTION_MAX_CHARS,
    nowMs: facts.nowMs,
    // The set is small and the client's own.
    triesEveryKey: true,
  })
  return judged.ok ? judgeClaims(judged.payload, facts) : { ok: false, reason: refusalOf(judged) }
}

function judgeClaims(payload: JWTPayload, facts: ClientAssertionFacts): ClientAssertionJudgement {
  const refuse = (reason: ClientAssertionRefusal): ClientAssertionJudgement => ({
    ok: false,
    reason,
  })
  const nowSeconds = facts.nowMs / 1_000
  const { iss, sub, aud, exp, iat, nbf, jti } = payload
  if (iss !== facts.clientId || sub !== facts.clientId) return refuse('assertion_subject')
  if (aud !== facts.issuer && (aud === undefined || aud !== facts.tokenEndpoint)) {
    return refuse('assertion_audience')
  }
  if (!isTime(exp)) return refuse('assertion_expired')
  if (exp <= nowSeconds - JWT_SKEW_SECONDS) return refuse('assertion_expired')
  const latest = nowSeconds + CLIENT_ASSERTION_LIFE_MAX_SECONDS + JWT_SKEW_SECONDS
  if (exp > latest) return refuse('assertion_too_long')
  for (const time of [iat, nbf]) {
    if (time === undefined) continue
    if (!isTime(time) || time > nowSeconds + JWT_SKEW_SECONDS) {
      return refuse('assertion_not_yet')
    }
  }
  if (typeof jti !== 'string' || jti === '' || jti.length > JTI_MAX_CHARS) {
    return refuse('assertion_jti')
  }
  return { ok: true, jti, expiresAtMs: Math.ceil(exp + JWT_SKEW_SECONDS) * 1_000 }
}

const REFUSALS: Readonly<Record<JwtRefusal, ClientAssertionRefusal>> = {
  malformed: 'assertion_malformed',
  typ: 'assertion_malformed',
  algorithm: 'assertion_algorithm',
  unknown_key: 'assertion_unknown_key',
  signature: 'assertion_signature',
  issuer: 'assertion_subject',
  audience: 'assertion_audience',
  expired: 'assertion_expired',
  not_yet: 'assertion_not_yet',
  claims: 'assertion_malformed',
}

/** A time that is no number is told as the time it stands for. */
function refusalOf({
  reason,
  claim,
}: Extract<SignedJwtJudgement, { ok: false }>): ClientAssertionRefusal {
  if (claim === 'exp') return 'assertion_expired'
  return claim === 'iat' || claim === 'nbf' ? 'assertion_not_yet' : REFUSALS[reason]
}
