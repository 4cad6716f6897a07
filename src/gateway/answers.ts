/**
 * The gateway's own answers: refusals before a request is understood (RFC 6750 with a JSON body) and
 * JSON-RPC errors after it, with the client's id copied byte for byte (T15).
 *
 * The inner reason is rich and goes to log and metric; what the client reads does not tell which
 * part of a credential was wrong (I11).
 */
import type { Route } from '../connectors/connectors.ts'
import { challenge, dpopChallenge } from '../oauth/challenge.ts'
import type { PossessionRefusal } from './possession.ts'

export type RefusalReason =
  | 'absolute_form'
  | 'path_ambiguous'
  | 'route_unknown'
  | 'host'
  | 'origin'
  | 'method'
  | 'duplicate_header'
  | 'transfer_encoding'
  | 'content_length'
  | 'connection_names'
  | 'upgrade'
  | 'body_unexpected'
  | 'body_too_large'
  | 'body_broken'
  | 'media_type'
  | 'message_syntax'
  | 'message_batch'
  | 'message_shape'
  | 'message_mismatch'
  | 'token_missing'
  | 'token_malformed'
  | 'token_twice'
  | 'token_shape'
  | 'token_invalid'
  | 'token_expired'
  | 'token_audience'
  | 'token_revoked'
  | 'grant_ended'
  | PossessionRefusal
  | 'failure_budget'
  | 'scope'
  | 'step_up'
  | 'not_allowed'
  | 'view_too_old'
  | 'proof_suspect'
  | 'proof_dead'
  | 'proof_unknown'
  | 'store_unavailable'
  | 'busy'
  | 'session_unknown'
  | 'streams_per_user'
  | 'preflight'
  | 'upstream_full'
  | 'upstream_connect'
  | 'upstream_timeout'
  | 'upstream_failed'
  | 'upstream_unauthorized'
  | 'credential'
  | 'connection_missing'
  | 'connection_scope'
  | 'connection_given_up'
  | 'request_state'
  | 'event_too_large'
  | 'draining'
  | 'client_gone'
  | 'internal'

export interface Answer {
  readonly status: number
  readonly reason: RefusalReason
  /** Flat name, value pairs; no content-length. */
  readonly headers: readonly string[]
  readonly body: string
}

export const JSON_HEADERS = ['content-type', 'application/json', 'cache-control', 'no-store']
/** Seconds that a client is asked to wait where we know nothing better. */
const RETRY_AFTER_SECONDS = '2'

export function refuse(
  status: number,
  reason: RefusalReason,
  error: string,
  description: string,
  headers: readonly string[] = [],
): Answer {
  return {
    status,
    reason,
    headers: [...JSON_HEADERS, ...headers],
    body: JSON.stringify({ error, error_description: description }),
  }
}

const badRequest = (reason: RefusalReason, description: string): Answer =>
  refuse(400, reason, 'invalid_request', description)

const unavailable = (reason: RefusalReason): Answer =>
  refuse(503, reason, 'temporarily_unavailable', 'try again', ['retry-after', RETRY_AFTER_SECONDS])

/** Answers that depend on nothing, made once. */
export const ANSWERS = {
  absolute_form: badRequest('absolute_form', 'the request target must be a path'),
  // A runtime that normalises paths does not find it either: one answer for both carriers (T6).
  path_ambiguous: refuse(404, 'path_ambiguous', 'not_found', 'there is no such endpoint'),
  route_unknown: refuse(404, 'route_unknown', 'not_found', 'there is no such endpoint'),
  host: refuse(421, 'host', 'misdirected_request', 'this host is not served here'),
  origin: refuse(403, 'origin', 'access_denied', 'this origin is not allowed'),
  duplicate_header: badRequest('duplicate_header', 'a header that decides is repeated'),
  transfer_encoding: badRequest('transfer_encoding', 'only chunked transfer coding is accepted'),
  content_length: badRequest('content_length', 'content-length is not a number'),
  connection_names: badRequest('connection_names', 'Connection names a header that decides'),
  upgrade: badRequest('upgrade', 'upgrade is not supported'),
  body_unexpected: badRequest('body_unexpected', 'this method has no body'),
  body_broken: badRequest('body_broken', 'the body ended early'),
  token_twice: badRequest('token_twice', 'the token belongs in the Authorization header only'),
  body_too_large: refuse(413, 'body_too_large', 'content_too_large', 'the body is too large'),
  not_allowed: refuse(403, 'not_allowed', 'access_denied', 'this account may not use this server'),
  view_too_old: unavailable('view_too_old'),
  proof_suspect: unavailable('proof_suspect'),
  proof_unknown: unavailable('proof_unknown'),
  store_unavailable: unavailable('store_unavailable'),
  busy: unavailable('busy'),
  credential: unavailable('credential'),
  draining: unavailable('draining'),
  internal: refuse(500, 'internal', 'server_error', 'unexpected condition'),
  streams_per_user: refuse(429, 'streams_per_user', 'too_many_requests', 'too many open streams', [
    'retry-after',
    RETRY_AFTER_SECONDS,
  ]),
  // As servers of the legacy revisions say it: the client starts over with `initialize`.
  session_unknown: {
    status: 404,
    reason: 'session_unknown',
    headers: JSON_HEADERS,
    body: '{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}',
  },
} as const satisfies Readonly<Partial<Record<RefusalReason, Answer>>>

const MCP_METHODS = ['allow', 'GET, POST, DELETE']
const METHOD_MCP = refuse(
  405,
  'method',
  'method_not_allowed',
  'use POST, GET or DELETE',
  MCP_METHODS,
)
const METHOD_ROUTE = refuse(405, 'method', 'method_not_allowed', 'this method is not allowed', [
  'allow',
  'GET, HEAD, POST, PUT, PATCH, DELETE',
])

export function methodAnswer(kind: Route['kind']): Answer {
  return kind === 'mcp' ? METHOD_MCP : METHOD_ROUTE
}

/** 401 without `error`: the request brought nothing (PR-08). */
export function missingToken(route: Route): Answer {
  return refuse(401, 'token_missing', 'unauthorized', 'sign in first', [
    'www-authenticate',
    route.challenges.missing,
  ])
}

export function malformedToken(route: Route): Answer {
  return refuse(
    400,
    'token_malformed',
    'invalid_request',
    'the Authorization header is malformed',
    ['www-authenticate', route.challenges.malformed],
  )
}

/** One text for every way in which a token can be wrong. */
export function invalidToken(route: Route, reason: RefusalReason): Answer {
  return refuse(401, reason, 'invalid_token', 'the access token is not valid here', [
    'www-authenticate',
    route.challenges.invalid,
  ])
}

/** RFC 9449 sections 7.1 and 9: which key is meant is never told. */
export function possessionAnswer(
  resourceMetadata: string,
  reason: PossessionRefusal,
  nonce: string | undefined,
): Answer {
  if (reason === 'dpop_busy') return unavailable('dpop_busy')
  const error = possessionError(reason)
  const headers = ['www-authenticate', dpopChallenge(resourceMetadata, error)]
  if (nonce !== undefined) headers.push('dpop-nonce', nonce)
  return refuse(401, reason, error, 'the access token needs a proof of its key', headers)
}

export function possessionError(
  reason: PossessionRefusal,
): 'invalid_token' | 'invalid_dpop_proof' | 'use_dpop_nonce' {
  if (reason === 'dpop_nonce') return 'use_dpop_nonce'
  const isToken = reason === 'token_bound' || reason === 'token_unbound'
  return isToken ? 'invalid_token' : 'invalid_dpop_proof'
}

/** The union of what the token has and what the call needs (PR-10). */
export function insufficientScope(
  route: Route,
  has: readonly string[],
  needed: readonly string[],
): Answer {
  const scope = [...new Set([...has, ...needed])].join(' ')
  const value = challenge({
    resourceMetadata: route.resourceMetadata,
    scope,
    error: 'insufficient_scope',
  })
  return refuse(403, 'scope', 'insufficient_scope', 'the token lacks a scope', [
    'www-authenticate',
    value,
  ])
}

/** RFC 9470 section 3; the scopes of the token, so that the next one is not smaller. */
export function stepUpRequired(route: Route, has: readonly string[]): Answer {
  const { maxAuthAgeSeconds, acrValues } = route.connector.stepUp ?? {}
  const value = challenge({
    resourceMetadata: route.resourceMetadata,
    scope: has.join(' '),
    error: 'insufficient_user_authentication',
    ...(maxAuthAgeSeconds === undefined ? {} : { maxAgeSeconds: maxAuthAgeSeconds }),
    ...(acrValues === undefined ? {} : { acrValues }),
  })
  const description = 'sign in again, as the challenge says'
  return refuse(401, 'step_up', 'insufficient_user_authentication', description, [
    'www-authenticate',
    value,
  ])
}

const PREFLIGHT_MAX_AGE_SECONDS = '600'

/** Only ever for an allowed origin; `corsHeaders` adds which. */
export function preflightAnswer(kind: Route['kind']): Answer {
  const methods = kind === 'mcp' ? 'GET, POST, DELETE' : 'GET, HEAD, POST, PUT, PATCH, DELETE'
  return {
    status: 204,
    reason: 'preflight',
    headers: [
      'access-control-allow-methods',
      methods,
      'access-control-allow-headers',
      'authorization, dpop, content-type, accept, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, last-event-id',
      'access-control-max-age',
      PREFLIGHT_MAX_AGE_SECONDS,
    ],
    body: '',
  }
}

/** For an origin that was allowed (SEC-15). */
export function corsHeaders(origin: string): string[] {
  return [
    'access-control-allow-origin',
    origin,
    'vary',
    'Origin',
    'access-control-expose-headers',
    'WWW-Authenticate, MCP-Protocol-Version, Mcp-Session-Id, Retry-After, DPoP-Nonce',
  ]
}

const FAILURES = {
  upstream_full: { status: 503, message: 'the server behind has too many calls running' },
  upstream_connect: { status: 502, message: 'the server behind does not answer' },
  upstream_timeout: { status: 504, message: 'the server behind did not answer in time' },
  upstream_failed: { status: 502, message: 'the server behind broke off' },
  upstream_unauthorized: { status: 502, message: 'the server behind refused our identity' },
} as const

export type FailureReason = keyof typeof FAILURES

/** JSON-RPC 2.0 section 5.1, and the one code of MCP for headers that do not agree. */
const MESSAGE_FAULTS = {
  media_type: { status: 415, code: -32600, message: 'the body must be plain application/json' },
  message_syntax: { status: 400, code: -32700, message: 'the body is not JSON' },
  message_batch: { status: 400, code: -32600, message: 'batches are not accepted here' },
  message_shape: { status: 400, code: -32600, message: 'the body is not one clear message' },
  message_mismatch: { status: 400, code: -32020, message: 'headers and body do not agree' },
} as const

export type MessageFault = keyof typeof MESSAGE_FAULTS

/** A body that had to be understood and could not be; nothing of it went on. */
export function messageAnswer(reason: MessageFault, id?: string): Answer {
  const { status, code, message } = MESSAGE_FAULTS[reason]
  return {
    status,
    reason,
    headers: JSON_HEADERS,
    body: `{"jsonrpc":"2.0","id":${id ?? 'null'},"error":{"code":${code},"message":${JSON.stringify(message)}}}`,
  }
}

/** JSON-RPC internal error: undeclared codes are not ours to emit (GW-29). */
const INTERNAL_ERROR = -32603

/** @param id The id of the request as its client wrote it; absent for what has none. */
export function failureAnswer(reason: FailureReason, kind: Route['kind'], id?: string): Answer {
  const { status, message } = FAILURES[reason]
  const retry = status === 503 ? ['retry-after', RETRY_AFTER_SECONDS] : []
  if (kind !== 'mcp') return refuse(status, reason, 'bad_gateway', message, retry)
  return {
    status,
    reason,
    headers: [...JSON_HEADERS, ...retry],
    body: `{"jsonrpc":"2.0","id":${id ?? 'null'},"error":{"code":${INTERNAL_ERROR},"message":${JSON.stringify(message)},"data":{"reason":"${reason}"}}}`,
  }
}
