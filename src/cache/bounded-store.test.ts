import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createBoundedStore } from './bounded-store.ts'

describe('createBoundedStore', () => {
  it('is bounded in entries and bytes, counts right and never loses a held key to a flood', () => {
    const step = fc.record({
      do: fc.constantFrom('set', 'get', 'delete', 'hold', 'release'),
      key: fc.nat({ max: 40 }).map((n) => `k${n}`),
      bytes: fc.nat({ max: 20 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300, size: 'max' }), (steps) => {
        const store = createBoundedStore<string>({ entriesMax: 16, bytesMax: 1_000 })
        const held = new Set<string>()
        for (const { do: verb, key, bytes } of steps) {
          if (verb === 'set') store.set(key, key, bytes)
          if (verb === 'get') expect([key, undefined]).toContain(store.get(key))
          if (verb === 'delete' && store.delete(key)) held.delete(key)
          if (verb === 'hold' && store.hold(key)) held.add(key)
          if (verb === 'release') {
            store.release(key)
            held.delete(key)
          }
          const { entries } = store.size()
          expect(entries).toBeLessThanOrEqual(16)
          expect(entries).toBe(
            Array.from({ length: 41 }, (_, n) => store.peek(`k${n}`)).filter(Boolean).length,
          )
          for (const one of held) expect(store.peek(one)).toBe(one)
          expect(held.size).toBeLessThanOrEqual(8)
        }
        for (let key = 0; key <= 40; key++) store.delete(`k${key}`)
        expect(store.size()).toEqual({ entries: 0, bytes: 0 })
      }),
      { numRuns: 100 },
    )
  })

  it('C7: keys read twice stay when a thousand times as many come once', () => {
    const store = createBoundedStore<number>({ entriesMax: 100, bytesMax: 1_000_000 })
    for (let key = 0; key < 70; key++) {
      store.set(`good${key}`, key, 1)
      store.get(`good${key}`)
    }
    for (let key = 0; key < 100_000; key++) store.set(`random${key}`, key, 1)
    const kept = Array.from({ length: 70 }, (_, key) => store.peek(`good${key}`)).filter(
      (one) => one !== undefined,
    )
    expect(kept).toHaveLength(70)
  })

  it('one value larger than the room is not kept', () => {
    const store = createBoundedStore<string>({ entriesMax: 4, bytesMax: 10 })
    store.set('big', 'big', 11)
    expect(store.size()).toEqual({ entries: 0, bytes: 0 })
  })
})
