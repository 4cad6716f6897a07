import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryLock, createMemoryStore } from '../adapters/memory.ts'
import { createRegistrationRows } from '../connectors/client/registration-rows.ts'
import { auditStep } from '../issuer/audit.ts'
import { revokeStep } from '../issuer/duty-steps.ts'
import { createKeys } from '../issuer/keys.ts'
import type { Store } from '../ports.ts'
import { KINDS } from '../record-kinds.ts'
import { type Kind, TENANT } from '../records.ts'
import { RESEALED_KINDS, reseal } from './reseal.ts'
import { createResealing } from './resealing.ts'
import { createSealing } from './sealing.ts'
import { createVault } from './vault.ts'

const OLD = new Uint8Array(32).fill(1)
const NEW = new Uint8Array(32).fill(2)
const ROWS = 250
const OWNER = {
  userId: 'usr_ada',
  userKey: '',
  provider: 'connector:notes',
  issuer: 'https://auth.notes.example',
  subject: '',
  tokenOrigin: 'https://auth.notes.example',
}
const tokens = (at: number) => ({
  accessToken: `access-${at}`,
  refreshToken: `refresh-${at}`,
  tokenType: 'Bearer',
})

function at(store: Store, keys: readonly Uint8Array[], runtime = createTestRuntime()) {
  const sealing = createSealing(keys, runtime)
  return { store, runtime, sealing, vault: createVault({ store, sealing, runtime }) }
}

/** A house that has run with the old key: connections, a spare, a duty, a registration, its own keys. */
async function grown(rows = ROWS) {
  const house = at(createMemoryStore(), [OLD])
  const { store, runtime, sealing, vault } = house
  await createKeys({ store, sealing, runtime }).load()
  const ids: string[] = []
  for (let row = 0; row < rows; row += 1) ids.push((await vault.save(OWNER, tokens(row))).id)
  const [first = ''] = ids
  const entry = await vault.load(first)
  await vault.update(entry, { spareSealed: vault.sealSpare(first, tokens(-1)) })
  await store.commit([revokeStep(runtime, first, entry.record, 'disconnected')])
  await registrationsOf(house).write(PLACE, REGISTERED, undefined)
  return { ...house, ids }
}

const CONFIG = { limits: { auditTtlDays: 1 } } as Parameters<typeof auditStep>[0]['config']
const PLACE = { issuer: OWNER.issuer, connector: { name: 'notes' } }
const REGISTERED = {
  how: 'dynamic',
  client: { clientId: 'client', authMethod: 'client_secret_basic', secret: 'secret' },
  redirectUri: 'https://auth.example/connect/notes/callback',
  replacesRefused: false,
} as const

/** By the room that writes and reads them, so that both seal to the same place. */
function registrationsOf(house: ReturnType<typeof at>) {
  return createRegistrationRows({
    ...house,
    documentUrl: () => 'https://auth.example/connect/notes/client.json',
    audit: (detail) => auditStep({ ...house, config: CONFIG }, 'client.registered', { detail }),
  })
}

async function finish<T>(runtime: ReturnType<typeof createTestRuntime>, work: Promise<T>) {
  await runtime.elapseMs(60_000)
  return work
}

describe('sealing keys rotate online', () => {
  it('K13: everything is sealed again under the first key, and the old one can be dropped', async () => {
    const { store, ids, runtime } = await grown()
    const both = at(store, [NEW, OLD], runtime)
    // Old reads and new writes at once, before anything was sealed again.
    expect((await both.vault.load(ids[7] ?? '')).tokens.accessToken).toBe('access-7')
    const done = await finish(runtime, reseal(both))
    const secrets = await store.count('secret', TENANT)
    expect(done).toEqual({ resealed: ROWS + secrets + 2, left: 0, unreadable: 0 })
    const alone = at(store, [NEW], runtime)
    for (const [row, id] of ids.entries())
      expect((await alone.vault.load(id)).tokens).toEqual(tokens(row))
    const { spareSealed = '' } = (await alone.vault.load(ids[0] ?? '')).record
    expect(alone.vault.openSpare(ids[0] ?? '', spareSealed)).toEqual(tokens(-1))
    const [duty] = await store.list('duty', TENANT, undefined, { max: 1 })
    const { sealed = '', keyId = '' } = duty?.value ?? {}
    expect(alone.vault.openTokens(ids[0] ?? '', sealed, keyId)).toEqual(tokens(0))
    expect((await registrationsOf(alone).find(PLACE))?.client.secret).toBe('secret')
    await createKeys(alone).load()
    expect(await finish(runtime, reseal(alone))).toEqual({ resealed: 0, left: 0, unreadable: 0 })
  })

  it('K13: cut off anywhere, every row opens, and the next run goes on with what is left', async () => {
    const { store, ids, runtime } = await grown(40)
    let resealed = 0
    for (let writes = 1; resealed < 40 + 2; writes += 3) {
      let left = writes
      const dying: Store = {
        ...store,
        async put(...given) {
          left -= 1
          if (left < 0) throw new Error('killed')
          return store.put(...given)
        },
      }
      const both = at(dying, [NEW, OLD], runtime)
      const run = reseal(both).catch(() => undefined)
      const done = await finish(runtime, run)
      for (const [row, id] of ids.entries())
        expect((await at(store, [NEW, OLD], runtime).vault.load(id)).tokens).toEqual(tokens(row))
      resealed += done?.resealed ?? writes
    }
    expect(await finish(runtime, reseal(at(store, [NEW], runtime)))).toMatchObject({
      resealed: 0,
      unreadable: 0,
    })
  })

  it('K13: a refresh that is under way is left alone, and one that finishes meanwhile loses nothing', async () => {
    const { store, ids, runtime } = await grown(2)
    const both = at(store, [NEW, OLD], runtime)
    const [busy = ''] = ids
    const before = await both.vault.load(busy)
    const intent = { tokenDigest: 'digest', fence: 1, startedAtMs: runtime.nowMs() }
    const marked = await both.vault.update(before, { intent })
    const run = reseal(both)
    await runtime.elapseMs(10_000)
    expect(await run).toMatchObject({ left: 1 })
    if (marked === undefined) throw new Error('lost')
    const fresh = both.vault.sealTokens(busy, tokens(99))
    expect(await both.vault.update(marked, { ...fresh, intent: undefined })).toBeDefined()
    expect((await both.vault.load(busy)).tokens).toEqual(tokens(99))
  })

  it('K16: a row that no key opens is counted and left as it is', async () => {
    const { store, ids, runtime } = await grown(3)
    const other = at(store, [new Uint8Array(32).fill(9)], runtime)
    const { record } = await at(store, [OLD], runtime).vault.load(ids[1] ?? '')
    const foreign = { ...record, ...other.vault.sealTokens('another row', tokens(1)) }
    await store.put('vault', { tenant: TENANT, id: ids[1] ?? '' }, 1, foreign)
    const done = await finish(runtime, reseal(at(store, [NEW, OLD], runtime)))
    expect(done).toMatchObject({ unreadable: 1, left: 0 })
    expect(await store.get('vault', { tenant: TENANT, id: ids[1] ?? '' })).toMatchObject({
      version: 2,
      value: foreign,
    })
  })

  it('K13: knows each kind that has a column sealed with the sealing keys', () => {
    // Verifiers and answers of a trip are sealed with the ticket key, which is a `secret` itself.
    const sealed = (Object.keys(KINDS) as Kind[]).filter((kind) =>
      KINDS[kind].sealed.some((column) => ['sealed', 'spareSealed'].includes(column)),
    )
    expect([...RESEALED_KINDS].sort()).toEqual(sealed.sort())
  })
})

describe('behind a running house', () => {
  it('K13, I12: with two keys it runs by itself, once for all nodes, and is audited', async () => {
    const { store, runtime } = await grown(5)
    const emit = createRecordingEmit()
    const lock = createMemoryLock(runtime)
    const made = [0, 1].map(() =>
      createResealing({
        ...at(store, [NEW, OLD], runtime),
        lock,
        emit,
        audit: (detail) => auditStep({ runtime, config: CONFIG }, 'key.rotated', { detail }),
      }),
    )
    for (const node of made) node.start()
    await runtime.elapseMs(20_000)
    const audits = await store.list('audit', TENANT, undefined, { max: 10 })
    expect(audits.filter(({ value }) => value.event === 'key.rotated')).toHaveLength(1)
    expect(emit.eventsOf('key.rotated')).toHaveLength(1)
    // A node of before the change has written meanwhile.
    await at(store, [OLD], runtime).vault.save(OWNER, tokens(6))
    await runtime.elapseMs(7 * 3_600_000)
    expect(emit.eventsOf('key.rotated').map(({ rows }) => rows)).toEqual([expect.anything(), 1])
    await Promise.all(made.map((node) => node.stop()))
    expect(runtime.timers()).toBe(0)
  })

  it('K13: without timers it runs when it is due', async () => {
    const { store, runtime } = await grown(3)
    const emit = createRecordingEmit()
    const node = createResealing({
      ...at(store, [NEW, OLD], runtime),
      lock: createMemoryLock(runtime),
      emit,
      audit: () => ({ verb: 'remove', kind: 'fact', key: { tenant: TENANT, id: 'none' } }),
    })
    await finish(runtime, node.runDue())
    await at(store, [OLD], runtime).vault.save(OWNER, tokens(6))
    await finish(runtime, node.runDue())
    expect(emit.eventsOf('key.rotated')).toHaveLength(1)
    await runtime.elapseMs(7 * 3_600_000)
    await finish(runtime, node.runDue())
    expect(emit.eventsOf('key.rotated')).toHaveLength(2)
  })

  it('K13: with one key there is nothing to do', async () => {
    const { store, runtime } = await grown(1)
    const node = createResealing({
      ...at(store, [OLD], runtime),
      lock: createMemoryLock(runtime),
      emit: createRecordingEmit(),
      audit: () => {
        throw new Error('nothing happened')
      },
    })
    node.start()
    await node.runDue()
    expect(runtime.timers()).toBe(0)
    await node.stop()
  })
})
