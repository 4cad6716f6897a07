/**
 * The four expected kinds of failure and the only writer of errors to the wire.
 *
 * Messages name things, never values: no token, code, secret, cookie, query string or upstream
 * body. Anything that is not one of these four is a bug and becomes `server_error` with a request id.
 * The `ERR_*` codes stand in `error-codes.ts`.
 */
import type {
  ConfigErrorCode,
  ShownErrorCode,
  StoreErrorCode,
  UpstreamErrorCode,
} from './error-codes.ts'

export type { UpstreamErrorCode } from './error-codes.ts'

/** Start-up: names the option and the fix. Printed as two lines, `code: problem` and `fix`. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code: string
  readonly problem: string
  readonly fix: string
  /** Path of the field, such as `connectors.notes.url`, where one is at fault. */
  readonly field: string | undefined
  constructor(code: ConfigErrorCode, problem: string, fix: string, field?: string) {
    super(`${code}: ${problem}\n${fix}`)
    this.code = code
    this.problem = problem
    this.fix = fix
    this.field = field
  }
}

/** Expected refusal at an OAuth endpoint: `error` is the RFC's word, the description is public. */
export class OAuthError extends Error {
  override readonly name = 'OAuthError'
  readonly error: string
  readonly description: string
  readonly status: number
  /** Stable inner reason for log and metric; never on the wire. */
  readonly reason: string
  /** Where a caller in the same process decides by it: `ERR_CONNECTION_*`. */
  readonly code: ShownErrorCode | undefined
  readonly headers: Readonly<Record<string, string>>
  constructor(
    error: string,
    description: string,
    options: {
      status?: number
      reason?: string
      code?: ShownErrorCode
      headers?: Readonly<Record<string, string>>
      cause?: unknown
    } = {},
  ) {
    super(`${error}: ${description}`, { cause: options.cause })
    this.error = error
    this.description = description
    this.status = options.status ?? 400
    this.reason = options.reason ?? error
    this.code = options.code
    this.headers = options.headers ?? {}
  }
}

/** Somebody else failed: slow, dead, lying or refusing. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError'
  readonly code: UpstreamErrorCode
  readonly operation: string
  readonly origin: string
  readonly elapsedMs: number
  readonly status: number | undefined
  readonly retryAfterMs: number | undefined
  constructor(
    code: UpstreamErrorCode,
    detail: {
      operation: string
      origin: string
      elapsedMs?: number
      status?: number
      retryAfterMs?: number
      cause?: unknown
    },
  ) {
    super(`${code}: ${detail.operation} at ${detail.origin}`, { cause: detail.cause })
    this.code = code
    this.operation = detail.operation
    this.origin = detail.origin
    this.elapsedMs = detail.elapsedMs ?? 0
    this.status = detail.status
    this.retryAfterMs = detail.retryAfterMs
  }
}

/** The store failed. `unknown`: it may have been applied; ask again only with the same nonce. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode
  readonly certainty: 'not-applied' | 'unknown'
  constructor(code: StoreErrorCode, certainty: StoreError['certainty'], cause?: unknown) {
    super(code, { cause })
    this.code = code
    this.certainty = certainty
  }
}

export type PosternError = ConfigError | OAuthError | UpstreamError | StoreError
export function isPosternError(error: unknown): error is PosternError {
  return (
    error instanceof ConfigError ||
    error instanceof OAuthError ||
    error instanceof UpstreamError ||
    error instanceof StoreError
  )
}

/**
 * For the log: what kind of error, and where in our code. Never its message or values, because an
 * unexpected error may carry anything.
 */
export function placeOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error
  const code = isPosternError(error) && 'code' in error ? ` ${error.code}` : ''
  const frame = /(?:src|dist)\/[\w./-]+:\d+/.exec(error.stack ?? '')?.[0]
  return `${error.name}${code}${frame === undefined ? '' : ` at ${frame}`}`
}

const RETRY_AFTER_SECONDS = 2
const NO_STORE = { 'cache-control': 'no-store' }

/** RFC 6749 section 5.2 body for OAuth endpoints; 503 for what is not the caller's fault. */
export function toResponse(error: unknown, requestId: string): Response {
  if (error instanceof OAuthError) {
    return Response.json(
      { error: error.error, error_description: printable(error.description) },
      { status: error.status, headers: { ...NO_STORE, ...error.headers } },
    )
  }
  if (error instanceof UpstreamError || error instanceof StoreError) {
    return Response.json(
      { error: 'temporarily_unavailable', error_description: 'try again', request_id: requestId },
      { status: 503, headers: { ...NO_STORE, 'retry-after': String(RETRY_AFTER_SECONDS) } },
    )
  }
  return Response.json(
    { error: 'server_error', error_description: 'unexpected condition', request_id: requestId },
    { status: 500, headers: NO_STORE },
  )
}

/**
 * What may stand in an `error_description` and in a quoted header value: %x20-21 / %x23-5B / %x5D-7E
 * (RFC 6749 sections 4.1.2.1 and 5.2, RFC 6750 section 3). All else becomes `?`.
 */
export function printable(text: string): string {
  return text.replaceAll('"', "'").replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?')
}
