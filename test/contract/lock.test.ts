/** What every Lock promises; in-process now, other products run the same cases later. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMemoryBus, createMemoryLock } from '../../src/adapters/memory.ts'
import { createTestRuntime } from '../kit/runtime.ts'

describe('lock in memory', () => {
  it('gives one of 50 callers the lease', async () => {
    const lock = createMemoryLock(createTestRuntime())
    const results = await Promise.all(Array.from({ length: 50 }, () => lock.acquire('k', 600, 100)))
    expect(results.filter((result) => result.state === 'acquired')).toHaveLength(1)
    expect(results.filter((result) => result.state === 'held')).toHaveLength(49)
  })

  it('SF9: a holder past its lease finds it lost and cannot release the next one', async () => {
    const runtime = createTestRuntime()
    const lock = createMemoryLock(runtime)
    const first = await lock.acquire('k', 600, 100)
    if (first.state !== 'acquired') throw new Error(first.state)
    runtime.advanceMs(600)
    expect(first.lease.remainingMs()).toBe(0)
    const second = await lock.acquire('k', 600, 100)
    if (second.state !== 'acquired') throw new Error(second.state)
    expect(second.lease.fence).toBeGreaterThan(first.lease.fence)
    expect(await first.lease.renew(600)).toBe('lost')
    await first.lease.release()
    expect((await lock.acquire('k', 600, 100)).state).toBe('held')
    expect(await second.lease.renew(900)).toBe('acquired')
    runtime.advanceMs(700)
    expect(second.lease.remainingMs()).toBe(200)
    await second.lease.release()
    expect((await lock.acquire('k', 600, 100)).state).toBe('acquired')
  })

  it('never has two holders, whatever the order of calls', async () => {
    const action = fc.oneof(
      fc.record({ verb: fc.constant('acquire' as const), ms: fc.integer({ min: 1, max: 50 }) }),
      fc.record({ verb: fc.constant('release' as const), ms: fc.constant(0) }),
      fc.record({ verb: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 60 }) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
        const runtime = createTestRuntime()
        const lock = createMemoryLock(runtime)
        const leases: { fence: number; remainingMs(): number; release(): Promise<void> }[] = []
        for (const { verb, ms } of actions) {
          if (verb === 'wait') runtime.advanceMs(ms)
          else if (verb === 'release') await leases.pop()?.release()
          else {
            const result = await lock.acquire('k', ms, 10)
            if (result.state === 'acquired') leases.push(result.lease)
          }
          const holders = leases.filter((lease) => lease.remainingMs() > 0)
          expect(holders.length).toBeLessThanOrEqual(1)
        }
        const fences = leases.map((lease) => lease.fence)
        expect(fences).toEqual([...fences].sort((a, b) => a - b))
      }),
    )
  })
})

describe('bus in memory', () => {
  it('reaches every subscriber until it leaves', async () => {
    const bus = createMemoryBus()
    const got: string[] = []
    const leave = await bus.subscribe(
      () => got.push('a'),
      () => undefined,
    )
    await bus.subscribe(
      () => got.push('b'),
      () => undefined,
    )
    await bus.publish()
    leave()
    await bus.publish()
    expect(got).toEqual(['a', 'b', 'b'])
  })
})
