/** The contract suite of the Lock on a Durable Object, in real workerd, and what only an object can. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeLock } from '../contract/locks.ts'
import { type AdaptersWorker, startAdapters } from './remote-ports.ts'

let adapters: AdaptersWorker
beforeAll(async () => {
  adapters = await startAdapters()
})
afterAll(() => adapters?.worker.dispose())

const open = async () => ({
  lock: adapters.lock,
  advanceMs: (byMs: number) => adapters.call<void>('ahead', byMs),
})
describeLock({ name: 'Durable Object', runs: 10, open })

const LONG_MS = 600_000
const WAIT_MS = 20_000

describe('a waiter at a Durable Object', () => {
  it('is told when the lease is given back', { timeout: WAIT_MS / 2 }, async () => {
    const { lock } = adapters
    const taken = await lock.acquire('told', LONG_MS, 0)
    if (taken.state !== 'acquired') throw new Error(taken.state)
    let told = 0
    const waiting = Array.from({ length: 100 }, () =>
      lock.wait('told', WAIT_MS).then(() => {
        told += 1
      }),
    )
    // Another turn of the same object, behind those who wait there.
    expect((await lock.acquire('told', LONG_MS, 0)).state).toBe('held')
    expect(told).toBe(0)
    await taken.lease.release()
    await Promise.all(waiting)
    expect(told).toBe(100)
  })

  it('does not wait where nobody holds the lease', async () => {
    await adapters.lock.wait('free', WAIT_MS)
  })

  it('does not wait for longer than it said', async () => {
    await adapters.lock.acquire('kept', LONG_MS, 0)
    await adapters.lock.wait('kept', 1)
    expect((await adapters.lock.acquire('kept', LONG_MS, 0)).state).toBe('held')
  })
})
