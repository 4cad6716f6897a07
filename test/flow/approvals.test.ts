/** What a remembered consent covers, and what a refused one leaves behind (flows.md section 5). */
import { describe, expect, it } from 'vitest'
import { TENANT } from '../../src/records.ts'
import {
  answerOf,
  authorizeUrl,
  connector,
  createTestIssuer,
  GRACE,
  type HouseOptions,
  locationOf,
  register,
  signIn,
  type TestHouse,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const OTHER_REDIRECT = 'https://client.example/other'
const CLIENTS: HouseOptions = {
  connectors: ['notes', 'tasks'],
  config: {
    clients: [
      { clientId: 'one', name: 'One', redirectUris: [WEB_REDIRECT, OTHER_REDIRECT] },
      { clientId: 'two', name: 'Two', redirectUris: [WEB_REDIRECT] },
    ],
  },
}

const asks = async (visitor: Visitor, house: TestHouse, clientId: string, rest = {}) =>
  (await visitor.get(authorizeUrl(house, clientId, rest))).status === 200

async function auditOf(house: TestHouse, event: string) {
  const rows = await house.store.list('audit', TENANT, undefined, { max: 1000 })
  return rows.map(({ value }) => value).filter((value) => value.event === event)
}

describe('a remembered consent', () => {
  it('CON-02 CON-10: covers one client, one redirect URI, one resource and its scopes; all else asks', async () => {
    const house = createTestIssuer(CLIENTS)
    const visitor = new Visitor(house)
    await signIn(house, visitor, 'one')
    expect(await asks(visitor, house, 'one')).toBe(false)
    expect(await asks(visitor, house, 'two'), 'another client, same redirect host').toBe(true)
    expect(await asks(visitor, house, 'one', { redirect_uri: OTHER_REDIRECT })).toBe(true)
    expect(await asks(visitor, house, 'one', { resource: `${house.issuer}/mcp/tasks` })).toBe(true)
    expect(await asks(visitor, house, 'one', { prompt: 'consent' })).toBe(true)
    house.provider.person = GRACE
    const grace = new Visitor(house)
    await grace.comeBack(await grace.press(await grace.get('/'), 'allow:github'))
    expect(await asks(grace, house, 'one'), 'another person').toBe(true)
  })

  it('CON-10: asks again when the client is not what it was', async () => {
    const house = createTestIssuer(CLIENTS)
    const visitor = new Visitor(house)
    await signIn(house, visitor, 'one')
    const renamed = createTestIssuer({
      ...CLIENTS,
      store: house.store,
      runtime: house.runtime,
      config: { clients: [{ clientId: 'one', name: 'Won', redirectUris: [WEB_REDIRECT] }] },
    })
    const later = new Visitor(renamed)
    for (const [name, value] of visitor.cookies) later.cookies.set(name, value)
    expect(await asks(later, renamed, 'one')).toBe(true)
  })

  it('A2 O5: asks again for a connector that the API has made another one', async () => {
    const house = createTestIssuer(CLIENTS)
    const visitor = new Visitor(house)
    await signIn(house, visitor, 'one')
    for (const [ms, isAsked] of [
      [-1_000, false],
      [1, true],
    ] as const) {
      const releasedAtMs = house.runtime.nowMs() + ms
      const changed = createTestIssuer({
        ...{ ...CLIENTS, store: house.store, runtime: house.runtime },
        config: {
          ...CLIENTS.config,
          connectors: [connector(house.issuer, 'notes', { releasedAtMs })],
        },
      })
      const later = new Visitor(changed)
      for (const [name, value] of visitor.cookies) later.cookies.set(name, value)
      expect(await asks(later, changed, 'one')).toBe(isAsked)
    }
  })

  it('CON-12: is forgotten after its time, however often it was used', async () => {
    const house = createTestIssuer({ ...CLIENTS, limits: { approvalTtlSeconds: 3_600 } })
    const visitor = new Visitor(house)
    await signIn(house, visitor, 'one')
    house.runtime.advanceMs(3_599_000)
    expect(await asks(visitor, house, 'one')).toBe(false)
    house.runtime.advanceMs(1_000)
    expect(await asks(visitor, house, 'one')).toBe(true)
  })
})

describe('a refused consent or sign-in', () => {
  it('CON-09 I12: Deny leaves its audit row in the write that answers the form, once', async () => {
    const house = createTestIssuer(CLIENTS)
    const visitor = new Visitor(house)
    await signIn(house, visitor, 'one')
    const page = await (await visitor.get(authorizeUrl(house, 'two'))).text()
    const answers = await Promise.all([visitor.press(page, 'deny'), visitor.press(page, 'deny')])
    expect(answers.map(({ status }) => status).sort()).toEqual([303, 400])
    const [user] = await house.store.list('user', TENANT, undefined, { max: 1 })
    const { userId } = user?.value ?? {}
    expect(await auditOf(house, 'consent.denied')).toMatchObject([{ clientId: 'two', userId }])
    const { flowId } = house.emit.eventsOf('consent.denied')[0] ?? {}
    expect((await auditOf(house, 'consent.denied'))[0]?.detail).toBe(flowId)
    expect(await house.store.count('approval', TENANT)).toBe(1)
    expect(await asks(visitor, house, 'two')).toBe(true)
  })

  it('I12: a burnt attempt and its audit row are one write, whoever comes first', async () => {
    const house = createTestIssuer(CLIENTS)
    const visitor = new Visitor(house)
    const page = await visitor.get(authorizeUrl(house, 'one'))
    const journey = await visitor.press(page, 'allow:github')
    const thief = new Visitor(house)
    const refused = await Promise.all([thief.comeBack(journey), thief.comeBack(journey)])
    expect(refused.map(({ status }) => status)).toEqual([400, 400])
    const rows = await auditOf(house, 'signin.refused')
    expect(rows).toMatchObject([{ clientId: 'one' }])
    expect(rows[0]?.detail).toMatch(/^browser_cookie_missing f_[0-9A-Z]{6}$/)
    expect((await visitor.comeBack(journey)).status).toBe(400)
  })

  it('I12: a no at the provider and an account that may not come in leave audit rows', async () => {
    const house = createTestIssuer({
      ...CLIENTS,
      config: { ...CLIENTS.config, allow: { emails: ['grace@corp.example'] } },
    })
    const start = async () => {
      const visitor = new Visitor(house)
      const page = await visitor.get(authorizeUrl(house, 'one'))
      return { visitor, journey: await visitor.press(page, 'allow:github') }
    }
    const first = await start()
    expect(
      answerOf(await first.visitor.comeBack(first.journey, { error: 'access_denied' })),
    ).toMatchObject({ error: 'access_denied' })
    const second = await start()
    expect((await second.visitor.comeBack(second.journey)).status).toBe(403)
    expect(
      (await auditOf(house, 'signin.refused')).map(({ detail }) => detail.split(' ')[0]),
    ).toEqual(expect.arrayContaining(['denied_at_provider', 'not_allowed']))
    expect(await house.store.count('user', TENANT)).toBe(0)
  })

  it('AZ-16: every redirect after a form is 303', async () => {
    const house = createTestIssuer(CLIENTS)
    const visitor = new Visitor(house)
    const { client_id } = await register(house)
    const denied = await visitor.press(await visitor.get(authorizeUrl(house, client_id)), 'deny')
    const allowed = await visitor.press(
      await visitor.get(authorizeUrl(house, client_id)),
      'allow:github',
    )
    const signedIn = await visitor.comeBack(allowed)
    const again = await visitor.press(await visitor.get(authorizeUrl(house, client_id)), 'allow')
    const account = await (await visitor.get('/account')).text()
    const ticket = /name="ticket" value="([^"]+)"/.exec(account)?.[1] ?? ''
    const ended = await visitor.post('/account', { ticket, end: 'everywhere' })
    const out = await visitor.post('/logout?return_to=/', {})
    for (const answer of [denied, allowed, signedIn, again, ended, out]) {
      expect([answer.status, locationOf(answer)]).toEqual([303, expect.any(String)])
    }
  })

  it('A21: no page of this house is led away by what a stranger wrote into its address', async () => {
    const house = createTestIssuer(CLIENTS)
    const visitor = new Visitor(house)
    await signIn(house, visitor, 'one')
    for (const target of ['https://evil.example', '//evil.example', '/\\evil.example', '/%2f/x']) {
      const query = new URLSearchParams({ done: target, return_to: target, state: target })
      for (const path of ['/account', '/errors/ERR_REDIRECT_URI', '/']) {
        const answer = await visitor.get(`${path}?${query}`)
        expect(answer.status, `${path} ${target}`).toBe(200)
        expect(await answer.text()).not.toContain('evil.example')
      }
    }
  })
})
