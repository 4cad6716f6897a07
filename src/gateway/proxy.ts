/**
 * The carrier for runtimes that speak `Request` and `Response` (Workers, Deno, Bun): the same
 * decisions, answers and header table as `node/carrier.ts`, over an injected `send`.
 *
 * Differences that the platform dictates: repeated headers arrive joined, paths arrive normalised,
 * one isolate does not know another's streams. Sent twice only what a server refused unread (GW-24).
 */
import { placeOf, UpstreamError } from '../errors.ts'
import type { Emit, Runtime, Send } from '../ports.ts'
import {
  ANSWERS,
  type Answer,
  corsHeaders,
  type FailureReason,
  failureAnswer,
  type RefusalReason,
} from './answers.ts'
import { isRefusalOfToken, mayBeReturn, type Shown } from './connection-calls.ts'
import { type Decision, decide, type Forward, type Need, type Reconnect } from './decide.ts'
import { EventBoundary } from './event-boundary.ts'
import { forwardHeaders } from './forward.ts'
import { type Head, responseHeaders, scanHeaders } from './headers.ts'
import { hasEnded } from './long-answers.ts'
import { SCAN_MAX_BYTES, scanMessage } from './message.ts'
import { opensUrlsLater } from './reconnect.ts'
import { type CallDetail, createRecords, type Records, recordable } from './records.ts'
import { inspectBody } from './scope-check.ts'
import { isSessionId } from './session-id.ts'
import type { GatewayView } from './view.ts'

export interface ProxyDeps {
  readonly view: GatewayView
  /** One exchange. Rejects when there is no answer; `ERR_UPSTREAM_CONNECT` when nothing was sent. */
  readonly send: Send
  readonly emit: Emit
  readonly runtime: Pick<Runtime, 'after' | 'monotonicMs' | 'randomBytes'>
  readonly firstByteTimeoutMs: number
}

/** Up to here a body is buffered, so that an error answer finds its id. */
const BUFFERED_MAX_BYTES = 65_536
const WAITS_MAX = 4
/** A declared answer of at most this is through before its token could end. */
const SHORT_MAX_BYTES = 65_536

const STILL_COLD: Readonly<Record<Need, Answer>> = {
  session: ANSWERS.store_unavailable,
  proof: ANSWERS.proof_unknown,
  credential: ANSWERS.credential,
}

/** nginx's word for a client that left; nobody reads it but the record. */
const CLIENT_GONE: Answer = { status: 499, reason: 'client_gone', headers: [], body: '' }

interface Exchange {
  readonly request: Request
  readonly head: Head
  readonly headers: string[]
  readonly requestId: string
  readonly startedAtMs: number
  /** A page that may read our answers: a refused origin may not read even the refusal (W8). */
  readonly origin: string | undefined
}

export function createProxy(deps: ProxyDeps): (request: Request) => Promise<Response> {
  const records = createRecords(deps.emit)
  const prefix = [...deps.runtime.randomBytes(6)].map((byte) => byte.toString(36)).join('')
  let counter = 0
  return async (request) => {
    const headers: string[] = []
    const head = scanHeaders(request.headers, headers)
    const { host } = new URL(request.url)
    // A target in absolute form names a host of its own: both must be ours.
    if (head.host === undefined || !deps.view.hostAllowed(host)) head.host = host
    counter += 1
    const requestId = `req_${prefix}${counter.toString(36)}`
    const startedAtMs = deps.runtime.monotonicMs()
    const mayRead = head.origin !== undefined && deps.view.originAllowed(head.origin)
    const origin = mayRead ? head.origin : undefined
    const exchange = { request, head, headers, requestId, startedAtMs, origin }
    try {
      return await run(deps, records, exchange)
    } catch (error) {
      deps.emit.event({
        type: 'server.failed',
        requestId,
        reason: 'unexpected',
        place: placeOf(error),
      })
      return toResponse(ANSWERS.internal, exchange, undefined)
    }
  }
}

async function run(deps: ProxyDeps, records: Records, exchange: Exchange): Promise<Response> {
  const decision = await decideWarm(deps, records, exchange)
  if (decision.kind === 'forward' || decision.kind === 'reconnect') {
    return call(deps, records, exchange, decision)
  }
  const { route, session } = decision
  const answer = decision.kind === 'refuse' ? decision.answer : STILL_COLD[decision.need]
  records.refused(factsOf(deps, exchange, { route, session }, answer.status), answer.reason)
  const cors = route !== undefined && answer.reason !== 'origin' && answer.reason !== 'host'
  return toResponse(answer, exchange, cors ? exchange.origin : undefined)
}

/** Loads what is cold; a `wait` that is left could not be made known. */
async function decideWarm(
  deps: ProxyDeps,
  records: Records,
  { request, head }: Exchange,
): Promise<Decision> {
  const target = targetOf(request.url)
  head.hasNoConnection = false
  let decision = decide(request.method, target, head, deps.view)
  let last: Need | undefined
  for (let waits = 0; decision.kind === 'wait' && waits < WAITS_MAX; waits += 1) {
    if (decision.need === last) break
    last = decision.need
    records.waited(last)
    await deps.view.load(decision)
    decision = decide(request.method, target, head, deps.view)
  }
  return decision
}

async function call(
  deps: ProxyDeps,
  records: Records,
  exchange: Exchange,
  to: Forward | Reconnect,
): Promise<Response> {
  const { request, head } = exchange
  const isAnswer = to.kind === 'reconnect'
  const maxBytes = deps.view.requestBodyMaxBytes
  const bufferedMaxBytes = to.inspect && !isAnswer ? maxBytes : BUFFERED_MAX_BYTES
  const body = await readBody(request, head, maxBytes, bufferedMaxBytes)
  if (body === 'body_too_large') return refused(deps, records, exchange, to, ANSWERS.body_too_large)
  const isWhole = body === null || body instanceof Uint8Array
  const inspected =
    to.inspect && (isWhole || !isAnswer) ? inspectBody(to, head, wholeOf(body)) : undefined
  if (inspected !== undefined && 'answer' in inspected) {
    return refused(deps, records, exchange, to, inspected.answer, body)
  }
  const isReturn =
    to.route.connector.auth === 'oauth' && body instanceof Uint8Array && mayBeReturn(body)
  if (to.kind === 'forward' && !isReturn) return forward(deps, records, exchange, to, body)
  const shown = await shownOf(exchange, body)
  const outcome = (await deps.view.connections?.settle(to, shown)) ?? ANSWERS.credential
  if ('status' in outcome) return refused(deps, records, exchange, to, outcome, body)
  // The connection is there: the call is decided anew, for much may have changed, and made once.
  const decision = await decideWarm(deps, records, exchange)
  if (decision.kind === 'forward') {
    return forward(deps, records, exchange, decision, outcome.body)
  }
  const answer = decision.kind === 'refuse' ? decision.answer : ANSWERS.credential
  return refused(deps, records, exchange, to, answer, body)
}

/** A body too long to be kept shows its first bytes, and is not read any further. */
async function shownOf({ request, head }: Exchange, body: Body): Promise<Shown> {
  const facts = { head, httpMethod: request.method, isGone: () => request.signal.aborted }
  if (body === null || body instanceof Uint8Array) return { ...facts, body, isPartial: false }
  if (body.locked) return { ...facts, body: null, isPartial: true }
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  let bytes = 0
  while (bytes < SCAN_MAX_BYTES) {
    const { done, value } = await reader.read()
    if (done) break
    chunks.push(value)
    bytes += value.length
  }
  await reader.cancel()
  return { ...facts, body: concat(chunks, bytes), isPartial: true }
}

/** @param isSecond The server refused the token of the first one. */
async function forward(
  deps: ProxyDeps,
  records: Records,
  exchange: Exchange,
  to: Forward,
  body: Body,
  isSecond = false,
): Promise<Response> {
  const { request, head } = exchange
  // It may have left while something was waited for: then nothing is done in its name (GW-15).
  if (request.signal.aborted) return refused(deps, records, exchange, to, CLIENT_GONE, body)
  const abort = new AbortController()
  let timedOut = false
  const cancel = deps.runtime.after(deps.firstByteTimeoutMs, () => {
    timedOut = true
    abort.abort()
  })
  request.signal.addEventListener('abort', () => abort.abort(), { once: true })
  const fail = (reason: FailureReason): Response => {
    const id = body instanceof Uint8Array ? scanMessage(body, true).id : undefined
    return refused(deps, records, exchange, to, failureAnswer(reason, to.route.kind, id), body)
  }
  let answer: Response
  try {
    answer = await deps.send({
      url: to.route.upstream.origin + to.path,
      method: request.method,
      headers: toHeaders(forwardHeaders(exchange.headers, head, to, !(body instanceof Uint8Array))),
      body,
      redirect: 'manual',
      signal: abort.signal,
    })
  } catch (error) {
    if (timedOut) return fail('upstream_timeout')
    const sent = !(error instanceof UpstreamError && error.code === 'ERR_UPSTREAM_CONNECT')
    return fail(sent ? 'upstream_failed' : 'upstream_connect')
  } finally {
    cancel()
  }
  const { status } = answer
  const sessionId = answer.headers.get('mcp-session-id')
  if (!to.stateless && sessionId !== null && !isSessionId(sessionId)) {
    abort.abort()
    return fail('upstream_failed')
  }
  const challenge = answer.headers.get('www-authenticate')
  if (to.session === undefined || !isRefusalOfToken(to, status, challenge)) {
    return relay(deps, records, exchange, to, answer, body)
  }
  abort.abort()
  const { connections, credentials } = deps.view
  if (to.credential?.accessToken === undefined || connections === undefined) {
    credentials.forget(to.session, to.route.connector)
    return fail('upstream_unauthorized')
  }
  const shown = await shownOf(exchange, body)
  const outcome = await connections.refused(to, shown, { status, challenge, isSecond })
  if ('status' in outcome) return refused(deps, records, exchange, to, outcome, body)
  if (shown.isPartial) return fail('upstream_unauthorized')
  const again = { ...to, credential: outcome.credential }
  return forward(deps, records, exchange, again, body, true)
}

function relay(
  deps: ProxyDeps,
  records: Records,
  exchange: Exchange,
  to: Forward,
  answer: Response,
  body: Body,
): Response {
  const { head } = exchange
  const { route, session, stateless, upstreamSessionId, renew } = to
  const cors = head.origin !== undefined && route.kind !== 'public'
  const from = Object.fromEntries(answer.headers)
  const facts = responseHeaders(from, cors, session !== undefined, route.kind === 'mcp')
  const headers = facts.headers
  if (facts.sessionId !== undefined && !stateless && session !== undefined) {
    const shown =
      facts.sessionId === upstreamSessionId
        ? head.sessionId
        : deps.view.sessionIds.seal(
            facts.sessionId,
            session,
            route.connector,
            route.connector.auth === 'oauth' &&
              body instanceof Uint8Array &&
              opensUrlsLater(body, head),
          )
    if (shown !== undefined) headers.push('mcp-session-id', shown)
  }
  if (cors && head.origin !== undefined) headers.push(...corsHeaders(head.origin))
  records.forwarded(factsOf(deps, exchange, to, answer.status), detailOf(head, route.kind, body))
  if (session !== undefined) deps.view.settled(session, renew)
  const isEmpty = answer.body === null || [204, 205, 304].includes(answer.status)
  const isLong = facts.eventStream || !((facts.contentLength ?? Infinity) <= SHORT_MAX_BYTES)
  const stream =
    !isEmpty && isLong && session !== undefined
      ? answer.body.pipeThrough(
          facts.eventStream ? endWhenRevoked(deps, session) : cutWhenEnded(deps, session),
        )
      : answer.body
  return new Response(isEmpty ? null : stream, {
    status: answer.status,
    headers: toHeaders(headers),
  })
}

/** Each event is sent only while its token is good (X2), and while it ends some day (O14). */
function endWhenRevoked(
  { view }: ProxyDeps,
  session: NonNullable<Forward['session']>,
): TransformStream<Uint8Array, Uint8Array> {
  const boundary = new EventBoundary()
  return new TransformStream({
    transform(chunk, controller) {
      boundary.read(chunk)
      if (boundary.isTooLong) {
        controller.error(new TypeError('the event is too long'))
        return
      }
      const ended = session.expiresAtMs <= view.nowMs() || view.marked(session) !== false
      if (ended) controller.terminate()
      else controller.enqueue(chunk)
    },
  })
}

/** The client must see that it is cut. */
function cutWhenEnded(
  { view }: ProxyDeps,
  session: NonNullable<Forward['session']>,
): TransformStream<Uint8Array, Uint8Array> {
  let isFirst = true
  return new TransformStream({
    transform(chunk, controller) {
      if (!isFirst && hasEnded(view, session))
        controller.error(new TypeError('the token has ended'))
      else controller.enqueue(chunk)
      isFirst = false
    },
  })
}

function refused(
  deps: ProxyDeps,
  records: Records,
  exchange: Exchange,
  to: Forward | Reconnect,
  answer: Answer,
  body?: Body,
): Response {
  const reason: RefusalReason = answer.reason
  records.forwarded(factsOf(deps, exchange, to, answer.status), {
    ...detailOf(exchange.head, to.route.kind, body),
    reason,
  })
  if (to.session !== undefined) deps.view.settled(to.session, to.renew)
  return toResponse(answer, exchange, exchange.origin)
}

function factsOf(
  { runtime }: ProxyDeps,
  { request, requestId, startedAtMs }: Exchange,
  { route, session }: Pick<Forward, 'session'> & { readonly route: Forward['route'] | undefined },
  status: number,
): Parameters<Records['forwarded']>[0] {
  const durationMs = runtime.monotonicMs() - startedAtMs
  return { requestId, httpMethod: request.method, route, session, status, durationMs }
}

function detailOf(head: Head, kind: string, body: unknown): CallDetail {
  const bytes = kind === 'mcp' && body instanceof Uint8Array ? body : undefined
  const scanned = bytes === undefined ? undefined : scanMessage(bytes)
  const found =
    head.mcpMethod === undefined ? scanned : { method: head.mcpMethod, name: head.mcpName }
  return {
    method: recordable(found?.method),
    name: recordable(found?.name),
    firstByteMs: undefined,
    reason: undefined,
  }
}

function toResponse(
  answer: Answer,
  { requestId, request }: Exchange,
  origin: string | undefined,
): Response {
  const headers = toHeaders(answer.headers)
  headers.set('x-request-id', requestId)
  const cors = origin === undefined ? [] : corsHeaders(origin)
  for (let index = 0; index < cors.length; index += 2) {
    headers.set(cors[index] ?? '', cors[index + 1] ?? '')
  }
  const isEmpty = answer.status === 204 || request.method === 'HEAD'
  return new Response(isEmpty ? null : answer.body, { status: answer.status, headers })
}

function toHeaders(flat: readonly string[]): Headers {
  const headers = new Headers()
  for (let index = 0; index < flat.length; index += 2) {
    headers.append(flat[index] ?? '', flat[index + 1] ?? '')
  }
  return headers
}

/** Path and query as the platform routed them: what is judged is what is sent. */
function targetOf(url: string): string {
  const { pathname, search } = new URL(url)
  return pathname + search
}

type Body = Uint8Array | ReadableStream<Uint8Array> | null

/** A stream is never asked for where a body is inspected; if it were, it would be judged as empty. */
function wholeOf(body: Body): Uint8Array | null {
  return body instanceof Uint8Array ? body : null
}

async function readBody(
  request: Request,
  head: Head,
  maxBytes: number,
  bufferedMaxBytes: number,
): Promise<Uint8Array | ReadableStream<Uint8Array> | null | 'body_too_large'> {
  const { body } = request
  if (body === null || request.method === 'GET' || request.method === 'HEAD') return null
  if (head.contentLength === undefined || head.contentLength > BUFFERED_MAX_BYTES) {
    return bufferOrStream(body, maxBytes, bufferedMaxBytes)
  }
  const bytes = new Uint8Array(await request.arrayBuffer())
  return bytes.length === 0 ? null : bytes
}

/** Reads ahead as far as a small body goes; a longer one goes on as a stream with a limit. */
async function bufferOrStream(
  body: ReadableStream<Uint8Array>,
  maxBytes: number,
  bufferedMaxBytes: number,
): Promise<Uint8Array | ReadableStream<Uint8Array> | 'body_too_large'> {
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  let bytes = 0
  while (bytes <= bufferedMaxBytes) {
    const { done, value } = await reader.read()
    if (done) return concat(chunks, bytes)
    chunks.push(value)
    bytes += value.length
    if (bytes > maxBytes) {
      await reader.cancel()
      return 'body_too_large'
    }
  }
  return new ReadableStream({
    async pull(controller) {
      const kept = chunks.shift()
      if (kept !== undefined) return controller.enqueue(kept)
      const { done, value } = await reader.read()
      if (done) return controller.close()
      bytes += value.length
      if (bytes > maxBytes) {
        controller.error(new TypeError('the body is too large'))
        await reader.cancel()
      } else controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason),
  })
}

function concat(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}
