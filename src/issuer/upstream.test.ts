import { describe, expect, it } from 'vitest'
import { createTestIssuer } from '../../test/flow/sign-in-house.ts'
import type { Proof, Provider } from '../providers/provider.ts'
import type { RefreshResult } from '../vault/refresh.ts'
import { createSealing } from '../vault/sealing.ts'
import { createVault, type VaultRecord } from '../vault/vault.ts'
import { createUpstream, refreshUpstream } from './upstream.ts'
import type { EndOptions } from './upstream-revocation.ts'

const TOKENS = { accessToken: 'a', tokenType: 'bearer' }
const WITH_REFRESH = { ...TOKENS, refreshToken: 'r' }

async function open(tokens: object = TOKENS, change: Partial<VaultRecord> = {}) {
  const house = createTestIssuer()
  const { store, runtime } = house
  const sealing = createSealing([new Uint8Array(32).fill(9)], runtime)
  const vault = createVault({ store, runtime, sealing })
  const issuer = 'https://github.example'
  const owner = { userId: 'usr_1', userKey: 'ada', provider: 'old-name', issuer, subject: '1001' }
  const saved = await vault.save({ ...owner, tokenOrigin: issuer }, { ...TOKENS, ...tokens })
  if (Object.keys(change).length > 0) await vault.update(saved, change)
  const asked: unknown[] = []
  const remote = {
    proof: { outcome: 'yes' } as Proof,
    refresh: 'refreshed' as RefreshResult,
    ended: [] as [string, string, EndOptions][],
    seen: [] as string[],
  }
  const base = house.deps.providers[0]
  if (base === undefined) throw new Error('no provider')
  const provider: Provider = {
    ...base.provider,
    check: async (_context, given, basis) => {
      asked.push(['check', given.accessToken, basis])
      return remote.proof
    },
  }
  const make = (can: Partial<Provider> = {}, isConfigured = true) =>
    createUpstream({
      ...house.deps,
      vault,
      refresher: {
        unwritten: () => 0,
        refresh: async (...given) => {
          asked.push(['refresh', ...given.slice(1)])
          return remote.refresh
        },
      },
      providers: isConfigured ? [{ ...base, provider: { ...provider, ...can } }] : [],
      signals: {
        endSignIn: async (...given) => {
          remote.ended.push(given)
          return 'ended'
        },
      },
      seen: (id) => void remote.seen.push(id),
    })
  const id = saved.id
  return { house, runtime, vault, asked, remote, make, id, record: saved.record }
}

const PERSON = { provider: 'github', person: 'ada' }
const timeoutMs = createTestIssuer().deps.config.limits.tokenCallTimeoutMs

describe('check', () => {
  it('VAL-03: asks the provider of the record by its issuer, with the subject and the last etag', async () => {
    const { make, asked, id, remote } = await open()
    expect(await make().check(id, '"e"')).toEqual({ ...PERSON, outcome: 'yes' })
    expect(await make().check(id, undefined)).toEqual({ ...PERSON, outcome: 'yes' })
    expect(asked).toStrictEqual([
      ['check', 'a', { subject: '1001', etag: '"e"' }],
      ['check', 'a', { subject: '1001' }],
    ])
    expect(remote.seen).toEqual([id, id])
  })

  it('I5: what ended here is a no of ours, and nobody is asked', async () => {
    const { make, asked, id, remote } = await open(TOKENS, { state: 'reconnect' })
    const no = await make().check(id, undefined)
    expect(no).toMatchObject({ provider: 'old-name', person: 'ada', outcome: 'no' })
    const gone = await make().check('nobody', undefined)
    expect(gone).toEqual({ ...gone, provider: '', outcome: 'no' })
    expect([asked, remote.seen]).toEqual([[], []])
  })

  it('VAL-03: a provider that is not configured, or a store that fails, says nothing', async () => {
    const { make, id, vault } = await open()
    expect(await make({}, false).check(id, undefined)).toEqual({
      provider: 'old-name',
      person: 'ada',
      outcome: 'unknown',
      reason: 'provider_not_configured',
    })
    const upstream = make()
    Object.assign(vault, { find: () => Promise.reject(new Error('down')) })
    const unknown = { provider: '', outcome: 'unknown', reason: 'store' }
    expect(await upstream.check(id, undefined)).toEqual(unknown)
    expect(await upstream.secondOpinion(id)).toEqual(unknown)
  })

  it('TOK-24: an access token that ran out is refreshed in the place of a check', async () => {
    const { make, asked, id, remote, runtime } = await open({
      ...WITH_REFRESH,
      expiresAtMs: createTestIssuer().runtime.nowMs() + 1_000,
    })
    runtime.advanceMs(999)
    await make().check(id, undefined)
    expect(asked.splice(0)).toEqual([['check', 'a', { subject: '1001' }]])
    runtime.advanceMs(1)
    for (const [result, proof] of [
      ['refreshed', { outcome: 'yes' }],
      ['current', { outcome: 'yes' }],
      ['dead', { outcome: 'no', reason: 'refresh_refused' }],
      ['unknown', { outcome: 'unknown', reason: 'refresh' }],
    ] as const) {
      remote.refresh = result
      expect(await make().check(id, undefined)).toEqual({ ...PERSON, ...proof })
    }
    expect(asked).toEqual(
      Array.from({ length: 4 }, () => ['refresh', timeoutMs, { believe: false }]),
    )
    const without = await open({ expiresAtMs: 1 })
    await without.make().check(without.id, undefined)
    expect(without.asked).toEqual([['check', 'a', { subject: '1001' }]])
  })
})

describe('secondOpinion', () => {
  it('VAL-12: a refresh by force where there is one, else another question, else the same again', async () => {
    const refresh: Provider['refresh'] = async () => ({ outcome: 'unknown', reason: 'x' })
    const both = await open(WITH_REFRESH)
    expect(await both.make({ refresh }).secondOpinion(both.id)).toEqual({
      ...PERSON,
      outcome: 'yes',
    })
    expect(both.asked).toEqual([['refresh', timeoutMs, { force: true, believe: false }]])
    const token = await open(TOKENS)
    await token.make({ refresh }).secondOpinion(token.id)
    expect(token.asked).toEqual([['check', 'a', { subject: '1001' }]])
    const only = await open(WITH_REFRESH)
    await only.make().secondOpinion(only.id)
    expect(only.asked).toEqual([['check', 'a', { subject: '1001' }]])
    const other = await open(TOKENS)
    const answer = await other
      .make({ secondOpinion: async () => ({ outcome: 'no', reason: 'really' }) })
      .secondOpinion(other.id)
    expect(answer).toEqual({ ...PERSON, outcome: 'no', reason: 'really' })
    expect(other.asked).toEqual([])
  })
})

describe('end', () => {
  it('VAL-12: a verdict ends the very tokens that were refused, and revokes nothing', async () => {
    const { make, id, remote, record } = await open()
    const upstream = make()
    await upstream.end(id, 'early')
    remote.proof = { outcome: 'no', reason: 'revoked' }
    await upstream.check(id, undefined)
    await upstream.end(id, 'revoked')
    await upstream.end(id, 'again')
    expect(remote.ended).toStrictEqual([
      [id, 'early', { revoke: false }],
      [id, 'revoked', { revoke: false, ifSealed: record.sealed }],
      [id, 'again', { revoke: false }],
    ])
  })
})

describe('refreshUpstream', () => {
  it('TOK-25: asks the provider of the record; a refusal of our client is told, not believed', async () => {
    const { house, record } = await open(WITH_REFRESH)
    const [entry] = house.deps.providers
    if (entry === undefined) throw new Error('no provider')
    const told: string[] = []
    const ask = (
      refresh: Provider['refresh'] | undefined,
      tokens = WITH_REFRESH,
      from = record,
    ) => {
      const { refresh: _, ...rest } = entry.provider
      const provider = refresh === undefined ? rest : { ...rest, refresh }
      return refreshUpstream([{ ...entry, provider }], from, tokens, (id) => void told.push(id))
    }
    const yes: Provider['refresh'] = async (_context, token, tokens) => ({
      outcome: 'yes',
      tokens: { ...tokens, accessToken: `new-for-${token}` },
    })
    expect(await ask(yes)).toEqual({
      outcome: 'yes',
      value: { ...WITH_REFRESH, accessToken: 'new-for-r' },
    })
    const unknown = { outcome: 'unknown' }
    expect(await ask(undefined)).toEqual(unknown)
    expect(await ask(yes, TOKENS as typeof WITH_REFRESH)).toEqual(unknown)
    expect(await ask(yes, WITH_REFRESH, { ...record, issuer: 'https://x' })).toEqual(unknown)
    const no = { outcome: 'no', reason: 'invalid_grant' } as const
    expect(await ask(async () => no)).toEqual(no)
    expect(told).toEqual([])
    expect(await ask(async () => ({ outcome: 'client-refused' }))).toEqual(unknown)
    expect(told).toEqual(['github'])
  })
})
