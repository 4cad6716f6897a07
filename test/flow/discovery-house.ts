/**
 * The discovery engine against the remote server double: real sockets, fake time, a store in memory.
 * Exchanges are counted at the double.
 */
import {
  type RemoteServer,
  type RemoteServerOptions,
  startRemoteServer,
} from '../../demo/doubles/remote-server.ts'
import { createMemoryLock, createMemoryStore } from '../../src/adapters/memory.ts'
import { createBreakers } from '../../src/cache/breaker.ts'
import {
  type Discovered,
  type DiscoveryEngine,
  type DiscoveryLimits,
  type DiscoveryTarget,
  openDiscovery,
} from '../../src/connectors/discovery/discovery.ts'
import { createEgress } from '../../src/net/egress.ts'
import { createNodeFetch } from '../../src/node/fetch.ts'
import type { Fetch, Lock, Store } from '../../src/ports.ts'
import type { ConnectorProblem } from '../../src/records.ts'
import { createRecordingEmit, type RecordingEmit } from '../kit/emit.ts'
import { createTestRuntime, type TestRuntime } from '../kit/runtime.ts'

export const LIMITS: DiscoveryLimits = {
  discoveryTtlSeconds: 3_600,
  discoveryStaleSeconds: 86_400,
  discoveryStaleIfErrorSeconds: 604_800,
  discoveryTimeoutMs: 5_000,
  metadataTimeoutMs: 3_000,
}

export interface DiscoveryNode {
  readonly engine: DiscoveryEngine
  readonly emit: RecordingEmit
  close(): Promise<void>
}

export interface NodeOptions {
  readonly runtime: TestRuntime
  readonly approvedOrigins: readonly string[]
  readonly store?: Store
  readonly lock?: Lock
  readonly fetch?: Fetch
  readonly limits?: Partial<DiscoveryLimits>
}

export async function openNode(options: NodeOptions): Promise<DiscoveryNode> {
  const { runtime, store, lock } = options
  const emit = createRecordingEmit()
  const outbound = options.fetch === undefined ? createNodeFetch({}) : undefined
  const approvedOrigins = new Set(options.approvedOrigins)
  const egress = createEgress({
    fetch: options.fetch ?? outbound?.fetch ?? (() => Promise.reject(new TypeError('no fetch'))),
    runtime,
    emit,
    approvedOrigins,
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: 2_000,
    breakers: createBreakers({ runtime, emit }),
  })
  const engine = await openDiscovery({
    egress,
    runtime,
    emit,
    limits: { ...LIMITS, ...options.limits },
    approvedOrigins,
    ...(store === undefined || lock === undefined ? {} : { durable: { store, lock } }),
  })
  return {
    engine,
    emit,
    async close() {
      await engine.close()
      await outbound?.close()
    },
  }
}

export interface DiscoveryHouse extends DiscoveryNode {
  readonly remote: RemoteServer
  readonly runtime: TestRuntime
  readonly store: Store
  readonly lock: Lock
  readonly target: DiscoveryTarget
  /** Another node, or the same one after a restart, on the same store. */
  again(): Promise<DiscoveryNode>
  read(options?: { retry?: boolean; target?: DiscoveryTarget }): Promise<Discovered>
  refusal(options?: { retry?: boolean; target?: DiscoveryTarget }): Promise<ConnectorProblem>
  /** Everything that reached either of the two since the last call. */
  exchanges(): Readonly<Record<string, number>>
}

export function targetOf(
  url: string,
  oauth: Partial<DiscoveryTarget['oauth']> = {},
  rest: Partial<DiscoveryTarget> = {},
): DiscoveryTarget {
  return {
    url: new URL(url),
    connector: 'notes',
    approved: true,
    hasCredentials: false,
    oauth: {
      strictResource: false,
      legacyDiscovery: true,
      followMetadataRedirects: false,
      ...oauth,
    },
    ...rest,
  }
}

export async function openHouse(
  options: RemoteServerOptions & { readonly limits?: Partial<DiscoveryLimits> } = {},
): Promise<DiscoveryHouse> {
  const remote = await startRemoteServer(options)
  const runtime = createTestRuntime()
  const store = createMemoryStore()
  const lock = createMemoryLock(runtime)
  const nodes: DiscoveryNode[] = []
  const again = async (): Promise<DiscoveryNode> => {
    const approvedOrigins = [remote.origin, remote.authorizationServer.origin]
    const limits = options.limits ?? {}
    const node = await openNode({ runtime, store, lock, approvedOrigins, limits })
    nodes.push(node)
    return node
  }
  const first = await again()
  const target = targetOf(remote.url)
  const ask = (given: { retry?: boolean; target?: DiscoveryTarget } = {}) =>
    first.engine.read(given.target ?? target, { deadlineMs: 5_000, retry: given.retry === true })
  return {
    ...first,
    remote,
    runtime,
    store,
    lock,
    target,
    again,
    async read(given) {
      const result = await ask(given)
      if (!result.ok) throw new Error(JSON.stringify(result.problem))
      return result.discovered
    },
    async refusal(given) {
      const result = await ask(given)
      if (result.ok) throw new Error(`wrongly accepted: ${result.discovered.source}`)
      return result.problem
    },
    exchanges() {
      const both = [remote, remote.authorizationServer]
      const seen = Object.assign({}, ...[...new Set(both)].map((double) => double.exchanges()))
      for (const double of both) double.forget()
      return seen
    },
    async close() {
      for (const node of nodes) await node.close()
      await remote.close()
    },
  }
}
