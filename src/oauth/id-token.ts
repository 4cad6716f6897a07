/**
 * ID tokens of OpenID providers (OpenID Connect Core section 3.1.3.7), against a key set at hand, and
 * access tokens of theirs that are JWTs (RFC 9068).
 *
 * The algorithm must be in the provider's list and in our own; the rest of what every signed JWT must be
 * is in `signed-jwt.ts`. Never throws, never fetches.
 */
import type { JSONWebKeySet, JWTPayload } from 'jose'
import { isText, isTime } from './claims.ts'
import { JWT_SKEW_SECONDS, type JwtRefusal, judgeSignedJwt } from './signed-jwt.ts'

export const ID_TOKEN_MAX_CHARS = 16_384
const SUBJECT_MAX_CHARS = 255

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
export type IdTokenRefusal = JwtRefusal | 'authorized_party' | 'nonce'
/** `unknown_key` is worth one fetch of the key set (VAL-14); every other refusal is final. */
export type IdTokenJudgement =
  | { ok: true; claims: IdTokenClaims }
  | { ok: false; reason: IdTokenRefusal }

export async function judgeIdToken(jwt: string, facts: IdTokenFacts): Promise<IdTokenJudgement> {
  const judged = await judgeSignedJwt(jwt, {
    jwks: facts.jwks,
    issuer: facts.issuer,
    audience: facts.clientId,
    algorithms: facts.algorithms.filter((name) => ALGORITHMS.has(name)),
    // An access token, a logout token or a security event is not an ID token (J3).
    types: ['jwt', undefined],
    maxChars: ID_TOKEN_MAX_CHARS,
    nowMs: facts.nowMs,
    requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat'],
  })
  return judged.ok ? judgeClaims(judged.payload, facts) : judged
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
  { jwks, issuers, nowMs }: SignedTokenFacts,
): Promise<SignedTokenJudgement> {
  const judged = await judgeSignedJwt(jwt, {
    jwks,
    issuer: issuers,
    algorithms: [...ALGORITHMS],
    types: ['jwt', 'at+jwt', undefined],
    maxChars: ID_TOKEN_MAX_CHARS,
    nowMs,
    requiredClaims: ['iss', 'sub', 'exp'],
  })
  return judged.ok ? { ok: true, claims: judged.payload } : judged
}

function judgeClaims(payload: JWTPayload, facts: IdTokenFacts): IdTokenJudgement {
  const refuse = (reason: IdTokenRefusal): IdTokenJudgement => ({ ok: false, reason })
  const nowSeconds = facts.nowMs / 1_000
  if (!areClaims(payload)) return refuse('claims')
  if (payload.iat > nowSeconds + JWT_SKEW_SECONDS) return refuse('not_yet')
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
    isText(sub, SUBJECT_MAX_CHARS) &&
    isTime(iat) &&
    isTime(exp) &&
    (authTime === undefined || isTime(authTime))
  )
}
