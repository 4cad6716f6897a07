/**
 * Periodic work of a house on a platform without timers: `runDue`, called each minute by a cron trigger.
 * Everything is tried, whatever became of the one before, and the first failure is told at the end.
 */
import type { Runtime } from './ports.ts'

/** A sweep deletes a hundred rows: so many of them in one run, the rest in the next. */
const SWEEPS_MAX = 10

export interface DueWork {
  /** In this order; others depend on the first. */
  readonly first: () => Promise<unknown>
  readonly next: readonly (() => Promise<unknown>)[]
  /** Says whether there is more. */
  readonly sweep: () => Promise<boolean>
}

export function createDue({ first, next, sweep }: DueWork): () => Promise<void> {
  return async () => {
    await first()
    const failures: unknown[] = []
    const sweeps = async (): Promise<void> => {
      for (let count = 0; count < SWEEPS_MAX && (await sweep()); count += 1);
    }
    for (const work of [...next, sweeps]) {
      try {
        await work()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}

/** Work that requests start behind themselves, at most once in `everyMs` on this node. */
export function createOnUse(
  runtime: Pick<Runtime, 'monotonicMs' | 'waitUntil'>,
  everyMs: number,
  work: () => Promise<unknown>,
): () => void {
  let startedMs = runtime.monotonicMs()
  return () => {
    const nowMs = runtime.monotonicMs()
    if (nowMs - startedMs < everyMs) return
    startedMs = nowMs
    runtime.waitUntil(work())
  }
}
