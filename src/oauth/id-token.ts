/**
 * ID tokens of OpenID providers (OpenID Connect Core section 3.1.3.7), against a key set at hand.
 *
 * The algorithm comes from the provider's list and our own, never from the token alone; keys come
 * from the set, never from the header (VAL-15, J1, J2). Never throws, never fetches.
 */
import type { JSONWebKeySet, JWTPayload } from 'jose'
import { decodeBase64url } from './base64url.ts'
import { withoutWeakKeys } from './weak-keys.ts'

export const ID_TOKEN_MAX_CHARS = 16_384
export const ID_TOKEN_SKEW_SECONDS = 60
export const ID_TOKEN_KEYS_MAX = 100
const KEY_ID_MAX_CHARS = 256
const SUBJECT_MAX_CHARS = 255
/** Last second of the year 9999: beyond it a time is no time. */
const TIME_MAX_SECONDS = 253_402_300_799

/** Public-key algorithms with keys of their own kind; `none` and HMAC do not exist here. */
export const ALGORITHMS: ReadonlySet<string> = new Set([
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
])

export interface IdTokenFacts {
  readonly jwks: JSONWebKeySet
  /** Compared exactly (J5); several where a provider writes its own in several ways. */
  readonly issuer: string | readonly string[]
  readonly clientId: string
  /** `undefined` only where no nonce was sent: a token from a refresh. */
  readonly nonce: string | undefined
  readonly nowMs: number
  /** What the provider publishes or the operator configured; only asymmetric ones count. */
  readonly algorithms: readonly string[]
}

export type IdTokenClaims = JWTPayload & {
  readonly iss: string
  readonly sub: string
  readonly iat: number
  readonly exp: number
}
export type IdTokenRefusal =
  | 'malformed'
  | 'algorithm'
  | 'typ'
  | 'unknown_key'
  | 'signature'
  | 'issuer'
  | 'audience'
  | 'authorized_party'
  | 'expired'
  | 'not_yet'
  | 'claims'
  | 'nonce'
/** `unknown_key` is worth one fetch of the key set (VAL-14); every other refusal is final. */
export type IdTokenJudgement =
  | { ok: true; claims: IdTokenClaims }
  | { ok: false; reason: IdTokenRefusal }

type Jose = typeof import('jose')

export async function judgeIdToken(jwt: string, facts: IdTokenFacts): Promise<IdTokenJudgement> {
  // Loaded at the first sign-in: a start and a house without OpenID providers do without it.
  const jose = await import('jose')
  const early = judgeHeader(jwt, facts, jose)
  if (early !== undefined) return { ok: false, reason: early }
  try {
    const { payload } = await jose.jwtVerify(
      jwt,
      jose.createLocalJWKSet(withoutWeakKeys(facts.jwks)),
      {
        issuer: typeof facts.issuer === 'string' ? facts.issuer : [...facts.issuer],
        audience: facts.clientId,
        algorithms: facts.algorithms.filter((name) => ALGORITHMS.has(name)),
        clockTolerance: ID_TOKEN_SKEW_SECONDS,
        currentDate: new Date(facts.nowMs),
        requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat'],
      },
    )
    return judgeClaims(payload, facts)
  } catch (error) {
    return { ok: false, reason: refusalOf(error, jose) }
  }
}

/** What is known of a signed token that is not an ID token; whom it is for is the caller's question. */
export interface SignedTokenFacts {
  readonly jwks: JSONWebKeySet
  /** One of them, compared exactly. */
  readonly issuers: readonly string[]
  readonly nowMs: number
}

export type SignedTokenJudgement =
  | { ok: true; claims: JWTPayload }
  | { ok: false; reason: IdTokenRefusal }

/** Signature, issuer and times of a provider's access token (RFC 9068 section 4, steps 2 to 4). */
export async function judgeSignedToken(
  jwt: string,
  facts: SignedTokenFacts,
): Promise<SignedTokenJudgement> {
  const jose = await import('jose')
  const algorithms = [...ALGORITHMS]
  const early = judgeHeader(jwt, { jwks: facts.jwks, algorithms }, jose, ['jwt', 'at+jwt'])
  if (early !== undefined) return { ok: false, reason: early }
  try {
    const { payload } = await jose.jwtVerify(
      jwt,
      jose.createLocalJWKSet(withoutWeakKeys(facts.jwks)),
      {
        issuer: [...facts.issuers],
        algorithms,
        clockTolerance: ID_TOKEN_SKEW_SECONDS,
        currentDate: new Date(facts.nowMs),
        requiredClaims: ['iss', 'sub', 'exp'],
      },
    )
    return { ok: true, claims: payload }
  } catch (error) {
    return { ok: false, reason: refusalOf(error, jose) }
  }
}

/** What can be refused before any key is touched. */
function judgeHeader(
  jwt: string,
  facts: Pick<IdTokenFacts, 'jwks' | 'algorithms'>,
  { decodeProtectedHeader }: Jose,
  types: readonly string[] = ['jwt'],
): IdTokenRefusal | undefined {
  // The library decodes leniently (spaces, padding, unused bits); one token has one text here.
  if (jwt.length > ID_TOKEN_MAX_CHARS || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(jwt)) return 'malformed'
  if (decodeBase64url(jwt.slice(jwt.lastIndexOf('.') + 1)) === undefined) return 'malformed'
  if (!Array.isArray(facts.jwks.keys) || facts.jwks.keys.length > ID_TOKEN_KEYS_MAX) {
    return 'unknown_key'
  }
  let header: ReturnType<typeof decodeProtectedHeader>
  try {
    header = decodeProtectedHeader(jwt)
  } catch {
    return 'malformed'
  }
  const { alg, kid, typ } = header
  if (typeof alg !== 'string' || !ALGORITHMS.has(alg) || !facts.algorithms.includes(alg)) {
    return 'algorithm'
  }
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > KEY_ID_MAX_CHARS)) {
    return 'malformed'
  }
  // An access token, a logout token or a security event is not an ID token (J3).
  if (typ !== undefined && (typeof typ !== 'string' || !types.includes(typ.toLowerCase())))
    return 'typ'
  return 'crit' in header ? 'malformed' : undefined
}

function judgeClaims(payload: JWTPayload, facts: IdTokenFacts): IdTokenJudgement {
  const refuse = (reason: IdTokenRefusal): IdTokenJudgement => ({ ok: false, reason })
  const nowSeconds = facts.nowMs / 1_000
  if (!areClaims(payload)) return refuse('claims')
  if (payload.iat > nowSeconds + ID_TOKEN_SKEW_SECONDS) return refuse('not_yet')
  const party = payload.azp
  if (party !== undefined && party !== facts.clientId) return refuse('authorized_party')
  if (Array.isArray(payload.aud) && payload.aud.length > 1 && party === undefined) {
    return refuse('authorized_party')
  }
  if ('events' in payload) return refuse('typ')
  if (facts.nonce !== undefined && payload.nonce !== facts.nonce) return refuse('nonce')
  return { ok: true, claims: payload }
}

function areClaims(payload: JWTPayload): payload is IdTokenClaims {
  const { iss, sub, iat, exp, auth_time: authTime } = payload
  return (
    typeof iss === 'string' &&
    typeof sub === 'string' &&
    sub !== '' &&
    sub.length <= SUBJECT_MAX_CHARS &&
    sub.isWellFormed() &&
    !sub.includes('\0') &&
    isTime(iat) &&
    isTime(exp) &&
    (authTime === undefined || isTime(authTime))
  )
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= TIME_MAX_SECONDS
}

const CLAIM_REFUSALS: Readonly<Record<string, IdTokenRefusal>> = {
  iss: 'issuer',
  aud: 'audience',
  nbf: 'not_yet',
}

function refusalOf(error: unknown, { errors }: Jose): IdTokenRefusal {
  if (error instanceof errors.JWTExpired) return 'expired'
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.reason === 'check_failed' ? (CLAIM_REFUSALS[error.claim] ?? 'claims') : 'claims'
  }
  if (error instanceof errors.JWKSNoMatchingKey) return 'unknown_key'
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'unknown_key'
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature'
  if (error instanceof errors.JOSEAlgNotAllowed) return 'algorithm'
  if (error instanceof errors.JWSInvalid) return 'malformed'
  // Rightly signed, but what is signed is no set of claims.
  if (error instanceof errors.JWTInvalid) return 'claims'
  // Weak or broken keys, unsupported curves, platform errors: refusals as well (J6).
  return 'signature'
}
