import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { withDeadline, within } from './deadline.ts'

const never = new Promise<string>(() => undefined)

describe('within', () => {
  it('gives what the work gives, and leaves no timer', async () => {
    const runtime = createTestRuntime()
    await expect(within(runtime, Promise.resolve('done'), 100)).resolves.toBe('done')
    await expect(within(runtime, Promise.reject(new Error('no')), 100)).rejects.toThrow('no')
    expect(runtime.timers()).toBe(0)
  })

  it('gives nothing, or the word for it, when the deadline passed first', async () => {
    const runtime = createTestRuntime()
    const waits = [within(runtime, never, 100), within(runtime, never, 100, 'late')]
    runtime.advanceMs(100)
    expect(await Promise.all(waits)).toEqual([undefined, 'late'])
  })
})

it('withDeadline: names whom it waited for, and how long', async () => {
  const runtime = createTestRuntime()
  const about = { operation: 'metadata', origin: 'https://idp.example' }
  const wait = withDeadline(runtime, 100, about, never)
  runtime.advanceMs(100)
  await expect(wait).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TIMEOUT', elapsedMs: 100 })
})
