import { describe, expect, it } from 'vitest'
import {
  createTestIssuer,
  NOTES,
  register,
  signIn,
  Visitor,
} from '../../test/flow/sign-in-house.ts'
import type { Memberships, Provider } from '../providers/provider.ts'
import { type Grant, TENANT, type Values } from '../records.ts'
import type { RefreshResult } from '../vault/refresh.ts'
import { createSealing } from '../vault/sealing.ts'
import { createVault } from '../vault/vault.ts'
import { createMembershipAsking, NOT_ALLOWED_ANY_MORE } from './membership-asking.ts'

const WANTED = { organizations: ['acme', 'corp'], teams: ['acme/reviewers'] }
const HOUR_MS = 3_600_000
const ISSUER = 'https://github.example'
const SUBJECT = '1001'

/** Ada has signed in; what her provider answers is up to the test. */
async function open() {
  const base = createTestIssuer()
  const { store, runtime } = base
  const vault = createVault({
    store,
    runtime,
    sealing: createSealing([new Uint8Array(32).fill(9)], runtime),
  })
  const house = createTestIssuer({
    connectors: ['notes', 'tasks'],
    store,
    runtime,
    deps: { vault },
  })
  const { client_id } = await register(house)
  await signIn(house, new Visitor(house), client_id)
  const [user] = await store.list('user', TENANT, undefined, { max: 2 })
  if (user === undefined) throw new Error('nobody signed in')
  const asked: string[] = []
  const remote = {
    memberships: {
      outcome: 'yes',
      organizations: ['acme'],
      teams: ['acme/reviewers'],
      unanswered: [],
    } as unknown,
    identity: undefined as unknown,
    refresh: 'refreshed' as RefreshResult,
    refreshes: [] as unknown[],
  }
  const provider: Provider = {
    ...house.provider.provider,
    memberships: async (_context, tokens, wanted) => {
      asked.push(`${tokens.accessToken} ${JSON.stringify(wanted)}`)
      if (remote.memberships instanceof Error) throw remote.memberships
      return remote.memberships as Memberships
    },
    identify: async (_context, tokens) => {
      asked.push(`identify ${tokens.accessToken}`)
      return remote.identity as undefined
    },
  }
  const context = house.deps.providers[0]?.context
  if (context === undefined) throw new Error('no context')
  const asking = createMembershipAsking({
    ...house.deps,
    vault,
    refresher: {
      unwritten: () => 0,
      refresh: async (...given) => {
        remote.refreshes.push(given)
        return remote.refresh
      },
    },
    providers: [{ provider, context }],
    rules: () => ({ config: { ...house.deps.config, ...rules }, runtime }),
  })
  const rules: { allow: 'anyone' | { users: readonly string[] } } = { allow: 'anyone' }
  const userKey = user.key.id
  const change = async (value: Partial<Values['vault']>): Promise<void> => {
    const [row] = await store.list('vault', TENANT, undefined, { max: 2 })
    if (row === undefined) throw new Error('no sign-in')
    await store.put('vault', row.key, row.version, { ...row.value, ...value })
  }
  const userNow = async () => (await store.get('user', user.key))?.value
  const ask = (previous?: Parameters<typeof asking.askMemberships>[2]) =>
    asking.askMemberships(userKey, WANTED, previous)
  return {
    house,
    store,
    runtime,
    remote,
    asked,
    asking,
    rules,
    userKey,
    change,
    userNow,
    ask,
    vault,
  }
}

const UNKNOWN = { outcome: 'unknown', provider: '' }
const YES = { outcome: 'yes', provider: 'github', value: { names: ['acme', 'acme/reviewers'] } }

describe('askMemberships', () => {
  it('PRV-22: asks with the tokens of the person; organizations and teams are one list', async () => {
    const { ask, asked } = await open()
    expect(await ask()).toEqual(YES)
    expect(asked).toEqual([`upstream-${SUBJECT} ${JSON.stringify(WANTED)}`])
  })

  it('PRV-22: what the provider does not say is unknown, with its own wait', async () => {
    const { ask, remote } = await open()
    for (const [answer, said] of [
      [undefined, { outcome: 'unknown', provider: 'github' }],
      [{ outcome: 'unknown' }, { outcome: 'unknown', provider: 'github' }],
      [
        { outcome: 'unknown', retryAfterMs: 7_000 },
        { outcome: 'unknown', provider: 'github', retryAfterMs: 7_000 },
      ],
      [new Error('socket'), UNKNOWN],
    ] as const) {
      remote.memberships = answer
      expect(await ask()).toStrictEqual(said)
    }
  })

  it('PRV-22: a name that nobody answers for is believed an hour after its last yes', async () => {
    const { ask, remote, runtime } = await open()
    const nowMs = runtime.nowMs()
    remote.memberships = {
      outcome: 'yes',
      organizations: ['acme'],
      teams: [],
      unanswered: ['corp', 'acme', 'never'],
    }
    const previous = { names: ['acme', 'corp'] }
    const first = await ask(previous)
    const carried = { names: ['acme', 'corp'], carriedSinceMs: { corp: nowMs } }
    expect(first).toStrictEqual({ outcome: 'yes', provider: 'github', value: carried })
    runtime.advanceMs(HOUR_MS - 1)
    expect(await ask(carried)).toStrictEqual(first)
    runtime.advanceMs(1)
    expect(await ask(carried)).toStrictEqual({
      outcome: 'yes',
      provider: 'github',
      value: { names: ['acme'] },
    })
    expect(await ask()).toStrictEqual({
      outcome: 'yes',
      provider: 'github',
      value: { names: ['acme'] },
    })
  })

  it('PRV-22: without a living sign-in of this very person nobody is asked', async () => {
    for (const change of [
      { state: 'ended' },
      { state: 'reconnect' },
      { userKey: 'somebody-else' },
      { issuer: 'https://okta.example' },
    ] as const) {
      const { ask, asked, change: put } = await open()
      await put(change)
      expect(await ask(), JSON.stringify(change)).toEqual(UNKNOWN)
      expect(asked).toEqual([])
    }
    const { asking, asked } = await open()
    expect(await asking.askMemberships('nobody', WANTED, undefined)).toEqual(UNKNOWN)
    expect(asked).toEqual([])
  })

  it('TOK-25: a token that ran out is refreshed first, and a refusal is not believed for it', async () => {
    const { ask, asked, change, remote, runtime, house } = await open()
    await change({ accessExpiresAtMs: runtime.nowMs() + 1, hasRefreshToken: true })
    expect(await ask()).toEqual(YES)
    expect(remote.refreshes).toEqual([])
    runtime.advanceMs(1)
    const { tokenCallTimeoutMs } = house.deps.config.limits
    for (const result of ['refreshed', 'current'] as const) {
      remote.refresh = result
      expect(await ask()).toEqual(YES)
    }
    expect(remote.refreshes[0]).toEqual([
      expect.stringMatching(/^vlt_/),
      tokenCallTimeoutMs,
      { believe: false },
    ])
    const before = asked.length
    for (const result of ['unknown', 'dead', 'refused', 'reconnect'] as const) {
      remote.refresh = result as RefreshResult
      expect(await ask()).toEqual(UNKNOWN)
    }
    await change({ hasRefreshToken: false })
    remote.refreshes.length = 0
    expect(await ask()).toEqual(UNKNOWN)
    expect([asked.length, remote.refreshes]).toEqual([before, []])
  })
})

describe('askIdentity', () => {
  it('PRV-22: an answer about somebody else, or none, says nothing', async () => {
    const { asking, remote, userKey, asked } = await open()
    const about = { issuer: ISSUER, subject: SUBJECT, profile: {}, groups: ['g'] }
    remote.identity = about
    expect(await asking.askIdentity(userKey)).toEqual({
      outcome: 'yes',
      provider: 'github',
      value: about,
    })
    expect(asked).toEqual([`identify upstream-${SUBJECT}`])
    for (const other of [undefined, { ...about, subject: '1002' }]) {
      remote.identity = other
      expect(await asking.askIdentity(userKey)).toEqual({ outcome: 'unknown', provider: 'github' })
    }
    expect(await asking.askIdentity('nobody')).toEqual(UNKNOWN)
  })
})

describe('onIdentity', () => {
  it('PRV-22: writes what is new about this person, once, and nothing about another', async () => {
    const { asking, store, userKey, userNow } = await open()
    const before = await userNow()
    if (before === undefined) throw new Error('nobody')
    const same = {
      issuer: ISSUER,
      subject: SUBJECT,
      profile: before.profile,
      groups: before.groups,
    }
    let writes = 0
    const { put } = store
    store.put = (...given) => {
      writes += 1
      return put(...given)
    }
    await asking.onIdentity(userKey, same)
    await asking.onIdentity(userKey, { ...same, profile: { ...before.profile } })
    await asking.onIdentity(userKey, { ...same, subject: '1002', groups: ['x'] })
    await asking.onIdentity('nobody', { ...same, groups: ['x'] })
    expect([writes, await userNow()]).toEqual([0, before])
    for (const [change, members] of [
      [{ groups: ['g'] }, { groups: ['g'] }],
      [{ roles: ['r'] }, { roles: ['r'] }],
      [{ tenant: 't' }, { tenantId: 't' }],
      [{ profile: { name: 'A' } }, { profile: { name: 'A' } }],
      [{ profile: { email: 'a@b.example' } }, { profile: { email: 'a@b.example' } }],
      [{ profile: { login: 'a' } }, { profile: { login: 'a' } }],
      [{ profile: { pictureUrl: 'https://x' } }, { profile: { pictureUrl: 'https://x' } }],
      [{ profile: { emailVerified: false } }, { profile: { emailVerified: false } }],
      [{}, {}],
    ] as const) {
      await asking.onIdentity(userKey, { ...same, ...change })
      expect(await userNow()).toStrictEqual({ ...before, ...members })
    }
    expect(writes).toBe(9)
  })
})

describe('onLost', () => {
  async function grants({ store, userNow }: Awaited<ReturnType<typeof open>>) {
    const user = await userNow()
    const index = { name: 'userId', value: user?.userId ?? '' } as const
    return store.grants.list(TENANT, index, { max: 500 })
  }
  const add = async (
    { store }: Awaited<ReturnType<typeof open>>,
    grant: Grant | undefined,
    rest: Partial<Grant>,
  ): Promise<void> => {
    if (grant === undefined) throw new Error('no grant')
    const made = { ...grant, ...rest, codeDigest: `digest-${rest.id}` }
    await store.commit([{ verb: 'createGrant', grant: made }])
  }

  it('PRV-22 I12: ends every grant that the rule of now does not allow, beyond one page', async () => {
    const opened = await open()
    const { asking, rules, userKey, house } = opened
    const [first] = await grants(opened)
    for (let count = 0; count < 205; count += 1)
      await add(opened, first, { id: `grt_${String(count).padStart(4, '0')}` })
    await add(opened, first, { id: 'grt_other', userKey: 'another-person' })
    await asking.onLost(userKey, { memberships: [] })
    expect((await grants(opened)).filter(({ state }) => state === 'ended')).toEqual([])
    rules.allow = { users: ['github:somebody-else'] }
    await asking.onLost('nobody', { memberships: [] })
    expect((await grants(opened)).filter(({ state }) => state === 'ended')).toEqual([])
    await asking.onLost(userKey, { memberships: [] })
    const left = (await grants(opened)).filter(({ state }) => state !== 'ended')
    expect(left.map(({ id }) => id)).toEqual(['grt_other'])
    const ended = house.emit.eventsOf('grant.ended')
    expect(ended).toHaveLength(206)
    expect(new Set(ended.map(({ reason }) => reason))).toEqual(new Set([NOT_ALLOWED_ANY_MORE]))
    await asking.onLost(userKey, { memberships: [] })
    expect(house.emit.eventsOf('grant.ended')).toHaveLength(206)
  })

  it('PRV-22: the rule of a connector ends its own grants alone', async () => {
    const opened = await open()
    const { asking, userKey, house } = opened
    const [first] = await grants(opened)
    await add(opened, first, { id: 'grt_tasks', resource: `${house.issuer}/mcp/tasks` })
    const notes = house.deps.config.connectors.find(({ resource }) => resource === NOTES)
    Object.assign(notes ?? {}, { allow: { githubOrganizations: ['acme'] } })
    await asking.onLost(userKey, { memberships: ['acme'] })
    expect((await grants(opened)).filter(({ state }) => state === 'ended')).toEqual([])
    await asking.onLost(userKey, { memberships: [] })
    const ended = (await grants(opened)).filter(({ state }) => state === 'ended')
    expect(ended.map(({ id }) => id)).toEqual([first?.id])
  })
})
