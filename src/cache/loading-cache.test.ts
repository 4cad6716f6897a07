import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import {
  ANSWER_MS,
  type Fact,
  FRESH,
  GONE,
  NEGATIVE,
  STALE,
  createRemoteFacts as setUp,
} from '../../test/kit/remote-facts.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { UpstreamError } from '../errors.ts'
import { createBreakers } from './breaker.ts'
import type { Loaded } from './loading-cache.ts'
import type { Persisted } from './write-behind.ts'

describe('createLoadingCache, outcomes and bounds', () => {
  it('loads on a miss, then answers from memory', async () => {
    const { read, cache, remote, emit } = setUp()
    expect(cache.peek('a')).toEqual({ state: 'miss' })
    expect(await read()).toMatchObject({ state: 'hit', ageSeconds: 0 })
    expect(await read()).toMatchObject({ state: 'hit' })
    expect(cache.peek('a')).toMatchObject({ state: 'hit', ageSeconds: 0.1 })
    expect(remote.loads).toBe(1)
    expect(emit.counted('postern_cache_reads_total', { cache: 'facts', outcome: 'miss' })).toBe(2)
    expect(emit.counted('postern_cache_reads_total', { cache: 'facts', outcome: 'hit' })).toBe(2)
    expect(emit.gauged('postern_cache_entries', { cache: 'facts' })).toBe(1)
  })

  it('serves the stale value while one load runs behind (RFC 5861 section 3)', async () => {
    const { cache, read, pass, remote } = setUp()
    await read()
    await pass(FRESH + 1)
    for (let call = 0; call < 5; call++) {
      expect(await cache.read('a', { deadlineMs: 0 })).toMatchObject({ state: 'stale' })
    }
    expect(remote.loads).toBe(2)
    await pass(1)
    expect(cache.peek('a')).toMatchObject({ state: 'hit' })
  })

  it('waits for a new load past the stale bound', async () => {
    const { read, pass, cache, remote } = setUp()
    await read()
    await pass(STALE)
    expect(cache.peek('a')).toEqual({ state: 'miss' })
    expect(await read()).toMatchObject({ state: 'hit', ageSeconds: 0 })
    expect(remote.loads).toBe(2)
    expect(remote.previous[1]).toMatchObject({ key: 'a' })
  })

  it.each(['unknown', 'throws', 'hangs'] as const)(
    'C4, F3: serves the last good value up to its bound when the remote %s',
    async (mode) => {
      const { cache, read, pass, remote } = setUp()
      await read()
      remote.mode = mode
      for (let second = 0; second < GONE - 20; second += 20) {
        await pass(20)
        const reading = cache.read('a', { deadlineMs: 2_000 })
        await pass(2)
        second += 2
        const found = await reading
        expect(['hit', 'stale']).toContain(found.state)
      }
      await pass(40)
      const late = cache.read('a', { deadlineMs: 2_000 })
      await pass(2)
      expect(await late).toMatchObject({ state: 'error' })
    },
  )

  it('a failing remote is not asked by every caller, and only the first one waits', async () => {
    const { cache, read, pass, remote } = setUp()
    await read()
    remote.mode = 'hangs'
    await pass(STALE)
    const first = cache.read('a', { deadlineMs: 2_000 })
    await pass(2)
    expect(await first).toMatchObject({ state: 'stale' })
    expect(cache.peek('a')).toMatchObject({ state: 'stale' })
    for (let call = 0; call < 100; call++) {
      expect(await cache.read('a', { deadlineMs: 2_000 })).toMatchObject({ state: 'stale' })
    }
    expect(remote.loads).toBe(2)
  })

  it('an old value is not served without asking once the failure is a minute ago', async () => {
    const { cache, read, pass, remote } = setUp()
    await read()
    remote.mode = 'unknown'
    await pass(STALE)
    await read()
    expect(cache.peek('a')).toMatchObject({ state: 'stale' })
    await pass(61)
    expect(cache.peek('a')).toEqual({ state: 'miss' })
  })

  it('VAL-08: a no removes the value and is remembered shortly; an unknown never becomes a no', async () => {
    const { read, pass, remote } = setUp()
    remote.mode = 'unknown'
    expect(await read()).toMatchObject({ state: 'error' })
    remote.mode = 'yes'
    expect(await read()).toMatchObject({ state: 'hit' })
    remote.mode = 'no'
    await pass(STALE)
    expect(await read()).toMatchObject({ state: 'negative', reason: 'gone' })
    expect(await read()).toMatchObject({ state: 'negative' })
    expect(remote.loads).toBe(3)
    await pass(NEGATIVE)
    remote.mode = 'yes'
    expect(await read()).toMatchObject({ state: 'hit' })
  })

  it('a person who asks again passes over a remembered no and a remembered failure', async () => {
    const { read, remote } = setUp({ failureSeconds: 30 })
    remote.mode = 'no'
    await read('gone')
    remote.mode = 'unknown'
    await read('down')
    remote.mode = 'yes'
    expect(await read('gone')).toMatchObject({ state: 'negative' })
    expect(await read('down')).toMatchObject({ state: 'error' })
    expect(await read('gone', 2_000, true)).toMatchObject({ state: 'hit' })
    expect(await read('down', 2_000, true)).toMatchObject({ state: 'hit' })
  })

  it('F4: no load before the ordered wait is over, at most five minutes', async () => {
    const { cache, read, pass, remote } = setUp({ breaker: () => undefined })
    await read()
    remote.mode = 'unknown'
    remote.retryAfterMs = 86_400_000
    await pass(FRESH + 1)
    await cache.read('a', { deadlineMs: 0 })
    await pass(1)
    remote.retryAfterMs = undefined
    for (let second = 0; second < 295; second += 5) {
      expect(await cache.read('a', { deadlineMs: 0 })).toMatchObject({ state: 'stale' })
      cache.renew('a')
      await pass(5)
    }
    expect(remote.loads).toBe(2)
    remote.mode = 'yes'
    await pass(6)
    expect(await read()).toMatchObject({ state: 'hit' })
  })

  it('VAL-05: age 0 asks every time and keeps the last good value for an unknown outcome', async () => {
    const { read, remote } = setUp({ freshSeconds: 0, staleSeconds: 0 })
    for (let call = 1; call <= 3; call++) {
      expect(await read()).toMatchObject({ state: 'hit' })
      expect(remote.loads).toBe(call)
    }
    remote.mode = 'unknown'
    expect(await read()).toMatchObject({ state: 'stale' })
    expect(await read()).toMatchObject({ state: 'stale' })
    expect(remote.loads).toBe(5)
  })

  it('a load may state its own freshness, beyond the default stale bound too', async () => {
    const { cache, runtime } = setUp({
      load: async (key) => ({ outcome: 'yes', value: { key, atMs: 0 }, freshSeconds: 7_200 }),
      jitter: 0,
    })
    await cache.read('a', { deadlineMs: 10 })
    runtime.advanceMs(7_199_000)
    expect(cache.peek('a')).toMatchObject({ state: 'hit' })
    runtime.advanceMs(2_000)
    expect(cache.peek('a')).toEqual({ state: 'miss' })
  })

  it('shortens each life at random, within its range and never beyond the bound', () => {
    fc.assert(
      fc.property(fc.integer(), fc.double({ min: 0, max: 0.5, noNaN: true }), (seed, jitter) => {
        const { cache, runtime } = setUp({ jitter }, { seed })
        cache.put('a', { key: 'a', atMs: 0 })
        runtime.advanceMs(FRESH * 1000 * (1 - jitter) - 1)
        expect(cache.peek('a').state).toBe('hit')
        runtime.advanceMs(FRESH * 1000 * jitter + 2)
        expect(cache.peek('a').state).toBe('stale')
      }),
    )
  })
})

describe('createLoadingCache, flights', () => {
  it('C8, VAL-09: 10,000 callers of one cold key make one load', async () => {
    const { cache, runtime, remote } = setUp()
    const readings = Array.from({ length: 10_000 }, () => cache.read('a', { deadlineMs: 2_000 }))
    await runtime.elapseMs(ANSWER_MS)
    const found = await Promise.all(readings)
    expect(found.every((one) => one.state === 'hit')).toBe(true)
    expect(remote.loads).toBe(1)
  })

  it('C9: callers who leave or run out of time hurt nobody else', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('stays', 'leaves', 'gone', 'hurries'), {
          minLength: 1,
          maxLength: 40,
        }),
        async (callers) => {
          const { cache, runtime, remote } = setUp()
          const readings = callers.map((caller) => {
            const abort = new AbortController()
            if (caller === 'gone') abort.abort(new Error('left'))
            const reading = cache.read('a', {
              deadlineMs: caller === 'hurries' ? 50 : 2_000,
              signal: abort.signal,
            })
            if (caller === 'leaves') abort.abort(new Error('left'))
            return reading
          })
          await runtime.elapseMs(ANSWER_MS)
          const found = await Promise.all(readings)
          for (const [index, caller] of callers.entries()) {
            expect(found[index]?.state).toBe(caller === 'stays' ? 'hit' : 'error')
          }
          expect(remote.loads).toBe(1)
          expect(cache.peek('a').state).toBe('hit')
          expect(runtime.timers()).toBe(0)
        },
      ),
      { numRuns: 50 },
    )
  })

  it("F2: ends a load that hangs at the flight's deadline; a late answer is not believed", async () => {
    const runtime = createTestRuntime()
    const late = Promise.withResolvers<Loaded<Fact>>()
    const { cache } = setUp({ load: () => late.promise, runtime })
    const reading = cache.read('a', { deadlineMs: 60_000 })
    await runtime.elapseMs(10_000)
    expect(await reading).toMatchObject({ state: 'error', error: { code: 'ERR_UPSTREAM_TIMEOUT' } })
    late.resolve({ outcome: 'yes', value: { key: 'a', atMs: 0 } })
    await runtime.settle()
    expect(cache.peek('a')).toEqual({ state: 'miss' })
  })

  it('forgets on evidence: what was in flight then is not believed, and its callers get a new load', async () => {
    const { cache, runtime, remote } = setUp()
    const reading = cache.read('a', { deadlineMs: 2_000 })
    await runtime.elapseMs(50)
    cache.drop('a')
    await runtime.elapseMs(50)
    expect(cache.peek('a')).toEqual({ state: 'miss' })
    await runtime.elapseMs(ANSWER_MS)
    expect(await reading).toMatchObject({ state: 'hit' })
    expect(remote.loads).toBe(2)
  })

  it('a fact learned while a load is in flight wins over a no that was asked before', async () => {
    const { cache, runtime, remote } = setUp()
    remote.mode = 'no'
    const reading = cache.read('a', { deadlineMs: 2_000 })
    cache.put('a', { key: 'a', atMs: 7 })
    await runtime.elapseMs(ANSWER_MS)
    expect(await reading).toMatchObject({ state: 'hit', value: { atMs: 7 } })
    expect(cache.peek('a')).toMatchObject({ state: 'hit' })
  })

  it('doubt keeps the last good value and asks behind', async () => {
    const { cache, read, pass, remote } = setUp()
    await read()
    cache.revalidate('a')
    expect(cache.peek('a')).toMatchObject({ state: 'stale' })
    await pass(1)
    expect(cache.peek('a')).toMatchObject({ state: 'hit' })
    expect(remote.loads).toBe(2)
  })

  it('asks nobody while the breaker of its origin is open', async () => {
    const runtime = createTestRuntime()
    const emit = createRecordingEmit()
    const breaker = createBreakers({ runtime, emit }).for('https://remote.test')
    const error = new UpstreamError('ERR_UPSTREAM_CONNECT', { operation: 'x', origin: 'y' })
    let loads = 0
    const load = async (): Promise<Loaded<Fact>> => {
      loads++
      throw error
    }
    const { cache } = setUp({ load, runtime, emit, breaker: () => breaker })
    for (let call = 0; call < 20; call++) await cache.read(`k${call}`, { deadlineMs: 10 })
    expect(loads).toBe(5)
    expect(await cache.read('k', { deadlineMs: 10 })).toMatchObject({
      state: 'error',
      error: { code: 'ERR_UPSTREAM_BREAKER' },
    })
  })

  it('where promises are not shared, each caller loads for itself and the outcome serves all', async () => {
    const { cache, runtime, remote } = setUp({}, { sharesPromises: false })
    const readings = Array.from({ length: 3 }, () => cache.read('a', { deadlineMs: 2_000 }))
    await runtime.elapseMs(ANSWER_MS)
    expect((await Promise.all(readings)).every((one) => one.state === 'hit')).toBe(true)
    expect(remote.loads).toBe(3)
    await runtime.elapseMs((FRESH + 1) * 1000)
    for (let call = 0; call < 5; call++)
      expect(await cache.read('a', { deadlineMs: 0 })).toMatchObject({ state: 'stale' })
    expect(remote.loads).toBe(4)
    cache.keepWarm('a', runtime.monotonicMs() + GONE * 1000)
    await runtime.elapseMs(STALE * 1000)
    expect(remote.loads).toBe(4)
  })
})

describe('createLoadingCache, keep-warm', () => {
  it('loads a key in use ahead of its stale bound, so one read every 400 s never waits', async () => {
    const { cache, read, pass, remote } = setUp()
    await read()
    for (let call = 0; call < 18; call++) {
      cache.keepWarm('a', Number.POSITIVE_INFINITY)
      await pass(400)
      expect(['hit', 'stale']).toContain(cache.peek('a').state)
    }
    expect(remote.loads).toBeLessThanOrEqual(2 + Math.ceil((18 * 400) / (STALE * 0.8 * 0.9)))
  })

  it('loads between 72 % and 80 % of the bound, at different times for different keys', async () => {
    const { cache, runtime, remote, pass } = setUp()
    for (let key = 0; key < 50; key++) {
      cache.put(`k${key}`, { key: `k${key}`, atMs: 0 })
      cache.keepWarm(`k${key}`, Number.POSITIVE_INFINITY)
    }
    await runtime.elapseMs(STALE * 0.72 * 1000 - 1_000)
    expect(remote.loads).toBe(0)
    await pass(12)
    expect(remote.loads).toBeGreaterThan(5)
    expect(remote.loads).toBeLessThan(45)
    await pass(15)
    expect(remote.loads).toBe(50)
  })

  it('stops when the key is no longer in use, and when it is dropped', async () => {
    const { cache, runtime, remote, read, pass } = setUp()
    await read('a')
    await read('b')
    cache.keepWarm('a', runtime.monotonicMs() + 1_000)
    cache.keepWarm('b', Number.POSITIVE_INFINITY)
    cache.drop('b')
    await pass(GONE)
    expect(remote.loads).toBe(2)
    expect(runtime.timers()).toBe(0)
  })

  it('tries again within its back-off while the remote fails, and is postponed by the budget', async () => {
    let admitted = 0
    const { cache, read, pass, remote } = setUp({ admit: () => ++admitted > 3 })
    await read()
    cache.keepWarm('a', Number.POSITIVE_INFINITY)
    remote.mode = 'unknown'
    await pass(STALE * 0.8 + 30)
    expect(admitted).toBeGreaterThan(3)
    expect(remote.loads).toBeGreaterThan(1)
    remote.mode = 'yes'
    await pass(60)
    expect(cache.peek('a')).toMatchObject({ state: expect.stringMatching(/hit|stale/) })
  })
})

describe('createLoadingCache, room', () => {
  it('C7, VAL-16: random keys cannot evict good ones, whatever the remote says about them', async () => {
    for (const mode of ['yes', 'no', 'unknown'] as const) {
      const { cache, remote, read } = setUp({
        failureSeconds: 30,
        load: async (key) => {
          if (key.startsWith('good') || remote.mode === 'yes')
            return { outcome: 'yes', value: { key, atMs: 0 } }
          return remote.mode === 'no'
            ? { outcome: 'no', reason: 'x' }
            : { outcome: 'unknown', error: 0 }
        },
      })
      remote.mode = mode
      for (let key = 0; key < 50; key++)
        await cache.read(`good${key}`, { deadlineMs: 1 }).then(() => cache.peek(`good${key}`))
      for (let key = 0; key < 20_000; key++) await cache.read(`random${key}`, { deadlineMs: 1 })
      const kept = Array.from({ length: 50 }, (_, key) => cache.peek(`good${key}`)).filter(
        (one) => one.state === 'hit',
      )
      expect(kept.length).toBeGreaterThanOrEqual(48)
      expect(cache.size().entries).toBeLessThanOrEqual(100)
      expect(await read('good1')).toMatchObject({ state: 'hit' })
    }
  })

  it('is bounded in bytes', async () => {
    const { cache } = setUp({ sizeOf: () => 1_000, bytesMax: 10_500 })
    for (let key = 0; key < 100; key++) cache.put(`k${key}`, { key: '', atMs: 0 })
    expect(cache.size()).toEqual({ entries: 10, bytes: 10_000 })
  })

  it('a value that is being loaded is not lost when its place is taken', async () => {
    const { cache, runtime, remote, read, pass } = setUp({ entriesMax: 4 })
    await read()
    await pass(STALE)
    remote.mode = 'unknown'
    const reading = cache.read('a', { deadlineMs: 2_000 })
    for (let key = 0; key < 50; key++) cache.put(`k${key}`, { key: '', atMs: 0 })
    await runtime.elapseMs(ANSWER_MS)
    expect(await reading).toMatchObject({ state: 'stale' })
  })
})

describe('createLoadingCache, persistence', () => {
  it('starts with what was persisted, and its age goes on', async () => {
    const runtime = createTestRuntime()
    const at = (ageSeconds: number, key: string): Persisted<Fact> => ({
      key,
      value: { key, atMs: 0 },
      loadedAtMs: runtime.nowMs() - ageSeconds * 1000,
    })
    const load = async () => [
      at(10, 'fresh'),
      at(200, 'stale'),
      at(1_000, 'old'),
      at(GONE, 'gone'),
      at(-600, 'future'),
    ]
    const { cache } = setUp({ runtime, persist: { load, save: async () => undefined } })
    expect(await cache.start()).toBe(5)
    const states = ['fresh', 'stale', 'old', 'gone', 'future'].map((key) => cache.peek(key).state)
    expect(states).toEqual(['hit', 'stale', 'miss', 'miss', 'miss'])
    expect(cache.size().entries).toBe(3)
  })

  it('saves behind in batches, the newest value per key, and again when it failed', async () => {
    const saved: (readonly Persisted<Fact>[])[] = []
    const removed: string[] = []
    let broken = true
    const persist = {
      load: async () => [],
      save: async (batch: readonly Persisted<Fact>[]) => {
        if (broken) throw new Error('disk full')
        saved.push(batch)
      },
      remove: async (keys: readonly string[]) => void removed.push(...keys),
    }
    const { cache, runtime } = setUp({ persist })
    for (let key = 0; key < 700; key++)
      cache.put(`k${key % 600}`, { key: `k${key % 600}`, atMs: key })
    await runtime.elapseMs(1_000)
    broken = false
    cache.drop('k0')
    await runtime.elapseMs(10_000)
    expect(saved.length).toBeLessThanOrEqual(3)
    expect(new Set(saved.flat().map((fact) => fact.key)).size).toBe(599)
    expect(saved.flat().find((fact) => fact.key === 'k1')?.value.atMs).toBe(601)
    expect(removed).toEqual(['k0'])
    cache.put('last', { key: 'last', atMs: 0 })
    await cache.close()
    expect(saved.at(-1)).toMatchObject([{ key: 'last' }])
    expect(runtime.timers()).toBe(0)
  })
})
