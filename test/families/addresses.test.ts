/**
 * Addresses and hosts of outbound URLs (threats.md section 4, B4): whoever names them, and wherever they
 * stand, nobody connects to an address that is not public. Connections are counted below every client
 * and by listeners of the loopback.
 */
import { type AddressInfo, createServer } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import type { OurClient } from '../../src/connectors/client/registration.ts'
import { createTokenCalls } from '../../src/connectors/client/token-calls.ts'
import { type DiscoveryTarget, openDiscovery } from '../../src/connectors/discovery/discovery.ts'
import type { Binding } from '../../src/connectors/lifecycle/binding.ts'
import { createEgress, type Egress } from '../../src/net/egress.ts'
import { createNodeFetch, type NodeFetch } from '../../src/node/fetch.ts'
import { createNodeRuntime } from '../../src/node/runtime.ts'
import { type Attempts, watchAttempts } from '../kit/attempts.ts'
import { createRecordingEmit } from '../kit/emit.ts'
import { checkFamily, countOf, createDraw, type Draw, distinct } from '../kit/family.ts'
import { connectorInput } from '../kit/outbound.ts'
import { specialAnswers, specialHost } from '../kit/special-hosts.ts'

/** All of a family in one test, on a busy machine. */
const FAMILY_TIMEOUT_MS = 600_000
const LIMITS = { timeoutMs: 2_000, maxBytes: 1_024 }

interface Outside {
  readonly fetch: NodeFetch['fetch']
  readonly egress: Egress
  readonly attempts: Attempts
  readonly approvedOrigins: ReadonlySet<string>
  /** A port of the loopback, both families; what connects there is counted. */
  readonly trap: { readonly port: number; connections: number }
}

async function openOutside(approved: readonly string[] = []): Promise<Outside> {
  const draw = createDraw()
  const runtime = createNodeRuntime()
  const opened = createNodeFetch({ resolve: async () => specialAnswers(draw) })
  onTestFinished(() => opened.close())
  const approvedOrigins = new Set(approved)
  const egress = createEgress({
    fetch: opened.fetch,
    runtime,
    emit: createRecordingEmit(),
    approvedOrigins,
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: 500,
  })
  const trap = await openTrap()
  const attempts = watchAttempts()
  return { fetch: opened.fetch, egress, attempts, approvedOrigins, trap }
}

async function openTrap(): Promise<Outside['trap']> {
  const trap = { port: 0, connections: 0 }
  const server = createServer((socket) => {
    trap.connections += 1
    socket.destroy()
  })
  await new Promise<void>((resolve) => {
    // Without IPv6 on this machine, IPv4 is all that can be reached.
    server.once('error', () => server.listen(0, '0.0.0.0', resolve))
    server.listen(0, '::', resolve)
  })
  onTestFinished(async () => {
    await new Promise((resolve) => server.close(resolve))
  })
  trap.port = (server.address() as AddressInfo).port
  return trap
}

/** A port that is not the scheme's is refused for itself, so most go without. */
const odd = (draw: Draw, port: number): string =>
  `${draw.pick(['https', 'https', 'https', 'http'])}://${specialHost(draw)}${draw.pick(['', '', '', `:${port}`])}/${draw.pick(['', 'token', '.well-known/x', 'latest/meta-data'])}`

describe('B4: addresses of outbound URLs', { timeout: FAMILY_TIMEOUT_MS }, () => {
  it('S1 NET-01 NET-02 I6 B4: no URL leads the one way out to an address that is not public', async () => {
    const { egress, attempts, trap } = await openOutside()
    const urls = distinct(countOf(300), (draw) => odd(draw, trap.port))
    await checkFamily('B4 egress', urls, async (url) => {
      for (const method of ['GET', 'POST'] as const) {
        const request = { operation: 'discovery', method, url, ...LIMITS } as const
        await expect(egress.exchange(request)).rejects.toThrow()
      }
      expect(attempts.list()).toEqual([])
    })
    expect(trap.connections).toBe(0)
  })

  it('S1 S2 NET-02 B4: the port alone refuses them, too, with nobody before it', async () => {
    const { fetch, attempts, trap } = await openOutside()
    const urls = distinct(countOf(300), (draw) => odd(draw, trap.port)).flatMap((text) => {
      const url = URL.parse(text)
      return url === null ? [] : [url]
    })
    await checkFamily('B4 port', urls, async (url) => {
      const signal = AbortSignal.timeout(2_000)
      const request = { method: 'GET', url, headers: {}, body: undefined, signal } as const
      const exchange = fetch({ ...request, connectTimeoutMs: 500, addresses: 'public' })
      await expect(exchange).rejects.toThrow()
      expect(attempts.list()).toEqual([])
    })
    expect(trap.connections).toBe(0)
  })

  it('B4: the count is real: an origin that the file names is connected to, and seen', async () => {
    const remote = await startRemoteServer()
    onTestFinished(() => remote.close())
    const { egress, attempts } = await openOutside([remote.origin])
    const answer = await egress.exchange({
      operation: 'discovery',
      method: 'GET',
      url: `${remote.origin}/.well-known/oauth-authorization-server`,
      timeoutMs: 2_000,
      maxBytes: 65_536,
    })
    expect(answer.status).toBe(200)
    expect(attempts.list()).toEqual([`127.0.0.1 ${new URL(remote.origin).port}`])
  })
})

/** Where a hostile document, challenge or redirect of a remote server may name a URL. */
const PLACES = [
  'challenge',
  'authorization_servers',
  'issuer',
  'token_endpoint',
  'authorization_endpoint',
  'registration_endpoint',
  'revocation_endpoint',
  'pushed_authorization_request_endpoint',
  'jwks_uri',
  'introspection_endpoint',
  'redirect',
] as const

interface Planted {
  readonly place: (typeof PLACES)[number]
  readonly url: string
}

function plant(remote: RemoteServer, { place, url }: Planted): void {
  const { settings } = remote
  settings.editResource = (document) =>
    place === 'authorization_servers' ? { ...document, authorization_servers: [url] } : document
  settings.editServer = (document) =>
    /^(issuer|.*_endpoint|jwks_uri)$/.test(place) ? { ...document, [place]: url } : document
  // A header line is bytes.
  const bytes = Buffer.from(url).toString('latin1')
  remote.answerWith(
    'POST /mcp',
    place === 'challenge'
      ? { status: 401, headers: { 'www-authenticate': `Bearer resource_metadata="${bytes}"` } }
      : undefined,
  )
  for (const path of ['oauth-protected-resource/mcp', 'oauth-authorization-server'])
    remote.answerWith(
      `GET /.well-known/${path}`,
      place === 'redirect' ? { status: 302, headers: { location: bytes } } : undefined,
    )
}

describe('B4: URLs that a remote server names', { timeout: FAMILY_TIMEOUT_MS }, () => {
  async function openEngine(followMetadataRedirects: boolean) {
    const remote = await startRemoteServer()
    onTestFinished(() => remote.close())
    const outside = await openOutside([remote.origin])
    const engine = await openDiscovery({
      egress: outside.egress,
      runtime: createNodeRuntime(),
      emit: createRecordingEmit(),
      limits: {
        discoveryTtlSeconds: 3_600,
        discoveryStaleSeconds: 86_400,
        discoveryStaleIfErrorSeconds: 604_800,
        discoveryTimeoutMs: 5_000,
        metadataTimeoutMs: 3_000,
      },
      approvedOrigins: outside.approvedOrigins,
    })
    onTestFinished(() => engine.close())
    const oauth = { strictResource: false, legacyDiscovery: true, followMetadataRedirects }
    const ask = async (target: DiscoveryTarget) => {
      await engine.drop(target)
      return await engine.read(target, { deadlineMs: 5_000, retry: true })
    }
    return { remote, oauth, ask, ...outside }
  }

  it.each([false, true])(
    'S1 S3 S8 O9 NET-02 B4: discovery asks only the named server, redirects followed: %s',
    async (follows) => {
      const { remote, oauth, ask, attempts, trap } = await openEngine(follows)
      const own = `127.0.0.1 ${new URL(remote.origin).port}`
      const target = { url: new URL(remote.url), approved: true, oauth, hasCredentials: false }
      const urls = distinct(countOf(300), (draw) => odd(draw, trap.port))
      const cases = urls.map(
        (url, at): Planted => ({ url, place: PLACES[at % PLACES.length] ?? 'challenge' }),
      )
      const outcomes = { found: 0, refused: 0 }
      await checkFamily('B4 documents', cases, async (planted) => {
        plant(remote, planted)
        const result = await ask(target)
        outcomes[result.ok ? 'found' : 'refused'] += 1
        expect(attempts.list().filter((each) => each !== own)).toEqual([])
        // A person's browser and our tokens go to https, or to what the file names (NET-08).
        if (!result.ok) return
        const { authorization_endpoint, token_endpoint } = result.discovered.authorizationServer
        for (const each of [authorization_endpoint, token_endpoint])
          expect([remote.origin, 'https:']).toContain(
            each.startsWith(remote.origin) ? remote.origin : new URL(each).protocol,
          )
      })
      expect(outcomes.refused).toBeGreaterThan(0)
      expect(attempts.list()).toContain(own)
      expect(trap.connections).toBe(0)
    },
  )

  it('I6 A18 B4: a server that a stranger names is asked at public addresses only, approved ones included', async () => {
    const { remote, oauth, ask, attempts, trap } = await openEngine(false)
    const own = [remote.url, remote.url.replace('127.0.0.1', 'localhost')]
    const urls = [...own, ...distinct(countOf(300), (draw) => odd(draw, trap.port))].flatMap(
      (text) => {
        const url = URL.parse(text)
        return url === null ? [] : [url]
      },
    )
    await checkFamily('B4 targets', urls, async (url) => {
      const result = await ask({ url, approved: false, oauth, hasCredentials: false })
      expect(result.ok).toBe(false)
      expect(attempts.list()).toEqual([])
    })
    expect(trap.connections).toBe(0)
  })
})

it('I6 S1 O4 B4: no token call of a connector reaches an address that is not public, whatever was accepted', {
  timeout: FAMILY_TIMEOUT_MS,
}, async () => {
  const { egress, attempts, trap } = await openOutside()
  const calls = createTokenCalls({
    egress,
    runtime: createNodeRuntime(),
    assertionKeys: { sign: async () => 'assertion' },
    tokenCallTimeoutMs: 2_000,
  })
  const client: OurClient = {
    clientId: 'ours',
    how: 'static',
    authMethod: 'client_secret_basic',
    secret: 'secret-of-our-client',
    redirectUri: 'https://postern.example/connect/notes/callback',
  }
  const urls = distinct(countOf(300), (draw) => odd(draw, trap.port))
  await checkFamily('B4 token calls', urls, async (url) => {
    const issuer = 'https://auth.notes.example'
    const server: Binding['server'] = {
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: url,
      revocation_endpoint: url,
      pushed_authorization_request_endpoint: url,
    }
    const binding: Binding = { connector: connectorInput(), issuer, resource: undefined, server }
    const trip = { redirectUri: client.redirectUri, resource: undefined }
    const answers = await Promise.all([
      calls.exchange(binding, client, { code: 'code', verifier: 'v'.repeat(43), ...trip }),
      calls.refresh(binding, client, { refreshToken: 'refresh', resource: undefined }),
      calls.clientCredentials(binding, client, { scopes: [] }),
      calls.push(binding, client, new URLSearchParams()),
    ])
    expect(answers.map(({ outcome }) => outcome)).toEqual(answers.map(() => 'unknown'))
    expect(await calls.revoke(binding, client, 'refresh', 'refresh_token')).toBe('unknown')
    expect(attempts.list()).toEqual([])
  })
  expect(trap.connections).toBe(0)
})
