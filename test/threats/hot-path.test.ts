/** The traps of the hot path (hot-path.md section 9), each on real sockets: requests and bodies. */
import { afterEach, describe, expect, it } from 'vitest'
import { type GatewayOptions, startGateway, type TestGateway } from '../kit/gateway.ts'
import { dial, raw, request, startServer, type TestServer, until } from '../kit/http.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function start(
  options: Partial<GatewayOptions> = {},
): Promise<{ server: TestServer; house: TestGateway; authorization: string }> {
  const server = await startServer()
  const house = await startGateway({
    connectors: [{ name: 'c1', url: `${server.origin}/mcp` }],
    ...options,
  })
  closing.push(
    () => server.close(),
    () => house.close(),
  )
  return { server, house, authorization: `Authorization: Bearer ${house.token()}` }
}

const CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}'
const JSON_TYPE = 'Content-Type: application/json'
const post = (house: TestGateway, lines: string[], body = CALL) =>
  request('POST', '/mcp/c1', [house.host, JSON_TYPE, ...lines], body)

describe('hot path: requests', () => {
  it("T1, G4: a path suffix never leaves the resource with the user's token", async () => {
    const { server, house, authorization } = await start({
      connectors: [
        {
          name: 'c1',
          url: 'http://127.0.0.1:1/mcp',
          routes: { protected: ['/api/*'], public: [] },
        },
      ],
    })
    const targets = [
      '/mcp/c1/../admin',
      '/mcp/c1/%2e%2e/admin',
      '/mcp/c1/%2E%2E/admin',
      '/mcp/c1/..%2fadmin',
      '/mcp/c1/.',
      '/mcp/c1//',
      '/mcp/c1/',
      '//mcp/c1',
      '/mcp//c1',
      '/mcp/./c1',
      '/MCP/c1',
      '/mcp/C1',
      '/mcp/c1;x=1',
      '/mcp/c1%00',
      '/mcp/c1%3f',
      '/mcp/c1\\..\\admin',
      '/mcp/%63%31',
      '/mcp/c1%2f',
      '/api/../admin',
      '/api/%2e%2e/admin',
      '/api/..%2f..%2fadmin',
      '/api/x//y',
      '/api/x/./y',
      '/api/x%5cy',
      '/api/x%252e',
      '/api/x;y',
      '/api/x\\y',
      '/api/%zz',
      '/api/%0d%0aHost:x',
      '/api/x/..',
    ]
    for (const target of targets) {
      const answer = await raw(
        house.port,
        request('POST', target, [house.host, authorization], CALL),
      )
      expect([target, answer.status]).toEqual([
        target,
        expect.toSatisfy((s) => s === 400 || s === 404),
      ])
    }
    expect(server.seen).toEqual([])
  })

  it('T3: no token and Expect: the first line is 401, not 100', async () => {
    const { server, house, authorization } = await start()
    const head = [house.host, JSON_TYPE, 'Expect: 100-continue', 'Content-Length: 9']
    const refused = dial(house.port, ['POST /mcp/c1 HTTP/1.1', ...head, '', ''].join('\r\n'))
    await until(() => refused.text !== '')
    expect(refused.text.split('\r\n')[0]).toBe('HTTP/1.1 401 Unauthorized')
    refused.socket.destroy()
    const good = dial(
      house.port,
      ['POST /mcp/c1 HTTP/1.1', ...head, authorization, '', ''].join('\r\n'),
    )
    await until(() => good.text.includes('\r\n\r\n'))
    expect(good.text).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    good.send('{"id": 1}')
    await until(() => good.text.includes('HTTP/1.1 200'))
    good.socket.destroy()
    expect(server.seen).toMatchObject([{ body: '{"id": 1}' }])
  })

  it('T4: 500 pipelined requests on one socket do not run at once', async () => {
    const { server, house, authorization } = await start()
    server.respond(() => {})
    const flood = dial(house.port, post(house, [authorization]).repeat(500))
    await until(() => flood.closed, 'close')
    expect(server.runningPeak).toBeLessThanOrEqual(4)
    await until(() => server.running === 0, 'upstream closed')
  })

  it('T4: a modest pipeline is answered, in order', async () => {
    const { server, house, authorization } = await start()
    server.respond((_request, response, { body }) => {
      const { id } = JSON.parse(body)
      setTimeout(() => response.end(`{"answer":${id}}`), id % 2 === 0 ? 0 : 3)
    })
    const ids = Array.from({ length: 20 }, (_, index) => index)
    const requests = ids.map((id) => post(house, [authorization], `{"id":${id}}`)).join('')
    const line = dial(house.port, requests)
    await until(() => line.text.includes('{"answer":19}'))
    line.socket.destroy()
    const answers = [...line.text.matchAll(/\{"answer":(\d+)\}/g)].map(([, id]) => Number(id))
    expect(answers).toEqual(ids)
    expect(server.runningPeak).toBeLessThanOrEqual(4)
  })

  it('T7: a transfer coding other than chunked is refused', async () => {
    const { server, house, authorization } = await start()
    for (const coding of ['gzip, chunked', 'Chunked, chunked', 'identity, chunked', 'x']) {
      const head = [house.host, authorization, JSON_TYPE, `Transfer-Encoding: ${coding}`]
      const text = `POST /mcp/c1 HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n2\r\n{}\r\n0\r\n\r\n`
      // 0: Node's parser closed the connection by itself.
      expect([0, 400], coding).toContain((await raw(house.port, text)).status)
    }
    expect(server.seen).toEqual([])
  })

  it.each([
    [['Connection: mcp-name', 'Mcp-Name: add']],
    [['Connection: keep-alive, Mcp-Method', 'Mcp-Method: tools/call']],
    [['Connection: authorization']],
    [['Connection: host']],
    [['Connection: content-type']],
    [['Mcp-Name: a', 'Mcp-Name: b']],
    [['Mcp-Method: a', 'mcp-method: a']],
    [['Mcp-Session-Id: a', 'Mcp-Session-Id: a']],
    [['MCP-Protocol-Version: 2025-06-18', 'MCP-Protocol-Version: 2026-07-28']],
    [['Content-Type: text/plain']],
    [['Host: auth.example.com']],
    [['Origin: https://auth.example.com', 'Origin: https://auth.example.com']],
  ])('T9, G2: %j is refused', async (lines) => {
    const { server, house, authorization } = await start()
    expect((await raw(house.port, post(house, [authorization, ...lines]))).status).toBe(400)
    expect(server.seen).toEqual([])
  })

  it('T15: ids are copied byte for byte, an unclear one is null', async () => {
    const { server, house, authorization } = await start()
    server.respond((request) => request.socket.destroy())
    const cases: [string, string][] = [
      [
        '{"jsonrpc":"2.0","id":12345678901234567890123,"method":"tools/call"}',
        '12345678901234567890123',
      ],
      ['{"id":"a\\u00e9\\"b","method":"x"}', '"a\\u00e9\\"b"'],
      ['{"method":"x","params":{"id":5},"id":  6  }', '6'],
      ['{"id":1,"method":"x","id":2}', 'null'],
      ['{"id":{"a":1},"method":"x"}', 'null'],
      ['{"method":"notifications/x"}', 'null'],
      ['[{"id":1}]', 'null'],
      ['{"id":1e5,"method":"x"}', '1e5'],
      ['{"\\u0069d":9,"method":"x"}', '9'],
      ['not json', 'null'],
    ]
    for (const [body, id] of cases) {
      const answer = await raw(house.port, post(house, [authorization], body))
      expect([body, answer.status]).toEqual([body, 502])
      expect(answer.body.startsWith(`{"jsonrpc":"2.0","id":${id},"error"`), answer.body).toBe(true)
      expect(() => JSON.parse(answer.body)).not.toThrow()
    }
  })

  it('T18: an early answer stops the upload', async () => {
    const { server, house } = await start()
    let read = (): number => 0
    house.server.once('connection', (socket) => {
      read = () => socket.bytesRead
    })
    const head = [house.host, JSON_TYPE, `Content-Length: ${3 * 1024 * 1024}`]
    const upload = dial(house.port, `POST /mcp/c1 HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n`)
    const chunk = 'x'.repeat(65_536)
    for (let sent = 0; sent < 48; sent += 1) upload.send(chunk)
    await until(() => upload.closed, 'close')
    expect(upload.text).toContain('HTTP/1.1 401')
    expect(read()).toBeLessThanOrEqual(256 * 1024)
    expect(server.seen).toEqual([])
  })

  it('GW-27: a body over the limit is 413, declared or streamed', async () => {
    const { server, house, authorization } = await start({
      limits: { requestBodyMaxBytes: 100_000 },
    })
    const declared = await raw(house.port, post(house, [authorization, 'Content-Length: 100001']))
    expect(declared.status).toBe(413)
    const head = [house.host, authorization, JSON_TYPE, 'Transfer-Encoding: chunked']
    const text = `POST /mcp/c1 HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n1e848\r\n${'x'.repeat(0x1e848)}\r\n0\r\n\r\n`
    expect((await raw(house.port, text)).status).toBe(413)
    expect(server.seen.every(({ bodyBytes }) => bodyBytes <= 100_000)).toBe(true)
  })

  it('GW-27: large and chunked bodies arrive whole, as a stream', async () => {
    const { server, house, authorization } = await start()
    const large = `{"id":1,"method":"tools/call","x":"${'y'.repeat(1_000_000)}"}`
    expect((await raw(house.port, post(house, [authorization], large))).status).toBe(200)
    const head = [house.host, authorization, JSON_TYPE, 'Transfer-Encoding: chunked']
    const chunks = [CALL, 'z'.repeat(200_000)]
      .map((part) => `${part.length.toString(16)}\r\n${part}\r\n`)
      .join('')
    const text = `POST /mcp/c1 HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n${chunks}0\r\n\r\n`
    expect((await raw(house.port, text)).status).toBe(200)
    expect(server.seen.map(({ body }) => body.length)).toEqual([
      large.length,
      CALL.length + 200_000,
    ])
  })
})

describe('hot path: framing and verbs', () => {
  it.each([
    [
      'both lengths',
      'POST /mcp/c1 HTTP/1.1\r\n@\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'two lengths',
      'POST /mcp/c1 HTTP/1.1\r\n@\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}',
    ],
    [
      'different lengths',
      'POST /mcp/c1 HTTP/1.1\r\n@\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
    ],
    ['signed length', 'POST /mcp/c1 HTTP/1.1\r\n@\r\nContent-Length: +2\r\n\r\n{}'],
    ['hex length', 'POST /mcp/c1 HTTP/1.1\r\n@\r\nContent-Length: 0x2\r\n\r\n{}'],
    ['xchunked', 'POST /mcp/c1 HTTP/1.1\r\n@\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
    [
      'chunk size not hex',
      'POST /mcp/c1 HTTP/1.1\r\n@\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n',
    ],
    ['folded header', 'POST /mcp/c1 HTTP/1.1\r\n@\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}'],
    [
      'folded token',
      'POST /mcp/c1 HTTP/1.1\r\nHost: auth.example.com\r\nAuthorization: Bearer\r\n x\r\nContent-Length: 2\r\n\r\n{}',
    ],
    ['space before colon', 'POST /mcp/c1 HTTP/1.1\r\n@\r\nContent-Length : 2\r\n\r\n{}'],
    ['bare line feeds', 'POST /mcp/c1 HTTP/1.1\n@\n\n'],
    ['NUL in a value', 'POST /mcp/c1 HTTP/1.1\r\n@\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\n{}'],
    ['no host', 'POST /mcp/c1 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}'],
    ['bytes in the path', 'POST /mcp/c1\xff HTTP/1.1\r\n@\r\nContent-Length: 2\r\n\r\n{}'],
    [
      'long headers',
      `POST /mcp/c1 HTTP/1.1\r\n@\r\nX-A: ${'a'.repeat(20_000)}\r\nContent-Length: 2\r\n\r\n{}`,
    ],
    ['unknown version', 'POST /mcp/c1 HTTP/3.7\r\n@\r\nContent-Length: 2\r\n\r\n{}'],
    [
      'unknown expectation',
      'POST /mcp/c1 HTTP/1.1\r\n@\r\nExpect: 200-maybe\r\nContent-Length: 2\r\n\r\n{}',
    ],
  ])('G5, B13: %s is closed and never forwarded', async (_name, text) => {
    const { server, house, authorization } = await start()
    const sent = text.replace('@', `${house.host}\r\n${authorization}`)
    const answer = await raw(house.port, Buffer.from(sent, 'latin1'))
    expect([0, 400, 417, 431]).toContain(answer.status)
    expect(server.seen).toEqual([])
  })

  it.each([
    ['HEAD', 405],
    ['PUT', 405],
    ['PATCH', 405],
    ['TRACE', 405],
    ['OPTIONS', 405],
    ['PROPFIND', 405],
    ['QUERY', 405],
    ['CONNECT', 0],
    ['BREW', 0],
    ['post', 0],
  ])('G10: %s on the endpoint', async (method, status) => {
    const { server, house, authorization } = await start()
    const answer = await raw(house.port, request(method, '/mcp/c1', [house.host, authorization]))
    expect([status, 400]).toContain(answer.status)
    expect(server.seen).toEqual([])
  })

  it('G10: method override, WebSocket and bodies where none belong', async () => {
    const { server, house, authorization } = await start()
    const upgrade = [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Key: x',
      'Sec-WebSocket-Version: 13',
    ]
    const socket = await raw(
      house.port,
      request('GET', '/mcp/c1', [house.host, authorization, ...upgrade]),
    )
    expect(socket.status).toBe(400)
    for (const method of ['GET', 'DELETE']) {
      expect(
        (await raw(house.port, request(method, '/mcp/c1', [house.host, authorization], '{}')))
          .status,
      ).toBe(400)
    }
    expect(server.seen).toEqual([])
    await raw(
      house.port,
      post(house, [authorization, 'X-HTTP-Method-Override: DELETE', 'X-Original-URL: /admin']),
    )
    const h2c = ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAAA']
    expect((await raw(house.port, post(house, [authorization, ...h2c]))).status).toBe(200)
    const names = server.seen.flatMap(({ rawHeaders }) =>
      rawHeaders.map((name) => name.toLowerCase()),
    )
    for (const name of ['x-http-method-override', 'x-original-url', 'upgrade', 'http2-settings']) {
      expect(names).not.toContain(name)
    }
  })

  it.each([
    ['Host: evil.example', undefined, 421],
    ['Host: auth.example.com.evil.example', undefined, 421],
    ['Host: auth.example.com:8443', undefined, 421],
    ['Host: AUTH.example.com:443', undefined, 200],
    ['Host: 127.0.0.1', undefined, 421],
    ['Host: auth.example.com', 'https://auth.example.com', 200],
    ['Host: auth.example.com', 'http://auth.example.com', 403],
    ['Host: auth.example.com', 'https://evil.example', 403],
    ['Host: auth.example.com', 'null', 403],
    ['Host: auth.example.com', 'http://localhost:3000', 403],
  ])('GW-11, G8: %s from %s', async (host, origin, status) => {
    const { server, house, authorization } = await start()
    const lines = [
      host,
      authorization,
      JSON_TYPE,
      ...(origin === undefined ? [] : [`Origin: ${origin}`]),
    ]
    const answer = await raw(house.port, request('POST', '/mcp/c1', lines, CALL))
    expect(answer.status).toBe(status)
    expect(server.seen).toHaveLength(status === 200 ? 1 : 0)
    expect(answer.headers['access-control-allow-origin']).toBe(status === 200 ? origin : undefined)
  })

  it('GW-11: with a loopback issuer every loopback name is ours, and no other', async () => {
    const { house } = await start({ issuer: 'http://127.0.0.1:8414', development: true })
    const authorization = `Authorization: Bearer ${house.token()}`
    const ask = async (host: string, origin: string) =>
      (
        await raw(
          house.port,
          request('POST', '/mcp/c1', [host, authorization, JSON_TYPE, `Origin: ${origin}`], CALL),
        )
      ).status
    expect(await ask('Host: localhost:8414', 'http://localhost:6274')).toBe(200)
    expect(await ask('Host: [::1]:8414', 'http://[::1]:1')).toBe(200)
    expect(await ask('Host: localhost.evil.example', 'http://localhost')).toBe(421)
    expect(await ask('Host: localhost', 'http://localhost.evil.example')).toBe(403)
    expect(await ask('Host: localhost', 'http://localhost@evil.example')).toBe(403)
  })

  it('SEC-15: a browser of an allowed origin may ask first and read the challenge', async () => {
    const { house } = await start()
    const origin = 'Origin: https://auth.example.com'
    const preflight = await raw(
      house.port,
      request('OPTIONS', '/mcp/c1', [house.host, origin, 'Access-Control-Request-Method: POST']),
    )
    expect(preflight.status).toBe(204)
    expect(preflight.headers['access-control-allow-origin']).toBe('https://auth.example.com')
    const refused = await raw(house.port, post(house, [origin]))
    expect(refused.headers['access-control-expose-headers']).toContain('WWW-Authenticate')
  })

  it('absolute-form targets are refused', async () => {
    const { server, house, authorization } = await start()
    const answer = await raw(
      house.port,
      request('POST', 'http://evil/mcp/c1', [house.host, authorization], CALL),
    )
    expect(answer.status).toBe(400)
    expect(server.seen).toEqual([])
  })
})
