/**
 * Re-sealing behind a running house that has two sealing keys: once after the start, then every few
 * hours, because a node that was started before the change seals with the old key until it is
 * restarted. One node at a time. Told, and audited when it changed something.
 */
import type { Emit, Lock, Runtime, Step, Store } from '../ports.ts'
import { TENANT } from '../records.ts'
import { reseal } from './reseal.ts'
import type { Sealing } from './sealing.ts'

export interface ResealingDeps {
  readonly store: Store
  readonly sealing: Sealing
  readonly runtime: Runtime
  readonly lock: Lock
  readonly emit: Emit
  /** Audit row of a run that sealed something again. */
  audit(detail: string): Step
}

export interface Resealing {
  /** One run; resolves when it ends. Never rejects. */
  run(): Promise<void>
  start(): void
  /** For a platform without timers: a run, when one is due. */
  runDue(): Promise<void>
  stop(): Promise<void>
}

const EVERY_MS = 6 * 3_600_000
const FIRST_MS = 5_000
const PAGE_PAUSE_MS = 10
const LEASE_MS = 600_000
const LOCK_DEADLINE_MS = 300

export function createResealing(deps: ResealingDeps): Resealing {
  const { runtime, emit, sealing, lock, store } = deps
  let cancel = (): void => undefined
  let running: Promise<void> | undefined
  let isStopped = false
  let dueAtMs = 0

  // A timer keeps no process alive: only where there is a house around it.
  const pause = (): Promise<void> =>
    new Promise((resolve) => void runtime.after(PAGE_PAUSE_MS, resolve))
  const runOnce = async (): Promise<void> => {
    const taken = await lock.acquire('reseal', LEASE_MS, LOCK_DEADLINE_MS)
    if (taken.state === 'held') return
    try {
      const { resealed, left, unreadable } = await reseal({ ...deps, pause })
      if (resealed > 0) {
        await store.commit([deps.audit(`sealing ${sealing.primaryKeyId}: ${resealed} rows`)])
        emit.event({ type: 'key.rotated', tenant: TENANT, reason: 'sealing', rows: resealed })
      }
      if (left > 0 || unreadable > 0)
        emit.event({ type: 'server.warning', reason: 'sealed_with_older_key', left, unreadable })
    } finally {
      if (taken.state === 'acquired') await taken.lease.release().catch(() => undefined)
    }
  }
  const run = (): Promise<void> => {
    running ??= runOnce()
      .catch(() => emit.event({ type: 'server.failed', reason: 'reseal' }))
      .finally(() => {
        running = undefined
      })
    return running
  }
  const arm = (delayMs: number): void => {
    cancel = runtime.after(delayMs, () => {
      runtime.waitUntil(
        run().then(() => {
          if (!isStopped) arm(EVERY_MS)
        }),
      )
    })
  }
  return {
    run,
    start() {
      // With one key there is nothing that another one could have sealed.
      if (sealing.keyIds.length > 1) arm(FIRST_MS)
    },
    async runDue() {
      if (sealing.keyIds.length === 1 || runtime.nowMs() < dueAtMs) return
      dueAtMs = runtime.nowMs() + EVERY_MS
      await run()
    },
    async stop() {
      isStopped = true
      cancel()
      await running
    },
  }
}
