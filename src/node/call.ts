/**
 * One forwarded call on Node: request body out, answer back, with back-pressure both ways.
 *
 * Everything is decided before it starts. Client gone: the upstream exchange is closed. Upstream
 * gone: an error with the request's id while nothing was answered, a cut connection after that, so
 * that a truncated answer is never taken for a whole one. Sent a second time only as GW-26 allows.
 * Where the caller has no usable connection, the body is read, nothing is sent, and the answer says how
 * to get one (`gateway/connection-calls.ts`).
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import type { UpstreamError } from '../errors.ts'
import {
  ANSWERS,
  type Answer,
  corsHeaders,
  type FailureReason,
  failureAnswer,
  type RefusalReason,
} from '../gateway/answers.ts'
import {
  isRefusalOfToken,
  mayBeReturn,
  type Shown,
  type UpstreamRefusal,
} from '../gateway/connection-calls.ts'
import type { Decision, Forward, Reconnect } from '../gateway/decide.ts'
import { EventBoundary } from '../gateway/event-boundary.ts'
import { forwardHeaders } from '../gateway/forward.ts'
import { type Head, responseHeaders } from '../gateway/headers.ts'
import { hasEnded } from '../gateway/long-answers.ts'
import { isReadOnly, type Message, scanMessage } from '../gateway/message.ts'
import { opensUrlsLater } from '../gateway/reconnect.ts'
import { type Records, recordable } from '../gateway/records.ts'
import { inspectBody } from '../gateway/scope-check.ts'
import { isSessionId } from '../gateway/session-id.ts'
import type { GatewayView } from '../gateway/view.ts'
import type { Session } from '../issuer/authenticate.ts'
import type { OpenStream, OpenStreams } from './open-streams.ts'
import { finish, isUploading, reply } from './reply.ts'
import { type BodyOwner, BUFFERED_MAX_BYTES, RequestBody } from './request-body.ts'
import type { Exchange, Sink, Upstreams } from './upstreams.ts'

/** What all calls of a carrier share. */
export interface CallDeps {
  readonly view: GatewayView
  readonly upstreams: Upstreams
  readonly records: Records
  readonly streams: OpenStreams
  /** Decides anew, loading what is cold; a `wait` that is left could not be made known. */
  readonly decideAgain: (incoming: Incoming) => Promise<Decision>
}

/** A request that was read and may be forwarded. */
export interface Incoming {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly head: Head
  /** Headers to forward, name and value. */
  readonly headers: string[]
  readonly requestId: string
  readonly startedAtMs: number
  /** The client waits for `100 Continue` before it sends its body. */
  readonly expects: boolean
}

/** A page of a refused origin must not read even the refusal (W8); most calls come from no page. */
export function readableBy(
  { origin }: Head,
  view: Pick<GatewayView, 'originAllowed'>,
): { readonly corsOrigin?: string } {
  return origin === undefined || !view.originAllowed(origin) ? {} : { corsOrigin: origin }
}

/** nginx's word for a client that left; only ever in records. */
const CLIENT_GONE_STATUS = 499

export class Call implements Sink, BodyOwner, OpenStream {
  readonly #deps: CallDeps
  readonly #in: Incoming
  #to: Forward | Reconnect
  readonly #method: string
  #exchange: Exchange | undefined
  #reader: RequestBody | undefined
  #buffered: Buffer | undefined
  #named: Pick<Message, 'method' | 'name'> | undefined
  #retried = false
  #wasRefused = false
  #isStreamed = false
  #isPartial = false
  #done = false
  #status = 0
  #firstByteMs: number | undefined
  #contentLength: number | undefined
  #received = 0
  #boundary: EventBoundary | undefined
  #coded = false
  #reserved = false
  #lastByteAtMs = 0
  #waitsForDrain = false

  constructor(deps: CallDeps, incoming: Incoming, to: Forward | Reconnect) {
    this.#deps = deps
    this.#in = incoming
    this.#to = to
    this.#method = incoming.request.method ?? 'GET'
  }

  begin(): void {
    const { head, request } = this.#in
    const { session, route } = this.#to
    if (session !== undefined && this.#method === 'GET' && route.kind === 'mcp') {
      this.#reserved = this.#deps.streams.reserve(session.userId)
      if (!this.#reserved) {
        this.#refuse(ANSWERS.streams_per_user)
        return
      }
    }
    if (head.chunked || (head.contentLength ?? 0) > 0) {
      const { requestBodyMaxBytes } = this.#deps.view
      const isAnswer = this.#to.kind === 'reconnect'
      // Of a message that only needs an answer, no more is read than one that may be repeated.
      const maxBytes = isAnswer
        ? Math.min(BUFFERED_MAX_BYTES, requestBodyMaxBytes)
        : requestBodyMaxBytes
      this.#reader = new RequestBody(request, this, maxBytes, isAnswer || this.#to.inspect)
      this.#reader.begin(head.chunked || isAnswer ? undefined : head.contentLength)
    } else this.bodyReady(null)
  }

  /** The client's connection is gone, or its answer is out. */
  closed(): void {
    if (this.#done) return
    this.#exchange?.abort()
    this.#record(this.#status === 0 ? CLIENT_GONE_STATUS : this.#status, 'client_gone')
  }

  bodyReady(body: Buffer | Readable | null): void {
    if (Buffer.isBuffer(body)) this.#buffered = body
    else if (body !== null) this.#isStreamed = true
    if (this.#to.inspect && !this.#inspected(body)) return
    if (this.#to.kind === 'reconnect' || this.#isReturn()) this.#settle()
    else this.#send(body)
  }

  /** The answer to a question of ours comes back with its request. */
  #isReturn(): boolean {
    return (
      this.#to.route.connector.auth === 'oauth' &&
      this.#buffered !== undefined &&
      mayBeReturn(this.#buffered)
    )
  }

  #settle(): void {
    const { connections } = this.#deps.view
    if (connections === undefined) {
      this.#refuse(ANSWERS.credential)
      return
    }
    this.#later(connections.settle(this.#to, this.#shown()), async (outcome) => {
      if ('status' in outcome) this.#refuse(outcome)
      else await this.#resume(Buffer.from(outcome.body))
    })
  }

  /** The connection is there: the call is decided anew, for much may have changed, and made once. */
  async #resume(body: Buffer): Promise<void> {
    const decision = await this.#deps.decideAgain(this.#in)
    if (this.#done) return
    if (decision.kind === 'refuse') this.#refuse(decision.answer)
    else if (decision.kind !== 'forward') this.#refuse(ANSWERS.credential)
    else {
      this.#to = decision
      this.#buffered = body
      this.#send(body)
    }
  }

  #shown(): Shown {
    const { head } = this.#in
    const body = this.#buffered ?? this.#reader?.peek() ?? null
    return {
      head,
      httpMethod: this.#method,
      body,
      isPartial: this.#isPartial || this.#isStreamed,
      // A process that ends does not wait for people: they are asked again.
      isGone: () => this.#done || this.#deps.streams.draining,
    }
  }

  /** A failure in between is our bug, and an answer all the same. */
  #later<T>(work: Promise<T>, use: (outcome: T) => void | Promise<void>): void {
    work
      .then((outcome) => (this.#done ? undefined : use(outcome)))
      .catch(() => {
        if (!this.#done) this.#refuse(ANSWERS.internal)
      })
  }

  /** With a scope table: the message is read once, here, for the decision and for the record. */
  #inspected(body: Buffer | Readable | null): boolean {
    const whole = body === null || Buffer.isBuffer(body) ? body : null
    const found = inspectBody(this.#to, this.#in.head, whole)
    if ('answer' in found) {
      this.#refuse(found.answer)
      return false
    }
    this.#named = found.message
    return true
  }

  bodyFault(fault: 'body_too_large' | 'body_broken'): void {
    this.#exchange?.abort()
    if (this.#to.kind === 'reconnect' && fault === 'body_too_large') {
      this.#isPartial = true
      this.#settle()
    } else if (this.#in.response.headersSent) this.#cut(fault)
    else this.#refuse(ANSWERS[fault])
  }

  #send(body: Buffer | Readable | null, fresh = false): void {
    const { route, path } = this.#to
    const to = this.#to
    if (to.kind !== 'forward') throw new TypeError('nothing is sent without a credential')
    const headers = forwardHeaders(this.#in.headers, this.#in.head, to, !Buffer.isBuffer(body))
    const kind = this.#reserved ? 'stream' : 'call'
    const request = { path, method: this.#method, headers, body, fresh }
    const exchange = this.#deps.upstreams.open(route.upstream, kind, request, this)
    if (exchange === 'full') this.#failWith('upstream_full')
    else if (exchange === 'unreachable') this.#failWith('upstream_connect')
    else this.#exchange = exchange
  }

  start(status: number, from: Record<string, string | string[] | undefined>): void {
    if (this.#done) return
    const { head, request, response } = this.#in
    const { route, session } = this.#to
    this.#firstByteMs = performance.now() - this.#in.startedAtMs
    if (status === 401 || status === 403) {
      const challenge = from['www-authenticate']
      if (session !== undefined && isRefusalOfToken(this.#to, status, challenge)) {
        this.#refusedUpstream(session, { status, challenge, isSecond: this.#wasRefused })
        return
      }
    }
    const cors = head.origin !== undefined && route.kind !== 'public'
    const facts = responseHeaders(from, cors, session !== undefined, route.kind === 'mcp')
    if (!this.#to.stateless && facts.sessionId !== undefined && !isSessionId(facts.sessionId)) {
      this.#exchange?.abort()
      this.#failWith('upstream_failed')
      return
    }
    const sessionId = this.#shownSessionId(facts.sessionId)
    if (facts.eventStream && session !== undefined && !this.#openStream(session, facts.coded)) {
      this.#exchange?.abort()
      this.#refuse(ANSWERS.streams_per_user)
      return
    }
    const headers = facts.headers
    if (sessionId !== undefined) headers.push('mcp-session-id', sessionId)
    if (cors && head.origin !== undefined) headers.push(...corsHeaders(head.origin))
    if (isUploading(request, head) || this.#deps.streams.draining) response.shouldKeepAlive = false
    this.#status = status
    this.#contentLength = this.#method === 'HEAD' ? undefined : facts.contentLength
    response.writeHead(status, headers)
    // A stream's head must not wait for its first event.
    if (facts.eventStream) response.flushHeaders()
  }

  data(chunk: Buffer): boolean {
    if (this.#done) return true
    const { response } = this.#in
    this.#received += chunk.length
    if (this.#contentLength !== undefined && this.#received >= this.#contentLength) {
      this.#finish(chunk)
      return true
    }
    if (this.#boundary !== undefined) {
      this.#boundary.read(chunk)
      this.#lastByteAtMs = performance.now()
      if (this.#boundary.isTooLong) {
        this.#exchange?.abort()
        this.#cut('event_too_large')
        return true
      }
    } else if (this.#received > chunk.length && hasEnded(this.#deps.view, this.#to.session)) {
      this.#exchange?.abort()
      this.#cut('token_revoked')
      return true
    }
    if (response.write(chunk)) return true
    this.#pause()
    return false
  }

  end(): void {
    if (!this.#done) this.#finish(undefined)
  }

  fail(error: UpstreamError): void {
    if (this.#done) return
    if (this.#in.response.headersSent) this.#cut('upstream_failed')
    else if (this.#maySendAgain(error)) {
      this.#retried = true
      this.#send(this.#buffered ?? null, true)
    } else if (error.code === 'ERR_UPSTREAM_TIMEOUT') this.#failWith('upstream_timeout')
    else this.#failWith(this.#exchange?.sent === true ? 'upstream_failed' : 'upstream_connect')
  }

  /** Only what cannot have an effect, and only after a reset before any byte of an answer. */
  #maySendAgain({ code }: UpstreamError): boolean {
    if (this.#retried || code !== 'ERR_UPSTREAM_RESET' || this.#to.route.kind !== 'mcp')
      return false
    if (this.#method === 'GET') return true
    return this.#method === 'POST' && this.#buffered !== undefined && isReadOnly(this.#buffered)
  }

  /** The server behind refused our identity: its challenge is ours to read, not the client's. */
  #refusedUpstream(session: Session, refusal: UpstreamRefusal): void {
    this.#exchange?.abort()
    this.#exchange = undefined
    const to = this.#to
    const { connections, credentials } = this.#deps.view
    if (
      to.kind !== 'forward' ||
      to.credential?.accessToken === undefined ||
      connections === undefined
    ) {
      credentials.forget(session, to.route.connector)
      this.#failWith('upstream_unauthorized')
      return
    }
    this.#wasRefused = true
    this.#later(connections.refused(to, this.#shown(), refusal), (outcome) => {
      if ('status' in outcome) this.#refuse(outcome)
      else if (this.#isStreamed) this.#failWith('upstream_unauthorized')
      else {
        this.#to = { ...to, credential: outcome.credential }
        this.#send(this.#buffered ?? null)
      }
    })
  }

  #shownSessionId(upstreamId: string | undefined): string | undefined {
    const { session, stateless, upstreamSessionId, route } = this.#to
    if (upstreamId === undefined || stateless || session === undefined) return undefined
    if (upstreamId === upstreamSessionId) return this.#in.head.sessionId
    const opensUrls =
      route.connector.auth === 'oauth' &&
      this.#buffered !== undefined &&
      opensUrlsLater(this.#buffered, this.#in.head)
    return this.#deps.view.sessionIds.seal(upstreamId, session, route.connector, opensUrls)
  }

  #openStream(session: Session, coded: boolean): boolean {
    if (!this.#reserved) {
      this.#reserved = this.#deps.streams.reserve(session.userId)
      if (!this.#reserved) return false
    }
    // It may live for hours: what only the request needed is let go. Nothing is sent again now.
    this.#named ??= this.#message(this.#in.head)
    this.#in.headers.length = 0
    this.#buffered = undefined
    this.#coded = coded
    this.#boundary = new EventBoundary()
    this.#lastByteAtMs = performance.now()
    this.#exchange?.becomeStream()
    this.#deps.streams.add(this)
    return true
  }

  #pause(): void {
    if (this.#waitsForDrain) return
    this.#waitsForDrain = true
    this.#in.response.once('drain', () => {
      this.#waitsForDrain = false
      this.#exchange?.resume()
    })
  }

  #finish(last: Buffer | undefined): void {
    const { head, request, response } = this.#in
    this.#record(this.#status)
    if (this.#contentLength === undefined && isUploading(request, head)) {
      // A chunked answer needs its end to be whole; the rest of the upload is cut with it.
      response.end(last)
    } else finish(request, response, head, last)
  }

  #failWith(reason: FailureReason): void {
    const { kind } = this.#to.route
    const bytes = this.#buffered ?? this.#reader?.peek()
    const id = kind === 'mcp' && bytes !== undefined ? scanMessage(bytes, true).id : undefined
    this.#refuse(failureAnswer(reason, kind, id))
  }

  #refuse(answer: Answer): void {
    const { request, response, requestId, head } = this.#in
    this.#reader?.abandon()
    this.#record(answer.status, answer.reason)
    if (this.#deps.streams.draining) response.shouldKeepAlive = false
    const cors = readableBy(head, this.#deps.view)
    reply(request, response, answer, { head, requestId, ...cors })
  }

  #cut(reason: RefusalReason): void {
    this.#record(this.#status, reason)
    this.#in.response.destroy()
  }

  #record(status: number, reason?: RefusalReason): void {
    if (this.#done) return
    this.#done = true
    const { head, requestId, request, startedAtMs } = this.#in
    const { route, session, renew } = this.#to
    this.#deps.streams.remove(this)
    if (this.#reserved && session !== undefined) this.#deps.streams.release(session.userId)
    const durationMs = performance.now() - startedAtMs
    const httpMethod = this.#method
    const found = this.#named ?? this.#message(head)
    this.#deps.records.forwarded(
      { requestId, httpMethod, route, session, status, durationMs },
      {
        method: recordable(found?.method),
        name: recordable(found?.name),
        firstByteMs: this.#firstByteMs,
        reason,
      },
    )
    if (session !== undefined) this.#deps.view.settled(session, renew)
    if (!request.complete) this.#reader?.abandon()
  }

  /** From the headers of the modern revision, else from the body: for the record, never to decide. */
  #message(head: Head): Pick<Message, 'method' | 'name'> | undefined {
    if (head.mcpMethod !== undefined) return { method: head.mcpMethod, name: head.mcpName }
    if (this.#buffered === undefined || this.#to.route.kind !== 'mcp') return undefined
    return scanMessage(this.#buffered)
  }

  // As an open stream. ----------------------------------------------------------------------------

  get session(): Session {
    if (this.#to.session === undefined) throw new TypeError('a public route has no stream')
    return this.#to.session
  }

  get idleKind(): boolean {
    return this.#method === 'GET'
  }

  get sessionId(): string | undefined {
    return this.#in.head.sessionId
  }

  get between(): boolean {
    return !this.#coded && !this.#in.response.writableNeedDrain && this.#boundary?.between === true
  }

  get silentMs(): number {
    return performance.now() - this.#lastByteAtMs
  }

  comment(text: string): void {
    this.#lastByteAtMs = performance.now()
    this.#in.response.write(text)
  }

  /** Ended by us, with its terminator: revoked, expired or draining. */
  endStream(): void {
    this.#exchange?.abort()
    this.#finish(undefined)
  }

  cutStream(): void {
    this.#exchange?.abort()
    this.#cut('token_revoked')
  }
}
