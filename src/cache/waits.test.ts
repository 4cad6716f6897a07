import { expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createWaits } from './waits.ts'

const SETTINGS = { minMs: 1_000, maxMs: 60_000, keysMax: 3 }

it('CLI-20: each wait is twice the one before, never under what is promised, up to the last', () => {
  const runtime = createTestRuntime()
  const waits = createWaits(runtime, SETTINGS)
  expect(waits.leftMs('a')).toBe(0)
  for (const leastMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
    waits.failed('a')
    expect(waits.leftMs('a')).toBeGreaterThanOrEqual(leastMs)
    expect(waits.leftMs('a')).toBeLessThanOrEqual(leastMs * 1.25)
    runtime.advanceMs(waits.leftMs('a'))
    expect(waits.leftMs('a')).toBe(0)
  }
  expect(waits.leftMs('b')).toBe(0)
})

it('F4: waits at least as long as the other side asks', () => {
  const waits = createWaits(createTestRuntime(), SETTINGS)
  waits.failed('a', 30_000)
  expect(waits.leftMs('a')).toBeGreaterThanOrEqual(30_000)
})

it('starts anew after a success, and after a long peace', () => {
  const runtime = createTestRuntime()
  const waits = createWaits(runtime, SETTINGS)
  for (let time = 0; time < 5; time += 1) waits.failed('a')
  waits.done('a')
  expect(waits.leftMs('a')).toBe(0)
  for (let time = 0; time < 5; time += 1) waits.failed('b')
  runtime.advanceMs(200_000)
  waits.failed('b')
  expect(waits.leftMs('b')).toBeLessThan(1_300)
})

it('VAL-16: keeps few keys', () => {
  const waits = createWaits(createTestRuntime(), SETTINGS)
  for (const key of ['a', 'b', 'c', 'd']) waits.failed(key)
  expect(waits.leftMs('a')).toBe(0)
  expect(waits.leftMs('d')).toBeGreaterThan(0)
})
