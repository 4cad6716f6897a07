import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { type Breaker, createBreakers } from './breaker.ts'

function setUp(seed = 1) {
  const runtime = createTestRuntime({ seed })
  const emit = createRecordingEmit()
  const breakers = createBreakers({ runtime, emit, connectorOf: () => 'notes' })
  return { runtime, emit, breakers, breaker: breakers.for('https://remote.test') }
}

function fail(breaker: Breaker, times: number): void {
  for (let call = 0; call < times; call++) breaker.enter()?.fail()
}

describe('createBreakers', () => {
  it('opens at five failures in a row, not at four, and tells it once', () => {
    const { breaker, emit } = setUp()
    fail(breaker, 4)
    breaker.enter()?.succeed()
    fail(breaker, 4)
    expect(breaker.state()).toBe('closed')
    fail(breaker, 1)
    expect(breaker.state()).toBe('open')
    expect(breaker.enter()).toBeUndefined()
    expect(emit.eventsOf('breaker.opened')).toHaveLength(1)
    expect(emit.gauged('postern_breaker_state', { connector: 'notes', state: 'open' })).toBe(1)
  })

  it('opens when half of at least twenty calls within ten seconds fail', () => {
    const { breaker, runtime } = setUp()
    const alternate = (calls: number): void => {
      for (let call = 0; call < calls; call++) {
        const pass = breaker.enter()
        if (call % 2 === 0) pass?.succeed()
        else pass?.fail()
      }
    }
    alternate(18)
    runtime.advanceMs(11_000)
    alternate(19)
    expect(breaker.state()).toBe('closed')
    breaker.enter()?.fail()
    expect(breaker.state()).toBe('open')
  })

  it('half-open lets one probe through, and the probe decides', () => {
    const { breaker, runtime, emit } = setUp()
    fail(breaker, 5)
    runtime.advanceMs(5_000)
    expect(breaker.state()).toBe('half-open')
    const probe = breaker.enter()
    expect(breaker.enter()).toBeUndefined()
    probe?.fail()
    expect(breaker.state()).toBe('open')
    runtime.advanceMs(10_000)
    breaker.enter()?.succeed()
    expect(breaker.state()).toBe('closed')
    expect(emit.eventsOf('breaker.closed')).toHaveLength(1)
  })

  it('a probe whose caller left gives its place to the next', () => {
    const { breaker, runtime } = setUp()
    fail(breaker, 5)
    runtime.advanceMs(5_000)
    breaker.enter()?.abandon()
    expect(breaker.enter()).toBeDefined()
    runtime.advanceMs(60_000)
    expect(breaker.enter()).toBeDefined()
  })

  it('a pass reports once, and late reports of old calls do not judge an open breaker', () => {
    const { breaker, runtime } = setUp()
    const late = breaker.enter()
    const twice = breaker.enter()
    for (let call = 0; call < 9; call++) twice?.fail()
    expect(breaker.state()).toBe('closed')
    fail(breaker, 4)
    expect(breaker.state()).toBe('open')
    late?.succeed()
    expect(breaker.state()).toBe('open')
    expect(breaker.retryAfterMs()).toBeGreaterThan(0)
    runtime.advanceMs(5_000)
    expect(breaker.retryAfterMs()).toBe(0)
  })

  it('F8: an origin that flaps gets one probe per window and a growing back-off, up to 60 s', () => {
    const { breaker, runtime } = setUp()
    const waits: number[] = []
    fail(breaker, 5)
    for (let round = 0; round < 8; round++) {
      waits.push(breaker.retryAfterMs())
      runtime.advanceMs(breaker.retryAfterMs())
      breaker.enter()?.succeed()
      fail(breaker, 5)
    }
    const ceilings = [5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000, 60_000]
    for (const [round, ceilingMs] of ceilings.entries()) {
      expect(waits[round]).toBeLessThanOrEqual(ceilingMs)
      expect(waits[round]).toBeGreaterThanOrEqual(ceilingMs * 0.8)
    }
  })

  it('back-off starts again after a quiet minute', () => {
    const { breaker, runtime } = setUp()
    for (let round = 0; round < 3; round++) {
      fail(breaker, 5)
      runtime.advanceMs(breaker.retryAfterMs())
      breaker.enter()?.succeed()
    }
    runtime.advanceMs(60_000)
    fail(breaker, 5)
    expect(breaker.retryAfterMs()).toBeLessThanOrEqual(5_000)
  })

  it('F4: holds for as long as the other side orders, never beyond five minutes', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e12, noNaN: true }), fc.nat(), (waitMs, seed) => {
        const { breaker } = setUp(seed)
        breaker.hold(waitMs)
        const heldMs = breaker.retryAfterMs()
        expect(heldMs).toBeGreaterThanOrEqual(Math.min(waitMs, 300_000) - 1)
        expect(heldMs).toBeLessThanOrEqual(Math.min(waitMs * 1.2, 300_000) + 1)
      }),
    )
  })

  it('is bounded in origins and forgets those that say nothing first', () => {
    const { breakers, breaker } = setUp()
    fail(breaker, 5)
    for (let origin = 0; origin < 12_000; origin++) breakers.for(`https://o${origin}.test`)
    expect(breakers.size()).toBe(10_000)
    expect(breakers.for('https://remote.test').state()).toBe('open')
  })
})
