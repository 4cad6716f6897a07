import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { HOUR_MS, OWNER, wait } from '../../test/kit/refresher.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryLock, createMemoryStore } from '../adapters/memory.ts'
import { StoreError } from '../errors.ts'
import type { Store } from '../ports.ts'
import { TENANT } from '../records.ts'
import { createRefresher, type RefreshAnswer } from './refresh.ts'
import { createRenewals, IN_USE_MS, NOTED_EVERY_MS, type Renew } from './renewals.ts'
import { createSealing } from './sealing.ts'
import { createVault } from './vault.ts'

const MINUTE_MS = 60_000
const RUN_MAX = 5

/** Isolates on one store, one lock and one fake clock, with real refreshes at a provider that rotates. */
function setUp(options: { lifeMs?: number } = {}) {
  const runtime = createTestRuntime({ sharesPromises: false })
  const memory = createMemoryStore()
  const lock = createMemoryLock(runtime)
  const sealing = createSealing([new Uint8Array(32).fill(7)], runtime)
  let writes = 0
  let isBroken = false
  const store: Store = {
    ...memory,
    create: async (kind, key, value) => {
      if (kind === 'renewal') writes += 1
      if (isBroken) throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
      return memory.create(kind, key, value)
    },
    put: async (kind, key, version, value) => {
      if (kind === 'renewal') writes += 1
      return memory.put(kind, key, version, value)
    },
  }
  const vault = createVault({ store, sealing, runtime })
  const answers = { calls: [] as string[], silent: new Set<string>() }
  const call = async (subject: string): Promise<RefreshAnswer> => {
    answers.calls.push(subject)
    await wait(runtime, 100)
    if (answers.silent.has(subject)) return { outcome: 'unknown' }
    const tokens = { accessToken: `access-${answers.calls.length}`, tokenType: 'Bearer' }
    const refreshToken = `refresh-${answers.calls.length}`
    const expiresAtMs = runtime.nowMs() + (options.lifeMs ?? HOUR_MS)
    return { outcome: 'yes', value: { ...tokens, refreshToken, expiresAtMs } }
  }
  const isolate = () => {
    const refresher = createRefresher({
      ...{ vault, lock, runtime, emit: createRecordingEmit() },
      call: (record) => call(record.subject),
    })
    const renew: Renew = (id) => refresher.refresh(id, 30_000)
    const renewals = createRenewals({ store, lock, runtime, vault, runMax: RUN_MAX })
    return {
      async use(id: string) {
        renewals.seen(id, (await vault.load(id)).record)
        await runtime.settle()
      },
      runDue: () => renewals.runDue(renew),
    }
  }
  return {
    runtime,
    vault,
    answers,
    isolate,
    store,
    writes: () => writes,
    rows: () => memory.list('renewal', TENANT, undefined, { max: 200 }),
    breakStore: (broken: boolean) => {
      isBroken = broken
    },
    save: async (subject: string, issuer = OWNER.issuer) => {
      const tokens = { accessToken: 'access-0', tokenType: 'Bearer', refreshToken: 'refresh-0' }
      const expiresAtMs = runtime.nowMs() + (options.lifeMs ?? HOUR_MS)
      const owner = { ...OWNER, subject, issuer, provider: issuer }
      return (await vault.save(owner, { ...tokens, expiresAtMs })).id
    },
    async finish<T>(work: Promise<T>): Promise<T> {
      for (let passed = 0; passed < 20; passed += 1) await runtime.elapseMs(100)
      return work
    },
  }
}

describe('refreshed by runDue', () => {
  it('VAL-13: what is used is fresh before its end, what nobody uses is left alone', async () => {
    const { runtime, vault, answers, isolate, save, finish } = setUp()
    const [used, unused] = [await save('used'), await save('unused')]
    const first = isolate()
    await first.use(used)
    runtime.advanceMs(40 * MINUTE_MS)
    await finish(first.runDue())
    expect(answers.calls).toEqual([])
    runtime.advanceMs(10 * MINUTE_MS)
    await finish(isolate().runDue())
    expect(answers.calls).toEqual(['used'])
    expect((await vault.load(used)).tokens.accessToken).toBe('access-1')
    expect((await vault.load(unused)).tokens.accessToken).toBe('access-0')
  })

  it('R2, VAL-13: isolates that run at once ask the server once', async () => {
    const { runtime, answers, isolate, save, finish } = setUp()
    const used = await save('used')
    const isolates = Array.from({ length: 4 }, isolate)
    for (const each of isolates) await each.use(used)
    runtime.advanceMs(50 * MINUTE_MS)
    await finish(Promise.all(isolates.map((each) => each.runDue())))
    expect(answers.calls).toEqual(['used'])
  })

  it('K18: a use writes at most once an hour, and one run refreshes a bounded number', async () => {
    const { runtime, answers, isolate, save, writes, finish } = setUp()
    const first = isolate()
    const ids = await Promise.all(Array.from({ length: 12 }, (_, at) => save(`p${at}`)))
    for (let minute = 0; minute < 59; minute += 1) {
      for (const id of ids) await first.use(id)
      if (minute < 40) runtime.advanceMs(MINUTE_MS)
    }
    expect(writes()).toBe(ids.length)
    runtime.advanceMs(6 * MINUTE_MS)
    await finish(first.runDue())
    expect(answers.calls).toHaveLength(RUN_MAX)
    await finish(first.runDue())
    await finish(first.runDue())
    expect(new Set(answers.calls).size).toBe(ids.length)
    await finish(first.runDue())
    expect(answers.calls).toHaveLength(ids.length)
  })

  it('VAL-13: short tokens stay fresh for as long as they are used, and for two hours after', async () => {
    const { runtime, vault, answers, isolate, save, rows, finish } = setUp({
      lifeMs: 5 * MINUTE_MS,
    })
    const used = await save('used')
    const [calls, cron] = [isolate(), isolate()]
    const live = async (minutes: number, inUse: boolean) => {
      for (let minute = 0; minute < minutes; minute += 1) {
        if (inUse) await calls.use(used)
        const { accessExpiresAtMs = 0 } = (await vault.load(used)).record
        if (inUse) expect(accessExpiresAtMs).toBeGreaterThan(runtime.nowMs())
        await finish(cron.runDue())
        runtime.advanceMs(MINUTE_MS - 2_000)
      }
    }
    await live(6 * 60, true)
    await live((IN_USE_MS + NOTED_EVERY_MS) / MINUTE_MS, false)
    const before = answers.calls.length
    await live(20, false)
    expect(answers.calls.length).toBe(before)
    expect(await rows()).toEqual([])
  })

  it('R10: a server that is silent is asked once a run, later each time, and holds up nobody else', async () => {
    const { runtime, answers, isolate, save, finish } = setUp()
    const first = isolate()
    const dead = ['d1', 'd2', 'd3']
    for (const subject of dead) {
      answers.silent.add(subject)
      await first.use(await save(subject, 'https://dead.example'))
    }
    for (const subject of ['a', 'b']) await first.use(await save(subject))
    runtime.advanceMs(50 * MINUTE_MS)
    await finish(first.runDue())
    const asked = answers.calls.filter((subject) => dead.includes(subject))
    expect(asked).toHaveLength(1)
    expect(answers.calls).toEqual(expect.arrayContaining(['a', 'b']))
    await finish(first.runDue())
    expect(answers.calls).toHaveLength(3)
    answers.silent.clear()
    runtime.advanceMs(2 * MINUTE_MS)
    await finish(first.runDue())
    for (const subject of dead) expect(answers.calls).toContain(subject)
  })

  it('VAL-13: a lost note is written again by a later use, and nothing waits for it', async () => {
    const { runtime, answers, isolate, save, rows, breakStore, finish } = setUp()
    const first = isolate()
    const used = await save('used')
    breakStore(true)
    await first.use(used)
    await first.use(used)
    expect(await rows()).toEqual([])
    breakStore(false)
    runtime.advanceMs(2 * MINUTE_MS)
    await first.use(used)
    runtime.advanceMs(50 * MINUTE_MS)
    await finish(first.runDue())
    expect(answers.calls).toEqual(['used'])
  })

  it('I5: what has ended is asked for no more', async () => {
    const { runtime, vault, answers, isolate, save, rows, finish } = setUp()
    const first = isolate()
    const used = await save('used')
    await first.use(used)
    await vault.end(used, 'disconnected')
    runtime.advanceMs(50 * MINUTE_MS)
    await finish(first.runDue())
    expect(answers.calls).toEqual([])
    expect(await rows()).toEqual([])
  })
})
