import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryStore } from '../adapters/memory.ts'
import { createHandOut } from './hand-out.ts'
import type { Refresher, RefreshResult } from './refresh.ts'
import { createSealing } from './sealing.ts'
import { createVault, type VaultOwner } from './vault.ts'

const OWNER: VaultOwner = {
  userId: 'user',
  userKey: 'key',
  provider: 'github',
  issuer: 'https://github.com',
  subject: '1',
  tokenOrigin: 'https://github.com',
}
const HOUR_MS = 3_600_000

async function setUp(
  rest: { refresh?: RefreshResult; lifeMs?: number; refreshToken?: string } = {},
) {
  const runtime = createTestRuntime()
  const sealing = createSealing([new Uint8Array(32).fill(3)], runtime)
  const vault = createVault({ store: createMemoryStore(), runtime, sealing })
  const tokens = {
    accessToken: 'access-0',
    tokenType: 'Bearer',
    scopes: ['repo'],
    expiresAtMs: runtime.nowMs() + (rest.lifeMs ?? HOUR_MS),
    ...(rest.refreshToken === undefined ? {} : { refreshToken: rest.refreshToken }),
  }
  const { id } = await vault.save(OWNER, tokens)
  const asked: number[] = []
  const refresher: Refresher = {
    async refresh(vaultId, deadlineMs) {
      asked.push(deadlineMs)
      if (rest.refresh === 'refreshed') {
        const next = { ...tokens, accessToken: 'access-1' }
        await vault.update(await vault.load(vaultId), vault.sealTokens(vaultId, next))
      }
      return rest.refresh ?? 'current'
    },
    unwritten: () => 0,
  }
  const handOut = createHandOut({
    vault,
    refresher,
    nowMs: () => runtime.nowMs(),
    deadlineMs: 10_000,
  })
  return { vault, id, asked, handOut }
}

describe('a token handed out of the vault', () => {
  it('EXT-07: is the stored one while nothing is due, and asks nobody without a refresh token', async () => {
    const { id, asked, handOut } = await setUp()
    expect(await handOut(id, 'github')).toMatchObject({
      outcome: 'token',
      accessToken: 'access-0',
      scopes: ['repo'],
    })
    expect(asked).toEqual([])
  })

  it('EXT-07: is refreshed first when that is due, within the deadline of its caller', async () => {
    const { id, asked, handOut } = await setUp({ refreshToken: 'r', refresh: 'refreshed' })
    expect(await handOut(id, 'github')).toMatchObject({ accessToken: 'access-1' })
    expect(asked).toEqual([10_000])
  })

  it('EXT-07: one that still lives is good when the provider is silent; an ended one is not', async () => {
    const living = await setUp({ refreshToken: 'r', refresh: 'unknown' })
    expect(await living.handOut(living.id, 'github')).toMatchObject({ accessToken: 'access-0' })
    const ended = await setUp({ refreshToken: 'r', refresh: 'unknown', lifeMs: 0 })
    expect(await ended.handOut(ended.id, 'github')).toEqual({ outcome: 'unknown' })
  })

  it('EXT-07: none for another provider, a dead refresh, an ended record or one that is not there', async () => {
    const { vault, id, handOut } = await setUp()
    expect(await handOut(id, 'google')).toEqual({ outcome: 'none' })
    expect(await handOut('nowhere', 'github')).toEqual({ outcome: 'none' })
    const dead = await setUp({ refreshToken: 'r', refresh: 'dead' })
    expect(await dead.handOut(dead.id, 'github')).toEqual({ outcome: 'none' })
    await vault.end(id, 'test')
    expect(await handOut(id, 'github')).toEqual({ outcome: 'none' })
  })
})
