/**
 * Operations that their node could not finish, looked for behind a running house: one read a minute, and
 * the room that does them is loaded only when there is one.
 */
import type { Runtime } from '../ports.ts'
import { TENANT } from '../records.ts'
import type { WorkingHouse } from './long-operations.ts'

export interface LateOperations {
  start(): void
  /** For a platform without timers, and for tests. Never rejects. */
  runDue(): Promise<void>
  stop(): void
}

const FIRST_MS = 10_000
const EVERY_MS = 60_000

/** @param house Asked for when there is something to do. */
export function createLateOperations(runtime: Runtime, house: () => WorkingHouse): LateOperations {
  let cancel = (): void => undefined
  let isStopped = false
  const runDue = async (): Promise<void> => {
    const working = house()
    try {
      const index = { name: 'purpose', value: 'running' }
      const running = await working.store.list('operation', TENANT, index, { max: 1 })
      if (running.length === 0) return
      const { resumeOperations } = await import('./long-operations.ts')
      await resumeOperations(working)
    } catch {
      working.emit.event({ type: 'server.failed', reason: 'operations' })
    }
  }
  const arm = (delayMs: number): void => {
    cancel = runtime.after(delayMs, () => {
      runtime.waitUntil(
        runDue().then(() => {
          if (!isStopped) arm(EVERY_MS)
        }),
      )
    })
  }
  return {
    start: () => arm(FIRST_MS),
    runDue,
    stop() {
      isStopped = true
      cancel()
    },
  }
}
