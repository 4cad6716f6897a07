/**
 * Cache on Workers KV: written here, read elsewhere after at most 60 s. KV forgets no sooner than a
 * minute after a write, so what may live for less is not kept; and it takes one write a second for a
 * key, so a second one waits here, and the newest wins.
 */
import type { Cache, Runtime } from '../ports.ts'

/** What is used of a binding of type KV. */
export interface KvNamespace {
  get(key: string): Promise<string | null>
  put(key: string, value: string, options: { expirationTtl: number }): Promise<void>
  delete(key: string): Promise<void>
}

/** Limits of KV. */
export const KV_TTL_MIN_SECONDS = 60
export const KV_KEY_BYTES_MAX = 512
const WRITE_EVERY_MS = 1_000
const STALENESS_SECONDS = 60
/** Keys whose last write is remembered, oldest forgotten first. */
const WRITTEN_MAX = 1_000

export function createKvCache(
  namespace: KvNamespace,
  runtime: Pick<Runtime, 'sha256' | 'monotonicMs' | 'after'>,
): Cache {
  const written = new Map<string, { atMs: number; turn: number }>()
  let turns = 0

  /** Whether this write is still the newest of its key when its time has come. */
  const mayWrite = async (key: string): Promise<boolean> => {
    turns += 1
    const turn = turns
    const nowMs = runtime.monotonicMs()
    const last = written.get(key)
    // One that waits already is passed over: this one takes its place.
    const freeMs = last === undefined ? nowMs : last.atMs + (last.atMs > nowMs ? 0 : WRITE_EVERY_MS)
    const atMs = Math.max(nowMs, freeMs)
    const waitMs = atMs - nowMs
    written.delete(key)
    written.set(key, { atMs, turn })
    for (const [oldest] of written) {
      if (written.size <= WRITTEN_MAX) break
      written.delete(oldest)
    }
    if (waitMs <= 0) return true
    await new Promise<void>((resolve) => runtime.after(waitMs, resolve))
    return (written.get(key)?.turn ?? turn) === turn
  }
  const remove = async (key: string): Promise<void> => {
    if (await mayWrite(key)) await namespace.delete(key)
  }
  return {
    stalenessSeconds: STALENESS_SECONDS,
    get: async (key) => (await namespace.get(keyOf(key, runtime))) ?? undefined,
    async set(key, value, ttlSeconds) {
      const name = keyOf(key, runtime)
      const expirationTtl = Math.floor(ttlSeconds)
      if (expirationTtl < KV_TTL_MIN_SECONDS) await remove(name)
      else if (await mayWrite(name)) await namespace.put(name, value, { expirationTtl })
    },
    delete: (key) => remove(keyOf(key, runtime)),
  }
}

const DIGEST_PREFIX = 'sha256:'

/** Long keys, and what KV takes for a path, are named by their digest. */
function keyOf(key: string, runtime: Pick<Runtime, 'sha256'>): string {
  const isPlain =
    key !== '' && key !== '.' && key !== '..' && !key.startsWith(DIGEST_PREFIX) && isShort(key)
  return isPlain ? key : DIGEST_PREFIX + runtime.sha256(key)
}

function isShort(key: string): boolean {
  return key.length <= KV_KEY_BYTES_MAX && new TextEncoder().encode(key).length <= KV_KEY_BYTES_MAX
}
