import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { cachesOf, forgetCached } from './caches.ts'
import { createLoadingCache } from './loading-cache.ts'

function open(name: string, emit = createRecordingEmit()) {
  const cache = createLoadingCache<string>({
    ...{ name, emit, runtime: createTestRuntime(), jitter: 0 },
    load: async (key) => ({ outcome: 'yes', value: `${key}!` }),
    ...{ freshSeconds: 60, staleSeconds: 60, staleIfErrorSeconds: 60, negativeSeconds: 0 },
    ...{ flightDeadlineMs: 1_000, entriesMax: 10, bytesMax: 10_000 },
  })
  return { cache, emit }
}

describe('the caches of a house', () => {
  it('are those that report to its Emit, until they close', async () => {
    const { cache, emit } = open('one')
    const other = open('two', emit)
    open('elsewhere')
    expect(cachesOf(emit).map(({ name }) => name)).toEqual(['one', 'two'])
    await cache.close()
    expect(cachesOf(emit).map(({ name }) => name)).toEqual(['two'])
    await other.cache.close()
  })

  it('tell what came of reads; a look counts nothing and tells no value', async () => {
    const { cache, emit } = open('one')
    await cache.read('a', { deadlineMs: 100 })
    cache.peek('a')
    const [watched] = cachesOf(emit)
    expect(watched?.outcomes()).toEqual({ hit: 1, stale: 0, miss: 1, negative: 0, error: 0 })
    expect(watched?.look('a')).toEqual({ state: 'hit', ageSeconds: 0 })
    expect(watched?.look('b')).toEqual({ state: 'miss' })
    expect(watched?.outcomes()).toMatchObject({ hit: 1, miss: 1 })
  })

  it('forget the key that a mark names, whatever letters it has', async () => {
    const { cache, emit } = open('one')
    const key = 'https://notes.example/mcp:8:x'
    for (const each of [key, 'b']) await cache.read(each, { deadlineMs: 100 })
    for (const id of ['two:b', 'one', 'connectors', 'one:']) forgetCached(emit, id)
    expect(cache.size().entries).toBe(2)
    forgetCached(emit, `one:${key}`)
    expect(cache.peek(key)).toEqual({ state: 'miss' })
    expect(cache.peek('b')).toMatchObject({ state: 'hit' })
  })
})
