/**
 * Names what went wrong on a socket: error codes of Node, OpenSSL and undici to ours.
 *
 * The original stays as `cause`; its text never leaves the process.
 */
import type { UpstreamErrorCode } from '../errors.ts'
import { FetchFailure } from '../net/failure.ts'

const NAMED: Readonly<Record<string, readonly [UpstreamErrorCode, string]>> = {
  ENOTFOUND: ['ERR_UPSTREAM_DNS', 'not-found'],
  ENODATA: ['ERR_UPSTREAM_DNS', 'not-found'],
  EAI_AGAIN: ['ERR_UPSTREAM_DNS', 'try-again'],
  EAI_FAIL: ['ERR_UPSTREAM_DNS', 'failed'],
  ETIMEOUT: ['ERR_UPSTREAM_DNS', 'timeout'],
  ECONNREFUSED: ['ERR_UPSTREAM_CONNECT', 'refused'],
  EHOSTUNREACH: ['ERR_UPSTREAM_CONNECT', 'unreachable'],
  ENETUNREACH: ['ERR_UPSTREAM_CONNECT', 'unreachable'],
  EADDRNOTAVAIL: ['ERR_UPSTREAM_CONNECT', 'unreachable'],
  ECONNRESET: ['ERR_UPSTREAM_RESET', 'reset'],
  EPIPE: ['ERR_UPSTREAM_RESET', 'reset'],
  UND_ERR_SOCKET: ['ERR_UPSTREAM_RESET', 'closed'],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: ['ERR_UPSTREAM_RESET', 'truncated'],
  ETIMEDOUT: ['ERR_UPSTREAM_TIMEOUT', 'connect'],
  UND_ERR_CONNECT_TIMEOUT: ['ERR_UPSTREAM_TIMEOUT', 'connect'],
  UND_ERR_HEADERS_TIMEOUT: ['ERR_UPSTREAM_TIMEOUT', 'headers'],
  UND_ERR_BODY_TIMEOUT: ['ERR_UPSTREAM_TIMEOUT', 'body'],
  UND_ERR_HEADERS_OVERFLOW: ['ERR_UPSTREAM_TOO_LARGE', 'headers'],
  HPE_HEADER_OVERFLOW: ['ERR_UPSTREAM_TOO_LARGE', 'headers'],
  UND_ERR_INVALID_ARG: ['ERR_UPSTREAM_URL', 'request'],
  UND_ERR_PRX_CONN: ['ERR_UPSTREAM_CONNECT', 'proxy'],
  UND_ERR_PRX_TLS: ['ERR_UPSTREAM_TLS', 'proxy'],
  CERT_HAS_EXPIRED: ['ERR_UPSTREAM_TLS', 'expired'],
  CERT_NOT_YET_VALID: ['ERR_UPSTREAM_TLS', 'not-yet-valid'],
  CERT_REVOKED: ['ERR_UPSTREAM_TLS', 'revoked'],
  DEPTH_ZERO_SELF_SIGNED_CERT: ['ERR_UPSTREAM_TLS', 'self-signed'],
  SELF_SIGNED_CERT_IN_CHAIN: ['ERR_UPSTREAM_TLS', 'untrusted-authority'],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ['ERR_UPSTREAM_TLS', 'untrusted-authority'],
  UNABLE_TO_GET_ISSUER_CERT: ['ERR_UPSTREAM_TLS', 'untrusted-authority'],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ['ERR_UPSTREAM_TLS', 'untrusted-authority'],
  ERR_TLS_CERT_ALTNAME_INVALID: ['ERR_UPSTREAM_TLS', 'wrong-name'],
  ERR_SSL_UNSUPPORTED_PROTOCOL: ['ERR_UPSTREAM_TLS', 'old-version'],
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: ['ERR_UPSTREAM_TLS', 'old-version'],
  EPROTO: ['ERR_UPSTREAM_TLS', 'handshake'],
}

/** What cannot be named is a failed connection: nothing usable came back. */
export function failureOf(error: unknown): FetchFailure {
  if (error instanceof FetchFailure) return error
  const nested = errorsIn(error)
  const known = nested.find((one) => one instanceof FetchFailure)
  if (known instanceof FetchFailure) return known
  for (const one of nested) {
    const named = nameOf(codeOf(one))
    if (named !== undefined) return new FetchFailure(named[0], named[1], error)
  }
  return new FetchFailure('ERR_UPSTREAM_CONNECT', 'failed', error)
}

function nameOf(code: string): readonly [UpstreamErrorCode, string] | undefined {
  if (Object.hasOwn(NAMED, code)) return NAMED[code]
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_'))
    return ['ERR_UPSTREAM_TLS', 'handshake']
  if (code.startsWith('HPE_') || code.startsWith('UND_ERR_RES'))
    return ['ERR_UPSTREAM_BODY', 'not-http']
  return undefined
}

/** The error, what it wraps and what it collects (`AggregateError` of happy eyeballs), one level deep. */
function errorsIn(error: unknown): readonly unknown[] {
  if (!(error instanceof Error)) return [error]
  const collected = error instanceof AggregateError ? error.errors : []
  return error.cause === undefined ? [error, ...collected] : [error, ...collected, error.cause]
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  if ('code' in error && typeof error.code === 'string') return error.code
  // undici's parser leaves the code empty when the answer does not even begin like HTTP.
  return error.name === 'HTTPParserError' ? 'HPE_INVALID' : ''
}
