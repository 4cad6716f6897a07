/** Linking an account: the page, the trip, and what is asked for on it. */
import { describe, expect, it } from 'vitest'
import { findAttempt, verifierOf } from '../../src/connectors/connect/connect-attempt.ts'
import { sealLink } from '../../src/connectors/connect/link.ts'
import { s256 } from '../../src/oauth/pkce.ts'
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
import { GRACE, locationOf, ticketOf, Visitor } from './sign-in-house.ts'

describe('the way there', () => {
  it('CLI-06: state, verifier, issuer, resource, connector, person and browser are kept together, sealed, and nothing is written', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const kinds = ['connecting', 'transaction', 'spent', 'audit', 'attempt'] as const
    const rows = () => Promise.all(kinds.map((kind) => house.store.count(kind, TENANT)))
    const before = await rows()
    const { away } = await depart(visitor)
    expect(await rows()).toEqual(before)
    expect(away.status).toBe(303)
    const url = new URL(locationOf(away))
    expect(url.origin + url.pathname).toBe('https://login.notes.example/authorize')
    const asked = Object.fromEntries(url.searchParams)
    expect(asked).toMatchObject({
      response_type: 'code',
      client_id: 'client-at-notes',
      redirect_uri: 'https://auth.example/connect/notes/callback',
      code_challenge_method: 'S256',
      resource: 'https://notes.remote.example/mcp',
      scope: 'read write offline_access',
      prompt: 'consent',
    })
    const stateDigest = house.runtime.sha256(asked.state ?? '')
    const jar = { secure: true, values: visitor.cookies }
    const attempt = findAttempt(house.deps, jar, stateDigest)
    expect(attempt).toEqual({
      connector: 'notes',
      userId: await userIdOf(house),
      issuer: 'https://login.notes.example',
      tokenEndpoint: 'https://login.notes.example/token',
      resource: 'https://notes.remote.example/mcp',
      clientId: 'client-at-notes',
      redirectUri: 'https://auth.example/connect/notes/callback',
      scopes: ['read', 'write', 'offline_access'],
      issRequired: true,
      flowId: expect.stringMatching(/^f_/),
      expiresAtMs: house.runtime.nowMs() + 600_000,
    })
    expect(s256(verifierOf(house.deps, asked.state ?? ''), house.runtime)).toBe(
      asked.code_challenge,
    )
    const cookie = visitor.cookies.get(visitor.cookieNamed('postern_txn_') ?? '') ?? ''
    for (const secret of ['notes', asked.state, asked.code_challenge])
      expect(cookie).not.toContain(secret)
    const again = new URL(locationOf((await depart(visitor)).away)).searchParams
    expect(again.get('state')).not.toBe(asked.state)
    expect(again.get('code_challenge')).not.toBe(asked.code_challenge)
  })

  it('SEC-12 CON-13: cookies are host-bound, secure and lax; only the answer to the button sets the one of the trip', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const page = await visitor.get('/connect/notes')
    const shown = page.headers.getSetCookie()
    expect(shown.every((line) => line.startsWith('__Host-postern_form='))).toBe(true)
    const ticket = ticketOf(await page.text())
    const away = await visitor.post('/connect/notes', { ticket, decision: 'connect' })
    const set = away.headers.getSetCookie().filter((line) => !line.includes('Max-Age=0'))
    expect(set).toHaveLength(1)
    expect(set[0]).toMatch(
      /^__Host-postern_txn_[\w-]{6}=[\w.-]+; Path=\/; Max-Age=600; Secure; HttpOnly; SameSite=Lax$/,
    )
    expect(away.headers.get('referrer-policy')).toBe('no-referrer')
    expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
  })

  it('asks nobody when all is in memory, and nobody when the server is dead', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const remote = house.remote()
    remote.answer = () => new Promise(() => undefined)
    await depart(visitor)
    expect(remote.asked).toEqual([])
    expect(remote.prepared).toEqual([])
  })

  it('a server that demands pushed requests costs one exchange per click and is sent a handle only', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const remote = house.remote()
    const { binding } = remote
    remote.binding = {
      ...binding,
      server: { ...binding.server, require_pushed_authorization_requests: true },
    }
    const { away } = await depart(visitor)
    expect(remote.asked).toEqual(['push'])
    expect([...new URL(locationOf(away)).searchParams.keys()]).toEqual(['client_id', 'request_uri'])
    expect(remote.pushed[0]?.get('code_challenge_method')).toBe('S256')
    const done = await arrive(visitor, callbackUrl(away, {}, remote.pushed[0]))
    expect(locationOf(done)).toBe('/connect?done=connected')
    remote.push = 'hangs'
    const waiting = await depart(visitor)
    expect(waiting.away.status).toBe(503)
    expect(await waiting.away.text()).toContain('did not answer in time')
    remote.push = 'refuses'
    expect((await depart(visitor)).away.status).toBe(503)
    expect(remote.registeredAnew).toBe(1)
  })

  it('cold: waits once; dead and cold: says what is wrong on which side, with the flow id, and looks again when asked', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const remote = house.remote()
    remote.state = 'dead'
    remote.problems = [
      {
        party: 'authorization-server',
        code: 'issuer_mismatch',
        text: 'its metadata names another issuer',
        requirement: 'DSC-07',
      },
    ]
    const page = await visitor.get('/connect/notes')
    expect(page.status).toBe(503)
    const text = await page.text()
    for (const words of [
      'Notes cannot be connected right now',
      'Its metadata names another issuer.',
      'The sign-in server behind it has to change something.',
      'DSC-07',
    ]) {
      expect(text).toContain(words)
    }
    const [refused] = house.emit.eventsOf('connection.refused')
    expect(refused).toMatchObject({ reason: 'issuer_mismatch', connector: 'notes', status: 503 })
    expect(text).toContain(refused?.flowId)
    const retry = { ticket: ticketOf(text), decision: 'retry' }
    expect((await visitor.post('/connect/notes', retry)).status).toBe(503)
    expect(remote.prepared).toEqual([{ retry: false }, { retry: true }])
    remote.state = 'cold'
    const found = await visitor.post('/connect/notes', retry)
    expect(found.status).toBe(200)
    expect(await found.text()).toContain('You sign in at')
  })

  it('NET-08 O11: no browser is handed an authorization URL that is not https', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const remote = house.remote()
    for (const endpoint of [
      'javascript:alert(1)',
      'data:text/html,x',
      'file:///etc/passwd',
      'vbscript:x',
      'http://login.notes.example/authorize',
      'https://ada:secret@login.notes.example/authorize',
      'https://login.notes.example/\\evil',
    ]) {
      const { binding } = remote
      remote.binding = {
        ...binding,
        server: { ...binding.server, authorization_endpoint: endpoint },
      }
      const { away } = await depart(visitor)
      expect(away.status, endpoint).toBe(503)
      expect(away.headers.get('location')).toBeNull()
      expect(await away.text()).not.toContain('secret@')
    }
  })

  it('sends to the server that the page named, or shows the page again', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const remote = house.remote()
    const page = await (await visitor.get('/connect/notes')).text()
    const issuer = 'https://elsewhere.example'
    remote.binding = {
      ...remote.binding,
      issuer,
      server: { ...remote.binding.server, issuer, authorization_endpoint: `${issuer}/authorize` },
    }
    const answer = await visitor.post('/connect/notes', {
      ticket: ticketOf(page),
      decision: 'connect',
    })
    expect(answer.status).toBe(200)
    expect(await answer.text()).toContain('elsewhere.example')
  })

  it('CLI-07: resource is exactly the bound one, and absent where the connector says so', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const remote = house.remote()
    remote.binding = { ...remote.binding, resource: 'https://notes.remote.example/mcp/' }
    const slashed = new URL(locationOf((await depart(visitor)).away)).searchParams
    expect(slashed.get('resource')).toBe('https://notes.remote.example/mcp/')
    remote.binding = { ...remote.binding, resource: undefined }
    const { away } = await depart(visitor)
    expect(new URL(locationOf(away)).searchParams.has('resource')).toBe(false)
    await arrive(visitor, callbackUrl(away))
    expect(remote.exchanges).toEqual([{ code: 'code-1', resource: undefined }])
    const [row] = await house.store.list('connection', TENANT, undefined, { max: 2 })
    expect(row?.value.resource).toBe('https://notes.remote.example/mcp')
  })
})

describe('the form', () => {
  it('CON-06 CON-07 W2: refuses other origins, missing cookies, foreign and old tickets; GET decides nothing', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const ticket = ticketOf(await (await visitor.get('/connect/notes')).text())
    const form = { ticket, decision: 'connect' }
    const at = '/connect/notes'
    const cases: readonly [string, Promise<Response>][] = [
      ['form_cross_site', visitor.post(at, form, { 'sec-fetch-site': 'cross-site' })],
      ['form_cross_site', visitor.post(at, form, { origin: 'https://evil.example' })],
      ['form_ticket', visitor.post(at, { ...form, ticket: `${ticket}x` })],
      ['form_ticket', visitor.post('/connect/tasks', form)],
      ['form_malformed', visitor.post(at, { ...form, decision: 'allow' })],
      ['form_cookie', (await signedIn(house)).post(at, form)],
    ]
    for (const [reason, answer] of cases) {
      const { status } = await answer
      expect([400, 403], reason).toContain(status)
      expect(house.emit.eventsOf('connection.refused').map((event) => event.reason)).toContain(
        reason,
      )
    }
    const account = ticketOf(await (await visitor.get('/account')).text())
    expect((await visitor.post(at, { ...form, ticket: account })).status).toBe(400)
    expect((await visitor.post('/consent', form)).status).toBe(400)
    await visitor.get(`${at}?ticket=${ticket}&decision=connect`)
    expect(await house.store.list('connecting', TENANT, undefined, { max: 2 })).toEqual([])
    house.runtime.advanceMs(600_001)
    expect((await visitor.post(at, form)).status).toBe(400)
    expect(await house.store.list('connecting', TENANT, undefined, { max: 2 })).toEqual([])
  })

  it('W7: one form starts one trip, also pressed twice at once, and none when it was finished', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const ticket = ticketOf(await (await visitor.get('/connect/notes')).text())
    const form = { ticket, decision: 'connect' }
    const answers = await Promise.all([
      visitor.post('/connect/notes', form),
      visitor.post('/connect/notes', form),
    ])
    const [first, second] = answers.map((answer) => locationOf(answer))
    expect(second).toBe(first)
    const arrived = await Promise.all(answers.map((away) => arrive(visitor, callbackUrl(away))))
    expect(arrived.filter(({ status }) => status === 303)).toHaveLength(1)
    expect(house.remote().exchanges).toHaveLength(1)
    const late = await visitor.post('/connect/notes', form)
    expect(await late.text()).toContain('Already answered')
  })

  it('W7: two pages open at once are both good, of one connector or of two', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const pages: { readonly name: string; readonly ticket: string }[] = []
    for (const name of ['notes', 'tasks', 'notes'])
      pages.push({
        name,
        ticket: ticketOf(await (await visitor.get(`/connect/${name}`)).text()),
      })
    for (const { name, ticket } of pages) {
      const away = await visitor.post(`/connect/${name}`, { ticket, decision: 'connect' })
      expect(away.status).toBe(303)
      expect((await arrive(visitor, callbackUrl(away))).status).toBe(303)
    }
  })

  it('a page that another account showed cannot be answered by this one', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const ticket = ticketOf(await (await visitor.get('/connect/notes')).text())
    const grace = await signedIn(house, GRACE)
    for (const [name, value] of grace.cookies)
      if (name.includes('session')) visitor.cookies.set(name, value)
    const answer = await visitor.post('/connect/notes', { ticket, decision: 'connect' })
    expect(answer.status).toBe(403)
    expect(house.emit.eventsOf('connection.refused').at(-1)?.reason).toBe('session_changed')
  })
})

describe('scopes', () => {
  const scopeOf = (away: Response) => {
    const scope = new URL(locationOf(away)).searchParams.get('scope')
    return scope === null ? null : scope.split(' ').toSorted()
  }

  it('CLI-08: the challenge, else all of the resource, else none; offline_access only where it is listed', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const remote = house.remote()
    const { binding } = remote
    expect(scopeOf((await depart(visitor)).away)).toEqual(['offline_access', 'read', 'write'])
    remote.binding = { ...binding, challengeScopes: ['files:read'] }
    expect(scopeOf((await depart(visitor)).away)).toEqual(['files:read', 'offline_access'])
    remote.binding = {
      ...binding,
      server: { ...binding.server, scopes_supported: ['read'] },
    }
    expect(scopeOf((await depart(visitor)).away)).toEqual(['read', 'write'])
    const { scopesSupported: _none, ...silent } = binding
    remote.binding = { ...silent, server: { ...binding.server, scopes_supported: undefined } }
    expect(scopeOf((await depart(visitor)).away)).toBeNull()
  })

  it('CLI-09 O10: a step-up asks for what was asked before and what is missing; what is given is stored, not what was asked', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    await link(visitor)
    const userId = await userIdOf(house)
    const facts = { userId, connector: 'notes', clientId: 'cli_1', scopes: ['admin'] }
    const url = new URL(sealLink(house.deps, facts))
    const { away, page } = await depart(visitor, 'notes', url.search)
    expect(page).toContain('admin')
    expect(scopeOf(away)).toEqual(['admin', 'offline_access', 'read', 'write'])
    await arrive(visitor, callbackUrl(away, { code: 'code-2' }))
    const [connection] = await house.connections.list(userId)
    expect(connection?.scopes).toEqual(['read', 'write'])
    expect(connection?.requestedScopes.toSorted()).toEqual([
      'admin',
      'offline_access',
      'read',
      'write',
    ])
    const asked = await depart(visitor, 'notes', url.search)
    expect(asked.page).toContain('before and did not give it')
  })
})

describe('links', () => {
  const facts = { connector: 'notes', clientId: 'cli_1', clientName: 'Claude', scopes: [] }

  it('CLI-13: leads to us, shows nothing of the person, gives no access, and names who asked', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const userId = await userIdOf(house)
    const url = sealLink(house.deps, { ...facts, userId })
    expect(url).toMatch(/^https:\/\/auth\.example\/connect\/notes\?link=[\w-]+$/)
    for (const text of [userId, 'Claude', 'cli_1', 'notes'])
      expect(
        atob(
          (new URL(url).searchParams.get('link') ?? '').replaceAll('-', '+').replaceAll('_', '/'),
        ),
      ).not.toContain(text)
    const page = await (await visitor.get(url)).text()
    expect(page).toContain('Claude</span> needs your account at Notes')
    expect(page).toContain('unverified')
    const stranger = new Visitor(house)
    const asked = await stranger.get(url)
    expect(await asked.text()).toContain('Continue with GitHub')
    expect(await house.store.list('connecting', TENANT, undefined, { max: 2 })).toEqual([])
  })

  it('CLI-12 CLI-13: signs in first and comes back to the link', async () => {
    const house = createConnectHouse()
    await signedIn(house)
    const url = sealLink(house.deps, { ...facts, userId: await userIdOf(house) })
    const stranger = new Visitor(house)
    const back = await stranger.comeBack(
      await stranger.press(await stranger.get(url), 'allow:github'),
    )
    expect(`https://auth.example${locationOf(back)}`).toBe(url)
    expect((await stranger.get(locationOf(back))).status).toBe(200)
  })

  it('CLI-12 CLI-13 O1: the link of another account shows a page and stores nothing', async () => {
    const house = createConnectHouse()
    await signedIn(house)
    const url = sealLink(house.deps, { ...facts, userId: await userIdOf(house) })
    const grace = await signedIn(house, GRACE)
    const before = { ...(await house.store.list('audit', TENANT, undefined, { max: 100 })) }
    const page = await grace.get(url)
    expect(page.status).toBe(403)
    const text = await page.text()
    expect(text).toContain('This link was made for another account')
    expect(text).not.toContain('Ada')
    expect(text).not.toContain('name="ticket"')
    expect(await house.store.list('connecting', TENANT, undefined, { max: 2 })).toEqual([])
    expect({ ...(await house.store.list('audit', TENANT, undefined, { max: 100 })) }).toEqual(
      before,
    )
    expect(house.emit.eventsOf('connection.refused').at(-1)).toMatchObject({
      reason: 'link_of_other_account',
      connector: 'notes',
    })
  })

  it('CLI-13: ends after fifteen minutes, and is good for one connector of this house only', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const url = new URL(sealLink(house.deps, { ...facts, userId: await userIdOf(house) }))
    expect((await visitor.get(`/connect/tasks${url.search}`)).status).toBe(400)
    expect((await visitor.get(`/connect/notes?link=${'A'.repeat(200)}`)).status).toBe(400)
    house.runtime.advanceMs(899_000)
    expect((await visitor.get(url)).status).toBe(200)
    house.runtime.advanceMs(2_000)
    const old = await visitor.get(url)
    expect(old.status).toBe(400)
    expect(house.emit.eventsOf('connection.refused').at(-1)?.reason).toBe('link_expired')
  })
})
