/**
 * Waits between tries of something that fails, per key, each twice the one before, with jitter. In
 * memory of this node, bounded; who has not failed for a while starts anew.
 */
import { LRUCache } from 'lru-cache'
import type { Runtime } from '../ports.ts'

export interface Waits {
  /** Until the next try; 0: now. */
  leftMs(key: string): number
  failed(key: string, atLeastMs?: number): void
  done(key: string): void
}

interface Wait {
  readonly failures: number
  readonly untilMs: number
}

export function createWaits(
  runtime: Pick<Runtime, 'monotonicMs' | 'random'>,
  {
    minMs,
    maxMs,
    keysMax,
  }: { readonly minMs: number; readonly maxMs: number; readonly keysMax: number },
): Waits {
  const waits = new LRUCache<string, Wait>({ max: keysMax })
  return {
    leftMs: (key) => Math.max(0, (waits.get(key)?.untilMs ?? 0) - runtime.monotonicMs()),
    failed(key, atLeastMs = 0) {
      const nowMs = runtime.monotonicMs()
      const before = waits.get(key)
      const isRecent = before !== undefined && nowMs - before.untilMs < maxMs
      const failures = isRecent ? before.failures : 0
      const waitMs = Math.min(maxMs, minMs * 2 ** Math.min(failures, 20))
      // Never under the least wait: it is what is promised to the other side.
      const spreadMs = waitMs * (1 + runtime.random() / 4)
      waits.set(key, { failures: failures + 1, untilMs: nowMs + Math.max(atLeastMs, spreadMs) })
    },
    done(key) {
      waits.delete(key)
    },
  }
}
