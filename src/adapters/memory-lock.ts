/**
 * Lock inside one process. Waiters are not queued: `held` says when to ask again. A lease that ran
 * out is free for the next caller, and its old holder's renew answers `lost`.
 */
import type { Lease, Lock, Runtime } from '../ports.ts'

interface Held {
  readonly fence: number
  expiresAtMs: number
}

const LEASES_MAX = 100_000

export function createMemoryLock(runtime: Runtime): Lock {
  const leases = new Map<string, Held>()
  let fence = 0

  const dropExpired = (): void => {
    for (const [key, held] of leases) {
      if (held.expiresAtMs <= runtime.monotonicMs()) leases.delete(key)
    }
  }
  const leaseOf = (key: string, mine: Held): Lease => ({
    fence: mine.fence,
    remainingMs: () => Math.max(0, mine.expiresAtMs - runtime.monotonicMs()),
    async renew(leaseMs) {
      const valid = leases.get(key) === mine && mine.expiresAtMs > runtime.monotonicMs()
      if (!valid) return 'lost'
      mine.expiresAtMs = runtime.monotonicMs() + leaseMs
      return 'acquired'
    },
    async release() {
      if (leases.get(key) === mine) leases.delete(key)
    },
  })

  return {
    async acquire(key, leaseMs) {
      const nowMs = runtime.monotonicMs()
      const held = leases.get(key)
      if (held !== undefined && held.expiresAtMs > nowMs) {
        return { state: 'held', retryAfterMs: held.expiresAtMs - nowMs }
      }
      if (held === undefined && leases.size >= LEASES_MAX) {
        dropExpired()
        // A held lease is never thrown out to make room.
        if (leases.size >= LEASES_MAX) return { state: 'held', retryAfterMs: leaseMs }
      }
      fence += 1
      const mine: Held = { fence, expiresAtMs: nowMs + leaseMs }
      leases.set(key, mine)
      return { state: 'acquired', lease: leaseOf(key, mine) }
    },
  }
}
