import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import type { Cache } from '../ports.ts'
import { createSealing } from '../vault/sealing.ts'
import { createSealedCache } from './sealed-cache.ts'

const KEY = new Uint8Array(32).fill(7)
const OLD_KEY = new Uint8Array(32).fill(6)
const TTL_SECONDS = 3_600

function setUp() {
  const runtime = createTestRuntime()
  const rows = new Map<string, string>()
  const cache: Cache = {
    stalenessSeconds: 60,
    get: async (key) => rows.get(key),
    set: async (key, value) => void rows.set(key, value),
    delete: async (key) => void rows.delete(key),
  }
  const node = (purpose = 'facts', keys = [KEY]) =>
    createSealedCache(cache, { sealing: createSealing(keys, runtime), runtime, purpose })
  return { runtime, rows, node }
}

describe('createSealedCache', () => {
  it('gives back what another node wrote, and shows neither keys nor values to who holds the rows', async () => {
    const { node, rows } = setUp()
    await node().set('https://secret.example/mcp', 'the value', TTL_SECONDS)
    expect(await node().get('https://secret.example/mcp')).toBe('the value')
    expect(await node().get('https://secret.example/other')).toBeUndefined()
    expect(JSON.stringify([...rows])).not.toMatch(/secret\.example|the value/)
    await node().delete('https://secret.example/mcp')
    expect(await node().get('https://secret.example/mcp')).toBeUndefined()
  })

  it('C11: of every value overwritten with another valid one, and of forgeries, none is believed', async () => {
    const { node, rows } = setUp()
    const keys = Array.from({ length: 20 }, (_, n) => `key-${n}`)
    for (const key of keys) await node().set(key, `value of ${key}`, TTL_SECONDS)
    await node('other').set('key-0', 'of another purpose', TTL_SECONDS)
    const stranger = setUp()
    await stranger.node('facts', [OLD_KEY]).set('key-0', 'by another key', TTL_SECONDS)
    const names = [...rows.keys()]
    const valid = [...rows.values(), ...stranger.rows.values()]
    let believed = 0
    let tried = 0
    for (const [index, name] of names.slice(0, keys.length).entries()) {
      const own = rows.get(name) ?? ''
      const [written, until, keyId, sealed = ''] = own.split('.')
      const flipped = `${sealed[0] === 'A' ? 'B' : 'A'}${sealed.slice(1)}`
      const forgeries = [
        ...valid.filter((value) => value !== own),
        `${Number(written) + 1}.${until}.${keyId}.${sealed}`,
        `${written}.${Number(until) + 1}.${keyId}.${sealed}`,
        `${written}.${until}.other.${sealed}`,
        `${written}.${until}.${keyId}.${flipped}`,
        `${written}.${until}.${keyId}.${sealed.slice(0, -4)}`,
        `0${own}`,
        `${own}.`,
        'plain text',
        JSON.stringify({ value: 'evil' }),
        '',
      ]
      for (const forgery of forgeries) {
        rows.set(name, forgery)
        tried += 1
        if ((await node().get(keys[index] ?? '')) !== undefined) believed += 1
      }
      rows.set(name, own)
      expect(await node().get(keys[index] ?? '')).toBe(`value of key-${index}`)
    }
    expect({ believed, isMany: tried > 500 }).toEqual({ believed: 0, isMany: true })
  })

  it('C11: an older value is not believed by who has seen, written or forgotten a newer one', async () => {
    const { node, rows, runtime } = setUp()
    const writer = node()
    await writer.set('key', 'older', TTL_SECONDS)
    const [name = '', older = ''] = [...rows][0] ?? []
    runtime.advanceMs(1_000)
    await writer.set('key', 'newer', TTL_SECONDS)
    const newer = rows.get(name) ?? ''
    const reader = node()
    expect(await reader.get('key')).toBe('newer')
    rows.set(name, older)
    expect([await writer.get('key'), await reader.get('key')]).toEqual([undefined, undefined])
    await writer.delete('key')
    for (const value of [older, newer]) {
      rows.set(name, value)
      expect(await writer.get('key')).toBeUndefined()
    }
    await writer.set('key', 'newest', TTL_SECONDS)
    expect(await writer.get('key')).toBe('newest')
  })

  it('C11: what a node with a clock ahead wrote is forgotten by who has seen it', async () => {
    const { node, rows, runtime } = setUp()
    runtime.jumpWallMs(30_000)
    await node().set('key', 'ahead', TTL_SECONDS)
    const [name = '', ahead = ''] = [...rows][0] ?? []
    runtime.jumpWallMs(-30_000)
    const reader = node()
    expect(await reader.get('key')).toBe('ahead')
    await reader.delete('key')
    rows.set(name, ahead)
    expect(await reader.get('key')).toBeUndefined()
    await reader.set('key', 'newer', TTL_SECONDS)
    expect([await reader.get('key'), await node().get('key')]).toEqual(['newer', 'newer'])
  })

  it('C11: a value is not believed past its own life, nor from the future', async () => {
    const { node, runtime } = setUp()
    await node().set('key', 'value', 60)
    runtime.advanceMs(59_999)
    expect(await node().get('key')).toBe('value')
    runtime.advanceMs(1)
    expect(await node().get('key')).toBeUndefined()
    await node().set('key', 'value', TTL_SECONDS)
    runtime.jumpWallMs(-60_001)
    expect(await node().get('key')).toBeUndefined()
  })

  it('opens what the sealing key before this one sealed, while it is still known', async () => {
    const { node } = setUp()
    await node('facts', [OLD_KEY]).set('key', 'value', TTL_SECONDS)
    expect(await node('facts', [OLD_KEY, KEY]).get('key')).toBe('value')
    expect(await node().get('key')).toBeUndefined()
  })

  it('I9: remembers a bounded number of keys', async () => {
    const { node, rows, runtime } = setUp()
    const writer = node()
    await writer.set('first', 'older', TTL_SECONDS)
    const [name = '', older = ''] = [...rows][0] ?? []
    runtime.advanceMs(1_000)
    await writer.set('first', 'newer', TTL_SECONDS)
    for (let n = 0; n < 10_000; n++) await writer.delete(`other-${n}`)
    rows.set(name, older)
    // Forgotten: the value counts again, within its own life.
    expect(await writer.get('first')).toBe('older')
  })
})
