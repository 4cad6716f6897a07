/**
 * A house in which people link accounts: the issuer of `sign-in-house.ts` with real connections, vault
 * and revocation duties, and a remote side that stands for connectors' servers: what is known of them,
 * what they answer, and what they were asked.
 */
import { createMemoryLock, createMemoryStore } from '../../src/adapters/memory.ts'
import type { ConnectorConfig } from '../../src/config.ts'
import type { OurClient } from '../../src/connectors/client/registration.ts'
import type { TokenCall } from '../../src/connectors/client/token-calls.ts'
import type { ConnectRooms } from '../../src/connectors/connect/connect-rooms.ts'
import { connectPages } from '../../src/connectors/connect/connect-routes.ts'
import {
  type Connections,
  createConnections,
} from '../../src/connectors/connections/connections.ts'
import type { Binding } from '../../src/connectors/lifecycle/binding.ts'
import { createUpstreamRevocation } from '../../src/issuer/upstream-revocation.ts'
import type { ConnectorProblem, Values } from '../../src/records.ts'
import { connectorOf } from '../../src/vault/connection-rows.ts'
import { createSealing } from '../../src/vault/sealing.ts'
import { createVault } from '../../src/vault/vault.ts'
import { createRecordingEmit } from '../kit/emit.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import {
  connector,
  createTestIssuer,
  type HouseOptions,
  ISSUER,
  locationOf,
  type TestHouse,
  ticketOf,
  Visitor,
} from './sign-in-house.ts'

/** One connector's server, as the rooms beneath the pages know it. */
export interface Remote {
  /** `cold`: nothing is in memory. `dead`: nothing can be found out either. */
  state: 'warm' | 'cold' | 'dead'
  binding: Binding
  client: OurClient
  problems: readonly ConnectorProblem[]
  /** Answer of the next token call. */
  answer: (code: string) => TokenCall | Promise<TokenCall>
  push: 'answers' | 'refuses' | 'hangs'
  offersRevocation: boolean
  /** Everything that would have been an exchange. */
  readonly asked: string[]
  readonly exchanges: { readonly code: string; readonly resource: string | undefined }[]
  readonly pushed: URLSearchParams[]
  readonly revoked: string[]
  readonly prepared: { readonly retry: boolean }[]
  /** Kinds of evidence that its life was told of. */
  readonly reported: string[]
  registeredAnew: number
  /** Clients that a renewal has replaced and that live on. */
  readonly formerClients: OurClient[]
}

export interface ConnectTestHouse extends TestHouse {
  readonly remotes: ReadonlyMap<string, Remote>
  readonly connections: Connections
  remote(name?: string): Remote
}

export interface ConnectHouseOptions extends HouseOptions {
  /** Default `notes` and `tasks`. */
  readonly linked?: readonly string[]
  /** Fields of the linked connectors. */
  readonly rest?: Partial<ConnectorConfig>
}

export const SEALING_KEY = new Uint8Array(32).fill(9)

export function createConnectHouse(options: ConnectHouseOptions = {}): ConnectTestHouse {
  const runtime = options.runtime ?? createTestRuntime()
  const store = options.store ?? createMemoryStore()
  const emit = createRecordingEmit()
  const issuer = options.issuer ?? ISSUER
  const prefix = options.config?.prefix ?? ''
  const linked = (options.linked ?? ['notes', 'tasks']).map((name) =>
    connector(issuer, name, {
      url: new URL(`https://${name}.remote.example/mcp`),
      auth: 'oauth',
      oauth: {
        omitResource: false,
        strictResource: false,
        legacyDiscovery: true,
        followMetadataRedirects: false,
      },
      ...options.rest,
    }),
  )
  const remotes = new Map(
    linked.map((entry) => [entry.name, createRemote(entry, `${issuer}${prefix}`)]),
  )
  const remote = (name = 'notes'): Remote => {
    const found = remotes.get(name)
    if (found === undefined) throw new Error(`no connector ${name}`)
    return found
  }
  const vault = createVault({ store, sealing: createSealing([SEALING_KEY], runtime), runtime })
  let connections: Connections | undefined
  const rooms: ConnectRooms = {
    ...createRooms(remotes),
    pages: connectPages,
    get connections() {
      if (connections === undefined) throw new Error('the house is not open')
      return connections
    },
  }
  const house = createTestIssuer({
    ...options,
    runtime,
    store,
    config: { connectors: linked, ...options.config },
    deps: { linking: () => rooms, emit, ...options.deps },
  })
  const { config } = house.deps
  const duties = createUpstreamRevocation({
    store,
    lock: createMemoryLock(runtime),
    runtime,
    emit,
    config,
    vault,
    providers: [],
    connectors: {
      async revoke({ provider = '' }, { refreshToken, accessToken }) {
        remote(connectorOf(provider)).revoked.push(refreshToken ?? accessToken)
        return { outcome: 'confirmed' }
      },
    },
    announce: (mark) => void house.marks.push(mark),
    forget: () => undefined,
  })
  duties.start()
  connections = createConnections({
    config,
    store,
    runtime,
    emit,
    vault,
    duties,
    announce: (mark) => void house.marks.push(mark),
    changed: () => undefined,
    offersRevocation: (name) => remote(name).offersRevocation,
  })
  return { ...house, emit, remotes, remote, connections }
}

function createRemote(entry: ConnectorConfig, base: string): Remote {
  const issuer = `https://login.${entry.name}.example`
  return {
    state: 'warm',
    binding: {
      connector: entry,
      issuer,
      resource: entry.url.href,
      server: {
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        authorization_response_iss_parameter_supported: true,
        scopes_supported: ['read', 'write', 'offline_access'],
      },
      scopesSupported: ['read', 'write'],
    },
    client: {
      clientId: `client-at-${entry.name}`,
      how: 'dynamic',
      authMethod: 'none',
      redirectUri: `${base}/connect/${entry.name}/callback`,
    },
    problems: [],
    answer: (code) => ({
      outcome: 'yes',
      tokens: {
        accessToken: `upstream-access-${code}`,
        refreshToken: `upstream-refresh-${code}`,
        tokenType: 'Bearer',
        scopes: ['read', 'write'],
      },
    }),
    push: 'answers',
    offersRevocation: true,
    asked: [],
    exchanges: [],
    pushed: [],
    revoked: [],
    prepared: [],
    reported: [],
    registeredAnew: 0,
    formerClients: [],
  }
}

function createRooms(
  remotes: ReadonlyMap<string, Remote>,
): Omit<ConnectRooms, 'connections' | 'pages'> {
  const of = ({ connector: { name } }: Binding): Remote => {
    const remote = remotes.get(name)
    if (remote === undefined) throw new Error(`no connector ${name}`)
    return remote
  }
  return {
    lifecycle: {
      binding(name) {
        const remote = remotes.get(name)
        return remote?.state === 'warm' ? remote.binding : undefined
      },
      async prepare(name, { retry = false }) {
        const remote = remotes.get(name)
        if (remote === undefined) return { ok: false, state: 'unreachable', problems: [] }
        remote.prepared.push({ retry })
        const { state, binding, client, problems } = remote
        if (state === 'dead') return { ok: false, state: 'unreachable', problems }
        remote.asked.push('discovery')
        remote.state = 'warm'
        return { ok: true, binding, client }
      },
      status(name) {
        const remote = remotes.get(name)
        if (remote === undefined) return undefined
        const { connector: entry } = remote.binding
        const state: Values['connector']['state'] =
          remote.state === 'dead' ? 'unreachable' : 'ready'
        const { problems } = remote
        return { name, url: entry.url.href, auth: entry.auth, state, problems }
      },
      report: (name, { kind }) => void remotes.get(name)?.reported.push(kind),
    },
    registrations: {
      peek: (binding) => of(binding).client,
      find: (binding, clientId) =>
        of(binding).formerClients.find((client) => client.clientId === clientId),
      documentMethod: async (name) => (remotes.has(name) ? 'private_key_jwt' : undefined),
      async refused(binding) {
        const remote = of(binding)
        remote.registeredAnew += 1
        remote.client = { ...remote.client, clientId: `${remote.client.clientId}-anew` }
        return remote.client
      },
    },
    assertionKeys: { jwks: async () => ({ keys: [] }) },
    tokenCalls: {
      async exchange(binding, _client, { code, resource }) {
        const remote = of(binding)
        remote.asked.push('token')
        remote.exchanges.push({ code, resource })
        return remote.answer(code)
      },
      async push(binding, _client, parameters) {
        const remote = of(binding)
        remote.asked.push('push')
        remote.pushed.push(parameters)
        if (remote.push === 'hangs') return { outcome: 'unknown' }
        if (remote.push === 'refuses') return { outcome: 'no', error: 'invalid_client' }
        return { outcome: 'yes', requestUri: 'urn:ietf:params:oauth:request_uri:one' }
      },
      async revoke(binding, _client, token) {
        const remote = of(binding)
        remote.asked.push('revoke')
        remote.revoked.push(token)
        return 'confirmed'
      },
    },
  }
}

/** A person who is signed in to the house. */
export async function signedIn(
  house: ConnectTestHouse,
  person: TestHouse['provider']['person'] = {},
): Promise<Visitor> {
  house.provider.person = person
  const visitor = new Visitor(house)
  const page = await (await visitor.get(`${baseOf(house)}/`)).text()
  const form = { ticket: ticketOf(page), decision: 'allow:github' }
  const { pathname } = new URL(house.issuer)
  await visitor.comeBack(await visitor.post(`${pathname.replace(/\/$/, '')}/consent`, form))
  return visitor
}

/** Path of the pages: of the issuer, then the prefix. */
function baseOf({ issuer, deps }: TestHouse): string {
  return new URL(issuer).pathname.replace(/\/$/, '') + deps.config.prefix
}

export async function userIdOf(house: ConnectTestHouse, subject = '1001'): Promise<string> {
  const users = await house.store.list('user', 'default', undefined, { max: 100 })
  const found = users.find(({ value }) => value.subject === subject)
  if (found === undefined) throw new Error(`nobody with subject ${subject} has signed in`)
  return found.value.userId
}

/** Opens the page and presses its button; ends at the server's authorization endpoint. */
export async function depart(
  visitor: Visitor,
  name = 'notes',
  search = '',
): Promise<{ readonly page: string; readonly away: Response }> {
  const at = `${baseOf(visitor.house)}/connect/${name}`
  const page = await (await visitor.get(`${at}${search}`)).text()
  const ticket = /name="ticket" value="([^"]+)"/.exec(page)?.[1] ?? ''
  const away = await visitor.post(at, { ticket, decision: 'connect' })
  return { page, away }
}

/** What the authorization server sends the browser back to; `null` leaves a parameter out. */
export function callbackUrl(
  away: Response,
  change: Record<string, string | null> = {},
  pushed?: URLSearchParams,
): URL {
  const journey = new URL(locationOf(away))
  const asked = pushed ?? journey.searchParams
  const url = new URL(asked.get('redirect_uri') ?? '')
  const answer: Record<string, string | null> = {
    state: asked.get('state'),
    code: 'code-1',
    iss: journey.origin,
    ...change,
  }
  for (const [name, value] of Object.entries(answer))
    if (value !== null) url.searchParams.set(name, value)
  return url
}

export function arrive(visitor: Visitor, url: URL): Promise<Response> {
  return visitor.get(url, { 'sec-fetch-site': 'cross-site' })
}

/** The whole trip; ends at the list. */
export async function link(
  visitor: Visitor,
  name = 'notes',
  change: Record<string, string | null> = {},
): Promise<Response> {
  const { away } = await depart(visitor, name)
  return arrive(visitor, callbackUrl(away, change))
}
