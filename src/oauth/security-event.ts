/**
 * Security event tokens (RFC 8417), judged against a key set at hand: the common part of logout tokens
 * (`logout-token.ts`) and of shared signals (RFC 8935).
 *
 * The algorithm must be in our list and in the sender's, `iss` and `aud` are compared exactly; the rest
 * of what every signed JWT must be is in `signed-jwt.ts`. Never throws, never fetches.
 */
import type { JSONWebKeySet, JWTPayload } from 'jose'
import { isObject, isText, isTime } from './claims.ts'
import { ALGORITHMS as ID_TOKEN_ALGORITHMS } from './id-token.ts'
import { JWT_SKEW_SECONDS, type JwtRefusal, judgeSignedJwt } from './signed-jwt.ts'

export const SECURITY_EVENT_MAX_CHARS = 16_384
/** An event that was made longer ago says nothing about now: its sender has given it up by then. */
export const SECURITY_EVENT_AGE_MAX_SECONDS = 7 * 86_400
/** Of a `jti`, a subject or a session id. */
export const EVENT_TEXT_MAX_CHARS = 512

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

export type SecurityEventRefusal = JwtRefusal | 'nonce'
/** `unknown_key` is worth one fetch of the key set (VAL-14). */
export type SecurityEventJudgement =
  | { readonly ok: true; readonly event: SecurityEvent }
  | { readonly ok: false; readonly reason: SecurityEventRefusal }

/** RFC 8417 section 2.2, at most 7 days old; whether `jti` was seen is asked by the caller. */
export async function judgeSecurityEvent(
  jwt: string,
  facts: SecurityEventFacts,
): Promise<SecurityEventJudgement> {
  const judged = await judgeSignedJwt(jwt, {
    jwks: facts.jwks,
    algorithms: allowed(facts),
    types: facts.types,
    maxChars: SECURITY_EVENT_MAX_CHARS,
    nowMs: facts.nowMs,
  })
  return judged.ok ? judgeClaims(judged.payload, facts) : judged
}

function allowed({ algorithms }: SecurityEventFacts): string[] {
  const known = [...ID_TOKEN_ALGORITHMS]
  return algorithms === undefined ? known : known.filter((name) => algorithms.includes(name))
}

function judgeClaims(payload: JWTPayload, facts: SecurityEventFacts): SecurityEventJudgement {
  const refuse = (reason: SecurityEventRefusal): SecurityEventJudgement => ({ ok: false, reason })
  if (payload.iss !== facts.issuer) return refuse('issuer')
  const { aud } = payload
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (!audiences.includes(facts.audience)) return refuse('audience')
  const { jti, iat, exp, sub, sid, events } = payload
  if (!isText(jti, EVENT_TEXT_MAX_CHARS) || !isTime(iat) || (exp !== undefined && !isTime(exp)))
    return refuse('claims')
  if (
    (sub !== undefined && !isText(sub, EVENT_TEXT_MAX_CHARS)) ||
    (sid !== undefined && !isText(sid, EVENT_TEXT_MAX_CHARS))
  )
    return refuse('claims')
  if (!isObject(events) || Object.keys(events).length === 0) return refuse('claims')
  const nowSeconds = facts.nowMs / 1_000
  if (iat > nowSeconds + JWT_SKEW_SECONDS) return refuse('not_yet')
  if (iat < nowSeconds - SECURITY_EVENT_AGE_MAX_SECONDS) return refuse('expired')
  return {
    ok: true,
    event: {
      jti,
      // Times may have a fraction (RFC 7519 section 2); the store takes whole milliseconds.
      iat: Math.floor(iat),
      ...(exp === undefined ? {} : { exp }),
      ...(sub === undefined ? {} : { sub }),
      ...(sid === undefined ? {} : { sid }),
      subjectId: payload['sub_id'],
      hasNonce: 'nonce' in payload,
      events,
    },
  }
}
