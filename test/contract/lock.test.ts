/** Lock and Bus inside one process. */
import { describe, expect, it } from 'vitest'
import { createMemoryBus, createMemoryLock } from '../../src/adapters/memory.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import { describeLock } from './locks.ts'

describeLock({
  name: 'memory',
  runs: 100,
  async open() {
    const runtime = createTestRuntime()
    return { lock: createMemoryLock(runtime), advanceMs: async (byMs) => runtime.advanceMs(byMs) }
  },
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
