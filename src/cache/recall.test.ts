/**
 * Loading caches of nodes that are many and short-lived, as on Workers: each reads what others found by
 * key, from a shared cache and the store behind it.
 */
import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryLock, createMemoryStore } from '../adapters/memory.ts'
import type { Cache } from '../ports.ts'
import { createSealing } from '../vault/sealing.ts'
import { acrossNodes } from './across-nodes.ts'
import { createLoadingCache } from './loading-cache.ts'
import { createQuickCache } from './quick-cache.ts'
import { createSealedCache } from './sealed-cache.ts'
import { storedFacts } from './stored-facts.ts'

const FRESH_SECONDS = 3_600
const STALE_SECONDS = 86_400
const GONE_SECONDS = 604_800
const DEADLINE = { deadlineMs: 3_000 }
const STALENESS_MS = 60_000

/** Answers with what stood there 60 s ago, as an eventually consistent store may. */
function staleCache(nowMs: () => number) {
  const rows = new Map<string, { atMs: number; value: string | undefined }[]>()
  const write = (key: string, value: string | undefined): void => {
    rows.set(key, [...(rows.get(key) ?? []), { atMs: nowMs(), value }])
  }
  const cache: Cache = {
    stalenessSeconds: STALENESS_MS / 1_000,
    get: async (key) => {
      const known = rows.get(key) ?? []
      return (known.findLast(({ atMs }) => atMs + STALENESS_MS <= nowMs()) ?? known[0])?.value
    },
    set: async (key, value) => write(key, value),
    delete: async (key) => write(key, undefined),
  }
  return cache
}

function plainCache() {
  const rows = new Map<string, string>()
  const cache: Cache = {
    stalenessSeconds: 0,
    get: async (key) => rows.get(key),
    set: async (key, value) => void rows.set(key, value),
    delete: async (key) => void rows.delete(key),
  }
  return { cache, rows }
}

function setUp(inner?: Cache) {
  const runtime = createTestRuntime({ sharesPromises: false })
  const store = createMemoryStore()
  const lock = createMemoryLock(runtime)
  const remote = { says: 'first', isDown: false, asked: 0 }
  const sealing = createSealing([new Uint8Array(32).fill(3)], runtime)
  const cacheOf = () =>
    inner &&
    createSealedCache(createQuickCache(inner, runtime), { sealing, runtime, purpose: 'facts' })
  /** One isolate. */
  const isolate = () => {
    const cache = cacheOf()
    const facts = storedFacts<string>(store, {
      name: 'facts',
      lifeSeconds: GONE_SECONDS,
      max: 1_000,
      shared: cache && { cache, runtime },
    })
    return createLoadingCache<string>({
      name: 'facts',
      load: acrossNodes<string>({
        name: 'facts',
        lock,
        leaseMs: 3_000,
        runtime,
        facts,
        load: async () => {
          remote.asked += 1
          if (remote.isDown) throw new Error('down')
          return { outcome: 'yes', value: remote.says }
        },
      }),
      freshSeconds: FRESH_SECONDS,
      staleSeconds: STALE_SECONDS,
      staleIfErrorSeconds: GONE_SECONDS,
      negativeSeconds: 30,
      flightDeadlineMs: 3_000,
      entriesMax: 100,
      bytesMax: 1_000_000,
      jitter: 0,
      runtime,
      emit: createRecordingEmit(),
      persist: facts,
    })
  }
  return { runtime, store, remote, isolate }
}

describe.each([
  ['the store alone', undefined],
  ['a shared cache before the store', plainCache],
])('a new isolate, by %s', (_, makeCache) => {
  const start = () => setUp(makeCache?.().cache)

  it('reads what another one found, with its age, and asks nobody', async () => {
    const { isolate, remote, runtime } = start()
    expect(await isolate().read('key', DEADLINE)).toMatchObject({ state: 'hit', value: 'first' })
    await runtime.settle()
    runtime.advanceMs(60_000)
    const second = isolate()
    expect(await second.start()).toBe(0)
    expect(await second.read('key', DEADLINE)).toEqual({
      state: 'hit',
      value: 'first',
      ageSeconds: 60,
    })
    expect(remote.asked).toBe(1)
  })

  it('serves what has become stale at once, and asks behind', async () => {
    const { isolate, remote, runtime } = start()
    await isolate().read('key', DEADLINE)
    await runtime.settle()
    runtime.advanceMs(FRESH_SECONDS * 1_000)
    remote.says = 'second'
    const cache = isolate()
    expect(await cache.read('key', DEADLINE)).toMatchObject({ state: 'stale', value: 'first' })
    await runtime.settle()
    expect(cache.peek('key')).toMatchObject({ state: 'hit', value: 'second' })
    expect(remote.asked).toBe(2)
  })

  it('has the last good copy of a remote that is down', async () => {
    const { isolate, remote, runtime } = start()
    await isolate().read('key', DEADLINE)
    await runtime.settle()
    runtime.advanceMs(STALE_SECONDS * 1_000)
    remote.isDown = true
    expect(await isolate().read('key', DEADLINE)).toMatchObject({ state: 'stale', value: 'first' })
    expect(remote.asked).toBe(2)
  })

  it('takes what another one renewed in place of asking again', async () => {
    const { isolate, remote, runtime } = start()
    const [one, other] = [isolate(), isolate()]
    await one.read('key', DEADLINE)
    await other.read('key', DEADLINE)
    runtime.advanceMs(FRESH_SECONDS * 1_000)
    remote.says = 'second'
    await one.read('key', DEADLINE)
    await runtime.settle()
    runtime.advanceMs(1_000)
    expect(await other.read('key', DEADLINE)).toMatchObject({ state: 'stale', value: 'first' })
    await runtime.settle()
    expect(other.peek('key')).toMatchObject({ state: 'hit', value: 'second', ageSeconds: 1 })
    expect(remote.asked).toBe(2)
  })

  it('asks anew when a person asks again, and when somebody doubts', async () => {
    const { isolate, remote, runtime } = start()
    await isolate().read('key', DEADLINE)
    await runtime.settle()
    runtime.advanceMs(1_000)
    remote.says = 'second'
    const cache = isolate()
    const asked = await cache.read('key', { ...DEADLINE, retryNegative: true })
    expect(asked).toMatchObject({ value: 'second' })
    await runtime.settle()
    runtime.advanceMs(1_000)
    remote.says = 'third'
    cache.revalidate('key')
    await runtime.settle()
    expect(cache.peek('key')).toMatchObject({ state: 'hit', value: 'third' })
  })

  it('does not get back what it has dropped', async () => {
    const { isolate, remote, runtime } = start()
    const cache = isolate()
    await cache.read('key', DEADLINE)
    await runtime.settle()
    remote.says = 'second'
    runtime.advanceMs(1_000)
    cache.drop('key')
    expect(await cache.read('key', DEADLINE)).toMatchObject({ value: 'second' })
  })

  it('writes what it learned at once: no timer of it outlives its request', async () => {
    const { isolate, runtime } = start()
    isolate().put('key', 'learned')
    expect(runtime.timers()).toBe(0)
    await runtime.settle()
    expect(await isolate().read('key', DEADLINE)).toMatchObject({ value: 'learned' })
  })
})

describe('a shared cache that answers with older values for 60 s', () => {
  it('K11: what was forgotten or found anew counts at once where it was, and elsewhere behind one answer', async () => {
    const { isolate, remote, runtime } = setUp(staleCache(() => runtimeNow()))
    const runtimeNow = () => runtime.nowMs()
    await isolate().read('key', DEADLINE)
    await runtime.settle()
    runtime.advanceMs(STALENESS_MS)
    const here = isolate()
    await here.read('key', DEADLINE)
    await runtime.settle()
    remote.says = 'second'
    here.drop('key')
    expect(await here.read('key', DEADLINE)).toMatchObject({ value: 'second' })
    await runtime.settle()
    runtime.advanceMs(1_000)
    // Elsewhere the cache still says `first`: one answer, compared with the store behind it.
    const elsewhere = isolate()
    await elsewhere.read('key', DEADLINE)
    await runtime.settle()
    expect(elsewhere.peek('key')).toMatchObject({ value: 'second' })
    expect(remote.asked).toBe(2)
  })

  it('K11: nodes that agree by lease take nothing from it: one load, and the newest for all', async () => {
    const { isolate, remote, runtime } = setUp(staleCache(() => runtimeNow()))
    const runtimeNow = () => runtime.nowMs()
    const nodes = Array.from({ length: 8 }, isolate)
    await nodes[0]?.read('key', DEADLINE)
    await runtime.settle()
    runtime.advanceMs(1_000)
    remote.says = 'second'
    const asked = nodes.map((node) => node.read('key', { ...DEADLINE, retryNegative: true }))
    await runtime.elapseMs(2_000)
    const found = await Promise.all(asked)
    expect(found.slice(1).map((read) => 'value' in read && read.value)).toEqual(
      Array.from({ length: 7 }, () => 'second'),
    )
    expect(remote.asked).toBe(2)
  })

  it('K11: what the store has lost is forgotten, too', async () => {
    const { isolate, remote, runtime, store } = setUp(staleCache(() => runtimeNow()))
    const runtimeNow = () => runtime.nowMs()
    await isolate().read('key', DEADLINE)
    await runtime.settle()
    await store.remove('fact', { tenant: 'default', id: 'facts:key' })
    remote.says = 'second'
    runtime.advanceMs(1_000)
    const cache = isolate()
    await cache.read('key', DEADLINE)
    await runtime.settle()
    expect(cache.peek('key')).not.toMatchObject({ value: 'first' })
    expect(await cache.read('key', DEADLINE)).toMatchObject({ value: 'second' })
  })
})

it('K5: a shared cache that hangs, or fails, costs half a second and no answer', async () => {
  const never = <T>() => new Promise<T>(() => undefined)
  const silent = {
    stalenessSeconds: 60,
    get: never<undefined>,
    set: never<void>,
    delete: never<void>,
  }
  const failing = async () => Promise.reject(new Error('KV GET failed: 500'))
  const broken = { stalenessSeconds: 60, get: failing, set: failing, delete: failing }
  for (const cache of [silent, broken]) {
    const { isolate, remote, runtime } = setUp(cache)
    const first = isolate().read('key', DEADLINE)
    await runtime.elapseMs(500)
    expect(await first).toMatchObject({ state: 'hit', value: 'first' })
    const second = isolate().read('key', DEADLINE)
    await runtime.elapseMs(500)
    expect(await second).toMatchObject({ value: 'first' })
    expect([remote.asked, runtime.timers(), runtime.rejections]).toEqual([1, 0, []])
  }
})

it('C11: a house with a cache full of forgeries asks for itself, and believes none', async () => {
  const { cache, rows } = plainCache()
  const { isolate, remote, runtime } = setUp(cache)
  const keys = Array.from({ length: 10 }, (_, n) => `key-${n}`)
  const first = isolate()
  for (const key of keys) {
    remote.says = `of ${key}`
    await first.read(key, DEADLINE)
  }
  await runtime.settle()
  const values = [...rows.values()]
  // Each under the next one's name, and the store of the facts lost.
  for (const [index, name] of [...rows.keys()].entries())
    rows.set(name, values[(index + 1) % values.length] ?? '')
  const second = isolate()
  const read = await Promise.all(keys.map((key) => second.read(key, DEADLINE)))
  expect(read.map((one) => 'value' in one && one.value)).toEqual(keys.map((key) => `of ${key}`))
})
