/**
 * Calls that wait until their person has connected (flows.md section 8, step 4): at most 25 s, told at
 * once by a connection made on this node, and by a look every 2 s of one made elsewhere. Calls of one
 * person at one connector share that look; a call beyond the bounds does not wait.
 */
import type { Runtime } from '../ports.ts'

export interface Waiting {
  readonly userId: string
  readonly connector: string
  /** From memory. */
  isReady(): boolean
  /** Looks where other nodes write. Shared: one at a time for a person and connector. */
  look(): Promise<unknown>
  /** The caller has left. */
  isGone(): boolean
}

export interface ConnectionWaits {
  /** Resolves with whether it is ready; never rejects. */
  wait(waiting: Waiting): Promise<boolean>
  /** A connection was made on this node. */
  connected(userId: string, connector: string): void
}

export const CONNECTION_WAIT_MS = 25_000
const LOOK_EVERY_MS = 2_000
const WAITING_MAX = 1_000
const WAITING_PER_PERSON_MAX = 16

interface Group {
  readonly members: Set<() => void>
  looking: Promise<unknown> | undefined
  lookedAtMs: number
}

export function createConnectionWaits(
  runtime: Pick<Runtime, 'after' | 'monotonicMs' | 'sharesPromises'>,
): ConnectionWaits {
  const groups = new Map<string, Group>()
  let waiting = 0
  const look = (group: Group, { look: again }: Waiting): Promise<unknown> => {
    if (group.looking !== undefined) return group.looking
    if (runtime.monotonicMs() - group.lookedAtMs < LOOK_EVERY_MS) return Promise.resolve()
    group.lookedAtMs = runtime.monotonicMs()
    group.looking = again()
      .catch(() => undefined)
      .finally(() => {
        group.looking = undefined
      })
    return group.looking
  }
  return {
    async wait(call) {
      if (call.isReady()) return true
      const key = keyOf(call.userId, call.connector)
      const group: Group = groups.get(key) ?? {
        members: new Set(),
        looking: undefined,
        lookedAtMs: Number.NEGATIVE_INFINITY,
      }
      if (waiting >= WAITING_MAX || group.members.size >= WAITING_PER_PERSON_MAX) return false
      // Where a promise belongs to its request, each call looks for itself.
      if (runtime.sharesPromises) groups.set(key, group)
      waiting += 1
      const endMs = runtime.monotonicMs() + CONNECTION_WAIT_MS
      let wake = (): void => undefined
      const told = (): void => wake()
      group.members.add(told)
      try {
        while (!call.isGone()) {
          if (call.isReady()) return true
          await look(group, call)
          if (call.isReady()) {
            // Found in the store: the others of this person need not look as well.
            for (const member of group.members) member()
            return true
          }
          const leftMs = endMs - runtime.monotonicMs()
          if (leftMs <= 0) return false
          await new Promise<void>((resolve) => {
            const cancel = runtime.after(Math.min(leftMs, LOOK_EVERY_MS), resolve)
            wake = () => {
              cancel()
              resolve()
            }
          })
        }
        return false
      } finally {
        waiting -= 1
        group.members.delete(told)
        if (group.members.size === 0) groups.delete(key)
      }
    },
    connected(userId, connector) {
      const group = groups.get(keyOf(userId, connector))
      if (group === undefined) return
      group.lookedAtMs = Number.NEGATIVE_INFINITY
      for (const member of group.members) member()
    },
  }
}

function keyOf(userId: string, connector: string): string {
  return JSON.stringify([userId, connector])
}
