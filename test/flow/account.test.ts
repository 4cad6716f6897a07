import { describe, expect, it } from 'vitest'
import { signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { TENANT } from '../../src/records.ts'
import { openPlane } from '../kit/plane.ts'
import {
  authorizeUrl,
  createTestIssuer,
  GRACE,
  locationOf,
  redeem,
  refresh,
  register,
  signIn,
  type TestHouse,
  type Tokens,
  ticketOf,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

interface SignedInPerson {
  readonly visitor: Visitor
  readonly clientId: string
  readonly tokens: Tokens
}

async function arrive(house: TestHouse, client_name = 'Claude'): Promise<SignedInPerson> {
  const visitor = new Visitor(house)
  const { client_id: clientId } = await register(house, { client_name })
  const { code = '' } = await signIn(house, visitor, clientId)
  const tokens = (await (await redeem(house, clientId, code)).json()) as Tokens
  return { visitor, clientId, tokens }
}

async function accountOf(visitor: Visitor, search = ''): Promise<string> {
  const page = await visitor.get(`/account${search}`)
  expect(page.status).toBe(200)
  return page.text()
}

/** Values of the buttons of one kind, in the order of the page. */
function buttons(page: string, kind: string): string[] {
  return [...page.matchAll(new RegExp(`name="end" value="(${kind}[^"]*)"`, 'g'))].map(
    ([, value = '']) => value,
  )
}

function end(visitor: Visitor, page: string, value: string, headers = {}): Promise<Response> {
  return visitor.post('/account', { ticket: ticketOf(page), end: value }, headers)
}

const isAlive = async (house: TestHouse, { clientId, tokens }: SignedInPerson): Promise<boolean> =>
  (await refresh(house, clientId, tokens.refresh_token)).status === 200

async function auditOf(house: TestHouse, event: string) {
  const rows = await house.store.list('audit', TENANT, undefined, { max: 1000 })
  return rows.filter(({ value }) => value.event === event).map(({ value }) => value)
}

describe('the account page', () => {
  it('CON-11: lists apps, browsers and remembered answers in words, this browser marked', async () => {
    const house = createTestIssuer()
    const { visitor } = await arrive(house, 'Claude <b>Code</b>')
    const page = await accountOf(visitor)
    for (const words of [
      'Ada Lovelace',
      'ada@corp.example · GitHub',
      'Claude &lt;b&gt;Code&lt;/b&gt;',
      'unverified',
      'https://auth.example/mcp/notes',
      'Use every tool of this server in your name',
      'Answers to client.example. Since',
      'This browser',
      'Signed in with GitHub',
      'remembered until',
    ]) {
      expect(page).toContain(words)
    }
    expect(buttons(page, 'client')).toHaveLength(1)
    expect(buttons(page, 'session')).toHaveLength(1)
    expect(buttons(page, 'approval')).toHaveLength(1)
    expect(await (await visitor.get('/')).text()).toContain('href="/account"')
  })

  it('CON-11 SEC-13 W6: is never stored or framed, and asks who is not signed in to do so', async () => {
    const house = createTestIssuer()
    const { visitor } = await arrive(house)
    for (const page of [await visitor.get('/account'), await new Visitor(house).get('/account')]) {
      expect(page.headers.get('cache-control')).toBe('no-store')
      expect(page.headers.get('x-frame-options')).toBe('DENY')
      expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
    }
    const stranger = new Visitor(house)
    const toProvider = await stranger.press(await stranger.get('/account'), 'allow:github')
    expect(locationOf(await stranger.comeBack(toProvider))).toBe('/account')
  })

  it('CON-11: moves below the prefix with its forms and links', async () => {
    const house = createTestIssuer({ config: { prefix: '/postern' } })
    const visitor = new Visitor(house)
    await visitor.comeBack(await visitor.press(await visitor.get('/postern/'), 'allow:github'))
    const page = await (await visitor.get('/postern/account')).text()
    expect(page).toContain('action="/postern/account"')
    expect(await (await visitor.get('/postern/')).text()).toContain('href="/postern/account"')
    expect(house.routes.handles('/postern/account')).toBe(true)
    expect(house.routes.handles('/postern/errors/ERR_STORE_FULL')).toBe(true)
    expect(house.routes.handles('/account')).toBe(false)
  })

  it('CON-11: says when an app was last used, to the day', async () => {
    const house = createTestIssuer()
    const { visitor, clientId, tokens } = await arrive(house)
    house.runtime.advanceMs(3 * 86_400_000)
    expect((await refresh(house, clientId, tokens.refresh_token)).status).toBe(200)
    const later = new Visitor(house)
    await later.comeBack(await later.press(await later.get('/'), 'allow:github'))
    expect(await accountOf(later)).toMatch(/last used <time[^>]*>today/)
    house.runtime.advanceMs(2 * 86_400_000)
    await later.comeBack(await later.press(await later.get('/'), 'allow:github'))
    const page = await accountOf(later)
    expect(page).toMatch(/last used <time[^>]*>(yesterday|\d+ \w+ \d+)</)
    expect(await (await visitor.get('/account')).text()).toContain('Sign in')
  })
})

describe('ending', () => {
  it('CON-11 I12 AZ-16: an app ends with its approvals, its refresh token is dead, each with its audit row', async () => {
    const house = createTestIssuer()
    const person = await arrive(house)
    const { visitor, clientId } = person
    const page = await accountOf(visitor)
    const answer = await end(visitor, page, buttons(page, 'client')[0] ?? '')
    expect([answer.status, locationOf(answer)]).toEqual([303, '/account?done=client'])
    expect(await isAlive(house, person)).toBe(false)
    expect(house.marks.map(({ kind, cause }) => [kind, cause])).toEqual([
      ['grant', 'ended_by_user'],
    ])
    expect(await house.store.count('approval', TENANT)).toBe(0)
    expect(await auditOf(house, 'grant.ended')).toMatchObject([
      { clientId, detail: 'ended_by_user' },
    ])
    expect(await auditOf(house, 'revocation.confirmed')).toMatchObject([{ clientId }])
    const after = await accountOf(visitor, '?done=client')
    expect(after).toContain('No app acts for you.')
    expect(after).toContain('role="status"')
  })

  it('CON-11: through the gateway, the next call of an ended app is 401', async () => {
    const plane = await openPlane({ provider: 'github' })
    plane.provider.signIn('ada')
    const press = [/^allow/i, /^continue as ada/i, /^End$/]
    const visitor = createVisitor({ press })
    const redirectUri = 'http://127.0.0.1:9/callback'
    const caller = await plane.during(
      signInAsClient({ resource: plane.resource, redirectUri, visitor }),
    )
    expect((await plane.call(caller)).status).toBe(200)
    const account = `${plane.issuer}/account`
    const done = await plane.during(visitor.visit(new URL(account), account))
    expect(done.search).toBe('?done=client')
    const refused = await plane.call(caller)
    expect(refused.status).toBe(401)
    expect(refused.headers.get('www-authenticate')).toContain('error="invalid_token"')
    // The last app took the sign-in at the provider with it; the page stays, for what is left to end.
    press.splice(0, press.length, /^Forget$/, /^Sign out$/)
    await expect(plane.during(visitor.visit(new URL(account), account))).resolves.toMatchObject({
      search: '?done=session',
    })
  })

  it('CON-11 CON-12: a forgotten approval asks again, the app itself goes on', async () => {
    const redirectUris = ['https://client.example/cb']
    const house = createTestIssuer({
      config: { clients: [{ clientId: 'desk', name: 'Desk', redirectUris }] },
    })
    const visitor = new Visitor(house)
    const { code = '' } = await signIn(house, visitor, 'desk')
    const tokens = (await (await redeem(house, 'desk', code)).json()) as Tokens
    expect((await visitor.get(authorizeUrl(house, 'desk'))).status).toBe(303)
    const page = await accountOf(visitor)
    await end(visitor, page, buttons(page, 'approval')[0] ?? '')
    expect((await visitor.get(authorizeUrl(house, 'desk'))).status).toBe(200)
    expect(await isAlive(house, { visitor, clientId: 'desk', tokens })).toBe(true)
  })

  it('CON-11: another browser is signed out, this one stays; and this one can go, too', async () => {
    const house = createTestIssuer()
    const { visitor } = await arrive(house)
    const other = new Visitor(house)
    await other.comeBack(await other.press(await other.get('/'), 'allow:github'))
    const page = await accountOf(visitor)
    const [mine = '', theirs = ''] = buttons(page, 'session')
    expect((await end(visitor, page, theirs)).status).toBe(303)
    expect(await (await other.get('/account')).text()).toContain('Continue with GitHub')
    const again = await accountOf(visitor)
    expect(buttons(again, 'session')).toEqual([mine])
    await end(visitor, again, mine)
    expect(visitor.cookieNamed('postern_session')).toBeUndefined()
    expect(await house.store.count('session', TENANT)).toBe(0)
  })

  it('CON-11 I12: sign out everywhere ends sessions and grants by one mark, and says so without a session', async () => {
    const house = createTestIssuer({ connectors: ['notes', 'tasks'] })
    const first = await arrive(house)
    const second = await arrive(house, 'Cursor')
    const page = await accountOf(first.visitor)
    house.runtime.advanceMs(1_000)
    const answer = await end(first.visitor, page, 'everywhere')
    expect([answer.status, locationOf(answer)]).toEqual([303, '/account?done=everywhere'])
    expect(house.marks.map(({ kind }) => kind)).toEqual(['user'])
    expect([await isAlive(house, first), await isAlive(house, second)]).toEqual([false, false])
    expect(await house.store.count('session', TENANT)).toBe(0)
    expect(await auditOf(house, 'revocation.requested')).toHaveLength(1)
    expect(await auditOf(house, 'revocation.confirmed')).toHaveLength(2)
    const said = await (await first.visitor.get('/account?done=everywhere')).text()
    expect(said).toContain('Signed out everywhere')
    house.runtime.advanceMs(60_000)
    expect(await isAlive(house, await arrive(house))).toBe(true)
  })
})

describe('a sign-in amid the ending', () => {
  it('I5 CON-11: a silent sign-in that was under way gets no code once everything was signed out', async () => {
    const portal = { clientId: 'portal', name: 'Portal', redirectUris: [WEB_REDIRECT] }
    const house = createTestIssuer({ config: { clients: [portal] } })
    const visitor = new Visitor(house)
    await signIn(house, visitor, 'portal')
    const page = await accountOf(visitor)
    // A second browser with the same cookie: its visit has read the session, and is about to commit.
    const thief = new Visitor(house)
    for (const [name, value] of visitor.cookies) thief.cookies.set(name, value)
    const commit = house.store.commit.bind(house.store)
    let ended: Response | undefined
    house.store.commit = async (steps) => {
      const isCode = steps.some(({ verb }) => verb === 'createGrant')
      if (isCode && ended === undefined) ended = await end(visitor, page, 'everywhere')
      return commit(steps)
    }
    const answer = await thief.get(authorizeUrl(house, 'portal'))
    expect(ended?.status).toBe(303)
    expect([answer.status, answer.headers.get('location')]).toEqual([200, null])
    const grants = await house.store.grants.list(
      TENANT,
      { name: 'clientId', value: 'portal' },
      { max: 10 },
    )
    expect(grants.map(({ state }) => state)).toEqual(['ended'])
  })
})

describe('what must not end', () => {
  it('O6 B17: handles of other people, forged and malformed ones end nothing', async () => {
    const house = createTestIssuer()
    const ada = await arrive(house)
    house.provider.person = GRACE
    const grace = await arrive(house)
    const hers = await accountOf(grace.visitor)
    const page = await accountOf(ada.visitor)
    const foreign = ['client', 'session', 'approval'].flatMap((kind) => buttons(hers, kind))
    expect(foreign).toHaveLength(3)
    const rows = await house.store.list('session', TENANT, undefined, { max: 10 })
    const forged = rows.map(({ key }) => `session:${key.id}`)
    for (const value of [...foreign, ...forged])
      expect((await end(ada.visitor, page, value)).status).toBe(303)
    for (const value of [
      '',
      'client:',
      'user:x',
      "session:' OR 1=1",
      'client:%',
      'x'.repeat(9_000),
    ])
      expect((await end(ada.visitor, page, value)).status, value.slice(0, 20)).toBe(400)
    expect([await isAlive(house, ada), await isAlive(house, grace)]).toEqual([true, true])
    expect(await house.store.count('session', TENANT)).toBe(2)
    expect(await house.store.count('approval', TENANT)).toBe(2)
    expect(house.marks).toEqual([])
  })

  it('W2 CON-06: not from another site, without a ticket, with a ticket of another session or purpose, or too late', async () => {
    const house = createTestIssuer()
    const ada = await arrive(house)
    const page = await accountOf(ada.visitor)
    const value = buttons(page, 'client')[0] ?? ''
    const other = new Visitor(house)
    await other.comeBack(await other.press(await other.get('/'), 'allow:github'))
    const consent = await (await ada.visitor.get(authorizeUrl(house, ada.clientId))).text()
    const post = (ticket: string, headers = {}) =>
      ada.visitor.post('/account', { ticket, end: value }, headers)
    const statuses = [
      await post(ticketOf(page), { 'sec-fetch-site': 'cross-site' }),
      await post(ticketOf(page), { 'sec-fetch-site': 'same-site' }),
      await post(ticketOf(page), { origin: 'https://evil.example' }),
      await post(''),
      await post(ticketOf(await accountOf(other))),
      await post(ticketOf(consent)),
      await ada.visitor.get(`/account?end=${value}&ticket=${ticketOf(page)}`),
    ].map(({ status }) => status)
    expect(statuses).toEqual([403, 403, 403, 403, 403, 403, 200])
    // An account ticket answers no consent form either.
    expect((await ada.visitor.press(page, 'allow:github')).status).toBe(400)
    house.runtime.advanceMs(600_001)
    expect((await post(ticketOf(page))).status).toBe(400)
    expect(await isAlive(house, ada)).toBe(true)
  })

  it('W7: double submit, two tabs and the back button end once and answer alike', async () => {
    const house = createTestIssuer()
    const { visitor } = await arrive(house)
    const [one, two] = [await accountOf(visitor), await accountOf(visitor)]
    for (const kind of ['approval', 'client']) {
      const value = buttons(one, kind)[0] ?? ''
      const answers = await Promise.all([
        end(visitor, one, value),
        end(visitor, one, value),
        end(visitor, two, value),
      ])
      expect(answers.map(({ status }) => status)).toEqual([303, 303, 303])
    }
    expect(await auditOf(house, 'grant.ended')).toHaveLength(1)
    expect(await auditOf(house, 'revocation.confirmed')).toHaveLength(1)
    const everywhere = await Promise.all([1, 2].map(() => end(visitor, two, 'everywhere')))
    expect(everywhere.map(({ status }) => status)).toEqual([303, 303])
    // The tab that was open all the time: signed out meanwhile, nothing to end, the same clear page.
    expect((await end(visitor, one, 'everywhere')).status).toBe(303)
    expect(await house.store.count('session', TENANT)).toBe(0)
  })
})
