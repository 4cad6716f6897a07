import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryBus, createMemoryStore } from '../adapters/memory.ts'
import type { Store } from '../ports.ts'
import { MARK_KEPT_PAST_LIFE_MS, MARK_KINDS, type Mark, type MarkKind, TENANT } from '../records.ts'
import { createRevocationView, type Markable } from './revocation.ts'

const HOUR_MS = 3_600_000

function house(options: { marksMax?: number; sharesPromises?: boolean } = {}) {
  const runtime = createTestRuntime(options)
  const bus = createMemoryBus()
  const emit = createRecordingEmit()
  let store = createMemoryStore()
  let polls = 0
  let broken = false
  const grants: Pick<Store['grants'], 'revocationsSince'> = {
    revocationsSince: (sequence, max) => {
      polls += 1
      if (broken) return Promise.reject(new Error('store is down'))
      return store.grants.revocationsSince(sequence, max)
    },
  }
  const issuedAtMs = runtime.nowMs() - 1_000
  const node = () =>
    createRevocationView({
      store: { grants },
      bus,
      runtime,
      emit,
      maxAgeSeconds: 30,
      marksMax: options.marksMax,
    })
  const mark = (kind: MarkKind, id: string, rest: Partial<Mark> = {}): Mark => ({
    tenant: TENANT,
    kind,
    id,
    issuedBeforeMs: runtime.nowMs(),
    expiresAtMs: runtime.nowMs() + HOUR_MS,
    ...rest,
  })
  const session = (rest: Partial<Markable> = {}): Markable => ({
    tenant: TENANT,
    userId: 'user',
    clientId: 'client',
    grantId: 'grant',
    resource: 'resource',
    keyId: 'key',
    jti: 'jti',
    digest: 'digest',
    issuedAtMs,
    ...rest,
  })
  return {
    runtime,
    bus,
    emit,
    node,
    mark,
    session,
    revoke: (entry: Mark) => store.grants.revoke(entry),
    polls: () => polls,
    breakStore: (now: boolean) => {
      broken = now
    },
    restore: (epoch: number) => {
      store = createMemoryStore({ epoch })
    },
  }
}

const NAMES: Record<Exclude<MarkKind, 'cache'>, string> = {
  token: 'jti',
  grant: 'grant',
  user: 'user',
  client: 'client',
  connector: 'resource',
  tenant: TENANT,
  key: 'key',
}

describe('revocation view', () => {
  it.each(MARK_KINDS.filter((kind) => kind !== 'cache'))(
    'V2: a mark of kind %s covers what it names, issued before it',
    async (kind) => {
      const { node, mark, session, revoke, runtime } = house()
      await revoke(mark(kind, NAMES[kind]))
      const view = node()
      await view.load()
      expect(view.marked(session())).toBe(true)
      expect(view.marked(session({ issuedAtMs: runtime.nowMs() }))).toBe(true)
      expect(view.marked(session({ issuedAtMs: runtime.nowMs() + 1 }))).toBe(false)
      expect(view.marked(session({ tenant: 'other' }))).toBe(false)
      const clean = createRevocationView({
        store: { grants: createMemoryStore().grants },
        bus: createMemoryBus(),
        runtime,
        emit: createRecordingEmit(),
        maxAgeSeconds: 30,
      })
      await clean.load()
      clean.apply([mark(kind, 'somebody else')])
      expect(clean.marked(session())).toBe(false)
    },
  )

  it('V2: a mark of kind cache is told each time, kept by nobody, and covers no token', async () => {
    const { node, mark, session, revoke, runtime } = house()
    const view = node()
    await view.load()
    await view.start()
    const told: string[] = []
    view.onMark(({ kind, id }) => told.push(`${kind} ${id}`))
    for (const id of Object.values(NAMES)) await revoke(mark('cache', id))
    await revoke(mark('cache', NAMES.user))
    await runtime.elapseMs(2_000)
    expect(told).toEqual([...Object.values(NAMES), NAMES.user].map((id) => `cache ${id}`))
    expect(view.marked(session())).toBe(false)
    expect(view.size()).toBe(0)
    view.stop()
  })

  it('refuses until it was loaded', async () => {
    const { node, session } = house()
    const view = node()
    expect(view.marked(session())).toBe('view-too-old')
    await view.load()
    expect(view.marked(session())).toBe(false)
  })

  it('loads every page', async () => {
    const { node, mark, revoke } = house()
    for (let n = 0; n < 2_345; n += 1) await revoke(mark('token', `jti-${n}`))
    const view = node()
    await view.load()
    expect(view.size()).toBe(2_345)
  })

  it('sees other nodes by poll within 2 s, and at once on a poke', async () => {
    const { node, mark, session, revoke, runtime, bus } = house()
    const view = node()
    await view.load()
    await view.start()
    await revoke(mark('user', 'user'))
    await runtime.elapseMs(2_000)
    expect(view.marked(session())).toBe(true)
    await revoke(mark('client', 'other-client'))
    await bus.publish()
    await runtime.settle()
    expect(view.marked(session({ userId: 'x', clientId: 'other-client' }))).toBe(true)
    view.stop()
    expect(runtime.timers()).toBe(0)
  })

  it('polls again after a poke that came during a poll', async () => {
    const { node, bus, polls, runtime } = house()
    const view = node()
    await view.load()
    await view.start()
    await runtime.settle()
    const before = polls()
    await Promise.all([bus.publish(), bus.publish(), bus.publish()])
    await runtime.settle()
    expect(polls() - before).toBe(2)
    view.stop()
  })

  it('counts its own mark at once', async () => {
    const { node, mark, session } = house()
    const view = node()
    await view.load()
    const heard: string[] = []
    const leave = view.onMark((entry) => heard.push(`${entry.kind}:${entry.id}`))
    view.markLocal(mark('grant', 'grant'))
    expect(view.marked(session())).toBe(true)
    view.markLocal(mark('grant', 'grant'))
    leave()
    view.markLocal(mark('grant', 'another'))
    expect(heard).toEqual(['grant:grant'])
  })

  it('I7: says that it is too old instead of answering, and recovers', async () => {
    const { node, session, runtime, breakStore } = house()
    const view = node()
    await view.load()
    await view.start()
    breakStore(true)
    await runtime.elapseMs(30_000)
    expect(view.marked(session())).toBe(false)
    await runtime.elapseMs(2_000)
    expect(view.marked(session())).toBe('view-too-old')
    breakStore(false)
    await runtime.elapseMs(2_000)
    expect(view.marked(session())).toBe(false)
    view.stop()
  })

  it('K5 K6: cut off from the store for 5 minutes: right for 30 s, then no answer, then what was missed', async () => {
    const { runtime, node, mark, session, revoke, breakStore } = house()
    await revoke(mark('user', 'somebody-else'))
    const view = node()
    await view.load()
    await view.start()
    await runtime.elapseMs(2_000)
    breakStore(true)
    await revoke(mark('grant', 'grant'))
    view.markLocal(mark('token', 'ended-here'))
    const seen: (boolean | string)[] = []
    for (let seconds = 0; seconds < 300; seconds += 10) {
      await runtime.elapseMs(10_000)
      seen.push(view.marked(session()))
      // What is known to be revoked is never let in, whatever cannot be read.
      expect(view.marked(session({ jti: 'ended-here' }))).not.toBe(false)
    }
    expect(seen.slice(0, 2)).toEqual([false, false])
    expect(new Set(seen.slice(3))).toEqual(new Set(['view-too-old']))
    breakStore(false)
    await runtime.elapseMs(2_000)
    expect(view.marked(session())).toBe(true)
    expect(view.marked(session({ grantId: 'another' }))).toBe(false)
    view.stop()
  })

  it('SF11: without a timer, the first request after a pause polls and then answers', async () => {
    const { node, mark, session, revoke, runtime, breakStore } = house({ sharesPromises: false })
    const view = node()
    await view.load()
    runtime.advanceMs(600_000)
    await revoke(mark('user', 'user'))
    expect(view.marked(session())).toBe('view-too-old')
    expect(await view.ensureFresh(1_000)).toBe(true)
    expect(view.marked(session())).toBe(true)
    runtime.advanceMs(600_000)
    breakStore(true)
    expect(await view.ensureFresh(1_000)).toBe(false)
  })

  it('I5: reads everything again when the store was restored, and forgets no mark by it', async () => {
    const { node, mark, session, revoke, runtime, restore } = house()
    await revoke(mark('user', 'user'))
    await revoke(mark('user', 'user'))
    const view = node()
    await view.load()
    await view.start()
    for (const epoch of [1, 2]) {
      restore(epoch)
      await revoke(mark('client', `client-${epoch}`))
      await runtime.elapseMs(2_000)
      expect(view.marked(session())).toBe(true)
      expect(view.marked(session({ userId: 'x', clientId: `client-${epoch}` }))).toBe(true)
    }
    view.stop()
  })

  it('K7: keeps a mark for a day after it expired, should the clock come back, and then forgets it', async () => {
    const { node, mark, session, revoke, runtime } = house()
    await revoke(mark('user', 'user', { expiresAtMs: runtime.nowMs() + 120_000 }))
    const issuedAtMs = runtime.nowMs() - 1
    const view = node()
    await view.load()
    await view.start()
    await runtime.elapseMs(119_000)
    expect(view.marked(session({ issuedAtMs }))).toBe(true)
    runtime.jumpWallMs(86_400_000)
    await runtime.elapseMs(120_000)
    runtime.jumpWallMs(-86_400_000)
    expect(view.marked(session({ issuedAtMs }))).toBe(true)
    runtime.jumpWallMs(MARK_KEPT_PAST_LIFE_MS)
    await runtime.elapseMs(120_000)
    expect(view.size()).toBe(0)
    view.stop()
  })

  it('keeps the latest time and the longest life of marks on one thing', async () => {
    const { node, mark, session, runtime } = house()
    const view = node()
    await view.load()
    const nowMs = runtime.nowMs()
    view.apply([mark('user', 'user', { issuedBeforeMs: nowMs + 500 }), mark('user', 'user')])
    expect(view.marked(session({ issuedAtMs: nowMs + 400 }))).toBe(true)
    expect(view.size()).toBe(1)
  })

  it('I9: a full view stops answering, says so, and reads again when there is room', async () => {
    const { node, mark, session, revoke, runtime, emit } = house({ marksMax: 2 })
    for (const id of ['a', 'b'])
      await revoke(mark('token', id, { expiresAtMs: runtime.nowMs() + 70_000 }))
    await revoke(mark('user', 'user'))
    const view = node()
    await view.load()
    await view.start()
    expect(view.marked(session())).toBe('view-too-old')
    expect(emit.eventsOf('server.warning')).toMatchObject([{ reason: 'revocations_full' }])
    const issuedAtMs = runtime.nowMs() - 1
    await runtime.elapseMs(140_000)
    expect(view.marked(session({ issuedAtMs }))).toBe(true)
    view.stop()
  })
})
