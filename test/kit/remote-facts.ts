/**
 * A loading cache on a fake clock over a remote that answers after 100 ms in the way it is told.
 *
 * Counts loads, and how many of them ran at once for one key.
 */
import {
  createLoadingCache,
  type Loaded,
  type LoadingCacheOptions,
} from '../../src/cache/loading-cache.ts'
import { createRecordingEmit } from './emit.ts'
import { createTestRuntime } from './runtime.ts'

export const FRESH = 60
export const STALE = 300
export const GONE = 3_600
export const NEGATIVE = 30
export const ANSWER_MS = 100

export type Mode = 'yes' | 'no' | 'unknown' | 'throws' | 'hangs'
export interface Fact {
  readonly key: string
  readonly atMs: number
}

export function createRemoteFacts(
  options: Partial<LoadingCacheOptions<Fact>> = {},
  platform: { seed?: number; sharesPromises?: boolean } = {},
) {
  const runtime = createTestRuntime(platform)
  const emit = createRecordingEmit()
  const remote = {
    mode: 'yes' as Mode,
    retryAfterMs: undefined as number | undefined,
    loads: 0,
    running: new Map<string, number>(),
    runningMax: 0,
    previous: [] as (Fact | undefined)[],
    refusedAtMs: new Map<string, number>(),
  }
  const answer = (key: string): Loaded<Fact> => {
    if (remote.mode === 'throws') throw new Error('broken')
    if (remote.mode === 'yes')
      return { outcome: 'yes', value: { key, atMs: runtime.monotonicMs() } }
    if (remote.mode === 'no') {
      remote.refusedAtMs.set(key, runtime.monotonicMs())
      return { outcome: 'no', reason: 'gone' }
    }
    return { outcome: 'unknown', error: new Error('down'), retryAfterMs: remote.retryAfterMs }
  }
  const cache = createLoadingCache<Fact>({
    name: 'facts',
    load: async (key, previous, signal) => {
      remote.loads++
      remote.previous.push(previous)
      const running = (remote.running.get(key) ?? 0) + 1
      remote.running.set(key, running)
      remote.runningMax = Math.max(remote.runningMax, running)
      try {
        if (remote.mode === 'hangs')
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
        else await new Promise<void>((resolve) => void runtime.after(ANSWER_MS, resolve))
        return answer(key)
      } finally {
        remote.running.set(key, (remote.running.get(key) ?? 1) - 1)
      }
    },
    freshSeconds: FRESH,
    staleSeconds: STALE,
    staleIfErrorSeconds: GONE,
    negativeSeconds: NEGATIVE,
    flightDeadlineMs: 10_000,
    entriesMax: 100,
    bytesMax: 1_000_000,
    runtime,
    emit,
    ...options,
  })
  const read = async (key = 'a', deadlineMs = 2_000, retryNegative = false) => {
    const reading = cache.read(key, { deadlineMs, retryNegative })
    await runtime.elapseMs(ANSWER_MS)
    return await reading
  }
  const pass = (seconds: number) => runtime.elapseMs(seconds * 1000)
  return { runtime, emit, remote, cache, read, pass }
}
