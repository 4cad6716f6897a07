/**
 * The loading cache: remote facts served from memory within a stated age, fetched off the request.
 *
 * Three outcomes are kept apart: yes, no, unknown; unknown is never stored as no. One flight per key,
 * owned by the cache: callers wait on it with their own deadline and hurt nobody by leaving. Never
 * serves a value past its bounds. Where promises may not be shared, each caller makes its own load.
 * @see design.md section 1, RFC 5861
 */
import { LRUCache } from 'lru-cache'
import { UpstreamError } from '../errors.ts'
import type { Runtime } from '../ports.ts'
import { type BoundedStore, createBoundedStore } from './bounded-store.ts'
import { RETRY_AFTER_MAX_MS } from './breaker.ts'
import { type CacheReport, createCacheReport } from './cache-report.ts'
import { addCache, removeCache, type WatchedCache } from './caches.ts'
import type { Loaded, LoadingCache, LoadingCacheOptions, Read, ReadOptions } from './loaded.ts'
import { type Entry, type Flight, type Negative, waitFor } from './loading-entry.ts'
import { createWheel, type Wheel } from './wheel.ts'
import { createWriteBehind, type Recalled, type WriteBehind } from './write-behind.ts'

export type { Loaded, LoadingCache, LoadingCacheOptions, Read }

const DEFAULT_JITTER = 0.1
const DEFAULT_ENTRY_BYTES = 512
/** Noes and failures live apart, so that random keys cannot evict good ones (C7). */
const NEGATIVES_MAX = 10_000
const FLIGHTS_MAX = 10_000
/** Share of the stale bound at which a kept-warm key is loaded again. */
const WARM_SHARE = 0.8
const RETRY_MIN_MS = 1_000
const RETRY_MAX_MS = 30_000
/** A failure younger than this lets an old value through with no new wait. */
const FAILURE_MEMORY_MS = 60_000
const POSTPONE_MS = 4_000
/** Facts dropped while they were in flight are asked for again this often by one caller. */
const RESTARTS_MAX = 3
/** A persisted fact may be this far in the future: clocks of two nodes. */
const CLOCK_SKEW_MAX_MS = 60_000

export function createLoadingCache<V>(options: LoadingCacheOptions<V>): LoadingCache<V> {
  return new Loading(options)
}

class Loading<V> implements LoadingCache<V>, WatchedCache {
  readonly name: string
  readonly #options: LoadingCacheOptions<V>
  readonly #runtime: Runtime
  readonly #jitter: number
  readonly #store: BoundedStore<Entry<V>>
  readonly #negatives = new LRUCache<string, Negative>({
    maxSize: NEGATIVES_MAX,
    sizeCalculation: () => 1,
  })
  readonly #flights = new Map<string, Flight<V>>()
  readonly #warm = new Map<string, { untilMs: number }>()
  readonly #wheel: Wheel
  readonly #writes: WriteBehind<V> | undefined
  /** Wall time at which this node forgot a key: what was loaded before it does not come back. */
  readonly #forgotten = new LRUCache<string, number>({
    maxSize: NEGATIVES_MAX,
    sizeCalculation: () => 1,
  })
  readonly #report: CacheReport
  #closed = false

  constructor(options: LoadingCacheOptions<V>) {
    const { name, runtime, persist } = options
    this.#options = options
    this.name = name
    this.#runtime = runtime
    this.#jitter = Math.min(0.5, Math.max(0, options.jitter ?? DEFAULT_JITTER))
    this.#store = createBoundedStore(options)
    this.#wheel = createWheel(runtime, (key) => this.#wake(key))
    this.#writes = persist === undefined ? undefined : createWriteBehind(persist, runtime)
    this.#report = createCacheReport(options.emit, options.name)
    addCache(options.emit, this)
  }

  peek(key: string): Read<V> {
    const found = this.#look(key, false)
    this.#report.read(found.state, found)
    return found
  }

  async read(key: string, options: ReadOptions): Promise<Read<V>> {
    const found = this.#look(key, options.retryNegative === true)
    if (found.state !== 'miss') {
      if (found.state === 'stale') this.#behind(key)
      this.#report.read(found.state, found)
      return found
    }
    const loaded = await this.#loadFor(key, options)
    this.#report.read(loaded.state === 'hit' ? 'miss' : loaded.state, loaded)
    return loaded
  }

  renew(key: string): void {
    this.#behind(key)
  }

  put(key: string, value: V, loadedAtMs = this.#runtime.nowMs(), freshSeconds?: number): void {
    const ageMs = this.#runtime.nowMs() - loadedAtMs
    if (ageMs < -CLOCK_SKEW_MAX_MS) return
    this.#abandon(key)
    this.#remember(key, value, Math.max(0, ageMs), freshSeconds)
    const stated = freshSeconds === undefined ? {} : { freshSeconds }
    this.#writes?.save({ key, value, loadedAtMs, ...stated })
  }

  drop(key: string): void {
    this.#abandon(key)
    this.#forgotten.set(key, this.#runtime.nowMs())
    this.#store.delete(key)
    this.#negatives.delete(key)
    this.#cool(key)
    this.#writes?.remove(key)
    this.#report.size(this.#store.size())
  }

  revalidate(key: string): void {
    const entry = this.#store.peek(key)
    if (entry !== undefined) entry.doubted = true
    this.#negatives.delete(key)
    this.#behind(key)
  }

  keepWarm(key: string, untilMs: number): void {
    const warm = this.#warm.get(key)
    if (warm !== undefined) {
      warm.untilMs = untilMs
      return
    }
    // Where promises are not shared a timer ends with its request; and age 0 cannot be kept warm.
    if (!this.#runtime.sharesPromises || this.#asksEveryTime() || this.#closed) return
    if (!this.#store.hold(key)) return
    this.#warm.set(key, { untilMs })
    this.#scheduleWarm(key)
  }

  size(): { entries: number; bytes: number } {
    return this.#store.size()
  }

  outcomes(): Readonly<Record<Read<V>['state'], number>> {
    return this.#report.outcomes()
  }

  look(key: string): { state: Read<V>['state']; ageSeconds?: number } {
    const found = this.#look(key, false)
    const { state } = found
    return 'ageSeconds' in found ? { state, ageSeconds: found.ageSeconds } : { state }
  }

  async start(): Promise<number> {
    if (this.#recalls() && this.#options.startsFull !== true) return 0
    const facts = (await this.#options.persist?.load()) ?? []
    for (const { key, value, loadedAtMs, freshSeconds } of facts) {
      const ageMs = this.#runtime.nowMs() - loadedAtMs
      if (ageMs >= -CLOCK_SKEW_MAX_MS && this.#store.peek(key) === undefined) {
        this.#remember(key, value, Math.max(0, ageMs), freshSeconds)
      }
    }
    return facts.length
  }

  async close(): Promise<void> {
    this.#closed = true
    removeCache(this.#options.emit, this)
    this.#wheel.close()
    this.#warm.clear()
    for (const flight of this.#flights.values()) flight.abort.abort()
    await this.#writes?.close()
  }

  #look(key: string, retryNegative: boolean): Read<V> {
    const nowMs = this.#runtime.monotonicMs()
    const entry = this.#store.get(key)
    if (entry !== undefined) {
      const ageMs = nowMs - entry.loadedMs
      const ageSeconds = ageMs / 1000
      if (ageMs < entry.freshMs && !entry.doubted)
        return { state: 'hit', value: entry.value, ageSeconds }
      if (ageMs < entry.staleMs) return { state: 'stale', value: entry.value, ageSeconds }
      if (ageMs < entry.goneMs) {
        const failing = entry.failures > 0 && nowMs - entry.failedMs < FAILURE_MEMORY_MS
        const isKnownToFail = (failing && !this.#asksEveryTime()) || nowMs < entry.retryMs
        return isKnownToFail
          ? { state: 'stale', value: entry.value, ageSeconds }
          : { state: 'miss' }
      }
      this.#store.delete(key)
    }
    const negative = retryNegative ? undefined : this.#negatives.get(key)
    if (negative === undefined || nowMs >= negative.untilMs) return { state: 'miss' }
    const { verdict } = negative
    if (verdict.outcome === 'unknown') return { state: 'error', error: verdict.error }
    return {
      state: 'negative',
      reason: verdict.reason,
      ageSeconds: (nowMs - negative.sinceMs) / 1000,
    }
  }

  async #loadFor(key: string, options: ReadOptions): Promise<Read<V>> {
    const deadlineMs = this.#runtime.monotonicMs() + options.deadlineMs
    for (let restart = 0; restart < RESTARTS_MAX; restart++) {
      const flight = this.#join(key, options.retryNegative === true)
      const waitMs = deadlineMs - this.#runtime.monotonicMs()
      const waited = await waitFor(flight, this.#runtime, waitMs, options.signal)
      if (flight.dropped && waited !== 'late' && waited !== 'left') {
        const newer = this.#look(key, true)
        if (newer.state !== 'miss') return newer
        continue
      }
      if (waited === 'left') return { state: 'error', error: options.signal?.reason }
      if (waited === 'late') this.#noteSlow(key)
      return this.#answer(key, waited, flight.recalledMs)
    }
    return { state: 'error', error: this.#error('ERR_UPSTREAM_TIMEOUT') }
  }

  #answer(key: string, waited: Loaded<V> | 'late', recalledMs = 0): Read<V> {
    if (waited !== 'late' && waited.outcome === 'yes') {
      const found = recalledMs > 0 ? this.#look(key, true) : undefined
      if (found?.state === 'hit' || found?.state === 'stale') return found
      return { state: 'hit', value: waited.value, ageSeconds: recalledMs / 1000 }
    }
    if (waited !== 'late' && waited.outcome === 'no')
      return { state: 'negative', reason: waited.reason, ageSeconds: 0 }
    const entry = this.#store.peek(key)
    const ageMs = entry === undefined ? 0 : this.#runtime.monotonicMs() - entry.loadedMs
    if (entry !== undefined && ageMs < entry.goneMs)
      return { state: 'stale', value: entry.value, ageSeconds: ageMs / 1000 }
    return {
      state: 'error',
      error: waited === 'late' ? this.#error('ERR_UPSTREAM_TIMEOUT') : waited.error,
    }
  }

  /** The flight to wait on. Flights of other requests count only where promises may be shared. */
  #join(key: string, anew: boolean): Flight<V> {
    const flight = this.#runtime.sharesPromises ? this.#flights.get(key) : undefined
    return flight ?? this.#fly(key, anew)
  }

  #behind(key: string): void {
    const nowMs = this.#runtime.monotonicMs()
    const flight = this.#flights.get(key)
    // A flight whose request died with its timers leaves its mark behind.
    if (flight !== undefined && nowMs - flight.startedMs < this.#options.flightDeadlineMs) return
    if ((this.#store.peek(key)?.retryMs ?? 0) > nowMs || this.#mustWait(key, nowMs)) return
    if (this.#options.admit?.(key, this.#store.peek(key)?.value) === false) return
    this.#fly(key)
  }

  #mustWait(key: string, nowMs: number): boolean {
    const negative = this.#negatives.peek(key)
    return negative?.verdict.outcome === 'unknown' && nowMs < negative.untilMs
  }

  #fly(key: string, anew = false): Flight<V> {
    const entry = this.#store.peek(key)
    const flight: Flight<V> = {
      startedMs: this.#runtime.monotonicMs(),
      abort: new AbortController(),
      entry,
      anew: anew || entry?.doubted === true,
      dropped: false,
      recalledMs: undefined,
      promise: Promise.resolve({ outcome: 'unknown', error: undefined }),
    }
    const isAlone = !this.#flights.has(key)
    if (isAlone || !this.#runtime.sharesPromises) this.#flights.set(key, flight)
    flight.promise = this.#attempt(key, flight).then((outcome) => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key)
      if (!flight.dropped && !this.#closed) this.#settle(key, outcome, flight)
      return outcome
    })
    this.#runtime.waitUntil(flight.promise)
    return flight
  }

  /** One load within the flight's deadline; never rejects. */
  async #attempt(key: string, flight: Flight<V>): Promise<Loaded<V>> {
    if (this.#flights.size > FLIGHTS_MAX)
      return { outcome: 'unknown', error: this.#error('ERR_UPSTREAM_BREAKER') }
    const breaker = this.#options.breaker?.(key)
    const pass = breaker?.enter()
    if (breaker !== undefined && pass === undefined) {
      return {
        outcome: 'unknown',
        error: this.#error('ERR_UPSTREAM_BREAKER', breaker.retryAfterMs()),
      }
    }
    const { promise: deadline, resolve } = Promise.withResolvers<Loaded<V>>()
    const disarm = this.#runtime.after(this.#options.flightDeadlineMs, () => {
      resolve({ outcome: 'unknown', error: this.#error('ERR_UPSTREAM_TIMEOUT') })
      flight.abort.abort()
    })
    const outcome = await Promise.race([this.#load(key, flight), deadline])
    disarm()
    if (outcome.outcome === 'unknown') pass?.fail()
    else pass?.succeed()
    return outcome
  }

  async #load(key: string, flight: Flight<V>): Promise<Loaded<V>> {
    try {
      const recalled = flight.anew ? undefined : await this.#recall(key, flight)
      if (recalled !== undefined) return recalled
      return await this.#options.load(key, flight.entry?.value, flight.abort.signal)
    } catch (error) {
      const retryAfterMs = error instanceof UpstreamError ? error.retryAfterMs : undefined
      return { outcome: 'unknown', error, retryAfterMs }
    }
  }

  /** Nodes are many and short-lived. */
  #recalls(): boolean {
    return !this.#runtime.sharesPromises && this.#options.persist?.recall !== undefined
  }

  /** What another node has found, when it is newer than what is here and may be served. */
  async #recall(key: string, flight: Flight<V>): Promise<Loaded<V> | undefined> {
    if (!this.#recalls() || this.#asksEveryTime()) return undefined
    const correct = (newest: Recalled<V> | undefined): void => this.#correct(key, newest)
    const kept = await this.#options.persist?.recall?.(key, correct).catch(() => undefined)
    if (kept === undefined || flight.dropped) return undefined
    this.#take(key, kept)
    if (this.#store.peek(key) === flight.entry) return undefined
    const found = this.#look(key, true)
    if (found.state !== 'hit' && (found.state !== 'stale' || flight.entry !== undefined))
      return undefined
    flight.recalledMs = found.ageSeconds * 1000
    return { outcome: 'yes', value: found.value }
  }

  #take(key: string, { value, loadedAtMs, freshSeconds }: Recalled<V>): void {
    const ageMs = this.#runtime.nowMs() - loadedAtMs
    const hereMs = this.#store.peek(key)?.loadedMs ?? Number.NEGATIVE_INFINITY
    if (ageMs < -CLOCK_SKEW_MAX_MS || this.#runtime.monotonicMs() - ageMs <= hereMs) return
    if (loadedAtMs <= (this.#forgotten.get(key) ?? 0)) return
    this.#remember(key, value, Math.max(0, ageMs), freshSeconds)
  }

  /** What was recalled is not what the store has: there it was forgotten or found anew since. */
  #correct(key: string, newest: Recalled<V> | undefined): void {
    if (newest !== undefined) this.#take(key, newest)
    else {
      this.#forgotten.set(key, this.#runtime.nowMs())
      this.#abandon(key)
      this.#store.delete(key)
    }
  }

  #settle(key: string, outcome: Loaded<V>, flight: Flight<V>): void {
    if (flight.recalledMs !== undefined) {
      // One that is stale is asked for behind who got it.
      if (this.#look(key, true).state === 'stale') this.#behind(key)
      return
    }
    if (outcome.outcome === 'yes') {
      const { value, freshSeconds } = outcome
      this.#remember(key, value, 0, freshSeconds)
      const stated = freshSeconds === undefined ? {} : { freshSeconds }
      if (outcome.isShared !== true)
        this.#writes?.save({ key, value, loadedAtMs: this.#runtime.nowMs(), ...stated })
      return
    }
    if (outcome.outcome === 'no') {
      const hadValue = this.#store.delete(key)
      this.#cool(key)
      this.#refuse(key, outcome, this.#options.negativeSeconds * 1000)
      if (hadValue) this.#writes?.remove(key)
      this.#report.size(this.#store.size())
      return
    }
    this.#noteFailure(key, outcome, flight)
  }

  #noteFailure(key: string, outcome: Loaded<V> & { outcome: 'unknown' }, flight: Flight<V>): void {
    const nowMs = this.#runtime.monotonicMs()
    const orderedMs = Math.min(RETRY_AFTER_MAX_MS, Math.max(0, outcome.retryAfterMs ?? 0))
    const entry = this.#store.peek(key) ?? this.#restore(key, flight.entry)
    if (entry === undefined) {
      this.#refuse(key, outcome, Math.max(orderedMs, (this.#options.failureSeconds ?? 0) * 1000))
      return
    }
    entry.failures++
    entry.failedMs = nowMs
    const backOffMs = this.#shortened(
      Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(10, entry.failures - 1)),
    )
    entry.retryMs = nowMs + Math.max(this.#asksEveryTime() ? 0 : backOffMs, orderedMs)
    if (this.#warm.has(key)) this.#wheel.schedule(key, entry.retryMs)
  }

  /** The caller's deadline passed: the next caller gets the older value without another wait. */
  #noteSlow(key: string): void {
    const entry = this.#store.peek(key)
    if (entry === undefined) return
    entry.failures = Math.max(1, entry.failures)
    entry.failedMs = this.#runtime.monotonicMs()
  }

  #restore(key: string, entry: Entry<V> | undefined): Entry<V> | undefined {
    if (entry === undefined) return undefined
    if (this.#runtime.monotonicMs() - entry.loadedMs >= entry.goneMs) return undefined
    this.#store.set(key, entry, this.#bytesOf(entry.value))
    return entry
  }

  #remember(key: string, value: V, ageMs: number, statedFreshSeconds: number | undefined): void {
    const { freshSeconds, staleSeconds, staleIfErrorSeconds } = this.#options
    const statedMs = (statedFreshSeconds ?? freshSeconds) * 1000
    const staleMs = Math.max(statedMs, staleSeconds * 1000)
    const goneMs = Math.max(staleMs, staleIfErrorSeconds * 1000)
    this.#negatives.delete(key)
    if (ageMs >= goneMs && goneMs > 0) return
    this.#store.set(
      key,
      {
        value,
        loadedMs: this.#runtime.monotonicMs() - ageMs,
        freshMs: this.#shortened(statedMs),
        staleMs,
        goneMs,
        doubted: false,
        failures: 0,
        failedMs: 0,
        retryMs: 0,
      },
      this.#bytesOf(value),
    )
    if (this.#warm.has(key)) this.#scheduleWarm(key)
    this.#report.size(this.#store.size())
  }

  #refuse(key: string, verdict: Negative['verdict'], lifeMs: number): void {
    if (lifeMs <= 0) return
    const sinceMs = this.#runtime.monotonicMs()
    const untilMs = sinceMs + (verdict.outcome === 'no' ? this.#shortened(lifeMs) : lifeMs)
    this.#negatives.set(key, { verdict, sinceMs, untilMs })
  }

  #scheduleWarm(key: string): void {
    const entry = this.#store.peek(key)
    if (entry === undefined) return
    this.#wheel.schedule(key, entry.loadedMs + this.#shortened(entry.staleMs * WARM_SHARE))
  }

  #wake(key: string): void {
    const nowMs = this.#runtime.monotonicMs()
    const warm = this.#warm.get(key)
    const entry = this.#store.peek(key)
    if (warm === undefined || entry === undefined || nowMs > warm.untilMs) {
      this.#cool(key)
      return
    }
    if (entry.retryMs > nowMs) this.#wheel.schedule(key, entry.retryMs)
    else if (this.#flights.has(key)) this.#wheel.schedule(key, nowMs + POSTPONE_MS)
    else if (this.#options.admit?.(key, entry.value) === false)
      this.#wheel.schedule(key, nowMs + POSTPONE_MS * this.#runtime.random())
    else this.#fly(key)
  }

  #cool(key: string): void {
    if (!this.#warm.delete(key)) return
    this.#wheel.cancel(key)
    this.#store.release(key)
  }

  /** What is in flight now was asked before the evidence: nobody believes it. */
  #abandon(key: string): void {
    const flight = this.#flights.get(key)
    if (flight === undefined) return
    flight.dropped = true
    this.#flights.delete(key)
  }

  /** Age 0: then a failure is asked about again as well, and only an ordered wait is kept. */
  #asksEveryTime(): boolean {
    return this.#options.staleSeconds <= 0
  }

  #shortened(lifeMs: number): number {
    return lifeMs * (1 - this.#jitter * this.#runtime.random())
  }

  #bytesOf(value: V): number {
    return this.#options.sizeOf?.(value) ?? DEFAULT_ENTRY_BYTES
  }

  #error(
    code: 'ERR_UPSTREAM_TIMEOUT' | 'ERR_UPSTREAM_BREAKER',
    retryAfterMs?: number,
  ): UpstreamError {
    return new UpstreamError(code, { operation: this.#options.name, origin: 'cache', retryAfterMs })
  }
}
