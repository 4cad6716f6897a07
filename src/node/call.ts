/**
 * One forwarded call on Node: request body out, answer back, with back-pressure both ways.
 *
 * Everything is decided before it starts. Client gone: the upstream exchange is closed. Upstream
 * gone: an error with the request's id while nothing was answered, a cut connection after that, so
 * that a truncated answer is never taken for a whole one. Sent a second time only as GW-26 allows.
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
import type { Forward } from '../gateway/decide.ts'
import { forwardHeaders } from '../gateway/forward.ts'
import { type Head, responseHeaders } from '../gateway/headers.ts'
import { isReadOnly, type Message, scanMessage } from '../gateway/message.ts'
import { type Records, recordable } from '../gateway/records.ts'
import { inspectBody } from '../gateway/scope-check.ts'
import type { GatewayView } from '../gateway/view.ts'
import type { Session } from '../issuer/authenticate.ts'
import { EventBoundary } from './event-boundary.ts'
import type { OpenStream, OpenStreams } from './open-streams.ts'
import { finish, isUploading, reply } from './reply.ts'
import { type BodyOwner, RequestBody } from './request-body.ts'
import type { Exchange, Sink, Upstreams } from './upstreams.ts'

/** What all calls of a carrier share. */
export interface CallDeps {
  readonly view: GatewayView
  readonly upstreams: Upstreams
  readonly records: Records
  readonly streams: OpenStreams
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
  readonly #to: Forward
  readonly #method: string
  #exchange: Exchange | undefined
  #reader: RequestBody | undefined
  #buffered: Buffer | undefined
  #named: Pick<Message, 'method' | 'name'> | undefined
  #retried = false
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

  constructor(deps: CallDeps, incoming: Incoming, to: Forward) {
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
      this.#reader = new RequestBody(request, this, requestBodyMaxBytes, this.#to.inspect)
      this.#reader.begin(head.chunked ? undefined : head.contentLength)
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
    if (this.#to.inspect && !this.#inspected(body)) return
    this.#send(body)
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
    if (this.#in.response.headersSent) this.#cut(fault)
    else this.#refuse(ANSWERS[fault])
  }

  #send(body: Buffer | Readable | null, fresh = false): void {
    const { route, path } = this.#to
    const headers = forwardHeaders(
      this.#in.headers,
      this.#in.head,
      this.#to,
      !Buffer.isBuffer(body),
    )
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
    if (status === 401 && session !== undefined) {
      this.#refusedUpstream(session)
      return
    }
    const cors = head.origin !== undefined && route.kind !== 'public'
    const facts = responseHeaders(from, cors, session !== undefined)
    if (facts.eventStream && session !== undefined && !this.#openStream(session, facts.coded)) {
      this.#exchange?.abort()
      this.#refuse(ANSWERS.streams_per_user)
      return
    }
    const headers = facts.headers
    const sessionId = this.#shownSessionId(facts.sessionId)
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
  #refusedUpstream(session: Session): void {
    this.#exchange?.abort()
    this.#deps.view.credentials.forget(session, this.#to.route.connector)
    this.#failWith('upstream_unauthorized')
  }

  #shownSessionId(upstreamId: string | undefined): string | undefined {
    const { session, stateless, upstreamSessionId, route } = this.#to
    if (upstreamId === undefined || stateless || session === undefined) return undefined
    if (upstreamId === upstreamSessionId) return this.#in.head.sessionId
    return this.#deps.view.sessionIds.seal(upstreamId, session, route.connector)
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
