import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryLock, createMemoryStore } from '../adapters/memory.ts'
import { StoreError } from '../errors.ts'
import { TENANT } from '../records.ts'
import { createDuties, DUTIES_ROUND_MS, type Performed } from './duties.ts'
import { DUTY_LIFE_MS, type Duty, dutyKey, dutyStep, surveyStep } from './duty-steps.ts'

const DAY_MS = 86_400_000
const LEASE_MS = 60_000

function open() {
  const runtime = createTestRuntime()
  const store = createMemoryStore()
  const lock = createMemoryLock(runtime)
  const emit = createRecordingEmit()
  const performed: Duty[] = []
  const state: { answer: (duty: Duty) => Promise<Performed> } = {
    answer: async () => ({ outcome: 'done' }),
  }
  const deps = {
    store,
    lock,
    runtime,
    emit,
    perform: (duty: Duty) => {
      performed.push(duty)
      return state.answer(duty)
    },
    givenUp: (duty: Duty, reason: string) => [
      {
        verb: 'create' as const,
        kind: 'audit' as const,
        key: { tenant: TENANT, id: `given-up-${duty.vaultId}` },
        value: { event: 'revocation.failed', atMs: 1, detail: reason, expiresAtMs: 2 },
      },
    ],
  }
  const duties = createDuties(deps)
  const add = async (facts: Partial<Duty> = {}): Promise<void> => {
    const duty = { purpose: 'revoke', cause: 'test', issuer: 'https://id.example', ...facts }
    const step = dutyStep(runtime, duty as Duty)
    await store.commit([step])
  }
  const rows = async () => (await store.list('duty', TENANT, undefined, { max: 1_000 })) ?? []
  const values = async () => (await rows()).map(({ value }) => value)
  const names = () => performed.map(({ vaultId }) => vaultId)
  return { runtime, store, lock, emit, duties, deps, state, performed, add, rows, values, names }
}

describe('a duty', () => {
  it('REV-08: lives 7 days and its row one more, in the order of its time', async () => {
    const { runtime, add, rows } = open()
    const nowMs = runtime.nowMs()
    await add({ userId: 'usr_1', vaultId: 'vlt_1' })
    const [row] = await rows()
    expect(row?.value).toEqual({
      purpose: 'revoke',
      cause: 'test',
      issuer: 'https://id.example',
      userId: 'usr_1',
      vaultId: 'vlt_1',
      attempts: 0,
      createdAtMs: nowMs,
      dueAtMs: nowMs,
      expiresAtMs: nowMs + 8 * DAY_MS,
    })
    expect(row?.key.id).toMatch(new RegExp(`^00${nowMs}\\.dty_[0-9a-z]{26}$`))
    const [early, late] = [dutyKey(runtime, 999), dutyKey(runtime, 1_000)]
    expect(early.id < late.id).toBe(true)
  })
})

describe('createDuties', () => {
  it('REV-08: does each duty once, tells it once, and leaves no row', async () => {
    const { duties, add, names, rows, state, lock } = open()
    const told: string[] = []
    state.answer = async ({ vaultId = '' }) => ({
      outcome: 'done',
      after: () => told.push(vaultId),
    })
    await add({ vaultId: 'one' })
    await add({ vaultId: 'two', issuer: 'https://other.example' })
    await duties.run()
    expect(names().toSorted()).toEqual(['one', 'two'])
    expect(told.toSorted()).toEqual(['one', 'two'])
    expect(await rows()).toEqual([])
    await duties.run()
    expect(told).toHaveLength(2)
    expect(await lock.acquire('duties', 1, 1)).toMatchObject({ state: 'acquired' })
  })

  it('O15: however many wait for a server that is dead, nobody else’s wait behind them', async () => {
    const { duties, add, names, state, runtime } = open()
    state.answer = async ({ issuer = '' }) =>
      issuer.includes('dead') ? { outcome: 'retry', reason: 'silent' } : { outcome: 'done' }
    for (const dead of ['https://dead.example', 'https://dead-too.example'])
      for (let at = 0; at < 2_100; at += 1) await add({ vaultId: 'waits', issuer: dead })
    await duties.run()
    runtime.advanceMs(1_000)
    await add({ vaultId: 'living', issuer: 'https://living.example' })
    await add({ purpose: 'survey', userId: 'usr_1', vaultId: 'survey' })
    await duties.run()
    expect(names().filter((name) => name !== 'waits')).toEqual(['survey', 'living'])
    expect(names()).toHaveLength(2 + 2 * 2)
  })

  it('O15: one round does all of one server that answers, however many', async () => {
    const { duties, add, names, rows, state } = open()
    state.answer = async ({ vaultId }) =>
      vaultId === 'silent' ? { outcome: 'retry', reason: 'silent' } : { outcome: 'done' }
    await add({ vaultId: 'silent', issuer: 'https://dead.example' })
    for (let at = 0; at < 700; at += 1) await add({ vaultId: `v${at}` })
    await duties.run()
    expect([names().length, (await rows()).length]).toEqual([701, 1])
  })

  it('O15: servers that hang are asked last, and the one that was not asked for longest first', async () => {
    const { duties, add, performed, state, runtime } = open()
    state.answer = async ({ issuer = '' }) => {
      if (!issuer.includes('hangs')) return { outcome: 'done' }
      runtime.advanceMs(20_000)
      return { outcome: 'retry', reason: 'silent' }
    }
    for (let at = 0; at < 9; at += 1) await add({ issuer: `https://hangs${at}.example` })
    const asked = new Set<string>()
    for (let round = 0; round < 8; round += 1) {
      performed.length = 0
      await add({ issuer: 'https://living.example' })
      await duties.run()
      // Three a round, until each is known to hang.
      if (round >= 3) expect(performed[0]?.issuer).toBe('https://living.example')
      if (round >= 4) for (const { issuer = '' } of performed) asked.add(issuer)
    }
    expect(asked.size).toBe(1 + 9)
  })

  it('REV-08: a duty that another node has done is told by that node alone', async () => {
    const { duties, add, rows, state, store } = open()
    const told: string[] = []
    state.answer = async () => {
      for (const { key } of await rows()) await store.remove('duty', key)
      return { outcome: 'done', after: () => told.push('twice') }
    }
    await add()
    await duties.run()
    expect(told).toEqual([])
  })

  it('REV-08: what writes nothing needs no lease; who finds it held does nothing', async () => {
    const { duties, add, names, lock, rows } = open()
    const taken: string[] = []
    const { acquire } = lock
    lock.acquire = (...asked) => {
      taken.push(asked.join(' '))
      return acquire(...asked)
    }
    await duties.run()
    expect(taken).toEqual([])
    await add({ vaultId: 'one' })
    const other = await acquire('duties', LEASE_MS, 0)
    await duties.run()
    expect([names(), (await rows()).length]).toEqual([[], 1])
    if (other.state === 'acquired') await other.lease.release()
    await duties.run()
    expect(names()).toEqual(['one'])
    expect(taken).toEqual(['duties 60000 300', 'duties 60000 300'])
  })

  it('REV-08: a lock that fails stops nothing', async () => {
    const { duties, add, names, lock } = open()
    lock.acquire = async () => ({ state: 'error', maybeHeld: true, cause: undefined })
    await add({ vaultId: 'one' })
    await duties.run()
    expect(names()).toEqual(['one'])
  })

  it('REV-08: a lost lease ends the round at the next renewal', async () => {
    const { duties, add, names, state, runtime } = open()
    state.answer = async () => {
      runtime.advanceMs(LEASE_MS / 20 - 300)
      return { outcome: 'done' }
    }
    for (let count = 0; count < 15; count += 1) await add({ vaultId: `v${count}` })
    await duties.run()
    expect(names()).toHaveLength(15)
    for (let count = 0; count < 25; count += 1) await add({ vaultId: `w${count}` })
    state.answer = async () => {
      runtime.advanceMs(names().length === 16 ? LEASE_MS : 0)
      return { outcome: 'done' }
    }
    await duties.run()
    expect(names()).toHaveLength(16)
  })

  it('REV-08: a round gives way after 45 s', async () => {
    const { duties, add, names, state, runtime } = open()
    for (let count = 0; count < 6; count += 1) await add({ vaultId: `v${count}` })
    state.answer = async () => {
      runtime.advanceMs(15_000)
      return { outcome: 'done' }
    }
    await duties.run()
    expect(names()).toHaveLength(3)
    await duties.run()
    expect(names()).toHaveLength(6)
  })

  it('O15: local duties first, and what they queue is done in the same round', async () => {
    const { duties, add, performed, state, rows } = open()
    await add({ vaultId: 'upstream' })
    await add({ purpose: 'survey', vaultId: 'local' })
    state.answer = async ({ purpose, after }) => {
      if (purpose === 'revoke') return { outcome: 'done' }
      if (after === undefined) return { outcome: 'more', change: { after: 'page-1' } }
      await add({ vaultId: 'queued' })
      return { outcome: 'done' }
    }
    await duties.run()
    const done = performed.map(({ vaultId, after }) => `${vaultId} ${after ?? ''}`)
    expect(done.slice(0, 2)).toEqual(['local ', 'local page-1'])
    expect(done.slice(2).toSorted()).toEqual(['queued ', 'upstream '])
    expect(await rows()).toEqual([])
  })

  it('O15: a provider that fails is asked once a round, others are not held up', async () => {
    const { duties, add, names, state, values, runtime } = open()
    const down = 'https://down.example'
    for (const vaultId of ['a', 'b', 'c']) await add({ vaultId, issuer: down })
    await add({ vaultId: 'up' })
    let isUp = false
    state.answer = async ({ issuer }) =>
      issuer === down && !isUp ? { outcome: 'retry', reason: 'silent' } : { outcome: 'done' }
    await duties.run()
    expect(names().filter((name) => name !== 'up')).toHaveLength(1)
    expect(names()).toContain('up')
    expect((await values()).map(({ attempts }) => attempts).toSorted()).toEqual([0, 0, 1])
    await duties.run()
    expect(names()).toHaveLength(3)
    isUp = true
    await duties.run()
    expect(await values()).toEqual([])
    expect(runtime.timers()).toBe(0)
  })

  it('REV-08: waits 5 s, doubled each time, at most an hour, never less than half of it', async () => {
    const { duties, add, values, state, runtime, performed } = open()
    state.answer = async () => ({ outcome: 'retry', reason: 'silent' })
    await add()
    const waits: number[] = []
    for (let tries = 0; tries < 14; tries += 1) {
      await duties.run()
      const [duty] = await values()
      expect(duty?.attempts).toBe(tries + 1)
      waits.push((duty?.dueAtMs ?? 0) - runtime.nowMs())
    }
    expect(performed).toHaveLength(14)
    for (const [tries, waitMs] of waits.entries()) {
      const fullMs = Math.min(3_600_000, 5_000 * 2 ** tries)
      expect(waitMs).toBeGreaterThanOrEqual(fullMs / 2)
      expect(waitMs).toBeLessThanOrEqual(fullMs)
    }
    expect(new Set(waits.slice(-4)).size).toBe(4)
  })

  it('REV-08: a node that knows of no failure asks for nothing before it is due', async () => {
    const { duties, deps, add, names, state, runtime } = open()
    state.answer = async () => ({ outcome: 'retry', reason: 'silent' })
    await add({ vaultId: 'bad' })
    await duties.run()
    const restarted = createDuties(deps)
    await restarted.run()
    expect(names()).toEqual(['bad'])
    runtime.advanceMs(5_000)
    await restarted.run()
    expect(names()).toEqual(['bad', 'bad'])
  })

  it('REV-08 I12: is given up after 7 days, told and audited in the commit that removes it', async () => {
    const { duties, add, rows, state, runtime, store, emit } = open()
    state.answer = async () => ({ outcome: 'retry', reason: 'silent' })
    await add({ vaultId: 'v', provider: 'github', userId: 'usr_1' })
    runtime.advanceMs(DUTY_LIFE_MS - 1)
    await duties.run()
    expect([(await rows()).length, emit.events.length]).toEqual([1, 0])
    runtime.advanceMs(1)
    await duties.run()
    expect(await rows()).toEqual([])
    expect(emit.events).toEqual([
      {
        type: 'revocation.failed',
        level: 'warn',
        tenant: TENANT,
        provider: 'github',
        userId: 'usr_1',
        reason: 'silent',
        attempts: 1,
      },
    ])
    const audit = await store.get('audit', { tenant: TENANT, id: 'given-up-v' })
    expect(audit?.value.detail).toBe('silent')
  })

  it('REV-08: a try that throws for 7 days is given up as failed', async () => {
    const { duties, add, state, runtime, emit, store } = open()
    state.answer = () => Promise.reject(new Error('unexpected'))
    await add({ vaultId: 'v' })
    runtime.advanceMs(DUTY_LIFE_MS)
    await duties.run()
    expect(emit.events).toMatchObject([{ reason: 'failed', provider: '', userId: '' }])
    const audit = await store.get('audit', { tenant: TENANT, id: 'given-up-v' })
    expect(audit?.value.detail).toBe('failed')
  })

  it('O15: a provider that answers again is asked about all that is due, and no more', async () => {
    const { duties, add, names, state } = open()
    for (const vaultId of ['a', 'b', 'c']) await add({ vaultId })
    await duties.run()
    expect(names()).toHaveLength(3)
    state.answer = async () => ({ outcome: 'retry', reason: 'silent' })
    await add({ vaultId: 'd' })
    await duties.run()
    state.answer = async () => ({ outcome: 'done' })
    await duties.run()
    state.answer = async () => ({ outcome: 'retry', reason: 'silent' })
    await add({ vaultId: 'e' })
    await duties.run()
    expect(names()).toHaveLength(6)
  })

  it('REV-08: a try that throws is a retry; a store that throws leaves all as it is', async () => {
    const { duties, add, values, state, emit } = open()
    await add()
    state.answer = () => Promise.reject(new Error('unexpected'))
    await duties.run()
    expect((await values()).map(({ attempts }) => attempts)).toEqual([1])
    const [thrown] = await values()
    expect((thrown?.dueAtMs ?? 0) - (thrown?.createdAtMs ?? 0)).toBeGreaterThan(0)
    const before = await values()
    state.answer = () => Promise.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'unknown'))
    await duties.run()
    expect(await values()).toEqual(before)
    expect(emit.events).toEqual([{ type: 'server.failed', reason: 'duties' }])
  })

  it('O15: rounds every 30 s within a fifth, a poke at once, none after the stop', async () => {
    const { duties, add, names, runtime } = open()
    duties.poke()
    await add({ vaultId: 'one' })
    await runtime.settle()
    expect(names()).toEqual([])
    duties.start()
    duties.start()
    await runtime.settle()
    expect(names()).toEqual(['one'])
    expect(runtime.timers()).toBe(1)
    await add({ vaultId: 'two' })
    await runtime.elapseMs(DUTIES_ROUND_MS * 0.79)
    expect(names()).toEqual(['one'])
    await runtime.elapseMs(DUTIES_ROUND_MS * 0.42)
    expect(names()).toEqual(['one', 'two'])
    expect(runtime.timers()).toBe(1)
    await add({ vaultId: 'three' })
    duties.poke()
    await runtime.settle()
    expect(names()).toEqual(['one', 'two', 'three'])
    await duties.stop()
    await add({ vaultId: 'four' })
    duties.poke()
    await runtime.elapseMs(2 * DUTIES_ROUND_MS)
    expect(names()).toHaveLength(3)
    expect(runtime.timers()).toBe(0)
  })

  it('O15: a poke during a round is a round behind it', async () => {
    const { duties, add, names, state, runtime } = open()
    let release = (): void => undefined
    state.answer = async () => {
      await new Promise<void>((resolve) => {
        release = resolve
      })
      return { outcome: 'done' }
    }
    duties.start()
    await add({ vaultId: 'one' })
    duties.poke()
    await runtime.settle()
    expect(names()).toEqual(['one'])
    await add({ vaultId: 'two' })
    duties.poke()
    duties.poke()
    await runtime.settle()
    expect(names()).toEqual(['one'])
    const stopped = { value: false }
    release()
    await runtime.settle()
    expect(names()).toEqual(['one', 'two'])
    const stop = duties.stop().then(() => {
      stopped.value = true
    })
    await runtime.settle()
    expect(stopped.value).toBe(false)
    release()
    await stop
  })
})

it('D4: many walks that wait for the same are one, and one under way is finished', async () => {
  const runtime = createTestRuntime()
  const store = createMemoryStore()
  const walked: string[] = []
  const duties = createDuties({
    store,
    runtime,
    lock: createMemoryLock(runtime),
    emit: createRecordingEmit(),
    givenUp: () => [],
    async perform({ userId = 'everybody', after }: Duty) {
      walked.push(`${userId} from ${after ?? 'the start'}`)
      return { outcome: 'done' }
    },
  })
  for (let turn = 0; turn < 40; turn += 1) {
    await store.commit([surveyStep(runtime, 'registration_deleted')])
    await store.commit([surveyStep(runtime, 'signed_out', { userId: 'usr_ada' })])
  }
  const under = surveyStep(runtime, 'revoked')
  if (under.verb !== 'create' || under.kind !== 'duty') throw new Error('not a duty')
  await store.commit([{ ...under, value: { ...under.value, after: 'vault_500' } }])
  await duties.run()
  expect(walked.toSorted()).toEqual([
    'everybody from the start',
    'everybody from vault_500',
    'usr_ada from the start',
  ])
  expect(await store.count('duty', TENANT)).toBe(0)
})

it('V2: walks for accounts at a connector are not one: each ends those that were there when it was asked for', async () => {
  const runtime = createTestRuntime()
  const store = createMemoryStore()
  const walked: (number | undefined)[] = []
  const duties = createDuties({
    store,
    runtime,
    lock: createMemoryLock(runtime),
    emit: createRecordingEmit(),
    givenUp: () => [],
    async perform({ createdAtMs }: Duty) {
      walked.push(createdAtMs)
      return { outcome: 'done' }
    },
  })
  const first = runtime.nowMs()
  await store.commit([surveyStep(runtime, 'revoked', { provider: 'connector:notes' })])
  runtime.advanceMs(1_000)
  await store.commit([surveyStep(runtime, 'revoked', { provider: 'connector:notes' })])
  await duties.run()
  expect(walked).toEqual([first, first + 1_000])
})
