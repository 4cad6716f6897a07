/**
 * What GitHub's API answers, read by its exact shape: a person, scopes, a refusal, a limit. Sections are
 * of docs.github.com.
 */
import { retryAfterMs } from '../net/cache-control.ts'
import type { EgressResponse } from '../net/egress.ts'
import { readObject } from '../net/json-answer.ts'
import type { JsonObject } from '../oauth/claims.ts'
import type { Profile } from '../records.ts'
import { pictureUrl, RETRY_AFTER_MAX_MS, text, unknown } from './answers.ts'
import type { Identity, Proof } from './provider.ts'

/** Secondary limits: "wait for at least one minute before retrying" (best practices, rate limit errors). */
const SECONDARY_WAIT_MIN_MS = 60_000
/** Primary limits count per hour, so no reset lies further away. */
const PRIMARY_WAIT_MAX_MS = 3_600_000

export interface GitHubUser {
  readonly subject: string
  readonly login: string
  readonly body: JsonObject
}

/** `login` can be changed and taken over by somebody else; only the numeric `id` names an account. */
export function readUser(body: JsonObject | undefined): GitHubUser | undefined {
  const id = body?.['id']
  const login = text(body, 'login')
  if (body === undefined || login === undefined) return undefined
  return typeof id === 'number' && Number.isSafeInteger(id) && id > 0
    ? { subject: String(id), login, body }
    : undefined
}

export function identityOf(
  issuer: string,
  user: GitHubUser,
  emails: readonly { email: string; primary: boolean }[],
): Identity {
  const shown = text(user.body, 'email')
  const verified =
    emails.find(({ email }) => email === shown) ?? emails.find(({ primary }) => primary)
  const email = verified?.email ?? shown
  const name = text(user.body, 'name')
  const picture = pictureUrl(user.body, 'avatar_url')
  const profile: Profile = {
    login: user.login,
    ...(name === undefined ? {} : { name }),
    ...(email === undefined ? {} : { email, emailVerified: verified !== undefined }),
    ...(picture === undefined ? {} : { pictureUrl: picture }),
  }
  return { issuer, subject: user.subject, profile, groups: [] }
}

/** `undefined` when the header is absent, which is not the same as no scopes. */
export function readScopes(response: EgressResponse): readonly string[] | undefined {
  const header = response.headers.get('x-oauth-scopes')
  if (header === null) return undefined
  return header
    .split(',')
    .map((scope) => scope.trim())
    .filter((scope) => scope !== '')
}

/** The refusal as documented: JSON of the API with exactly this message. */
export function isMessage(response: EgressResponse, message: string): boolean {
  return readObject(response)?.['message'] === message
}

/**
 * Rate limits for the REST API, "Exceeding the rate limit": 403 or 429. `x-ratelimit-remaining: 0`
 * waits until `x-ratelimit-reset`; otherwise `Retry-After`, and at least a minute.
 */
export function limited(
  response: EgressResponse,
  nowMs: number,
): (Proof & { outcome: 'unknown' }) | undefined {
  const { status, headers } = response
  if (status !== 403 && status !== 429) return undefined
  const statedMs = retryAfterMs(headers, nowMs, RETRY_AFTER_MAX_MS)
  if (statedMs === undefined && headers.get('x-ratelimit-remaining') === '0') {
    const resetMs = Number(headers.get('x-ratelimit-reset') ?? Number.NaN) * 1_000 - nowMs
    const waitMs = Number.isFinite(resetMs) ? resetMs : SECONDARY_WAIT_MIN_MS
    return unknown('rate_limit', Math.min(PRIMARY_WAIT_MAX_MS, Math.max(1_000, waitMs)))
  }
  return unknown('rate_limit', Math.max(SECONDARY_WAIT_MIN_MS, statedMs ?? 0))
}
