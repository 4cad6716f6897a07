/**
 * Lock on Durable Objects: one object for each key, so that no key waits behind another one, and the
 * object of a key lies near those who first asked for it.
 *
 * The lease is judged by the object's clock and kept in its storage; the fence rises over restarts. It
 * ends lazily, by the next caller; an hour later an alarm deletes what is left. Who waits is told by the
 * object when the lease is given back, and asks no database meanwhile. Errors are ambiguous (F10).
 */
import { DurableObject } from 'cloudflare:workers'
import { within } from '../cache/deadline.ts'
import type { Lease, Lock, Runtime } from '../ports.ts'

interface Held {
  readonly holder: string
  readonly fence: number
  readonly expiresAtMs: number
}
type Taken = { readonly fence: number } | { readonly retryAfterMs: number }

const LEASE = 'lease'
const KEPT_MS = 3_600_000
/** Callers waiting at one object; more of them look again by themselves. */
const WAITERS_MAX = 10_000
const WAIT_MAX_MS = 30_000

/** The Durable Object class behind `POSTERN_LOCK`. Its methods are called by `workers(env)` alone. */
export class PosternLock extends DurableObject {
  readonly #waiting = new Set<() => void>()

  /** The same holder may ask again and has it again: its first answer was lost. */
  async acquire(holder: string, leaseMs: number): Promise<Taken> {
    const { storage } = this.ctx
    const held = await storage.get<Held>(LEASE)
    const nowMs = this.nowMs()
    if (held !== undefined && held.expiresAtMs > nowMs && held.holder !== holder)
      return { retryAfterMs: held.expiresAtMs - nowMs }
    // Never below what an object that was emptied gave before.
    const fence = Math.max(nowMs, (held?.fence ?? 0) + 1)
    await storage.put<Held>(LEASE, { holder, fence, expiresAtMs: nowMs + leaseMs })
    if ((await storage.getAlarm()) === null) await storage.setAlarm(nowMs + KEPT_MS)
    return { fence }
  }

  async renew(holder: string, leaseMs: number): Promise<boolean> {
    const held = await this.ctx.storage.get<Held>(LEASE)
    const nowMs = this.nowMs()
    if (held === undefined || held.holder !== holder || held.expiresAtMs <= nowMs) return false
    await this.ctx.storage.put<Held>(LEASE, { ...held, expiresAtMs: nowMs + leaseMs })
    return true
  }

  async release(holder: string): Promise<void> {
    const held = await this.ctx.storage.get<Held>(LEASE)
    if (held === undefined || held.holder !== holder) return
    // The row stays for its fence.
    await this.ctx.storage.put<Held>(LEASE, { ...held, expiresAtMs: 0 })
    for (const wake of this.#waiting) wake()
  }

  /** Resolves when the lease is given back or has run out, or after `waitMs`. */
  async wait(waitMs: number): Promise<void> {
    const held = await this.ctx.storage.get<Held>(LEASE)
    const leftMs = (held?.expiresAtMs ?? 0) - this.nowMs()
    if (leftMs <= 0 || this.#waiting.size >= WAITERS_MAX) return
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, Math.min(leftMs, waitMs, WAIT_MAX_MS))
      this.#waiting.add(wake)
    })
  }

  /** The one clock that judges the leases of this key. */
  protected nowMs(): number {
    return Date.now()
  }

  async alarm(): Promise<void> {
    const held = await this.ctx.storage.get<Held>(LEASE)
    if (held !== undefined && held.expiresAtMs > this.nowMs())
      await this.ctx.storage.setAlarm(held.expiresAtMs + KEPT_MS)
    else await this.ctx.storage.deleteAll()
  }
}

/** What is used of a binding to `PosternLock`. */
export interface LockNamespace {
  idFromName(name: string): unknown
  get(id: unknown): Pick<PosternLock, 'acquire' | 'renew' | 'release' | 'wait'>
}

/** One call of an object answers within this, or counts as an error. */
const CALL_DEADLINE_MS = 3_000
const HOLDER_BYTES = 16

export function createObjectLock(
  namespace: LockNamespace,
  runtime: Pick<Runtime, 'sha256' | 'randomBytes' | 'monotonicMs' | 'after'>,
): Lock {
  const objectOf = (key: string) => namespace.get(namespace.idFromName(runtime.sha256(key)))
  return {
    async acquire(key, leaseMs, deadlineMs) {
      const holder = runtime.sha256(runtime.randomBytes(HOLDER_BYTES))
      // Counted from before the call: the object's lease ends no sooner than ours.
      const startedMs = runtime.monotonicMs()
      try {
        const call = objectOf(key).acquire(holder, leaseMs)
        const taken = await within(runtime, call, Math.max(deadlineMs, CALL_DEADLINE_MS))
        if (taken === undefined) throw new Error('lock did not answer')
        if ('retryAfterMs' in taken) return { state: 'held', retryAfterMs: taken.retryAfterMs }
        const untilMs = startedMs + leaseMs
        const lease = leaseOf(() => objectOf(key), { holder, fence: taken.fence, untilMs })
        return { state: 'acquired', lease }
      } catch (cause) {
        return { state: 'error', maybeHeld: true, cause }
      }
    },
    async wait(key, waitMs) {
      await within(runtime, objectOf(key).wait(waitMs), waitMs).catch(() => undefined)
    },
  }

  function leaseOf(
    object: () => ReturnType<LockNamespace['get']>,
    mine: { readonly holder: string; readonly fence: number; untilMs: number },
  ): Lease {
    return {
      fence: mine.fence,
      remainingMs: () => Math.max(0, mine.untilMs - runtime.monotonicMs()),
      async renew(leaseMs) {
        const startedMs = runtime.monotonicMs()
        try {
          const call = object().renew(mine.holder, leaseMs)
          const isHeld = await within(runtime, call, CALL_DEADLINE_MS)
          if (isHeld === undefined) return 'error'
          if (!isHeld) return 'lost'
          mine.untilMs = startedMs + leaseMs
          return 'acquired'
        } catch {
          return 'error'
        }
      },
      async release() {
        mine.untilMs = 0
        // A lease that cannot be given back runs out by itself.
        const call = object().release(mine.holder)
        await within(runtime, call, CALL_DEADLINE_MS).catch(() => undefined)
      },
    }
  }
}
