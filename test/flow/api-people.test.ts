/** People, apps and operations of the REST API, through a served house. */
import { describe, expect, it } from 'vitest'
import { createId, key } from '../../src/issuer/ids.ts'
import { TENANT, type Values } from '../../src/records.ts'
import { type ApiHouseKit, openApiHouse } from '../kit/api-house.ts'

interface Listed {
  readonly data: readonly Record<string, unknown>[]
  readonly nextCursor?: string
}

/** A person who signed in, with a session, a grant and an audit row: rows as the rooms write them. */
async function signedIn(house: ApiHouseKit, name: string) {
  const { store, platform } = house
  const { runtime } = platform
  const nowMs = Math.trunc(runtime.nowMs())
  const userId = createId(runtime, 'usr')
  const userKey = runtime.sha256(name)
  const user: Values['user'] = {
    ...{ userId, issuer: 'https://idp.example', subject: name, provider: 'openid' },
    ...{ profile: { name, email: `${name}@corp.example` }, groups: [], state: 'active' },
    ...{ createdAtMs: nowMs, lastSignInAtMs: nowMs },
  }
  await store.create('user', key(userKey), user)
  const sessionId = createId(runtime, 'ses')
  const cookie = runtime.sha256(`cookie of ${name}`)
  await store.create('session', key(cookie), {
    ...{ sessionId, userId, userKey, provider: 'openid', issuer: user.issuer, vaultId: '' },
    ...{ authTimeSeconds: 1, createdAtMs: nowMs, lastSeenAtMs: nowMs },
    expiresAtMs: nowMs + 3_600_000,
  })
  const grantId = createId(runtime, 'grt')
  await store.commit([
    {
      verb: 'createGrant',
      grant: {
        ...{ tenant: TENANT, id: grantId, userId, userKey, clientId: 'cli_of_a_program' },
        ...{ resource: `${house.issuer}/mcp/notes`, scopes: ['mcp'], vaultId: '', state: 'active' },
        ...{ redirectUri: 'https://app.example/cb', codeChallenge: 'c', codeExpiresAtMs: nowMs },
        ...{ codeDigest: runtime.sha256(`code of ${name}`), refreshGeneration: 0 },
        ...{ authTimeSeconds: 1, createdAtMs: nowMs, absoluteExpiresAtMs: nowMs + 9_000_000 },
        ...{ expiresAtMs: nowMs + 9_000_000, version: 1 },
      },
    },
  ])
  return { userId, sessionId, grantId, cookie }
}

async function finished(house: ApiHouseKit, reply: { readonly body: unknown }) {
  const { id } = reply.body as { id: string }
  for (let tries = 0; tries < 200; tries += 1) {
    const { body } = await house.ask('GET', `/operations/${id}`)
    const operation = body as { state: string; result?: Record<string, unknown> }
    if (operation.state !== 'running') return operation
    await new Promise((resolve) => setImmediate(resolve))
  }
  throw new Error('the operation did not end')
}

async function listed(house: ApiHouseKit, path: string, secret?: string): Promise<Listed> {
  const reply = await house.ask('GET', path, secret === undefined ? {} : { key: secret })
  expect(reply.status, reply.text).toBe(200)
  return reply.body as Listed
}

describe('users, grants, sessions', () => {
  it('are listed and found, without a digest or a token', async () => {
    const house = await openApiHouse()
    const ada = await signedIn(house, 'ada')
    const grace = await signedIn(house, 'grace')
    const users = await listed(house, '/users')
    expect(users.data.map(({ subject }) => subject).sort()).toEqual(['ada', 'grace'])
    expect((await listed(house, '/users?email=ada@corp.example')).data).toHaveLength(1)
    expect((await house.ask('GET', `/users/${ada.userId}`)).body).toMatchObject({ id: ada.userId })
    const grants = await house.ask('GET', `/grants?user=${ada.userId}`)
    expect(grants.body).toMatchObject({ data: [{ id: ada.grantId, state: 'active' }] })
    expect((await house.ask('GET', '/grants')).status).toBe(422)
    const sessions = await house.ask('GET', `/sessions?user=${grace.userId}`)
    expect(sessions.body).toMatchObject({ data: [{ id: grace.sessionId }] })
    expect(sessions.text).not.toContain(grace.cookie)
    expect(grants.text).not.toMatch(/digest|challenge/i)
  })

  it('a grant and a session end, told with who did it (I12)', async () => {
    const house = await openApiHouse()
    const ada = await signedIn(house, 'ada')
    expect((await house.ask('DELETE', `/grants/${ada.grantId}`)).status).toBe(204)
    expect((await house.ask('GET', `/grants/${ada.grantId}`)).body).toMatchObject({
      state: 'ended',
      cause: 'ended_by_operator',
    })
    expect((await house.ask('DELETE', `/sessions/${ada.sessionId}`)).status).toBe(204)
    expect((await house.ask('GET', `/sessions/${ada.sessionId}`)).status).toBe(404)
    const { data } = await listed(house, `/audit?user=${ada.userId}&actor=admin`)
    expect(data.map(({ event }) => event)).toEqual(['grant.ended', 'signin.ended'])
  })

  it('V2: a person is deleted by an operation, whose result names nobody', async () => {
    const house = await openApiHouse()
    const ada = await signedIn(house, 'ada')
    const reply = await house.ask('POST', `/users/${ada.userId}/offboard`)
    expect(reply.status, reply.text).toBe(202)
    const operation = await finished(house, reply)
    expect(operation).toMatchObject({ state: 'done', result: { deleted: true, sessions: 1 } })
    expect(JSON.stringify(operation)).not.toContain(ada.userId)
    expect((await house.ask('GET', `/users/${ada.userId}`)).status).toBe(404)
  })
})

describe('revocations', () => {
  it('V2: what one selector covers ends, accounts at connectors too, here and at their server', async () => {
    const house = await openApiHouse()
    await house.link('ada', 3_600_000)
    await house.link('grace', 3_600_000)
    const reply = await house.ask('POST', '/revocations', { body: { user: 'ada', app: 'default' } })
    expect(reply.status, reply.text).toBe(202)
    expect(await finished(house, reply)).toMatchObject({ state: 'done' })
    await house.postern.runDue()
    const states = (await listed(house, '/connections')).data.map(({ user, state }) => [
      user,
      state,
    ])
    expect(states.sort()).toEqual([
      ['ada', 'ended'],
      ['grace', 'active'],
    ])
    const all = await house.ask('POST', '/revocations', { body: { all: true } })
    expect(await finished(house, all)).toMatchObject({ state: 'done' })
    await house.postern.runDue()
    const left = (await listed(house, '/connections?state=active')).data
    expect(left).toEqual([])
  })

  it('issuedBefore ends what began by then and nothing later', async () => {
    const house = await openApiHouse()
    const old = await signedIn(house, 'ada')
    await house.link('ada', 3_600_000)
    const issuedBefore = new Date(Date.now()).toISOString()
    while (Date.now() <= Date.parse(issuedBefore) + 1) await new Promise(setImmediate)
    const young = await signedIn(house, 'grace')
    await house.link('grace', 3_600_000)
    const reply = await house.ask('POST', '/revocations', { body: { issuedBefore } })
    expect(await finished(house, reply)).toMatchObject({ state: 'done' })
    await house.postern.runDue()
    expect((await house.ask('GET', `/grants/${old.grantId}`)).body).toMatchObject({
      state: 'ended',
    })
    expect((await house.ask('GET', `/grants/${young.grantId}`)).body).toMatchObject({
      state: 'active',
    })
    const active = (await listed(house, '/connections?state=active')).data
    expect(active.map(({ user }) => user)).toEqual(['grace'])
  })

  it('refuse what selects nothing, or more than one thing, and end nothing', async () => {
    const house = await openApiHouse()
    const ada = await signedIn(house, 'ada')
    const refused: readonly [object, number][] = [
      [{}, 422],
      [{ all: true, client: 'cli_x' }, 422],
      [{ all: false }, 422],
      [{ connector: 'unknown' }, 404],
      [{ tenant: 'someone-elses' }, 404],
      [{ user: 'usr_00000000000000000000000000' }, 404],
      [{ issuedBefore: '2999-01-01T00:00:00Z' }, 422],
    ]
    for (const [body, status] of refused) {
      const reply = await house.ask('POST', '/revocations', { body })
      expect([body, reply.status]).toEqual([body, status])
    }
    expect((await house.ask('GET', `/grants/${ada.grantId}`)).body).toMatchObject({
      state: 'active',
    })
  })
})

describe('clients', () => {
  it('are made with a secret shown once, changed by version, and removed with their grants', async () => {
    const house = await openApiHouse()
    const body = { name: 'Report', redirectUris: ['https://report.example/cb'], confidential: true }
    const made = await house.ask('POST', '/clients', { body })
    expect(made.status, made.text).toBe(201)
    const { id, secret } = made.body as { id: string; secret: string }
    const found = await house.ask('GET', `/clients/${id}`)
    expect(found.text).not.toContain(secret)
    expect(found.body).toMatchObject({ source: 'operator', authMethod: 'client_secret_basic' })
    const headers = { 'if-match': found.headers.get('etag') ?? '' }
    const renamed = await house.ask('PATCH', `/clients/${id}`, { body: { name: 'R2' }, headers })
    expect(renamed.body).toMatchObject({ name: 'R2', redirectUris: body.redirectUris })
    const stale = await house.ask('PATCH', `/clients/${id}`, { body: { name: 'R3' }, headers })
    expect([stale.status, stale.body]).toMatchObject([412, { code: 'ERR_API_VERSION' }])
    expect((await house.ask('DELETE', `/clients/${id}`)).status).toBe(204)
    expect((await house.ask('GET', `/clients/${id}`)).status).toBe(404)
    const bad = { name: 'x', redirectUris: ['javascript:alert(1)'] }
    expect((await house.ask('POST', '/clients', { body: bad })).status).toBe(422)
  })

  it('of the configuration file are read-only', async () => {
    const clients = { racer: { name: 'Racer', redirectUris: ['https://racer.example/cb'] } }
    const house = await openApiHouse({ config: { clients } })
    expect((await listed(house, '/clients')).data).toMatchObject([{ id: 'racer', source: 'file' }])
    for (const [method, body] of [['PATCH', { name: 'Mine' }], ['DELETE']] as const) {
      const reply = await house.ask(method, '/clients/racer', body === undefined ? {} : { body })
      expect(reply.body).toMatchObject({ status: 409, code: 'ERR_CLIENT_IN_FILE' })
    }
  })
})

describe('audit', () => {
  it('filters by time, actor and event, in the order of time, and pages', async () => {
    const house = await openApiHouse()
    const made: string[] = []
    for (const name of ['a', 'b', 'c']) {
      const body = { name, redirectUris: ['https://a.example/cb'] }
      const { body: client } = await house.ask('POST', '/clients', { body })
      made.push((client as { id: string }).id)
    }
    const first = await listed(house, '/audit?event=client.*&actor=admin&limit=2')
    expect(first.data.map(({ clientId }) => clientId)).toEqual(made.slice(0, 2))
    const rest = await listed(
      house,
      `/audit?event=client.*&actor=admin&limit=2&cursor=${first.nextCursor}`,
    )
    expect(rest.data.map(({ clientId }) => clientId)).toEqual(made.slice(2))
    const later = new Date(Date.now() + 60_000).toISOString()
    expect((await listed(house, `/audit?since=${later}`)).data).toEqual([])
    expect((await listed(house, '/audit?until=2020-01-01T00:00:00Z')).data).toEqual([])
  })

  it('is exported as CSV without formulas, and as JSON lines', async () => {
    const house = await openApiHouse()
    const { runtime } = house.platform
    const detail = '=HYPERLINK("https://evil.example","x"),\r\nnext'
    await house.store.create('audit', key(createId(runtime, 'evt')), {
      ...{ event: 'client.registered', atMs: 1, detail, userId: '@SUM(1)' },
      expiresAtMs: Date.now() + 3_600_000,
    })
    const csv = await house.ask('GET', '/audit', { headers: { accept: 'text/csv' } })
    expect(csv.headers.get('content-type')).toContain('text/csv')
    expect(csv.text).toContain(`"'=HYPERLINK(""https://evil.example"",""x""),`)
    expect(csv.text).toContain(`"'@SUM(1)"`)
    const lines = await house.ask('GET', '/audit', { headers: { accept: 'application/x-ndjson' } })
    const rows = lines.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(rows).toContainEqual(expect.objectContaining({ detail, userId: '@SUM(1)' }))
  })
})

describe('api-keys', () => {
  it('are shown once and never again, and end at once', async () => {
    const house = await openApiHouse()
    const made = await house.ask('POST', '/api-keys', { body: { name: 'ci', role: 'read' } })
    const { id, key: secret } = made.body as { id: string; key: string }
    expect((await house.ask('GET', '/users', { key: secret })).status).toBe(200)
    const list = await house.ask('GET', '/api-keys')
    expect(list.text).toContain(id)
    expect(list.text).not.toContain(secret)
    expect(list.text).not.toContain(house.platform.runtime.sha256(secret))
    expect((await house.ask('DELETE', `/api-keys/${id}`)).status).toBe(204)
    expect((await house.ask('GET', '/users', { key: secret })).status).toBe(401)
  })

  it('M2: make none that may more than themselves', async () => {
    const house = await openApiHouse({ config: { apps: APPS } })
    const expiresAtMs = Date.now() + 3_600_000
    const { secret } = await house.makeKey({
      ...{ role: 'manage', app: 'dashboard', connectors: ['notes'], expiresAtMs },
    })
    const asks: readonly [object, number][] = [
      [{ role: 'tokens', app: 'other' }, 403],
      [{ role: 'tokens', connectors: ['notes', 'mail'] }, 403],
      [{ role: 'tokens', expiresAt: new Date(expiresAtMs + 1_000).toISOString() }, 403],
      [{ role: 'tokens' }, 201],
    ]
    for (const [body, status] of asks) {
      const reply = await house.ask('POST', '/api-keys', { key: secret, body })
      expect([body, reply.status], reply.text).toEqual([body, status])
      if (status === 201)
        expect(reply.body).toMatchObject({
          ...{ app: 'dashboard', connectors: ['notes'] },
          expiresAt: new Date(expiresAtMs).toISOString(),
        })
    }
    // Nor does it see or end the keys of others.
    expect((await listed(house, '/api-keys', secret)).data).toHaveLength(2)
    const { id } = await house.makeKey({ role: 'read' })
    expect((await house.ask('DELETE', `/api-keys/${id}`, { key: secret })).status).toBe(404)
  })

  it('M2: the last key that manages stays, also when two end each other at once', async () => {
    const house = await openApiHouse({ config: WITHOUT_ADMIN })
    const [{ id: kept }] = (await listed(house, '/api-keys', house.keys.manage)).data.filter(
      ({ role }) => role === 'manage',
    ) as [{ id: string }]
    const last = await house.ask('DELETE', `/api-keys/${kept}`, { key: house.keys.manage })
    expect(last.body).toMatchObject({ status: 409, code: 'ERR_API_LAST_KEY' })
    for (let round = 0; round < 10; round += 1) {
      const mine = house.keys.manage
      const other = await house.makeKey({ role: 'manage' })
      const replies = await Promise.all([
        house.ask('DELETE', `/api-keys/${other.id}`, { key: mine }),
        house.ask('DELETE', `/api-keys/${kept}`, { key: other.secret }),
      ])
      const ended = replies.filter(({ status }) => status === 204)
      expect(ended.length, replies.map(({ text }) => text).join()).toBeLessThanOrEqual(1)
      const managers = (await house.store.list('apiKey', TENANT, undefined, { max: 200 })).filter(
        ({ value }) => value.role === 'manage',
      )
      expect(managers.length).toBeGreaterThan(0)
      if (managers.every(({ key: { id } }) => id !== kept)) break
    }
  })
})

/** Not even an empty one: the house has no key but those of its rows. */
const WITHOUT_ADMIN = { adminApiKey: undefined } as unknown as { adminApiKey: string }
const APPS = {
  dashboard: { origins: ['https://app.example'], returnUrls: [], confirm: 'widget' as const },
}

describe('keys', () => {
  it('rotate, told with who did it; nobody is shown one', async () => {
    const house = await openApiHouse()
    const before = await listed(house, '/keys')
    const body = { kind: 'signing', emergency: true }
    const rotated = await house.ask('POST', '/keys/rotate', { body })
    expect(rotated.status, rotated.text).toBe(200)
    expect(rotated.body).toMatchObject({ withdrawn: [before.data[0]?.id] })
    const sealing = await house.ask('POST', '/keys/rotate', { body: { kind: 'sealing' } })
    expect(sealing.body).toMatchObject({ left: 0, unreadable: 0 })
    expect((await house.ask('GET', '/keys')).text).not.toMatch(/"[dxy]":|sealed/)
    const { data } = await listed(house, '/audit?actor=admin&event=api.called')
    expect(data.map(({ detail }) => detail)).toEqual([
      'keys.rotate signing emergency',
      'keys.rotate sealing',
    ])
  })
})

const READ = ['read', 'manage']
const MANAGE = ['manage']
const ROUTES: readonly [string, string, readonly string[], object?][] = [
  ['GET', '/users', READ],
  ['GET', '/users/usr_00000000000000000000000000', READ],
  ['POST', '/users/usr_00000000000000000000000000/offboard', MANAGE],
  ['GET', '/grants?user=x', READ],
  ['GET', '/grants/grt_00000000000000000000000000', READ],
  ['DELETE', '/grants/grt_00000000000000000000000000', MANAGE],
  ['GET', '/clients', READ],
  ['GET', '/clients/x', READ],
  ['POST', '/clients', MANAGE, {}],
  ['PATCH', '/clients/x', MANAGE, {}],
  ['DELETE', '/clients/x', MANAGE],
  ['GET', '/sessions', READ],
  ['DELETE', '/sessions/ses_00000000000000000000000000', MANAGE],
  ['POST', '/revocations', MANAGE, {}],
  ['GET', '/operations/opn_00000000000000000000000000', READ],
  ['GET', '/audit', READ],
  ['GET', '/webhooks', READ],
  ['GET', '/webhooks/whk_00000000000000000000000000', READ],
  ['POST', '/webhooks', MANAGE, {}],
  ['DELETE', '/webhooks/whk_00000000000000000000000000', MANAGE],
  ['POST', '/webhooks/whk_00000000000000000000000000/test', MANAGE],
  ['GET', '/api-keys', READ],
  ['POST', '/api-keys', MANAGE, {}],
  ['DELETE', '/api-keys/key_00000000000000000000000000', MANAGE],
  ['GET', '/keys', READ],
  ['POST', '/keys/rotate', MANAGE, {}],
]

describe('every route', () => {
  it('M1 O6: answers 401 without a key, 403 to every role that it does not name', async () => {
    const house = await openApiHouse()
    for (const [method, path, roles, body] of ROUTES) {
      const ask = body === undefined ? {} : { body }
      expect((await house.ask(method, path, { key: '', ...ask })).status, path).toBe(401)
      for (const [role, secret] of Object.entries(house.keys)) {
        const { status } = await house.ask(method, path, { key: secret, ...ask })
        const isRefused = status === 403
        expect([method, path, role, isRefused]).toEqual([method, path, role, !roles.includes(role)])
        expect([401, 500]).not.toContain(status)
      }
    }
  })

  it('M1 O6: is closed to a key of one app or of some connectors, but for its own api-keys', async () => {
    const house = await openApiHouse({ config: { apps: APPS } })
    const narrow = [
      await house.makeKey({ role: 'manage', app: 'dashboard' }),
      await house.makeKey({ role: 'manage', connectors: ['notes'] }),
    ]
    for (const [method, path, , body] of ROUTES) {
      const ask = body === undefined ? {} : { body }
      for (const { secret } of narrow) {
        const { status } = await house.ask(method, path, { key: secret, ...ask })
        if (!path.startsWith('/api-keys'))
          expect([method, path, status]).toEqual([method, path, 403])
      }
    }
  })
})
