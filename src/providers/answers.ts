/**
 * What providers answer, read the same way for each of them: JSON only where JSON is said, transport
 * and status failures are *unknown*, waiting times come from the headers.
 */
import { OAuthError, UpstreamError } from '../errors.ts'
import { retryAfterMs } from '../net/cache-control.ts'
import type { EgressResponse, Operation } from '../net/egress.ts'
import type { JsonObject } from '../oauth/claims.ts'
import type { Proof } from './provider.ts'

/** Token, check, userinfo, introspection and revocation answers (threats.md section 2). */
export const ANSWER_MAX_BYTES = 65_536
/** A `Retry-After` beyond this is not believed to the letter (F4). */
export const RETRY_AFTER_MAX_MS = 300_000

/** A member that is a string with something in it, well-formed and without control characters. */
export function text(
  object: JsonObject | undefined,
  name: string,
  maxChars = 512,
): string | undefined {
  const value = object?.[name]
  if (typeof value !== 'string' || value === '' || value.length > maxChars) return undefined
  return value.isWellFormed() && !/[\x00-\x1f\x7f]/.test(value) ? value : undefined
}

/** An https URL to show, such as a picture. */
export function pictureUrl(object: JsonObject | undefined, name: string): string | undefined {
  const value = text(object, name, 2_048)
  return value !== undefined && URL.parse(value)?.protocol === 'https:' ? value : undefined
}

/** RFC 6750 section 3: 401 and `Bearer` with `error="invalid_token"`, quoted or not. */
export function isInvalidToken({ status, headers }: EgressResponse): boolean {
  if (status !== 401) return false
  return /(?:^|,)\s*bearer\s(?:.*[\s,])?error\s*=\s*(?:"invalid_token"|invalid_token(?=\s*(?:,|$)))/i.test(
    headers.get('www-authenticate') ?? '',
  )
}

/** Runs one check; what the provider does wrong is *unknown*, what we do wrong still throws. */
export async function asProof<Outcome>(
  ask: () => Promise<Outcome>,
): Promise<Outcome | Extract<Proof, { outcome: 'unknown' }>> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof UpstreamError) return unknown(error.code, error.retryAfterMs)
    // Such as a provider that suddenly accepts none of our ways to authenticate.
    if (error instanceof OAuthError) return unknown(error.reason)
    throw error
  }
}

/** Runs a revocation; `false` when nobody confirmed it. */
export async function isConfirmed(ask: () => Promise<boolean>): Promise<boolean> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof UpstreamError || error instanceof OAuthError)) throw error
    return false
  }
}

export function unknown(reason: string, waitMs?: number): Extract<Proof, { outcome: 'unknown' }> {
  return waitMs === undefined
    ? { outcome: 'unknown', reason }
    : { outcome: 'unknown', reason, retryAfterMs: waitMs }
}

/** Any answer that is neither a yes nor the documented no (F1 to F5). */
export function unknownAnswer(
  response: EgressResponse,
  nowMs: number,
): Extract<Proof, { outcome: 'unknown' }> {
  return unknown(
    `status_${response.status}`,
    retryAfterMs(response.headers, nowMs, RETRY_AFTER_MAX_MS),
  )
}

/** The same at sign-in, where somebody waits: an error with a code that a page can explain. */
export function statusError(
  response: EgressResponse,
  operation: Operation,
  nowMs: number,
): UpstreamError {
  const { status } = response
  const isLimited = status === 429 || response.headers.has('retry-after')
  const code = isLimited
    ? 'ERR_UPSTREAM_RATE_LIMIT'
    : status >= 200 && status < 300
      ? 'ERR_UPSTREAM_BODY'
      : 'ERR_UPSTREAM_STATUS'
  return new UpstreamError(code, {
    operation,
    origin: new URL(response.url).origin,
    elapsedMs: response.elapsedMs,
    status,
    retryAfterMs: retryAfterMs(response.headers, nowMs, RETRY_AFTER_MAX_MS),
  })
}
