import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createWheel } from './wheel.ts'

function setUp() {
  const runtime = createTestRuntime()
  const woken: [string, number][] = []
  const startMs = runtime.monotonicMs()
  const wheel = createWheel(runtime, (key) => woken.push([key, runtime.monotonicMs() - startMs]))
  return { runtime, wheel, woken, startMs }
}

describe('createWheel', () => {
  it('wakes each key once, not before its time and at most a second after it', () => {
    const { runtime, wheel, woken, startMs } = setUp()
    for (let key = 0; key < 100; key++) wheel.schedule(`k${key}`, startMs + key * 137)
    runtime.advanceMs(20_000)
    expect(woken).toHaveLength(100)
    for (const [key, atMs] of woken) {
      const dueMs = Number(key.slice(1)) * 137
      expect(atMs).toBeGreaterThanOrEqual(dueMs)
      expect(atMs).toBeLessThanOrEqual(dueMs + 2_000)
    }
    expect(runtime.timers()).toBe(0)
  })

  it('moves a key that is scheduled again and forgets one that is cancelled', () => {
    const { runtime, wheel, woken, startMs } = setUp()
    wheel.schedule('a', startMs + 1_000)
    wheel.schedule('a', startMs + 60_000)
    wheel.schedule('b', startMs + 2_000)
    wheel.cancel('b')
    runtime.advanceMs(30_000)
    expect(woken).toEqual([])
    runtime.advanceMs(40_000)
    expect(woken.map(([key]) => key)).toEqual(['a'])
  })

  it('one timer serves all keys, also after a pause and after a key schedules itself again', () => {
    const { runtime, wheel, woken, startMs } = setUp()
    const again = createWheel(runtime, (key) => again.schedule(key, runtime.monotonicMs() + 5_000))
    for (let key = 0; key < 1_000; key++) wheel.schedule(`k${key}`, startMs + 5_000)
    expect(runtime.timers()).toBe(1)
    runtime.advanceMs(10_000)
    expect(woken).toHaveLength(1_000)
    runtime.advanceMs(3_600_000)
    wheel.schedule('late', runtime.monotonicMs() + 1_000)
    runtime.advanceMs(3_000)
    expect(woken.at(-1)?.[0]).toBe('late')
    again.schedule('x', 0)
    runtime.advanceMs(60_000)
    expect(again.size()).toBe(1)
    again.close()
    expect(runtime.timers()).toBe(0)
  })
})
