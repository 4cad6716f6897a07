/**
 * Every refusal of the API as `application/problem+json` (RFC 9457): the only writer of them. What is
 * unexpected says nothing but its request id; the log says where.
 */
import {
  API_ERRORS,
  type ErrorCode,
  SHOWN_ERRORS,
  STORE_ERRORS,
  UPSTREAM_ERRORS,
} from '../error-codes.ts'
import { OAuthError, StoreError, UpstreamError } from '../errors.ts'
import { Problem } from './route.ts'

const RETRY_AFTER_SECONDS = 2
const ROWS: Readonly<Record<string, { readonly title?: string; readonly meaning: string }>> = {
  ...API_ERRORS,
  ...SHOWN_ERRORS,
  ...UPSTREAM_ERRORS,
  ...STORE_ERRORS,
}

/** The short summary of a code: its title, or what it means. */
export function titleOf(code: string): string {
  const row = ROWS[code]
  return row?.title ?? row?.meaning.replace(/\.$/, '') ?? code
}

/** Whatever was thrown, as the refusal that the caller gets. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof StoreError) return unavailable('ERR_API_UNAVAILABLE', error)
  if (error instanceof UpstreamError) {
    const seconds = Math.ceil((error.retryAfterMs ?? RETRY_AFTER_SECONDS * 1000) / 1000)
    return unavailable(error.code, error, seconds)
  }
  if (error instanceof OAuthError && error.code !== undefined)
    return new Problem(error.status, error.code, `${error.description}.`, { cause: error })
  return new Problem(500, 'ERR_API_UNEXPECTED', 'This is our fault.', { cause: error })
}

function unavailable(code: ErrorCode, cause: unknown, seconds = RETRY_AFTER_SECONDS): Problem {
  const headers = { 'retry-after': String(Math.max(1, seconds)) }
  return new Problem(503, code, 'Ask again in a moment.', { headers, cause })
}

/** The body. `errorsUrl`: where codes are explained, with a trailing slash. */
export function problemBody(
  problem: Problem,
  requestId: string,
  errorsUrl: string,
): Readonly<Record<string, unknown>> {
  const { status, code, detail, param, errors, members } = problem
  return {
    type: `${errorsUrl}${code}`,
    title: titleOf(code),
    status,
    code,
    detail,
    ...(param === undefined ? {} : { param }),
    ...(errors === undefined ? {} : { errors }),
    ...members,
    requestId,
  }
}
