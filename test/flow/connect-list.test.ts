/** `/connect`, `/account` and `/`: what is linked, what is wrong with it, and how it ends. */
import { describe, expect, it } from 'vitest'
import { TENANT } from '../../src/records.ts'
import {
  arrive,
  callbackUrl,
  createConnectHouse,
  depart,
  link,
  signedIn,
  userIdOf,
} from './connect-house.ts'
import { connector, GRACE, ISSUER, locationOf, ticketOf, Visitor } from './sign-in-house.ts'

const endValue = (page: string) => /name="end" value="(connection:[^"]+)"/.exec(page)?.[1] ?? ''

describe('the list', () => {
  it('shows every server that needs an account, its state, scopes, account and what is wrong in words', async () => {
    const house = createConnectHouse({ linked: ['notes', 'tasks', 'files'] })
    const visitor = await signedIn(house)
    house.remote('notes').answer = () => ({
      outcome: 'yes',
      subject: 'ada@notes',
      tokens: { accessToken: 'upstream-a', tokenType: 'Bearer', scopes: ['read'] },
    })
    await link(visitor, 'notes')
    const files = house.remote('files')
    files.state = 'dead'
    files.problems = [
      { party: 'server', code: 'gone', text: 'it does not answer', requirement: 'DSC-12' },
    ]
    const text = await (await visitor.get('/connect')).text()
    for (const words of [
      'Notes <span class="tag plain">connected</span>',
      'As ada@notes',
      'Tasks <span class="tag plain">not connected</span>',
      'It does not answer. The server has to change something.',
      'aria-label="Connect: Tasks"',
      'aria-label="Disconnect: Notes"',
    ]) {
      expect(text).toContain(words)
    }
    const home = await (await visitor.get('/')).text()
    expect(home).toContain('Connected to your account there. <span class="muted">ada@notes</span>')
    expect(home).toContain('aria-label="Connect: Tasks"')
    const account = await (await visitor.get('/account')).text()
    expect(account).toContain('Connected accounts')
    expect(account).not.toContain('Tasks <span')
  })

  it('asks who is not signed in to do so, and comes back', async () => {
    const house = createConnectHouse()
    for (const path of ['/connect', '/connect/notes']) {
      const stranger = new Visitor(house)
      const asked = await stranger.press(await stranger.get(path), 'allow:github')
      expect(locationOf(await stranger.comeBack(asked))).toBe(path)
    }
  })

  it('moves below the prefix with its forms, links and callback, and is ours', async () => {
    const house = createConnectHouse({ config: { prefix: '/postern' } })
    const { routes } = house
    for (const path of [
      '/postern/connect',
      '/postern/connect/notes',
      '/postern/connect/notes/callback',
      '/postern/connect/notes/client.json',
      '/postern/connect/jwks.json',
    ])
      expect(routes.handles(path), path).toBe(true)
    expect(routes.handles('/connect')).toBe(false)
    expect(routes.handles('/connect/notes')).toBe(false)
    const visitor = await signedIn(house)
    const { away, page } = await depart(visitor)
    expect(page).toContain('action="/postern/connect/notes"')
    const url = callbackUrl(away)
    expect(url.pathname).toBe('/postern/connect/notes/callback')
    expect(locationOf(await arrive(visitor, url))).toBe('/postern/connect?done=connected')
  })

  it('CLI-11: below an issuer with a path, the callback is below it too', async () => {
    const house = createConnectHouse({
      issuer: 'https://auth.example/t/acme',
      config: { prefix: '/people' },
    })
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const url = callbackUrl(away)
    expect(url.href).toMatch(
      /^https:\/\/auth\.example\/t\/acme\/people\/connect\/notes\/callback\?/,
    )
    expect(locationOf(await arrive(visitor, url))).toBe('/t/acme/people/connect?done=connected')
  })

  it('CLI-02: our client document and keys are for every origin to read, without a cookie', async () => {
    const house = createConnectHouse()
    const stranger = new Visitor(house)
    const answer = await stranger.get('/connect/notes/client.json')
    expect(answer.status).toBe(200)
    expect(answer.headers.get('access-control-allow-origin')).toBe('*')
    expect(answer.headers.get('content-type')).toBe('application/json')
    expect(await answer.json()).toMatchObject({
      client_id: 'https://auth.example/connect/notes/client.json',
      redirect_uris: ['https://auth.example/connect/notes/callback'],
      jwks_uri: 'https://auth.example/connect/jwks.json',
    })
    const etag = answer.headers.get('etag') ?? ''
    const same = await stranger.get('/connect/notes/client.json', { 'if-none-match': etag })
    expect(same.status).toBe(304)
    expect((await stranger.get('/connect/nothing/client.json')).status).toBe(404)
    const keys = await stranger.get('/connect/jwks.json')
    expect(await keys.json()).toEqual({ keys: [] })
  })

  it('belongs to nobody where no connector needs an account', async () => {
    const house = createConnectHouse({ deps: { linking: () => undefined } })
    expect(house.routes.handles('/connect')).toBe(false)
    expect(house.routes.handles('/connect/notes')).toBe(false)
  })
})

describe('who may', () => {
  it('O6: one rule in list, page, form, callback; unknown and forbidden look the same', async () => {
    const house = createConnectHouse({
      rest: { allow: { emails: ['ada@corp.example'] } },
      linked: ['notes'],
    })
    const ada = await signedIn(house)
    const { away, page } = await depart(ada)
    const grace = await signedIn(house, GRACE)
    expect(await (await grace.get('/connect')).text()).not.toContain('Notes')
    expect(await (await grace.get('/')).text()).not.toContain('Notes')
    const forbidden = await grace.get('/connect/notes')
    const unknown = await grace.get('/connect/nothing')
    expect([forbidden.status, unknown.status]).toEqual([404, 404])
    const strip = (text: string) => text.replace(/f_[0-9A-Z]{6}/g, '')
    expect(strip(await forbidden.text())).toBe(strip(await unknown.text()))
    // Ada's address changes at the provider while she is at the server.
    const [row] = await house.store.list(
      'user',
      TENANT,
      { name: 'userId', value: await userIdOf(house) },
      { max: 1 },
    )
    if (row === undefined) throw new Error('no user')
    const profile = { ...row.value.profile, email: 'ada@elsewhere.example' }
    await house.store.put('user', row.key, row.version, { ...row.value, profile })
    const form = { ticket: ticketOf(page), decision: 'connect' }
    expect((await ada.post('/connect/notes', form)).status).toBeGreaterThanOrEqual(400)
    expect((await arrive(ada, callbackUrl(away))).status).toBe(400)
    expect(house.emit.eventsOf('connection.refused').at(-1)?.reason).toBe('connector_not_open')
    expect(house.remote().exchanges).toEqual([])
  })

  it('O6: connectors that no person links are not there', async () => {
    const machine = connector(ISSUER, 'robot', { auth: 'client_credentials' })
    const other = createConnectHouse({ config: { connectors: [machine] } })
    const person = await signedIn(other)
    expect((await person.get('/connect/robot')).status).toBe(404)
  })
})

describe('disconnecting', () => {
  it('O15: dead here at once, told to the server behind, and the person is told which', async () => {
    for (const offers of [true, false]) {
      const house = createConnectHouse()
      const visitor = await signedIn(house)
      house.remote().offersRevocation = offers
      await link(visitor)
      const page = await (await visitor.get('/connect')).text()
      const form = { ticket: ticketOf(page), end: endValue(page) }
      const answer = await visitor.post('/connect', form)
      const done = offers ? 'disconnected' : 'disconnected-here'
      expect(locationOf(answer)).toBe(`/connect?done=${done}`)
      expect(await house.connections.list(await userIdOf(house))).toEqual([])
      const after = await (await visitor.get(locationOf(answer))).text()
      expect(after).toContain(offers ? 'the server is being told' : 'This server cannot be told')
      expect(after).toContain('aria-label="Connect: Notes"')
      await house.runtime.settle()
      expect(house.remote().revoked).toEqual(['upstream-refresh-code-1'])
      expect(house.emit.eventsOf('connection.ended')[0]?.reason).toBe('ended_by_user')
      const again = await visitor.post('/connect', form)
      expect(again.status).toBe(303)
      expect(house.emit.eventsOf('connection.ended')).toHaveLength(1)
    }
  })

  it('from the account page, and back to it', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    await link(visitor)
    const page = await (await visitor.get('/account')).text()
    expect(page).toContain('name="from" value="account"')
    const form = { ticket: ticketOf(page), end: endValue(page), from: 'account' }
    const answer = await visitor.post('/connect', form)
    expect(locationOf(answer)).toBe('/account?done=disconnected')
    expect(await (await visitor.get(locationOf(answer))).text()).toContain('Disconnected.')
  })

  it('W2 O6: only from this site, with this session’s form, and only what is one’s own', async () => {
    const house = createConnectHouse()
    const ada = await signedIn(house)
    await link(ada)
    const page = await (await ada.get('/connect')).text()
    const form = { ticket: ticketOf(page), end: endValue(page) }
    // The same person in another browser has another session.
    const elsewhere = await signedIn(house)
    const grace = await signedIn(house, GRACE)
    const theirs = { ...form, ticket: ticketOf(await linkedPage(grace)) }
    const cases: readonly [number, Promise<Response>][] = [
      [403, ada.post('/connect', form, { 'sec-fetch-site': 'cross-site' })],
      [403, ada.post('/connect', form, { origin: 'https://evil.example' })],
      [400, ada.post('/connect', { ...form, end: 'everything' })],
      [403, ada.post('/connect', { ...form, ticket: 'x' })],
      [403, elsewhere.post('/connect', form)],
      [403, grace.post('/connect', form)],
      [303, grace.post('/connect', theirs)],
    ]
    for (const [status, answer] of cases) expect((await answer).status).toBe(status)
    expect((await ada.get(`/connect?end=${form.end}&ticket=${form.ticket}`)).status).toBe(200)
    expect(await house.connections.list(await userIdOf(house))).toHaveLength(1)
    house.runtime.advanceMs(600_001)
    expect((await ada.post('/connect', form)).status).toBe(400)
    expect(await house.connections.list(await userIdOf(house))).toHaveLength(1)
  })

  it('what is no longer open to the person is shown and can be ended', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    await link(visitor)
    const later = createConnectHouse({
      linked: ['tasks'],
      store: house.store,
      runtime: house.runtime,
      deps: { keys: house.deps.keys },
    })
    const same = new Visitor(later)
    for (const [name, value] of visitor.cookies) same.cookies.set(name, value)
    const page = await (await same.get('/connect')).text()
    expect(page).toContain('no longer open to you')
    expect(page).toContain('Disconnect: notes')
  })
})

async function linkedPage(visitor: Visitor): Promise<string> {
  await link(visitor, 'tasks')
  return (await visitor.get('/connect')).text()
}
