/**
 * Two processes of the product on one SQLite file and one issuer, as behind a balancer, and a browser
 * that may ask either. Both trust the loopback as their proxy, so that each request has an address of
 * its own and no limit per network stands in the way of a race.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type OpenIdDouble, startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { type NotesServer, startNotesServer } from '../../demo/servers/notes.ts'
import { freePort, servePostern } from './postern.ts'

const CLIENT = { clientId: 'postern', clientSecret: 'postern-client-secret' }
export const RACER = { clientId: 'racer', redirectUri: 'https://racer.example/callback' }
const VERIFIER = 'v'.repeat(64)
const EXCHANGE_DEADLINE_MS = 30_000

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

export interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
}

export interface TwoNodes {
  readonly issuer: string
  readonly resource: string
  readonly provider: OpenIdDouble
  /** One request at one of the two nodes: 0 or 1. */
  ask(node: number, path: string, options?: AskOptions): Promise<Answer>
  /** A code for Ada, who allowed this client once. */
  code(): Promise<string>
  redeem(node: number, code: string): Promise<Answer>
  refresh(node: number, refreshToken: string): Promise<Answer>
  revoke(node: number, token: string): Promise<Answer>
  /** One `tools/call`. */
  call(node: number, accessToken: string): Promise<Answer>
  /** Tokens of a new grant. */
  tokens(): Promise<Tokens>
  close(): Promise<void>
}

interface AskOptions {
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly form?: Readonly<Record<string, string>>
  readonly json?: unknown
}

export async function startTwoNodes(): Promise<TwoNodes> {
  const ports = [await freePort(), await freePort()] as const
  const issuer = `http://127.0.0.1:${ports[0]}`
  const folder = await mkdtemp(join(tmpdir(), 'postern-nodes-'))
  const provider = await startOpenIdDouble({
    clients: [{ ...CLIENT, redirectUris: [`${issuer}/callback/openid`] }],
  })
  const notes: NotesServer = await startNotesServer()
  const sealingKey = randomBytes(32).toString('base64url')
  const config = (port: number) => ({
    issuer,
    listen: { port, metricsPort: 0, trustedProxies: ['127.0.0.1'] },
    databaseUrl: `sqlite:${join(folder, 'postern.db')}`,
    sealingKey,
    providers: [
      { type: 'oidc', id: 'openid', title: 'OpenID', issuer: provider.issuer, ...CLIENT },
    ],
    connectors: { notes: { url: notes.url } },
    clients: { [RACER.clientId]: { name: 'Racer', redirectUris: [RACER.redirectUri] } },
    log: { level: 'error', format: 'json' },
  })
  const nodes = [await servePostern(config(ports[0])), await servePostern(config(ports[1]))]
  const agent = new Agent({ keepAlive: true, maxSockets: 128 })
  const ask = askAt(ports, agent)
  const resource = `${issuer}/mcp/notes`
  const cookies = new Map<string, string>()
  const code = codeOf({ ask, provider, issuer, resource, cookies })
  const redeem: TwoNodes['redeem'] = (node, value) =>
    ask(node, '/token', {
      form: {
        grant_type: 'authorization_code',
        client_id: RACER.clientId,
        code: value,
        code_verifier: VERIFIER,
        redirect_uri: RACER.redirectUri,
      },
    })
  return {
    issuer,
    resource,
    provider,
    ask,
    code,
    redeem,
    refresh: (node, refreshToken) =>
      ask(node, '/token', {
        form: {
          grant_type: 'refresh_token',
          client_id: RACER.clientId,
          refresh_token: refreshToken,
        },
      }),
    revoke: (node, token) => ask(node, '/revoke', { form: { client_id: RACER.clientId, token } }),
    call: (node, accessToken) =>
      ask(node, '/mcp/notes', {
        headers: {
          authorization: `Bearer ${accessToken}`,
          accept: 'application/json, text/event-stream',
        },
        json: { jsonrpc: '2.0', id: 1, method: 'ping' },
      }),
    async tokens() {
      const answer = await redeem(0, await code())
      if (answer.status !== 200) throw new Error(`no tokens: ${answer.status} ${answer.text}`)
      return JSON.parse(answer.text) as Tokens
    },
    async close() {
      agent.destroy()
      await Promise.all([...nodes.map((node) => node.close()), provider.close(), notes.close()])
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function askAt(ports: readonly number[], agent: Agent): TwoNodes['ask'] {
  let asked = 0
  return (node, path, { method, headers = {}, form, json } = {}) =>
    new Promise((resolve, reject) => {
      asked += 1
      const body =
        form === undefined
          ? json === undefined
            ? undefined
            : JSON.stringify(json)
          : new URLSearchParams(form).toString()
      const type = form === undefined ? 'application/json' : 'application/x-www-form-urlencoded'
      const request = httpRequest(
        {
          agent,
          host: '127.0.0.1',
          port: ports[node],
          path,
          method: method ?? (body === undefined ? 'GET' : 'POST'),
          headers: {
            host: `127.0.0.1:${ports[0]}`,
            'x-forwarded-for': `10.${(asked >> 16) & 255}.${(asked >> 8) & 255}.${asked & 255}`,
            ...(body === undefined
              ? {}
              : { 'content-type': type, 'content-length': Buffer.byteLength(body) }),
            ...headers,
          },
          signal: AbortSignal.timeout(EXCHANGE_DEADLINE_MS),
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text: Buffer.concat(chunks).toString('utf8'),
            }),
          )
        },
      )
      request.on('error', reject)
      request.end(body)
    })
}

interface Visit {
  readonly ask: TwoNodes['ask']
  readonly provider: OpenIdDouble
  readonly issuer: string
  readonly resource: string
  readonly cookies: Map<string, string>
}

/** The first time through the provider, then silently: a static client with an https redirect URI. */
function codeOf(visit: Visit): () => Promise<string> {
  const navigation = {
    accept: 'text/html',
    'sec-fetch-mode': 'navigate',
    'sec-fetch-dest': 'document',
    'sec-fetch-site': 'none',
  }
  const send: TwoNodes['ask'] = async (node, path, options = {}) => {
    const cookie = [...visit.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = { ...navigation, ...options.headers, ...(cookie === '' ? {} : { cookie }) }
    const answer = await visit.ask(node, path, { ...options, headers })
    for (const line of [answer.headers['set-cookie'] ?? []].flat()) {
      const [pair = ''] = line.split(';')
      const at = pair.indexOf('=')
      if (/max-age=0/i.test(line)) visit.cookies.delete(pair.slice(0, at))
      else visit.cookies.set(pair.slice(0, at), pair.slice(at + 1))
    }
    return answer
  }
  return async () => {
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: RACER.clientId,
      redirect_uri: RACER.redirectUri,
      resource: visit.resource,
      code_challenge_method: 'S256',
      code_challenge: challengeOf(VERIFIER),
    })
    let answer = await send(0, `/authorize?${query}`)
    if (answer.status === 200) {
      const ticket = /name="ticket" value="([^"]+)"/.exec(answer.text)?.[1] ?? ''
      const trip = await send(1, '/consent', {
        form: { ticket, decision: 'allow:openid' },
        headers: { origin: visit.issuer, 'sec-fetch-site': 'same-origin' },
      })
      const back = await visit.provider.playSignIn(String(trip.headers['location']), 'ada')
      answer = await send(0, `${back.pathname}${back.search}`)
    }
    const { location } = answer.headers
    const code = new URL(String(location), visit.issuer).searchParams.get('code')
    if (code === null) throw new Error(`no code: ${answer.status} ${answer.text.slice(0, 500)}`)
    return code
  }
}

function challengeOf(verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url')
}
