/**
 * Connections to the servers behind: the only file that uses `undici` for the proxy leg.
 *
 * Never a queue: our counters say `full` before anything is dispatched (T2). Calls and streams have
 * pools of their own, HTTP/1.1 only (T12), retired when a storm has left many idle clients (T11).
 * First byte and connect have our own timers, because undici's are coarse and blind to waiting.
 * Addresses outside the configuration are checked as literals and at each connect (T13, T14).
 */

import { lookup as systemLookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import type { Readable } from 'node:stream'
import type { Client, Dispatcher, Pool } from 'undici'
import type { Upstream } from '../connectors/connectors.ts'
import { UpstreamError, type UpstreamErrorCode } from '../errors.ts'
import { isPublicAddress, literalAddress } from '../net/address.ts'
import { loadedUndici, loadUndici } from './undici.ts'

export type ExchangeKind = 'call' | 'stream'

export interface ExchangeRequest {
  readonly path: string
  readonly method: string
  /** Flat name, value pairs. */
  readonly headers: string[]
  readonly body: Buffer | Readable | null
  /** A socket that nobody used before: for a retry. */
  readonly fresh?: boolean
}

/** Receives the answer. `data` returns false to ask for a pause; `resume` lifts it. */
export interface Sink {
  start(status: number, headers: Record<string, string | string[] | undefined>): void
  data(chunk: Buffer): boolean
  end(): void
  fail(error: UpstreamError): void
}

export interface Exchange {
  /** False on failure: nothing was sent, so trying again is safe for any method. */
  readonly sent: boolean
  abort(): void
  resume(): void
  /** The answer turned out to be an event stream: counted as one from here on. */
  becomeStream(): void
}

export interface Upstreams {
  /**
   * @returns `full` when the server has its share of calls or streams (503); `unreachable` for a
   * second after five connects in a row ran into their time limit, so that callers do not each wait.
   */
  open(
    upstream: Upstream,
    kind: ExchangeKind,
    request: ExchangeRequest,
    sink: Sink,
  ): Exchange | 'full' | 'unreachable'
  /** Closes the pools of a server whose address or policy changed; running exchanges finish. */
  retire(upstream: Upstream): void
  close(): Promise<void>
  /** For tests and metrics. */
  counts(upstream: Upstream): { calls: number; streams: number; clients: number }
}

export interface UpstreamOptions {
  readonly firstByteTimeoutMs: number
  readonly connectTimeoutMs: number
  /** Running calls per server. Default 512. */
  readonly callsMax?: number
  /** Open event streams per server. Default 20,000. */
  readonly streamsMax?: number
  /** A pool is replaced after this, so that a changed address is noticed. Default 300,000. */
  readonly clientTtlMs?: number
  /** Certificate authorities for tests and `egress.extraCaFile`, PEM. */
  readonly ca?: string
  readonly lookup?: LookupFunction
}

const CALLS_MAX = 512
const STREAMS_MAX = 20_000
const CLIENT_TTL_MS = 300_000
const KEEP_ALIVE_MS = 4_000
const KEEP_ALIVE_MAX_MS = 60_000
const KEEP_ALIVE_THRESHOLD_MS = 1_000
const HEADER_MAX_BYTES = 16_384
/** A pool keeps every client it ever had: replaced when this many ran and few still do. */
const POOL_CLIENTS_MAX = 256

const CONNECT_TIMEOUTS_MAX = 5
const CIRCUIT_OPEN_MS = 1_000

/** One pool, and how many exchanges it ever ran at once: that is how many clients it keeps. */
interface Slot {
  /** Made at the first exchange, when the library is here. */
  pool: Pool | undefined
  hasEnded: boolean
  readonly madeAtMs: number
  running: number
  peak: number
}

interface Pools {
  readonly upstream: Upstream
  calls: Slot
  streams: Slot
  callsRunning: number
  streamsRunning: number
  connectTimeouts: number
  openUntilMs: number
}

export function createUpstreams(options: UpstreamOptions): Upstreams {
  const byKey = new Map<string, Pools>()
  const newSlot = (): Slot => ({
    pool: undefined,
    hasEnded: false,
    madeAtMs: performance.now(),
    running: 0,
    peak: 0,
  })
  const poolsOf = (upstream: Upstream): Pools => {
    const key = keyOf(upstream)
    const known = byKey.get(key)
    if (known !== undefined) return known
    const made: Pools = {
      upstream,
      calls: newSlot(),
      streams: newSlot(),
      callsRunning: 0,
      streamsRunning: 0,
      connectTimeouts: 0,
      openUntilMs: 0,
    }
    byKey.set(key, made)
    return made
  }
  const shrink = (pools: Pools): void => {
    for (const kind of ['calls', 'streams'] as const) {
      const slot = pools[kind]
      if (slot.peak <= POOL_CLIENTS_MAX || slot.running > slot.peak / 4) continue
      pools[kind] = newSlot()
      letGo(slot)
    }
  }
  // Not undici's `clientTtl`: it costs a stream 16 KB and looks at every client on every call.
  const refresh = (pools: Pools, kind: 'calls' | 'streams'): void => {
    const slot = pools[kind]
    if (performance.now() - slot.madeAtMs < (options.clientTtlMs ?? CLIENT_TTL_MS)) return
    pools[kind] = newSlot()
    letGo(slot)
  }
  const house: House = { options, shrink }
  return {
    open(upstream, kind, request, sink) {
      const pools = poolsOf(upstream)
      const full =
        kind === 'call'
          ? pools.callsRunning >= (options.callsMax ?? CALLS_MAX)
          : pools.streamsRunning >= (options.streamsMax ?? STREAMS_MAX)
      if (full) return 'full'
      if (pools.openUntilMs > 0 && isOpen(pools)) return 'unreachable'
      refresh(pools, kind === 'call' ? 'calls' : 'streams')
      const leg = new Leg(pools, kind, sink, house)
      if (upstream.addresses === 'public' && isRefusedLiteral(upstream.origin)) {
        queueMicrotask(() => leg.failWith('ERR_UPSTREAM_ADDRESS'))
      } else leg.dispatch(request)
      return leg
    },
    retire(upstream) {
      const pools = byKey.get(keyOf(upstream))
      if (pools === undefined) return
      byKey.delete(keyOf(upstream))
      letGo(pools.calls)
      letGo(pools.streams)
    },
    async close() {
      const all = [...byKey.values()].flatMap(({ calls, streams }) => [calls, streams])
      byKey.clear()
      for (const slot of all) slot.hasEnded = true
      await Promise.all(all.map(({ pool }) => pool?.destroy().catch(() => {})))
    },
    counts(upstream) {
      const { calls, streams, callsRunning, streamsRunning } = poolsOf(upstream)
      const clients = connectedIn(calls) + connectedIn(streams)
      return { calls: callsRunning, streams: streamsRunning, clients }
    },
  }
}

/** While open, one call a second goes out and tells whether the server is back. */
function isOpen(pools: Pools): boolean {
  const nowMs = performance.now()
  if (pools.openUntilMs > nowMs) return true
  pools.openUntilMs = nowMs + CIRCUIT_OPEN_MS
  return false
}

function keyOf({ addresses, origin }: Upstream): string {
  return `${addresses} ${origin}`
}

/** Running exchanges finish; idle sockets close. */
function letGo(slot: Slot): void {
  slot.hasEnded = true
  slot.pool?.close().catch(() => {})
}

function connectedIn({ pool }: Slot): number {
  return pool?.stats.connected ?? 0
}

function poolOptions(upstream: Upstream, options: UpstreamOptions): Pool.Options {
  return {
    connections: null,
    allowH2: false,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    autoSelectFamily: true,
    maxHeaderSize: HEADER_MAX_BYTES,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveTimeoutThreshold: KEEP_ALIVE_THRESHOLD_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MAX_MS,
    connect: {
      timeout: options.connectTimeoutMs,
      ...lookupOf(upstream, options),
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    },
  }
}

function lookupOf(
  { addresses }: Upstream,
  { lookup }: UpstreamOptions,
): { readonly lookup?: LookupFunction } {
  if (addresses === 'public') return { lookup: publicOnly(lookup) }
  return lookup === undefined ? {} : { lookup }
}

type Undici = typeof import('undici')

interface House {
  readonly options: UpstreamOptions
  shrink(pools: Pools): void
}

/** One exchange: undici's handler and our handle on it in one object. */
class Leg implements Exchange, Dispatcher.DispatchHandler {
  sent = false
  readonly #pools: Pools
  readonly #slot: Slot
  readonly #house: House
  #kind: ExchangeKind
  #sink: Sink | undefined
  #controller: Dispatcher.DispatchController | undefined
  #timer: NodeJS.Timeout | undefined
  #startedAtMs = 0
  #started = false
  #oneOff: Client | undefined

  constructor(pools: Pools, kind: ExchangeKind, sink: Sink, house: House) {
    this.#pools = pools
    this.#kind = kind
    this.#sink = sink
    this.#house = house
    this.#slot = kind === 'call' ? pools.calls : pools.streams
    this.#count(1)
    this.#slot.running += 1
    if (this.#slot.running > this.#slot.peak) this.#slot.peak = this.#slot.running
  }

  #count(by: 1 | -1): void {
    if (this.#kind === 'call') this.#pools.callsRunning += by
    else this.#pools.streamsRunning += by
  }

  dispatch(request: ExchangeRequest): void {
    this.#startedAtMs = performance.now()
    const { connectTimeoutMs, firstByteTimeoutMs } = this.#house.options
    this.#timer = setTimeout(onTimer, Math.min(connectTimeoutMs, firstByteTimeoutMs), this)
    const undici = loadedUndici()
    if (undici !== undefined) this.#send(undici, request)
    else {
      // Only the first calls of a process; aborts and timers work meanwhile.
      loadUndici().then(
        (loaded) => this.#send(loaded, request),
        (error: unknown) => this.failWith('ERR_UPSTREAM_CONNECT', error),
      )
    }
  }

  #send(undici: Undici, request: ExchangeRequest): void {
    if (this.#sink === undefined) return
    try {
      this.#dispatcherFor(undici, request).dispatch(
        {
          path: request.path,
          // The type lists methods; the grammar was checked by the server's parser.
          method: request.method as Dispatcher.HttpMethod,
          headers: request.headers,
          body: request.body,
        },
        this,
      )
    } catch (error) {
      this.onResponseError(undefined, error instanceof Error ? error : new Error('dispatch'))
    }
  }

  #dispatcherFor({ Client, Pool }: Undici, { fresh }: ExchangeRequest): Dispatcher {
    const { upstream } = this.#pools
    const slot = this.#slot
    if (fresh === true) {
      const { connections: _, ...rest } = poolOptions(upstream, this.#house.options)
      this.#oneOff = new Client(upstream.origin, rest)
      return this.#oneOff
    }
    // Let go while the library was being loaded: nothing would end a pool made now.
    if (slot.hasEnded && slot.pool === undefined) throw new Error('closed')
    slot.pool ??= new Pool(upstream.origin, poolOptions(upstream, this.#house.options))
    return slot.pool
  }

  /** First connect, then first byte; a slow connect counts into the first byte's time. */
  onTimer(): void {
    if (this.#sink === undefined || this.#started) return
    const { firstByteTimeoutMs } = this.#house.options
    const restMs = firstByteTimeoutMs - (performance.now() - this.#startedAtMs)
    if (this.sent && restMs > 1) {
      this.#timer = setTimeout(onTimer, restMs, this)
      return
    }
    if (this.sent) this.failWith('ERR_UPSTREAM_TIMEOUT')
    else {
      this.#pools.connectTimeouts += 1
      if (this.#pools.connectTimeouts >= CONNECT_TIMEOUTS_MAX) {
        this.#pools.openUntilMs = performance.now() + CIRCUIT_OPEN_MS
      }
      this.failWith('ERR_UPSTREAM_CONNECT')
    }
  }

  failWith(code: UpstreamErrorCode, cause?: unknown): void {
    const sink = this.#sink
    if (sink === undefined) return
    this.#finish()
    this.#controller?.abort(ABORTED)
    sink.fail(
      new UpstreamError(code, {
        operation: 'proxy',
        origin: this.#pools.upstream.origin,
        elapsedMs: performance.now() - this.#startedAtMs,
        cause,
      }),
    )
  }

  abort(): void {
    if (this.#sink === undefined) return
    this.#finish()
    this.#controller?.abort(ABORTED)
  }

  resume(): void {
    this.#controller?.resume()
  }

  becomeStream(): void {
    if (this.#kind === 'stream' || this.#sink === undefined) return
    // It goes on in the calls' pool, but counts where it belongs.
    this.#count(-1)
    this.#kind = 'stream'
    this.#count(1)
  }

  #finish(): void {
    if (this.#sink === undefined) return
    this.#sink = undefined
    clearTimeout(this.#timer)
    this.#count(-1)
    this.#slot.running -= 1
    if (this.#slot.peak > POOL_CLIENTS_MAX) this.#house.shrink(this.#pools)
    this.#oneOff?.close().catch(() => {})
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#sink === undefined) controller.abort(ABORTED)
    else {
      this.sent = true
      this.#pools.connectTimeouts = 0
      this.#pools.openUntilMs = 0
    }
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    // Informational answers (102, 103) are not the answer.
    if (status < 200) return
    this.#started = true
    clearTimeout(this.#timer)
    this.#sink?.start(status, headers)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#sink?.data(chunk) === false) controller.pause()
  }

  onResponseEnd(): void {
    const sink = this.#sink
    this.#finish()
    sink?.end()
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.failWith(codeOf(error, this.sent), error)
  }
}

/** After a stall the timer is due before the answer that already waits in the socket: read that first (K8). */
function onTimer(leg: Leg): void {
  setImmediate(afterInput, leg)
}

function afterInput(leg: Leg): void {
  leg.onTimer()
}

const ABORTED = new Error('exchange ended here')

function codeOf(error: Error, sent: boolean): UpstreamErrorCode {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (code === 'ERR_UPSTREAM_ADDRESS') return code
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'ERR_UPSTREAM_DNS'
  if (code.includes('CERT') || code.startsWith('ERR_TLS') || code.includes('SIGNED')) {
    return 'ERR_UPSTREAM_TLS'
  }
  if (!sent) return 'ERR_UPSTREAM_CONNECT'
  return code === 'ECONNRESET' || code === 'UND_ERR_SOCKET' || code === 'EPIPE'
    ? 'ERR_UPSTREAM_RESET'
    : 'ERR_UPSTREAM_BODY'
}

function isRefusedLiteral(origin: string): boolean {
  const address = literalAddress(new URL(origin).hostname)
  return address !== undefined && !isPublicAddress(address)
}

/** Refuses a whole answer when any of its addresses is not public; never picks among them. */
function publicOnly(lookup: LookupFunction = systemLookup as LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, answer) => {
      const found = Array.isArray(answer) ? answer : [{ address: String(answer), family: 4 }]
      if (error !== null) return callback(error, [])
      if (found.length === 0 || found.some(({ address }) => !isPublicAddress(address))) {
        const refused: NodeJS.ErrnoException = new Error('address refused')
        refused.code = 'ERR_UPSTREAM_ADDRESS'
        return callback(refused, [])
      }
      const [first] = found
      if (options.all === true) return callback(null, found)
      callback(null, first?.address ?? '', isIP(first?.address ?? ''))
    })
  }
}
