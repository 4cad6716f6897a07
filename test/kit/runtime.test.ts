import { describe, expect, it } from 'vitest'
import { createTestRuntime } from './runtime.ts'

describe('test runtime', () => {
  it('fires timers in order of time and cancels', () => {
    const runtime = createTestRuntime()
    const fired: string[] = []
    runtime.after(20, () => fired.push('b'))
    runtime.after(10, () => fired.push('a'))
    runtime.after(15, () => fired.push('never'))()
    const start = runtime.nowMs()
    runtime.advanceMs(9)
    expect(fired).toEqual([])
    runtime.advanceMs(11)
    expect(fired).toEqual(['a', 'b'])
    expect(runtime.nowMs() - start).toBe(20)
    expect(runtime.timers()).toBe(0)
  })

  it('lets a poll loop arm its next timer after an await', async () => {
    const runtime = createTestRuntime()
    let polls = 0
    const poll = async (): Promise<void> => {
      await Promise.resolve()
      polls += 1
      runtime.after(2_000, () => void poll())
    }
    void poll()
    await runtime.elapseMs(10_000)
    expect(polls).toBe(6)
  })

  it('repeats its jitter for one seed', () => {
    const draw = (seed: number): number[] => {
      const runtime = createTestRuntime({ seed })
      return [runtime.random(), runtime.random()]
    }
    expect(draw(5)).toEqual(draw(5))
    expect(draw(5)).not.toEqual(draw(6))
  })
})
