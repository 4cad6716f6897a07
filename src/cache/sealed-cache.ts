/**
 * A Cache that others may write to, made safe to read: each value is sealed to its key, its purpose and
 * its time. Whoever writes there can make us forget, never believe (C11).
 *
 * What was sealed for another key or purpose, what is past its life, and what is older than this node
 * has seen, written or forgotten itself is not there. Names of keys are digests under our key.
 */
import type { Cache, Runtime } from '../ports.ts'
import type { Sealing } from '../vault/sealing.ts'

/** What was dropped or seen last, by key; oldest forgotten first. */
const FLOORS_MAX = 10_000
/** A value may be this far in the future: clocks of two nodes. */
const CLOCK_SKEW_MAX_MS = 60_000
const PARTS = 4

export interface SealedCacheOptions {
  readonly sealing: Pick<Sealing, 'seal' | 'open' | 'digest'>
  readonly runtime: Pick<Runtime, 'nowMs'>
  /** Values of one purpose are none of another. */
  readonly purpose: string
}

export function createSealedCache(
  cache: Cache,
  { sealing, runtime, purpose }: SealedCacheOptions,
): Cache {
  const floors = new Map<string, number>()
  const nameOf = (key: string): string => `${purpose}:${sealing.digest(key, 'cache')}`
  const ownerOf = (key: string, writtenAtMs: number, untilMs: number): string =>
    JSON.stringify(['cache', purpose, key, writtenAtMs, untilMs])
  const raise = (key: string, toMs: number): number => {
    const floorMs = Math.max(toMs, floors.get(key) ?? 0)
    floors.delete(key)
    floors.set(key, floorMs)
    for (const [oldest] of floors) {
      if (floors.size <= FLOORS_MAX) break
      floors.delete(oldest)
    }
    return floorMs
  }
  const nowMs = (): number => Math.trunc(runtime.nowMs())
  return {
    stalenessSeconds: cache.stalenessSeconds,
    async get(key) {
      const value = read(await cache.get(nameOf(key)))
      if (value === undefined) return undefined
      const { writtenAtMs, untilMs, keyId, sealed } = value
      const isInTime = nowMs() < untilMs && writtenAtMs <= nowMs() + CLOCK_SKEW_MAX_MS
      if (!isInTime || writtenAtMs < (floors.get(key) ?? 0)) return undefined
      const text = sealing.open(sealed, keyId, ownerOf(key, writtenAtMs, untilMs))
      if (text !== undefined) raise(key, writtenAtMs)
      return text
    },
    async set(key, text, ttlSeconds) {
      const writtenAtMs = raise(key, nowMs())
      const untilMs = writtenAtMs + Math.trunc(ttlSeconds * 1000)
      const { sealed, keyId } = sealing.seal(text, ownerOf(key, writtenAtMs, untilMs))
      const value = [writtenAtMs, untilMs, keyId, sealed].join('.')
      await cache.set(nameOf(key), value, ttlSeconds)
    },
    async delete(key) {
      // What was written in this very millisecond is forgotten, too, or seen from a clock that is ahead.
      raise(key, Math.max(nowMs(), floors.get(key) ?? 0) + 1)
      await cache.delete(nameOf(key))
    },
  }
}

/** The shape alone; what it says is proved by opening. */
function read(text: string | undefined) {
  const [written = '', until = '', keyId = '', sealed = '', ...rest] =
    text?.split('.', PARTS + 1) ?? []
  const writtenAtMs = Number(written)
  const untilMs = Number(until)
  const isWhole = Number.isSafeInteger(writtenAtMs) && Number.isSafeInteger(untilMs)
  // One spelling of a number, so that the time that is judged is the time that was sealed.
  if (!isWhole || String(writtenAtMs) !== written || String(untilMs) !== until) return undefined
  if (rest.length > 0 || sealed === '') return undefined
  return { writtenAtMs, untilMs, keyId, sealed }
}
