/**
 * Our access tokens: JWT (RFC 9068), ES256, with a keyed tag inside `jti`.
 *
 * Judging goes from cheap to dear: shape, tag, key, signature, claims; a token that was not made
 * here costs one HMAC and never a signature check (D3). Audience, scope and revocation are checked
 * on every request elsewhere, outside of what is remembered (VAL-07). Never throws.
 */
import type { Runtime, SigningKey, VerifyKey } from '../ports.ts'
import { encodeBase64url } from './base64url.ts'
import { isObject } from './claims.ts'
import { signJwt } from './sign-jwt.ts'

export const ACCESS_TOKEN_MAX_CHARS = 4_096
/** For `iat` and `nbf`; `exp` is exact (J4). */
export const CLOCK_SKEW_SECONDS = 60
/** No token lives longer, whatever it says (TOK-14). */
export const ACCESS_TOKEN_LIFE_MAX_SECONDS = 86_400
const KEY_ID_MAX_CHARS = 256
const RANDOM_BYTES = 16
const TAG_BYTES = 8
const RANDOM_CHARS = 22
const SIGNATURE_CHARS = 86

export interface AccessTokenClaims {
  readonly iss: string
  readonly aud: string
  readonly sub: string
  readonly client_id: string
  readonly iat: number
  readonly exp: number
  readonly jti: string
  readonly scope: string
  readonly gid: string
  readonly auth_time?: number
  readonly acr?: string
  /** Who acts for the subject after a token exchange (RFC 8693 section 4.1), innermost first used. */
  readonly act?: Actor
  /** The key that the token is bound to (RFC 9449 section 6.1). */
  readonly cnf?: { readonly jkt: string }
}

export interface Actor {
  readonly sub: string
  readonly act?: Actor
}

/** 128 random bits, then a 64-bit tag over them, `gid` and `exp`; base64url, 33 characters. */
export function createJti(
  runtime: Runtime,
  tagKey: Uint8Array,
  { gid, exp }: { gid: string; exp: number },
): string {
  const random = encodeBase64url(runtime.randomBytes(RANDOM_BYTES))
  return random + jtiTag(random, gid, exp, tagKey, runtime)
}

/** Claims outside ASCII are escaped, so that a payload is always ASCII. */
export function signAccessToken(
  claims: AccessTokenClaims,
  signer: { kid: string; key: SigningKey },
  runtime: Runtime,
): string {
  return signJwt('at+jwt', claims, signer, runtime)
}

export type AccessTokenRefusal =
  | 'malformed'
  | 'tag'
  | 'algorithm'
  | 'typ'
  | 'unknown_key'
  | 'budget'
  | 'signature'
  | 'issuer'
  | 'claims'
  | 'expired'
  | 'not_yet'

export type AccessTokenJudgement =
  | { ok: true; claims: AccessTokenClaims; keyId: string }
  | { ok: false; reason: AccessTokenRefusal }

export interface AccessTokenFacts {
  readonly keys: ReadonlyMap<string, VerifyKey>
  /** `undefined` outside of the house that issues: there the signature alone decides. */
  readonly tagKey: Uint8Array | undefined
  readonly issuer: string
  readonly nowSeconds: number
  readonly runtime: Runtime
  /** Asked after the tag, before everything that costs more; default: yes. */
  readonly mayVerify?: (jti: string) => boolean
}

export function judgeAccessToken(token: string, facts: AccessTokenFacts): AccessTokenJudgement {
  return looksLikeAccessToken(token) ? judgeShaped(token, facts) : refuse('malformed')
}

/** The same for what `looksLikeAccessToken` has said yes to: it is not asked twice in a flood (P19). */
export function judgeShaped(token: string, facts: AccessTokenFacts): AccessTokenJudgement {
  const first = token.indexOf('.')
  const last = token.lastIndexOf('.')
  const payload = decodeJson(token.slice(first + 1, last))
  if (payload === undefined || !hasTag(payload, facts)) return refuse('tag')
  if (facts.mayVerify?.(String(payload.jti)) === false) return refuse('budget')
  const header = decodeJson(token.slice(0, first))
  if (header === undefined) return refuse('malformed')
  if (header.alg !== 'ES256' || 'crit' in header) return refuse('algorithm')
  if (header.typ !== 'at+jwt' && header.typ !== 'application/at+jwt') return refuse('typ')
  const keyId = header.kid
  if (typeof keyId !== 'string' || keyId.length > KEY_ID_MAX_CHARS) return refuse('unknown_key')
  const key = facts.keys.get(keyId)
  if (key === undefined) return refuse('unknown_key')
  if (!isSigned(token, last, key, facts.runtime)) return refuse('signature')
  return judgeClaims(payload, keyId, facts)
}

/** Cheap shape: three base64url parts, at most 4,096 characters, an ES256 signature's length. */
export function looksLikeAccessToken(token: string): boolean {
  return (
    token.length <= ACCESS_TOKEN_MAX_CHARS &&
    /^[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]{85}[AQgw]$/.test(token)
  )
}

function judgeClaims(
  payload: Record<string, unknown>,
  keyId: string,
  { issuer, nowSeconds }: AccessTokenFacts,
): AccessTokenJudgement {
  if (payload.iss !== issuer) return refuse('issuer')
  if (!areClaims(payload)) return refuse('claims')
  if (nowSeconds >= payload.exp) return refuse('expired')
  if (payload.iat > nowSeconds + CLOCK_SKEW_SECONDS) return refuse('not_yet')
  const notBefore = payload.nbf
  if (notBefore !== undefined) {
    if (!isTime(notBefore)) return refuse('claims')
    if (notBefore > nowSeconds + CLOCK_SKEW_SECONDS) return refuse('not_yet')
  }
  return { ok: true, claims: payload, keyId }
}

function areClaims(
  payload: Record<string, unknown>,
): payload is Record<string, unknown> & AccessTokenClaims {
  return (
    isName(payload.aud) &&
    isName(payload.sub) &&
    isName(payload.client_id) &&
    isName(payload.jti) &&
    isName(payload.gid) &&
    typeof payload.scope === 'string' &&
    isTime(payload.iat) &&
    isTime(payload.exp) &&
    payload.exp > payload.iat &&
    payload.exp - payload.iat <= ACCESS_TOKEN_LIFE_MAX_SECONDS &&
    (payload.auth_time === undefined || isTime(payload.auth_time)) &&
    (payload.acr === undefined || typeof payload.acr === 'string') &&
    (payload.act === undefined || (isObject(payload.act) && isName(payload.act.sub))) &&
    // A binding that cannot be read would make a bound token a bearer token.
    (payload.cnf === undefined || (isObject(payload.cnf) && isName(payload.cnf.jkt)))
  )
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function hasTag(payload: Record<string, unknown>, { tagKey, runtime }: AccessTokenFacts): boolean {
  const { jti, gid, exp } = payload
  if (typeof jti !== 'string' || typeof gid !== 'string' || !isTime(exp)) return false
  if (tagKey === undefined) return true
  const random = jti.slice(0, RANDOM_CHARS)
  return runtime.equal(jti.slice(RANDOM_CHARS), jtiTag(random, gid, exp, tagKey, runtime))
}

function jtiTag(
  random: string,
  gid: string,
  exp: number,
  tagKey: Uint8Array,
  runtime: Runtime,
): string {
  // The fixed length of `random` and the digits of `exp` make this text mean one thing only.
  const tag = runtime.hmacSha256(tagKey, `jti.${random}.${exp}.${gid}`)
  return encodeBase64url(tag.subarray(0, TAG_BYTES))
}

function isSigned(token: string, last: number, key: VerifyKey, runtime: Runtime): boolean {
  try {
    return runtime.verify(key, token.slice(0, last), token.slice(-SIGNATURE_CHARS))
  } catch {
    // A platform that throws on an odd signature has refused it (J6).
    return false
  }
}

/** An object of an all-ASCII part whose characters were checked before; `undefined` otherwise. */
function decodeJson(part: string): Record<string, unknown> | undefined {
  try {
    const text = atob(part.replaceAll('-', '+').replaceAll('_', '/'))
    if (!/^[\x20-\x7e]*$/.test(text)) return undefined
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function refuse(reason: AccessTokenRefusal): AccessTokenJudgement {
  return { ok: false, reason }
}
