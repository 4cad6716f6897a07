/** Calls through the gateway on real sockets: who gets in, and what the server behind sees. */
import { afterEach, describe, expect, it } from 'vitest'
import { Secret } from '../../src/secret.ts'
import { type GatewayOptions, startGateway, type TestGateway } from '../kit/gateway.ts'
import { raw, request, startServer, type TestServer, until } from '../kit/http.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

type Partly = Partial<GatewayOptions['connectors'][number]>

async function start(
  connector: Partly = {},
  options: Partial<GatewayOptions> = {},
): Promise<{ server: TestServer; house: TestGateway }> {
  const server = await startServer()
  const house = await startGateway({
    connectors: [
      { name: 'notes', url: `${server.origin}/mcp`, ...connector },
      { name: 'other', url: `${server.origin}/other` },
    ],
    ...options,
  })
  closing.push(
    () => server.close(),
    () => house.close(),
  )
  return { server, house }
}

const CALL = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add","arguments":{}}}'
const JSON_TYPE = 'Content-Type: application/json'

function call(house: TestGateway, token: string | undefined, more: string[] = [], body = CALL) {
  const authorization = token === undefined ? [] : [`Authorization: Bearer ${token}`]
  return raw(
    house.port,
    request('POST', '/mcp/notes', [house.host, ...authorization, JSON_TYPE, ...more], body),
  )
}

function decodeJwt(token: string): {
  header: Record<string, unknown>
  claims: Record<string, unknown>
} {
  const [header, claims] = token
    .split('.')
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()))
  return { header, claims }
}

describe('a call with a good token', () => {
  it('reaches the server with its body, and the answer comes back', async () => {
    const { server, house } = await start()
    const answer = await call(house, house.token())
    expect(answer.status).toBe(200)
    expect(answer.body).toBe('{"jsonrpc":"2.0","id":1,"result":{}}')
    expect(server.seen).toMatchObject([{ method: 'POST', url: '/mcp', body: CALL }])
  })

  it("PR-15, GW-22: carries neither the client's token nor its cookies, proxies or our namespace", async () => {
    const { server, house } = await start()
    const token = house.token()
    await call(house, token, [
      'Cookie: a=b',
      'DPoP: x',
      'Proxy-Authorization: Basic x',
      'Forwarded: for=1.2.3.4',
      'X-Forwarded-For: 1.2.3.4',
      'X-Forwarded-Host: evil',
      'X-Real-IP: 1.2.3.4',
      'Connection: keep-alive, x-named',
      'X-Named: 1',
      'TE: trailers',
      'X-Postern-User: eve',
      'x_postern_user: eve',
      'X_POSTERN-user: eve',
      'X_Forwarded_For: 1',
      'Mcp_Session_Id: x',
      'Keep-Alive: timeout=5',
      'X-Kept: yes',
    ])
    const names = server.seen[0]?.rawHeaders.filter((_, index) => index % 2 === 0) ?? []
    expect(names.map((name) => name.toLowerCase()).sort()).toEqual([
      'accept-encoding',
      'connection',
      'content-length',
      'content-type',
      'host',
      'x-kept',
    ])
    expect(JSON.stringify(server.seen)).not.toContain(token)
  })

  it('PR-13: the scheme has any letter case', async () => {
    const { house } = await start()
    for (const scheme of ['bearer', 'BEARER', 'bEaReR', 'Bearer']) {
      const head = [house.host, `Authorization: ${scheme} ${house.token()}`, JSON_TYPE]
      expect((await raw(house.port, request('POST', '/mcp/notes', head, CALL))).status).toBe(200)
    }
  })

  it('VAL-02: a thousand calls read the store once and ask nobody', async () => {
    const { house } = await start()
    const token = house.token()
    for (let turn = 0; turn < 100; turn += 1) {
      expect((await call(house, token)).status).toBe(200)
    }
    expect(house.storeReads).toBe(4)
    expect(house.emit.counted('postern_hot_path_waits_total')).toBe(1)
  })

  it('GW-31: leaves exactly one record per call, with no secret in it', async () => {
    const { house } = await start()
    const token = house.token()
    await call(house, token, ['X-Secret: hush'])
    await call(house, 'bad')
    await until(() => house.emit.eventsOf('call.forwarded').length === 1)
    expect(house.emit.eventsOf('call.forwarded')).toMatchObject([
      {
        tenant: 'default',
        userId: 'usr_ada',
        clientId: 'cli_1',
        connector: 'notes',
        method: 'tools/call',
        name: 'add',
        status: 200,
        httpMethod: 'POST',
      },
    ])
    expect(house.emit.eventsOf('call.refused')).toMatchObject([
      { reason: 'token_shape', status: 401 },
    ])
    expect(house.emit.dump()).not.toContain(token)
    expect(house.emit.dump()).not.toContain('hush')
  })

  it('O12: passes a query to the server and keeps the one of its own URL', async () => {
    const { server, house } = await start({ url: 'http://x' })
    const second = await startGateway({
      connectors: [{ name: 'notes', url: `${server.origin}/mcp?team=1` }],
    })
    closing.push(() => second.close())
    const head = [second.host, `Authorization: Bearer ${second.token()}`, JSON_TYPE]
    await raw(second.port, request('POST', '/mcp/notes?a=1', head, CALL))
    expect(server.seen[0]?.url).toBe('/mcp?team=1&a=1')
    // O12: nor does it say otherwise what that one says, in any spelling that some server reads alike.
    for (const again of [
      'team=2',
      'TEAM=2',
      'te%61m',
      'team[]=2',
      'team%5B0%5D=2',
      '%20team=2',
      ';team=2',
    ]) {
      await raw(second.port, request('POST', `/mcp/notes?b=1&${again}&c=1`, head, CALL))
      expect([again, server.seen.at(-1)?.url]).toEqual([again, '/mcp?team=1&b=1&c=1'])
    }
    expect(house.port).toBeGreaterThan(0)
  })
})

describe('a call without a usable token', () => {
  it('PR-07, PR-08: none at all is challenged without error', async () => {
    const { server, house } = await start()
    const answer = await call(house, undefined)
    expect(answer.status).toBe(401)
    expect(answer.headers['www-authenticate']).toBe(
      'Bearer resource_metadata="https://auth.example.com/.well-known/oauth-protected-resource/mcp/notes", scope="mcp"',
    )
    expect(server.seen).toEqual([])
  })

  it('PR-08, PR-09: a bad one is invalid_token', async () => {
    const { house } = await start()
    const answer = await call(house, `${house.token().slice(0, -8)}AAAAAAAA`)
    expect(answer.status).toBe(401)
    expect(answer.headers['www-authenticate']).toContain('error="invalid_token"')
  })

  it.each([
    ['Bearer', 400],
    ['Bearer a b', 400],
    ['Bearer a, Bearer b', 400],
    ['Basic YTpi', 401],
    ['', 401],
  ])('PR-12: Authorization: %s', async (value, status) => {
    const { server, house } = await start()
    const head = [house.host, `Authorization: ${value}`, JSON_TYPE]
    expect((await raw(house.port, request('POST', '/mcp/notes', head, CALL))).status).toBe(status)
    expect(server.seen).toEqual([])
  })

  it('PR-12: two tokens, or one in header and body or query', async () => {
    const { server, house } = await start()
    const token = house.token()
    expect((await call(house, token, [`Authorization: Bearer ${token}`])).status).toBe(400)
    const form = [
      house.host,
      `Authorization: Bearer ${token}`,
      'Content-Type: application/x-www-form-urlencoded',
    ]
    expect(
      (await raw(house.port, request('POST', '/mcp/notes', form, `access_token=${token}`))).status,
    ).toBe(400)
    for (const query of [
      `access_token=${token}`,
      `a=1&access%5Ftoken=${token}`,
      '%61ccess_token=x',
    ]) {
      const head = [house.host, `Authorization: Bearer ${token}`, JSON_TYPE]
      expect(
        (await raw(house.port, request('POST', `/mcp/notes?${query}`, head, CALL))).status,
      ).toBe(400)
    }
    expect(server.seen).toEqual([])
  })

  it('SEC-03: a token in the query alone counts for nothing', async () => {
    const { server, house } = await start()
    const target = `/mcp/notes?access_token=${house.token()}`
    const answer = await raw(house.port, request('POST', target, [house.host, JSON_TYPE], CALL))
    expect(answer.status).toBe(401)
    expect(answer.headers['www-authenticate']).not.toContain('error')
    expect(server.seen).toEqual([])
  })

  it('PR-09, PR-15, VAL-07: a token for another resource is refused, also when remembered', async () => {
    const { server, house } = await start()
    const token = house.token({ connector: 'other' })
    const head = [house.host, `Authorization: Bearer ${token}`, JSON_TYPE]
    expect((await raw(house.port, request('POST', '/mcp/other', head, CALL))).status).toBe(200)
    expect((await call(house, token)).status).toBe(401)
    expect(server.seen).toHaveLength(1)
  })

  it('PR-10: a token without the scope is told which scopes it needs', async () => {
    const { server, house } = await start()
    const answer = await call(house, house.token({ scope: 'extra' }))
    expect(answer.status).toBe(403)
    expect(answer.headers['www-authenticate']).toContain('error="insufficient_scope"')
    expect(answer.headers['www-authenticate']).toContain('scope="extra mcp"')
    expect(answer.headers['www-authenticate']).toContain('resource_metadata=')
    expect(server.seen).toEqual([])
  })

  it('VAL-06, VAL-07: two tokens of one user with different scopes do not mix', async () => {
    const { house } = await start()
    const good = house.token()
    const poor = house.token({ scope: 'extra' })
    expect((await call(house, good)).status).toBe(200)
    expect((await call(house, poor)).status).toBe(403)
    expect((await call(house, good)).status).toBe(200)
  })

  it('VAL-04: a remembered token is refused once it expires', async () => {
    const { house } = await start()
    const token = house.token({ lifeSeconds: 2 })
    expect((await call(house, token)).status).toBe(200)
    house.advanceMs(2_000)
    expect((await call(house, token)).status).toBe(401)
  })

  it('PR-09: a revoked grant, a dead sign-in and an ended grant are refused', async () => {
    const { server, house } = await start()
    const token = house.token()
    expect((await call(house, token)).status).toBe(200)
    house.revoked.add('grt_ada_cli_1_notes')
    expect((await call(house, token)).status).toBe(401)
    house.revoked.clear()
    house.proof = 'dead'
    expect((await call(house, token)).status).toBe(401)
    house.proof = 'fresh'
    const gone = house.token({ user: 'bob' })
    house.grants.clear()
    expect((await call(house, gone)).status).toBe(401)
    expect(server.seen).toHaveLength(1)
  })

  it('PR-16: a broken store, an old revocation view and a suspect proof answer 503', async () => {
    const { server, house } = await start()
    house.storeFails = true
    const cold = await call(house, house.token())
    expect(cold.status).toBe(503)
    expect(cold.headers['retry-after']).toBeDefined()
    house.storeFails = false
    const token = house.token({ user: 'bob' })
    expect((await call(house, token)).status).toBe(200)
    house.viewTooOld = true
    expect((await call(house, token)).status).toBe(503)
    house.viewTooOld = false
    house.proof = 'suspect'
    expect((await call(house, token)).status).toBe(503)
    expect(server.seen).toHaveLength(1)
  })

  it('VAL-03: a cold proof is resolved first, a stale one behind', async () => {
    const { house } = await start()
    const token = house.token()
    house.proof = 'cold'
    house.onResolve = () => {
      house.proof = 'fresh'
    }
    expect((await call(house, token)).status).toBe(200)
    expect(house.proofCalls.resolved).toEqual(['vlt_ada'])
    expect(house.emit.counted('postern_hot_path_waits_total', { reason: 'proof' })).toBe(1)
    house.proof = 'stale'
    expect((await call(house, token)).status).toBe(200)
    expect(house.proofCalls.renewed).toEqual(['vlt_ada'])
    house.proof = 'cold'
    house.onResolve = () => {}
    expect((await call(house, token)).status).toBe(503)
  })

  it('GW-12, PR-14: a session id is never authentication', async () => {
    const { server, house } = await start()
    server.respond((_request, response) => {
      response.writeHead(200, { 'mcp-session-id': 'up-1', 'content-length': 2 }).end('{}')
    })
    const id = (await call(house, house.token())).headers['mcp-session-id'] ?? ''
    expect(id).not.toBe('')
    expect((await call(house, undefined, [`Mcp-Session-Id: ${id}`])).status).toBe(401)
    expect(server.seen).toHaveLength(1)
  })
})

describe('what the server behind gets', () => {
  it('identity: a JWT of ours whose audience is the URL that is called', async () => {
    const { server, house } = await start({ auth: 'identity', claims: ['name', 'email', 'login'] })
    await call(house, house.token())
    const value = server.seen[0]?.headers.authorization ?? ''
    const { header, claims } = decodeJwt(value.slice('Bearer '.length))
    expect(header).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: 'key-1' })
    expect(claims).toMatchObject({
      iss: house.issuer,
      aud: `${server.origin}/mcp`,
      sub: 'usr_ada',
      client_id: 'cli_1',
      scope: 'mcp',
      act: { sub: house.issuer },
      name: 'ada',
      email: 'ada@example.com',
      login: 'ada',
    })
    expect(Number(claims.exp) - Number(claims.iat)).toBe(300)
    await call(house, house.token({ lifeSeconds: 60 }))
    const short = decodeJwt((server.seen[1]?.headers.authorization ?? '').slice(7)).claims
    expect(Number(short.exp) - Number(short.iat)).toBeLessThanOrEqual(60)
    const key = house.runtime.importVerifyKey(house.publicJwk)
    const [head, payload, signature] = value.slice(7).split('.')
    expect(house.runtime.verify(key, `${head}.${payload}`, signature ?? '')).toBe(true)
  })

  it("identity: one JWT per caller's token, the provider's subject where the file says so", async () => {
    const { server, house } = await start({ auth: 'identity', subject: 'provider' })
    const token = house.token()
    await call(house, token)
    await call(house, token)
    await call(house, house.token({ user: 'bob' }))
    const [first, second, third] = server.seen.map(({ headers }) => headers.authorization)
    expect(first).toBe(second)
    expect(third).not.toBe(first)
    expect(decodeJwt((first ?? '').slice(7)).claims.sub).toBe('sub-ada')
  })

  it("header: the secret, and never a client's header of that name beside it", async () => {
    const { server, house } = await start({
      auth: 'header',
      header: { name: 'x-api-key', value: new Secret('s3cret') },
    })
    await call(house, house.token(), ['X-Api-Key: forged', 'x_api_key: forged'])
    expect(server.seen[0]?.rawHeaders.join(' ')).not.toContain('forged')
    expect(server.seen[0]?.headers['x-api-key']).toBe('s3cret')
  })

  it('allow: people who are not named get 403, whatever their token says', async () => {
    const { server, house } = await start({ allow: { users: ['github:sub-ada'] } })
    expect((await call(house, house.token())).status).toBe(200)
    expect((await call(house, house.token({ user: 'bob' }))).status).toBe(403)
    expect(server.seen).toHaveLength(1)
  })

  it('routes: protected ones need the same token, public ones none, others do not exist', async () => {
    const { server, house } = await start({
      routes: { protected: ['/api/*', '/api/admin/*'], public: ['/health', '/api/open/*'] },
    })
    const authorization = `Authorization: Bearer ${house.token()}`
    const get = (path: string, more: string[] = []) =>
      raw(house.port, request('GET', path, [house.host, ...more]))
    expect((await get('/health')).status).toBe(200)
    expect((await get('/api/open/x')).status).toBe(200)
    expect((await get('/api/users')).status).toBe(401)
    expect((await get('/api/users?x=1', [authorization])).status).toBe(200)
    expect((await get('/elsewhere', [authorization])).status).toBe(404)
    expect(server.seen.map(({ url }) => url)).toEqual(['/health', '/api/open/x', '/api/users?x=1'])
    expect(server.seen.some(({ headers }) => 'authorization' in headers)).toBe(false)
  })

  it('GW-24: an upstream 401 becomes 502 with the id, and its challenge is not relayed', async () => {
    const { server, house } = await start({ auth: 'identity' })
    server.respond((_request, response) => {
      response
        .writeHead(401, { 'www-authenticate': 'Bearer resource_metadata="https://evil"' })
        .end('no')
    })
    const answer = await call(house, house.token())
    expect(answer.status).toBe(502)
    expect(answer.headers['www-authenticate']).toBeUndefined()
    expect(JSON.parse(answer.body)).toMatchObject({
      id: 7,
      error: { data: { reason: 'upstream_unauthorized' } },
    })
    expect(answer.text).not.toContain('evil')
    server.respond((_request, response) => {
      response.writeHead(403, {
        'www-authenticate': 'Bearer error="insufficient_scope"',
        'set-cookie': 'a=b',
      })
      response.end('no')
    })
    const forbidden = await call(house, house.token())
    expect(forbidden.status).toBe(403)
    expect(forbidden.headers['www-authenticate']).toBeUndefined()
    expect(forbidden.headers['set-cookie']).toBeUndefined()
  })

  it('GW-27: Retry-After of 429 and 503 is passed on', async () => {
    const { server, house } = await start()
    for (const status of [429, 503]) {
      server.respond((_request, response) => {
        response.writeHead(status, { 'retry-after': '17', 'content-length': 0 }).end()
      })
      const answer = await call(house, house.token())
      expect([answer.status, answer.headers['retry-after']]).toEqual([status, '17'])
    }
  })

  it('ERR_CONNECTOR_UNREACHABLE: nothing listens: 502 as JSON-RPC, with the id', async () => {
    const { server, house } = await start()
    await server.close()
    const answer = await call(house, house.token())
    expect(answer.status).toBe(502)
    expect(JSON.parse(answer.body)).toMatchObject({ jsonrpc: '2.0', id: 7 })
  })
})
