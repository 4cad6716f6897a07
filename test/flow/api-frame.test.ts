/** The frame of the REST API, through a served house: keys, roles, fields, cursors, repetitions. */
import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../src/config/parse.ts'
import { StoreError } from '../../src/errors.ts'
import { ADMIN_KEY, type ApiHouseKit, askApi, openApiHouse } from '../kit/api-house.ts'

const HOUR_MS = 3_600_000
const ID = /^req_[0-9a-z]{26}$/

interface Page {
  readonly data: readonly { readonly user: string; readonly app: string }[]
  readonly nextCursor: string
}

const codeOf = ({ body }: { readonly body: unknown }) => (body as { code?: string }).code
const page = ({ body }: { readonly body: unknown }) => body as Page

async function withPeople(): Promise<ApiHouseKit> {
  const house = await openApiHouse()
  for (const user of ['ada', 'grace', 'linus']) await house.link(user, HOUR_MS)
  return house
}

describe('answers of the API', () => {
  it('SEC-04: carry a request id, are never stored, and no other origin may read them (W8)', async () => {
    const house = await openApiHouse()
    const origin = { origin: 'https://evil.example' }
    const replies = [
      await house.ask('GET', '/connections', { headers: origin }),
      await house.ask('GET', '/connections', { key: '', headers: origin }),
      await house.ask('OPTIONS', '/connections', { headers: origin }),
      await house.ask('GET', '/nothing', { headers: origin }),
      await house.ask('GET', '/openapi.json', { key: '', headers: origin }),
    ]
    expect(replies.map(({ status }) => status)).toEqual([200, 401, 405, 404, 200])
    const ids = replies.map(({ headers }) => headers.get('x-request-id') ?? '')
    for (const id of ids) expect(id).toMatch(ID)
    expect(new Set(ids).size).toBe(ids.length)
    for (const { headers } of replies) {
      expect(headers.get('cache-control')).toBe('no-store')
      expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
    }
  })

  it('are problems of RFC 9457 when they refuse, and the code is explained', async () => {
    const house = await openApiHouse()
    const reply = await house.ask('GET', '/connectors/nots')
    expect(reply.headers.get('content-type')).toBe('application/problem+json')
    expect(reply.body).toEqual({
      type: `${house.issuer}/errors/ERR_CONNECTOR_NOT_FOUND`,
      title: expect.any(String),
      status: 404,
      code: 'ERR_CONNECTOR_NOT_FOUND',
      detail: 'There is no connector named "nots". Did you mean "notes"?',
      param: 'connector',
      requestId: reply.headers.get('x-request-id'),
    })
    const explained = await fetch(`${house.issuer}/errors/ERR_CONNECTOR_NOT_FOUND`)
    expect(explained.status).toBe(200)
    expect((await fetch(`${house.issuer}/errors/ERR_API_ROLE`)).status).toBe(200)
  })

  it('move below prefix with the pages, and not with the OAuth endpoints', async () => {
    const house = await openApiHouse({ config: { prefix: '/postern' } })
    const moved = await askApi(`${house.issuer}/postern/api/v1/connectors/nots`, 'GET')
    expect(moved).toMatchObject({
      status: 404,
      body: { type: `${house.issuer}/postern/errors/ERR_CONNECTOR_NOT_FOUND` },
    })
    expect((await askApi(`${house.issuer}/api/v1/connectors`, 'GET')).text).not.toContain('notes')
  })

  it('tell a path that is not there from a method that it does not take', async () => {
    const house = await openApiHouse()
    expect(await house.ask('PATCH', '/connections')).toMatchObject({
      status: 405,
      body: { code: 'ERR_API_METHOD' },
    })
    const allow = (await house.ask('PATCH', '/connectors')).headers.get('allow')
    expect(allow).toBe('GET, HEAD')
    for (const path of ['', '/', '/connections/', '/connections/%ff', '/connections/%00', '//x'])
      expect(await house.ask('GET', path), path).toMatchObject({ status: 404 })
    expect(await house.ask('HEAD', '/connections')).toMatchObject({ status: 200, text: '' })
  })

  it('refuse what is no JSON object with 400, and what is too long with 413', async () => {
    const house = await openApiHouse()
    const bad = [
      '',
      '[]',
      'null',
      '{"user":"ada",}',
      '{"user":"a","user":"b"}',
      '{"user":"\\u0000"}',
    ]
    for (const text of bad)
      expect(await house.ask('POST', '/connections/start', { text }), text).toMatchObject({
        status: 400,
        body: { code: 'ERR_API_BODY' },
      })
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    expect(
      await house.ask('POST', '/tokens', {
        key: house.keys.tokens,
        text: 'user=ada',
        headers: form,
      }),
    ).toMatchObject({ status: 400 })
    const text = JSON.stringify({ user: 'a'.repeat(300_000) })
    expect(await house.ask('POST', '/connections/start', { text })).toMatchObject({ status: 413 })
  })

  it('name every wrong field, an unknown one with the nearest that is known, and repeat no value', async () => {
    const house = await openApiHouse()
    const body = { usr: 'ada', connector: 'NOTES secret-value', returnUrl: 7 }
    const reply = await house.ask('POST', '/connections/start', { body })
    expect(reply.status).toBe(422)
    expect(reply.body).toMatchObject({
      code: 'ERR_API_FIELDS',
      errors: expect.arrayContaining([
        { param: 'usr', code: 'ERR_API_FIELD_UNKNOWN', detail: expect.stringContaining('"user"') },
        { param: 'user', code: 'ERR_API_FIELD_MISSING', detail: 'It is missing.' },
        expect.objectContaining({ param: 'connector', code: 'ERR_API_FIELD_VALUE' }),
        expect.objectContaining({ param: 'returnUrl', code: 'ERR_API_FIELD_VALUE' }),
      ]),
    })
    expect(reply.text).not.toContain('secret-value')
    for (const query of [
      'limit=0',
      'limit=201',
      'limit=ten',
      'limit=1&limit=2',
      'stat=active',
      'user=%00',
    ])
      expect(await house.ask('GET', `/connections?${query}`), query).toMatchObject({
        status: 422,
        body: { errors: [{ param: query.split('=')[0] }] },
      })
  })

  it('say nothing of a bug but its request id, and of a store that is away when to come back', async () => {
    const house = await openApiHouse()
    const list = house.store.list
    const failWith = (error: Error) => {
      Object.assign(house.store, { list: () => Promise.reject(error) })
    }
    failWith(new RangeError('secret inside'))
    const bug = await house.ask('GET', '/connections')
    expect(bug).toMatchObject({ status: 500, body: { code: 'ERR_API_UNEXPECTED' } })
    expect(bug.text).not.toContain('secret inside')
    expect(house.platform.events).toContainEqual(
      expect.objectContaining({
        type: 'server.failed',
        requestId: bug.headers.get('x-request-id'),
        place: expect.stringContaining('RangeError'),
      }),
    )
    failWith(new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied'))
    const away = await house.ask('GET', '/connections')
    expect(away).toMatchObject({ status: 503, body: { code: 'ERR_API_UNAVAILABLE' } })
    expect(Number(away.headers.get('retry-after'))).toBeGreaterThan(0)
    Object.assign(house.store, { list })
  })

  it('are told as api.called: method, route, status and key, never a path or a query', async () => {
    const house = await openApiHouse()
    await house.ask('GET', '/connections?user=ada')
    await house.ask('GET', '/connections/con_AAAAAAAAAAAAAAAAAAAAAA', { key: house.keys.read })
    const called = house.platform.events.filter(({ type }) => type === 'api.called')
    expect(called).toMatchObject([
      { route: 'GET /connections', status: 200, keyId: 'admin', level: 'debug' },
      { route: 'GET /connections/{id}', status: 404, keyId: expect.stringMatching(/^key_/) },
    ])
    expect(JSON.stringify(called)).not.toMatch(/ada|con_A|ptk_/)
  })
})

describe('API keys', () => {
  it('adminApiKey has at least 32 visible characters', () => {
    const config = (adminApiKey: string) => parseConfig({ adminApiKey }, { environment: {} })
    expect(() => config('a'.repeat(31))).toThrow('adminApiKey')
    expect(() => config(`${'a'.repeat(40)} b`)).toThrow('adminApiKey')
    expect(JSON.stringify(config('a'.repeat(32)))).not.toContain('a'.repeat(32))
    const environment = { POSTERN_ADMIN_API_KEY: 'b'.repeat(40) }
    expect(parseConfig({}, { environment }).adminApiKey?.reveal()).toBe('b'.repeat(40))
  })

  it('M1, I11: nobody without a key gets anything, and the answer does not tell what was wrong', async () => {
    const house = await openApiHouse()
    const { secret, id } = await house.makeKey({ role: 'manage' })
    const wrong = [
      '',
      'x',
      'ptk_',
      `${secret}x`,
      secret.slice(0, -1),
      `${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`,
      secret.replace(/_([^_]{26})_/, `_${'0'.repeat(26)}_`),
      id,
      `${ADMIN_KEY}x`,
      ADMIN_KEY.slice(1),
    ]
    const replies = await Promise.all(wrong.map((key) => house.ask('GET', '/connections', { key })))
    for (const { status, body, headers } of replies) {
      expect(status).toBe(401)
      expect({ ...(body as object), requestId: '' }).toEqual({
        ...(replies[0]?.body as object),
        requestId: '',
      })
      expect(headers.get('www-authenticate')).toBe('Bearer')
    }
    expect(await house.ask('GET', '/connections', { key: secret })).toMatchObject({ status: 200 })
    const basic = { authorization: `Basic ${btoa(`key:${secret}`)}` }
    const elsewhere = [
      askApi(`${house.issuer}/api/v1/connections?api_key=${secret}`, 'GET', { key: '' }),
      house.ask('GET', '/connections', { key: '', headers: { 'x-api-key': secret } }),
      house.ask('GET', '/connections', { key: '', headers: basic }),
      house.ask('GET', '/connections', { key: '', headers: { cookie: `key=${secret}` } }),
    ]
    for (const reply of await Promise.all(elsewhere)) expect(reply.status).toBe(401)
  })

  it('I-ids: an API key is nothing at /mcp and at the OAuth endpoints', async () => {
    const house = await openApiHouse()
    for (const key of [house.keys.manage, house.keys.tokens, ADMIN_KEY]) {
      const call = await fetch(`${house.issuer}/mcp/notes`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }),
      })
      expect(call.status).toBe(401)
      const introspect = await fetch(`${house.issuer}/introspect`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}` },
        body: new URLSearchParams({ token: key }),
      })
      expect(introspect.status).toBe(401)
    }
  })

  it('are kept as digest and noted when used, at most once a minute', async () => {
    const house = await openApiHouse()
    const { secret, id } = await house.makeKey({ role: 'read' })
    for (let time = 0; time < 5; time += 1) await house.ask('GET', '/connections', { key: secret })
    const read = () => house.store.get('apiKey', { tenant: 'default', id })
    await expect.poll(async () => (await read())?.value.usedAtMs).toBeGreaterThan(0)
    const row = await read()
    expect(row?.version).toBe(2)
    expect(JSON.stringify(row)).not.toContain(secret.slice(-43))
  })

  it('have an end, and are refused from then on', async () => {
    const house = await openApiHouse()
    const expiresAtMs = Math.trunc(house.platform.runtime.nowMs()) - 1
    const { secret } = await house.makeKey({ role: 'read', expiresAtMs })
    expect(await house.ask('GET', '/connections', { key: secret })).toMatchObject({ status: 401 })
  })

  it('M3: who tries many is told to wait, and a key in use behind the same address goes on', async () => {
    const house = await openApiHouse()
    const key = house.keys.read
    expect(await house.ask('GET', '/connections', { key })).toMatchObject({ status: 200 })
    const tries = Array.from({ length: 130 }, () =>
      house.ask('GET', '/connections', { key: 'ptk_x' }),
    )
    const statuses = (await Promise.all(tries)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 401)).toHaveLength(120)
    const refused = await house.ask('GET', '/connections', { key: 'ptk_x' })
    expect(refused).toMatchObject({ status: 429, body: { code: 'ERR_API_RATE' } })
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    for (const good of [key, ADMIN_KEY])
      expect(await house.ask('GET', '/connections', { key: good })).toMatchObject({ status: 200 })
  })
})

describe('lists', () => {
  it('go on where the cursor says, without a row twice or left out', async () => {
    const house = await withPeople()
    const first = page(await house.ask('GET', '/connections?limit=2'))
    const second = page(await house.ask('GET', `/connections?limit=2&cursor=${first.nextCursor}`))
    const users = [...first.data, ...second.data].map(({ user }) => user)
    expect(users.sort()).toEqual(['ada', 'grace', 'linus'])
    expect(second.nextCursor).toBeUndefined()
  })

  it('M4, B17: a cursor of another list, filter or key, or one that was changed, is refused', async () => {
    const house = await withPeople()
    const { nextCursor } = page(await house.ask('GET', '/connections?limit=1'))
    const refused = { status: 422, body: { errors: [{ param: 'cursor' }] } }
    const forged = `${nextCursor.slice(0, -2)}${nextCursor.endsWith('AA') ? 'BB' : 'AA'}`
    for (const path of [
      `/connectors?limit=1&cursor=${nextCursor}`,
      `/connections?limit=1&user=ada&cursor=${nextCursor}`,
      `/connections?limit=1&cursor=${forged}`,
      `/connections?limit=1&cursor=${btoa('grace')}`,
      '/connections?limit=1&cursor=1',
    ])
      expect(await house.ask('GET', path), path).toMatchObject(refused)
    const path = `/connections?limit=1&cursor=${nextCursor}`
    expect(await house.ask('GET', path, { key: house.keys.manage })).toMatchObject(refused)
    expect(await house.ask('GET', path)).toMatchObject({ status: 200 })
    expect(nextCursor).not.toContain('grace')
  })
})

describe('Idempotency-Key', () => {
  const body = {
    user: 'ada',
    connector: 'notes',
    returnUrl: 'https://app.example.com/settings',
  }
  const config = {
    apps: {
      dashboard: {
        origins: ['https://app.example.com'],
        returnUrls: ['https://app.example.com/settings'],
      },
    },
  }

  it('runs a POST once; a repetition gets the same answer, sealed meanwhile', async () => {
    const house = await openApiHouse({ config })
    const headers = { 'idempotency-key': 'once' }
    const first = await house.ask('POST', '/connections/start', { body, headers })
    expect(first.status, first.text).toBe(201)
    const again = await house.ask('POST', '/connections/start', { body, headers })
    expect(again).toMatchObject({ status: 201, body: first.body })
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    const rows = await house.store.list('idempotency', 'default', undefined, { max: 10 })
    expect(rows).toHaveLength(1)
    expect(JSON.stringify(rows)).not.toContain('handle')
    const other = await house.ask('POST', '/connections/start', {
      body,
      headers,
      key: house.keys.connect,
    })
    expect((other.body as { url: string }).url).not.toBe((first.body as { url: string }).url)
  })

  it('refuses a key that came with another request, and one that is none', async () => {
    const house = await openApiHouse({ config })
    const headers = { 'idempotency-key': 'once' }
    await house.ask('POST', '/connections/start', { body, headers })
    const changed = { ...body, user: 'grace' }
    expect(await house.ask('POST', '/connections/start', { body: changed, headers })).toMatchObject(
      {
        status: 422,
        body: { code: 'ERR_API_IDEMPOTENCY_KEY' },
      },
    )
    const long = { 'idempotency-key': 'k'.repeat(256) }
    expect(await house.ask('POST', '/connections/start', { body, headers: long })).toMatchObject({
      status: 422,
    })
  })

  it('of two at once one runs; the other gets its answer or 409', async () => {
    const house = await openApiHouse({ config })
    const headers = { 'idempotency-key': 'race' }
    const asked = Array.from({ length: 20 }, () =>
      house.ask('POST', '/connections/start', { body, headers }),
    )
    const replies = await Promise.all(asked)
    const urls = replies.flatMap(({ status, body: answer }) =>
      status === 201 ? [(answer as { url: string }).url] : [],
    )
    expect(new Set(urls).size).toBe(1)
    expect(replies.every(({ status }) => status === 201 || status === 409)).toBe(true)
    for (const reply of replies.filter(({ status }) => status === 409)) {
      expect(codeOf(reply)).toBe('ERR_API_IN_PROGRESS')
      expect(reply.headers.get('retry-after')).toBe('1')
    }
  })

  it('forgets a refusal, so that the corrected request may keep its key', async () => {
    const house = await openApiHouse({ config })
    const headers = { 'idempotency-key': 'again' }
    const wrong = { ...body, returnUrl: 'https://evil.example/' }
    const refused = await house.ask('POST', '/connections/start', { body: wrong, headers })
    expect(refused).toMatchObject({ status: 422 })
    expect(await house.ask('POST', '/connections/start', { body, headers })).toMatchObject({
      status: 201,
    })
  })
})
