/**
 * The life of each connector with an authorization server: found, registered, renewed, doubted,
 * quarantined. What a click or a call needs is read from memory; what has to be asked is asked behind.
 *
 * Nothing here delays a start. A connector that cannot be used is looked at again every minute.
 */
import { createCoolDown } from '../../cache/cool-down.ts'
import type { Config, ConnectorConfig } from '../../config.ts'
import type { Bus, Emit, Runtime, Store } from '../../ports.ts'
import { type ConnectorProblem, TENANT, type Values } from '../../records.ts'
import type { OurClient, Registrations } from '../client/registration.ts'
import type { DiscoveryEngine } from '../discovery/discovery.ts'
import type { Binding } from './binding.ts'
import { ConnectorLife } from './connector-life.ts'
import { type ConnectorRows, createConnectorRows } from './connector-rows.ts'
import type { ConnectorStatus } from './connector-status.ts'
import {
  definitionOf,
  isOutbound,
  type OutboundConnector,
  outboundConnectors,
} from './outbound-connector.ts'

export type Prepared =
  | { readonly ok: true; readonly binding: Binding; readonly client: OurClient }
  | {
      readonly ok: false
      readonly problems: readonly ConnectorProblem[]
      readonly state: Values['connector']['state']
    }

/** What somebody met at the server: a reason to look again, never one to forget. */
export type Evidence =
  | { readonly kind: 'challenge'; readonly resourceMetadata: string }
  | { readonly kind: 'invalid_client' | 'endpoint_gone' | 'token_refused' }

export interface Lifecycle {
  /** Reads what is stored and asks nobody: enough for a command. */
  load(): Promise<void>
  /** As `load`, then discovery and registration go on behind it, and other nodes are followed. */
  start(): Promise<void>
  /** From memory; `undefined`: not usable now. */
  binding(connector: string): Binding | undefined
  /** With all that a person needs to connect; waits at most `deadlineMs` when that is not known yet. */
  prepare(
    connector: string,
    options: { readonly deadlineMs: number; readonly retry?: boolean },
  ): Promise<Prepared>
  /** At most one look per connector and 30 s (DSC-19). */
  report(connector: string, evidence: Evidence): void
  status(connector: string): ConnectorStatus | undefined
  list(): readonly ConnectorStatus[]
  /** An administrator asks: what was known is dropped and asked again. */
  discover(connector: string): Promise<ConnectorStatus | undefined>
  /** @returns `undefined` when this origin is not what was refused. */
  approve(connector: string, origin: string): Promise<ConnectorStatus | undefined>
  /**
   * The connectors are others now: what another definition knew is not used any more, from this moment
   * on. Resolves when what is stored about the new ones has been read; they are looked at behind.
   */
  follow(): Promise<void>
  /** Resolves when each connector has been looked at once since the start. */
  looked(): Promise<void>
  /** Periodic work, for a platform without timers. */
  runDue(): Promise<void>
  close(): Promise<void>
}

/** Refused as a client: another one, once (CLI-05), and what its documents say is in doubt (DSC-19). */
export async function clientRefused(
  rooms: {
    readonly registrations: Pick<Registrations, 'refused'>
    readonly lifecycle: Pick<Lifecycle, 'report'>
  },
  binding: Binding,
  client: OurClient,
): Promise<void> {
  await rooms.registrations.refused(binding, client)
  rooms.lifecycle.report(binding.connector.name, { kind: 'invalid_client' })
}

export interface LifecycleDeps {
  readonly config: Config
  readonly store: Store
  readonly bus: Bus
  readonly runtime: Runtime
  readonly emit: Emit
  readonly discovery: DiscoveryEngine
  readonly registrations: Registrations
  /** Connectors that are gone, but whose tokens may have to be revoked yet. Default none. */
  readonly parted?: () => readonly ConnectorConfig[]
}

/** What cannot be used is looked at again after this; what another node renewed is noticed. */
const LOOK_EVERY_MS = 60_000
/** Nodes that started together do not look together. */
const LOOK_JITTER = 0.1
const LOOKS_AT_ONCE_MAX = 20
/** Evidence of one connector is followed at most this often (DSC-19). */
const EVIDENCE_EVERY_MS = 30_000
const CONNECTORS_MAX = 10_000
const REGISTRATIONS_MAX = 100

const UNKNOWN: ConnectorProblem = {
  party: 'here',
  code: 'ERR_CONNECTOR_NOT_FOUND',
  text: 'there is no such connector, or it does not connect people',
  requirement: 'O6',
}

export function createLifecycle(deps: LifecycleDeps): Lifecycle {
  const { config, runtime, discovery, registrations } = deps
  const rows = createConnectorRows(deps)
  const discoveryTimeoutMs = config.limits.discoveryTimeoutMs
  const lifeDeps = { ...deps, rows, discoveryTimeoutMs }
  const lifeOf = (connector: OutboundConnector) =>
    new ConnectorLife(connector, definitionOf(runtime, connector), lifeDeps)
  const wanted = (): readonly OutboundConnector[] => {
    const here = outboundConnectors(config)
    const gone = (deps.parted?.() ?? []).filter(isOutbound)
    return [...here, ...gone.filter((one) => here.every(({ name }) => name !== one.name))]
  }
  const lives = new Map(wanted().map((connector) => [connector.name, lifeOf(connector)]))
  const replaceLives = (): readonly ConnectorLife[] => {
    const now = new Map(wanted().map((connector) => [connector.name, connector]))
    for (const [name, life] of lives) {
      const next = now.get(name)
      if (life.connector === next) continue
      life.close()
      lives.delete(name)
      const isSame = next && definitionOf(runtime, next) === definitionOf(runtime, life.connector)
      if (isSame !== true) registrations.forget(name)
    }
    const fresh = [...now.values()].filter(({ name }) => !lives.has(name)).map(lifeOf)
    for (const life of fresh) lives.set(life.connector.name, life)
    return fresh
  }
  const mayFollow = createCoolDown(runtime, { waitMs: EVIDENCE_EVERY_MS, keysMax: CONNECTORS_MAX })
  const looks = createLooks(runtime, lives)
  const load = async (): Promise<void> => {
    await rows.load()
    await clearRedefined(deps, rows, lives.values())
    await registrations.load()
  }
  return {
    load,
    async follow() {
      const fresh = replaceLives()
      if (fresh.length === 0) return
      await load()
      for (const life of fresh) {
        discovery.keepWarm(life.target())
        if (runtime.sharesPromises && !life.isSettled()) runtime.waitUntil(life.check())
      }
    },
    async start() {
      await load()
      for (const life of lives.values()) discovery.keepWarm(life.target())
      const changed = (name: string): void => lives.get(name)?.rowChanged()
      if (!runtime.sharesPromises) return rows.follow(changed)
      await rows.start(changed)
      looks.start()
    },
    binding: (name) => lives.get(name)?.binding(),
    prepare: async (name, options) =>
      (await lives.get(name)?.prepare(options)) ?? {
        ok: false,
        problems: [UNKNOWN],
        state: 'unreachable',
      },
    report(name, evidence) {
      const life = lives.get(name)
      // What is no news must not use up the look of what is.
      if (life?.isNews(evidence) === true && mayFollow(name)) life.report(evidence)
    },
    status: (name) => lives.get(name)?.status(),
    list: () => outboundConnectors(config).flatMap(({ name }) => lives.get(name)?.status() ?? []),
    discover: async (name) => lives.get(name)?.discover(),
    async approve(name, origin) {
      const life = lives.get(name)
      return (await life?.approve(origin)) === true ? life?.status() : undefined
    },
    looked: () => looks.first(),
    async runDue() {
      await rows.load()
      await looks.all()
    },
    async close() {
      looks.stop()
      rows.stop()
      for (const life of lives.values()) life.close()
      await discovery.close()
    },
  }
}

type Lives = ReadonlyMap<string, ConnectorLife>

/** What belongs to another definition is removed before anybody can use it. */
async function clearRedefined(
  { store, runtime, discovery }: Pick<LifecycleDeps, 'store' | 'runtime' | 'discovery'>,
  rows: Pick<ConnectorRows, 'find'>,
  lives: Iterable<ConnectorLife>,
): Promise<void> {
  for (const life of lives) {
    const { name } = life.connector
    const row = rows.find(name)
    if (row === undefined || row.definition === definitionOf(runtime, life.connector)) continue
    const known = { name: 'name', value: name }
    const old = await store.list('registration', TENANT, known, { max: REGISTRATIONS_MAX })
    for (const { key: registered } of old) await store.remove('registration', registered)
    const url = URL.parse(row.url)
    if (url !== null && url.href !== life.connector.url.href)
      await discovery.drop({ ...life.target(), url })
  }
}

interface Looks {
  /** The first one goes on behind, then one a minute. */
  start(): void
  first(): Promise<void>
  /** At each that is not as it should be. */
  all(): Promise<void>
  stop(): void
}

function createLooks(runtime: Runtime, lives: Lives): Looks {
  let cancel = (): void => undefined
  let first = Promise.resolve()
  let isLooking = false
  /** A few at a time, so that a house with many connectors is no herd after a start or an outage (F9). */
  const all = async (): Promise<void> => {
    isLooking = true
    const waiting = [...lives.values()].filter((life) => !life.isSettled())
    const work = async (): Promise<void> => {
      for (let life = waiting.pop(); life !== undefined; life = waiting.pop()) await life.check()
    }
    await Promise.all(Array.from({ length: LOOKS_AT_ONCE_MAX }, work))
    isLooking = false
  }
  const arm = (): void => {
    const jitter = 1 + LOOK_JITTER * (2 * runtime.random() - 1)
    cancel = runtime.after(Math.round(LOOK_EVERY_MS * jitter), () => {
      if (!isLooking) runtime.waitUntil(all())
      arm()
    })
  }
  return {
    start() {
      arm()
      first = all()
      runtime.waitUntil(first)
    },
    first: () => first,
    all,
    stop: () => cancel(),
  }
}
