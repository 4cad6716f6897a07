/**
 * Circuit breakers, one per origin: after enough failures nothing goes out for a while, then one
 * probe decides. Back-off grows while an origin flaps and starts again after a quiet minute.
 *
 * Own, not `cockatiel`: that one reads the wall clock itself, and has no wait ordered by the other
 * side. A breaker never waits and never throws.
 */
import type { Emit, Runtime } from '../ports.ts'

const FAILURES_IN_A_ROW_MAX = 5
const WINDOW_SECONDS = 10
const WINDOW_CALLS_MIN = 20
const WINDOW_FAILURE_SHARE = 0.5
const OPEN_MIN_MS = 5_000
const OPEN_MAX_MS = 60_000
/** An open period is shortened by up to this share, so that nodes do not probe together. */
export const BREAKER_JITTER = 0.2
/** Longest wait that another side may order (F4). */
export const RETRY_AFTER_MAX_MS = 300_000
/** Closed for this long without opening again: back-off starts at `OPEN_MIN_MS` again. */
const QUIET_MS = 60_000
/** A probe that never reported, because its process part died, gives its place back. */
const PROBE_LOST_MS = 60_000
const ORIGINS_MAX = 10_000
const EVICTION_SCAN_MAX = 64

export type BreakerState = 'closed' | 'half-open' | 'open'

/** One call let through. The first report counts, later ones are ignored. */
export interface Pass {
  succeed(): void
  fail(): void
  /** The caller went away: says nothing about the origin. */
  abandon(): void
}

export interface Breaker {
  /** `undefined` while open, or while the one probe of half-open is under way. */
  enter(): Pass | undefined
  /** The other side ordered a wait (`Retry-After`), capped at 5 min, with jitter on top. */
  hold(waitMs: number): void
  state(): BreakerState
  /** How long until `enter()` may answer again; 0 when it may now. */
  retryAfterMs(): number
}

export interface Breakers {
  /** @param apart Who named a URL there that nobody here chose: failures of it are no one else's. */
  for(origin: string, apart?: string): Breaker
  size(): number
}

export interface BreakersOptions {
  readonly runtime: Pick<Runtime, 'monotonicMs' | 'random'>
  readonly emit: Emit
  /** Name of the connector for `postern_breaker_state`; without a name there is no gauge. */
  readonly connectorOf?: (origin: string) => string | undefined
}

export function createBreakers(options: BreakersOptions): Breakers {
  const breakers = new Map<string, Breaker & { idle(): boolean }>()
  return {
    for(origin, apart) {
      const key = apart === undefined ? origin : `${origin} ${apart}`
      let breaker = breakers.get(key)
      if (breaker === undefined) {
        if (breakers.size >= ORIGINS_MAX) forgetOne(breakers)
        breaker = createBreaker(origin, options)
      } else {
        breakers.delete(key)
      }
      breakers.set(key, breaker)
      return breaker
    },
    size: () => breakers.size,
  }
}

/** The least recently used one that says nothing; failing that, the least recently used one. */
function forgetOne(breakers: Map<string, { idle(): boolean }>): void {
  let scanned = 0
  for (const [origin, breaker] of breakers) {
    if (breaker.idle()) {
      breakers.delete(origin)
      return
    }
    scanned++
    if (scanned >= EVICTION_SCAN_MAX) break
  }
  for (const origin of breakers.keys()) {
    breakers.delete(origin)
    return
  }
}

function createBreaker(
  origin: string,
  { runtime, emit, connectorOf }: BreakersOptions,
): Breaker & { idle(): boolean } {
  const window = createWindow()
  let failuresInRow = 0
  let openUntilMs: number | undefined
  let openMs = OPEN_MIN_MS
  let closedAtMs = Number.NEGATIVE_INFINITY
  let probeSinceMs: number | undefined

  const state = (): BreakerState => {
    if (openUntilMs === undefined) return 'closed'
    return runtime.monotonicMs() < openUntilMs ? 'open' : 'half-open'
  }
  const probing = (nowMs: number): boolean =>
    probeSinceMs !== undefined && nowMs - probeSinceMs < PROBE_LOST_MS
  const gauge = (): void => {
    const connector = connectorOf?.(origin)
    if (connector === undefined) return
    for (const name of ['closed', 'half-open', 'open'] as const) {
      emit.gauge('postern_breaker_state', state() === name ? 1 : 0, { connector, state: name })
    }
  }
  const openUntil = (untilMs: number, reason: string): void => {
    const wasClosed = openUntilMs === undefined
    openUntilMs = Math.max(openUntilMs ?? 0, untilMs)
    probeSinceMs = undefined
    gauge()
    if (wasClosed) emit.event({ type: 'breaker.opened', origin, reason })
  }
  const open = (nowMs: number): void => {
    const isFlapping = openUntilMs !== undefined || nowMs - closedAtMs < QUIET_MS
    openMs = isFlapping ? Math.min(OPEN_MAX_MS, openMs * 2) : OPEN_MIN_MS
    openUntil(nowMs + openMs * (1 - BREAKER_JITTER * runtime.random()), 'failures')
  }
  const close = (nowMs: number): void => {
    openUntilMs = undefined
    probeSinceMs = undefined
    failuresInRow = 0
    closedAtMs = nowMs
    window.clear()
    gauge()
    emit.event({ type: 'breaker.closed', origin })
  }
  const record = (failed: boolean): void => {
    const nowMs = runtime.monotonicMs()
    // Calls that were let through before it opened do not judge an open breaker.
    if (openUntilMs !== undefined) return
    failuresInRow = failed ? failuresInRow + 1 : 0
    const { calls, failures } = window.add(nowMs, failed)
    const tooMany = calls >= WINDOW_CALLS_MIN && failures >= calls * WINDOW_FAILURE_SHARE
    if (failed && (failuresInRow >= FAILURES_IN_A_ROW_MAX || tooMany)) open(nowMs)
  }
  const judgeProbe = (sinceMs: number, verdict: 'good' | 'bad' | 'none'): void => {
    if (probeSinceMs !== sinceMs) return
    probeSinceMs = undefined
    if (verdict === 'good') close(runtime.monotonicMs())
    if (verdict === 'bad') open(runtime.monotonicMs())
  }
  return {
    state,
    enter() {
      const nowMs = runtime.monotonicMs()
      if (openUntilMs === undefined)
        return pass((verdict) => verdict !== 'none' && record(verdict === 'bad'))
      if (nowMs < openUntilMs || probing(nowMs)) return undefined
      probeSinceMs = nowMs
      return pass((verdict) => judgeProbe(nowMs, verdict))
    },
    hold(waitMs) {
      const cappedMs = Math.min(RETRY_AFTER_MAX_MS, Math.max(0, waitMs))
      const jitterMs = cappedMs * BREAKER_JITTER * runtime.random()
      openUntil(
        runtime.monotonicMs() + Math.min(RETRY_AFTER_MAX_MS, cappedMs + jitterMs),
        'retry-after',
      )
    },
    retryAfterMs: () => Math.max(0, (openUntilMs ?? 0) - runtime.monotonicMs()),
    idle: () => openUntilMs === undefined && failuresInRow === 0,
  }
}

function pass(report: (verdict: 'good' | 'bad' | 'none') => void): Pass {
  let reported = false
  const once = (verdict: 'good' | 'bad' | 'none') => (): void => {
    if (reported) return
    reported = true
    report(verdict)
  }
  return { succeed: once('good'), fail: once('bad'), abandon: once('none') }
}

/** Calls and failures of the last `WINDOW_SECONDS`, in buckets of one second. */
function createWindow() {
  const calls = new Uint32Array(WINDOW_SECONDS)
  const failures = new Uint32Array(WINDOW_SECONDS)
  let lastSecond = 0
  const sum = (counts: Uint32Array): number => counts.reduce((total, count) => total + count, 0)
  return {
    add(nowMs: number, failed: boolean): { calls: number; failures: number } {
      const second = Math.floor(nowMs / 1000)
      const passed = Math.min(WINDOW_SECONDS, second - lastSecond)
      for (let step = 1; step <= passed; step++) {
        calls[(lastSecond + step) % WINDOW_SECONDS] = 0
        failures[(lastSecond + step) % WINDOW_SECONDS] = 0
      }
      // After a long pause every bucket was cleared above; the position follows the clock again.
      lastSecond = second
      const bucket = second % WINDOW_SECONDS
      calls[bucket] = (calls[bucket] ?? 0) + 1
      if (failed) failures[bucket] = (failures[bucket] ?? 0) + 1
      return { calls: sum(calls), failures: sum(failures) }
    },
    clear(): void {
      calls.fill(0)
      failures.fill(0)
    },
  }
}
