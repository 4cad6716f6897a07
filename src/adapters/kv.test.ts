import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createKvCache, type KvNamespace } from './kv.ts'

function setUp() {
  const runtime = createTestRuntime()
  const rows = new Map<string, string>()
  const puts: [string, string, number][] = []
  const namespace: KvNamespace = {
    get: async (key) => rows.get(key) ?? null,
    async put(key, value, { expirationTtl }) {
      puts.push([key, value, expirationTtl])
      rows.set(key, value)
    },
    delete: async (key) => void rows.delete(key),
  }
  return { runtime, rows, puts, cache: createKvCache(namespace, runtime) }
}

describe('createKvCache', () => {
  it('keeps a value for as long as it says, and none that KV would keep for longer', async () => {
    const { cache, puts, runtime } = setUp()
    await cache.set('a', '1', 3_600)
    expect(puts).toEqual([['a', '1', 3_600]])
    expect([await cache.get('a'), await cache.get('b')]).toEqual(['1', undefined])
    runtime.advanceMs(1_000)
    await cache.set('a', '2', 59)
    expect(await cache.get('a')).toBeUndefined()
    expect(puts).toHaveLength(1)
  })

  it('K18: writes a key once a second, and then the newest value', async () => {
    const { cache, puts, runtime, rows } = setUp()
    await cache.set('a', '1', 60)
    const later = ['2', '3', '4'].map((value) => cache.set('a', value, 60))
    const other = cache.set('b', 'x', 60)
    await other
    expect(puts.map(([key, value]) => [key, value])).toEqual([
      ['a', '1'],
      ['b', 'x'],
    ])
    await runtime.elapseMs(1_000)
    await Promise.all(later)
    expect(puts.slice(2).map(([key, value]) => [key, value])).toEqual([['a', '4']])
    runtime.advanceMs(1_000)
    await cache.set('a', '5', 60)
    const gone = cache.delete('a')
    await runtime.elapseMs(1_000)
    await gone
    expect(rows.has('a')).toBe(false)
  })

  it('names keys that KV does not take by their digest, and no two alike', async () => {
    const { cache, puts } = setUp()
    const long = 'x'.repeat(513)
    const wide = '\u20ac'.repeat(171)
    const keys = ['', '.', '..', long, `${long}y`, wide, 'sha256:abc', 'plain', 'x'.repeat(512)]
    for (const key of keys) await cache.set(key, `of ${key}`, 60)
    const names = puts.map(([name]) => name)
    expect(new Set(names).size).toBe(keys.length)
    for (const name of names) expect(new TextEncoder().encode(name).length).toBeLessThan(513)
    expect(names.at(-2)).toBe('plain')
    for (const key of keys) expect(await cache.get(key)).toBe(`of ${key}`)
  })
})
