/**
 * One load per key among several nodes: whoever gets the lease asks, the others wait for its answer
 * to appear in what they share.
 *
 * The lease saves calls, nothing depends on it: when the lock fails or the other node stays silent,
 * this node asks for itself or says unknown. A lock that tells when a lease ends spares the store the
 * questions meanwhile.
 */
import type { Lock, Runtime } from '../ports.ts'
import type { Loaded, LoadingCacheOptions } from './loaded.ts'
import type { StoredFacts } from './stored-facts.ts'

const POLL_MS = 100

export interface AcrossNodesOptions<V> {
  readonly name: string
  readonly load: LoadingCacheOptions<V>['load']
  readonly lock: Lock
  /** What the nodes share: the newest fact, and one more before the lease is given back. */
  readonly facts: Pick<StoredFacts<V>, 'find' | 'save'>
  readonly leaseMs: number
  readonly runtime: Runtime
}

/** Wraps a `load` of a loading cache; the flight's signal bounds the whole. */
export function acrossNodes<V>(options: AcrossNodesOptions<V>): LoadingCacheOptions<V>['load'] {
  const { name, load, lock, facts, leaseMs, runtime } = options
  return async (key, previous, signal) => {
    const sinceMs = runtime.nowMs()
    while (!signal.aborted) {
      const answer = await lock.acquire(`${name}:${key}`, leaseMs, 0)
      if (answer.state === 'error') return await load(key, previous, signal)
      const shared = await found(facts, key, sinceMs)
      if (shared !== undefined) {
        if (answer.state === 'acquired') await answer.lease.release()
        return shared
      }
      if (answer.state === 'acquired') {
        try {
          const loaded = await load(key, previous, signal)
          if (loaded.outcome !== 'yes') return loaded
          await share(facts, key, loaded, runtime.nowMs())
          return { ...loaded, isShared: true }
        } finally {
          await answer.lease.release()
        }
      }
      if (lock.wait === undefined) {
        // How long a lease may last says nothing of an answer that comes sooner.
        await pause(runtime, POLL_MS, signal)
        continue
      }
      await Promise.race([lock.wait(`${name}:${key}`, leaseMs), aborted(signal)])
      // Who waited with us is told now, too: most find the answer and need no lease for that.
      const told = await found(facts, key, sinceMs)
      if (told !== undefined) return told
      // The other one had no answer: not all of us ask at once, nor does one ask without end.
      await pause(runtime, POLL_MS * runtime.random(), signal)
    }
    return unknown(signal)
  }
}

/** What a node has shared since then. */
async function found<V>(
  facts: AcrossNodesOptions<V>['facts'],
  key: string,
  sinceMs: number,
): Promise<Loaded<V> | undefined> {
  const shared = await facts.find(key)
  if (shared === undefined || shared.loadedAtMs < sinceMs) return undefined
  const { value, freshSeconds } = shared
  const stated = freshSeconds === undefined ? {} : { freshSeconds }
  return { outcome: 'yes', value, isShared: true, ...stated }
}

function share<V>(
  facts: AcrossNodesOptions<V>['facts'],
  key: string,
  { value, freshSeconds }: Extract<Loaded<V>, { outcome: 'yes' }>,
  loadedAtMs: number,
): Promise<void> {
  const fact = { key, value, loadedAtMs }
  return facts.save([freshSeconds === undefined ? fact : { ...fact, freshSeconds }])
}

function unknown<V>(signal: AbortSignal): Loaded<V> {
  return { outcome: 'unknown', error: signal.reason }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

function pause(runtime: Runtime, waitMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const disarm = runtime.after(waitMs, resolve)
    signal.addEventListener(
      'abort',
      () => {
        disarm()
        resolve()
      },
      { once: true },
    )
  })
}
