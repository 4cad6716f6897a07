import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../test/kit/runtime.ts'
import { createDue, createOnUse } from './due.ts'

function setUp(options: { failing?: string; more?: number } = {}) {
  const done: string[] = []
  const work = (name: string) => async () => {
    done.push(name)
    if (options.failing === name) throw new Error(name)
  }
  let more = options.more ?? 0
  const run = createDue({
    first: work('first'),
    next: [work('second'), work('third')],
    async sweep() {
      done.push('sweep')
      more -= 1
      return more > 0
    },
  })
  return { run, done }
}

describe('createDue', () => {
  it('goes on past what fails, and tells the failure at the end', async () => {
    const { run, done } = setUp({ failing: 'second' })
    await expect(run()).rejects.toThrow('second')
    expect(done).toEqual(['first', 'second', 'third', 'sweep'])
  })

  it('I7: does nothing when the revocations cannot be seen', async () => {
    const { run, done } = setUp({ failing: 'first' })
    await expect(run()).rejects.toThrow('first')
    expect(done).toEqual(['first'])
  })

  it('K18: sweeps on while there is more, and leaves the rest for the next run', async () => {
    const few = setUp({ more: 3 })
    await few.run()
    expect(few.done.filter((name) => name === 'sweep')).toHaveLength(3)
    const many = setUp({ more: 1_000 })
    await many.run()
    expect(many.done.filter((name) => name === 'sweep')).toHaveLength(10)
  })
})

describe('createOnUse', () => {
  it('starts its work behind a use, at most once in its time', async () => {
    const runtime = createTestRuntime({ sharesPromises: false })
    let started = 0
    const use = createOnUse(runtime, 60_000, async () => {
      started += 1
    })
    for (const byMs of [0, 59_999, 1, 0, 30_000]) {
      runtime.advanceMs(byMs)
      use()
    }
    expect(started).toBe(1)
    runtime.advanceMs(30_000)
    use()
    expect(started).toBe(2)
  })
})
