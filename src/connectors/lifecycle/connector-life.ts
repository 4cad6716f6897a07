/**
 * One connector with an authorization server: what memory knows of it, and the one look at a time that
 * finds it, accepts it, registers with it, and writes down what is wrong.
 *
 * Memory answers without a wait. A look never rejects and never loosens what was accepted.
 */

import { within } from '../../cache/deadline.ts'
import { isNamedByFile } from '../../config/approved-origins.ts'
import { resourceMetadataUrls } from '../../oauth/resource-metadata.ts'
import type { Emit, Runtime } from '../../ports.ts'
import { type ConnectorProblem, TENANT } from '../../records.ts'
import type { Registrations } from '../client/registration.ts'
import type {
  Discovered,
  DiscoveryEngine,
  DiscoveryResult,
  DiscoveryTarget,
} from '../discovery/discovery.ts'
import { approved, type Binding, type Bound, bind } from './binding.ts'
import type { ConnectorRow, ConnectorRows } from './connector-rows.ts'
import type { ConnectorStatus } from './connector-status.ts'
import { changesBetween, isAccepted, judge, keptRow } from './connector-verdict.ts'
import type { Evidence, Prepared } from './lifecycle.ts'
import type { OutboundConnector } from './outbound-connector.ts'

export interface LifeDeps {
  readonly rows: ConnectorRows
  readonly discovery: DiscoveryEngine
  readonly registrations: Registrations
  readonly runtime: Runtime
  readonly emit: Emit
  /** Longest look at documents. */
  readonly discoveryTimeoutMs: number
}

/** No fault: who connects is the first to look. */
export const NOT_LOOKED: ConnectorProblem = {
  party: 'here',
  code: 'ERR_CONNECTOR_UNREACHABLE',
  text: 'nobody has looked at it yet, or another node has another definition of it',
  requirement: 'DSC-13',
}

/** `retry`: a person asked again. `renew`: an administrator wants it asked anew. */
type How = 'usual' | 'retry' | 'renew'

interface Memory {
  readonly discovered: Discovered
  readonly row: ConnectorRow | undefined
  readonly bound: Bound
}

export class ConnectorLife {
  readonly connector: OutboundConnector
  readonly #definition: string
  readonly #deps: LifeDeps
  #target: DiscoveryTarget | undefined
  #memory: Memory | undefined
  #look: Promise<void> | undefined
  #checkedAtMs: number | undefined
  #isClosed = false
  readonly #startedAtMs: number
  /** `resource_metadata` values that are no news. */
  #metadataUrls: readonly string[]

  constructor(connector: OutboundConnector, definition: string, deps: LifeDeps) {
    this.connector = connector
    this.#definition = definition
    this.#deps = deps
    this.#startedAtMs = deps.runtime.nowMs()
    this.#metadataUrls = usualMetadataUrls(connector.url)
  }

  close(): void {
    this.#isClosed = true
  }

  /** As discovery is asked now: what is stored decides whether old rules may still be used (DSC-10). */
  target(): DiscoveryTarget {
    const { name, url, oauth } = this.connector
    const row = this.#row()
    const isStatic = oauth.client !== undefined && oauth.pinnedIssuer === undefined
    const hasCredentials = isStatic || (row?.issuer !== undefined && row.legacy !== true)
    if (this.#target?.hasCredentials !== hasCredentials) {
      const approved = isNamedByFile(this.connector)
      this.#target = { url, connector: name, approved, oauth, hasCredentials }
    }
    return this.#target
  }

  /** Usable now, from memory; a change that was just noticed is written down behind. */
  binding(): Binding | undefined {
    const bound = this.#bound()
    if (bound?.ok !== true) return undefined
    return isAccepted(this.#row(), bound.binding) ? bound.binding : undefined
  }

  /** All that a person needs to connect is in memory. */
  ready(): Extract<Prepared, { ok: true }> | undefined {
    const binding = this.binding()
    const client = binding === undefined ? undefined : this.#deps.registrations.peek(binding)
    return binding === undefined || client === undefined ? undefined : { ok: true, binding, client }
  }

  async prepare(options: { deadlineMs: number; retry?: boolean }): Promise<Prepared> {
    const { runtime } = this.#deps
    const ready = this.ready()
    if (ready !== undefined) return ready
    const work = this.check(options.retry === true ? 'retry' : 'usual')
    await within(runtime, work, options.deadlineMs)
    const { problems, state } = this.status()
    return this.ready() ?? { ok: false, problems, state: state === 'disabled' ? 'degraded' : state }
  }

  /** One look at a time; who asks meanwhile gets its end. */
  check(how: How = 'usual'): Promise<void> {
    const { runtime, emit } = this.#deps
    const look = this.#look
    if (look !== undefined && runtime.sharesPromises) return look
    const work = this.#lookNow(how)
      .catch(() => {
        // A look that is under way when the house closes finds no store.
        if (!this.#isClosed) emit.event({ type: 'server.failed', reason: 'connector' })
      })
      .finally(() => {
        this.#look = undefined
      })
    this.#look = work
    return work
  }

  /** Is there anything that a look could repair or notice? No exchange, no wait. */
  isSettled(): boolean {
    const row = this.#row()
    if (row === undefined || this.ready() === undefined) return false
    return row.state === 'ready' && this.#memory?.discovered.problem === undefined
  }

  /** Of challenges only another `resource_metadata` of the server's own origin (O9); each value once. */
  isNews(evidence: Evidence): boolean {
    if (evidence.kind !== 'challenge') return true
    const url = URL.parse(evidence.resourceMetadata)
    return url?.origin === this.connector.url.origin && !this.#metadataUrls.includes(url.href)
  }

  report(evidence: Evidence): void {
    const { discovery, runtime } = this.#deps
    if (evidence.kind === 'challenge') this.#remember(evidence.resourceMetadata)
    // A token that no refresh helps may be of an authorization server that the server has left (DSC-20).
    discovery.revalidate(this.target())
    // Who met it asks for another registration (CLI-05); what came of that is written down here.
    if (evidence.kind === 'invalid_client') runtime.waitUntil(this.check())
  }

  /** What was known is dropped; it comes back only when nobody answers at all. */
  async discover(): Promise<ConnectorStatus> {
    await this.#underWay()
    await this.check('renew')
    // The other nodes have documents of their own: this tells them that these may be old.
    await this.#deps.rows.change(this.connector.name, (row) => {
      const kept = keptRow(row, this.#definition)
      const askedAtMs = this.#nowMs()
      return kept && { row: { ...kept, askedAtMs, checkedAtMs: askedAtMs }, audit: [] }
    })
    return this.status()
  }

  async approve(origin: string): Promise<boolean> {
    const hasOwnClient = this.connector.oauth.client !== undefined
    const checkedAtMs = this.#nowMs()
    const { written } = await this.#deps.rows.change(this.connector.name, (row) => {
      const kept = keptRow(row, this.#definition)
      const next = kept === undefined ? undefined : approved(kept, origin, hasOwnClient)
      if (next === undefined) return undefined
      const audit = [
        {
          event: 'connector.recovered',
          detail: `${this.connector.name} approved ${origin}`,
        } as const,
      ]
      return { row: { ...next, checkedAtMs }, audit }
    })
    if (written) await this.check('retry')
    return written
  }

  status(): ConnectorStatus {
    const { name, url, auth } = this.connector
    const row = this.#row()
    this.#bound()
    const { discovered } = this.#memory ?? {}
    const checkedAtMs = this.#checkedAtMs ?? row?.checkedAtMs
    return {
      name,
      url: url.href,
      auth,
      state: row?.state ?? 'unreachable',
      ...(discovered === undefined || checkedAtMs === undefined
        ? {}
        : {
            discovery: {
              issuer: discovered.authorizationServer.issuer,
              ageSeconds: discovered.ageSeconds,
              state: discovered.state,
              source: discovered.source,
              checkedAt: new Date(checkedAtMs).toISOString(),
            },
          }),
      problems: row?.problems ?? [NOT_LOOKED],
      ...(row?.refusedOrigin === undefined ? {} : { refusedOrigin: row.refusedOrigin }),
    }
  }

  /** Another node wrote the row: what it accepted or refused counts here, and the documents are asked for. */
  rowChanged(): void {
    const { runtime, discovery } = this.#deps
    const row = this.#row()
    const bound = this.#bound()
    const isRefused = row?.state === 'quarantined' && row.refusedOrigin !== undefined
    const loadedAtMs = runtime.nowMs() - (this.#memory?.discovered.ageSeconds ?? 0) * 1000
    const isOld = row?.askedAtMs !== undefined && row.askedAtMs > loadedAtMs
    if (isOld || (isRefused && bound?.ok === true)) discovery.revalidate(this.target())
    if (!this.isSettled()) runtime.waitUntil(this.check())
  }

  async #lookNow(how: How): Promise<void> {
    const { discovery, registrations, discoveryTimeoutMs: deadlineMs } = this.#deps
    const result =
      how === 'renew'
        ? await discovery.renew(this.target(), { deadlineMs })
        : await discovery.read(this.target(), { deadlineMs, retry: how === 'retry' })
    this.#checkedAtMs = this.#nowMs()
    // Accepted before anything secret is made for it: registering comes after.
    const first = this.#boundOf(result, this.#row())
    if (!first?.ok || !isAccepted(this.#row(), first.binding)) await this.#write(result)
    const bound = this.#boundOf(result, this.#row())
    if (!bound?.ok || !isAccepted(this.#row(), bound.binding)) return
    const registered = await registrations.ensure(bound.binding)
    await this.#write(result, registered.ok ? undefined : registered.problem)
  }

  async #write(result: DiscoveryResult, registration?: ConnectorProblem): Promise<void> {
    const { rows } = this.#deps
    const { connector } = this
    const definition = this.#definition
    const { row, before, written } = await rows.change(connector.name, (current) => {
      // A node that started later has another definition of it: that one holds.
      if (current !== keptRow(current, definition) && isSince(current, this.#startedAtMs))
        return undefined
      const nowMs = this.#nowMs()
      const about = registration === undefined ? {} : { registration }
      const next = judge(current, { connector, definition, result, nowMs, ...about })
      const audit = changesBetween(current, next).map(({ event, reason }) => ({
        event,
        detail: `${connector.name} ${reason}`,
      }))
      return { row: next, audit }
    })
    if (written && row !== undefined) this.#tell(before, row)
  }

  #tell(before: ConnectorRow | undefined, after: ConnectorRow): void {
    for (const { event: type, reason } of changesBetween(before, after))
      this.#deps.emit.event({ type, tenant: TENANT, connector: this.connector.name, reason })
  }

  /** What a look that began before has seen is not what is asked for. */
  async #underWay(): Promise<void> {
    if (this.#deps.runtime.sharesPromises) await this.#look
  }

  /** As it is stored. */
  #nowMs(): number {
    return Math.trunc(this.#deps.runtime.nowMs())
  }

  #row(): ConnectorRow | undefined {
    return keptRow(this.#deps.rows.find(this.connector.name), this.#definition)
  }

  /** Same documents and same row: same answer, so it is made once. */
  #bound(): Bound | undefined {
    const discovered = this.#deps.discovery.peek(this.target())
    if (discovered === undefined) {
      this.#memory = undefined
      return undefined
    }
    const row = this.#row()
    const known = this.#memory
    const isSame =
      known?.row === row &&
      known?.discovered.authorizationServer === discovered.authorizationServer &&
      known.discovered.resource === discovered.resource
    const bound = isSame && known ? known.bound : bind(this.connector, discovered, row)
    this.#memory = { discovered, row, bound }
    // Drift that a renewal brought: refused from now on, told and written behind.
    if (!bound.ok && known?.bound.ok === true) this.#deps.runtime.waitUntil(this.check())
    return bound
  }

  #boundOf(result: DiscoveryResult, row: ConnectorRow | undefined): Bound | undefined {
    return result.ok ? bind(this.connector, result.discovered, row) : undefined
  }

  #remember(resourceMetadata: string): void {
    const url = URL.parse(resourceMetadata)
    if (url !== null) this.#metadataUrls = [...usualMetadataUrls(this.connector.url), url.href]
  }
}

function isSince(row: ConnectorRow | undefined, atMs: number): boolean {
  return row !== undefined && row.checkedAtMs > atMs
}

function usualMetadataUrls(url: URL): readonly string[] {
  return resourceMetadataUrls(url).map(({ href }) => href)
}
