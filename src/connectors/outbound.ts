/**
 * The outbound half of a house, made and wired: discovery, our clients at other people's authorization
 * servers, connections and their tokens. Nothing here decides. Loaded only where a connector needs it.
 *
 * Opening reads the store and asks nobody; what has to be asked goes on behind `start`.
 */

import type { SharedCache } from '../cache/stored-facts.ts'
import { allowedOrigins, approvedOrigins } from '../config/approved-origins.ts'
import type { Config } from '../config.ts'
import { auditStep } from '../issuer/audit.ts'
import { announceMark } from '../issuer/endings.ts'
import type { RevocationView } from '../issuer/revocation.ts'
import type { UpstreamRevocation } from '../issuer/upstream-revocation.ts'
import type { Egress } from '../net/egress.ts'
import type { Bus, Emit, Lock, Runtime, Store } from '../ports.ts'
import type { LateConnectorSide } from '../vault/connector-side.ts'
import type { Refresher } from '../vault/refresh.ts'
import type { Sealing } from '../vault/sealing.ts'
import type { Vault } from '../vault/vault.ts'
import { type AssertionKeys, createAssertionKeys } from './client/assertion-keys.ts'
import { createRegistrations, type Registrations } from './client/registration.ts'
import { createTokenCalls, type TokenCalls } from './client/token-calls.ts'
import type { ConnectRooms } from './connect/connect-rooms.ts'
import { connectPages } from './connect/connect-routes.ts'
import { createConnectionRefresh } from './connections/connection-refresh.ts'
import { type ConnectionTokens, createConnectionTokens } from './connections/connection-tokens.ts'
import { type Connections, createConnections } from './connections/connections.ts'
import { type DiscoveryEngine, openDiscovery } from './discovery/discovery.ts'
import { createLifecycle, type Lifecycle } from './lifecycle/lifecycle.ts'
import type { MadeConnectors } from './made/made-connectors.ts'

/** What a command needs, too: no vault, no sign-ins, no timers of their own. */
export interface ClientGround {
  readonly config: Config
  readonly store: Store
  readonly bus: Bus
  readonly runtime: Runtime
  readonly emit: Emit
  readonly lock: Lock
  readonly shared?: SharedCache | undefined
  readonly egress: Egress
  readonly sealing: Sealing
  /** Connectors made by the API. Absent: those of the file alone. */
  readonly made?: Pick<MadeConnectors, 'onChange' | 'parted'>
}

export interface OutboundGround extends ClientGround {
  readonly vault: Vault
  readonly refresher: Refresher
  readonly duties: Pick<UpstreamRevocation, 'endVault' | 'poke'>
  readonly revocation: RevocationView
  readonly connectorSide: LateConnectorSide
}

/** We as a client, before any person comes. */
export interface ClientSide {
  readonly discovery: DiscoveryEngine
  readonly assertionKeys: AssertionKeys
  readonly registrations: Registrations
  readonly tokenCalls: TokenCalls
  readonly lifecycle: Lifecycle
}

export interface Outbound extends ClientSide {
  readonly connections: Connections
  readonly tokens: ConnectionTokens
  /** What the pages of `/connect` stand on. */
  readonly rooms: ConnectRooms
  /** Called after a connection was made on this node. */
  onConnected(listener: (userId: string, connector: string) => void): void
  close(): Promise<void>
}

/** @throws {StoreError} when the store cannot be read. */
export async function openClientSide(ground: ClientGround): Promise<ClientSide> {
  const { config, store, lock, shared, runtime, egress } = ground
  const { limits } = config
  const discovery = await openDiscovery({
    ...ground,
    limits,
    approvedOrigins: approvedOrigins(config),
    allowedOrigins: allowedOrigins(config),
    durable: { store, lock, shared },
  })
  const assertionKeys = createAssertionKeys({
    ...ground,
    audit: (detail) => auditStep({ runtime, config }, 'key.rotated', { detail }),
  })
  const registrations = createRegistrations(ground)
  const tokenCalls = createTokenCalls({
    egress,
    runtime,
    assertionKeys,
    tokenCallTimeoutMs: limits.tokenCallTimeoutMs,
    endpointGone: (connector) => lifecycle.report(connector, { kind: 'endpoint_gone' }),
  })
  const { made } = ground
  const parted = made === undefined ? {} : { parted: () => made.parted() }
  const lifecycle = createLifecycle({ ...ground, ...parted, discovery, registrations })
  return { discovery, assertionKeys, registrations, tokenCalls, lifecycle }
}

/** @throws {StoreError} when the store cannot be read. */
export async function openOutbound(ground: OutboundGround): Promise<Outbound> {
  const { revocation, runtime, bus, connectorSide } = ground
  const side = await openClientSide(ground)
  const { lifecycle } = side
  connectorSide.attach(createConnectionRefresh({ ...ground, ...side }))
  const tokens = createConnectionTokens({ ...ground, ...side })
  const made = createConnections({
    ...ground,
    announce: (mark) => announceMark({ revocation, runtime, bus }, mark),
    changed: (userId, connector) => tokens.drop(userId, connector),
    offersRevocation: (name) => lifecycle.binding(name)?.server.revocation_endpoint !== undefined,
  })
  const listeners: ((userId: string, connector: string) => void)[] = []
  const connections: Connections = {
    ...made,
    async connect(input) {
      const view = await made.connect(input)
      for (const listener of listeners) listener(view.userId, view.connector)
      return view
    },
  }
  const unfollow = ground.made?.onChange((names) => {
    for (const name of names) tokens.dropAll(name)
    runtime.waitUntil(lifecycle.follow().catch(() => undefined))
  })
  await Promise.all([side.assertionKeys.load(), lifecycle.start()])
  return {
    ...side,
    connections,
    tokens,
    rooms: { ...side, connections, pages: connectPages },
    onConnected: (listener) => void listeners.push(listener),
    async close() {
      unfollow?.()
      tokens.close()
      await lifecycle.close()
    },
  }
}
