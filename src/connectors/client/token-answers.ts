/**
 * What an answer of a connector's authorization server means: tokens, the standard's word of refusal,
 * or nothing that can be relied on. By the body, whatever the status (S7, CLI-17); statuses that speak
 * of the server's own trouble end nothing (CLI-20). Pure.
 */
import { RETRY_AFTER_MAX_MS } from '../../cache/breaker.ts'
import { UpstreamError } from '../../errors.ts'
import { retryAfterMs } from '../../net/cache-control.ts'
import type { EgressResponse, Operation } from '../../net/egress.ts'
import { readObject } from '../../net/json-answer.ts'
import { isObject, type JsonObject, readPart } from '../../oauth/claims.ts'
import { parseTokenAnswer, type TokenSet } from '../../oauth/token-answer.ts'
import type { Binding } from '../lifecycle/binding.ts'
import { findPreset } from './presets.ts'
import type { PushCall, TokenCall } from './token-calls.ts'

export interface Answered {
  readonly response: EgressResponse
  readonly operation: Operation
  readonly nowMs: number
}
type Unknown = Extract<TokenCall, { outcome: 'unknown' }>
type No = Extract<TokenCall, { outcome: 'no' }>

const SUBJECT_MAX_CHARS = 255
/** RFC 9126 section 2.2: as RFC 9101 has it, it goes into the browser's address. */
const REQUEST_URI_MAX_CHARS = 512

/** Words of RFC 6749, RFC 7009, RFC 8707 and RFC 9449: what we tell and log of a refusal. */
const WORDS = [
  'access_denied',
  'invalid_client',
  'invalid_dpop_proof',
  'invalid_grant',
  'invalid_request',
  'invalid_scope',
  'invalid_target',
  'invalid_token',
  'unauthorized_client',
  'unsupported_grant_type',
  'unsupported_token_type',
  'use_dpop_nonce',
] as const
/** The words of products for what RFC 6749 section 5.2 has a word for. */
const ALIASES = {
  // GitHub
  bad_refresh_token: 'invalid_grant',
  bad_verification_code: 'invalid_grant',
  incorrect_client_credentials: 'invalid_client',
  // Slack
  invalid_refresh_token: 'invalid_grant',
  token_revoked: 'invalid_grant',
  account_inactive: 'invalid_grant',
  invalid_code: 'invalid_grant',
  code_already_used: 'invalid_grant',
  invalid_client_id: 'invalid_client',
  bad_client_secret: 'invalid_client',
} as const
/** Any other word is the server's own: it may as well be a secret that we sent (I1). */
const OTHER_WORD = 'refused'
const MEANINGS: ReadonlyMap<string, string> = new Map([
  ...WORDS.map((word) => [word, word] as const),
  ...Object.entries(ALIASES),
])
/** Words for trouble that passes (RFC 6749 section 4.1.2.1, RFC 8628 section 3.5, Slack). */
const TRANSIENT: ReadonlySet<string> = new Set([
  'temporarily_unavailable',
  'server_error',
  'slow_down',
  'ratelimited',
  'internal_error',
  'fatal_error',
  'service_unavailable',
])
/** What our parser says where the server said no word at all. */
const NO_WORD: ReadonlySet<string> = new Set(['invalid_answer', 'unspecified_error', 'token_type'])

/** @param clientId Ours: the only audience of an ID token that is believed. */
export function judgeTokenCall(binding: Binding, clientId: string, answered: Answered): TokenCall {
  const { response, nowMs } = answered
  const body = readObject(response)
  if (body === undefined) return unknownAnswer(answered)
  const judged = parseTokenAnswer(asStandard(binding, body), nowMs)
  if (!judged.ok) return refusalOf(answered, judged.error)
  const subject = subjectOf(binding.issuer, clientId, judged.tokens)
  return {
    outcome: 'yes',
    tokens: judged.tokens,
    ...(subject === undefined ? {} : { subject }),
  }
}

export function judgePush(answered: Answered): PushCall {
  const body = readObject(answered.response)
  const { status } = answered.response
  const requestUri = body?.['request_uri']
  const isUri =
    typeof requestUri === 'string' &&
    requestUri.length <= REQUEST_URI_MAX_CHARS &&
    /^[a-z][a-z0-9+.-]*:[\x21-\x7e]+$/i.test(requestUri)
  const error = wordOf(body)
  if (error !== undefined) return refusalOf(answered, error)
  return isUri && status >= 200 && status < 300
    ? { outcome: 'yes', requestUri }
    : unknownAnswer(answered)
}

/** RFC 7009 section 2.2: 200 also for a token that was dead already; Google says so with a 400. */
export function judgeRevocation({ response }: Answered): 'confirmed' | 'unsupported' | 'unknown' {
  const { status } = response
  const body = readObject(response)
  const error = wordOf(body)
  if (error === 'unsupported_token_type') return 'unsupported'
  if (error === 'invalid_token' && status === 400) return 'confirmed'
  return error === undefined && status >= 200 && status < 300 ? 'confirmed' : 'unknown'
}

/** A server that names its members and token type otherwise, by its preset. */
function asStandard({ connector }: Binding, body: JsonObject): JsonObject {
  const quirk = connector.preset === undefined ? undefined : findPreset(connector.preset)?.answer
  if (quirk === undefined) return body
  const inner = body[quirk.member]
  const holder = isObject(inner) && 'access_token' in inner ? { ...body, ...inner } : body
  return holder['token_type'] === quirk.tokenType ? { ...holder, token_type: 'Bearer' } : holder
}

function wordOf(body: JsonObject | undefined): string | undefined {
  if (body === undefined) return undefined
  const judged = parseTokenAnswer(body, 0)
  return judged.ok || judged.error === 'invalid_answer' || judged.error === 'token_type'
    ? undefined
    : judged.error
}

function refusalOf(answered: Answered, word: string): No | Unknown {
  const { status } = answered.response
  const isTrouble = status === 429 || status >= 500 || TRANSIENT.has(word) || NO_WORD.has(word)
  if (isTrouble) return unknownAnswer(answered)
  // RFC 6749 section 5.2: 401 is for a client that is not known or not proved. The official Python
  // package answers so with the word for a grant that a client may not use.
  if (status === 401 && word === 'unauthorized_client')
    return { outcome: 'no', error: 'invalid_client' }
  return { outcome: 'no', error: MEANINGS.get(word) ?? OTHER_WORD }
}

function unknownAnswer({ response, operation, nowMs }: Answered): Unknown {
  const { status, elapsedMs, url } = response
  const waitMs = retryAfterMs(response.headers, nowMs, RETRY_AFTER_MAX_MS)
  const code =
    status === 429
      ? 'ERR_UPSTREAM_RATE_LIMIT'
      : status >= 200 && status < 300
        ? 'ERR_UPSTREAM_BODY'
        : 'ERR_UPSTREAM_STATUS'
  const wait = waitMs === undefined ? {} : { retryAfterMs: waitMs }
  const { origin } = new URL(url)
  return {
    outcome: 'unknown',
    error: new UpstreamError(code, { operation, origin, elapsedMs, status, ...wait }),
    ...wait,
  }
}

/**
 * Whose account it is, where the server says so in an ID token. It came straight from the token
 * endpoint over TLS, which stands for its signature (OpenID Connect Core section 3.1.3.7, step 6).
 */
function subjectOf(issuer: string, clientId: string, { idToken }: TokenSet): string | undefined {
  const claims = idToken === undefined ? undefined : readPart(idToken.split('.')[1])
  if (claims === undefined || claims['iss'] !== issuer) return undefined
  const { aud, sub } = claims
  const isOurs = aud === clientId || (Array.isArray(aud) && aud.includes(clientId))
  if (!isOurs || typeof sub !== 'string' || sub === '') return undefined
  return sub.length <= SUBJECT_MAX_CHARS && sub.isWellFormed() ? sub : undefined
}
