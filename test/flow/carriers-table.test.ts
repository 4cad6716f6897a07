/**
 * T6: one table of raw requests against both carriers, the one on Node's sockets and the one for
 * `Request` and `Response`: same status, and the server behind sees the same bytes.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from '../kit/gateway.ts'
import { raw, request, type Seen, startServer, type TestServer } from '../kit/http.ts'

const CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}'
const TYPE = 'Content-Type: application/json'

interface Side {
  readonly server: TestServer
  readonly house: TestGateway
  readonly tokens: Readonly<Record<'good' | 'expired' | 'foreign' | 'poor' | 'revoked', string>>
}

async function startSide(carrier: 'node' | 'fetch'): Promise<Side> {
  const server = await startServer()
  const house = await startGateway({
    carrier,
    connectors: [
      {
        name: 'c1',
        url: `${server.origin}/mcp`,
        routes: { protected: ['/api/*'], public: ['/health'] },
      },
      { name: 'c2', url: `${server.origin}/two` },
    ],
    limits: { requestBodyMaxBytes: 50_000, firstByteTimeoutMs: 2_000 },
  })
  const revoked = house.token({ user: 'eve' })
  house.revoked.add('grt_eve_cli_1_c1')
  const tokens = {
    good: house.token(),
    expired: house.token({ lifeSeconds: -5 }),
    foreign: house.token({ connector: 'c2' }),
    poor: house.token({ scope: 'x' }),
    revoked,
  }
  return { server, house, tokens }
}

const sides: Side[] = []
beforeAll(async () => {
  for (const carrier of ['node', 'fetch'] as const) sides.push(await startSide(carrier))
})
afterAll(async () => {
  for (const { server, house } of sides) {
    await house.close()
    await server.close()
  }
})

type Row = readonly [name: string, status: number | readonly number[], text: (side: Side) => string]

const host = ({ house }: Side) => house.host
const good = ({ tokens }: Side) => `Authorization: Bearer ${tokens.good}`
const post = (side: Side, more: string[] = [], body = CALL, target = '/mcp/c1') =>
  request('POST', target, [host(side), good(side), TYPE, ...more], body)
const withToken = (side: Side, token: string) =>
  request('POST', '/mcp/c1', [host(side), `Authorization: Bearer ${token}`, TYPE], CALL)

const TABLE: readonly Row[] = [
  ['a good call', 200, (side) => post(side)],
  ['a good call with a query', 200, (side) => post(side, [], CALL, '/mcp/c1?a=1&b=%20')],
  [
    'a chunked call',
    200,
    (side) => `${post(side, ['Transfer-Encoding: chunked'], '')}4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n`,
  ],
  ['an empty body', 200, (side) => post(side, [], '')],
  [
    'a modern call',
    200,
    (side) =>
      post(side, [
        'MCP-Protocol-Version: 2026-07-28',
        'Mcp-Method: tools/call',
        'Mcp-Name: add',
        'Mcp-Param-A: 1',
      ]),
  ],
  [
    'a call with everything that is stripped',
    200,
    (side) =>
      post(side, [
        'Cookie: a=b',
        'Forwarded: for=1',
        'X-Forwarded-For: 1',
        'X-Postern-User: eve',
        'x_postern_user: eve',
        'DPoP: x',
        'Proxy-Foo: x',
        'TE: trailers',
        'X-Kept: 1',
      ]),
  ],
  [
    'a header named by Connection',
    200,
    (side) => post(side, ['Connection: keep-alive, x-named', 'X-Named: 1']),
  ],
  [
    'a lower-case scheme',
    200,
    (side) =>
      request(
        'POST',
        '/mcp/c1',
        [host(side), `authorization: bearer ${side.tokens.good}`, TYPE],
        CALL,
      ),
  ],
  ['no token', 401, (side) => request('POST', '/mcp/c1', [host(side), TYPE], CALL)],
  [
    'Basic',
    401,
    (side) => request('POST', '/mcp/c1', [host(side), 'Authorization: Basic YTpi', TYPE], CALL),
  ],
  ['garbage', 401, (side) => withToken(side, 'garbage')],
  ['an expired token', 401, (side) => withToken(side, side.tokens.expired)],
  ['a token for another resource', 401, (side) => withToken(side, side.tokens.foreign)],
  ['a revoked token', 401, (side) => withToken(side, side.tokens.revoked)],
  ['a token without the scope', 403, (side) => withToken(side, side.tokens.poor)],
  [
    'a malformed header',
    400,
    (side) => request('POST', '/mcp/c1', [host(side), 'Authorization: Bearer a b', TYPE], CALL),
  ],
  ['two Authorization headers', 400, (side) => post(side, [good(side)])],
  ['two Content-Type headers', 400, (side) => post(side, [TYPE])],
  ['two Mcp-Name headers', 400, (side) => post(side, ['Mcp-Name: a', 'Mcp-Name: b'])],
  ['two Mcp-Method headers', 400, (side) => post(side, ['Mcp-Method: a', 'Mcp-Method: b'])],
  [
    'two revisions',
    400,
    (side) => post(side, ['MCP-Protocol-Version: 2025-06-18', 'MCP-Protocol-Version: 2026-07-28']),
  ],
  [
    'Connection names a decided header',
    400,
    (side) => post(side, ['Connection: mcp-name', 'Mcp-Name: a']),
  ],
  ['a token in the query as well', 400, (side) => post(side, [], CALL, '/mcp/c1?access_token=x')],
  [
    'a form body',
    400,
    (side) =>
      request(
        'POST',
        '/mcp/c1',
        [host(side), good(side), 'Content-Type: application/x-www-form-urlencoded'],
        'access_token=x',
      ),
  ],
  [
    'a coded transfer',
    400,
    (side) => `${post(side, ['Transfer-Encoding: gzip, chunked'], '')}0\r\n\r\n`,
  ],
  ['a foreign origin', 403, (side) => post(side, ['Origin: https://evil.example'])],
  ['our origin', 200, (side) => post(side, ['Origin: https://auth.example.com'])],
  [
    'a preflight',
    204,
    (side) =>
      request('OPTIONS', '/mcp/c1', [
        host(side),
        'Origin: https://auth.example.com',
        'Access-Control-Request-Method: POST',
      ]),
  ],
  [
    'a foreign host',
    421,
    (side) => request('POST', '/mcp/c1', ['Host: evil.example', good(side), TYPE], CALL),
  ],
  ['dots', 404, (side) => post(side, [], CALL, '/mcp/c1/../admin')],
  ['escaped dots', 404, (side) => post(side, [], CALL, '/mcp/c1/%2e%2e/admin')],
  ['a suffix', 404, (side) => post(side, [], CALL, '/mcp/c1/x')],
  ['an escaped slash in a route', 404, (side) => post(side, [], CALL, '/api/a%2fb')],
  ['doubled slashes in a route', 404, (side) => post(side, [], CALL, '/api//b')],
  ['an unknown connector', 404, (side) => post(side, [], CALL, '/mcp/none')],
  ['absolute form', [400, 404, 421], (side) => post(side, [], CALL, 'http://evil.example/mcp/c1')],
  ['GET', 200, (side) => request('GET', '/mcp/c1', [host(side), good(side)])],
  ['DELETE', 200, (side) => request('DELETE', '/mcp/c1', [host(side), good(side)])],
  ['GET with a body', 400, (side) => request('GET', '/mcp/c1', [host(side), good(side)], '{}')],
  ['PUT', 405, (side) => request('PUT', '/mcp/c1', [host(side), good(side), TYPE], '{}')],
  [
    'a protected route',
    200,
    (side) => request('PUT', '/api/x?y=1', [host(side), good(side), TYPE], '{}'),
  ],
  ['a protected route without a token', 401, (side) => request('GET', '/api/x', [host(side)])],
  [
    'a public route',
    200,
    (side) => request('GET', '/health', [host(side), good(side), 'Cookie: a=b']),
  ],
  ['a body over the limit', 413, (side) => post(side, [], `"${'x'.repeat(60_000)}"`)],
  [
    'a chunked body over the limit',
    413,
    (side) =>
      `${post(side, ['Transfer-Encoding: chunked'], '')}${(60_000).toString(16)}\r\n${'x'.repeat(60_000)}\r\n0\r\n\r\n`,
  ],
  ['a session that is not ours', 404, (side) => post(side, ['Mcp-Session-Id: up-1'])],
  [
    'the same in a modern call',
    200,
    (side) => post(side, ['Mcp-Session-Id: up-1', 'MCP-Protocol-Version: 2026-07-28']),
  ],
]

describe('T6: both carriers', () => {
  it.each(TABLE)('%s: %j', async (_name, status, text) => {
    const results = []
    for (const side of sides) {
      const before = side.server.seen.length
      const answer = await raw(side.house.port, text(side))
      expect([status].flat()).toContain(answer.status)
      results.push({
        challenge: answer.headers['www-authenticate'],
        seen: side.server.seen.slice(before).map(essence),
      })
    }
    expect(results[1]).toEqual(results[0])
  })
})

/** What the server saw, without what each client library adds about itself. */
function essence({ method, url, rawHeaders, body }: Seen) {
  const headers: string[] = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase()
    if (OF_THE_LIBRARY.has(name)) continue
    headers.push(`${name}: ${rawHeaders[index + 1]}`)
  }
  return { method, url, headers: headers.sort(), body }
}
const OF_THE_LIBRARY = new Set([
  'host',
  'connection',
  'accept',
  'accept-language',
  'sec-fetch-mode',
  'user-agent',
  'accept-encoding',
  'content-length',
  'transfer-encoding',
])
