/**
 * One or more whole nodes in this process on one SQLite file, under one fake clock, with a provider
 * that is a plain object and signs what it says with its own key. No sockets: requests go to `fetch` of
 * a node, exchanges of the house to a function.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as jose from 'jose'
import { onTestFinished } from 'vitest'
import { createPostern, openingOf, type Postern } from '../../src/app.ts'
import { parseConfig } from '../../src/config/parse.ts'
import type { Config, PosternConfig } from '../../src/config.ts'
import type { House } from '../../src/house.ts'
import type { Fetch, FetchRequest } from '../../src/ports.ts'
import { defineProvider, type Identity, type Provider } from '../../src/providers/index.ts'
import type { SignIn } from '../../src/providers/provider.ts'
import { Secret } from '../../src/secret.ts'
import {
  redeem,
  register,
  signIn,
  type TestHouse,
  type Tokens,
  Visitor,
} from '../flow/sign-in-house.ts'
import { createWatchedPlatform, type WatchedPlatform } from './platform.ts'
import { createTestRuntime, type TestRuntime } from './runtime.ts'

export const ISSUER = 'https://auth.example'
export const RESOURCE = 'https://notes.example/mcp'
export const CREDENTIAL = 'credential-of-the-notes-server-0123456789'
export const PROVIDER_ISSUER = 'https://id.example'
export const PROVIDER_CLIENT = 'client-at-id'
export const WEBHOOK_SECRET = 'secret-of-the-webhook-at-the-provider'
const SEALING_KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'

const REST_TRIES_MAX = 20
const REAL_PATIENCE_MS = 100

/** The remote side: who signs in next, what it was asked, and whether it is there. */
export interface Remote {
  readonly provider: Provider
  person: { subject: string; sid?: string }
  isUp: boolean
  /** Access and refresh tokens that it says no to. */
  readonly refused: Set<string>
  /** Refresh or access tokens it was asked to revoke, in order. */
  readonly revoked: string[]
  /** Every try, also those that failed. */
  revocationsAsked: number
  refreshesAsked: number
  /** Requests of the house, as `METHOD url`. */
  readonly exchanges: string[]
  /** Signs with the provider's key. */
  sign(claims: jose.JWTPayload, header?: Partial<jose.JWTHeaderParameters>): Promise<string>
}

export interface Node {
  readonly postern: Postern
  readonly platform: WatchedPlatform
  readonly house: House
  fetch(request: Request): Promise<Response>
  post(
    path: string,
    body: string | Readonly<Record<string, string>>,
    headers?: Record<string, string>,
  ): Promise<Response>
  /** What `protect()` says to this access token: 200 or the status of the refusal. */
  call(accessToken: string): Promise<number>
  /** The first visit of a new browser of `remote.person`; the client is registered by it. */
  signIn(client?: { readonly clientId: string; readonly secret: string }): Promise<SignedIn>
  refresh(signedIn: SignedIn): Promise<Response>
  close(): Promise<void>
}

export interface SignedIn extends Tokens {
  readonly clientId: string
  readonly visitor: Visitor
  readonly userId: string
  readonly grantId: string
}

export interface Nodes {
  readonly runtime: TestRuntime
  readonly remote: Remote
  readonly nodes: readonly Node[]
  readonly config: Config
  readonly first: Node
  readonly second: Node
  /** Starts one more on the same file. */
  add(): Promise<Node>
  settle(): Promise<void>
  elapse(ms: number, stepMs?: number): Promise<void>
}

export async function startNodes(
  options: {
    readonly nodes?: 1 | 2
    readonly config?: Partial<PosternConfig>
    readonly provider?: Partial<Provider>
    /** Other documents by URL, for instance key sets. */
    readonly documents?: Readonly<Record<string, unknown>>
    /** Changes the platform of the node that is opened next, by its number from 0. */
    readonly platform?: (platform: WatchedPlatform, node: number) => WatchedPlatform
  } = {},
): Promise<Nodes> {
  const runtime = createTestRuntime()
  const folder = await mkdtemp(join(tmpdir(), 'postern-nodes-'))
  const { remote, fetch } = await createRemote(options)
  const input: PosternConfig = {
    issuer: ISSUER,
    databaseUrl: `sqlite:${join(folder, 'postern.db')}`,
    sealingKey: SEALING_KEY,
    providers: [remote.provider],
    allow: 'anyone',
    resources: [{ url: RESOURCE, credential: CREDENTIAL }],
    ...options.config,
  }
  const nodes: Node[] = []
  const settle = async (): Promise<void> => {
    for (const { platform } of nodes) await rest(platform)
  }
  const add = async (): Promise<Node> => {
    const change = options.platform ?? ((platform: WatchedPlatform) => platform)
    const node = await openNode(input, runtime, fetch, (made) => change(made, nodes.length))
    nodes.push(node)
    await settle()
    return node
  }
  onTestFinished(async () => {
    for (const node of nodes) await node.close()
    await rm(folder, { recursive: true, force: true })
  })
  for (let count = 0; count < (options.nodes ?? 1); count += 1) await add()
  const at = (index: number): Node => {
    const node = nodes[index]
    if (node === undefined) throw new Error(`there is no node ${index}`)
    return node
  }
  return {
    runtime,
    remote,
    nodes,
    config: parseConfig(input, { environment: {} }),
    get first() {
      return at(0)
    },
    get second() {
      return at(1)
    },
    add,
    settle,
    async elapse(ms, stepMs = 500) {
      for (let left = ms; left > 0; left -= stepMs) {
        runtime.advanceMs(Math.min(left, stepMs))
        await settle()
      }
    },
  }
}

/** Two writers of one file take turns in real time, which a busy machine stretches. */
async function rest(platform: WatchedPlatform): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await platform.settle(() => false)
      return
    } catch (error) {
      if (tries >= REST_TRIES_MAX) throw error
      await new Promise((resolve) => setTimeout(resolve, REAL_PATIENCE_MS))
    }
  }
}

async function openNode(
  input: PosternConfig,
  runtime: TestRuntime,
  fetch: Fetch,
  change: (platform: WatchedPlatform) => WatchedPlatform,
): Promise<Node> {
  const watched = change(createWatchedPlatform(runtime))
  const platform: WatchedPlatform = {
    ...watched,
    openFetch: () => ({
      fetch,
      send: () => Promise.reject(new Error('nothing is proxied here')),
      close: async () => undefined,
    }),
  }
  const postern = createPostern(input, platform)
  const opening = openingOf(postern)
  if (opening === undefined) throw new Error('not a Postern')
  const house = await opening.open()
  const fetchOf = (request: Request) => postern.fetch(request)
  // The kit of the issuer's tests needs no more of a house than this.
  const asHouse = { fetch: fetchOf, issuer: ISSUER, runtime } as unknown as TestHouse
  const post: Node['post'] = (path, body, headers = {}) =>
    fetchOf(
      new Request(`${ISSUER}${path}`, {
        method: 'POST',
        body: typeof body === 'string' ? body : new URLSearchParams(body),
        headers,
      }),
    )
  let isOpen = true
  return {
    postern,
    platform,
    house,
    fetch: fetchOf,
    post,
    async call(accessToken) {
      const headers = { authorization: `Bearer ${accessToken}` }
      const answer = await postern.authenticate(new Request(RESOURCE, { headers }))
      return 'response' in answer ? answer.response.status : 200
    },
    async signIn(given) {
      const clientId = given?.clientId ?? (await register(asHouse)).client_id
      const secret: Record<string, string> =
        given === undefined ? {} : { client_secret: given.secret }
      const visitor = new Visitor(asHouse)
      const { code = '' } = await signIn(asHouse, visitor, clientId, { resource: RESOURCE })
      const tokens = (await (await redeem(asHouse, clientId, code, secret)).json()) as Tokens
      const { sub = '', gid } = jose.decodeJwt(tokens.access_token)
      return { ...tokens, clientId, visitor, userId: sub, grantId: String(gid) }
    },
    refresh: ({ clientId, refresh_token }) =>
      post('/token', { grant_type: 'refresh_token', client_id: clientId, refresh_token }),
    async close() {
      if (isOpen) await postern.close()
      isOpen = false
    },
  }
}

async function createRemote(
  options: Parameters<typeof startNodes>[0] = {},
): Promise<{ remote: Remote; fetch: Fetch }> {
  const { publicKey, privateKey } = await jose.generateKeyPair('ES256')
  const jwk = { ...(await jose.exportJWK(publicKey)), kid: 'id-key', alg: 'ES256', use: 'sig' }
  const documents: Readonly<Record<string, unknown>> = {
    [`${PROVIDER_ISSUER}/.well-known/openid-configuration`]: {
      issuer: PROVIDER_ISSUER,
      authorization_endpoint: `${PROVIDER_ISSUER}/authorize`,
      token_endpoint: `${PROVIDER_ISSUER}/token`,
      jwks_uri: `${PROVIDER_ISSUER}/jwks`,
      id_token_signing_alg_values_supported: ['ES256'],
    },
    [`${PROVIDER_ISSUER}/jwks`]: { keys: [jwk] },
    ...options.documents,
  }
  let issued = 0
  const remote: Remote = {
    person: { subject: 'ada' },
    isUp: true,
    refused: new Set(),
    revoked: [],
    revocationsAsked: 0,
    refreshesAsked: 0,
    exchanges: [],
    sign: (claims, header = {}) =>
      new jose.SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', kid: 'id-key', ...header })
        .sign(privateKey),
    provider: defineProvider({
      id: 'github',
      type: 'id',
      title: 'Example',
      issuer: PROVIDER_ISSUER,
      openId: { issuer: PROVIDER_ISSUER },
      callbackPath: '/callback/github',
      clientId: PROVIDER_CLIENT,
      webhookSecret: new Secret(WEBHOOK_SECRET),
      scopes: ['openid'],
      approvedOrigins: [],
      judgeIssuer: async () => 'right',
      async authorize(_context, { state }) {
        const url = new URL(`${PROVIDER_ISSUER}/authorize`)
        url.searchParams.set('state', state)
        url.searchParams.set('redirect_uri', `${ISSUER}/callback/github`)
        return url
      },
      async exchange(): Promise<SignIn> {
        issued += 1
        const { subject, sid } = remote.person
        const identity: Identity = {
          issuer: PROVIDER_ISSUER,
          subject,
          profile: { name: subject, email: `${subject}@corp.example`, emailVerified: true },
          groups: [],
        }
        const tokens = {
          accessToken: `upstream-access-${issued}-of-${subject}`,
          refreshToken: `upstream-refresh-${issued}-of-${subject}`,
          tokenType: 'bearer',
        }
        const providerSid = sid === undefined ? {} : { providerSid: sid }
        return { tokens, identity, proof: {}, ...providerSid }
      },
      check: async (_context, { accessToken }) =>
        remote.refused.has(accessToken) ? { outcome: 'no', reason: 'refused' } : { outcome: 'yes' },
      async refresh(_context, refreshToken) {
        remote.refreshesAsked += 1
        return remote.refused.has(refreshToken)
          ? { outcome: 'no', reason: 'invalid_grant' }
          : { outcome: 'unknown', reason: 'not_now' }
      },
      async revoke(_context, tokens) {
        remote.revocationsAsked += 1
        if (remote.isUp) remote.revoked.push(tokens.refreshToken ?? tokens.accessToken)
        return remote.isUp
      },
      ...options.provider,
    }),
  }
  const fetch = async ({ method, url }: FetchRequest) => {
    remote.exchanges.push(`${method} ${url.href}`)
    const document = documents[url.href]
    const status = document === undefined ? 404 : 200
    const answer = new Response(JSON.stringify(document ?? {}), {
      status,
      headers: { 'content-type': 'application/json' },
    })
    return { status, headers: answer.headers, body: answer.body }
  }
  return { remote, fetch }
}
