/**
 * Nodes that keep connections fresh, on one store and one fake clock: the real vault, refresh, duties,
 * revocation view and rooms of connections, against an authorization server in memory whose habits are
 * settings. No sockets.
 */

import { createMemoryBus, createMemoryLock, createMemoryStore } from '../../src/adapters/memory.ts'
import { parseConfig } from '../../src/config/parse.ts'
import type { Config } from '../../src/config.ts'
import type { OurClient } from '../../src/connectors/client/registration.ts'
import type { TokenCall, TokenCalls } from '../../src/connectors/client/token-calls.ts'
import { createConnectionRefresh } from '../../src/connectors/connections/connection-refresh.ts'
import {
  type ConnectionTokens,
  createConnectionTokens,
} from '../../src/connectors/connections/connection-tokens.ts'
import {
  type ConnectInput,
  type Connections,
  createConnections,
} from '../../src/connectors/connections/connections.ts'
import type { Binding } from '../../src/connectors/lifecycle/binding.ts'
import type { Evidence } from '../../src/connectors/lifecycle/lifecycle.ts'
import { announceMark } from '../../src/issuer/endings.ts'
import { createRevocationView } from '../../src/issuer/revocation.ts'
import { createUpstreamRevocation } from '../../src/issuer/upstream-revocation.ts'
import type { TokenSet } from '../../src/oauth/token-answer.ts'
import type { Lock, Store } from '../../src/ports.ts'
import { TENANT } from '../../src/records.ts'
import { createLateConnectorSide } from '../../src/vault/connector-side.ts'
import { createRefresher, type Refresher } from '../../src/vault/refresh.ts'
import { createSealing } from '../../src/vault/sealing.ts'
import { createVault, type Vault } from '../../src/vault/vault.ts'
import { createRecordingEmit } from './emit.ts'
import { createTestRuntime, type TestRuntime } from './runtime.ts'

export const HOUR_MS = 3_600_000
export const NOTES = 'https://notes.example/mcp'
export const AUTH = 'https://auth.notes.example'
const CLIENT: OurClient = {
  clientId: 'client-1',
  how: 'dynamic',
  authMethod: 'none',
  redirectUri: 'https://auth.example/connect/notes/callback',
}

/** The authorization server: who refreshes what, and what came of it. */
export interface LinkServer {
  habit: 'strict' | 'tolerant' | 'keep'
  lifeMs: number | undefined
  callMs: () => number
  /** Takes the place of the next answers, before anything happened; `lost`: after it. */
  readonly faults: (TokenCall | 'lost')[]
  scopes: readonly string[] | undefined
  subject: string | undefined
  isUp: boolean
  offersRevocation: boolean
  binding: Binding
  client: OurClient
  refreshes: number
  machineCalls: number
  /** Tokens it was asked to revoke, `hint:token`, also when it did not answer; and by which client. */
  readonly revoked: string[]
  readonly revokers: string[]
  /** Clients that a renewal has replaced and that live on. */
  readonly formerClients: OurClient[]
  /** `resource` of each refresh. */
  readonly resources: (string | undefined)[]
  readonly reports: (readonly [string, Evidence])[]
  readonly clientRefused: string[]
  issue(person: string): TokenSet
  isLive(accessToken: string): boolean
  /** Live access tokens. */
  living(): number
}

export interface LinkNode {
  readonly tokens: ConnectionTokens
  readonly connections: Connections
  readonly refresher: Refresher
  readonly vault: Vault
  readonly store: CountedStore
  readonly emit: ReturnType<typeof createRecordingEmit>
  readonly duties: ReturnType<typeof createUpstreamRevocation>
  /** Dies: its timers and flights go on in nobody's memory, its store answers nothing more. */
  kill(): void
  close(): Promise<void>
}

export interface CountedStore extends Store {
  readonly reads: () => number
}

export interface LinkHouse {
  readonly runtime: TestRuntime
  readonly store: Store
  readonly config: Config
  readonly server: LinkServer
  readonly first: LinkNode
  /** One more node. `lock`: default shared by all nodes. */
  add(options?: { lock?: Lock }): Promise<LinkNode>
  /** A connection of this person, made at the first node. */
  link(person: string, part?: Partial<ConnectInput>): ReturnType<Connections['connect']>
  /** A row of a person who signed in. */
  admit(userId: string): Promise<void>
  /** Lets time pass until `work` is done. */
  finish<T>(work: Promise<T>, ms?: number): Promise<T>
}

export async function openLinkHouse(options: { seed?: number } = {}): Promise<LinkHouse> {
  const runtime = createTestRuntime({ seed: options.seed ?? 1 })
  const store = createMemoryStore()
  const bus = createMemoryBus()
  const lock = createMemoryLock(runtime)
  const config = parseConfig(
    {
      issuer: 'https://auth.example',
      databaseUrl: 'sqlite::memory:',
      sealingKey: 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs',
      connectors: {
        notes: { url: NOTES, auth: 'oauth' },
        tasks: { url: 'https://tasks.example/mcp', auth: 'oauth' },
        robot: {
          url: 'https://robot.example/mcp',
          auth: 'client_credentials',
          client: { clientId: 'us', clientSecret: 'secret' },
        },
      },
      allow: 'anyone',
    },
    { environment: {} },
  )
  const server = createLinkServer(runtime, config)
  const add = async (own: { lock?: Lock } = {}): Promise<LinkNode> =>
    openNode({ runtime, store, bus, config, server, lock: own.lock ?? lock })
  const first = await add()
  return {
    runtime,
    store,
    config,
    server,
    first,
    add,
    link: (person, part = {}) =>
      first.connections.connect({
        userId: `app:default:${person}`,
        connector: 'notes',
        issuer: AUTH,
        tokenOrigin: AUTH,
        resource: NOTES,
        clientId: server.client.clientId,
        tokens: server.issue(person),
        scopes: ['read', 'write'],
        requestedScopes: ['read', 'write'],
        ...part,
      }),
    async admit(userId) {
      await store.create(
        'user',
        { tenant: TENANT, id: `key-of-${userId}` },
        {
          userId,
          issuer: 'https://id.example',
          subject: userId,
          provider: 'id',
          profile: {},
          groups: [],
          state: 'active',
          createdAtMs: runtime.nowMs(),
          lastSignInAtMs: runtime.nowMs(),
        },
      )
    },
    async finish(work, ms = 60_000) {
      let isDone = false
      const done = work.finally(() => {
        isDone = true
      })
      done.catch(() => undefined)
      for (let passed = 0; !isDone && passed < ms; passed += 100) await runtime.elapseMs(100)
      return done
    },
  }
}

async function openNode(shared: {
  runtime: TestRuntime
  store: Store
  bus: ReturnType<typeof createMemoryBus>
  config: Config
  server: LinkServer
  lock: Lock
}): Promise<LinkNode> {
  const { runtime, bus, config, server, lock } = shared
  const { store, kill } = countReads(shared.store)
  const emit = createRecordingEmit()
  const sealing = createSealing([new Uint8Array(32).fill(7)], runtime)
  const vault = createVault({ store, sealing, runtime })
  const side = createLateConnectorSide()
  const revocation = createRevocationView({ store, bus, runtime, emit, maxAgeSeconds: 30 })
  await revocation.load()
  const announce = (mark: Parameters<typeof announceMark>[1]): void =>
    announceMark({ revocation, runtime, bus }, mark)
  const ground = { store, runtime, emit, lock, config, vault, revocation }
  const duties = createUpstreamRevocation({
    ...ground,
    providers: [],
    connectors: side,
    announce,
    forget: () => undefined,
  })
  const refresher = createRefresher({
    ...ground,
    call: (record, tokens) => side.refresh(record, tokens),
    revoke: (vaultId, record, tokens) =>
      duties.queue(vaultId, record, tokens, 'issued_after_the_end'),
  })
  const rooms = roomsOf(server, config)
  side.attach(createConnectionRefresh({ ...ground, ...rooms }))
  const tokens = createConnectionTokens({ ...ground, ...rooms, refresher })
  const connections = createConnections({
    ...ground,
    duties,
    announce,
    changed: (userId, connector) => tokens.drop(userId, connector),
    offersRevocation: () => server.offersRevocation,
  })
  duties.start()
  await revocation.start()
  return {
    tokens,
    connections,
    refresher,
    vault,
    store,
    emit,
    duties,
    kill() {
      kill()
      tokens.close()
      revocation.stop()
    },
    async close() {
      tokens.close()
      revocation.stop()
      await duties.stop()
    },
  }
}

function countReads(store: Store): { store: CountedStore; kill: () => void } {
  let reads = 0
  let isDead = false
  const guard = <A extends unknown[], R>(call: (...given: A) => Promise<R>, isRead = false) => {
    return (...given: A): Promise<R> => {
      if (isRead) reads += 1
      return isDead ? new Promise<R>(() => undefined) : call(...given)
    }
  }
  return {
    store: {
      ...store,
      get: guard(store.get, true) as Store['get'],
      list: guard(store.list, true) as Store['list'],
      put: guard(store.put) as Store['put'],
      commit: guard(store.commit),
      reads: () => reads,
    },
    kill() {
      isDead = true
    },
  }
}

function roomsOf(server: LinkServer, config: Config) {
  return {
    tokenCalls: calls(server),
    lifecycle: {
      binding: (name: string): Binding => ({
        ...server.binding,
        connector:
          config.connectors.find((known) => known.name === name) ?? server.binding.connector,
      }),
      prepare: async () => ({ ok: false, problems: [], state: 'unreachable' }) as const,
      report: (name: string, evidence: Evidence) => void server.reports.push([name, evidence]),
    },
    registrations: {
      peek: () => server.client,
      find: (_binding: Binding, clientId: string) =>
        [server.client, ...server.formerClients].find((client) => client.clientId === clientId),
      ensure: async () => ({ ok: true as const, client: server.client }),
      async refused(_binding: Binding, client: OurClient) {
        server.clientRefused.push(client.clientId)
        return undefined
      },
    },
  }
}

type Calls = Pick<TokenCalls, 'refresh' | 'revoke' | 'clientCredentials'>
const CALLS = new WeakMap<LinkServer, Calls>()
function calls(server: LinkServer): Calls {
  const known = CALLS.get(server)
  if (known === undefined) throw new Error('no such server')
  return known
}

interface Family {
  isLive: boolean
}

function createLinkServer(runtime: TestRuntime, config: Config): LinkServer {
  const refreshTokens = new Map<string, { family: Family; uses: number }>()
  const accessTokens = new Map<string, Family>()
  let issued = 0
  const wait = (ms: number) => new Promise<void>((resolve) => void runtime.after(ms, resolve))
  const [connector] = config.connectors
  if (connector === undefined) throw new Error('no connector')
  const grant = (family: Family, person: string, withRefresh: boolean): TokenSet => {
    issued += 1
    const accessToken = `access-${issued}-of-${person}`
    const refreshToken = `refresh-${issued}-of-${person}`
    accessTokens.set(accessToken, family)
    if (withRefresh) refreshTokens.set(refreshToken, { family, uses: 0 })
    return {
      accessToken,
      tokenType: 'Bearer',
      ...(server.lifeMs === undefined ? {} : { expiresAtMs: runtime.nowMs() + server.lifeMs }),
      ...(withRefresh ? { refreshToken } : {}),
      ...(server.scopes === undefined ? {} : { scopes: server.scopes }),
    }
  }
  const server: LinkServer = {
    habit: 'strict',
    lifeMs: HOUR_MS,
    callMs: () => 100,
    faults: [],
    scopes: undefined,
    subject: undefined,
    isUp: true,
    offersRevocation: true,
    binding: {
      connector,
      issuer: AUTH,
      resource: NOTES,
      server: {
        issuer: AUTH,
        authorization_endpoint: `${AUTH}/authorize`,
        token_endpoint: `${AUTH}/token`,
      },
    },
    client: CLIENT,
    refreshes: 0,
    machineCalls: 0,
    revoked: [],
    revokers: [],
    formerClients: [],
    resources: [],
    reports: [],
    clientRefused: [],
    issue: (person) => grant({ isLive: true }, person, true),
    isLive: (accessToken) => accessTokens.get(accessToken)?.isLive === true,
    living: () => [...accessTokens.values()].filter(({ isLive }) => isLive).length,
  }
  CALLS.set(server, {
    async refresh(_binding, _client, { refreshToken, resource }) {
      server.refreshes += 1
      server.resources.push(resource)
      const waitMs = server.callMs()
      await wait(waitMs / 2)
      const fault = server.faults.shift()
      if (fault !== undefined && fault !== 'lost') return fault
      if (!server.isUp) return { outcome: 'unknown' }
      const known = refreshTokens.get(refreshToken)
      const usesMax = { strict: 1, tolerant: 2, keep: Number.POSITIVE_INFINITY }[server.habit]
      const person = refreshToken.split('-of-')[1] ?? ''
      let answer: TokenCall = { outcome: 'no', error: 'invalid_grant' }
      if (known?.family.isLive === true) {
        known.uses += 1
        // A replay ends the whole family (RFC 9700 section 4.14.2).
        if (known.uses > usesMax) known.family.isLive = false
        else {
          const tokens = grant(known.family, person, server.habit !== 'keep')
          const { subject } = server
          answer = { outcome: 'yes', tokens, ...(subject === undefined ? {} : { subject }) }
        }
      }
      await wait(waitMs / 2)
      return fault === 'lost' ? { outcome: 'unknown' } : answer
    },
    async revoke(_binding, { clientId }, token, hint) {
      server.revoked.push(`${hint}:${token}`)
      server.revokers.push(clientId)
      await wait(10)
      if (!server.isUp) return 'unknown'
      if (!server.offersRevocation) return 'unsupported'
      const family = refreshTokens.get(token)?.family ?? accessTokens.get(token)
      if (family !== undefined) family.isLive = false
      return 'confirmed'
    },
    async clientCredentials() {
      server.machineCalls += 1
      await wait(server.callMs())
      const fault = server.faults.shift()
      if (fault !== undefined && fault !== 'lost') return fault
      if (!server.isUp) return { outcome: 'unknown' }
      return { outcome: 'yes', tokens: grant({ isLive: true }, 'machine', false) }
    },
  })
  return server
}
