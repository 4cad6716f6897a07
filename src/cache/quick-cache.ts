/**
 * A Cache of the platform that may be slow or silent: what it has not said in a moment it does not have.
 * The store behind it knows the same, so whoever asks waits for the cache no longer than for that (K5).
 */
import type { Cache, Runtime } from '../ports.ts'
import { within } from './deadline.ts'

/** Longer than a cold read from anywhere in the world, shorter than anybody's deadline. */
const GET_WAIT_MS = 500

export function createQuickCache(cache: Cache, runtime: Pick<Runtime, 'after'>): Cache {
  return {
    stalenessSeconds: cache.stalenessSeconds,
    get: (key) => within(runtime, cache.get(key), GET_WAIT_MS),
    set: (key, value, ttlSeconds) => cache.set(key, value, ttlSeconds),
    delete: (key) => cache.delete(key),
  }
}
