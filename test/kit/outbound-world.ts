/**
 * One or more nodes with connectors on one store, one lock and one fake clock, and the two servers of a
 * connector as plain functions on `https://notes.example` and `https://auth.notes.example`. No sockets:
 * exchanges of the house go through the real egress to a function, and are counted there.
 */
import { createMemoryBus } from '../../src/adapters/memory-bus.ts'
import { createMemoryLock } from '../../src/adapters/memory-lock.ts'
import { createMemoryStore } from '../../src/adapters/memory-store.ts'
import { createBreakers } from '../../src/cache/breaker.ts'
import { parseConfig } from '../../src/config/parse.ts'
import type { ConnectorInput } from '../../src/config.ts'
import { createRegistrations } from '../../src/connectors/client/registration.ts'
import { openDiscovery } from '../../src/connectors/discovery/discovery.ts'
import { createLifecycle, type Lifecycle } from '../../src/connectors/lifecycle/lifecycle.ts'
import { createEgress } from '../../src/net/egress.ts'
import { FetchFailure } from '../../src/net/failure.ts'
import type { Bus, Fetch, FetchRequest, FetchResponse, Lock, Store } from '../../src/ports.ts'
import { createSealing } from '../../src/vault/sealing.ts'
import { createRecordingEmit, type RecordingEmit } from './emit.ts'
import { createTestRuntime, type TestRuntime } from './runtime.ts'

export const NOTES = 'https://notes.example'
export const AUTH = 'https://auth.notes.example'
export const POSTERN = 'https://postern.example'

type Json = Readonly<Record<string, unknown>>

/** What the two servers say. Everything may be changed at any time. */
export interface RemoteWorld {
  isUp: boolean
  /** Each answer comes this much later. */
  delayMs: number
  issuer: string
  /** Over the good members of the two documents. */
  resource: Json
  server: Json
  hasResourceMetadata: boolean
  cacheControl: string | undefined
  registrationStatus: number
  /** In the place of an answer; `hang` never comes. */
  fault: (url: URL) => FetchResponse | 'hang' | 'reset' | undefined
  /** Most exchanges under way at once. */
  inFlightMax: number
  /** `METHOD url`, in order. */
  readonly exchanges: string[]
  /** Exchanges whose URL contains this text. */
  count(part: string): number
  readonly registered: Json[]
}

export interface OutboundNode {
  readonly lifecycle: Lifecycle
  readonly emit: RecordingEmit
  /** Names of connector events since the start, with their reason. */
  told(): readonly string[]
  close(): Promise<void>
}

export interface OutboundWorld {
  readonly runtime: TestRuntime
  readonly store: Store
  readonly remote: RemoteWorld
  /** Another node, started; with the definition of this connector that it reads from its file. */
  node(options?: NodeOptions): Promise<OutboundNode>
  /** Lets `ms` pass, with whatever is due. */
  pass(ms: number): Promise<void>
}

export interface NodeOptions {
  readonly connector?: Partial<ConnectorInput>
  /** Further connectors, each at a path of its own on the same server. */
  readonly further?: number
  /** A bus of its own: other nodes are found by poll. */
  readonly isAlone?: boolean
}

/** Given to a node that has started, for what goes on behind. */
const SETTLE_MS = 1_000
const SEALING_KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'

export function createOutboundWorld(): OutboundWorld {
  const runtime = createTestRuntime()
  const store = createMemoryStore()
  const lock = createMemoryLock(runtime)
  const bus = createMemoryBus()
  const remote = createRemote()
  let inFlight = 0
  const fetch: Fetch = async (request) => {
    remote.exchanges.push(`${request.method} ${request.url.href}`)
    inFlight += 1
    remote.inFlightMax = Math.max(remote.inFlightMax, inFlight)
    try {
      return await exchange(runtime, remote, request)
    } finally {
      inFlight -= 1
    }
  }
  return {
    runtime,
    store,
    remote,
    node: async (options = {}) => {
      const place = { store, lock, bus: options.isAlone === true ? createMemoryBus() : bus }
      const node = await openNode({ runtime, fetch, ...place }, options)
      // What is shared is told apart by its time: a node does nothing in no time.
      await runtime.elapseMs(SETTLE_MS)
      return node
    },
    async pass(ms) {
      await runtime.elapseMs(ms)
      await runtime.settle()
    },
  }
}

async function exchange(
  runtime: TestRuntime,
  remote: RemoteWorld,
  request: FetchRequest,
): Promise<FetchResponse> {
  const { promise: isAborted, reject } = Promise.withResolvers<never>()
  isAborted.catch(() => undefined)
  request.signal.addEventListener('abort', () => reject(request.signal.reason))
  const pause = new Promise<void>((resolve) => void runtime.after(remote.delayMs, resolve))
  if (remote.delayMs > 0) await Promise.race([pause, isAborted])
  const fault = remote.fault(request.url)
  if (fault === 'hang') return isAborted
  if (fault === 'reset') throw new FetchFailure('ERR_UPSTREAM_RESET', 'reset')
  if (!remote.isUp) throw new FetchFailure('ERR_UPSTREAM_CONNECT', 'refused')
  return fault ?? answerOf(remote, request)
}

interface Place {
  readonly runtime: TestRuntime
  readonly fetch: Fetch
  readonly store: Store
  readonly lock: Lock
  readonly bus: Bus
}

async function openNode(
  place: Place,
  { connector, further = 0 }: NodeOptions,
): Promise<OutboundNode> {
  const { runtime, fetch, store, lock, bus } = place
  const config = parseConfig(
    {
      issuer: POSTERN,
      sealingKey: SEALING_KEY,
      connectors: {
        notes: { url: `${NOTES}/mcp`, auth: 'oauth', ...connector },
        ...Object.fromEntries(Array.from({ length: further }, (_, index) => furtherOne(index))),
      },
    },
    { environment: {} },
  )
  const emit = createRecordingEmit()
  const egress = createEgress({
    fetch,
    runtime,
    emit,
    approvedOrigins: new Set([NOTES]),
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: config.limits.connectTimeoutMs,
    breakers: createBreakers({ runtime, emit }),
  })
  const { limits } = config
  const approvedOrigins = new Set([NOTES])
  const durable = { store, lock }
  const discovery = await openDiscovery({ egress, runtime, emit, limits, approvedOrigins, durable })
  const sealing = createSealing(config.sealingKeys, runtime)
  const registrations = createRegistrations({ config, store, lock, runtime, emit, egress, sealing })
  const lifecycle = createLifecycle({ config, store, bus, runtime, emit, discovery, registrations })
  await lifecycle.start()
  return {
    lifecycle,
    emit,
    told: () =>
      emit.events
        .filter(({ type }) => type.startsWith('connector.'))
        .map(({ type, reason }) => `${type} ${reason}`),
    close: () => lifecycle.close(),
  }
}

function furtherOne(index: number): readonly [string, ConnectorInput] {
  return [`n${index}`, { url: `${NOTES}/${index}/mcp`, auth: 'oauth' }]
}

function createRemote(): RemoteWorld {
  const exchanges: string[] = []
  return {
    isUp: true,
    delayMs: 0,
    issuer: AUTH,
    resource: {},
    server: {},
    hasResourceMetadata: true,
    cacheControl: undefined,
    registrationStatus: 201,
    fault: () => undefined,
    inFlightMax: 0,
    exchanges,
    count: (part) => exchanges.filter((line) => line.includes(part)).length,
    registered: [],
  }
}

function answerOf(remote: RemoteWorld, request: FetchRequest): FetchResponse {
  const { pathname, origin } = request.url
  if (origin === NOTES && pathname.endsWith('/mcp') && request.method === 'POST')
    return refusal(remote, pathname)
  if (origin === NOTES && pathname.startsWith('/.well-known/oauth-protected-resource')) {
    if (!remote.hasResourceMetadata) return reply(404, {})
    const body = {
      resource: NOTES + pathname.replace('/.well-known/oauth-protected-resource', ''),
      authorization_servers: [remote.issuer],
      scopes_supported: ['read'],
      ...remote.resource,
    }
    return reply(200, body, cached(remote))
  }
  if (pathname.includes('/.well-known/oauth-authorization-server')) {
    if (!remote.hasResourceMetadata && origin !== NOTES) return reply(404, {})
    const issuer = remote.hasResourceMetadata ? remote.issuer : NOTES
    return reply(200, { ...serverDocument(issuer), ...remote.server }, cached(remote))
  }
  if (pathname === '/register') {
    if (remote.registrationStatus !== 201)
      return reply(remote.registrationStatus, { error: 'invalid_client_metadata' })
    const body = JSON.parse(request.body ?? '{}') as Json
    remote.registered.push(body)
    return reply(201, {
      ...body,
      client_id: `client-${remote.registered.length}`,
      client_secret: `secret-${remote.registered.length}`,
    })
  }
  return reply(404, {})
}

function serverDocument(issuer: string): Json {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    registration_endpoint: `${issuer}/register`,
    revocation_endpoint: `${issuer}/revoke`,
    response_types_supported: ['code'],
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: ['none', 'client_secret_basic'],
  }
}

function refusal({ hasResourceMetadata }: RemoteWorld, path: string): FetchResponse {
  if (!hasResourceMetadata) return reply(401, {})
  const metadata = `${NOTES}/.well-known/oauth-protected-resource${path}`
  const headers = new Headers({ 'www-authenticate': `Bearer resource_metadata="${metadata}"` })
  return { status: 401, headers, body: null }
}

/** @param body An object is sent as JSON, a text as it is. */
export function reply(
  status: number,
  body: Json | string,
  headers: Readonly<Record<string, string>> = {},
): FetchResponse {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return {
    status,
    headers: new Headers({ 'content-type': 'application/json', ...headers }),
    body: new Response(text).body,
  }
}

function cached({ cacheControl }: RemoteWorld): Readonly<Record<string, string>> {
  return cacheControl === undefined ? {} : { 'cache-control': cacheControl }
}
