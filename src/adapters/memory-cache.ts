/** Cache inside one process: bounded by entries and characters, least recently used goes first. */
import { LRUCache } from 'lru-cache'
import type { Cache, Runtime } from '../ports.ts'

const ENTRIES_MAX = 10_000
const CHARACTERS_MAX = 33_554_432

interface Entry {
  readonly value: string
  readonly expiresAtMs: number
}

export function createMemoryCache(
  runtime: Runtime,
  options: { entriesMax?: number; charactersMax?: number } = {},
): Cache {
  const entries = new LRUCache<string, Entry>({
    max: options.entriesMax ?? ENTRIES_MAX,
    maxSize: options.charactersMax ?? CHARACTERS_MAX,
    sizeCalculation: (entry, key) => entry.value.length + key.length + 1,
  })
  return {
    stalenessSeconds: 0,
    async get(key) {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      // Monotonic, so that a jump of the wall clock neither keeps nor drops anything.
      if (entry.expiresAtMs > runtime.monotonicMs()) return entry.value
      entries.delete(key)
      return undefined
    },
    async set(key, value, ttlMs) {
      entries.set(key, { value, expiresAtMs: runtime.monotonicMs() + ttlMs })
    },
    async delete(key) {
      entries.delete(key)
    },
  }
}
