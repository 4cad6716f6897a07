/**
 * `private_key_jwt`: a client proves itself with a signed assertion (RFC 7523 section 3).
 *
 * The algorithm comes from our list and the key's own kind, keys from the client's registered set,
 * never from the header (J1, J2). The audience is our issuer as one string: an assertion made for an
 * endpoint or for several servers could be used here by one of them (A23); see `tokenEndpoint` for
 * the one exception. Never throws, never fetches; that the `jti` is new is asked of the store by the
 * caller.
 */
import type { JSONWebKeySet, JWTPayload } from 'jose'
import { decodeBase64url } from './base64url.ts'
import { withoutWeakKeys } from './weak-keys.ts'

export const CLIENT_ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
export const CLIENT_ASSERTION_ALGORITHMS: readonly string[] = ['ES256', 'RS256', 'PS256', 'EdDSA']
export const CLIENT_ASSERTION_MAX_CHARS = 8_192
/** How far ahead `exp` may be, besides the skew. */
export const CLIENT_ASSERTION_LIFE_MAX_SECONDS = 300
export const CLIENT_ASSERTION_SKEW_SECONDS = 60
const JTI_MAX_CHARS = 256
const KEY_ID_MAX_CHARS = 256
const TYPES: ReadonlySet<string> = new Set(['jwt', 'client-authentication+jwt'])
/** Last second of the year 9999: beyond it a time is no time. */
const TIME_MAX_SECONDS = 253_402_300_799

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

type Jose = typeof import('jose')

/** Who an assertion says it is of, unverified: only to find the client whose keys decide. */
export function assertedClientId(jwt: string): string | undefined {
  if (!isCompact(jwt)) return undefined
  const payload = decodeBase64url(jwt.split('.')[1] ?? '')
  if (payload === undefined) return undefined
  try {
    const claims: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
    const sub: unknown =
      typeof claims === 'object' && claims !== null ? Reflect.get(claims, 'sub') : undefined
    return typeof sub === 'string' && sub !== '' ? sub : undefined
  } catch {
    return undefined
  }
}

export async function judgeClientAssertion(
  jwt: string,
  facts: ClientAssertionFacts,
): Promise<ClientAssertionJudgement> {
  // Loaded at the first assertion: a start and a house without such clients do without it.
  const jose = await import('jose')
  const early = judgeHeader(jwt, jose)
  if (early !== undefined) return { ok: false, reason: early }
  let payload: JWTPayload
  try {
    payload = await verified(jwt, facts, jose)
  } catch (error) {
    return { ok: false, reason: refusalOf(error, jose) }
  }
  return judgeClaims(payload, facts)
}

/** One text per assertion: the library alone would decode spaces, padding and unused bits. */
function isCompact(jwt: string): boolean {
  if (jwt.length > CLIENT_ASSERTION_MAX_CHARS) return false
  const parts = jwt.split('.')
  return (
    parts.length === 3 && parts.every((part) => part !== '' && decodeBase64url(part) !== undefined)
  )
}

function judgeHeader(
  jwt: string,
  { decodeProtectedHeader }: Jose,
): ClientAssertionRefusal | undefined {
  if (!isCompact(jwt)) return 'assertion_malformed'
  let header: ReturnType<Jose['decodeProtectedHeader']>
  try {
    header = decodeProtectedHeader(jwt)
  } catch {
    return 'assertion_malformed'
  }
  const { alg, kid, typ } = header
  if (typeof alg !== 'string' || !CLIENT_ASSERTION_ALGORITHMS.includes(alg)) {
    return 'assertion_algorithm'
  }
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > KEY_ID_MAX_CHARS)) {
    return 'assertion_malformed'
  }
  // A token of another kind is no assertion, whoever signed it (J3).
  if (typ !== undefined && (typeof typ !== 'string' || !TYPES.has(typ.toLowerCase()))) {
    return 'assertion_malformed'
  }
  return 'crit' in header || 'b64' in header ? 'assertion_malformed' : undefined
}

/** Claims are judged by us: the library knows neither one-string audiences nor bounded lives. */
async function verified(jwt: string, facts: ClientAssertionFacts, jose: Jose): Promise<JWTPayload> {
  const options = {
    algorithms: [...CLIENT_ASSERTION_ALGORITHMS],
    currentDate: new Date(facts.nowMs),
    clockTolerance: CLIENT_ASSERTION_SKEW_SECONDS,
  }
  try {
    return (await jose.jwtVerify(jwt, jose.createLocalJWKSet(withoutWeakKeys(facts.keys)), options))
      .payload
  } catch (error) {
    if (!(error instanceof jose.errors.JWKSMultipleMatchingKeys)) throw error
    // Without `kid` several keys may fit; the set is small and the client's own.
    for await (const key of error) {
      try {
        return (await jose.jwtVerify(jwt, key, options)).payload
      } catch (failure) {
        if (!(failure instanceof jose.errors.JWSSignatureVerificationFailed)) throw failure
      }
    }
    throw new jose.errors.JWSSignatureVerificationFailed()
  }
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
  if (exp <= nowSeconds - CLIENT_ASSERTION_SKEW_SECONDS) return refuse('assertion_expired')
  const latest = nowSeconds + CLIENT_ASSERTION_LIFE_MAX_SECONDS + CLIENT_ASSERTION_SKEW_SECONDS
  if (exp > latest) return refuse('assertion_too_long')
  for (const time of [iat, nbf]) {
    if (time === undefined) continue
    if (!isTime(time) || time > nowSeconds + CLIENT_ASSERTION_SKEW_SECONDS) {
      return refuse('assertion_not_yet')
    }
  }
  if (typeof jti !== 'string' || jti === '' || jti.length > JTI_MAX_CHARS) {
    return refuse('assertion_jti')
  }
  return { ok: true, jti, expiresAtMs: Math.ceil(exp + CLIENT_ASSERTION_SKEW_SECONDS) * 1_000 }
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= TIME_MAX_SECONDS
}

function refusalOf(error: unknown, { errors }: Jose): ClientAssertionRefusal {
  if (error instanceof errors.JWTExpired) return 'assertion_expired'
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.claim === 'nbf' || error.claim === 'iat'
      ? 'assertion_not_yet'
      : 'assertion_expired'
  }
  if (error instanceof errors.JWKSNoMatchingKey) return 'assertion_unknown_key'
  if (error instanceof errors.JOSEAlgNotAllowed) return 'assertion_algorithm'
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) {
    return 'assertion_malformed'
  }
  // A wrong signature, weak or broken keys, platform errors: refusals as well (J6).
  return 'assertion_signature'
}
