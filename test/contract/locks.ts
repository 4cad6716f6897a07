/** What every Lock promises. Run for each adapter; time is the fixture's, so nobody sleeps. */
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Lease, Lock } from '../../src/ports.ts'

/** A lease, or one that is held elsewhere and asked by requests. */
export interface AnyLease extends Omit<Lease, 'remainingMs'> {
  remainingMs(): number | Promise<number>
}
export interface AnyLock {
  acquire(
    ...args: Parameters<Lock['acquire']>
  ): Promise<
    { state: 'acquired'; lease: AnyLease } | { state: 'held' } | { state: 'error'; cause: unknown }
  >
}
export interface LockFixture {
  readonly name: string
  /** Rounds of the schedules that are made up. */
  readonly runs: number
  open(): Promise<{ readonly lock: AnyLock; advanceMs(byMs: number): Promise<void> }>
}

async function held(lock: AnyLock, name: string, leaseMs: number): Promise<AnyLease> {
  const taken = await lock.acquire(name, leaseMs, 100)
  if (taken.state !== 'acquired') throw new Error(taken.state)
  return taken.lease
}

export function describeLock(fixture: LockFixture): void {
  describe(`lock: ${fixture.name}`, () => {
    let lock: AnyLock
    let advanceMs: (byMs: number) => Promise<void>
    let name = ''
    let names = 0
    beforeEach(async () => {
      const opened = await fixture.open()
      lock = opened.lock
      advanceMs = opened.advanceMs
      names += 1
      name = `key-${names}-${'x'.repeat(3_000)}`
    })

    it('gives one of 50 callers the lease', async () => {
      const results = await Promise.all(
        Array.from({ length: 50 }, () => lock.acquire(name, 600_000, 100)),
      )
      expect(results.filter((result) => result.state === 'acquired')).toHaveLength(1)
      expect(results.filter((result) => result.state === 'held')).toHaveLength(49)
    })

    it('keeps keys apart', async () => {
      await held(lock, name, 600_000)
      expect((await lock.acquire(`${name}y`, 600_000, 100)).state).toBe('acquired')
    })

    it('SF9: a holder past its lease finds it lost and cannot release the next one', async () => {
      const first = await held(lock, name, 600_000)
      await advanceMs(600_000)
      expect(await first.remainingMs()).toBe(0)
      const second = await held(lock, name, 600_000)
      expect(second.fence).toBeGreaterThan(first.fence)
      expect(await first.renew(600_000)).toBe('lost')
      await first.release()
      expect((await lock.acquire(name, 600_000, 100)).state).toBe('held')
      expect(await second.renew(900_000)).toBe('acquired')
      await advanceMs(700_000)
      expect((await lock.acquire(name, 600_000, 100)).state).toBe('held')
      expect(await second.remainingMs()).toBeGreaterThan(100_000)
      expect(await second.remainingMs()).toBeLessThanOrEqual(200_000)
      await second.release()
      expect((await held(lock, name, 600_000)).fence).toBeGreaterThan(second.fence)
    })

    it('never has two holders, whatever the order of calls', async () => {
      const action = fc.oneof(
        fc.record({ verb: fc.constant('acquire' as const), s: fc.integer({ min: 100, max: 150 }) }),
        fc.record({ verb: fc.constant('release' as const), s: fc.constant(0) }),
        fc.record({ verb: fc.constant('wait' as const), s: fc.integer({ min: 100, max: 160 }) }),
      )
      let round = 0
      await fc.assert(
        fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
          round += 1
          const leases: AnyLease[] = []
          for (const { verb, s } of actions) {
            if (verb === 'wait') await advanceMs(s * 1_000)
            else if (verb === 'release') await leases.pop()?.release()
            else {
              const result = await lock.acquire(`${name}-${round}`, s * 1_000, 10)
              if (result.state === 'acquired') leases.push(result.lease)
            }
            const left = await Promise.all(leases.map((lease) => lease.remainingMs()))
            const holders = left.filter((ms) => ms > 0)
            expect(holders.length).toBeLessThanOrEqual(1)
          }
          const fences = leases.map((lease) => lease.fence)
          expect(fences).toEqual([...fences].sort((a, b) => a - b))
        }),
        { numRuns: fixture.runs },
      )
    })
  })
}
