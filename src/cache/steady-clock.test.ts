import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createSteadyClock } from './steady-clock.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

describe('steady clock', () => {
  it('K7: goes on with time, and with small corrections of the wall', () => {
    const runtime = createTestRuntime()
    const clock = createSteadyClock(runtime)
    for (let minute = 0; minute < 1_000; minute += 1) {
      runtime.advanceMs(60_000)
      runtime.jumpWallMs(minute % 2 === 0 ? 500 : -300)
      expect(clock()).toBe(runtime.nowMs())
    }
  })

  it.each([HOUR_MS, DAY_MS])('K7: does not follow a jump of %i ms that does not last', (jumpMs) => {
    const runtime = createTestRuntime()
    const clock = createSteadyClock(runtime)
    const startMs = clock()
    runtime.jumpWallMs(jumpMs)
    for (let hour = 1; hour <= 12; hour += 1) {
      runtime.advanceMs(HOUR_MS)
      expect(clock()).toBe(startMs + hour * HOUR_MS)
    }
    runtime.jumpWallMs(-jumpMs)
    expect(clock()).toBe(runtime.nowMs())
  })

  it('K7: believes a jump forward that lasts for a day, and a jump back at once', () => {
    const runtime = createTestRuntime()
    const clock = createSteadyClock(runtime)
    runtime.jumpWallMs(DAY_MS)
    expect(clock()).toBe(runtime.nowMs() - DAY_MS)
    runtime.advanceMs(DAY_MS)
    expect(clock()).toBe(runtime.nowMs())
    runtime.jumpWallMs(-HOUR_MS)
    expect(clock()).toBe(runtime.nowMs())
  })
})
