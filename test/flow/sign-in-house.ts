/**
 * An authorization server for flow tests: our own rooms over the memory store and a test clock, with
 * a provider that stands for the remote side. A `Visitor` is one browser: cookies, navigations, forms.
 */
import { createMemoryBus, createMemoryStore } from '../../src/adapters/memory.ts'
import { LIMITS, type Limits } from '../../src/config/fields.ts'
import type { Config, ConnectorConfig } from '../../src/config.ts'
import type { IssuerDeps, IssuerProofs } from '../../src/issuer/house.ts'
import { createIssuerRoutes } from '../../src/issuer/routes.ts'
import type { Egress } from '../../src/net/egress.ts'
import type { Store } from '../../src/ports.ts'
import type { Provider, ProviderContext } from '../../src/providers/provider.ts'
import type { Mark } from '../../src/records.ts'
import { createRecordingEmit } from '../kit/emit.ts'
import { createTestRuntime, type TestRuntime } from '../kit/runtime.ts'
import { createFakeProvider } from './fake-provider.ts'

export { GRACE } from './fake-provider.ts'

export const ISSUER = 'https://auth.example'
export const NOTES = `${ISSUER}/mcp/notes`
export const WEB_REDIRECT = 'https://client.example/cb'
export const LOOPBACK_REDIRECT = 'http://127.0.0.1:33418/cb'

export interface HouseOptions {
  /** In the place of what the house is otherwise made of. */
  readonly deps?: Partial<IssuerDeps>
  readonly issuer?: string
  readonly config?: Partial<Config>
  readonly limits?: Partial<Limits>
  readonly connectors?: readonly string[]
  readonly store?: Store
  readonly runtime?: TestRuntime
  readonly address?: string
  /** Default two: GitHub and Okta. */
  readonly providers?: 1 | 2
}

export type TestHouse = ReturnType<typeof createTestIssuer>

export function createTestIssuer(options: HouseOptions = {}) {
  const issuer = options.issuer ?? ISSUER
  const runtime = options.runtime ?? createTestRuntime()
  const emit = createRecordingEmit()
  const store = options.store ?? createMemoryStore()
  const provider = createFakeProvider('github', 'GitHub', issuer)
  const other = createFakeProvider('okta', 'Okta', issuer)
  const marks: Mark[] = []
  const proofs = createProofs()
  const config = createConfig(issuer, options)
  const deps: IssuerDeps = {
    config: { ...config, providers: [provider.provider, other.provider] },
    store,
    runtime,
    emit,
    bus: createMemoryBus(),
    keys: createKeys(runtime),
    vault: { sealTokens: (vaultId, tokens) => sealTokens(runtime, vaultId, tokens.accessToken) },
    proofs,
    revocation: {
      markLocal: (mark) => marks.push(mark),
      marked: ({ grantId, jti, userId }) =>
        marks.some(
          ({ kind, id }) =>
            (kind === 'grant' && id === grantId) ||
            (kind === 'token' && id === jti) ||
            (kind === 'user' && id === userId),
        ),
    },
    providers: [provider, other].slice(0, options.providers ?? 2).map((fake) => ({
      provider: fake.provider,
      context: contextOf(fake.provider, issuer, runtime),
    })),
    clientAddress: (request) => request.headers.get('x-test-address') ?? options.address,
    ...options.deps,
  }
  const routes = createIssuerRoutes(deps)
  const fetch = (request: Request) => Promise.resolve(routes.app.fetch(request))
  return { issuer, runtime, emit, store, provider, other, marks, proofs, deps, routes, fetch }
}

function createConfig(issuer: string, options: HouseOptions): Config {
  const limits = Object.fromEntries(
    Object.entries(LIMITS).map(([name, limit]) => [name, limit.default]),
  )
  return {
    issuer,
    development: issuer.startsWith('http:'),
    listen: { host: '127.0.0.1', port: 8414, metricsPort: 0, trustedProxies: [] },
    prefix: '',
    databaseUrl: 'memory:',
    sealingKeys: [],
    providers: [],
    allow: 'anyone',
    connectors: (options.connectors ?? ['notes']).map((name) => connector(issuer, name)),
    resources: [],
    scopeAliases: {},
    clients: [],
    registration: { dynamic: true, metadataDocuments: true, redirectHosts: [] },
    enable: [],
    egress: { allowHosts: [], denyHosts: [] },
    brand: { name: 'Postern' },
    log: { level: 'silent', format: 'json' },
    limits: { ...(limits as unknown as Limits), ...options.limits },
    ...options.config,
  }
}

export function connector(
  issuer: string,
  name: string,
  rest: Partial<ConnectorConfig> = {},
): ConnectorConfig {
  return {
    name,
    url: new URL(`http://127.0.0.1:8000/${name}`),
    auth: 'identity',
    path: `/mcp/${name}`,
    resource: `${issuer}/mcp/${name}`,
    routes: { protected: [], public: [] },
    subject: 'postern',
    claims: [],
    title: `${name.charAt(0).toUpperCase()}${name.slice(1)}`,
    enabled: true,
    ...rest,
  }
}

function createKeys(runtime: TestRuntime): IssuerDeps['keys'] {
  const jwk = runtime.createSigningJwk()
  const { d: _private, ...publicJwk } = jwk
  const secrets = [0, 1, 2].map(() => runtime.randomBytes(32))
  const at = (index: number) => secrets[index] ?? new Uint8Array(32)
  const current = { kid: 'key-1', key: runtime.importSigningKey(jwk) }
  const verifyKeys = new Map([['key-1', runtime.importVerifyKey(publicJwk)]])
  return {
    current: () => current,
    verifyKeys: () => verifyKeys,
    jwks: () => ({ keys: [{ ...publicJwk, kid: 'key-1', use: 'sig', alg: 'ES256' }] }),
    tagKey: () => at(0),
    refreshTagKey: () => at(1),
    ticketKey: () => at(2),
  }
}

const SEALING_KEY = new Uint8Array(32).fill(7)

function sealTokens(runtime: TestRuntime, vaultId: string, accessToken: string) {
  return { sealed: runtime.seal(SEALING_KEY, accessToken, vaultId), keyId: 'k1' }
}

interface TestProofs extends IssuerProofs {
  next: ReturnType<IssuerProofs['state']>
  readonly renewed: string[]
  readonly provedIds: string[]
  readonly forgotten: string[]
}

function createProofs(): TestProofs {
  const proofs: TestProofs = {
    next: 'fresh',
    renewed: [],
    provedIds: [],
    forgotten: [],
    forget: (vaultId) => void proofs.forgotten.push(vaultId),
    state: () => proofs.next,
    renew: (vaultId) => void proofs.renewed.push(vaultId),
    proved: (vaultId) => void proofs.provedIds.push(vaultId),
  }
  return proofs
}

function contextOf(provider: Provider, issuer: string, runtime: TestRuntime): ProviderContext {
  const nobody = () => Promise.reject(new Error('no network here'))
  const egress = { exchange: nobody } as unknown as Egress
  return {
    egress,
    runtime,
    discovery: nobody,
    jwks: nobody,
    refreshJwks: nobody,
    redirectUri: `${issuer}${provider.callbackPath}`,
    timeoutMs: 1000,
  }
}

/** One browser. Follows nothing by itself: each step is a call, as a person makes it. */
export class Visitor {
  readonly cookies = new Map<string, string>()
  readonly house: TestHouse
  constructor(house: TestHouse) {
    this.house = house
  }

  async get(url: string | URL, headers: Record<string, string> = {}): Promise<Response> {
    const navigation = {
      accept: 'text/html',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': 'document',
      'sec-fetch-site': 'none',
    }
    return this.send(
      new Request(new URL(url, this.house.issuer), { headers: { ...navigation, ...headers } }),
    )
  }

  async post(
    url: string,
    form: Record<string, string>,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const body = new URLSearchParams(form)
    const own = { 'sec-fetch-site': 'same-origin', origin: 'null', 'sec-fetch-mode': 'navigate' }
    return this.send(
      new Request(new URL(url, this.house.issuer), {
        method: 'POST',
        body,
        headers: { ...own, ...headers },
      }),
    )
  }

  private async send(request: Request): Promise<Response> {
    if (this.cookies.size > 0)
      request.headers.set('cookie', [...this.cookies].map((pair) => pair.join('=')).join('; '))
    const response = await this.house.fetch(request)
    for (const line of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split('; ')
      const [name = '', value = ''] = pair.split('=')
      if (attributes.includes('Max-Age=0')) this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return response
  }

  cookieNamed(part: string): string | undefined {
    return [...this.cookies.keys()].find((name) => name.includes(part))
  }

  /** Presses a button of a page with a form. */
  async press(
    page: Response | string,
    decision: string,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const text = typeof page === 'string' ? page : await page.text()
    return this.post('/consent', { ticket: ticketOf(text), decision }, headers)
  }

  /** What the provider sends the browser back with. */
  async comeBack(toProvider: Response, parameters: Record<string, string> = {}): Promise<Response> {
    const journey = new URL(locationOf(toProvider))
    const url = new URL(journey.searchParams.get('redirect_uri') ?? '')
    url.searchParams.set('state', journey.searchParams.get('state') ?? '')
    if (parameters.error === undefined) url.searchParams.set('code', 'provider-code')
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
    return this.get(url, { 'sec-fetch-site': 'cross-site' })
  }
}

export function ticketOf(html: string): string {
  const ticket = /name="ticket" value="([^"]+)"/.exec(html)?.[1]
  if (ticket === undefined) throw new Error(`no form in this page:\n${html.slice(0, 2000)}`)
  return ticket
}

export function locationOf(response: Response): string {
  const location = response.headers.get('location')
  if (location === null) throw new Error(`no redirect: ${response.status}`)
  return location
}

export function answerOf(response: Response): Record<string, string> {
  return Object.fromEntries(new URL(locationOf(response)).searchParams)
}

export const VERIFIER = 'v'.repeat(43)

export function authorizeUrl(
  house: TestHouse,
  clientId: string,
  rest: Record<string, string | undefined> = {},
): URL {
  const url = new URL('/authorize', house.issuer)
  const parameters: Record<string, string | undefined> = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: WEB_REDIRECT,
    state: 'client-state',
    code_challenge: house.runtime.sha256(VERIFIER),
    code_challenge_method: 'S256',
    resource: `${house.issuer}/mcp/notes`,
    scope: 'mcp',
    ...rest,
  }
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined) url.searchParams.set(name, value)
  return url
}

export async function register(
  house: TestHouse,
  metadata: Record<string, unknown> = {},
): Promise<{ client_id: string; client_secret?: string }> {
  const body = {
    client_name: 'Claude',
    redirect_uris: [WEB_REDIRECT],
    token_endpoint_auth_method: 'none',
    ...metadata,
  }
  const response = await house.fetch(
    new Request(`${house.issuer}/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  )
  if (response.status !== 201)
    throw new Error(`registration: ${response.status} ${await response.text()}`)
  return (await response.json()) as { client_id: string; client_secret?: string }
}

/** The whole first visit; ends at the client's redirect URI. */
export async function signIn(
  house: TestHouse,
  visitor: Visitor,
  clientId: string,
  rest: Record<string, string | undefined> = {},
): Promise<Record<string, string>> {
  const page = await visitor.get(authorizeUrl(house, clientId, rest))
  const toProvider = await visitor.press(page, 'allow:github')
  return answerOf(await visitor.comeBack(toProvider))
}

export function token(
  house: TestHouse,
  form: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Response> {
  return house.fetch(
    new Request(`${house.issuer}/token`, {
      method: 'POST',
      body: new URLSearchParams(form),
      headers,
    }),
  )
}

export interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly expires_in: number
  readonly scope: string
  readonly token_type: string
}

export async function redeem(
  house: TestHouse,
  clientId: string,
  code: string,
  rest: Record<string, string> = {},
): Promise<Response> {
  return token(house, {
    grant_type: 'authorization_code',
    client_id: clientId,
    code,
    code_verifier: VERIFIER,
    redirect_uri: WEB_REDIRECT,
    ...rest,
  })
}

export async function tokensFor(house: TestHouse, clientId: string): Promise<Tokens> {
  const { code = '' } = await signIn(house, new Visitor(house), clientId)
  const response = await redeem(house, clientId, code)
  if (response.status !== 200) throw new Error(`token: ${response.status} ${await response.text()}`)
  return (await response.json()) as Tokens
}

export function refresh(
  house: TestHouse,
  clientId: string,
  refreshToken: string,
  rest: Record<string, string> = {},
): Promise<Response> {
  return token(house, {
    grant_type: 'refresh_token',
    client_id: clientId,
    refresh_token: refreshToken,
    ...rest,
  })
}

export function claimsOf(accessToken: string): Record<string, unknown> {
  const payload = accessToken.split('.')[1] ?? ''
  return JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as Record<
    string,
    unknown
  >
}

export async function errorOf(response: Response): Promise<string> {
  return ((await response.json()) as { error: string }).error
}
