import { describe, expect, it } from 'vitest'
import { createTestRuntime, type TestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryStore } from '../adapters/memory.ts'
import { TENANT } from '../records.ts'
import { createSealing } from '../vault/sealing.ts'
import {
  createKeys,
  KEY_KEPT_AFTER_MS,
  KEY_LIFE_MS,
  KEY_PUBLISHED_AHEAD_MS,
  KEYS_POLL_MS,
} from './keys.ts'

const OLD = new Uint8Array(32).fill(1)
const NEW = new Uint8Array(32).fill(2)

function house() {
  const runtime = createTestRuntime()
  const store = createMemoryStore()
  const node = (sealingKeys: Uint8Array[] = [OLD]) => {
    const sealing = createSealing(sealingKeys, runtime)
    return createKeys({ store, runtime, sealing })
  }
  return { runtime, store, node }
}
function signs(runtime: TestRuntime, keys: ReturnType<ReturnType<typeof house>['node']>): string {
  const { kid, key } = keys.current()
  const verifyKey = keys.verifyKeys().get(kid)
  if (verifyKey === undefined) throw new Error('the signing key is not published')
  expect(runtime.verify(verifyKey, 'data', runtime.sign(key, 'data'))).toBe(true)
  return kid
}

function kindOf(entry: object): string {
  const { verb, kind } = entry as { verb?: string; kind: string }
  return verb === undefined ? kind : `${verb} ${kind}`
}

describe('keys', () => {
  it('makes every secret once, also when two nodes start at once, and keeps them', async () => {
    const { runtime, store, node } = house()
    const [one, two] = [node(), node()]
    await Promise.all([one.load(), two.load()])
    expect(signs(runtime, one)).toBe(signs(runtime, two))
    const all = (keys: typeof one) => [
      keys.tagKey(),
      keys.refreshTagKey(),
      keys.ticketKey(),
      keys.mcpSessionKey(),
    ]
    expect(all(one)).toEqual(all(two))
    const distinct = new Set(all(one).map((key) => Buffer.from(key).toString('hex')))
    expect(distinct.size).toBe(4)
    const later = node()
    await later.load()
    expect(all(later)).toEqual(all(one))
    expect(later.jwks()).toEqual(one.jwks())
    expect(await store.count('secret', TENANT)).toBe(5)
  })

  it('V1, J11: stores no key in the clear and publishes no private part', async () => {
    const { store, node } = house()
    const keys = node()
    await keys.load()
    const rows = await store.list('secret', TENANT, undefined, { max: 100 })
    const dump = JSON.stringify(rows)
    expect(dump).not.toContain(Buffer.from(keys.tagKey()).toString('base64url'))
    expect(dump).not.toContain('"d"')
    expect(Object.keys(keys.jwks().keys[0] ?? {})).toEqual([
      'kty',
      'crv',
      'x',
      'y',
      'kid',
      'alg',
      'use',
    ])
  })

  it('AS-16: of every key only the public part, with a kid of its own, its use and its algorithm', async () => {
    const { node } = house()
    const keys = node()
    await keys.load()
    await keys.rotate()
    const published = keys.jwks().keys
    expect(published).toHaveLength(2)
    expect(new Set(published.map(({ kid }) => kid)).size).toBe(2)
    for (const jwk of published) {
      expect(jwk).toMatchObject({ kid: expect.stringMatching(/./), use: 'sig', alg: 'ES256' })
      expect(Object.keys(jwk).filter((name) => ['d', 'p', 'q', 'k'].includes(name))).toEqual([])
    }
  })

  it('AS-17: publishes the next key 48 h before it signs and keeps the old one 25 h after', async () => {
    const { runtime, node } = house()
    const keys = node()
    await keys.load()
    const first = signs(runtime, keys)
    const { kid: second, withdrawn } = await keys.rotate()
    expect(withdrawn).toEqual([])
    const published = () => keys.jwks().keys.map((jwk) => jwk.kid)
    expect(published()).toEqual([first, second])
    runtime.advanceMs(KEY_PUBLISHED_AHEAD_MS - 1)
    expect(signs(runtime, keys)).toBe(first)
    runtime.advanceMs(1)
    expect(signs(runtime, keys)).toBe(second)
    runtime.advanceMs(KEY_KEPT_AFTER_MS - 1)
    expect(published()).toEqual([first, second])
    expect(keys.verifyKeys().has(first)).toBe(true)
    runtime.advanceMs(1)
    expect(published()).toEqual([second])
    expect(keys.verifyKeys().has(first)).toBe(false)
  })

  it('J10: withdraws all other keys at once in an emergency', async () => {
    const { runtime, node } = house()
    const keys = node()
    await keys.load()
    const first = signs(runtime, keys)
    const { kid: planned } = await keys.rotate()
    const { kid, withdrawn } = await keys.rotate({ emergency: true })
    expect(withdrawn.toSorted()).toEqual([first, planned].toSorted())
    expect(signs(runtime, keys)).toBe(kid)
    expect(keys.jwks().keys.map((jwk) => jwk.kid)).toEqual([kid])
  })

  it('J10, I12: a withdrawal, its marks and its audit row are one commit', async () => {
    const { runtime, store, node } = house()
    const keys = node()
    await keys.load()
    const first = signs(runtime, keys)
    const told: string[] = []
    const audited = createKeys({
      store,
      runtime,
      sealing: createSealing([OLD], runtime),
      audit: (detail) => ({
        verb: 'create',
        kind: 'audit',
        key: { tenant: TENANT, id: 'evt_1' },
        value: { event: 'key.rotated', atMs: runtime.nowMs(), detail, expiresAtMs: 1 },
      }),
      onRotated: ({ withdrawn }) => told.push(...withdrawn),
    })
    await audited.load()
    const commits: string[] = []
    const { revoke } = store.grants
    store.grants.revoke = (marks, also = []) => {
      commits.push([...('kind' in marks ? [marks] : marks), ...also].map(kindOf).join(' '))
      return revoke(marks, also)
    }
    const { kid, marks } = await audited.rotate({ emergency: true })
    expect(commits).toEqual(['key create secret create audit put secret'])
    expect(marks.map(({ id }) => id)).toEqual([first])
    expect(told).toEqual([first])
    const { rows } = await store.grants.revocationsSince(0, 10)
    expect(rows).toMatchObject([{ kind: 'key', id: first }])
    const audit = await store.get('audit', { tenant: TENANT, id: 'evt_1' })
    expect(audit?.value.detail).toBe(`new ${kid} withdrawn ${first}`)
  })

  it('J10: withdraws one key by its id; a planned key still signs at its time', async () => {
    const { runtime, node } = house()
    const keys = node()
    await keys.load()
    const first = signs(runtime, keys)
    const { kid: planned } = await keys.rotate()
    const { kid, withdrawn } = await keys.rotate({ emergency: true, kid: first })
    expect(withdrawn).toEqual([first])
    expect(keys.list().map((entry) => [entry.kid, entry.state])).toEqual([
      [kid, 'current'],
      [planned, 'next'],
    ])
    expect(await keys.rotate({ emergency: true, kid: planned ?? '' })).toMatchObject({
      withdrawn: [planned],
    })
    expect(signs(runtime, keys)).toBe(kid)
  })

  it('J10: an emergency withdraws any number of keys, each with its mark', async () => {
    const { runtime, store, node } = house()
    const keys = node()
    await keys.load()
    const known = [signs(runtime, keys)]
    for (let turn = 0; turn < 12; turn += 1) known.push((await keys.rotate()).kid ?? '')
    expect(new Set(known).size).toBe(13)
    const { kid, withdrawn, marks } = await keys.rotate({ emergency: true })
    expect(withdrawn.toSorted()).toEqual(known.toSorted())
    expect(marks.map(({ id }) => id).toSorted()).toEqual(known.toSorted())
    const { rows } = await store.grants.revocationsSince(0, 100)
    expect(rows.map(({ id }) => id).toSorted()).toEqual(known.toSorted())
    for (const row of rows) {
      expect(row).toMatchObject({ kind: 'key', cause: 'key_withdrawn' })
      expect(row.expiresAtMs).toBe(runtime.nowMs() + KEY_KEPT_AFTER_MS)
      expect(row.issuedBeforeMs).toBe(row.expiresAtMs)
    }
    const later = node()
    await later.load()
    expect(later.jwks().keys.map((jwk) => jwk.kid)).toEqual([kid])
  })

  it('AS-17: plans end keys beyond one commit, and move no end to a later time', async () => {
    const { runtime, store, node } = house()
    const keys = node()
    await keys.load()
    for (let turn = 0; turn < 7; turn += 1) await keys.rotate()
    const ends = async () =>
      (await store.list('secret', TENANT, { name: 'purpose', value: 'signing' }, { max: 100 }))
        .map(({ value }) => value.expiresAtMs)
        .toSorted()
    const endMs = runtime.nowMs() + KEY_PUBLISHED_AHEAD_MS + KEY_KEPT_AFTER_MS
    expect(await ends()).toEqual([...Array.from({ length: 7 }, () => endMs), undefined])
    let writes = 0
    const { commit } = store
    store.commit = (steps) => {
      writes += steps.filter(({ verb }) => verb === 'put').length
      return commit(steps)
    }
    await keys.rotate()
    expect(writes, 'those that end at that very moment are left alone').toBe(1)
    runtime.advanceMs(1_000)
    await keys.rotate()
    expect(writes).toBe(2)
    expect((await ends()).filter((atMs) => atMs === endMs)).toHaveLength(8)
  })

  it('rotates alone when a key is old, once for all nodes, and other nodes learn it by poll', async () => {
    const { runtime, node } = house()
    const [one, two] = [node(), node()]
    await Promise.all([one.load(), two.load()])
    one.start()
    two.start()
    runtime.advanceMs(KEY_LIFE_MS - KEY_PUBLISHED_AHEAD_MS)
    await runtime.elapseMs(3 * KEYS_POLL_MS)
    expect(one.jwks().keys).toHaveLength(2)
    expect(two.jwks()).toEqual(one.jwks())
    one.stop()
    two.stop()
    expect(runtime.timers()).toBe(0)
  })

  it('says at start that the sealing key is another one, and how to go on', async () => {
    const { node } = house()
    await node([OLD]).load()
    await expect(node([NEW]).load()).rejects.toMatchObject({
      code: 'ERR_CONFIG_SEALING_KEY',
      fix: expect.stringContaining('POSTERN_SEALING_KEY'),
    })
  })

  it('seals again under the first key, so that the old one can be dropped', async () => {
    const { runtime, node } = house()
    const before = node([OLD])
    await before.load()
    await node([NEW, OLD]).load()
    const after = node([NEW])
    await after.load()
    expect(after.tagKey()).toEqual(before.tagKey())
    expect(signs(runtime, after)).toBe(signs(runtime, before))
  })

  it('J7: refuses a secret that was moved to another purpose', async () => {
    const { store, node } = house()
    await node().load()
    const tag = await store.get('secret', { tenant: TENANT, id: 'tag' })
    const ticket = await store.get('secret', { tenant: TENANT, id: 'ticket' })
    if (tag === undefined || ticket === undefined) throw new Error('no secrets')
    const moved = { ...ticket.value, sealed: tag.value.sealed }
    await store.put('secret', ticket.key, ticket.version, moved)
    await expect(node().load()).rejects.toMatchObject({ code: 'ERR_CONFIG_DATABASE' })
  })
})
