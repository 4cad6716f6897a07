import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryStore } from '../adapters/memory.ts'
import { TENANT } from '../records.ts'
import { createSealing } from './sealing.ts'
import { createVault, ENDED_KEPT_MS, type VaultOwner } from './vault.ts'

const KEY = new Uint8Array(32).fill(3)
const OWNER: VaultOwner = {
  userId: 'user',
  userKey: 'key',
  provider: 'github',
  issuer: 'https://github.com',
  subject: '1',
  tokenOrigin: 'https://github.com',
}
const TOKENS = {
  accessToken: 'canary-access',
  tokenType: 'Bearer',
  refreshToken: 'canary-refresh',
  scopes: ['read:user'],
  expiresAtMs: 5,
}

function setUp() {
  const runtime = createTestRuntime()
  const store = createMemoryStore()
  const vault = createVault({ store, runtime, sealing: createSealing([KEY], runtime) })
  return { runtime, store, vault }
}

describe('vault', () => {
  it('gives saved tokens back, and V1: keeps none of them readable in the store', async () => {
    const { store, vault } = setUp()
    const { id } = await vault.save(OWNER, TOKENS)
    expect(await vault.load(id)).toMatchObject({
      tokens: TOKENS,
      record: { ...OWNER, state: 'active' },
    })
    const row = await store.get('vault', { tenant: TENANT, id })
    expect(JSON.stringify(row)).not.toContain('canary')
    expect(row?.value).toMatchObject({ hasRefreshToken: true, accessExpiresAtMs: 5 })
  })

  it('J7, SEC-06: does not open tokens that were moved to another record', async () => {
    const { store, vault } = setUp()
    const mine = await vault.save(OWNER, TOKENS)
    const theirs = await vault.save({ ...OWNER, userId: 'other' }, TOKENS)
    await vault.update(theirs, { sealed: mine.record.sealed }).catch(() => undefined)
    await expect(vault.find(theirs.id)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    const spare = vault.sealSpare(mine.id, TOKENS)
    expect(vault.openSpare(mine.id, spare)).toEqual(TOKENS)
    expect(vault.openSpare(theirs.id, spare)).toBeUndefined()
    expect(vault.openSpare(mine.id, `${mine.record.keyId}.${mine.record.sealed}`)).toBeUndefined()
    expect(await store.count('vault', TENANT)).toBe(2)
  })

  it('SEC-07: a row written under the old key names the new one after its next write', async () => {
    const { runtime, store } = setUp()
    const NEXT = new Uint8Array(32).fill(4)
    const under = (...keys: Uint8Array[]) =>
      createVault({ store, runtime, sealing: createSealing(keys, runtime) })
    const { id } = await under(KEY).save(OWNER, TOKENS)
    const rotating = under(NEXT, KEY)
    const before = await rotating.load(id)
    expect(before.tokens).toEqual(TOKENS)
    await rotating.update(
      before,
      rotating.sealTokens(id, { ...TOKENS, accessToken: 'canary-next' }),
    )
    const row = await store.get('vault', { tenant: TENANT, id })
    expect(row?.value.keyId).not.toBe(before.record.keyId)
    // The old key may go: nothing needs it any more.
    expect((await under(NEXT).load(id)).tokens.accessToken).toBe('canary-next')
    await expect(under(KEY).find(id)).rejects.toThrow()
  })

  it('I4: lets one of two writers of a version win', async () => {
    const { vault } = setUp()
    const entry = await vault.save(OWNER, TOKENS)
    const results = await Promise.all([
      vault.update(entry, { cause: 'a' }),
      vault.update(entry, { cause: 'b' }),
    ])
    expect(results.filter((result) => result !== undefined)).toHaveLength(1)
  })

  it('ends a record once and keeps its tokens for upstream revocation', async () => {
    const { runtime, vault } = setUp()
    const { id } = await vault.save(OWNER, TOKENS)
    expect(await vault.end(id, 'signed out')).toMatchObject({ tokens: TOKENS })
    expect(await vault.end(id, 'again')).toBeUndefined()
    expect(await vault.end('nobody', 'x')).toBeUndefined()
    const { record } = await vault.load(id)
    expect(record).toMatchObject({
      state: 'ended',
      cause: 'signed out',
      expiresAtMs: runtime.nowMs() + ENDED_KEPT_MS,
    })
  })

  it('tells a missing record from one that cannot be opened', async () => {
    const { store, vault, runtime } = setUp()
    expect(await vault.find('nobody')).toBeUndefined()
    await expect(vault.load('nobody')).rejects.toThrow('ERR_STORE_VALUE')
    const { id } = await vault.save(OWNER, TOKENS)
    const sealing = createSealing([new Uint8Array(32)], runtime)
    const stranger = createVault({ store, runtime, sealing })
    await expect(stranger.find(id)).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
  })
})
