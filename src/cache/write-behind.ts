/**
 * Saves what changed in batches behind the requests, never in one of them.
 *
 * The newest value of a key wins; a failed batch is tried again. What was not saved when the process
 * died is asked for again: only facts that may be fetched again are written this way.
 */
import type { Runtime } from '../ports.ts'

const DELAY_MS = 1_000
const RETRY_MS = 5_000
const BATCH_MAX = 500

/** One fact with its age, as it crosses a restart. */
export interface Persisted<V> {
  readonly key: string
  readonly value: V
  /** Wall clock. */
  readonly loadedAtMs: number
  /** What its load said; absent: the cache's own. */
  readonly freshSeconds?: number
}

export type Recalled<V> = Omit<Persisted<V>, 'key'>

export interface Persist<V> {
  /** Called once, at start. */
  load(): Promise<readonly Persisted<V>[]>
  save(batch: readonly Persisted<V>[]): Promise<void>
  /**
   * What is kept of one key, for a node that has not read everything. `correct` is told behind when
   * the answer was not the newest: what is, or `undefined` when there is nothing.
   */
  recall?(
    key: string,
    correct: (newest: Recalled<V> | undefined) => void,
  ): Promise<Recalled<V> | undefined>
  remove?(keys: readonly string[]): Promise<void>
}

export interface WriteBehind<V> {
  save(fact: Persisted<V>): void
  remove(key: string): void
  /** Writes what is left; a failure here loses it. */
  close(): Promise<void>
}

export function createWriteBehind<V>(
  persist: Persist<V>,
  runtime: Pick<Runtime, 'after' | 'waitUntil' | 'sharesPromises'>,
): WriteBehind<V> {
  const dirty = new Map<string, Persisted<V> | 'removed'>()
  let disarm: (() => void) | undefined
  let writing: Promise<void> | undefined

  const flush = async (): Promise<void> => {
    const batch = [...dirty].slice(0, BATCH_MAX)
    for (const [key] of batch) dirty.delete(key)
    try {
      const facts = batch.flatMap(([, fact]) => (fact === 'removed' ? [] : [fact]))
      const removed = batch.flatMap(([key, fact]) => (fact === 'removed' ? [key] : []))
      if (facts.length > 0) await persist.save(facts)
      if (removed.length > 0) await persist.remove?.(removed)
    } catch (error) {
      for (const [key, fact] of batch) if (!dirty.has(key)) dirty.set(key, fact)
      throw error
    }
  }
  const arm = (delayMs: number): void => {
    // Where a timer ends with its request, and nobody may wait for the work of another: now, behind it.
    if (!runtime.sharesPromises) {
      runtime.waitUntil(flush())
      return
    }
    disarm ??= runtime.after(delayMs, () => {
      disarm = undefined
      writing ??= flush().then(
        () => settle(DELAY_MS),
        () => settle(RETRY_MS),
      )
      runtime.waitUntil(writing)
    })
  }
  const settle = (delayMs: number): void => {
    writing = undefined
    if (dirty.size > 0) arm(delayMs)
  }
  return {
    save(fact) {
      dirty.set(fact.key, fact)
      arm(DELAY_MS)
    },
    remove(key) {
      dirty.set(key, 'removed')
      arm(DELAY_MS)
    },
    async close() {
      await writing
      disarm?.()
      // Facts only: a store that is gone must not keep a house from closing.
      const left = async (): Promise<void> => {
        for (let count = dirty.size; count > 0; count -= BATCH_MAX) await flush()
      }
      await left().catch(() => undefined)
      disarm?.()
    },
  }
}
