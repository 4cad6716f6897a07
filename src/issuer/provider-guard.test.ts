import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createProviderGuard } from './provider-guard.ts'

const MINUTE_MS = 60_000

function open(refusesEverybodyMaxSeconds?: number) {
  const runtime = createTestRuntime()
  const emit = createRecordingEmit()
  let incidents = 0
  const guard = createProviderGuard('github', {
    runtime,
    emit,
    onIncident: () => {
      incidents += 1
    },
    ...(refusesEverybodyMaxSeconds === undefined ? {} : { refusesEverybodyMaxSeconds }),
  })
  const note = (word: 'yes' | 'no' | 'unknown', count: number): void => {
    for (let index = 0; index < count; index += 1) guard.note(word)
  }
  const told = () => emit.events.map(({ type, reason }) => [type, reason].join(' ').trim())
  return { runtime, emit, guard, note, told, incidents: () => incidents }
}

describe('createProviderGuard', () => {
  it('F11: more than 20 noes and more than one in twenty are an incident', () => {
    const { guard, note, told, incidents, emit } = open()
    note('no', 20)
    expect(guard.incident()).toBe(false)
    note('no', 1)
    expect([guard.incident(), incidents()]).toEqual([true, 1])
    expect(emit.events).toEqual([
      { type: 'provider.incident', provider: 'github', reason: 'refusals' },
    ])
    note('no', 5)
    expect([told(), incidents()]).toEqual([['provider.incident refusals'], 1])
    const share = open()
    share.note('yes', 399)
    share.note('no', 21)
    expect(share.guard.incident(), '21 of 420 are one in twenty').toBe(false)
    share.note('no', 1)
    expect(share.guard.incident()).toBe(true)
  })

  it('F11: counts the noes of one minute', () => {
    const { runtime, guard, note } = open()
    note('no', 20)
    runtime.advanceMs(MINUTE_MS - 1_000)
    note('no', 1)
    expect(guard.incident()).toBe(true)
    const late = open()
    late.note('no', 20)
    late.runtime.advanceMs(MINUTE_MS)
    late.note('no', 1)
    expect(late.guard.incident()).toBe(false)
    late.runtime.advanceMs(10 * MINUTE_MS)
    late.note('no', 20)
    expect(late.guard.incident()).toBe(false)
  })

  it('F11: one person counts once a minute', () => {
    const { runtime, guard } = open()
    for (let count = 0; count < 50; count += 1) guard.note('no', undefined, 'ada')
    expect([guard.incident(), guard.restless()]).toEqual([false, false])
    runtime.advanceMs(MINUTE_MS - 1_000)
    guard.note('no', undefined, 'ada')
    guard.note('no', undefined, 'grace')
    expect(guard.restless()).toBe(false)
    guard.note('no', undefined, 'alan')
    expect(guard.restless(), 'ada, grace, alan').toBe(true)
    runtime.advanceMs(1_000)
    guard.note('no', undefined, 'ada')
    expect(guard.restless()).toBe(true)
    runtime.advanceMs(MINUTE_MS)
    expect(guard.restless()).toBe(false)
  })

  it('F11: remembers a thousand refused people, the latest of them', () => {
    const { guard, note, runtime } = open()
    for (let count = 0; count <= 1_000; count += 1) guard.note('no', undefined, `p-${count}`)
    runtime.advanceMs(30_000)
    guard.clearIncident()
    note('yes', 1)
    expect(guard.restless()).toBe(false)
    for (let count = 0; count < 3; count += 1) guard.note('no', undefined, 'p-1000')
    expect(guard.restless()).toBe(false)
  })

  it('F11: passes when the noes are over and somebody is accepted again, not by silence', () => {
    const { runtime, guard, note, told } = open()
    note('no', 21)
    runtime.advanceMs(10 * MINUTE_MS)
    expect(guard.incident()).toBe(true)
    note('yes', 1)
    expect(guard.incident()).toBe(false)
    expect(told()).toEqual(['provider.incident refusals', 'provider.recovered incident'])
    const storm = open()
    storm.note('no', 21)
    storm.note('yes', 1)
    expect(storm.guard.incident(), 'the storm is not over').toBe(true)
    storm.runtime.advanceMs(MINUTE_MS)
    expect(storm.guard.incident()).toBe(false)
  })

  it('F11: our own client refused is an incident for a minute and until somebody is accepted', () => {
    const { runtime, guard, note, told } = open()
    guard.note('client-refused')
    expect([guard.incident(), told()]).toEqual([true, ['provider.incident client-refused']])
    note('yes', 1)
    expect(guard.incident()).toBe(true)
    runtime.advanceMs(MINUTE_MS - 1)
    expect(guard.incident()).toBe(true)
    runtime.advanceMs(1)
    expect(guard.incident()).toBe(false)
  })

  it('F11: everybody refused is an incident for its time, once, and until somebody is accepted', () => {
    const { runtime, guard, note, told } = open(600)
    guard.refusesEverybody()
    expect([guard.incident(), told()]).toEqual([true, ['provider.incident refuses-everybody']])
    runtime.advanceMs(300_000)
    guard.refusesEverybody()
    runtime.advanceMs(299_999)
    expect(guard.incident()).toBe(true)
    runtime.advanceMs(1)
    expect(guard.incident()).toBe(false)
    guard.refusesEverybody()
    expect(guard.incident(), 'declared before').toBe(false)
    note('yes', 1)
    guard.refusesEverybody()
    expect(guard.incident()).toBe(true)
    note('yes', 1)
    expect(guard.incident()).toBe(false)
    const standard = open()
    standard.guard.refusesEverybody()
    standard.runtime.advanceMs(3_599_999)
    expect(standard.guard.incident()).toBe(true)
    standard.runtime.advanceMs(1)
    expect(standard.guard.incident()).toBe(false)
  })

  it('F11: an operator clears every kind of incident', () => {
    const { guard, note } = open()
    note('no', 21)
    guard.note('client-refused')
    guard.refusesEverybody()
    guard.clearIncident()
    expect([guard.incident(), guard.restless()]).toEqual([false, false])
    guard.refusesEverybody()
    expect(guard.incident()).toBe(false)
  })

  it('F12: a hundred checks a second that nobody waits for, two hundred at once', () => {
    const { runtime, guard } = open()
    const admitted = (): number => {
      let count = 0
      while (count < 1_000 && guard.admit()) count += 1
      return count
    }
    expect(admitted()).toBe(200)
    runtime.advanceMs(500)
    expect(admitted()).toBe(50)
    runtime.advanceMs(9)
    expect(admitted()).toBe(0)
    runtime.advanceMs(2)
    expect(admitted()).toBe(1)
    runtime.advanceMs(60_000)
    expect(admitted()).toBe(200)
  })

  it('F12: three people throttled within the minute pause them, for five minutes at most', () => {
    const { runtime, guard } = open()
    guard.note('unknown', 10_000)
    guard.note('unknown', 10_000)
    expect(guard.admit()).toBe(true)
    guard.note('unknown', 10_000)
    expect(guard.admit()).toBe(false)
    guard.note('unknown', 1_000)
    runtime.advanceMs(9_999)
    expect(guard.admit()).toBe(false)
    runtime.advanceMs(1)
    expect(guard.admit()).toBe(true)
    guard.note('unknown', 10_000_000)
    runtime.advanceMs(299_999)
    expect(guard.admit()).toBe(false)
    runtime.advanceMs(1)
    expect(guard.admit()).toBe(true)
    guard.note('unknown', 10_000)
    expect(guard.admit(), 'the others were throttled long ago').toBe(true)
  })

  it('five answers in a row that say nothing: unreachable, told once, until one says something', () => {
    const { emit, note, guard } = open()
    note('unknown', 4)
    expect(emit.events).toEqual([])
    note('unknown', 3)
    expect(emit.events).toEqual([{ type: 'provider.unreachable', provider: 'github' }])
    guard.note('no')
    expect(emit.events.slice(1)).toEqual([{ type: 'provider.recovered', provider: 'github' }])
    note('unknown', 4)
    guard.note('yes')
    note('unknown', 4)
    expect(emit.events).toHaveLength(2)
  })
})
