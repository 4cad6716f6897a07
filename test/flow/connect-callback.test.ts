/** The way back: who may finish a trip, what is believed, and what becomes of it. */
import { describe, expect, it } from 'vitest'
import { StoreError } from '../../src/errors.ts'
import { TENANT } from '../../src/records.ts'
import {
  arrive,
  type ConnectTestHouse,
  callbackUrl,
  createConnectHouse,
  depart,
  link,
  signedIn,
  userIdOf,
} from './connect-house.ts'
import { GRACE, locationOf, Visitor } from './sign-in-house.ts'

async function connectionsOf(house: ConnectTestHouse): Promise<number> {
  const rows = await house.store.list('connection', TENANT, undefined, { max: 100 })
  return rows.length
}

async function auditOf(house: ConnectTestHouse, event: string) {
  const rows = await house.store.list('audit', TENANT, undefined, { max: 1000 })
  return rows.filter(({ value }) => value.event === event).map(({ value }) => value)
}

/** All rows of the kinds that a trip writes. */
async function everything(house: ConnectTestHouse): Promise<string> {
  const kinds = ['connecting', 'spent', 'connection', 'vault', 'audit', 'duty'] as const
  const rows = await Promise.all(
    kinds.map((kind) => house.store.list(kind, TENANT, undefined, { max: 1000 })),
  )
  return JSON.stringify(rows)
}

/** Refused with this reason: no token call, nothing stored, told and audited. */
async function expectRefused(
  house: ConnectTestHouse,
  answer: Response,
  reason: string,
  audited = true,
): Promise<void> {
  expect(answer.status, reason).toBe(400)
  expect(await answer.text()).toContain('This connection cannot be finished here')
  expect(house.emit.eventsOf('connection.refused').at(-1)?.reason).toBe(reason)
  expect(house.remote('notes').exchanges).toEqual([])
  expect(house.remote('tasks').exchanges).toEqual([])
  expect(await connectionsOf(house)).toBe(0)
  const rows = await auditOf(house, 'connection.refused')
  if (audited) expect(rows.map(({ detail }) => detail.split(' ')[0])).toContain(reason)
}

describe('the way back', () => {
  it('CLI-06 CLI-16: the code goes once to the token endpoint; then the connection is there', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const answer = await arrive(visitor, callbackUrl(away))
    expect(answer.status).toBe(303)
    expect(locationOf(answer)).toBe('/connect?done=connected')
    expect(visitor.cookieNamed('postern_txn_')).toBeUndefined()
    expect(house.remote().exchanges).toEqual([
      { code: 'code-1', resource: 'https://notes.remote.example/mcp' },
    ])
    const userId = await userIdOf(house)
    const [connection] = await house.connections.list(userId)
    expect(connection).toMatchObject({
      connector: 'notes',
      state: 'active',
      scopes: ['read', 'write'],
    })
    const types = house.emit.events.map(({ type }) => type)
    expect(types).toContain('connection.started')
    expect(types).toContain('connection.active')
    expect(await auditOf(house, 'connection.active')).toHaveLength(1)
    expect(house.emit.dump()).not.toMatch(/upstream-|code-1/)
    const list = await (await visitor.get(locationOf(answer))).text()
    expect(list).toContain('Connected. If an app sent you here')
    expect(list).toContain('Disconnect: Notes')
  })

  it('CLI-06: state missing, repeated, unknown, expired or used is refused with no token call', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const url = callbackUrl(away)
    const at = '/connect/notes/callback'
    await expectRefused(house, await visitor.get(`${at}?code=x`), 'state_missing', false)
    await expectRefused(house, await visitor.get(`${at}?state=a&state=b`), 'state_missing', false)
    await expectRefused(
      house,
      await visitor.get(`${at}?state=${'a'.repeat(600)}`),
      'state_missing',
      false,
    )
    await expectRefused(
      house,
      await visitor.get(`${at}?state=unknown&code=x`),
      'state_unknown',
      false,
    )
    house.runtime.advanceMs(600_001)
    await expectRefused(house, await visitor.get(url), 'state_unknown', false)
  })

  it('W7: a second delivery is a clear page, and nothing happens twice', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const url = callbackUrl(away)
    const cookies = new Map(visitor.cookies)
    await arrive(visitor, url)
    for (const [name, value] of cookies) visitor.cookies.set(name, value)
    const again = await arrive(visitor, url)
    expect(again.status).toBe(400)
    expect(house.emit.eventsOf('connection.refused').at(-1)?.reason).toBe('state_replayed')
    expect(house.remote().exchanges).toHaveLength(1)
  })

  it('W7: one callback delivered many times at once makes one token call and one connection', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const url = callbackUrl(away)
    const answers = await Promise.all(Array.from({ length: 8 }, () => arrive(visitor, url)))
    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1)
    expect(house.remote().exchanges).toHaveLength(1)
    expect(await house.connections.list(await userIdOf(house))).toHaveLength(1)
    expect(await auditOf(house, 'connection.active')).toHaveLength(1)
  })

  it('no row, page, redirect or event holds state, code or token in the clear', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const url = callbackUrl(away)
    const state = url.searchParams.get('state') ?? 'none'
    const during = await everything(house)
    const answer = await arrive(visitor, url)
    const texts = [
      during,
      await everything(house),
      house.emit.dump(),
      JSON.stringify([...answer.headers]),
      await (await visitor.get('/connect')).text(),
      await (await visitor.get('/account')).text(),
    ]
    for (const text of texts) {
      for (const secret of [state, 'code-1', 'upstream-']) expect(text).not.toContain(secret)
    }
  })

  it('W7: two tabs both finish; there is one connection, and what it replaced ends', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const first = await depart(visitor)
    const second = await depart(visitor)
    const answers = await Promise.all([
      arrive(visitor, callbackUrl(first.away, { code: 'one' })),
      arrive(visitor, callbackUrl(second.away, { code: 'two' })),
    ])
    expect(answers.map(({ status }) => status)).toEqual([303, 303])
    expect(await house.connections.list(await userIdOf(house))).toHaveLength(1)
    const vaults = await house.store.list('vault', TENANT, undefined, { max: 10 })
    const own = vaults.filter(({ value }) => value.provider === 'connector:notes')
    expect(own.map(({ value }) => value.state).toSorted()).toEqual(['active', 'ended'])
  })
})

describe('whose trip it is', () => {
  it('A1 A13 CLI-12: another browser cannot finish it, signed in as the same person or not at all; the attempt dies', async () => {
    const house = createConnectHouse()
    for (const same of [true, false]) {
      const visitor = await signedIn(house)
      const { away } = await depart(visitor)
      const url = callbackUrl(away)
      const other = same ? await signedIn(house) : new Visitor(house)
      await expectRefused(house, await arrive(other, url), 'browser_cookie_missing')
      const late = await arrive(visitor, url)
      expect(house.emit.eventsOf('connection.refused').at(-1)?.reason).toBe('state_replayed')
      expect(late.status).toBe(400)
    }
  })

  it('A1: a cookie of another trip is none of this one', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const name = visitor.cookieNamed('postern_txn_') ?? ''
    visitor.cookies.set(name, `${visitor.cookies.get(name)?.slice(0, -1)}_`)
    await expectRefused(house, await arrive(visitor, callbackUrl(away)), 'browser_cookie_foreign')
  })

  it('O1 CLI-12: what Ada started, Grace cannot finish in the same browser, signed in or out', async () => {
    for (const isOut of [true, false]) {
      const house = createConnectHouse()
      const visitor = await signedIn(house)
      const { away } = await depart(visitor)
      const grace = await signedIn(house, GRACE)
      const name = visitor.cookieNamed('postern_session') ?? ''
      if (isOut) visitor.cookies.delete(name)
      else visitor.cookies.set(name, grace.cookies.get(name) ?? '')
      const reason = isOut ? 'session_missing' : 'session_of_other_user'
      await expectRefused(house, await arrive(visitor, callbackUrl(away)), reason)
    }
  })

  it('O1: a person who signs out, or is deleted, while the server is asked gets no connection, and the tokens go back', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const remote = house.remote()
    const { answer } = remote
    remote.answer = async (code) => {
      await visitor.post('/logout', {})
      return answer(code)
    }
    const url = callbackUrl(away)
    const refused = await arrive(visitor, url)
    expect(refused.status).toBe(502)
    await house.runtime.settle()
    expect(remote.revoked).toEqual(['upstream-refresh-code-1'])
    expect(await connectionsOf(house)).toBe(0)
  })
})

describe('where the answer comes from', () => {
  it('CLI-11 O2: the answer of one connector is refused at the callback of another', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const url = callbackUrl(away)
    url.pathname = '/connect/tasks/callback'
    await expectRefused(house, await arrive(visitor, url), 'callback_of_other_connector')
  })

  it('CLI-11 O2: two connectors on the way at once: neither code reaches the other server', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const notes = await depart(visitor, 'notes')
    const tasks = await depart(visitor, 'tasks')
    await arrive(visitor, callbackUrl(tasks.away, { code: 'for-tasks' }))
    await arrive(visitor, callbackUrl(notes.away, { code: 'for-notes' }))
    expect(house.remote('notes').exchanges.map(({ code }) => code)).toEqual(['for-notes'])
    expect(house.remote('tasks').exchanges.map(({ code }) => code)).toEqual(['for-tasks'])
    expect(await house.connections.list(await userIdOf(house))).toHaveLength(2)
  })

  it('CLI-10 (RFC 9207 section 2.4): the six cases of iss', async () => {
    const issuer = 'https://login.notes.example'
    const cases: readonly [
      name: string,
      advertised: boolean,
      iss: string | null,
      reason?: string,
    ][] = [
      ['iss-supported', true, issuer],
      ['iss-supported-missing', true, null, 'iss_missing'],
      ['iss-wrong-issuer', true, 'https://evil.example', 'iss_wrong'],
      ['iss-unexpected', false, 'https://evil.example', 'iss_wrong'],
      ['iss-normalized', true, `${issuer}/`, 'iss_wrong'],
      ['iss-not-advertised', false, null],
    ]
    for (const [name, advertised, iss, reason] of cases) {
      const house = createConnectHouse()
      const visitor = await signedIn(house)
      const remote = house.remote()
      const server = {
        ...remote.binding.server,
        authorization_response_iss_parameter_supported: advertised,
      }
      remote.binding = { ...remote.binding, server }
      const answer = await link(visitor, 'notes', { iss })
      if (reason === undefined) expect(answer.status, name).toBe(303)
      else await expectRefused(house, answer, reason)
    }
  })

  it('CLI-10: on a wrong iss neither error nor its text is acted on', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const answer = await link(visitor, 'notes', {
      iss: 'https://evil.example',
      code: null,
      error: 'access_denied',
      error_description: 'call +1 555 0100',
      error_uri: 'https://evil.example/help',
    })
    const text = await answer.clone().text()
    await expectRefused(house, answer, 'iss_wrong')
    for (const word of ['access_denied', '555', 'evil', 'You said no'])
      expect(text).not.toContain(word)
  })

  it('CLI-04 O3: a code is never given to a server, endpoint or client other than it was asked for', async () => {
    const changes = {
      issuer_changed: { issuer: 'https://new.example' },
      token_endpoint_changed: { token_endpoint: 'https://evil.example/token' },
      resource_changed: { resource: 'https://other.example/mcp' },
      client_changed: { clientId: 'another' },
    }
    for (const [reason, change] of Object.entries(changes)) {
      const house = createConnectHouse()
      const visitor = await signedIn(house)
      const { away } = await depart(visitor)
      const remote = house.remote()
      const { issuer, token_endpoint, resource, clientId } = {
        issuer: remote.binding.issuer,
        token_endpoint: remote.binding.server.token_endpoint,
        resource: remote.binding.resource,
        clientId: remote.client.clientId,
        ...change,
      }
      const server = { ...remote.binding.server, token_endpoint }
      remote.binding = { ...remote.binding, issuer, resource, server }
      remote.client = { ...remote.client, clientId }
      await expectRefused(house, await arrive(visitor, callbackUrl(away)), reason)
    }
  })

  it('a client that was renewed meanwhile and lives on still takes its own code', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const remote = house.remote()
    remote.formerClients.push(remote.client)
    remote.client = { ...remote.client, clientId: 'renewed' }
    expect((await arrive(visitor, callbackUrl(away))).status).toBe(303)
    const [row] = await house.store.list('connection', TENANT, undefined, { max: 2 })
    expect(row?.value.clientId).toBe('client-at-notes')
  })

  it('keeps the answer while the server cannot be found out, and takes it afterwards', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const remote = house.remote()
    remote.state = 'dead'
    const url = callbackUrl(away)
    expect((await arrive(visitor, url)).status).toBe(503)
    remote.state = 'cold'
    expect(locationOf(await arrive(visitor, url))).toBe('/connect?done=connected')
  })
})

describe('what the server says', () => {
  it('the no of the person is theirs, every other error is the server’s, and no text of it is shown or told', async () => {
    const words: Record<string, [string, string]> = {
      access_denied: ['You said no', 'denied_at_server'],
      invalid_scope: ['Notes could not be connected', 'server_invalid_scope'],
      server_error: ['Notes could not be connected', 'server_server_error'],
      '<b>pwn</b>': ['Notes could not be connected', 'server_error'],
    }
    for (const [error, [title, reason]] of Object.entries(words)) {
      const house = createConnectHouse()
      const visitor = await signedIn(house)
      const answer = await link(visitor, 'notes', {
        code: null,
        error,
        error_description: 'call +1 555 0100',
      })
      const text = await answer.text()
      expect(text).toContain(title)
      expect(text).not.toMatch(/555|pwn/)
      expect(text).toContain('href="/connect/notes"')
      expect(house.emit.eventsOf('connection.refused').at(-1)).toMatchObject({ reason })
      expect(house.emit.dump()).not.toMatch(/555|pwn/)
      expect((await auditOf(house, 'connection.refused')).at(-1)?.detail).toMatch(
        new RegExp(`^${reason} notes f_`),
      )
      expect(house.remote().exchanges).toEqual([])
      expect(visitor.cookieNamed('postern_txn_')).toBeUndefined()
    }
  })

  it('CLI-05, DSC-19: a client that the server has forgotten is registered once more; the next try is good', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const remote = house.remote()
    const { answer } = remote
    remote.answer = () => ({ outcome: 'no', error: 'invalid_client' })
    const refused = await link(visitor)
    expect(refused.status).toBe(502)
    expect(await refused.text()).toContain('Start again')
    expect(remote.registeredAnew).toBe(1)
    expect(remote.reported).toEqual(['invalid_client'])
    expect(remote.exchanges).toHaveLength(1)
    remote.answer = answer
    const { away } = await depart(visitor)
    expect(new URL(locationOf(away)).searchParams.get('client_id')).toBe('client-at-notes-anew')
    expect((await arrive(visitor, callbackUrl(away))).status).toBe(303)
  })

  it('a code that was refused or not answered is never sent again', async () => {
    for (const answer of [
      { outcome: 'no', error: 'invalid_grant' },
      { outcome: 'no', error: 'something odd' },
      { outcome: 'unknown' },
    ] as const) {
      const house = createConnectHouse()
      const visitor = await signedIn(house)
      const remote = house.remote()
      remote.answer = () => answer
      const { away } = await depart(visitor)
      const url = callbackUrl(away)
      const cookies = new Map(visitor.cookies)
      expect((await arrive(visitor, url)).status).toBe(502)
      for (const [name, value] of cookies) visitor.cookies.set(name, value)
      await arrive(visitor, url)
      expect(remote.exchanges).toHaveLength(1)
      expect(await connectionsOf(house)).toBe(0)
      expect(house.emit.dump()).not.toContain('something odd')
    }
  })

  it('O10: no scope in the answer means as asked; less is stored as less', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const remote = house.remote()
    const tokens = { accessToken: 'upstream-a', tokenType: 'Bearer' }
    remote.answer = () => ({ outcome: 'yes', tokens })
    await link(visitor)
    const userId = await userIdOf(house)
    expect((await house.connections.list(userId))[0]?.scopes).toEqual([
      'read',
      'write',
      'offline_access',
    ])
    remote.answer = () => ({ outcome: 'yes', tokens: { ...tokens, scopes: ['read'] } })
    await link(visitor)
    expect((await house.connections.list(userId))[0]?.scopes).toEqual(['read'])
  })

  it('O15, I7: tokens that came and could not be looked after are revoked until the server confirms', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const { get } = house.store
    const remote = house.remote()
    const { answer } = remote
    remote.answer = (code) => {
      house.store.get = async (kind, at) => {
        if (kind === 'connection') throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
        return get(kind, at)
      }
      return answer(code)
    }
    expect((await arrive(visitor, callbackUrl(away))).status).toBe(503)
    house.store.get = get
    await house.runtime.elapseMs(60_000)
    expect(remote.revoked).toEqual(['upstream-refresh-code-1'])
    expect(await connectionsOf(house)).toBe(0)
    const audits = await house.store.list('audit', TENANT, undefined, { max: 100 })
    expect(audits.map(({ value }) => value.detail)).toContain('connector:notes: not_connected')
  })

  it('O15: tokens that nothing can be written about are revoked at once, both', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    house.remote().answer = (code) => {
      house.store.commit = async () => {
        throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
      }
      return {
        outcome: 'yes',
        tokens: { accessToken: `a-${code}`, refreshToken: `r-${code}`, tokenType: 'Bearer' },
      }
    }
    expect((await arrive(visitor, callbackUrl(away))).status).toBe(503)
    await house.runtime.settle()
    expect(house.remote().revoked).toEqual(['r-code-1', 'a-code-1'])
  })

  it('tokens that cannot be written are given back to the server', async () => {
    const house = createConnectHouse()
    const visitor = await signedIn(house)
    const { away } = await depart(visitor)
    const { commit } = house.store
    house.store.commit = async (steps) => {
      if (steps.some((step) => 'kind' in step && step.kind === 'connection'))
        throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
      return commit.call(house.store, steps)
    }
    expect((await arrive(visitor, callbackUrl(away))).status).toBe(503)
    await house.runtime.settle()
    expect(house.remote().revoked).toEqual(['upstream-refresh-code-1'])
  })
})
