/** Connectors, connections, sessions, tokens and caches of the REST API, through a served house. */
import { describe, expect, it } from 'vitest'
import { createClient } from '../../src/client/index.ts'
import { type ApiHouseKit, openApiHouse } from '../kit/api-house.ts'

const HOUR_MS = 3_600_000
const ORIGIN = 'https://app.example.com'
const RETURN_URL = 'https://app.example.com/settings'
const APPS = { dashboard: { origins: [ORIGIN], returnUrls: [RETURN_URL] } }

/** The remote server may be used by the API, too, and nobody else. */
const house = () =>
  openApiHouse({
    config: (remote) => ({ apps: APPS, egress: { allowHosts: [remote.origin] } }),
  })
const auditOf = async ({ store }: ApiHouseKit) =>
  (await store.list('audit', 'default', undefined, { max: 1_000 })).map(({ value }) => value)

describe('connectors', () => {
  it('are made, changed by version and removed, with an audit row each (I12)', async () => {
    const api = await house()
    const input = { url: api.remote.url, auth: 'oauth', title: 'Mine' }
    const made = await api.ask('PUT', '/connectors/mine', { body: input })
    expect(made.status, made.text).toBe(201)
    expect(made.body).toMatchObject({
      ...{ name: 'mine', url: api.remote.url, auth: 'oauth', title: 'Mine', madeBy: 'api' },
      ...{ state: 'ready', discovery: { issuer: api.remote.issuer }, problems: [] },
    })
    const etag = made.headers.get('etag') ?? ''
    const patch = { body: { title: 'Yours' }, headers: { 'if-match': etag } }
    const changed = await api.ask('PATCH', '/connectors/mine', patch)
    expect(changed).toMatchObject({ status: 200, body: { title: 'Yours', url: api.remote.url } })
    expect(changed.headers.get('etag')).not.toBe(etag)
    expect(await api.ask('PATCH', '/connectors/mine', patch)).toMatchObject({
      status: 412,
      body: { code: 'ERR_API_VERSION' },
    })
    expect(await api.ask('PUT', '/connectors/mine', { body: input })).toMatchObject({ status: 200 })
    expect(await api.ask('GET', '/connectors?madeBy=api')).toMatchObject({
      body: { data: [{ name: 'mine' }] },
    })
    expect(await api.ask('DELETE', '/connectors/mine')).toMatchObject({ status: 204, text: '' })
    expect(await api.ask('GET', '/connectors/mine')).toMatchObject({ status: 404 })
    const audit = (await auditOf(api)).filter(
      ({ connector, actor }) => connector === 'mine' && actor !== undefined,
    )
    expect(audit.map(({ event, actor }) => `${event} ${actor}`).sort()).toEqual([
      'connector.changed admin',
      'connector.changed admin',
      'connector.created admin',
      'connector.removed admin',
    ])
  })

  it('keep secrets to themselves: they go in and never come out', async () => {
    const api = await house()
    const header = { name: 'X-Key', value: 'header-secret-value' }
    const body = { url: api.remote.url, auth: 'header', header }
    const made = await api.ask('PUT', '/connectors/keyed', { body })
    expect(made).toMatchObject({ status: 201, body: { header: { name: 'X-Key' } } })
    const all = [
      made,
      await api.ask('GET', '/connectors/keyed'),
      await api.ask('GET', '/connectors'),
      await api.ask('PATCH', '/connectors/keyed', { body: { title: 'Keyed' } }),
    ]
    for (const { text } of all) expect(text).not.toContain('header-secret-value')
  })

  it('of the file are read-only; of others a wrong field is named', async () => {
    const api = await house()
    const inFile = { status: 409, body: { code: 'ERR_CONNECTOR_IN_FILE' } }
    const body = { url: api.remote.url }
    expect(await api.ask('PUT', '/connectors/notes', { body })).toMatchObject(inFile)
    expect(await api.ask('PATCH', '/connectors/notes', { body })).toMatchObject(inFile)
    expect(await api.ask('DELETE', '/connectors/notes')).toMatchObject(inFile)
    const inside = { url: 'http://169.254.169.254/latest' }
    expect(await api.ask('PUT', '/connectors/inside', { body: inside })).toMatchObject({
      status: 422,
      body: { errors: [{ param: 'url' }] },
    })
    expect(await api.ask('PUT', '/connectors/NO_NAME', { body })).toMatchObject({
      status: 422,
      body: { errors: [{ param: 'name' }] },
    })
    const nested = { url: api.remote.url, client: { clientID: 'x' } }
    expect(await api.ask('PUT', '/connectors/nested', { body: nested })).toMatchObject({
      status: 422,
      body: { errors: [{ param: 'client.clientID', code: 'ERR_API_FIELD_UNKNOWN' }] },
    })
  })

  it('O3: an origin that was refused is approved by its name and by no other', async () => {
    const api = await house()
    expect(await api.ask('POST', '/connectors/notes/discover')).toMatchObject({
      status: 200,
      body: { state: 'ready' },
    })
    const body = { origin: 'https://evil.example' }
    expect(await api.ask('POST', '/connectors/notes/approve', { body })).toMatchObject({
      status: 409,
      body: { code: 'ERR_CONNECTOR_ORIGIN', param: 'origin' },
    })
  })
})

describe('connections', () => {
  it('are filtered, shown and ended; nothing that is shown is a token', async () => {
    const api = await house()
    for (const user of ['ada', 'grace']) await api.link(user, HOUR_MS, 'dashboard')
    const { body } = await api.ask('GET', '/connections?user=ada&connector=notes&state=active')
    const [found] = (body as { data: { id: string }[] }).data
    const id = found?.id ?? ''
    expect(await api.ask('GET', `/connections/${id}`)).toMatchObject({
      status: 200,
      body: { id, app: 'dashboard', user: 'ada', connector: 'notes', state: 'active' },
    })
    const accessToken = api.remote.tokensOf('ada')[0] ?? 'none'
    const ended = await api.ask('DELETE', `/connections/${id}`)
    expect(ended).toMatchObject({ status: 202, body: { state: 'ended', revocation: 'pending' } })
    expect(ended.text).not.toContain(accessToken)
    expect(await api.ask('GET', '/connections?state=active')).toMatchObject({
      body: { data: [{ user: 'grace' }] },
    })
    expect(await api.ask('DELETE', `/connections/${id}`)).toMatchObject({ status: 404 })
    const body409 = { user: 'ada', connector: 'notes' }
    expect(await api.ask('POST', '/tokens', { key: api.keys.tokens, body: body409 })).toMatchObject(
      {
        status: 409,
      },
    )
    expect(await auditOf(api)).toContainEqual(
      expect.objectContaining({ event: 'revocation.requested', userId: 'app:dashboard:ada' }),
    )
  })

  it('O1: are confirmed by nobody who has not the confirmation', async () => {
    const api = await house()
    const id = 'con_AAAAAAAAAAAAAAAAAAAAAA'
    const body = { user: 'ada', confirmation: 'made-up' }
    expect(await api.ask('POST', `/connections/${id}/confirm`, { body })).toMatchObject({
      status: 409,
      body: { code: 'ERR_CONFIRMATION' },
    })
    const start = { user: 'ada', connector: 'notes', returnUrl: 'https://evil.example/' }
    expect(await api.ask('POST', '/connections/start', { body: start })).toMatchObject({
      status: 422,
      body: { code: 'ERR_APP_RETURN_URL' },
    })
  })
})

describe('connect-sessions', () => {
  it('are made for one person and one origin of the app', async () => {
    const api = await house()
    const body = { user: 'ada', origin: ORIGIN, connectors: ['notes'] }
    const made = await api.ask('POST', '/connect-sessions', { key: api.keys.connect, body })
    expect(made).toMatchObject({ status: 201, body: { expiresAt: expect.any(String) } })
    const { token } = made.body as { token: string }
    const listed = await fetch(`${api.issuer}/widget/connections`, {
      headers: { authorization: `Bearer ${token}`, origin: ORIGIN },
    })
    expect(await listed.json()).toMatchObject({ app: 'dashboard', data: [{ connector: 'notes' }] })
    const foreign = { ...body, origin: 'https://evil.example' }
    expect(await api.ask('POST', '/connect-sessions', { body: foreign })).toMatchObject({
      status: 422,
      body: { code: 'ERR_APP_ORIGIN' },
    })
    // It is no API key, and an API key is no session.
    expect(await api.ask('GET', '/connections', { key: token })).toMatchObject({ status: 401 })
  })

  it('answer one status for a connector that is not there or connects nobody, as the document says', async () => {
    const api = await house()
    const origin = ORIGIN
    const returnUrl = `${ORIGIN}/settings`
    const refused = {
      status: 404,
      body: {
        code: 'ERR_CONNECTOR_NOT_FOUND',
        detail: 'no connector "nots" connects people of apps.',
      },
    }
    for (const [path, body] of [
      ['/connect-sessions', { user: 'ada', origin, connectors: ['nots'] }],
      ['/connections/start', { user: 'ada', returnUrl, connector: 'nots' }],
    ] as const)
      expect(await api.ask('POST', path, { body }), path).toMatchObject(refused)
  })
})

describe('tokens', () => {
  it('a warm one comes from memory: no exchange, and no read or write of the store', async () => {
    const api = await house()
    await api.link('ada', HOUR_MS, 'dashboard')
    const ask = () =>
      api.ask('POST', '/tokens', {
        key: api.keys.tokens,
        body: { user: 'ada', connector: 'notes' },
        headers: { 'idempotency-key': 'ignored' },
      })
    const first = await ask()
    expect(first).toMatchObject({ status: 200, body: { tokenType: 'Bearer' } })
    const { accessToken } = first.body as { accessToken: string }
    expect(api.remote.isLive(accessToken)).toBe(true)
    const exchanges = api.remote.exchanges()
    const touched: string[] = []
    for (const verb of ['get', 'list', 'create', 'put', 'commit'] as const) {
      const real = api.store[verb].bind(api.store) as (...args: never[]) => unknown
      Object.assign(api.store, {
        [verb]: (...args: never[]) => {
          touched.push(`${verb} ${String(args[0])}`)
          return real(...args)
        },
      })
    }
    for (let time = 0; time < 20; time += 1) expect((await ask()).body).toEqual(first.body)
    expect(api.remote.exchanges()).toEqual(exchanges)
    // What others say of connectors is read behind, by the clock.
    expect(touched.filter((read) => read !== 'list connector')).toEqual([])
  })

  it('say what the product has to do next', async () => {
    const api = await house()
    const key = api.keys.tokens
    const ask = (user: string, connector = 'notes') =>
      api.ask('POST', '/tokens', { key, body: { user, connector } })
    expect(await ask('nobody')).toMatchObject({
      status: 409,
      body: { code: 'ERR_CONNECTION_NEEDED', connector: 'notes', state: 'none' },
    })
    expect(await ask('ada', 'nots')).toMatchObject({
      status: 404,
      body: { code: 'ERR_CONNECTOR_NOT_FOUND' },
    })
    await api.link('ada', -1, 'dashboard')
    api.remote.revokeEverything()
    expect(await ask('ada')).toMatchObject({
      status: 409,
      body: {
        ...{ code: 'ERR_CONNECTION_RECONNECT', connector: 'notes' },
        ...{ state: 'reconnect', cause: 'invalid_grant' },
      },
    })
    await api.link('grace', -1, 'dashboard')
    await api.remote.kill()
    const away = await ask('grace')
    expect(away.status).toBe(503)
    expect(Number(away.headers.get('retry-after'))).toBeGreaterThan(0)
  })
})

describe('caches', () => {
  it('are listed with what came of reads; one key is forgotten on all nodes', async () => {
    const api = await house()
    await api.ask('POST', '/connectors/notes/discover')
    const { body } = await api.ask('GET', '/caches')
    const names = (body as { data: { name: string; entries: number }[] }).data
    expect(names).toContainEqual(
      expect.objectContaining({ name: 'discovery', outcomes: expect.any(Object) }),
    )
    expect(await api.ask('GET', '/caches/discovery?key=nothing')).toMatchObject({
      body: { key: 'nothing', state: 'miss' },
    })
    expect(await api.ask('GET', '/caches/none?key=x')).toMatchObject({ status: 404 })
    expect(await api.ask('DELETE', '/caches/discovery')).toMatchObject({ status: 422 })
    expect(await api.ask('DELETE', '/caches/discovery?key=some')).toMatchObject({ status: 204 })
    const { rows } = await api.store.grants.revocationsSince(0, 100)
    expect(rows).toContainEqual(expect.objectContaining({ kind: 'cache', id: 'discovery:some' }))
    expect((await auditOf(api)).map(({ event, actor }) => `${event} ${actor}`)).toContain(
      'cache.forgotten admin',
    )
  })
})

describe('postern/client against a served house', () => {
  it('lists, makes a session and gets a token, as Postern does', async () => {
    const api = await house()
    await api.link('ada', HOUR_MS, 'dashboard')
    const client = createClient({ url: api.issuer, apiKey: api.keys.manage })
    const [connection] = (await client.connections.list({ user: 'ada' })).data
    expect(connection).toMatchObject({ app: 'dashboard', user: 'ada', state: 'active' })
    expect(await client.connections.find('con_AAAAAAAAAAAAAAAAAAAAAA')).toBeUndefined()
    const session = await client.createConnectSession({ user: 'ada', origin: ORIGIN })
    expect(session.token).toMatch(/^pcs_/)
    const made = await client.connectors.put('mine', { url: api.remote.url, auth: 'oauth' })
    expect(made).toMatchObject({ name: 'mine', state: 'ready' })
    const tokens = createClient({ url: api.issuer, apiKey: api.keys.tokens })
    const token = await tokens.getToken('ada', 'notes')
    expect(api.remote.isLive(token.accessToken)).toBe(true)
    await expect(tokens.getToken('grace', 'notes')).rejects.toMatchObject({
      code: 'ERR_CONNECTION_NEEDED',
      requestId: expect.stringMatching(/^req_/),
    })
    await expect(tokens.connectors.list()).rejects.toMatchObject({ code: 'ERR_API_ROLE' })
  })
})
