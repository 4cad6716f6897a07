import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createPacking } from './packing.ts'
import { createTokenTable } from './token-table.ts'

interface Value {
  readonly digest: string
  readonly n: number
  readonly scopes: readonly string[]
  readonly expiresAtMs: number
}
const LIFE_MS = 3_600_000

function setUp(options: { max?: number; plainMax?: number } = {}) {
  const runtime = createTestRuntime()
  const table = createTokenTable<Value>({ max: 1_000_000, shared: ['scopes'], runtime, ...options })
  const digestOf = (n: number): string => runtime.sha256(`token ${n}`)
  const put = (n: number, lifeMs = LIFE_MS): Value => {
    const value = { digest: digestOf(n), n, scopes: ['mcp'], expiresAtMs: runtime.nowMs() + lifeMs }
    table.set(value.digest, value)
    return value
  }
  return { runtime, table, digestOf, put }
}

describe('createTokenTable', () => {
  it.each([
    ['plain', 100_000],
    ['packed', 8],
  ])('%s: answers what was set, under the whole digest only', (_, plainMax) => {
    const { table, put, digestOf } = setUp({ plainMax })
    const values = Array.from({ length: 3_000 }, (_, n) => put(n))
    for (const value of values) expect(table.get(value.digest)).toEqual(value)
    expect(table.size()).toBe(3_000)
    expect(table.get(digestOf(99_999))).toBeUndefined()
    for (const other of [
      '',
      'x',
      digestOf(1).slice(0, 42),
      `${digestOf(1)}A`,
      digestOf(1).toLowerCase(),
    ]) {
      expect(table.get(other)).toBeUndefined()
    }
    expect(table.size()).toBe(3_000)
  })

  it.each([
    ['plain', 100_000],
    ['packed', 8],
  ])(
    'C6, VAL-04: %s: never answers past expiry, and a wall clock set back revives nothing',
    (_, plainMax) => {
      const { table, put, runtime, digestOf } = setUp({ plainMax })
      for (let n = 0; n < 100; n++) put(n, 1_000 + n)
      put(200, -1)
      expect(table.get(digestOf(200))).toBeUndefined()
      runtime.advanceMs(1_050)
      runtime.jumpWallMs(-LIFE_MS)
      const alive = Array.from({ length: 100 }, (_, n) => table.get(digestOf(n)) !== undefined)
      expect(alive.indexOf(true)).toBe(51)
      expect(alive.slice(51).every(Boolean)).toBe(true)
    },
  )

  it('VAL-16: is bounded: an older token is forgotten for each new one', () => {
    for (const plainMax of [100_000, 8]) {
      const { table, put } = setUp({ max: 500, plainMax })
      for (let n = 0; n < 5_000; n++) put(n)
      expect(table.size()).toBe(500)
      expect(table.get(put(5_000).digest)).toMatchObject({ n: 5_000 })
    }
  })

  it('sweeps what has expired, a bounded part per call', () => {
    const { table, put, runtime } = setUp({ plainMax: 100 })
    for (let n = 0; n < 30_000; n++) put(n, n % 2 === 0 ? 1_000 : LIFE_MS)
    runtime.advanceMs(1_000)
    let forgotten = 0
    for (let sweeps = 0; sweeps < 6; sweeps++) {
      const now = table.sweep()
      expect(now).toBeLessThanOrEqual(20_100)
      forgotten += now
    }
    expect(forgotten).toBe(15_000)
    expect(table.size()).toBe(15_000)
  })

  it('agrees with a plain map under any sequence of operations', () => {
    const step = fc.record({
      do: fc.constantFrom('set', 'get', 'delete', 'expire', 'sweep'),
      n: fc.nat({ max: 60 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400, size: 'max' }), (steps) => {
        const { table, put, runtime, digestOf } = setUp({ plainMax: 3 })
        const model = new Map<number, Value>()
        for (const { do: verb, n } of steps) {
          if (verb === 'set') model.set(n, put(n, 1_000 * (n + 1)))
          if (verb === 'delete') {
            table.delete(digestOf(n))
            model.delete(n)
          }
          if (verb === 'expire') runtime.advanceMs(n * 100)
          if (verb === 'sweep') table.sweep()
          for (const [key, value] of model)
            if (value.expiresAtMs <= runtime.nowMs()) model.delete(key)
          expect(table.get(digestOf(n))).toEqual(model.get(n))
        }
        for (const [n, value] of model) expect(table.get(digestOf(n))).toEqual(value)
      }),
      { numRuns: 60 },
    )
  })

  it('forgets all', () => {
    const { table, put } = setUp({ plainMax: 8 })
    for (let n = 0; n < 100; n++) put(n)
    table.clear()
    expect(table.size()).toBe(0)
  })
})

describe('createPacking', () => {
  it('gives back any plain value as JSON does', () => {
    const member = fc.oneof(
      fc.jsonValue({ maxDepth: 3, stringUnit: 'grapheme' }),
      fc.base64String(),
      fc.stringMatching(/^[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}$/),
      fc.webUrl(),
      fc.uuid(),
      fc.nat(),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('base64url')),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
    )
    const packing = createPacking(['shared'])
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom('a', 'b', 'shared', 'digest'), member), (value) => {
        const packed = packing.pack(value, 'the-digest')
        if (packed === undefined) return
        expect(packing.unpack(packed.slice(), 'the-digest')).toEqual(
          JSON.parse(JSON.stringify(value)),
        )
      }),
      { numRuns: 500 },
    )
  })

  it('S6: a member called __proto__ is data', () => {
    const packing = createPacking([])
    const value: unknown = JSON.parse('{"a":{"__proto__":{"admin":true}}}')
    const packed = packing.pack(Object(value), 'the-digest') ?? new Uint8Array()
    const unpacked = packing.unpack(packed, 'the-digest')
    expect(JSON.stringify(unpacked)).toBe(JSON.stringify(value))
    expect(Reflect.get(Object(Reflect.get(Object(unpacked), 'a')), 'admin')).toBeUndefined()
  })

  it('refuses what is too big and leaves nothing behind', () => {
    const packing = createPacking([])
    expect(packing.pack({ text: 'x y '.repeat(1_000) }, 'd')).toBeUndefined()
    expect(packing.pack({ text: 'A'.repeat(3_000) }, 'd')).toBeUndefined()
    const packed = packing.pack({ text: 'ok' }, 'd')
    expect(packed && packing.unpack(packed, 'd')).toEqual({ text: 'ok' })
  })
})
