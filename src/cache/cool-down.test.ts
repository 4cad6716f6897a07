import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createCoolDown } from './cool-down.ts'

describe('createCoolDown', () => {
  it('lets each key through once per wait', () => {
    const runtime = createTestRuntime()
    const may = createCoolDown(runtime, { waitMs: 1_000, keysMax: 10 })
    expect([may('a'), may('a'), may('b')]).toEqual([true, false, true])
    runtime.advanceMs(999)
    expect(may('a')).toBe(false)
    runtime.advanceMs(1)
    expect([may('a'), may('a')]).toEqual([true, false])
  })

  it('forgets everything when it is full, and never holds a new key back', () => {
    const may = createCoolDown(createTestRuntime(), { waitMs: 1_000, keysMax: 2 })
    expect([may('a'), may('b'), may('c')]).toEqual([true, true, true])
    expect([may('c'), may('a')]).toEqual([false, true])
  })
})
