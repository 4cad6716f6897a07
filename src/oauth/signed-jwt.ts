/**
 * Signed JWTs of others (RFC 7515, RFC 7519), judged against a key set at hand: what ID tokens, client
 * assertions, identity assertions, logout tokens and security events have in common.
 *
 * The algorithm comes from the caller's list and keys from the set, never from the header (VAL-15, J1,
 * J2); one kind of token is not another (J3). What else the claims must say is judged by the caller.
 * Never throws, never fetches.
 */
import type { CryptoKey, JSONWebKeySet, JWTPayload, JWTVerifyOptions } from 'jose'
import { decodeBase64url } from './base64url.ts'
import { withoutWeakKeys } from './weak-keys.ts'

/** For `exp`, `nbf` and `iat` of others: clocks differ. */
export const JWT_SKEW_SECONDS = 60
const KEYS_MAX = 100
const KEY_ID_MAX_CHARS = 256

export interface SignedJwtFacts {
  readonly jwks: JSONWebKeySet
  readonly algorithms: readonly string[]
  /** Good values of `typ`, in lower case without `application/`; `undefined`: a header without it. */
  readonly types: readonly (string | undefined)[]
  readonly maxChars: number
  readonly nowMs: number
  /** One of them, compared exactly; absent: judged by the caller. */
  readonly issuer?: string | readonly string[]
  /** Among the audiences; absent: judged by the caller. */
  readonly audience?: string
  readonly requiredClaims?: readonly string[]
  /** Without `kid` several keys may fit: each is tried. For small sets only; default refused. */
  readonly triesEveryKey?: boolean
}

/** `unknown_key` is worth one fetch of the key set (VAL-14); every other refusal is final. */
export type JwtRefusal =
  | 'malformed'
  | 'algorithm'
  | 'typ'
  | 'unknown_key'
  | 'signature'
  | 'issuer'
  | 'audience'
  | 'expired'
  | 'not_yet'
  | 'claims'

export type SignedJwtJudgement =
  | { readonly ok: true; readonly payload: JWTPayload }
  /** @property claim The one that failed, where it was a single one. */
  | { readonly ok: false; readonly reason: JwtRefusal; readonly claim?: string }

type Jose = typeof import('jose')

/**
 * Header, signature, times, and the claims that `facts` name.
 *
 * @param jwt Compact serialization, as it came.
 * @see RFC 7515 section 5.2, RFC 7519 section 7.2, RFC 8725
 */
export async function judgeSignedJwt(
  jwt: string,
  facts: SignedJwtFacts,
): Promise<SignedJwtJudgement> {
  // Loaded at the first such token: a start, and a house that meets none, do without it.
  const jose = await import('jose')
  const early = judgeHeader(jwt, facts, jose)
  if (early !== undefined) return { ok: false, reason: early }
  try {
    return { ok: true, payload: await verified(jwt, facts, jose) }
  } catch (error) {
    return refusalOf(error, jose)
  }
}

/** The library decodes leniently (spaces, padding, unused bits); one token has one text here. */
export function isCompactJwt(jwt: string, maxChars: number): boolean {
  if (jwt.length > maxChars) return false
  const parts = jwt.split('.')
  return (
    parts.length === 3 && parts.every((part) => part !== '' && decodeBase64url(part) !== undefined)
  )
}

/** What can be refused before any key is touched. */
function judgeHeader(
  jwt: string,
  { jwks, algorithms, types, maxChars }: SignedJwtFacts,
  { decodeProtectedHeader }: Jose,
): JwtRefusal | undefined {
  if (!isCompactJwt(jwt, maxChars)) return 'malformed'
  if (!Array.isArray(jwks.keys) || jwks.keys.length > KEYS_MAX) return 'unknown_key'
  let header: ReturnType<Jose['decodeProtectedHeader']>
  try {
    header = decodeProtectedHeader(jwt)
  } catch {
    return 'malformed'
  }
  const { alg, kid, typ } = header
  if (typeof alg !== 'string' || !algorithms.includes(alg)) return 'algorithm'
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > KEY_ID_MAX_CHARS)) {
    return 'malformed'
  }
  if (!types.includes(typeOf(typ))) return 'typ'
  return 'crit' in header || 'b64' in header ? 'malformed' : undefined
}

/** RFC 7515 section 4.1.9: a media type, whose `application/` is left out as a rule. */
function typeOf(typ: unknown): string | undefined {
  return typ === undefined
    ? undefined
    : String(typ)
        .toLowerCase()
        .replace(/^application\//, '')
}

async function verified(jwt: string, facts: SignedJwtFacts, jose: Jose): Promise<JWTPayload> {
  const keys = jose.createLocalJWKSet(withoutWeakKeys(facts.jwks))
  const options = optionsOf(facts)
  try {
    return (await jose.jwtVerify(jwt, keys, options)).payload
  } catch (error) {
    const isAmbiguous = error instanceof jose.errors.JWKSMultipleMatchingKeys
    if (!isAmbiguous || facts.triesEveryKey !== true) throw error
    return await verifiedByOneOf(jwt, error, options, jose)
  }
}

async function verifiedByOneOf(
  jwt: string,
  keys: AsyncIterable<CryptoKey>,
  options: JWTVerifyOptions,
  { jwtVerify, errors }: Jose,
): Promise<JWTPayload> {
  for await (const key of keys) {
    try {
      return (await jwtVerify(jwt, key, options)).payload
    } catch (failure) {
      if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure
    }
  }
  throw new errors.JWSSignatureVerificationFailed()
}

function optionsOf(facts: SignedJwtFacts): JWTVerifyOptions {
  const { algorithms, issuer, audience, requiredClaims, nowMs } = facts
  return {
    algorithms: [...algorithms],
    clockTolerance: JWT_SKEW_SECONDS,
    currentDate: new Date(nowMs),
    ...(issuer === undefined ? {} : { issuer: typeof issuer === 'string' ? issuer : [...issuer] }),
    ...(audience === undefined ? {} : { audience }),
    ...(requiredClaims === undefined ? {} : { requiredClaims: [...requiredClaims] }),
  }
}

const CLAIM_REFUSALS: Readonly<Record<string, JwtRefusal>> = {
  iss: 'issuer',
  aud: 'audience',
  nbf: 'not_yet',
}

function refusalOf(error: unknown, { errors }: Jose): SignedJwtJudgement {
  const refuse = (reason: JwtRefusal): SignedJwtJudgement => ({ ok: false, reason })
  if (error instanceof errors.JWTExpired) return refuse('expired')
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim } = error
    const reason = error.reason === 'check_failed' ? CLAIM_REFUSALS[claim] : undefined
    return { ok: false, reason: reason ?? 'claims', claim }
  }
  if (error instanceof errors.JWKSNoMatchingKey) return refuse('unknown_key')
  if (error instanceof errors.JWKSMultipleMatchingKeys) return refuse('unknown_key')
  if (error instanceof errors.JOSEAlgNotAllowed) return refuse('algorithm')
  if (error instanceof errors.JWSSignatureVerificationFailed) return refuse('signature')
  if (error instanceof errors.JWSInvalid) return refuse('malformed')
  // Rightly signed, but what is signed is no set of claims.
  if (error instanceof errors.JWTInvalid) return refuse('claims')
  // Weak or broken keys, unsupported curves, platform errors: refusals as well (J6).
  return refuse('signature')
}
