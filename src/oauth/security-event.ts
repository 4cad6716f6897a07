/**
 * Security event tokens (RFC 8417), judged against a key set at hand: the common part of logout tokens
 * (`logout-token.ts`) and of shared signals (RFC 8935).
 *
 * The algorithm comes from our list and the sender's, keys from the set, never from the header; `iss`
 * and `aud` are compared exactly. Never throws, never fetches.
 */
import type { JSONWebKeySet, JWTPayload } from 'jose'
import { decodeBase64url } from './base64url.ts'
import { ALGORITHMS as ID_TOKEN_ALGORITHMS } from './id-token.ts'
import { withoutWeakKeys } from './weak-keys.ts'

export const SECURITY_EVENT_MAX_CHARS = 16_384
export const SECURITY_EVENT_SKEW_SECONDS = 60
/** An event that was made longer ago says nothing about now: its sender has given it up by then. */
export const SECURITY_EVENT_AGE_MAX_SECONDS = 7 * 86_400
const KEYS_MAX = 100
const TEXT_MAX_CHARS = 512
const TIME_MAX_SECONDS = 253_402_300_799

export interface SecurityEventFacts {
  readonly jwks: JSONWebKeySet
  readonly issuer: string
  readonly audience: string
  readonly nowMs: number
  /** What the sender publishes; absent: every algorithm of our list. */
  readonly algorithms?: readonly string[]
  /** In lower case; `undefined` stands for a header without `typ`. */
  readonly types: readonly (string | undefined)[]
}

export interface SecurityEvent {
  readonly jti: string
  readonly iat: number
  readonly exp?: number
  readonly sub?: string
  readonly sid?: string
  /** RFC 9493 subject of the whole token. */
  readonly subjectId?: unknown
  readonly hasNonce: boolean
  readonly events: Readonly<Record<string, unknown>>
}

export type SecurityEventRefusal =
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
  | 'nonce'
/** `unknown_key` is worth one fetch of the key set (VAL-14). */
export type SecurityEventJudgement =
  | { readonly ok: true; readonly event: SecurityEvent }
  | { readonly ok: false; readonly reason: SecurityEventRefusal }

type Jose = typeof import('jose')

export async function judgeSecurityEvent(
  jwt: string,
  facts: SecurityEventFacts,
): Promise<SecurityEventJudgement> {
  const jose = await import('jose')
  const early = judgeHeader(jwt, facts, jose)
  if (early !== undefined) return { ok: false, reason: early }
  try {
    const { payload } = await jose.jwtVerify(
      jwt,
      jose.createLocalJWKSet(withoutWeakKeys(facts.jwks)),
      {
        algorithms: allowed(facts),
        clockTolerance: SECURITY_EVENT_SKEW_SECONDS,
        currentDate: new Date(facts.nowMs),
      },
    )
    return judgeClaims(payload, facts)
  } catch (error) {
    return { ok: false, reason: refusalOf(error, jose) }
  }
}

function allowed({ algorithms }: SecurityEventFacts): string[] {
  const known = [...ID_TOKEN_ALGORITHMS]
  return algorithms === undefined ? known : known.filter((name) => algorithms.includes(name))
}

/** What can be refused before any key is touched. */
function judgeHeader(
  jwt: string,
  facts: SecurityEventFacts,
  { decodeProtectedHeader }: Jose,
): SecurityEventRefusal | undefined {
  if (jwt.length > SECURITY_EVENT_MAX_CHARS || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(jwt))
    return 'malformed'
  if (decodeBase64url(jwt.slice(jwt.lastIndexOf('.') + 1)) === undefined) return 'malformed'
  const { keys } = facts.jwks
  if (!Array.isArray(keys) || keys.length > KEYS_MAX) return 'unknown_key'
  let header: ReturnType<typeof decodeProtectedHeader>
  try {
    header = decodeProtectedHeader(jwt)
  } catch {
    return 'malformed'
  }
  const { alg, kid, typ } = header
  if (typeof alg !== 'string' || !allowed(facts).includes(alg)) return 'algorithm'
  if (kid !== undefined && !isText(kid)) return 'malformed'
  if (typ !== undefined && typeof typ !== 'string') return 'typ'
  const type = typ?.toLowerCase().replace(/^application\//, '')
  if (!facts.types.includes(type)) return 'typ'
  return 'crit' in header ? 'malformed' : undefined
}

function judgeClaims(payload: JWTPayload, facts: SecurityEventFacts): SecurityEventJudgement {
  const refuse = (reason: SecurityEventRefusal): SecurityEventJudgement => ({ ok: false, reason })
  if (payload.iss !== facts.issuer) return refuse('issuer')
  const { aud } = payload
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (!audiences.includes(facts.audience)) return refuse('audience')
  const { jti, iat, exp, sub, sid, events } = payload
  if (!isText(jti) || !isTime(iat) || (exp !== undefined && !isTime(exp))) return refuse('claims')
  if ((sub !== undefined && !isText(sub)) || (sid !== undefined && !isText(sid)))
    return refuse('claims')
  if (!isObject(events) || Object.keys(events).length === 0) return refuse('claims')
  const nowSeconds = facts.nowMs / 1_000
  if (iat > nowSeconds + SECURITY_EVENT_SKEW_SECONDS) return refuse('not_yet')
  if (iat < nowSeconds - SECURITY_EVENT_AGE_MAX_SECONDS) return refuse('expired')
  return {
    ok: true,
    event: {
      jti,
      iat,
      ...(exp === undefined ? {} : { exp }),
      ...(sub === undefined ? {} : { sub }),
      ...(sid === undefined ? {} : { sid }),
      subjectId: payload['sub_id'],
      hasNonce: 'nonce' in payload,
      events,
    },
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isText(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= TEXT_MAX_CHARS &&
    value.isWellFormed() &&
    !value.includes('\0')
  )
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= TIME_MAX_SECONDS
}

function refusalOf(error: unknown, { errors }: Jose): SecurityEventRefusal {
  if (error instanceof errors.JWTExpired) return 'expired'
  if (error instanceof errors.JWTClaimValidationFailed)
    return error.claim === 'nbf' ? 'not_yet' : 'claims'
  if (error instanceof errors.JWKSNoMatchingKey) return 'unknown_key'
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'unknown_key'
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return 'malformed'
  if (error instanceof errors.JOSEAlgNotAllowed) return 'algorithm'
  // Bad signatures, weak or broken keys, platform errors: refusals as well (J6).
  return 'signature'
}
