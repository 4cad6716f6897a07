/** The traps of the hot path (hot-path.md section 9), each on real sockets: connections behind. */

import { createSecureServer } from 'node:http2'
import { createServer as createRawServer, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { UpstreamError } from '../../src/errors.ts'
import { createUpstreams, type Sink, type UpstreamOptions } from '../../src/node/upstreams.ts'
import { createTestCa } from '../kit/ca.ts'
import { type GatewayOptions, startGateway, type TestGateway } from '../kit/gateway.ts'
import {
  closeServer,
  dial,
  listen,
  raw,
  request,
  startServer,
  type TestServer,
  until,
} from '../kit/http.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}'
const LIST = '{"jsonrpc":"2.0","id":"l","method":"tools/list"}'

async function startBehind(
  origin: string,
  options: Partial<GatewayOptions> = {},
): Promise<TestGateway> {
  const house = await startGateway({
    connectors: [{ name: 'c1', url: `${origin}/mcp` }],
    ...options,
  })
  closing.push(() => house.close())
  return house
}

async function start(
  options: Partial<GatewayOptions> = {},
): Promise<{ server: TestServer; house: TestGateway }> {
  const server = await startServer()
  closing.push(() => server.close())
  return { server, house: await startBehind(server.origin, options) }
}

const tokens = new WeakMap<TestGateway, string>()
function call(house: TestGateway, body: string) {
  const token = tokens.get(house) ?? house.token()
  tokens.set(house, token)
  const lines = [house.host, `Authorization: Bearer ${token}`, 'Content-Type: application/json']
  return raw(house.port, request('POST', '/mcp/c1', lines, body))
}

/** A server that is given each socket; `answer` after the first request of a connection. */
async function startRaw(
  onRequest: (socket: Socket, count: number) => void,
): Promise<{ origin: string; readonly count: number }> {
  let count = 0
  const sockets = new Set<Socket>()
  const server = createRawServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', () => {
      count += 1
      onRequest(socket, count)
    })
  })
  const port = await listen(server)
  closing.push(
    () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  )
  return {
    origin: `http://127.0.0.1:${port}`,
    get count() {
      return count
    },
  }
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}'

describe('hot path: connections behind', () => {
  it('T2: streams over the limit are 503 at once, none waits in a queue', async () => {
    const server = await startServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    })
    closing.push(() => server.close())
    const house = await startBehind(server.origin, {
      upstreams: { streamsMax: 256 },
      limits: { streamsPerUserMax: 1_000 },
    })
    const token = house.token()
    const get = request('GET', '/mcp/c1', [house.host, `Authorization: Bearer ${token}`])
    const lines = Array.from({ length: 300 }, () => dial(house.port, get))
    await until(() => lines.every(({ text }) => text.includes('\r\n\r\n')), 'answers')
    const statuses = lines.map(({ text }) => text.slice(9, 12))
    expect(statuses.filter((status) => status === '200')).toHaveLength(256)
    expect(statuses.filter((status) => status === '503')).toHaveLength(44)
    for (const { socket } of lines) socket.destroy()
    await until(() => house.carrier.openStreams === 0)
  })

  it('T2: a server that accepts and never answers is 504 with the id, and its call is closed', async () => {
    const { server, house } = await start({ limits: { firstByteTimeoutMs: 300 } })
    server.respond(() => {})
    const answer = await call(house, CALL)
    expect(answer.status).toBe(504)
    expect(JSON.parse(answer.body)).toMatchObject({
      id: 1,
      error: { data: { reason: 'upstream_timeout' } },
    })
    await until(() => server.running === 0)
    expect(server.seen).toHaveLength(1)
  })

  it('T10, GW-26: tools/call is never sent twice: reset after the request', async () => {
    const server = await startRaw((socket, count) => {
      if (count === 1) socket.write(OK)
      else socket.resetAndDestroy()
    })
    const house = await startBehind(server.origin)
    expect((await call(house, CALL)).status).toBe(200)
    expect((await call(house, CALL)).status).toBe(502)
    expect(server.count).toBe(2)
  })

  it('T10, GW-26: tools/call is never sent twice: closed after the first byte', async () => {
    const server = await startRaw((socket) => {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{')
    })
    const house = await startBehind(server.origin)
    const answer = await call(house, CALL)
    expect(answer.body.length).toBeLessThan(100)
    expect(server.count).toBe(1)
  })

  it('T10, GW-26: tools/call is never sent twice: timeout', async () => {
    const server = await startRaw(() => {})
    const house = await startBehind(server.origin, { limits: { firstByteTimeoutMs: 100 } })
    expect((await call(house, CALL)).status).toBe(504)
    expect((await call(house, LIST)).status).toBe(504)
    expect(server.count).toBe(2)
  })

  it('GW-26: a read-only method is sent once more, on a fresh connection, after a reset', async () => {
    const server = await startRaw((socket, count) => {
      if (count === 2) socket.resetAndDestroy()
      else socket.write(OK)
    })
    const house = await startBehind(server.origin)
    expect((await call(house, LIST)).status).toBe(200)
    expect((await call(house, LIST)).status).toBe(200)
    expect(server.count).toBe(3)
  })

  it.each([
    ['{"id":1,"method":"tools/list","method":"tools/call"}'],
    ['{"id":1,"method":"tools/list","params":{}},{"method":"tools/call"}'],
    ['[{"id":1,"method":"tools/list"}]'],
    ['{"id":1,"method":"tools/call","params":{"method":"tools/list"}}'],
  ])('GW-26: %s does not pass for read-only', async (body) => {
    const server = await startRaw((socket) => socket.resetAndDestroy())
    const house = await startBehind(server.origin)
    expect((await call(house, body)).status).toBe(502)
    expect(server.count).toBe(1)
  })

  it('GW-26: nothing listens: certainly not processed, answered at once as 502', async () => {
    const { server, house } = await start()
    await server.close()
    expect((await call(house, CALL)).status).toBe(502)
    expect(server.seen).toHaveLength(0)
  })

  it('T12: a server that offers h2 is spoken to in HTTP/1.1', async () => {
    const ca = createTestCa()
    const { cert, key } = ca.issue(['localhost'])
    const versions: string[] = []
    const server = createSecureServer({ cert, key, allowHTTP1: true }, (incoming, response) => {
      versions.push(incoming.httpVersion)
      response.end('{}')
    })
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
    closing.push(() => new Promise((resolve) => server.close(() => resolve())))
    const house = await startBehind(`https://localhost:${port}`, { upstreams: { ca: ca.cert } })
    expect((await call(house, CALL)).status).toBe(200)
    expect(versions).toEqual(['1.1'])
    await house.upstreams.close()
  })

  it.each([
    'http://127.0.0.1',
    'http://2130706433',
    'http://0x7f.1',
    'http://0177.0.0.1',
    'http://[::ffff:127.0.0.1]',
  ])('T13: the literal %s is refused without a socket', async (spelling) => {
    const server = await startServer()
    closing.push(() => server.close())
    const { origin } = new URL(`${spelling}:${server.port}`)
    const error = await failureOf({ name: 'x', origin, addresses: 'public' }, {})
    expect(error.code).toBe('ERR_UPSTREAM_ADDRESS')
    expect(server.connections).toBe(0)
  })

  it.each([
    [['127.0.0.1']],
    [['93.184.215.14', '127.0.0.1']],
    [['10.0.0.1']],
    [['::1']],
    [['::ffff:127.0.0.1']],
    [[]],
  ])('T13, T14: a name that resolves to %j is refused as a whole', async (addresses) => {
    const server = await startServer()
    closing.push(() => server.close())
    const error = await failureOf(
      { name: 'x', origin: `http://name.test:${server.port}`, addresses: 'public' },
      {
        lookup: (_host, _options, callback) =>
          callback(
            null,
            addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
          ),
      },
    )
    expect(error.code).toBe('ERR_UPSTREAM_ADDRESS')
    expect(server.connections).toBe(0)
  })

  it("T14: after the resolver changed, the new address is used within the client's life", async () => {
    const first = await startServer()
    const second = await startServer()
    await closeServer(second.server)
    await new Promise<void>((resolve) => second.server.listen(first.port, '127.0.0.2', resolve))
    closing.push(
      () => first.close(),
      () => second.close(),
    )
    let address = '127.0.0.1'
    const house = await startBehind(`http://name.test:${first.port}`, {
      upstreams: {
        clientTtlMs: 30,
        lookup: (_host, options, callback) =>
          options.all === true
            ? callback(null, [{ address, family: 4 }])
            : callback(null, address, 4),
      },
    })
    expect((await call(house, CALL)).status).toBe(200)
    address = '127.0.0.2'
    for (let turn = 0; turn < 100 && second.seen.length === 0; turn += 1) {
      expect((await call(house, CALL)).status).toBe(200)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(second.seen.length).toBeGreaterThan(0)
  })

  it('T16: a server that says 100 Continue unasked gives 502, as documented', async () => {
    const server = await startRaw((socket) => socket.write(`HTTP/1.1 100 Continue\r\n\r\n${OK}`))
    const house = await startBehind(server.origin)
    expect((await call(house, CALL)).status).toBe(502)
  })

  it.each([
    [
      'both lengths',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'long headers',
      `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(40_000)}\r\nContent-Length: 2\r\n\r\n{}`,
    ],
    ['a control byte', 'HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 2\r\n\r\n{}'],
    [
      'an unasked upgrade',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
    ],
    ['no HTTP at all', 'SSH-2.0-OpenSSH_9.6\r\n'],
  ])('B13: an answer with %s is 502', async (_name, answer) => {
    const server = await startRaw((socket) => socket.write(answer))
    const house = await startBehind(server.origin)
    expect((await call(house, CALL)).status).toBe(502)
  })

  it('answer headers: hop-by-hop, named ones, cookies, challenges and our namespace stay behind', async () => {
    const server = await startRaw((socket) => {
      const lines = [
        'HTTP/1.1 103 Early Hints',
        '',
        'HTTP/1.1 200 OK',
        'Connection: x-secret, keep-alive',
        'X-Secret: 1',
        'Keep-Alive: timeout=5',
        'Set-Cookie: a=b',
        'WWW-Authenticate: Bearer',
        'X-Postern-User: eve',
        'Proxy-Authenticate: Basic',
        'Alt-Svc: h3=":443"',
        'X-Kept: 1',
        'X-Kept: 2',
        'Content-Length: 2',
        '',
        '{}',
      ]
      socket.write(lines.join('\r\n'))
    })
    const house = await startBehind(server.origin)
    const answer = await call(house, CALL)
    expect(answer.status).toBe(200)
    expect(answer.head).toMatch(/x-kept: 1\r\nx-kept: 2/i)
    for (const name of [
      'x-secret',
      'set-cookie',
      'www-authenticate',
      'x-postern-user',
      'proxy-authenticate',
      'alt-svc',
    ]) {
      expect(answer.headers[name]).toBeUndefined()
    }
  })

  it('GW-27: one server that hangs does not slow another', async () => {
    const dead = await startServer(() => {})
    const alive = await startServer()
    closing.push(
      () => dead.close(),
      () => alive.close(),
    )
    const house = await startGateway({
      connectors: [
        { name: 'c1', url: `${alive.origin}/mcp` },
        { name: 'c2', url: `${dead.origin}/mcp` },
      ],
    })
    closing.push(() => house.close())
    const token = house.token({ connector: 'c2' })
    const hang = request('POST', '/mcp/c2', [house.host, `Authorization: Bearer ${token}`], CALL)
    const lines = Array.from({ length: 50 }, () => dial(house.port, hang))
    await until(() => dead.running === 50)
    for (let turn = 0; turn < 20; turn += 1) expect((await call(house, CALL)).status).toBe(200)
    for (const { socket } of lines) socket.destroy()
    await until(() => dead.running === 0)
  })
})

/** The error of one exchange that must fail. */
async function failureOf(
  upstream: { name: string; origin: string; addresses: 'public' },
  options: Partial<UpstreamOptions>,
): Promise<UpstreamError> {
  const upstreams = createUpstreams({
    firstByteTimeoutMs: 2_000,
    connectTimeoutMs: 1_000,
    ...options,
  })
  closing.push(() => upstreams.close())
  return new Promise((resolve, reject) => {
    const answered = (): never => {
      throw new Error('answered')
    }
    const sink: Sink = {
      start: () => reject(new Error('answered')),
      data: answered,
      end: () => {},
      fail: resolve,
    }
    upstreams.open(upstream, 'call', { path: '/', method: 'GET', headers: [], body: null }, sink)
  })
}
