/**
 * Hostile answers to a connector's own requests (threats.md section 3.3): metadata and token calls
 * through the real egress and real sockets, against a server that says on the wire what a test wrote.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { OurClient } from '../../src/connectors/client/registration.ts'
import { createTokenCalls, type TokenCall } from '../../src/connectors/client/token-calls.ts'
import { type DiscoveryTarget, openDiscovery } from '../../src/connectors/discovery/discovery.ts'
import type { Binding } from '../../src/connectors/lifecycle/binding.ts'
import { createEgress } from '../../src/net/egress.ts'
import { createNodeFetch } from '../../src/node/fetch.ts'
import { createNodeRuntime } from '../../src/node/runtime.ts'
import { createRecordingEmit, type RecordingEmit } from '../kit/emit.ts'
import { until } from '../kit/http.ts'
import { connectorInput } from '../kit/outbound.ts'

const TIMEOUT_MS = 400
const SECRET = 'secret-of-our-client-at-this-server'
const CLIENT: OurClient = {
  clientId: 'ours',
  how: 'static',
  authMethod: 'client_secret_basic',
  secret: SECRET,
  redirectUri: 'https://postern.example/connect/notes/callback',
}

interface Wire {
  readonly origin: string
  /** Heads and bodies of what arrived, as they came. */
  readonly heard: string[]
  readonly sockets: Set<Socket>
  /** What is written to each connection that asks; the socket stays open where it says so. */
  speak: (socket: Socket, request: string) => void
}

async function openWire(): Promise<Wire> {
  const heard: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => sockets.delete(socket))
    socket.on('data', (chunk) => {
      heard.push(chunk.toString('latin1'))
      wire.speak(socket, chunk.toString('latin1'))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  const wire: Wire = {
    origin: `http://127.0.0.1:${port}`,
    heard,
    sockets,
    speak: (socket) => void socket.end(answer('404 Not Found', [], '')),
  }
  return wire
}

const answer = (status: string, lines: readonly string[], body: string | Buffer): Buffer => {
  const head = [
    `HTTP/1.1 ${status}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...lines,
  ]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)])
}

interface Outside {
  readonly wire: Wire
  readonly emit: RecordingEmit
  /** One of each kind of token call; outcomes in order. */
  calls(): Promise<readonly string[]>
  refresh(): Promise<TokenCall>
  discover(): Promise<string>
}

async function open(): Promise<Outside> {
  const wire = await openWire()
  const runtime = createNodeRuntime()
  const emit = createRecordingEmit()
  const opened = createNodeFetch()
  const approvedOrigins = new Set([wire.origin])
  const egress = createEgress({
    fetch: opened.fetch,
    runtime,
    emit,
    approvedOrigins,
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: TIMEOUT_MS,
  })
  const engine = await openDiscovery({
    egress,
    runtime,
    emit,
    approvedOrigins,
    limits: {
      discoveryTtlSeconds: 3_600,
      discoveryStaleSeconds: 86_400,
      discoveryStaleIfErrorSeconds: 604_800,
      discoveryTimeoutMs: TIMEOUT_MS,
      metadataTimeoutMs: TIMEOUT_MS,
    },
  })
  onTestFinished(async () => {
    await engine.close()
    await opened.close()
  })
  const calls = createTokenCalls({
    egress,
    runtime,
    assertionKeys: { sign: async () => 'assertion' },
    tokenCallTimeoutMs: TIMEOUT_MS,
  })
  const at = (path: string): string => `${wire.origin}/${path}`
  const binding: Binding = {
    connector: connectorInput(),
    issuer: wire.origin,
    resource: undefined,
    server: {
      issuer: wire.origin,
      authorization_endpoint: at('authorize'),
      token_endpoint: at('token'),
      revocation_endpoint: at('revoke'),
      pushed_authorization_request_endpoint: at('par'),
    },
  }
  const refresh = () =>
    calls.refresh(binding, CLIENT, { refreshToken: 'old-refresh', resource: undefined })
  const trip = { redirectUri: CLIENT.redirectUri, resource: undefined }
  return {
    wire,
    emit,
    refresh,
    async calls() {
      const made = await Promise.all([
        calls.exchange(binding, CLIENT, { code: 'code', verifier: 'v'.repeat(43), ...trip }),
        refresh(),
        calls.clientCredentials(binding, CLIENT, { scopes: ['read'] }),
        calls.push(binding, CLIENT, new URLSearchParams({ state: 'x' })),
      ])
      const revoked = await calls.revoke(binding, CLIENT, 'old-refresh', 'refresh_token')
      return [...made.map(({ outcome }) => outcome), revoked]
    },
    async discover() {
      const oauth = { strictResource: false, legacyDiscovery: true, followMetadataRedirects: false }
      const url = new URL('/mcp', wire.origin)
      const target: DiscoveryTarget = { url, approved: true, oauth, hasCredentials: false }
      await engine.drop(target)
      const result = await engine.read(target, { deadlineMs: 10 * TIMEOUT_MS, retry: true })
      return result.ok ? 'found' : result.state
    },
  }
}

const NOTHING = ['unknown', 'unknown', 'unknown', 'unknown', 'unknown']

describe('connector traffic: redirects', () => {
  it.each([301, 302, 303, 307, 308])(
    'S3 NET-03: %d of any endpoint is refused, and nobody else is asked or told a secret',
    async (status) => {
      const { wire, calls, discover } = await open()
      const elsewhere = await openWire()
      wire.speak = (socket) =>
        void socket.end(answer(`${status} Moved`, [`Location: ${elsewhere.origin}/token`], '{}'))
      expect(await calls()).toEqual(NOTHING)
      expect(await discover()).not.toBe('found')
      expect(elsewhere.heard).toEqual([])
      expect(elsewhere.sockets.size).toBe(0)
    },
  )
})

describe('connector traffic: servers that do not end', () => {
  const HABITS: Readonly<Record<string, (socket: Socket) => void>> = {
    'says nothing': () => undefined,
    'sends its head byte by byte': (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nX-A: ')
      drip(socket, 'a')
    },
    'sends its body byte by byte': (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{')
      drip(socket, ' ')
    },
    'never ends a chunked body': (socket) => {
      const head = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n'
      socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`)
      drip(socket, '1\r\n \r\n')
    },
    'promises more than it sends': (socket) =>
      void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n{"access_token":"x"'),
  }

  function drip(socket: Socket, text: string): void {
    const timer = setInterval(() => socket.write(text), 10)
    socket.once('close', () => clearInterval(timer))
  }

  it.each(Object.entries(HABITS))(
    'S4 NET-04 F2: a server that %s is cut off in time, and its socket ends',
    async (_name, habit) => {
      const { wire, calls, discover } = await open()
      wire.speak = habit
      expect(await calls()).toEqual(NOTHING)
      expect(await discover()).toBe('unreachable')
      await until(() => wire.sockets.size === 0, 'no socket is left')
    },
  )
})

describe('connector traffic: answers that are not what they say', () => {
  const TOKEN = JSON.stringify({ access_token: 'token', token_type: 'Bearer', expires_in: 60 })

  it('the honest answer is believed, so the others are judged', async () => {
    const { wire, refresh } = await open()
    wire.speak = (socket) => void socket.end(answer('200 OK', [], TOKEN))
    expect(await refresh()).toMatchObject({ outcome: 'yes', tokens: { accessToken: 'token' } })
  })

  it.each(['gzip', 'deflate', 'br', 'gzip, gzip', 'identity, gzip', 'x-unknown'])(
    'S5 NET-04: an answer encoded as %s is not unpacked',
    async (coding) => {
      const { wire, calls, discover } = await open()
      const bomb = gzipSync(Buffer.alloc(8_388_608, 0x20))
      const before = process.memoryUsage().rss
      wire.speak = (socket) =>
        void socket.end(answer('200 OK', [`Content-Encoding: ${coding}`], bomb))
      expect(await calls()).toEqual(NOTHING)
      expect(await discover()).not.toBe('found')
      expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1_048_576)
    },
  )

  it.each([
    ['a page', 'text/html', '<html>signed in</html>'],
    ['an error with a token', 'application/json', '{"error":"invalid_grant","access_token":"x"}'],
    ['a list', 'application/json', '[{"access_token":"x"}]'],
    ['two members of one name', 'application/json', '{"access_token":"x","access_token":"y"}'],
    ['a token that is no text', 'application/json', '{"access_token":{"a":1}}'],
    ['a token with a line end', 'application/json', '{"access_token":"x\\r\\nX-Admin: 1"}'],
    ['a token with a NUL', 'application/json', '{"access_token":"x\\u0000"}'],
    ['trailing data', 'application/json', `${TOKEN}{}`],
    ['nothing', 'application/json', ''],
    ['deep nesting', 'application/json', `{"a":${'['.repeat(2_000)}${']'.repeat(2_000)}}`],
    ['too much', 'application/json', `{"access_token":"${'x'.repeat(70_000)}"}`],
  ])('S6 S7 S11: %s with status 200 is no token', async (_name, type, body) => {
    const { wire, refresh } = await open()
    wire.speak = (socket) =>
      void socket.end(
        `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      )
    expect((await refresh()).outcome).not.toBe('yes')
  })
})

describe('connector traffic: what goes out', () => {
  it('NET-05 I1: a token call carries one credential and no cookie, a document none; events name origins only', async () => {
    const { wire, calls, discover, emit } = await open()
    wire.speak = (socket) =>
      void socket.end(answer('400 Bad Request', ['Set-Cookie: sid=evil; Path=/'], '{"error":"x"}'))
    await calls()
    const tokenCalls = wire.heard.splice(0)
    expect(tokenCalls.length).toBeGreaterThanOrEqual(5)
    for (const request of tokenCalls) {
      expect(request.match(/^authorization: /gim)).toHaveLength(1)
      expect(request).not.toMatch(/^(cookie|referer|origin|x-forwarded)/im)
      expect(request.split('\r\n\r\n')[1] ?? '').not.toContain(SECRET)
    }
    await discover()
    for (const request of wire.heard) expect(request).not.toMatch(/^(authorization|cookie):/im)
    const told = emit.dump()
    expect(told).toContain(wire.origin)
    expect(told).not.toMatch(/old-refresh|secret-of-our-client|\/token|\/revoke/)
  })
})
