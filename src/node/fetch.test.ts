import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { createTestCa } from '../../test/kit/ca.ts'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createEgress, type Egress, type EgressRequest } from '../net/egress.ts'
import { type Address, createNodeFetch, type NodeFetch, type NodeFetchOptions } from './fetch.ts'
import { createNodeRuntime } from './runtime.ts'

const LOOPBACK: readonly Address[] = [{ address: '127.0.0.1', family: 4 }]
const opened: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of opened.splice(0)) await close()
})

/** A real server on port 0 that counts sockets and can wait until all of them are gone. */
async function listen(server: Server, host = '127.0.0.1') {
  const sockets = new Set<Socket>()
  let count = 0
  const waiting: (() => void)[] = []
  server.on('connection', (socket: Socket) => {
    count++
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => {
      sockets.delete(socket)
      if (sockets.size === 0) for (const resolve of waiting.splice(0)) resolve()
    })
  })
  server.on('error', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  opened.push(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => count,
    allClosed: () =>
      sockets.size === 0
        ? Promise.resolve()
        : new Promise<void>((resolve) => waiting.push(resolve)),
  }
}

const serve = (listener: RequestListener) => listen(createServer(listener))

function guard(approved: readonly string[], options: NodeFetchOptions = {}) {
  const emit = createRecordingEmit()
  const node: NodeFetch = createNodeFetch(options)
  opened.push(() => node.close())
  const egress: Egress = createEgress({
    fetch: node.fetch,
    runtime: createNodeRuntime(),
    emit,
    approvedOrigins: new Set(approved),
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: 2_000,
  })
  const ask = (url: string, detail: Partial<EgressRequest> = {}) =>
    egress.exchange({
      operation: 'discovery',
      method: 'GET',
      url,
      timeoutMs: 5_000,
      maxBytes: 65_536,
      ...detail,
    })
  return { ask, emit, node }
}

describe('createNodeFetch, exchanges', () => {
  it('sends method, headers and body, and reads the answer', async () => {
    const { port } = await serve((request, response) => {
      let body = ''
      request.on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => {
        response.setHeader('set-cookie', ['a=1', 'b=2'])
        response.end(
          JSON.stringify({
            method: request.method,
            url: request.url,
            headers: request.headers,
            body,
          }),
        )
      })
    })
    const { ask } = guard([`http://127.0.0.1:${port}`])
    const answer = await ask(`http://127.0.0.1:${port}/p?q=1`, {
      method: 'POST',
      body: 'x=ü',
      headers: { 'x-a': 'b' },
    })
    const seen = JSON.parse(answer.text)
    expect(seen).toMatchObject({
      method: 'POST',
      url: '/p?q=1',
      body: 'x=ü',
      headers: { 'x-a': 'b', 'accept-encoding': 'identity' },
    })
    expect(seen.headers.cookie).toBeUndefined()
    expect(answer.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
  })

  it('NET-03, S3: refuses 301, 302, 303, 307 and 308 for GET and POST, and makes no second request', async () => {
    const target = await serve((_, response) => response.end('internal'))
    let status = 301
    let requests = 0
    const { port } = await serve((_, response) => {
      requests++
      response.writeHead(status, { location: `http://127.0.0.1:${target.port}/` }).end()
    })
    const { ask } = guard([`http://127.0.0.1:${port}`])
    for (status of [301, 302, 303, 307, 308]) {
      for (const method of ['GET', 'POST'] as const) {
        await expect(ask(`http://127.0.0.1:${port}/`, { method })).rejects.toMatchObject({
          code: 'ERR_UPSTREAM_REDIRECT',
          status,
        })
      }
    }
    expect([requests, target.connections()]).toEqual([10, 0])
  })
})

describe('createNodeFetch, addresses', () => {
  it('S1, T13: opens no socket to loopback, however it is spelled', async () => {
    const { port, connections } = await serve((_, response) => response.end())
    const { ask, node } = guard([])
    const hosts = [
      '127.0.0.1',
      '127.1',
      '2130706433',
      '0x7f.1',
      '0x7f000001',
      '0177.0.0.1',
      '0177.1',
      '127.0.0.1.',
      '[::1]',
      '[::]',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[::127.0.0.1]',
      '[64:ff9b::127.0.0.1]',
      '[2002:7f00:1::]',
      '0',
      '0.0.0.0',
      '１２７.０.０.１',
      '127。0。0。1',
      'localhost',
    ]
    const signal = new AbortController().signal
    for (const host of hosts) {
      const url = new URL(`http://${host}:${port}/`)
      // Asked past the URL policy as well: the port itself must not connect.
      const direct = node.fetch({
        method: 'GET',
        url,
        headers: {},
        signal,
        connectTimeoutMs: 2_000,
        addresses: 'public',
      })
      await expect(direct, host).rejects.toMatchObject({ code: 'ERR_UPSTREAM_ADDRESS' })
      await expect(ask(`https://${host}:${port}/`), host).rejects.toMatchObject({
        name: 'UpstreamError',
      })
    }
    expect(connections()).toBe(0)
  })

  it('S1, S2: refuses the whole answer of a resolver when one address is special', async () => {
    const { port, connections } = await serve((_, response) => response.end())
    const bad = [
      '127.0.0.1',
      '::ffff:127.0.0.1',
      '::127.0.0.1',
      '10.0.0.1',
      '169.254.169.254',
      'fd00::1',
      '64:ff9b::7f00:1',
    ]
    for (const address of bad) {
      const family = address.includes(':') ? 6 : 4
      const resolve = async (): Promise<readonly Address[]> => [
        { address: '1.1.1.1', family: 4 },
        { address, family },
      ]
      const { node } = guard([], { resolve })
      const request = {
        method: 'GET',
        url: new URL(`http://rebind.test:${port}/`),
        headers: {},
        connectTimeoutMs: 2_000,
      } as const
      const asked = node.fetch({
        ...request,
        signal: new AbortController().signal,
        addresses: 'public',
      })
      await expect(asked, address).rejects.toMatchObject({ code: 'ERR_UPSTREAM_ADDRESS' })
    }
    expect(connections()).toBe(0)
  })

  it('S2: resolves once per connection and connects to that answer, not to a later one', async () => {
    const good = await serve((_, response) => response.end('good'))
    let calls = 0
    const resolve = async (): Promise<readonly Address[]> => {
      calls++
      // A second look-up of the same connection would go to an address where nobody listens.
      return calls === 1 ? LOOPBACK : [{ address: '127.0.0.9', family: 4 }]
    }
    const origin = `http://rebind.test:${good.port}`
    const { ask } = guard([origin], { resolve })
    await expect(ask(`${origin}/`)).resolves.toMatchObject({ text: 'good' })
    expect([calls, good.connections()]).toEqual([1, 1])
  })

  it('T14: a changed DNS answer is used once the connection is older than clientTtl', async () => {
    let served = 0
    const { port, connections } = await serve((_, response) => {
      served++
      response.end(String(served))
    })
    let calls = 0
    const resolve = async (): Promise<readonly Address[]> => {
      calls++
      return LOOPBACK
    }
    const origin = `http://rebind.test:${port}`
    const { ask } = guard([origin], { resolve, clientTtlMs: 1 })
    await ask(`${origin}/`)
    while (calls === 1) await ask(`${origin}/`)
    expect(calls).toBeGreaterThan(1)
    expect(connections()).toBe(calls)
  })

  it('a connection made for an approved origin never serves a public request', async () => {
    const { port, connections } = await serve((_, response) => response.end())
    const { node } = guard([], { resolve: async () => LOOPBACK })
    const request = {
      method: 'GET',
      url: new URL(`http://name.test:${port}/`),
      headers: {},
      connectTimeoutMs: 2_000,
    } as const
    const signal = new AbortController().signal
    const answer = await node.fetch({ ...request, signal, addresses: 'approved' })
    await answer.body?.cancel()
    await expect(node.fetch({ ...request, signal, addresses: 'public' })).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_ADDRESS',
    })
    expect(connections()).toBe(1)
  })
})

describe('createNodeFetch, slow and huge servers', () => {
  it.each([
    ['hangs after accept', (_: Socket) => undefined],
    [
      'hangs after the headers',
      (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n'),
    ],
    [
      'hangs in the body',
      (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc'),
    ],
    [
      'trickles headers',
      (socket: Socket) => {
        socket.write('HTTP/1.1 200 OK\r\n')
        const timer = setInterval(() => socket.write('x-a: b\r\n'), 5)
        socket.once('close', () => clearInterval(timer))
      },
    ],
    [
      'trickles a body without length',
      (socket: Socket) => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        const timer = setInterval(() => socket.write('.'), 5)
        socket.once('close', () => clearInterval(timer))
      },
    ],
  ])('S4, F2: ends the exchange and destroys the socket when the server %s', async (_, behave) => {
    const server = createTcpServer((socket) => socket.once('data', () => behave(socket)))
    const { port, connections, allClosed } = await listen(server)
    const origin = `http://127.0.0.1:${port}`
    const { ask } = guard([origin])
    await expect(ask(`${origin}/`, { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_TIMEOUT',
    })
    await allClosed()
    expect(connections()).toBe(1)
  })

  it('NET-04, S4: ends an endless body at the cap and destroys the socket', async () => {
    const { port, allClosed } = await serve((_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write('x'.repeat(16_384)));
        response.once('drain', more)
      }
      more()
    })
    const origin = `http://127.0.0.1:${port}`
    const { ask } = guard([origin])
    await expect(ask(`${origin}/`)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TOO_LARGE' })
    await allClosed()
  })

  it('NET-04: refuses headers over 16 KiB', async () => {
    const { port, allClosed } = await serve((_, response) =>
      response.writeHead(200, { 'x-big': 'x'.repeat(20_000) }).end(),
    )
    const origin = `http://127.0.0.1:${port}`
    const { ask } = guard([origin])
    await expect(ask(`${origin}/`)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TOO_LARGE' })
    await allClosed()
  })

  it('NET-04, S5: never unpacks a gzip bomb that ignores accept-encoding', async () => {
    const bomb = gzipSync(Buffer.alloc(10_000_000))
    const { port } = await serve((_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
    )
    const origin = `http://127.0.0.1:${port}`
    const { ask } = guard([origin])
    await expect(ask(`${origin}/`)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_BODY' })
  })
})

describe('createNodeFetch, F6: named reasons', () => {
  it('port closed', async () => {
    const { port } = await serve(() => undefined)
    await opened.pop()?.()
    const { ask, emit } = guard([`http://127.0.0.1:${port}`])
    await expect(ask(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_CONNECT',
    })
    expect(emit.eventsOf('remote.called')[0]).toMatchObject({
      outcome: 'connect',
      reason: 'refused',
    })
  })

  it('name unknown', async () => {
    const resolve = () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' }))
    const { ask, emit } = guard([], { resolve })
    await expect(ask('https://nowhere.test/')).rejects.toMatchObject({ code: 'ERR_UPSTREAM_DNS' })
    expect(emit.eventsOf('remote.called')[0]).toMatchObject({ reason: 'not-found' })
    const empty = guard([], { resolve: async () => [] })
    await expect(empty.ask('https://nowhere.test/')).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_DNS',
    })
  })

  it('connection reset', async () => {
    const { port } = await listen(
      createTcpServer((socket) => socket.once('data', () => socket.resetAndDestroy())),
    )
    const { ask } = guard([`http://127.0.0.1:${port}`])
    await expect(ask(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_RESET',
    })
  })

  it('truncated body', async () => {
    const behave = (socket: Socket) =>
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\nabc')
    const { port } = await listen(
      createTcpServer((socket) => socket.once('data', () => behave(socket))),
    )
    const { ask } = guard([`http://127.0.0.1:${port}`])
    await expect(ask(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_RESET',
    })
  })

  it('not HTTP', async () => {
    const { port } = await listen(
      createTcpServer((socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n')),
    )
    const { ask } = guard([`http://127.0.0.1:${port}`])
    await expect(ask(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_BODY',
    })
  })
})

describe('createNodeFetch, S10, SEC-02: TLS', () => {
  const ca = createTestCa()
  const folder = mkdtempSync(join(tmpdir(), 'postern-ca-'))
  const extraCaFile = join(folder, 'ca.pem')
  writeFileSync(extraCaFile, ca.cert)

  async function serveTls(
    hosts: readonly string[],
    faults: { expired?: boolean; selfSigned?: boolean } = {},
  ) {
    const { cert, key } = ca.issue(hosts, faults)
    const server = createTlsServer({ cert, key }, (request, response) =>
      response.end(`${request.httpVersion} ${request.headers.host}`),
    )
    const { port } = await listen(server)
    return { port, origin: `https://secure.test:${port}` }
  }
  const resolve = async () => LOOPBACK

  it('accepts an authority of extraCaFile, by name, on HTTP/1.1 (T12)', async () => {
    const { origin, port } = await serveTls(['secure.test'])
    const { ask } = guard([origin], { resolve, extraCaFile })
    await expect(ask(`${origin}/`)).resolves.toMatchObject({ text: `1.1 secure.test:${port}` })
  })

  it.each([
    ['untrusted-authority', ['secure.test'], {}, false],
    ['self-signed', ['secure.test'], { selfSigned: true }, true],
    ['wrong-name', ['other.test'], {}, true],
    ['expired', ['secure.test'], { expired: true }, true],
  ] as const)('refuses a certificate: %s', async (reason, hosts, faults, trusted) => {
    const { origin } = await serveTls(hosts, faults)
    const { ask, emit } = guard([origin], { resolve, ...(trusted ? { extraCaFile } : {}) })
    await expect(ask(`${origin}/`)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TLS' })
    expect(emit.eventsOf('remote.called')[0]).toMatchObject({ outcome: 'tls', reason })
  })

  it('refuses a server that speaks no TLS', async () => {
    const { port } = await listen(
      createTcpServer((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 No\r\n\r\n'))),
    )
    const origin = `https://secure.test:${port}`
    const { ask } = guard([origin], { resolve })
    await expect(ask(`${origin}/`)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TLS' })
  })

  it('an unreadable extraCaFile is an error at creation', () => {
    expect(() => createNodeFetch({ extraCaFile: join(folder, 'absent.pem') })).toThrow()
    rmSync(folder, { recursive: true })
  })
})

describe('createNodeFetch, NET-07: proxy', () => {
  it('NET-07: sends everything through the proxy, and still refuses literals', async () => {
    const asked: string[] = []
    const proxy = createServer((request, response) => {
      asked.push(request.url ?? '')
      response.end('by proxy')
    })
    proxy.on('connect', (request, socket: Socket) => {
      asked.push(`CONNECT ${request.url}`)
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
    })
    const { port } = await listen(proxy)
    const { ask } = guard(['http://plain.test'], { proxyUrl: `http://127.0.0.1:${port}` })
    await expect(ask('http://plain.test/x')).resolves.toMatchObject({ text: 'by proxy' })
    await expect(ask('https://secure.test/x')).rejects.toMatchObject({ name: 'UpstreamError' })
    await expect(ask('https://10.0.0.1/x')).rejects.toMatchObject({ code: 'ERR_UPSTREAM_ADDRESS' })
    expect(asked).toEqual(['http://plain.test/x', 'CONNECT secure.test:443'])
  })
})
