/**
 * Answers of a provider's token endpoint (RFC 6749 section 5.1, and what is really sent).
 *
 * Success is a string `access_token`, a bearer `token_type` and no `error`, whatever the HTTP status
 * was (S7). Odd values of what is optional are the same as absent: an answer whose refresh token was
 * rotated must not be thrown away for a strange `expires_in`. Never throws.
 */
import { isScopeName } from './scope.ts'

export const UPSTREAM_TOKEN_MAX_CHARS = 16_384
export const UPSTREAM_SCOPES_MAX = 256
/** Lives beyond this are not believed to the letter. */
export const UPSTREAM_LIFE_MAX_SECONDS = 10 * 365 * 86_400

export interface TokenSet {
  readonly accessToken: string
  readonly tokenType: string
  /** Absent: keep the one there is (CLI-18). */
  readonly refreshToken?: string
  readonly idToken?: string
  /** Absent: unknown, the provider's default applies. */
  readonly expiresAtMs?: number
  readonly refreshExpiresAtMs?: number
  /** Absent: as requested. Empty: none. */
  readonly scopes?: readonly string[]
}

export type TokenAnswerJudgement =
  | { ok: true; tokens: TokenSet }
  /** The provider's error code, or one of ours: `invalid_answer`, `unspecified_error`, `token_type`. */
  | { ok: false; error: string }

export function parseTokenAnswer(body: unknown, nowMs: number): TokenAnswerJudgement {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    return refuse('invalid_answer')
  const read = (name: string): unknown =>
    Object.hasOwn(body, name) ? Reflect.get(body, name) : undefined
  const error = read('error')
  if ((error !== undefined && error !== null) || read('ok') === false)
    return refuse(errorCode(error))
  const accessToken = readToken(read('access_token'))
  if (accessToken === undefined) return refuse('invalid_answer')
  const tokenType = read('token_type')
  if (typeof tokenType !== 'string' || tokenType.toLowerCase() !== 'bearer') {
    return refuse('token_type')
  }
  const refreshToken = readToken(read('refresh_token'))
  const idToken = readToken(read('id_token'))
  const lifeSeconds = readSeconds(read('expires_in'))
  const refreshLifeSeconds =
    readSeconds(read('refresh_token_expires_in')) ?? readSeconds(read('refresh_expires_in'))
  const scopes = readScopes(read('scope'))
  return {
    ok: true,
    tokens: {
      accessToken,
      tokenType: 'Bearer',
      ...(refreshToken === undefined ? {} : { refreshToken }),
      ...(idToken === undefined ? {} : { idToken }),
      ...(lifeSeconds === undefined ? {} : { expiresAtMs: nowMs + lifeSeconds * 1_000 }),
      ...(refreshLifeSeconds === undefined
        ? {}
        : { refreshExpiresAtMs: nowMs + refreshLifeSeconds * 1_000 }),
      ...(scopes === undefined ? {} : { scopes }),
    },
  }
}

/** Printable ASCII without spaces: it goes into a header (S11). */
function readToken(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > UPSTREAM_TOKEN_MAX_CHARS) return undefined
  return /^[\x21-\x7e]+$/.test(value) ? value : undefined
}

/** Whole seconds, at most ten years; zero and less mean that the provider did not say. */
function readSeconds(value: unknown): number | undefined {
  const number =
    typeof value === 'string' && /^\d{1,15}(\.\d{1,9})?$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !Number.isFinite(number) || number < 1) return undefined
  return Math.min(Math.floor(number), UPSTREAM_LIFE_MAX_SECONDS)
}

/** Separated by spaces, or by commas (GitHub, Slack, Linear), or a list of strings. */
function readScopes(value: unknown): readonly string[] | undefined {
  if (Array.isArray(value)) {
    if (value.length > UPSTREAM_SCOPES_MAX) return undefined
    return value.every((entry) => typeof entry === 'string')
      ? readScopes(value.join(' '))
      : undefined
  }
  if (typeof value !== 'string' || value.length > UPSTREAM_TOKEN_MAX_CHARS) return undefined
  const scopes = [...new Set(value.split(/[ ,]/))].filter((scope) => scope !== '')
  const usable = scopes.length <= UPSTREAM_SCOPES_MAX && scopes.every(isScopeName)
  return usable ? scopes : undefined
}

/** Only something that looks like a code is passed on; upstream text never is (AZ-23). */
function errorCode(error: unknown): string {
  return typeof error === 'string' && /^[A-Za-z0-9_.-]{1,64}$/.test(error)
    ? error
    : 'unspecified_error'
}

function refuse(error: string): TokenAnswerJudgement {
  return { ok: false, error }
}
