/**
 * The one way out: every request of our own passes here and nowhere else.
 *
 * Promises: only allowed URLs and addresses, no redirects, a total deadline, a cap on decoded bytes,
 * no ambient credentials, one `remote.called` event per exchange with the origin and never a path
 * or query. Never retries, never caches, never reads a body past its cap.
 * @see requirements NET-01 to NET-07, threats S1 to S5 and S9
 */
import type { Breaker, Breakers, Pass } from '../cache/breaker.ts'
import { RETRY_AFTER_MAX_MS } from '../cache/breaker.ts'
import { UpstreamError, type UpstreamErrorCode } from '../errors.ts'
import type { Emit, Fetch, FetchRequest, FetchResponse, Runtime } from '../ports.ts'
import { readText } from './body.ts'
import { retryAfterMs } from './cache-control.ts'
import { FetchFailure } from './failure.ts'
import { type EgressPolicy, judgeUrl } from './policy.ts'

/** What an exchange is for: a bounded word, label of metrics and field of events. */
export type Operation =
  | 'discovery'
  | 'client-document'
  | 'jwks'
  | 'token'
  | 'userinfo'
  | 'check'
  | 'revoke'
  | 'introspection'
  | 'revocations'
  | 'registration'
  | 'pushed-request'
  | 'webhook'

export interface EgressRequest {
  readonly operation: Operation
  readonly method: FetchRequest['method']
  readonly url: string | URL
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** From the call to the last byte. */
  readonly timeoutMs: number
  /** Of the body, decoded. */
  readonly maxBytes: number
  /** The caller gives up: the exchange is aborted and rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** A stranger named the URL: of what is approved only the operator's allow-list counts for it. */
  readonly publicOnly?: boolean
  /**
   * URL of the server that named this one, or a word for strangers. At another origin than its own, a
   * failure counts against this naming alone: or a server could keep us from somebody else's.
   */
  readonly namedBy?: string
  /** A redirect is answered with its headers and without its body, for a caller that judges it (NET-03). */
  readonly answersRedirects?: boolean
}

export interface EgressResponse {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly url: string
  readonly elapsedMs: number
}

export interface Egress {
  /**
   * One exchange. Every status but 3xx is returned (304 too: it answers a condition).
   * @throws {UpstreamError} for refused URLs and addresses, transport, deadline, size and redirects.
   */
  exchange(request: EgressRequest): Promise<EgressResponse>
}

export interface EgressOptions extends EgressPolicy {
  /** Of the operator's allow-list: may be named by strangers, too. Default none. */
  readonly allowedOrigins?: ReadonlySet<string>
  readonly fetch: Fetch
  readonly runtime: Pick<Runtime, 'nowMs' | 'monotonicMs' | 'after'>
  readonly emit: Emit
  readonly connectTimeoutMs: number
  readonly breakers?: Breakers
}

const USER_AGENT = 'postern'
const NO_ORIGINS: ReadonlySet<string> = new Set()
/** A 429 to an operation without a user's token is meant for our address: the whole origin waits. */
const ANONYMOUS: ReadonlySet<Operation> = new Set(['discovery', 'client-document', 'jwks'])
/** Failures that speak of the origin's health; the others show that it lives or was never asked. */
const UNHEALTHY: ReadonlySet<UpstreamErrorCode> = new Set([
  'ERR_UPSTREAM_TIMEOUT',
  'ERR_UPSTREAM_CONNECT',
  'ERR_UPSTREAM_TLS',
  'ERR_UPSTREAM_DNS',
  'ERR_UPSTREAM_RESET',
])
/** Headers that only `egress` and the port may set. */
const RESERVED_HEADERS: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'accept-encoding',
  'cookie',
  'expect',
  'upgrade',
  'te',
  'trailer',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
])
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

export function createEgress(options: EgressOptions): Egress {
  return { exchange: (request) => new Exchange(request, options).run() }
}

class Exchange {
  readonly #request: EgressRequest
  readonly #options: EgressOptions
  readonly #startedMs: number
  readonly #abort = new AbortController()
  #origin = 'invalid'
  #timedOut = false

  constructor(request: EgressRequest, options: EgressOptions) {
    this.#request = request
    this.#options = options
    this.#startedMs = options.runtime.monotonicMs()
  }

  async run(): Promise<EgressResponse> {
    const request = this.#prepare()
    this.#request.signal?.throwIfAborted()
    const breaker = this.#options.breakers?.for(this.#origin, this.#apart())
    const pass = this.#enter(breaker)
    const release = this.#armDeadline()
    try {
      // The race holds the deadline even against a port or a stream that ignores its signal.
      const answer = await Promise.race([this.#send(request), rejection(this.#abort.signal)])
      this.#settle(answer, breaker, pass)
      return answer
    } catch (error) {
      throw this.#fail(error, pass)
    } finally {
      release()
    }
  }

  #prepare(): FetchRequest {
    const { method, url: input, headers = {}, body } = this.#request
    const { publicOnly = false } = this.#request
    const { allowedOrigins = NO_ORIGINS } = this.#options
    const policy = publicOnly
      ? { ...this.#options, approvedOrigins: allowedOrigins }
      : this.#options
    const verdict = judgeUrl(input, policy)
    if (!verdict.allowed) {
      this.#origin = verdict.origin
      throw this.#report(this.#error(verdict.code), verdict.reason)
    }
    this.#origin = verdict.url.origin
    const clean = cleanHeaders(headers)
    if (clean === undefined) throw this.#report(this.#error('ERR_UPSTREAM_URL'), 'header')
    return {
      method,
      url: verdict.url,
      headers: clean,
      body,
      signal: this.#abort.signal,
      connectTimeoutMs: Math.min(this.#options.connectTimeoutMs, this.#request.timeoutMs),
      addresses: verdict.addresses,
    }
  }

  #apart(): string | undefined {
    const { namedBy } = this.#request
    if (namedBy === undefined || URL.parse(namedBy)?.origin === this.#origin) return undefined
    return namedBy
  }

  #enter(breaker: Breaker | undefined): Pass | undefined {
    if (breaker === undefined) return undefined
    const pass = breaker.enter()
    if (pass === undefined) {
      this.#count('breaker')
      throw this.#error('ERR_UPSTREAM_BREAKER', { retryAfterMs: breaker.retryAfterMs() })
    }
    return pass
  }

  /** The total deadline and the caller's own signal both end the socket. */
  #armDeadline(): () => void {
    const { signal, timeoutMs } = this.#request
    const onAbort = (): void => this.#abort.abort(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    const disarm = this.#options.runtime.after(timeoutMs, () => {
      this.#timedOut = true
      this.#abort.abort(new FetchFailure('ERR_UPSTREAM_TIMEOUT', 'deadline'))
    })
    return () => {
      disarm()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  async #send(request: FetchRequest): Promise<EgressResponse> {
    const { status, headers, body }: FetchResponse = await this.#options.fetch(request)
    const url = typeof this.#request.url === 'string' ? this.#request.url : this.#request.url.href
    if (status >= 300 && status < 400 && status !== 304) {
      if (this.#request.answersRedirects === true) {
        await body?.cancel().catch(() => undefined)
        return { status, headers, text: '', url, elapsedMs: this.#elapsedMs() }
      }
      const refusal = this.#error('ERR_UPSTREAM_REDIRECT', { status })
      this.#abort.abort(refusal)
      throw refusal
    }
    const text = await readText(body, headers, this.#request.maxBytes, this.#abort)
    return { status, headers, text, url, elapsedMs: this.#elapsedMs() }
  }

  #settle(answer: EgressResponse, breaker: Breaker | undefined, pass: Pass | undefined): void {
    const { status } = answer
    const waitMs = retryAfterMs(answer.headers, this.#options.runtime.nowMs(), RETRY_AFTER_MAX_MS)
    if (status >= 500) pass?.fail()
    else pass?.succeed()
    const originMustWait =
      status === 503 || (status === 429 && ANONYMOUS.has(this.#request.operation))
    if (originMustWait && waitMs !== undefined) breaker?.hold(waitMs)
    this.#event(status < 400 ? 'ok' : status < 500 ? 'status-4xx' : 'status-5xx', { status })
  }

  #fail(error: unknown, pass: Pass | undefined): unknown {
    const { signal } = this.#request
    if (!this.#timedOut && signal?.aborted === true) {
      pass?.abandon()
      this.#event('aborted', {})
      return signal.reason
    }
    const failure =
      error instanceof UpstreamError ? error : this.#error(this.#codeOf(error), { cause: error })
    if (UNHEALTHY.has(failure.code)) pass?.fail()
    else if (failure.code === 'ERR_UPSTREAM_ADDRESS') pass?.abandon()
    else pass?.succeed()
    return this.#report(failure, error instanceof FetchFailure ? error.reason : undefined)
  }

  #codeOf(error: unknown): UpstreamErrorCode {
    if (this.#timedOut) return 'ERR_UPSTREAM_TIMEOUT'
    return error instanceof FetchFailure ? error.code : 'ERR_UPSTREAM_CONNECT'
  }

  #report(error: UpstreamError, reason: string | undefined): UpstreamError {
    this.#event(outcomeOf(error.code), {
      reason: reason ?? outcomeOf(error.code),
      status: error.status,
    })
    return error
  }

  #event(outcome: string, detail: { reason?: string; status?: number }): void {
    const { operation } = this.#request
    const durationMs = this.#elapsedMs()
    this.#count(outcome)
    this.#options.emit.observe('postern_remote_call_duration_seconds', durationMs / 1000, {
      operation,
    })
    this.#options.emit.event({
      type: 'remote.called',
      operation,
      origin: this.#origin,
      outcome,
      durationMs,
      ...detail,
    })
  }

  #count(outcome: string): void {
    const { operation } = this.#request
    this.#options.emit.count('postern_remote_calls_total', { operation, outcome })
  }

  #elapsedMs(): number {
    return Math.round(this.#options.runtime.monotonicMs() - this.#startedMs)
  }

  #error(
    code: UpstreamErrorCode,
    detail: { status?: number; retryAfterMs?: number; cause?: unknown } = {},
  ): UpstreamError {
    const { operation } = this.#request
    return new UpstreamError(code, {
      operation,
      origin: this.#origin,
      elapsedMs: this.#elapsedMs(),
      ...detail,
    })
  }
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

/** `undefined` when a name or value could end a header line (S11) or is ours to set (NET-05). */
function cleanHeaders(
  headers: Readonly<Record<string, string>>,
): Record<string, string> | undefined {
  const clean: Record<string, string> = {
    accept: 'application/json',
    'user-agent': USER_AGENT,
    // Nothing to unpack, nothing to explode; an encoded answer is refused (S5).
    'accept-encoding': 'identity',
  }
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    if (!HEADER_NAME.test(lower) || !HEADER_VALUE.test(value)) return undefined
    if (!RESERVED_HEADERS.has(lower)) clean[lower] = value
  }
  return clean
}

/** `ERR_UPSTREAM_TOO_LARGE` becomes `too-large`. */
function outcomeOf(code: UpstreamErrorCode): string {
  return code.slice('ERR_UPSTREAM_'.length).toLowerCase().replaceAll('_', '-')
}
