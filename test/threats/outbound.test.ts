/** What goes out, and where to: never an address that is not public or approved, never around the one fetcher (I6, S9). */
import { globSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { startNotesServer } from '../../demo/servers/notes.ts'
import { signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { createBreakers } from '../../src/cache/breaker.ts'
import { createEgress, type EgressRequest } from '../../src/net/egress.ts'
import { createNodeFetch } from '../../src/node/fetch.ts'
import { createNodeRuntime } from '../../src/node/runtime.ts'
import { RULES } from '../architecture/rules.ts'
import { readSource } from '../architecture/source.ts'
import { createRecordingEmit } from '../kit/emit.ts'
import { callTool, openPlane } from '../kit/plane.ts'
import { freePort, servePostern } from '../kit/postern.ts'
import { runProcess } from '../kit/process.ts'

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

interface Listener {
  readonly port: number
  /** Connections, and the bytes that came in them. */
  readonly seen: { connections: number; bytes: number }
}

/** Whatever reaches the loopback here came from a fetch that should not have been made. */
async function listen(host = '::'): Promise<Listener> {
  const seen = { connections: 0, bytes: 0 }
  const server: Server = createServer((socket) => {
    seen.connections += 1
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      seen.bytes += chunk.length
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}')
    })
  })
  await new Promise<void>((resolve) => {
    // Without IPv6 on this machine, IPv4 is all that can be reached.
    server.once('error', () => server.listen(0, '0.0.0.0', resolve))
    server.listen(0, host, resolve)
  })
  onTestFinished(async () => {
    await new Promise((resolve) => server.close(resolve))
  })
  const address = server.address()
  return { port: typeof address === 'object' && address !== null ? address.port : 0, seen }
}

/** The loopback, in words that a careless reader takes for something else. */
const SPELLINGS = [
  '127.0.0.1',
  '127.1',
  '127.0.1',
  '2130706433',
  '0x7f000001',
  '0x7f.0.0.1',
  '0177.0.0.1',
  '017700000001',
  '127.0.0.2',
  '127.255.255.254',
  '0.0.0.0',
  '0',
  '[::1]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[::127.0.0.1]',
  '[64:ff9b::127.0.0.1]',
  '[2002:7f00:1::]',
  '[0:0:0:0:0:0:0:1]',
  'localhost',
  'LOCALHOST',
  'localhost.',
  'a.localhost',
  '127.0.0.1.',
  '１２７.0.0.1',
  '127。0。0。1',
  '127%2e0.0.1',
  'u:p@127.0.0.1',
  'public.example@127.0.0.1',
]

describe('I6: addresses that are not public', () => {
  function openEgress(approved: readonly string[]) {
    const runtime = createNodeRuntime()
    const emit = createRecordingEmit()
    // A name in the DNS of an attacker says what it likes.
    const resolve = async () => [{ address: '127.0.0.1', family: 4 as const }]
    const opened = createNodeFetch({ resolve })
    onTestFinished(() => opened.close())
    const egress = createEgress({
      fetch: opened.fetch,
      runtime,
      emit,
      approvedOrigins: new Set(approved),
      allowHosts: [],
      denyHosts: [],
      connectTimeoutMs: 500,
      breakers: createBreakers({ runtime, emit }),
    })
    const limits = { timeoutMs: 1_000, maxBytes: 1_024 }
    return (url: string, detail: Partial<EgressRequest> = {}) =>
      egress.exchange({ operation: 'discovery', method: 'GET', url, ...limits, ...detail })
  }

  it('I6: no spelling of the loopback, no name that leads there, gets a connection', async () => {
    const listener = await listen()
    const ask = openEgress([])
    for (const host of [...SPELLINGS, 'evil.example', 'metadata.google.internal']) {
      for (const scheme of ['https', 'http']) {
        const url = `${scheme}://${host}:${listener.port}/x`
        await expect(ask(url), url).rejects.toThrow()
        await expect(ask(url, { method: 'POST', body: 'secret' }), url).rejects.toThrow()
      }
    }
    expect(listener.seen).toEqual({ connections: 0, bytes: 0 })
  })

  it('I6: an origin that the file names is reached, and no other port, scheme or name of that host', async () => {
    const named = await listen()
    const beside = await listen()
    const ask = openEgress([`http://127.0.0.1:${named.port}`])
    expect((await ask(`http://127.0.0.1:${named.port}/x`)).status).toBe(200)
    const { connections } = named.seen
    expect(connections).toBe(1)
    for (const url of [
      `http://127.0.0.1:${beside.port}/x`,
      `https://127.0.0.1:${named.port}/x`,
      `http://127.0.0.2:${named.port}/x`,
      `http://localhost:${named.port}/x`,
      `http://evil.example:${named.port}/x`,
      `http://[::1]:${named.port}/x`,
    ])
      await expect(ask(url), url).rejects.toThrow()
    expect(named.seen.connections).toBe(connections)
    expect(beside.seen).toEqual({ connections: 0, bytes: 0 })
  })

  it('I6: URLs that a client hands in lead to no connection, at any door of the house', async () => {
    const listener = await listen()
    const plane = await openPlane({ provider: 'openid', clock: 'real' })
    for (const host of SPELLINGS) {
      const url = `https://${host}:${listener.port}/client.json`
      const query = new URLSearchParams({
        client_id: url,
        redirect_uri: url,
        response_type: 'code',
        resource: plane.resource,
        code_challenge: 'x'.repeat(43),
        code_challenge_method: 'S256',
      })
      const page = await fetch(`${plane.issuer}/authorize?${query}`, { redirect: 'manual' })
      expect(page.status, url).toBeGreaterThanOrEqual(400)
      const registered = await fetch(`${plane.issuer}/register`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          redirect_uris: ['https://client.example/cb'],
          client_uri: url,
          logo_uri: url,
          policy_uri: url,
          tos_uri: url,
          jwks_uri: url,
          sector_identifier_uri: url,
          token_endpoint_auth_method: 'private_key_jwt',
        }),
      })
      const { client_id = url } = (await registered.json()) as { client_id?: string }
      const key = Buffer.from('{"alg":"ES256","kid":"x","jku":"x"}').toString('base64url')
      await fetch(`${plane.issuer}/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'authorization_code',
          client_id,
          code: 'x',
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: `${key}.${Buffer.from(JSON.stringify({ iss: client_id, sub: client_id })).toString('base64url')}.${'A'.repeat(86)}`,
        }),
      })
    }
    expect(listener.seen).toEqual({ connections: 0, bytes: 0 })
  })
})

describe('S9: one fetcher', { timeout: 60_000 }, () => {
  it('S9: static: nothing but the Fetch ports and the egress calls out, and no library does it for us', () => {
    const files = globSync('src/**/*.ts', { cwd: ROOT, exclude: ['**/*.test.ts'] }).map((path) =>
      readSource(path.replaceAll('\\', '/'), readFileSync(`${ROOT}/${path}`, 'utf8')),
    )
    expect(files.length).toBeGreaterThan(100)
    const rules = RULES.filter(({ name }) => /^(fetch\(\)|undici) is/.test(name))
    expect(rules).toHaveLength(2)
    for (const rule of rules) expect(files.flatMap((file) => rule.broken(file))).toEqual([])
    // Ways to a socket that are no fetch: node's own clients, and key sets that load themselves.
    for (const path of globSync('src/**/*.ts', { cwd: ROOT, exclude: ['**/*.test.ts'] })) {
      const text = readFileSync(`${ROOT}/${path}`, 'utf8')
      const found =
        /createRemoteJWKSet|EnvHttpProxyAgent|setGlobalDispatcher|\bhttps?\.(request|get)\(|\b(net|tls|http2)\.connect\(|new (WebSocket|EventSource|XMLHttpRequest)\b|node:(https|http2|tls|net)['"]\)/.exec(
          text,
        )?.[0]
      expect([path, found]).toEqual([path, undefined])
    }
  })

  it('S9: proxies named in the environment see nothing of a sign-in, its checks and its calls', async () => {
    const proxy = await listen('127.0.0.1')
    const port = await freePort()
    const issuer = `http://127.0.0.1:${port}`
    const credentials = { clientId: 'postern', clientSecret: 'postern-client-secret' }
    const openid = await startOpenIdDouble({
      clients: [{ ...credentials, redirectUris: [`${issuer}/callback/openid`] }],
    })
    const notes = await startNotesServer()
    const url = `http://127.0.0.1:${proxy.port}`
    const environment = {
      HTTP_PROXY: url,
      HTTPS_PROXY: url,
      ALL_PROXY: url,
      http_proxy: url,
      https_proxy: url,
      all_proxy: url,
      npm_config_proxy: url,
      NO_PROXY: '',
      NODE_USE_ENV_PROXY: '1',
    }
    const served = await servePostern(
      {
        issuer,
        listen: { port, metricsPort: 0 },
        databaseUrl: 'sqlite:postern.db',
        providers: [
          { type: 'oidc', id: 'openid', title: 'OpenID', issuer: openid.issuer, ...credentials },
        ],
        connectors: { notes: { url: notes.url } },
      },
      environment,
    )
    onTestFinished(async () => {
      await served.close()
      await Promise.all([openid.close(), notes.close()])
    })
    const resource = `${issuer}/mcp/notes`
    const caller = await signInAsClient({
      resource,
      redirectUri: 'http://127.0.0.1:9/callback',
      visitor: createVisitor({ press: [/^allow/i, /^continue as ada/i] }),
    })
    expect((await callTool(resource, caller.accessToken)).status).toBe(200)
    expect(proxy.seen).toEqual({ connections: 0, bytes: 0 })
    // The trap is real: the platform's own fetch goes there.
    await runProcess({
      name: 'fetch',
      command: process.execPath,
      args: ['-e', `fetch('http://remote.test/').catch(() => undefined)`],
      env: environment,
      deadlineMs: 10_000,
    })
    expect(proxy.seen.connections).toBeGreaterThan(0)
  })
})
