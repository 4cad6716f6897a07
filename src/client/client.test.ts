import { describe, expect, it } from 'vitest'
import type { ApiHouse } from '../api/route.ts'
import { apiRoutes } from '../api/table.ts'
import { createClient, PosternApiError } from './index.ts'
import { OPERATIONS } from './operations.ts'

interface Seen {
  readonly line: string
  readonly body: string
  readonly headers: Headers
}

/** A client of a house that answers what is in `answers`, in order; an Error is a broken connection. */
function client(...answers: (Response | Error)[]) {
  const seen: Seen[] = []
  const made = createClient({
    url: 'https://auth.example/postern/',
    apiKey: 'ptk_key',
    async fetch(request) {
      const { method, url, headers } = request
      seen.push({ line: `${method} ${url}`, body: await request.text(), headers })
      const answer = answers.shift()
      if (answer instanceof Response) return answer
      throw answer ?? new TypeError('fetch failed')
    },
  })
  return { made, seen }
}

const problem = (status: number, code: string, headers = {}) =>
  Response.json(
    { code, detail: 'Why.', requestId: 'req_1' },
    { status, headers: { 'content-type': 'application/problem+json', ...headers } },
  )

describe('createClient', () => {
  it('has a method for each route of the table, sent as the route says', () => {
    const routes = apiRoutes({} as ApiHouse).filter(({ operationId }) => operationId !== 'openapi')
    expect(
      Object.entries(OPERATIONS).map(([id, { method, path }]) => `${id} ${method} ${path}`),
    ).toEqual(routes.map(({ operationId, method, path }) => `${operationId} ${method} ${path}`))
    const { made } = client()
    for (const { operationId } of routes) {
      const [group = '', name] = operationId.split('.')
      const found = (made as unknown as Record<string, Record<string, unknown>>)[group]
      expect(typeof (name === undefined ? found : found?.[name]), operationId).toBe('function')
    }
  })

  it('puts path, query, body and key where they belong', async () => {
    const { made, seen } = client(
      Response.json({ data: [] }),
      Response.json({ name: 'a b' }),
      new Response(null, { status: 204 }),
      Response.json({ accessToken: 'at', scopes: [] }),
    )
    await made.connections.list({ user: 'ada & co', limit: 2 })
    await made.connectors.put('a/b', { url: 'https://notes.example/mcp' }, { ifMatch: '3' })
    expect(await made.connectors.remove('notes', { ifMatch: '4' })).toBeUndefined()
    await made.getToken('ada', 'notes', { minValiditySeconds: 300 })
    expect(seen.map(({ line }) => line)).toEqual([
      'GET https://auth.example/postern/api/v1/connections?user=ada+%26+co&limit=2',
      'PUT https://auth.example/postern/api/v1/connectors/a%2Fb',
      'DELETE https://auth.example/postern/api/v1/connectors/notes',
      'POST https://auth.example/postern/api/v1/tokens',
    ])
    expect(seen[1]?.headers.get('if-match')).toBe('"3"')
    expect(seen[2]?.headers.get('if-match')).toBe('"4"')
    expect(seen[3]?.body).toBe('{"minValiditySeconds":300,"user":"ada","connector":"notes"}')
    for (const { headers } of seen) expect(headers.get('authorization')).toBe('Bearer ptk_key')
  })

  it('names each POST, and repeats it once under the same name when the connection broke', async () => {
    const session = { token: 'pcs_1', expiresAt: '2026-11-21T10:00:00.000Z' }
    const { made, seen } = client(new TypeError('reset'), Response.json(session, { status: 201 }))
    const input = { user: 'ada', origin: 'https://app.example.com' }
    expect(await made.createConnectSession(input)).toEqual(session)
    const names = seen.map(({ headers }) => headers.get('idempotency-key'))
    expect(names[0]).toMatch(/^[0-9a-f-]{36}$/)
    expect(names[1]).toBe(names[0])
    expect(seen.map(({ body }) => body)).toEqual([JSON.stringify(input), JSON.stringify(input)])
  })

  it('asks once more after 503, and tells what came of it', async () => {
    const { made, seen } = client(
      problem(503, 'ERR_API_UNAVAILABLE', { 'retry-after': '0' }),
      problem(503, 'ERR_API_UNAVAILABLE', { 'retry-after': '0' }),
    )
    await expect(made.connectors.list()).rejects.toMatchObject({
      name: 'PosternApiError',
      status: 503,
      code: 'ERR_API_UNAVAILABLE',
      requestId: 'req_1',
    })
    expect(seen).toHaveLength(2)
  })

  it('does not wait longer than a person would', async () => {
    const { made, seen } = client(problem(429, 'ERR_API_RATE', { 'retry-after': '60' }))
    await expect(made.connectors.list()).rejects.toMatchObject({ code: 'ERR_API_RATE' })
    expect(seen).toHaveLength(1)
  })

  it('tells a refusal with code, request id and the whole problem, and no key', async () => {
    const { made } = client(
      Response.json(
        {
          code: 'ERR_CONNECTION_RECONNECT',
          detail: 'Again.',
          connector: 'notes',
          cause: 'revoked',
        },
        { status: 409 },
      ),
    )
    const error = await made.getToken('ada', 'notes').catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(PosternApiError)
    expect(error).toMatchObject({
      code: 'ERR_CONNECTION_RECONNECT',
      message: 'ERR_CONNECTION_RECONNECT: Again.',
      problem: { connector: 'notes', cause: 'revoked' },
    })
    expect(JSON.stringify(error)).not.toContain('ptk_key')
  })

  it('says that something else answered, or nothing did', async () => {
    const { made } = client(new Response('<html>', { status: 502 }))
    await expect(made.connectors.list()).rejects.toMatchObject({
      code: 'ERR_API_ANSWER',
      status: 502,
    })
    const dead = client()
    await expect(dead.made.connectors.list()).rejects.toMatchObject({
      code: 'ERR_API_UNREACHABLE',
      status: 0,
    })
    expect(dead.seen).toHaveLength(2)
  })

  it('finds nothing where there is nothing', async () => {
    const { made } = client(
      problem(404, 'ERR_CONNECTOR_NOT_FOUND'),
      problem(404, 'ERR_API_NOT_FOUND'),
    )
    expect(await made.connectors.find('nots')).toBeUndefined()
    await expect(made.connectors.remove('nots')).rejects.toMatchObject({ status: 404 })
  })
})
