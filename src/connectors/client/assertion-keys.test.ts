import { beforeEach, describe, expect, it } from 'vitest'
import { createTestRuntime, type TestRuntime } from '../../../test/kit/runtime.ts'
import { createMemoryStore } from '../../adapters/memory.ts'
import { StoreError } from '../../errors.ts'
import { createKeys } from '../../issuer/keys.ts'
import { judgeClientAssertion } from '../../oauth/client-assertion.ts'
import type { Store } from '../../ports.ts'
import { TENANT } from '../../records.ts'
import { createSealing } from '../../vault/sealing.ts'
import {
  ASSERTION_KEY_KEPT_AFTER_MS,
  ASSERTION_KEY_LIFE_MS,
  ASSERTION_KEY_PUBLISHED_AHEAD_MS,
  type AssertionKeys,
  createAssertionKeys,
} from './assertion-keys.ts'

const ISSUER = 'https://as.example'
const CLIENT = 'https://auth.example/connect/notes/client.json'
const MINUTE_MS = 60_000

let runtime: TestRuntime
let store: Store
let audits = 0
const SEALING_KEY = new Uint8Array(32).fill(7)

function node(keys: readonly Uint8Array[] = [SEALING_KEY]): AssertionKeys {
  return createAssertionKeys({
    store,
    runtime,
    sealing: createSealing(keys, runtime),
    audit: (detail) => ({
      verb: 'create',
      kind: 'audit',
      key: { tenant: TENANT, id: `evt_${++audits}` },
      value: { event: 'key.rotated', atMs: 0, detail, expiresAtMs: runtime.nowMs() + 1e12 },
    }),
  })
}

function partOf(jwt: string, index: 0 | 1): Record<string, unknown> {
  return JSON.parse(Buffer.from(jwt.split('.')[index] ?? '', 'base64url').toString())
}

beforeEach(() => {
  runtime = createTestRuntime()
  store = createMemoryStore()
  audits = 0
})

describe('CLI-15: client assertions', () => {
  it('CLI-15: have the issuer as their one audience, a short life and a new jti each', async () => {
    const keys = node()
    await keys.load()
    const [first, second] = [await keys.sign(CLIENT, ISSUER), await keys.sign(CLIENT, ISSUER)]
    expect(partOf(first, 1)).toMatchObject({ iss: CLIENT, sub: CLIENT, aud: ISSUER })
    const { iat, exp, jti } = partOf(first, 1)
    expect(Number(exp) - Number(iat)).toBe(60)
    expect(partOf(second, 1)['jti']).not.toBe(jti)
    // Judged by the rules to which we hold others.
    const facts = { keys: await keys.jwks(), clientId: CLIENT, issuer: ISSUER }
    const judged = await judgeClientAssertion(first, {
      ...facts,
      keys: { keys: [...facts.keys.keys] },
      nowMs: runtime.nowMs(),
    })
    expect(judged).toMatchObject({ ok: true, jti })
  })

  it('CLI-15: are signed by no key that signs access tokens', async () => {
    const house = createKeys({ store, runtime, sealing: createSealing([SEALING_KEY], runtime) })
    await house.load()
    const keys = node()
    await keys.load()
    const ours = (await keys.jwks()).keys.map(({ kid }) => kid)
    expect(ours).toHaveLength(1)
    expect(house.jwks().keys.map(({ kid }) => kid)).not.toContain(ours[0])
    expect(partOf(await keys.sign(CLIENT, ISSUER), 0)).toEqual({
      alg: 'ES256',
      typ: 'JWT',
      kid: ours[0],
    })
  })

  it('lets two nodes that start at once agree on one key, sealed in the store', async () => {
    const [one, other] = [node(), node()]
    await Promise.all([one.load(), other.load()])
    expect(await one.jwks()).toEqual(await other.jwks())
    const rows = await store.list('secret', TENANT, undefined, { max: 10 })
    expect(rows.map(({ value }) => value.purpose)).toEqual(['assertion'])
    expect(JSON.stringify(rows)).not.toContain('"d"')
  })

  it('publishes the next key before it signs, on every node, and the old one after', async () => {
    const [one, other] = [node(), node()]
    await Promise.all([one.load(), other.load()])
    const kidOf = async (keys: AssertionKeys) => partOf(await keys.sign(CLIENT, ISSUER), 0)['kid']
    const before = await kidOf(one)
    runtime.advanceMs(ASSERTION_KEY_LIFE_MS - ASSERTION_KEY_PUBLISHED_AHEAD_MS)
    expect(await kidOf(one)).toBe(before)
    expect((await one.jwks()).keys).toHaveLength(2)
    runtime.advanceMs(MINUTE_MS)
    expect((await other.jwks()).keys).toHaveLength(2)
    runtime.advanceMs(ASSERTION_KEY_PUBLISHED_AHEAD_MS)
    const after = await kidOf(other)
    expect(after).not.toBe(before)
    expect(await kidOf(one)).toBe(after)
    expect((await one.jwks()).keys.map(({ kid }) => kid)).toContain(before)
    runtime.advanceMs(ASSERTION_KEY_KEPT_AFTER_MS)
    expect((await one.jwks()).keys.map(({ kid }) => kid)).toEqual([after])
    // One rotation by two nodes is one audit row.
    expect(await store.count('audit', TENANT)).toBe(1)
  })

  it('signs on while the store does not answer', async () => {
    const keys = node()
    await keys.load()
    runtime.advanceMs(2 * MINUTE_MS)
    store.list = () => Promise.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied'))
    expect((await keys.sign(CLIENT, ISSUER)).split('.')).toHaveLength(3)
  })

  it('opens with an older sealing key, and seals again under the first', async () => {
    const old = node()
    await old.load()
    const before = await old.jwks()
    const renewed = node([new Uint8Array(32).fill(9), SEALING_KEY])
    await renewed.load()
    expect(await renewed.jwks()).toEqual(before)
    const onlyNew = node([new Uint8Array(32).fill(9)])
    await onlyNew.load()
    expect(await onlyNew.jwks()).toEqual(before)
  })
})
