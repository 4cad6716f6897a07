/**
 * A Runtime for tests: real cryptography, fake clocks and timers, seeded `random()`.
 *
 * `advanceMs` moves both clocks and fires due timers at once, in order. `elapseMs` does the same
 * but lets promises settle between timers, which is what code needs that arms a timer after an
 * `await`. Nothing here waits for real time.
 */
import { createCryptography } from '../../src/node/crypto.ts'
import type { Runtime } from '../../src/ports.ts'

export interface TestRuntime extends Runtime {
  /** Both clocks go on by `ms`; due timers fire synchronously, in order of their time. */
  advanceMs(ms: number): void
  /** As `advanceMs`, with `settle()` before, between and after the timers. */
  elapseMs(ms: number): Promise<void>
  /** Lets promises, also those behind real local I/O callbacks, run as far as they can. */
  settle(): Promise<void>
  /** The wall clock jumps (NTP, a restored machine); monotonic clock and timers do not notice. */
  jumpWallMs(ms: number): void
  /** The process stands still (K8): both clocks go on by `ms`, due timers fire afterwards, all late. */
  stallMs(ms: number): void
  /** Timers that are armed and have not fired. */
  timers(): number
  /** Errors of work given to `waitUntil`. */
  readonly rejections: unknown[]
}

/** 2026-01-01T00:00:00Z */
export const TEST_START_MS = 1_767_225_600_000
const SETTLE_TURNS = 12
const TIMERS_FIRED_MAX = 1_000_000

interface Timer {
  readonly dueMs: number
  readonly order: number
  readonly callback: () => void
}

export function createTestRuntime(
  options: { startMs?: number; seed?: number; sharesPromises?: boolean } = {},
): TestRuntime {
  let wallMs = options.startMs ?? TEST_START_MS
  let monotonicMs = 1_000
  let order = 0
  const timers = new Set<Timer>()
  const rejections: unknown[] = []
  const random = mulberry32(options.seed ?? 1)

  const nextDue = (untilMs: number): Timer | undefined => {
    let next: Timer | undefined
    for (const timer of timers) {
      if (timer.dueMs > untilMs) continue
      const earlier =
        next === undefined ||
        timer.dueMs < next.dueMs ||
        (timer.dueMs === next.dueMs && timer.order < next.order)
      if (earlier) next = timer
    }
    return next
  }
  const moveTo = (targetMs: number): void => {
    if (targetMs <= monotonicMs) return
    wallMs += targetMs - monotonicMs
    monotonicMs = targetMs
  }
  const fire = (timer: Timer): void => {
    timers.delete(timer)
    moveTo(timer.dueMs)
    timer.callback()
  }

  return {
    ...createCryptography(),
    sharesPromises: options.sharesPromises ?? true,
    nowMs: () => wallMs,
    monotonicMs: () => monotonicMs,
    random,
    after(delayMs, callback) {
      order += 1
      const timer: Timer = { dueMs: monotonicMs + Math.max(0, delayMs), order, callback }
      timers.add(timer)
      return () => {
        timers.delete(timer)
      }
    },
    waitUntil(work) {
      work.catch((error: unknown) => rejections.push(error))
    },
    advanceMs(ms) {
      const targetMs = monotonicMs + ms
      for (let fired = 0; fired < TIMERS_FIRED_MAX; fired += 1) {
        const timer = nextDue(targetMs)
        if (timer === undefined) break
        fire(timer)
      }
      moveTo(targetMs)
    },
    async elapseMs(ms) {
      const targetMs = monotonicMs + ms
      await settle()
      for (let fired = 0; fired < TIMERS_FIRED_MAX; fired += 1) {
        const timer = nextDue(targetMs)
        if (timer === undefined) break
        fire(timer)
        await settle()
      }
      moveTo(targetMs)
      await settle()
    },
    settle,
    jumpWallMs(ms) {
      wallMs += ms
    },
    stallMs(ms) {
      moveTo(monotonicMs + ms)
      const late = [...timers].filter((timer) => timer.dueMs <= monotonicMs)
      for (const timer of late.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)) {
        if (timers.has(timer)) fire(timer)
      }
    },
    timers: () => timers.size,
    rejections,
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < SETTLE_TURNS; turn += 1) {
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
}

/** Small seeded generator: repeatable jitter, nothing else. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
