/**
 * The access tokens of connections in memory, so that a warm call reads no store: loaded and
 * refreshed on demand, refreshed ahead of their end while in use, forgotten on marks.
 *
 * Bounded by count and size. Never gives a token of another person, never one that has ended here.
 */
import { LRUCache } from 'lru-cache'
import { within } from '../../cache/deadline.ts'
import { createWaits, type Waits } from '../../cache/waits.ts'
import type { Config, ConnectorConfig } from '../../config.ts'
import type { RevocationView } from '../../issuer/revocation.ts'
import { canonicalResource } from '../../oauth/urls.ts'
import type { Emit, Runtime, Store } from '../../ports.ts'
import { TENANT, type Values } from '../../records.ts'
import { connectionKey, connectorOf } from '../../vault/connection-rows.ts'
import type { Refresher, RefreshResult } from '../../vault/refresh.ts'
import { createRefreshAhead, type RefreshAhead } from '../../vault/refresh-ahead.ts'
import type { Renewals } from '../../vault/renewals.ts'
import type { Vault, VaultRecord } from '../../vault/vault.ts'
import { shareWork } from '../waiting.ts'
import {
  bindingOf,
  createMachineTokens,
  type MachineTokens,
  type MachineTokensDeps,
} from './machine-tokens.ts'

export type HeldToken =
  | {
      readonly state: 'token'
      readonly accessToken: string
      readonly expiresAtMs?: number
      readonly scopes: readonly string[]
      readonly connectionId: string
      /** The only origin that the token may be sent to (CLI-21). */
      readonly resourceOrigin: string
    }
  | { readonly state: 'missing' | 'reconnect'; readonly cause?: string }
  /** Nothing in memory: `load`. */
  | { readonly state: 'cold' }

/** The server or the store cannot say now. */
export interface UnknownToken {
  readonly state: 'unknown'
  readonly retryAfterMs?: number
}

export interface LoadOptions {
  /** Longest wait of this caller. */
  readonly deadlineMs: number
  /** Least life left; at most half of the token's whole life is honoured. Default 0. */
  readonly minValidityMs?: number
}

export interface ConnectionTokens {
  /** Memory only. */
  peek(userId: string, connector: string): HeldToken
  /** @throws {StoreError} when the store cannot be read. */
  load(userId: string, connector: string, options: LoadOptions): Promise<HeldToken | UnknownToken>
  /**
   * The server answered 401 to this token: another one, if there is one or a refresh brings one. At
   * most one refresh a minute however often it answers so (O8); then `reconnect`.
   */
  refused(
    userId: string,
    connector: string,
    accessToken: string,
    deadlineMs: number,
  ): Promise<HeldToken | UnknownToken>
  /** Memory only: the token of a connector with `client_credentials`. */
  machine(connector: string): HeldToken
  loadMachine(connector: string, options: LoadOptions): Promise<HeldToken | UnknownToken>
  refusedMachine(
    connector: string,
    accessToken: string,
    deadlineMs: number,
  ): Promise<HeldToken | UnknownToken>
  /** Refreshed when it is due, whichever node used it. `dead`: there is nothing to refresh any more. */
  renewDue(vaultId: string, userId: string, connector: string): Promise<RefreshResult>
  forget(vaultId: string): void
  /** Drops what is remembered of one person at one connector. */
  drop(userId: string, connector: string): void
  /** Drops what is remembered of everybody at one connector, ours included: it is another one now. */
  dropAll(connector: string): void
  close(): void
}

export interface ConnectionTokensDeps extends MachineTokensDeps {
  readonly store: Store
  readonly runtime: Runtime
  readonly emit: Emit
  readonly vault: Pick<Vault, 'find'>
  readonly refresher: Pick<Refresher, 'refresh'>
  readonly revocation: Pick<RevocationView, 'onMark' | 'marked'>
  readonly config: Pick<Config, 'connectors' | 'limits'>
  /** Where no timer can refresh ahead. */
  readonly renewals?: Pick<Renewals, 'seen'>
}

/** What memory keeps of one connection. */
interface Kept {
  readonly held: Extract<HeldToken, { readonly state: 'token' }>
  readonly vaultId: string
  readonly record: VaultRecord
}
/** What the store says of one connection. */
type Looked = Kept | Extract<HeldToken, { readonly state: 'missing' | 'reconnect' }>

/** Connections remembered, and the bytes of all their tokens together. */
const KEPT_MAX = 50_000
const KEPT_BYTES_MAX = 64 * 1_048_576
const KEPT_OVERHEAD_BYTES = 512
/** A connection that nobody asked for this long is not refreshed ahead. */
const IN_USE_MS = 600_000
/** Longest life that a caller may demand, as a share of what the server gives. */
const DEMAND_SHARE_MAX = 0.5
/** After a 401 in spite of a refresh: no other refresh before this, doubling (O8). */
const REFUSED_WAIT_MIN_MS = 60_000
const REFUSED_WAIT_MAX_MS = 900_000
/** A token as young as this was refused as it came: another one would be too. */
const REFRESH_REST_MS = 10_000
/** A refresh that failed for now is not asked for again before this, doubling (CLI-20). */
const FAILED_WAIT_MIN_MS = 1_000
const FAILED_WAIT_MAX_MS = 60_000
const WAITS_MAX = 50_000
/** Waiting for other nodes' refresh, on top of the call. */
const LEASE_WAIT_MS = 30_000
/** A record that is ended under our reads is read again this often. */
const READS_MAX = 4

const COLD: HeldToken = { state: 'cold' }
const MISSING = { state: 'missing' } as const

export function createConnectionTokens(deps: ConnectionTokensDeps): ConnectionTokens {
  return new Tokens(deps)
}

class Tokens implements ConnectionTokens {
  readonly #deps: ConnectionTokensDeps
  readonly #kept: LRUCache<string, Kept>
  readonly #nameOfVault = new Map<string, string>()
  readonly #ahead: RefreshAhead
  readonly #machines: MachineTokens
  readonly #reads = new Map<string, Promise<Looked>>()
  readonly #refreshes = new Map<string, Promise<RefreshResult>>()
  readonly #refusals = new Map<string, Promise<HeldToken | UnknownToken>>()
  readonly #refusedWaits: Waits
  readonly #failedWaits: Waits
  readonly #stop: () => void
  /** Counts what was forgotten: a read that began before is not remembered. */
  #forgotten = 0

  constructor(deps: ConnectionTokensDeps) {
    const { runtime, revocation } = deps
    this.#deps = deps
    this.#kept = new LRUCache<string, Kept>({
      max: KEPT_MAX,
      maxSize: KEPT_BYTES_MAX,
      sizeCalculation: ({ held }) => KEPT_OVERHEAD_BYTES + held.accessToken.length,
      dispose: ({ vaultId }, _name, reason) => {
        if (reason === 'set') return
        this.#nameOfVault.delete(vaultId)
        this.#ahead.forget(vaultId)
      },
    })
    this.#ahead = createRefreshAhead({
      refresh: (vaultId) => this.#refreshAhead(vaultId),
      told: () => undefined,
      incident: () => false,
      inUseMs: IN_USE_MS,
      runtime,
    })
    this.#machines = createMachineTokens(deps)
    this.#refusedWaits = createWaits(runtime, {
      minMs: REFUSED_WAIT_MIN_MS,
      maxMs: REFUSED_WAIT_MAX_MS,
      keysMax: WAITS_MAX,
    })
    this.#failedWaits = createWaits(runtime, {
      minMs: FAILED_WAIT_MIN_MS,
      maxMs: FAILED_WAIT_MAX_MS,
      keysMax: WAITS_MAX,
    })
    this.#stop = revocation.onMark((mark) => {
      if (mark.kind === 'grant') this.forget(mark.id)
      // One mark ends all connections of a connector, before each is ended in the store (V2).
      if (mark.kind !== 'connector') return
      for (const known of deps.config.connectors)
        if (resourceOf(known) === mark.id) this.dropAll(known.name)
    })
  }

  peek(userId: string, connector: string): HeldToken {
    const kept = this.#kept.get(nameOf(userId, connector))
    if (kept === undefined || this.#leftMs(kept.held) <= 0) return COLD
    this.#watch(kept)
    return kept.held
  }

  async load(
    userId: string,
    connector: string,
    { deadlineMs, minValidityMs = 0 }: LoadOptions,
  ): Promise<HeldToken | UnknownToken> {
    const name = nameOf(userId, connector)
    const kept = this.#kept.get(name)
    const known = kept !== undefined && this.#isEnough(kept, minValidityMs) ? kept : undefined
    const looked = known ?? (await this.#look(userId, connector))
    if (!('vaultId' in looked)) return looked
    if (this.#isEnough(looked, minValidityMs)) return this.#use(looked)
    const { vaultId } = looked
    const waitMs = this.#failedWaits.leftMs(vaultId)
    if (waitMs > 0) return this.#orUnknown(looked, waitMs)
    const force = this.#leftMs(looked.held) > 0
    const result = await this.#within(this.#refresh(vaultId, userId, connector, force), deadlineMs)
    return this.#after(result, looked, userId, connector)
  }

  async refused(
    userId: string,
    connector: string,
    accessToken: string,
    deadlineMs: number,
  ): Promise<HeldToken | UnknownToken> {
    const name = nameOf(userId, connector)
    const kept = this.#kept.get(name)
    // Somebody else met the same answer before, and it has led to another token.
    if (kept !== undefined && !this.#isSame(kept, accessToken) && this.#leftMs(kept.held) > 0)
      return this.#use(kept)
    const flightName = JSON.stringify([name, this.#deps.runtime.sha256(accessToken)])
    const flight = shareWork(this.#deps.runtime, this.#refusals, flightName, () =>
      this.#renew(userId, connector, accessToken),
    )
    return (await this.#within(flight, deadlineMs)) ?? { state: 'unknown' }
  }

  machine(connector: string): HeldToken {
    return this.#machines.peek(connector)
  }

  loadMachine(connector: string, options: LoadOptions): Promise<HeldToken | UnknownToken> {
    return this.#machines.load(connector, options)
  }

  refusedMachine(
    connector: string,
    accessToken: string,
    deadlineMs: number,
  ): Promise<HeldToken | UnknownToken> {
    return this.#machines.refused(connector, accessToken, deadlineMs)
  }

  async renewDue(vaultId: string, userId: string, connector: string): Promise<RefreshResult> {
    const looked = await this.#look(userId, connector)
    if (!('vaultId' in looked) || looked.vaultId !== vaultId) return 'dead'
    return this.#refresh(vaultId, userId, connector, false)
  }

  forget(vaultId: string): void {
    this.#forgotten += 1
    const name = this.#nameOfVault.get(vaultId)
    if (name !== undefined) this.#kept.delete(name)
  }

  drop(userId: string, connector: string): void {
    this.#forgotten += 1
    const name = nameOf(userId, connector)
    this.#kept.delete(name)
    this.#reads.delete(name)
  }

  dropAll(connector: string): void {
    this.#forgotten += 1
    const isOf = (key: string): boolean => key.startsWith(`${connector}\n`)
    for (const key of [...this.#kept.keys()]) if (isOf(key)) this.#kept.delete(key)
    for (const key of this.#reads.keys()) if (isOf(key)) this.#reads.delete(key)
    this.#machines.forget(connector)
  }

  /** Marks of the person end their sign-ins; what they connected stays (REV-12). */
  #isMarked(connector: ConnectorConfig, { vaultId, connectedAtMs }: Values['connection']): boolean {
    const none = { userId: '', clientId: '', keyId: '', digest: '' }
    const resource = resourceOf(connector)
    const about = { ...none, tenant: TENANT, grantId: vaultId, resource, issuedAtMs: connectedAtMs }
    return this.#deps.revocation.marked(about) === true
  }

  close(): void {
    this.#stop()
    this.#ahead.close()
    this.#machines.close()
  }

  /** One read for all who ask at once; remembered unless something was forgotten meanwhile. */
  #look(userId: string, connector: string): Promise<Looked> {
    const name = nameOf(userId, connector)
    return shareWork(this.#deps.runtime, this.#reads, name, async () => {
      for (let round = 1; ; round += 1) {
        const before = this.#forgotten
        const looked = await this.#read(userId, connector)
        if (before !== this.#forgotten && round < READS_MAX) continue
        if (!('vaultId' in looked)) this.#kept.delete(name)
        else if (before === this.#forgotten) this.#keep(name, looked)
        return looked
      }
    })
  }

  async #read(userId: string, connector: string): Promise<Looked> {
    const { store, vault, runtime, config } = this.#deps
    const row = await store.get('connection', connectionKey(runtime, userId, connector))
    if (row?.value.state !== 'active') return MISSING
    const { connectionId, vaultId, resource } = row.value
    const configured = config.connectors.find((known) => known.name === connector)
    if (configured === undefined || this.#isMarked(configured, row.value)) return MISSING
    const entry = await vault.find(vaultId)
    if (entry === undefined || entry.record.state === 'ended') return MISSING
    const { record, tokens } = entry
    // What is sealed says to which record it belongs, not whose record it is.
    if (record.userId !== userId || connectorOf(record.provider) !== connector)
      return { state: 'reconnect', cause: 'damaged' }
    // A spare may make it good again: that is for the refresh to find out.
    if (record.state === 'reconnect' && record.spareSealed === undefined)
      return { state: 'reconnect', ...(record.cause === undefined ? {} : { cause: record.cause }) }
    // O5: a definition that was edited after linking does not take the tokens along.
    if (!isWithin(configured.url, resource)) return { state: 'reconnect', cause: 'server_changed' }
    const expiresAtMs = record.state === 'reconnect' ? runtime.nowMs() : record.accessExpiresAtMs
    const held = {
      state: 'token',
      accessToken: tokens.accessToken,
      scopes: record.scopes,
      connectionId,
      resourceOrigin: new URL(resource).origin,
      ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
    } as const
    return { held, vaultId, record }
  }

  #keep(name: string, kept: Kept): void {
    const before = this.#kept.peek(name)
    if (before !== undefined && before.vaultId !== kept.vaultId) this.#kept.delete(name)
    this.#nameOfVault.set(kept.vaultId, name)
    this.#kept.set(name, kept)
  }

  #use(kept: Kept): HeldToken {
    this.#watch(kept)
    return kept.held
  }

  /** Where promises are not shared a timer ends with its request: noted down for `runDue`. */
  #watch({ vaultId, record }: Kept): void {
    if (this.#deps.runtime.sharesPromises) this.#ahead.seen(vaultId, record)
    else this.#deps.renewals?.seen(vaultId, record)
  }

  /** One refresh for all who ask, however long each of them waits. */
  #refresh(
    vaultId: string,
    userId: string,
    connector: string,
    force: boolean,
  ): Promise<RefreshResult> {
    const { refresher, config, emit, lifecycle } = this.#deps
    return shareWork(
      this.#deps.runtime,
      this.#refreshes,
      `${force ? 'force' : 'due'}:${vaultId}`,
      async () => {
        // Before the refresh begins: what it writes down lasts as long as one call, not as a discovery.
        await bindingOf(lifecycle, connector)
        const deadlineMs = config.limits.tokenCallTimeoutMs + LEASE_WAIT_MS
        const result = await refresher.refresh(vaultId, deadlineMs, { force })
        if (result === 'unknown') {
          this.#failedWaits.failed(vaultId)
          return result
        }
        this.#failedWaits.done(vaultId)
        // Before anybody hears of it: what they find in memory is what was written.
        this.#reads.delete(nameOf(userId, connector))
        const looked = await this.#look(userId, connector)
        const connectionId = 'vaultId' in looked ? { connectionId: looked.held.connectionId } : {}
        const who = { tenant: TENANT, userId, connector, ...connectionId }
        if (result === 'refreshed') emit.event({ type: 'connection.refreshed', ...who })
        if (result === 'dead' && !('vaultId' in looked) && looked.state === 'reconnect')
          emit.event({ type: 'connection.reconnect', ...who, reason: looked.cause ?? 'refused' })
        return result
      },
    )
  }

  async #refreshAhead(vaultId: string): Promise<RefreshResult> {
    const kept = this.#kept.peek(this.#nameOfVault.get(vaultId) ?? '')
    if (kept === undefined) return 'current'
    const { userId, provider } = kept.record
    return this.#refresh(vaultId, userId, connectorOf(provider) ?? '', false)
  }

  async #after(
    result: RefreshResult | undefined,
    before: Kept,
    userId: string,
    connector: string,
  ): Promise<HeldToken | UnknownToken> {
    if (result === undefined || result === 'unknown')
      return this.#orUnknown(before, this.#failedWaits.leftMs(before.vaultId))
    const looked =
      this.#kept.get(nameOf(userId, connector)) ?? (await this.#look(userId, connector))
    if (!('vaultId' in looked)) return looked
    return this.#leftMs(looked.held) > 0 ? this.#use(looked) : this.#orUnknown(looked, 0)
  }

  /** What is left of the old token, when a new one is not to be had now. */
  #orUnknown(kept: Kept, waitMs: number): HeldToken | UnknownToken {
    if (this.#leftMs(kept.held) > 0) return this.#use(kept)
    const binding = this.#deps.lifecycle.binding(connectorOf(kept.record.provider) ?? '')
    // Its authorization server is another one now: only the person can connect there (DSC-20).
    if (binding !== undefined && binding.issuer !== kept.record.issuer)
      return { state: 'reconnect', cause: 'issuer_changed' }
    return { state: 'unknown', ...(waitMs > 0 ? { retryAfterMs: waitMs } : {}) }
  }

  /** O8: another token from the store, or one refresh; then the person is asked, and nothing ends. */
  async #renew(
    userId: string,
    connector: string,
    accessToken: string,
  ): Promise<HeldToken | UnknownToken> {
    const { runtime } = this.#deps
    this.#reads.delete(nameOf(userId, connector))
    const looked = await this.#look(userId, connector)
    if (!('vaultId' in looked)) return looked
    // Another node has refreshed.
    if (!this.#isSame(looked, accessToken) && this.#leftMs(looked.held) > 0)
      return this.#use(looked)
    const { vaultId, record } = looked
    const refreshedAgoMs = runtime.nowMs() - (record.refreshedAtMs ?? 0)
    const isTooSoon = refreshedAgoMs >= 0 && refreshedAgoMs < REFRESH_REST_MS
    if (isTooSoon || this.#refusedWaits.leftMs(vaultId) > 0 || !record.hasRefreshToken)
      return { state: 'reconnect', cause: 'refused_by_server' }
    this.#refusedWaits.failed(vaultId)
    const result = await this.#refresh(vaultId, userId, connector, true)
    if (result === 'unknown') {
      const waitMs = this.#failedWaits.leftMs(vaultId)
      return { state: 'unknown', ...(waitMs > 0 ? { retryAfterMs: waitMs } : {}) }
    }
    return this.#after(result, looked, userId, connector)
  }

  #isSame({ held }: Kept, accessToken: string): boolean {
    return this.#deps.runtime.equal(held.accessToken, accessToken)
  }

  /** What lives shorter than is demanded is as good as it gets, until half of it is gone. */
  #isEnough({ held, record }: Kept, minValidityMs: number): boolean {
    if (held.expiresAtMs === undefined) return true
    const lifeMs = held.expiresAtMs - (record.refreshedAtMs ?? record.createdAtMs)
    const neededMs = Math.min(minValidityMs, Math.max(0, lifeMs) * DEMAND_SHARE_MAX)
    return this.#leftMs(held) > neededMs
  }

  #leftMs({ expiresAtMs }: Kept['held']): number {
    if (expiresAtMs === undefined) return Number.POSITIVE_INFINITY
    return expiresAtMs - this.#deps.runtime.nowMs()
  }

  #within<T>(work: Promise<T>, deadlineMs: number): Promise<T | undefined> {
    return within(this.#deps.runtime, work, deadlineMs)
  }
}

function nameOf(userId: string, connector: string): string {
  return `${connector}\n${userId}`
}

/** As marks name it. */
function resourceOf({ resource }: ConnectorConfig): string {
  return canonicalResource(resource) ?? resource
}

/** Exact origin, and the path of the resource or below it (CLI-21). */
function isWithin(url: URL, resource: string): boolean {
  const bound = URL.parse(resource)
  if (bound === null || bound.origin !== url.origin) return false
  const path = bound.pathname.replace(/\/$/, '')
  return `${url.pathname}/`.startsWith(`${path}/`)
}
