/**
 * The gateway's rooms wired for tests: real decisions, real carriers, real sockets; the store, the
 * marks and the proofs are what a test says they are.
 */
import { createServer, type Server } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { LIMITS, type Limits } from '../../src/config/fields.ts'
import type { Allow, ConnectorConfig } from '../../src/config.ts'
import { openLink, sealLink } from '../../src/connectors/connect/link.ts'
import { createConnectors } from '../../src/connectors/connectors.ts'
import { createCredentials } from '../../src/connectors/credentials.ts'
import {
  type ConnectionCallDeps,
  type ConnectionCalls,
  createConnectionCalls,
} from '../../src/gateway/connection-calls.ts'
import { createProxy } from '../../src/gateway/proxy.ts'
import { createSessionIds } from '../../src/gateway/session-id.ts'
import { createView, type GatewayView } from '../../src/gateway/view.ts'
import { createAuthenticator, type Session } from '../../src/issuer/authenticate.ts'
import { type Carrier, createCarrier } from '../../src/node/carrier.ts'
import { createNodeRuntime } from '../../src/node/runtime.ts'
import { createUpstreams, type UpstreamOptions, type Upstreams } from '../../src/node/upstreams.ts'
import { createJti, signAccessToken } from '../../src/oauth/access-token.ts'
import type { EcJwk, Emit, Runtime, Versioned } from '../../src/ports.ts'
import type { Grant, Kind, Values } from '../../src/records.ts'
import { createRecordingEmit, type RecordingEmit } from './emit.ts'
import { closeServer, listen } from './http.ts'

export interface TokenSpec {
  readonly user?: string
  readonly client?: string
  readonly connector?: string
  readonly scope?: string
  readonly lifeSeconds?: number
  readonly grant?: string
  /** Facts of the sign-in that the grant keeps; read when the grant is made. */
  readonly signIn?: Partial<Pick<Grant, 'authTimeSeconds' | 'acr'>>
}

export interface TestGateway {
  readonly port: number
  readonly issuer: string
  readonly runtime: Runtime
  readonly emit: RecordingEmit
  readonly view: GatewayView
  readonly upstreams: Upstreams
  readonly carrier: Carrier
  readonly server: Server
  readonly publicJwk: EcJwk
  readonly keyId: string
  readonly tagKey: Uint8Array
  /** Grants, users and vault records exist for every token made here until removed. */
  token(spec?: TokenSpec): string
  /** Ids of grants that are revoked. */
  readonly revoked: Set<string>
  viewTooOld: boolean
  storeFails: boolean
  proof: 'fresh' | 'stale' | 'cold' | 'suspect' | 'dead'
  readonly storeReads: number
  readonly proofCalls: { renewed: string[]; resolved: string[]; touched: string[] }
  onResolve: () => void
  readonly grants: Map<string, Grant>
  /** With `tokens`. */
  readonly connections: ConnectionCalls | undefined
  /** What a link of ours says. */
  readLink(url: string): ReturnType<typeof openLink>
  /** What was told to the connector's lifecycle. */
  readonly reports: Parameters<ConnectionCallDeps['report']>[]
  /** `Host` line that is allowed. */
  readonly host: string
  /** The wall clock goes on; timers and sockets do not notice. */
  advanceMs(ms: number): void
  close(): Promise<void>
}

export interface GatewayOptions {
  readonly connectors: readonly (Pick<ConnectorConfig, 'name'> & { url: string } & Partial<
      Omit<ConnectorConfig, 'url'>
    >)[]
  readonly limits?: Partial<Limits>
  readonly upstreams?: Partial<UpstreamOptions>
  readonly carrier?: 'node' | 'fetch'
  readonly tickMs?: number
  readonly keepAliveMs?: number
  readonly issuer?: string
  readonly development?: boolean
  readonly allow?: Allow
  readonly emit?: Emit
  /** Of connectors with `oauth` and `client_credentials`. */
  readonly tokens?: ConnectionCallDeps['tokens']
  /** How often Node looks for late requests. Default 30_000. */
  readonly connectionsCheckingIntervalMs?: number
}

export async function startGateway(options: GatewayOptions): Promise<TestGateway> {
  const limits: Limits = {
    ...(Object.fromEntries(
      Object.entries(LIMITS).map(([name, field]) => [name, field.default]),
    ) as unknown as Limits),
    ...options.limits,
  }
  const issuer = options.issuer ?? 'https://auth.example.com'
  const config = {
    issuer,
    development: options.development ?? false,
    allow: options.allow ?? 'anyone',
    providers: [],
    limits,
    connectors: options.connectors.map((input) => connectorConfig(issuer, input)),
  }
  let offsetMs = 0
  const runtime = { ...createNodeRuntime(), nowMs: () => Date.now() + offsetMs }
  const emit = createRecordingEmit()
  const jwk = runtime.createSigningJwk()
  const keyId = 'key-1'
  const signing = { kid: keyId, key: runtime.importSigningKey(jwk) }
  const verifyKeys = new Map([[keyId, runtime.importVerifyKey(jwk)]])
  const tagKey = runtime.randomBytes(32)
  const sessionKey = runtime.randomBytes(32)
  const state = createState()
  const table = new Map<string, Session>()
  const authenticator = createAuthenticator({
    runtime,
    emit,
    store: state.store,
    issuer,
    keys: { verifyKeys: () => verifyKeys, tagKey: () => tagKey },
    table: {
      get: (digest) => table.get(digest),
      set: (digest, session) => table.set(digest, session),
      delete: (digest) => table.delete(digest),
    },
  })
  const sessionIds = createSessionIds({ runtime, key: () => sessionKey })
  const ticketKey = runtime.randomBytes(32)
  const links = { config: { issuer, prefix: '' }, runtime, keys: { ticketKey: () => ticketKey } }
  const reports: TestGateway['reports'] = []
  const { tokens } = options
  const connections =
    tokens &&
    createConnectionCalls({
      runtime,
      tokens,
      link: (facts) => sealLink(links, facts),
      report: (...told) => void reports.push(told),
      sessionIds,
      key: () => sessionKey,
    })
  const view = createView({
    config,
    runtime,
    connectors: createConnectors(config),
    authenticator,
    credentials: createCredentials({ config, keys: { current: () => signing }, runtime, tokens }),
    sessionIds,
    connections,
    proofs: state.proofs,
    revocation: { marked: (session) => state.marked(session) },
  })
  const upstreams = createUpstreams({
    firstByteTimeoutMs: limits.firstByteTimeoutMs,
    connectTimeoutMs: limits.connectTimeoutMs,
    ...options.upstreams,
  })
  const carrier = createCarrier(view, upstreams, options.emit ?? emit, {
    ...(options.tickMs === undefined ? {} : { tickMs: options.tickMs }),
    ...(options.keepAliveMs === undefined ? {} : { keepAliveMs: options.keepAliveMs }),
  })
  const proxy = createProxy({
    view,
    emit,
    runtime,
    firstByteTimeoutMs: limits.firstByteTimeoutMs,
    send: ({ url, body, ...init }) =>
      fetch(url, {
        ...init,
        body: body as BodyInit | null,
        ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
      }),
  })
  const server =
    options.carrier === 'fetch'
      ? createServer(getRequestListener(proxy, { overrideGlobalObjects: false }))
      : createServer(
          { connectionsCheckingInterval: options.connectionsCheckingIntervalMs ?? 30_000 },
          (request, response) => carrier.handle(request, response),
        )
  if (options.carrier !== 'fetch') {
    server.on('checkContinue', (request, response) => carrier.checkContinue(request, response))
    carrier.attach(server)
  }
  const port = await listen(server)
  const token = (spec: TokenSpec = {}): string => {
    const { user = 'ada', client = 'cli_1', scope = 'mcp', lifeSeconds = 600 } = spec
    const connector = spec.connector ?? options.connectors[0]?.name ?? ''
    const gid = spec.grant ?? `grt_${user}_${client}_${connector}`
    state.addGrant(gid, user, client, spec.signIn)
    const iat = Math.floor(runtime.nowMs() / 1000)
    const exp = iat + lifeSeconds
    const claims = {
      iss: issuer,
      aud: config.connectors.find(({ name }) => name === connector)?.resource ?? connector,
      sub: `usr_${user}`,
      client_id: client,
      iat,
      exp,
      jti: createJti(runtime, tagKey, { gid, exp }),
      scope,
      gid,
    }
    return signAccessToken(claims, signing, runtime)
  }
  return Object.assign(state, {
    port,
    issuer,
    runtime,
    emit,
    view,
    upstreams,
    carrier,
    server,
    publicJwk: { kty: 'EC' as const, crv: 'P-256' as const, x: jwk.x, y: jwk.y },
    keyId,
    tagKey,
    token,
    connections,
    reports,
    readLink: (url: string) => openLink(links, new URL(url).searchParams.get('link') ?? ''),
    advanceMs: (ms: number) => {
      offsetMs += ms
    },
    host: `Host: ${new URL(issuer).host}`,
    close: async () => {
      await carrier.drain(0)
      await upstreams.close()
      if (server.listening) await closeServer(server)
    },
  })
}

function connectorConfig(
  issuer: string,
  input: GatewayOptions['connectors'][number],
): ConnectorConfig {
  const { url, ...rest } = input
  const path = input.path ?? `/mcp/${input.name}`
  return {
    auth: 'none',
    routes: { protected: [], public: [] },
    subject: 'postern',
    claims: [],
    enabled: true,
    ...rest,
    path,
    resource: `${issuer}${path}`,
    url: new URL(url),
  }
}

function createState() {
  const grants = new Map<string, Grant>()
  const users = new Map<string, Values['user']>()
  const state = {
    grants,
    revoked: new Set<string>(),
    viewTooOld: false,
    storeFails: false,
    storeReads: 0,
    proof: 'fresh' as TestGateway['proof'],
    proofCalls: { renewed: [] as string[], resolved: [] as string[], touched: [] as string[] },
    onResolve: () => {},
    marked: (session: Session): boolean | 'view-too-old' =>
      state.viewTooOld ? 'view-too-old' : state.revoked.has(session.grantId),
    proofs: {
      state: () => state.proof,
      renew: (vaultId: string) => {
        state.proofCalls.renewed.push(vaultId)
      },
      resolve: async (vaultId: string) => {
        state.proofCalls.resolved.push(vaultId)
        state.onResolve()
      },
      touch: (vaultId: string) => {
        state.proofCalls.touched.push(vaultId)
      },
    },
    store: {
      grants: {
        find: async ({ id }: { id: string }) => {
          state.storeReads += 1
          if (state.storeFails) throw new Error('store is down')
          return grants.get(id)
        },
      },
      get: async <K extends Kind>(
        kind: K,
        { id }: { id: string },
      ): Promise<Versioned<K> | undefined> => {
        state.storeReads += 1
        if (state.storeFails) throw new Error('store is down')
        const value = kind === 'user' ? users.get(id) : { state: 'active' }
        return value === undefined
          ? undefined
          : { key: { tenant: 'default', id }, version: 1, value: value as Values[K] }
      },
    },
    addGrant(id: string, user: string, client: string, signIn: TokenSpec['signIn'] = {}) {
      if (grants.has(id)) return
      users.set(`key_${user}`, {
        userId: `usr_${user}`,
        issuer: 'https://github.com',
        subject: `sub-${user}`,
        provider: 'github',
        profile: { name: user, login: user, email: `${user}@example.com`, emailVerified: true },
        groups: ['staff'],
        state: 'active',
        createdAtMs: 0,
        lastSignInAtMs: 0,
      })
      grants.set(id, {
        tenant: 'default',
        id,
        userId: `usr_${user}`,
        userKey: `key_${user}`,
        clientId: client,
        resource: '',
        scopes: ['mcp'],
        vaultId: `vlt_${user}`,
        state: 'active',
        redirectUri: '',
        codeChallenge: '',
        codeDigest: '',
        codeExpiresAtMs: 0,
        refreshGeneration: 0,
        authTimeSeconds: 0,
        ...signIn,
        createdAtMs: 0,
        absoluteExpiresAtMs: Number.MAX_SAFE_INTEGER,
        expiresAtMs: Number.MAX_SAFE_INTEGER,
        version: 1,
      })
    },
  }
  return state
}
