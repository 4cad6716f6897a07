/** What stands behind a token or a session, at its very edges: explain, sessions, sign-ins, duties. */
import { describe, expect, it } from 'vitest'
import { explainToken } from '../../src/issuer/explain.ts'
import { ago } from '../../src/issuer/explain-standing.ts'
import { isLiving } from '../../src/issuer/upstream-revocation.ts'
import { SetUpError } from '../../src/providers/provider.ts'
import { TENANT } from '../../src/records.ts'
import {
  authorizeUrl,
  createTestIssuer,
  errorOf,
  ISSUER,
  locationOf,
  register,
  signIn,
  type TestHouse,
  tokensFor,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const DAY_MS = 86_400_000
const lastReason = (house: TestHouse) => house.emit.eventsOf('signin.refused').at(-1)?.reason
const PORTAL = {
  config: { clients: [{ clientId: 'portal', name: 'Portal', redirectUris: [WEB_REDIRECT] }] },
}

describe('explain', () => {
  async function open() {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const tokens = await tokensFor(house, client_id)
    const { config, keys, runtime, store } = house.deps
    const problems = async () => {
      const told = await explainToken({ config, keys, runtime, store }, tokens.access_token)
      return told.problems.map(({ reason, problem, fix }) => [reason, problem, fix])
    }
    const [user] = await store.list('user', TENANT, undefined, { max: 1 })
    const [vault] = await store.list('vault', TENANT, undefined, { max: 1 })
    if (user === undefined || vault === undefined) throw new Error('nobody')
    return { house, store, problems, user, vault }
  }

  it('says that the person or the sign-in is not there at all', async () => {
    const { store, problems, user, vault } = await open()
    await store.remove('user', user.key)
    await store.remove('vault', vault.key)
    expect(await problems()).toEqual([
      ['user_disabled', 'its user is not there.', undefined],
      ['upstream_dead', 'the sign-in at the provider is over.', 'The person has to sign in again.'],
    ])
  })

  it('says of a grant that it ended and why, or that its code was never redeemed', async () => {
    const { house, store, problems, user } = await open()
    const index = { name: 'userId', value: user.value.userId } as const
    const [grant] = await store.grants.list(TENANT, index, { max: 1 })
    if (grant === undefined) throw new Error('no grant')
    const { find } = store.grants
    const as = (change: object) => {
      store.grants.find = async () => ({ ...grant, ...change })
    }
    as({ state: 'ended', cause: 'revoked_by_client' })
    const again = 'The client has to sign in again.'
    expect(await problems()).toEqual([
      ['grant_ended', 'its grant has ended: revoked_by_client.', again],
    ])
    as({ state: 'ended', cause: undefined })
    expect(await problems()).toEqual([
      ['grant_ended', 'its grant has ended: no cause was kept.', again],
    ])
    as({ state: 'pending' })
    expect(await problems()).toEqual([['grant_pending', 'its code was never redeemed.', undefined]])
    as({ expiresAtMs: house.runtime.nowMs() })
    expect(await problems()).toEqual([
      ['grant_ended', 'its grant was not used for too long; it ended 0 s ago.', again],
    ])
    as({ expiresAtMs: house.runtime.nowMs() + 1 })
    expect(await problems()).toEqual([])
    store.grants.find = find
  })

  it('tells an age in the largest unit that says enough', () => {
    const MINUTE_MS = 60_000
    expect(
      [0, 89_000, 2 * MINUTE_MS, 119 * MINUTE_MS, 120 * MINUTE_MS, 2_879 * MINUTE_MS].map(ago),
    ).toEqual(['0 s', '89 s', '2 min', '119 min', '2 h', '48 h'])
    expect([2_880 * MINUTE_MS, 40 * DAY_MS].map(ago)).toEqual(['2 d', '40 d'])
  })
})

describe('a session', () => {
  it('ends to the millisecond', async () => {
    const house = createTestIssuer(PORTAL)
    const visitor = new Visitor(house)
    await signIn(house, visitor, 'portal')
    const [session] = await house.store.list('session', TENANT, undefined, { max: 1 })
    const leftMs = (session?.value.expiresAtMs ?? 0) - house.runtime.nowMs()
    house.runtime.advanceMs(leftMs)
    const page = await (await visitor.get('/account')).text()
    expect(page).not.toContain('Ada Lovelace')
  })

  it('CON-11: a look at the account keeps it alive', async () => {
    const house = createTestIssuer(PORTAL)
    const visitor = new Visitor(house)
    await signIn(house, visitor, 'portal')
    const seen = async () =>
      (await house.store.list('session', TENANT, undefined, { max: 1 }))[0]?.value.lastSeenAtMs
    const before = await seen()
    house.runtime.advanceMs(3_600_000)
    await visitor.get('/account')
    await house.runtime.settle()
    expect(await seen()).toBe((before ?? 0) + 3_600_000)
  })
})

describe('the answer of a provider', () => {
  async function journey(house: TestHouse, visitor: Visitor, id = 'portal') {
    const page = await visitor.get(authorizeUrl(house, id, { prompt: 'consent' }))
    return new URL(locationOf(await visitor.press(page, 'allow:github')))
  }

  it('AZ-23: neither a code nor an error is a failure of the provider', async () => {
    const house = createTestIssuer(PORTAL)
    const visitor = new Visitor(house)
    const away = await journey(house, visitor)
    const back = new URL('/callback/github', ISSUER)
    back.searchParams.set('state', away.searchParams.get('state') ?? '')
    const answer = await visitor.get(back, { 'sec-fetch-site': 'cross-site' })
    expect(new URL(locationOf(answer)).searchParams.get('error')).toBe('server_error')
    expect(lastReason(house)).toBe('provider_error')
    const rows = await house.store.list('audit', TENANT, undefined, { max: 99 })
    expect(rows.map(({ value }) => value.detail).join()).toMatch(/provider_error f_/)
  })

  it('a set-up mistake found at the exchange is told to the operator, in full', async () => {
    const house = createTestIssuer(PORTAL)
    const visitor = new Visitor(house)
    const away = await journey(house, visitor)
    const mistake = {
      code: 'ERR_PROVIDER_CLIENT',
      problem: 'GitHub does not know this client.',
      fix: 'Check the client secret.',
    } as const
    Object.assign(house.provider.provider, {
      exchange: () => Promise.reject(new SetUpError(mistake)),
    })
    const back = new URL('/callback/github', ISSUER)
    back.search = new URLSearchParams({
      code: 'c',
      state: away.searchParams.get('state') ?? '',
    }).toString()
    const answer = await visitor.get(back, { 'sec-fetch-site': 'cross-site' })
    expect(await answer.text()).toContain('This server is not set up right at GitHub')
    expect(house.emit.eventsOf('server.warning').at(-1)).toMatchObject({
      level: 'error',
      reason: mistake.code,
      problem: mistake.problem,
      fix: mistake.fix,
    })
    expect(lastReason(house)).toBe('provider_client')
  })

  it('AZ-02: a client whose redirect URI went away while the page was open gets no answer', async () => {
    const house = createTestIssuer(PORTAL)
    const visitor = new Visitor(house)
    const page = await visitor.get(authorizeUrl(house, 'portal'))
    const changed = createTestIssuer({
      config: {
        clients: [{ clientId: 'portal', redirectUris: ['https://client.example/other'] }],
      },
      store: house.store,
      runtime: house.runtime,
      deps: { keys: house.deps.keys },
    })
    const later = new Visitor(changed)
    for (const [name, value] of visitor.cookies) later.cookies.set(name, value)
    const answer = await later.press(page, 'deny')
    expect([answer.status, answer.headers.get('location')]).toEqual([400, null])
    expect(lastReason(changed)).toBe('redirect_uri_mismatch')
  })
})

describe('registration', () => {
  const put = async (house: TestHouse, body: string, type = 'application/json') => {
    const made = (await register(house)) as { client_id: string } & Record<string, string>
    return house.fetch(
      new Request(`${ISSUER}/register/${made.client_id}`, {
        method: 'PUT',
        headers: {
          authorization: `Bearer ${made['registration_access_token']}`,
          'content-type': type,
        },
        body,
      }),
    )
  }

  it('REG-19: an update that is no object is refused, never a fault', async () => {
    for (const body of ['null', '7', '"text"', '[]', '[null]']) {
      const answer = await put(createTestIssuer(), body)
      expect([body, answer.status, await errorOf(answer)]).toEqual([
        body,
        400,
        'invalid_client_metadata',
      ])
    }
  })

  it('REG-19: the type of the body may have parameters and spaces around it', async () => {
    const house = createTestIssuer()
    for (const [type, status] of [
      ['application/json', 201],
      ['APPLICATION/JSON', 201],
      ['application/json; charset=utf-8', 201],
      ['application/json ; charset=utf-8', 201],
      ['application/jsonp', 400],
      ['text/json', 400],
    ] as const) {
      const headers = { 'content-type': type }
      const body = JSON.stringify({ redirect_uris: [WEB_REDIRECT] })
      const request = new Request(`${ISSUER}/register`, { method: 'POST', headers, body })
      expect([type, (await house.fetch(request)).status]).toEqual([type, status])
    }
  })
})

it('a grant lives until its very end', () => {
  const grant = { state: 'active', expiresAtMs: 1_000 } as Parameters<typeof isLiving>[0]
  expect([999, 1_000].map((nowMs) => isLiving(grant, nowMs))).toEqual([true, false])
  expect(isLiving({ ...grant, state: 'ended' }, 0)).toBe(false)
  expect(isLiving({ ...grant, state: 'pending' }, 0)).toBe(true)
})
