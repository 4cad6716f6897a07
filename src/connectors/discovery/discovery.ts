/**
 * Discovery of remote MCP servers: protected resource metadata, then the metadata of its authorization
 * server, as one chain of exchanges per exact URL and policy.
 *
 * Warm: memory only. Cold: one chain per key at a time, on this node and, by lease, among nodes. Remote
 * down: the last good documents for `discoveryStaleIfErrorSeconds`, across restarts. A document that
 * was refused is never stored. Follows no redirects unless a connector says so.
 * @see design.md section 1, requirements DSC-01 to DSC-21, RFC 9728, RFC 8414, RFC 5861
 */
import { acrossNodes } from '../../cache/across-nodes.ts'
import { createCoolDown } from '../../cache/cool-down.ts'
import { createLoadingCache, type Loaded, type LoadingCache } from '../../cache/loading-cache.ts'
import { type SharedCache, type StoredFacts, storedFacts } from '../../cache/stored-facts.ts'
import type { Persisted } from '../../cache/write-behind.ts'
import type { ConnectorOAuth, Limits } from '../../config.ts'
import { UpstreamError } from '../../errors.ts'
import type { Egress } from '../../net/egress.ts'
import {
  type ProtectedResourceMetadata,
  resourceIdentifier,
} from '../../oauth/resource-metadata.ts'
import {
  type AuthorizationServerMetadata,
  assumedServerMetadata,
} from '../../oauth/server-metadata.ts'
import type { Emit, Lock, Runtime, Store } from '../../ports.ts'
import type { ConnectorProblem } from '../../records.ts'
import {
  type Chain,
  type ChainRules,
  discoverChain,
  isStillRight,
  legacyRefusal,
} from './discovery-chain.ts'
import { createAsker } from './discovery-exchange.ts'
import { Refusal, silence } from './discovery-problems.ts'

/** Name of the cache in metrics, and of its rows of kind `fact`. */
const NAME = 'connector-discovery'
/** A failure is remembered this long (DSC-18). */
const FAILURE_SECONDS = 30
/** Soft invalidation, once per connector in this time (DSC-19). */
const REVALIDATE_WAIT_MS = 30_000
const ENTRIES_MAX = 10_000
const BYTES_MAX = 67_108_864
/** Last good copies of servers that are no connector's: whoever names them must not fill a disk (I9). */
const OTHERS_STORED_MAX = 1_000
const NO_ORIGINS: ReadonlySet<string> = new Set()

/** Which server, and by which rules. Two targets with the same URL and rules share their documents. */
export interface DiscoveryTarget {
  readonly url: URL
  /** Name of the connector, for `revalidate`: once per connector per 30 s. */
  readonly connector?: string
  /** The configuration file names this server: its origins may be http or private. */
  readonly approved: boolean
  readonly oauth: Pick<
    ConnectorOAuth,
    'pinnedIssuer' | 'endpoints' | 'strictResource' | 'legacyDiscovery' | 'followMetadataRedirects'
  >
  /**
   * Credentials, a registration or an issuer are stored that did *not* come from legacy rules: then
   * what legacy rules find is refused (DSC-10). False for a connector whose accepted issuer was found
   * by them (`source` began with `legacy-`), or it could never be used twice.
   */
  readonly hasCredentials: boolean
}

export type DiscoverySource =
  | 'challenge'
  | 'path'
  | 'root'
  | 'legacy-metadata'
  | 'legacy-endpoints'
  | 'configuration'

export interface Discovered {
  readonly resource: ProtectedResourceMetadata
  readonly authorizationServer: AuthorizationServerMetadata
  readonly source: DiscoverySource
  /** `scope` of the 401 challenge, split. */
  readonly challengeScopes?: readonly string[]
  /** How the server answered without a token (DSC-21); absent: it asked for one first. */
  readonly era?: 'modern' | 'legacy'
  readonly state: 'fresh' | 'stale'
  readonly ageSeconds: number
  /** Why the last renewal failed, while older documents are served. */
  readonly problem?: ConnectorProblem
}

export type DiscoveryResult =
  | { readonly ok: true; readonly discovered: Discovered }
  /** `refused`: somebody said something that is not used. `unreachable`: nobody said anything. */
  | {
      readonly ok: false
      readonly state: 'refused' | 'unreachable'
      readonly problem: ConnectorProblem
      readonly retryAfterMs?: number
    }

export interface DiscoveryEngine {
  /** Memory only, no exchange. Starts the renewal behind when what it gives is stale. */
  peek(target: DiscoveryTarget): Discovered | undefined
  /**
   * Asks when memory has nothing. Never rejects.
   *
   * @param options.deadlineMs Longest wait of this caller, at most `discoveryTimeoutMs`.
   * @param options.retry A person asked again: skips remembered failures, never the breaker (DSC-18).
   */
  read(
    target: DiscoveryTarget,
    options: { readonly deadlineMs: number; readonly retry?: boolean },
  ): Promise<DiscoveryResult>
  /** Soft (DSC-19): asked again behind, last good kept, once per connector per 30 s. */
  revalidate(target: DiscoveryTarget): void
  /** Hard (DSC-19): forgotten here and in the store before it resolves. */
  drop(target: DiscoveryTarget): Promise<void>
  /**
   * Somebody wants to know now: asked anew while the caller waits. When nobody answers, the last good
   * documents are given, and are back.
   */
  renew(target: DiscoveryTarget, options: { readonly deadlineMs: number }): Promise<DiscoveryResult>
  /** Renewed ahead of expiry from the next successful read on, for as long as the engine is open. */
  keepWarm(target: DiscoveryTarget): void
  close(): Promise<void>
}

/** A memory that others share and that may forget: asked when this node knows nothing. */
export interface FarMemory {
  find(key: string): Promise<Omit<Persisted<Chain>, 'key'> | undefined>
  save(fact: Persisted<Chain>): Promise<void>
  remove(key: string): Promise<void>
}

export type DiscoveryLimits = Pick<
  Limits,
  | 'discoveryTtlSeconds'
  | 'discoveryStaleSeconds'
  | 'discoveryStaleIfErrorSeconds'
  | 'discoveryTimeoutMs'
  | 'metadataTimeoutMs'
>

export interface DiscoveryNeeds {
  readonly egress: Egress
  readonly runtime: Runtime
  readonly emit: Emit
  readonly limits: DiscoveryLimits
  /** Exact origins that the configuration file names, as the egress has them. */
  readonly approvedOrigins: ReadonlySet<string>
  /** Of the operator's allow-list: approved for servers that the file does not name, too. Default none. */
  readonly allowedOrigins?: ReadonlySet<string>
  /** Last good copies, and one chain among all nodes. Absent: this process alone, until it ends. */
  readonly durable?: {
    readonly store: Store
    readonly lock: Lock
    readonly shared?: SharedCache | undefined
  }
  readonly far?: FarMemory
}

/** Reads the last good copies of the store, asks nobody. */
export async function openDiscovery(needs: DiscoveryNeeds): Promise<DiscoveryEngine> {
  const { durable, limits } = needs
  const facts =
    durable &&
    storedFacts<Chain>(durable.store, {
      name: NAME,
      lifeSeconds: limits.discoveryStaleIfErrorSeconds,
      max: ENTRIES_MAX,
      shared: durable.shared,
    })
  const engine = new Discovery(needs, facts)
  await engine.start()
  return engine
}

/** Without a store there is nothing to read first. */
export function createDiscovery(needs: Omit<DiscoveryNeeds, 'durable'>): DiscoveryEngine {
  return new Discovery(needs, undefined)
}

class Discovery implements DiscoveryEngine {
  readonly #needs: DiscoveryNeeds
  readonly #facts: StoredFacts<Chain> | undefined
  readonly #cache: LoadingCache<Chain>
  /** Why the last renewal of a key failed. */
  readonly #problems = new Map<string, ConnectorProblem>()
  readonly #warm = new Set<string>()
  readonly #keys = new WeakMap<DiscoveryTarget, string>()
  readonly #mayRevalidate: (connector: string) => boolean

  constructor(needs: DiscoveryNeeds, facts: StoredFacts<Chain> | undefined) {
    const { limits, runtime, emit } = needs
    this.#needs = needs
    this.#facts = facts && bounded(facts, (key) => this.#warm.has(key))
    this.#mayRevalidate = createCoolDown(runtime, {
      waitMs: REVALIDATE_WAIT_MS,
      keysMax: ENTRIES_MAX,
    })
    this.#cache = createLoadingCache<Chain>({
      name: NAME,
      load: this.#loader(),
      freshSeconds: limits.discoveryTtlSeconds,
      staleSeconds: limits.discoveryStaleSeconds,
      staleIfErrorSeconds: limits.discoveryStaleIfErrorSeconds,
      negativeSeconds: FAILURE_SECONDS,
      failureSeconds: FAILURE_SECONDS,
      flightDeadlineMs: limits.discoveryTimeoutMs,
      entriesMax: ENTRIES_MAX,
      bytesMax: BYTES_MAX,
      sizeOf: (chain) => JSON.stringify(chain).length,
      runtime,
      emit,
      ...(this.#facts === undefined ? {} : { persist: this.#facts }),
      // What a connector is bound to is asked of memory, and must be there.
      startsFull: true,
    })
  }

  async start(): Promise<void> {
    await this.#cache.start()
  }

  peek(target: DiscoveryTarget): Discovered | undefined {
    if (target.oauth.endpoints !== undefined) return configured(target)
    const key = this.#keyOf(target)
    const found = this.#cache.peek(key)
    if (!('value' in found)) return undefined
    if (found.state === 'stale') this.#cache.renew(key)
    if (isRefusedLegacy(target, found.value)) return undefined
    return this.#discovered(key, found.value, found.state, found.ageSeconds)
  }

  async read(
    target: DiscoveryTarget,
    options: { readonly deadlineMs: number; readonly retry?: boolean },
  ): Promise<DiscoveryResult> {
    if (target.oauth.endpoints !== undefined) return { ok: true, discovered: configured(target) }
    const key = this.#keyOf(target)
    await this.#recall(key)
    return await this.#look(target, key, options)
  }

  revalidate(target: DiscoveryTarget): void {
    if (target.oauth.endpoints !== undefined) return
    const key = this.#keyOf(target)
    if (this.#mayRevalidate(target.connector ?? key)) this.#cache.revalidate(key)
  }

  async drop(target: DiscoveryTarget): Promise<void> {
    const key = this.#keyOf(target)
    this.#cache.drop(key)
    this.#problems.delete(key)
    await Promise.all([this.#facts?.remove([key]), this.#needs.far?.remove(key)])
  }

  async renew(
    target: DiscoveryTarget,
    options: { readonly deadlineMs: number },
  ): Promise<DiscoveryResult> {
    const key = this.#keyOf(target)
    const kept = this.#cache.peek(key)
    this.#cache.drop(key)
    // In the store, too: what was shared in this very moment would be taken for an answer.
    await this.#facts?.remove([key])
    const result = await this.#look(target, key, { ...options, retry: true })
    if (result.ok || result.state === 'refused' || !('value' in kept)) return result
    const loadedAtMs = this.#needs.runtime.nowMs() - kept.ageSeconds * 1000
    this.#cache.put(key, kept.value, loadedAtMs)
    this.#problems.set(key, result.problem)
    const discovered = this.#discovered(key, kept.value, 'stale', kept.ageSeconds)
    return { ok: true, discovered }
  }

  keepWarm(target: DiscoveryTarget): void {
    if (target.oauth.endpoints !== undefined || this.#warm.size >= ENTRIES_MAX) return
    const key = this.#keyOf(target)
    this.#warm.add(key)
    this.#cache.keepWarm(key, Number.POSITIVE_INFINITY)
  }

  async close(): Promise<void> {
    await this.#cache.close()
  }

  async #look(
    target: DiscoveryTarget,
    key: string,
    options: { readonly deadlineMs: number; readonly retry?: boolean },
  ): Promise<DiscoveryResult> {
    const found = await this.#cache.read(key, {
      deadlineMs: Math.min(options.deadlineMs, this.#needs.limits.discoveryTimeoutMs),
      retryNegative: options.retry === true,
    })
    if (!('value' in found)) {
      return found.state === 'negative'
        ? { ok: false, state: 'refused', problem: JSON.parse(found.reason) as ConnectorProblem }
        : failed('error' in found ? found.error : undefined, target.url)
    }
    if (isRefusedLegacy(target, found.value)) return failed(legacyRefusal(target.url), target.url)
    if (this.#warm.has(key)) this.#cache.keepWarm(key, Number.POSITIVE_INFINITY)
    const { state, ageSeconds } = found
    return { ok: true, discovered: this.#discovered(key, found.value, state, ageSeconds) }
  }

  #discovered(key: string, chain: Chain, state: 'hit' | 'stale', ageSeconds: number): Discovered {
    const { resource, server: authorizationServer, source, challengeScopes, era } = chain
    const problem = state === 'stale' ? this.#problems.get(key) : undefined
    return {
      resource,
      authorizationServer,
      source,
      ...(challengeScopes === undefined ? {} : { challengeScopes }),
      ...(era === undefined ? {} : { era }),
      state: state === 'hit' ? 'fresh' : 'stale',
      ageSeconds,
      ...(problem === undefined ? {} : { problem }),
    }
  }

  /** One chain, among all nodes where a store is shared; why it failed is kept beside the last good copy. */
  #loader(): (
    key: string,
    previous: Chain | undefined,
    signal: AbortSignal,
  ) => Promise<Loaded<Chain>> {
    const { durable, runtime, limits } = this.#needs
    const alone = (key: string, previous: Chain | undefined, signal: AbortSignal) =>
      this.#load(key, previous, signal)
    const facts = this.#facts
    const load =
      durable === undefined || facts === undefined
        ? alone
        : acrossNodes<Chain>({
            name: NAME,
            load: alone,
            lock: durable.lock,
            facts,
            leaseMs: limits.discoveryTimeoutMs,
            runtime,
          })
    return async (key, previous, signal) => {
      const loaded = await load(key, previous, signal)
      if (loaded.outcome === 'yes') this.#problems.delete(key)
      else this.#note(key, loaded)
      if (loaded.outcome === 'yes') this.#tellFar(key, loaded)
      return loaded
    }
  }

  async #load(
    key: string,
    previous: Chain | undefined,
    signal: AbortSignal,
  ): Promise<Loaded<Chain>> {
    const { egress, runtime, limits } = this.#needs
    const { rules, followsRedirects, approved } = this.#rulesOf(key)
    const ask = createAsker({
      egress,
      runtime,
      signal,
      server: rules.url,
      endsAtMs: runtime.monotonicMs() + limits.discoveryTimeoutMs,
      metadataTimeoutMs: limits.metadataTimeoutMs,
      publicOnly: !approved,
      followsRedirects,
    })
    try {
      const { chain, freshSeconds } = await discoverChain(rules, ask, previous)
      return { outcome: 'yes', value: chain, freshSeconds }
    } catch (error) {
      if (error instanceof Refusal && error.isHard) {
        return { outcome: 'no', reason: JSON.stringify(error.problem) }
      }
      const retryAfterMs = error instanceof UpstreamError ? error.retryAfterMs : undefined
      return { outcome: 'unknown', error, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
    }
  }

  #note(key: string, loaded: Exclude<Loaded<Chain>, { outcome: 'yes' }>): void {
    if (this.#problems.size >= ENTRIES_MAX) this.#problems.clear()
    const { url } = this.#rulesOf(key).rules
    const problem =
      loaded.outcome === 'no'
        ? (JSON.parse(loaded.reason) as ConnectorProblem)
        : problemOf(loaded.error, url)
    this.#problems.set(key, problem)
  }

  /** What others know, where this node knows nothing; judged again, because others may write there. */
  async #recall(key: string): Promise<void> {
    const { far } = this.#needs
    if (far === undefined || this.#cache.peek(key).state !== 'miss') return
    const fact = await far.find(key).catch(() => undefined)
    if (fact === undefined || !isStillRight(fact.value, this.#rulesOf(key).rules)) return
    this.#cache.put(key, fact.value, fact.loadedAtMs, fact.freshSeconds)
  }

  #tellFar(key: string, { value, freshSeconds }: Extract<Loaded<Chain>, { outcome: 'yes' }>): void {
    const { far, runtime } = this.#needs
    if (far === undefined) return
    const stated = freshSeconds === undefined ? {} : { freshSeconds }
    runtime.waitUntil(far.save({ key, value, loadedAtMs: runtime.nowMs(), ...stated }))
  }

  /** Exact URL and everything that decides what is found at it. */
  #keyOf(target: DiscoveryTarget): string {
    const known = this.#keys.get(target)
    if (known !== undefined) return known
    const { url, approved, oauth } = target
    const flags = [
      approved ? 'a' : '',
      oauth.strictResource ? 's' : '',
      oauth.legacyDiscovery ? 'l' : '',
      oauth.followMetadataRedirects ? 'r' : '',
    ].join('')
    const key = JSON.stringify([
      url.href,
      flags,
      ...(oauth.pinnedIssuer ? [oauth.pinnedIssuer] : []),
    ])
    this.#keys.set(target, key)
    return key
  }

  #rulesOf(key: string): {
    readonly rules: ChainRules
    readonly approved: boolean
    readonly followsRedirects: boolean
  } {
    const [href = '', flags = '', pinnedIssuer] = JSON.parse(key) as string[]
    const approved = flags.includes('a')
    const { approvedOrigins, allowedOrigins = NO_ORIGINS } = this.#needs
    const rules = {
      url: new URL(href),
      approvedOrigins: approved ? approvedOrigins : allowedOrigins,
      strictResource: flags.includes('s'),
      legacyDiscovery: flags.includes('l'),
      ...(pinnedIssuer === undefined ? {} : { pinnedIssuer }),
      freshSeconds: this.#needs.limits.discoveryTtlSeconds,
    }
    return { rules, approved, followsRedirects: flags.includes('r') }
  }
}

/** @param isOurs Of a connector: always stored. */
function bounded(facts: StoredFacts<Chain>, isOurs: (key: string) => boolean): StoredFacts<Chain> {
  const others = new Set<string>()
  const mayStore = (key: string): boolean => {
    if (isOurs(key) || others.has(key)) return true
    if (others.size >= OTHERS_STORED_MAX) return false
    others.add(key)
    return true
  }
  return {
    ...facts,
    async load() {
      const stored = await facts.load()
      for (const { key } of stored) others.add(key)
      return stored
    },
    save: (batch) => facts.save(batch.filter(({ key }) => mayStore(key))),
  }
}

/** DSC-08: static endpoints, nobody is asked. */
function configured({ url, oauth }: DiscoveryTarget): Discovered {
  const { endpoints, pinnedIssuer } = oauth
  if (endpoints === undefined) throw new TypeError('a target with endpoints')
  const issuer = pinnedIssuer ?? new URL(endpoints.token).origin
  return {
    resource: { resource: resourceIdentifier(url), authorization_servers: [issuer] },
    authorizationServer: assumedServerMetadata(issuer, endpoints),
    source: 'configuration',
    state: 'fresh',
    ageSeconds: 0,
  }
}

function isRefusedLegacy(target: DiscoveryTarget, { source }: Chain): boolean {
  return target.hasCredentials && source.startsWith('legacy')
}

function failed(error: unknown, url: URL): DiscoveryResult {
  const problem = problemOf(error, url)
  if (error instanceof Refusal) return { ok: false, state: 'refused', problem }
  const retryAfterMs = error instanceof UpstreamError ? error.retryAfterMs : undefined
  const wait = retryAfterMs === undefined ? {} : { retryAfterMs }
  return { ok: false, state: 'unreachable', problem, ...wait }
}

function problemOf(error: unknown, url: URL): ConnectorProblem {
  return error instanceof Refusal ? error.problem : silence(error, url)
}
