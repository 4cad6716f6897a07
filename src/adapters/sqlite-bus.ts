/**
 * Bus between the processes that share one SQLite file: `PRAGMA data_version` (2 us) changes with
 * every commit of another connection, which includes our own writer thread. Inside this process a
 * publish reaches everybody at once.
 */
import type { Bus, Runtime } from '../ports.ts'
import { createMemoryBus } from './memory-bus.ts'

export const DATA_VERSION_POLL_MS = 250

export function createSqliteBus(options: {
  runtime: Runtime
  dataVersion: () => number
}): Bus & { close(): void } {
  const { runtime, dataVersion } = options
  const local = createMemoryBus()
  let seen = dataVersion()
  let subscribers = 0
  let cancel: (() => void) | undefined

  const poll = (): void => {
    let current = seen
    try {
      current = dataVersion()
    } catch {
      // A store that cannot be read says nothing; the subscriber's own poll finds out.
    }
    cancel = runtime.after(DATA_VERSION_POLL_MS, poll)
    if (current === seen) return
    seen = current
    void local.publish()
  }

  return {
    publish: () => local.publish(),
    async subscribe(onPoke, onReconnect) {
      const unsubscribe = await local.subscribe(onPoke, onReconnect)
      subscribers += 1
      if (subscribers === 1) cancel = runtime.after(DATA_VERSION_POLL_MS, poll)
      return () => {
        unsubscribe()
        subscribers -= 1
        if (subscribers === 0) cancel?.()
      }
    },
    close() {
      cancel?.()
      cancel = undefined
    },
  }
}
