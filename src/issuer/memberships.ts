/**
 * What people belong to at their provider: organizations, teams, groups, roles, tenant. Kept in
 * memory and in the store, asked behind for people in use, never by a request (PRV-22).
 *
 * Fresh and served to 300 s, to 3 600 s while the provider fails. What a person has lost is not
 * believed at once: a second opinion after 2 s, and not while the provider denies everybody; only then
 * the grants that depended on it end. Only what some rule asks about is ever asked.
 * @see design.md section 1 (membership facts), flows.md sections 3 and 9.5
 */
import { LRUCache } from 'lru-cache'
import { createLoadingCache, type Loaded, type LoadingCache } from '../cache/loading-cache.ts'
import { storedFacts } from '../cache/stored-facts.ts'
import type { Config } from '../config.ts'
import type { ConnectorDirectory } from '../connectors/directory.ts'
import type { Belonging } from '../oauth/allow.ts'
import type { Emit, Runtime, Store } from '../ports.ts'
import type { Identity, MembershipsWanted } from '../providers/provider.ts'
import {
  type Bound,
  type IdentityWanted,
  identityWanted,
  type KnownFacts,
  membershipsWanted,
} from './admission.ts'
import { type ControlGroup, createControlGroup } from './control-group.ts'
import { createProviderGuard, type ProviderGuard } from './provider-guard.ts'

const FRESH_SECONDS = 300
const STALE_IF_ERROR_SECONDS = 3_600
/** Two askings of ten seconds each, and the longest doubt. */
const FLIGHT_DEADLINE_MS = 30_000
const PEOPLE_MAX = 100_000
const BYTES_MAX = 64 * 1_048_576
const FACT_BYTES = 200
/** A loss is believed not before this; later when others lose something too. */
const SECOND_OPINION_MS = 2_000
const RESTLESS_MS = 9_000

/** What a provider said, about one person. */
export type Asked<V> =
  | {
      readonly outcome: 'yes'
      readonly provider: string
      readonly value: V
      /** What else to do once the answer is believed. */
      readonly onBelieved?: () => Promise<void>
    }
  | { readonly outcome: 'unknown'; readonly provider: string; readonly retryAfterMs?: number }

/** Names that the person is in; a name nobody answered for keeps the time of its last yes. */
export interface MembershipFact {
  readonly names: readonly string[]
  readonly carriedSinceMs?: Readonly<Record<string, number>>
}

export interface MembershipsDeps {
  readonly config: Pick<Config, 'allow' | 'connectors' | 'providers'>
  /** Connectors, and so their rules, may change. Absent: they do not. */
  readonly directory?: Pick<ConnectorDirectory, 'onChange'>
  /** Somebody in use is heard of at least this often: kept warm for as long. */
  readonly keepSeconds: number
  readonly store: Store
  readonly runtime: Runtime
  readonly emit: Emit
  /** One asking with the person's own tokens; a rejection is *unknown*. */
  readonly askMemberships: (
    userKey: string,
    wanted: MembershipsWanted,
    previous: MembershipFact | undefined,
  ) => Promise<Asked<MembershipFact>>
  readonly askIdentity: (userKey: string) => Promise<Asked<Identity>>
  /** A confirmed loss: ends what depended on it. Called before the new facts are served. */
  readonly onLost: (
    userKey: string,
    facts: { readonly belonging?: Belonging; readonly memberships?: readonly string[] },
  ) => Promise<void>
  /** What a provider says of somebody is believed: kept with the person. */
  readonly onIdentity: (userKey: string, identity: Identity) => Promise<void>
}

export interface Memberships extends KnownFacts {
  /** What to ask this provider at a sign-in; `undefined`: nothing. */
  wanted(providerId: string): MembershipsWanted | undefined
  /** A sign-in has just said so. */
  learned(
    userKey: string,
    providerId: string,
    facts: { readonly identity: Identity; readonly names?: readonly string[] },
  ): void
  /** A check of a proof came with an identity: renews groups and roles for free. */
  observed(userKey: string, providerId: string, identity: Identity): void
  /** In use: asked again ahead of the bound. */
  keep(userKey: string, providerId: string): void
  /** Waits for what is not known now, at most `deadlineMs`. Never rejects. */
  resolve(userKey: string, providerId: string, deadlineMs: number): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

/** What the rules of house and connectors ask, and which provider of them. */
function questions(config: MembershipsDeps['config']) {
  const names = membershipsWanted(config)
  const wanted = identityWanted(config)
  const wantsBelonging = wanted.groups.size + wanted.roles.size > 0 || wanted.hasTenants
  const wantsIdentity = wantsBelonging || wanted.hasEmails
  const asked = new Map(
    config.providers.map((provider) => [
      provider.id,
      {
        // An e-mail rule is judged by the person's row: it is kept current, and never waited for.
        identity: wantsIdentity && provider.identify !== undefined,
        belonging: wantsBelonging && provider.identify !== undefined,
        memberships: names !== undefined && provider.memberships !== undefined,
      },
    ]),
  )
  return { names, wanted, asked, wantsIdentity }
}

export function createMemberships(deps: MembershipsDeps): Memberships {
  const { config, runtime } = deps
  let { names, wanted, asked, wantsIdentity } = questions(config)
  let isOpen = false
  const started = new Set<{ start(): Promise<void> }>()
  const startWanted = async (): Promise<void> => {
    const rooms = [...(wantsIdentity ? [groups] : []), ...(names === undefined ? [] : [teams])]
    for (const room of rooms.filter((one) => !started.has(one))) {
      started.add(room)
      await room.start()
    }
  }
  deps.directory?.onChange(() => {
    ;({ names, wanted, asked, wantsIdentity } = questions(config))
    if (isOpen) runtime.waitUntil(startWanted().catch(() => undefined))
  })
  const none = { identity: false, belonging: false, memberships: false }
  const asks = (providerId: string) => asked.get(providerId) ?? none
  const factOf = (providerId: string, identity: Identity): IdentityFact => {
    const isEntra = config.providers.some(({ id, type }) => id === providerId && type === 'entra')
    return identityFact(wanted, identity, isEntra)
  }

  const groups = new FactRoom<IdentityFact>(deps, {
    name: 'belonging',
    ask: async (userKey) => {
      const answer = await deps.askIdentity(userKey)
      if (answer.outcome !== 'yes') return answer
      const { provider, value: identity } = answer
      const onBelieved = () => deps.onIdentity(userKey, identity)
      return { outcome: 'yes', provider, value: factOf(provider, identity), onBelieved }
    },
    loses: losesIdentity,
    onLost: (userKey, { email: _, ...belonging }) => deps.onLost(userKey, { belonging }),
  })
  const teams = new FactRoom<MembershipFact>(deps, {
    name: 'membership',
    ask: (userKey, previous) =>
      deps.askMemberships(userKey, names ?? { organizations: [], teams: [] }, previous),
    loses: (before, now) =>
      before === undefined
        ? now.names.length === 0
        : before.names.some((name) => !now.names.includes(name)),
    onLost: (userKey, fact) => deps.onLost(userKey, { memberships: fact.names }),
  })
  const roomsOf = (providerId: string) => {
    const { identity, memberships } = asks(providerId)
    return [...(identity ? [groups] : []), ...(memberships ? [teams] : [])]
  }
  return {
    asks,
    wanted: (providerId) => (asks(providerId).memberships ? names : undefined),
    belonging: (userKey, bound) => groups.find(userKey, bound) ?? 'unknown',
    memberships: (userKey, bound) => teams.find(userKey, bound)?.names ?? 'unknown',
    learned(userKey, providerId, facts) {
      const { identity, memberships } = asks(providerId)
      if (identity) groups.put(userKey, providerId, factOf(providerId, facts.identity))
      if (memberships && facts.names !== undefined)
        teams.put(userKey, providerId, { names: facts.names })
    },
    observed(userKey, providerId, identity) {
      if (!asks(providerId).identity) return
      const isBelieved = groups.observe(userKey, providerId, factOf(providerId, identity))
      if (isBelieved) runtime.waitUntil(deps.onIdentity(userKey, identity))
    },
    keep: (userKey, providerId) => {
      for (const room of roomsOf(providerId)) room.keep(userKey)
    },
    async resolve(userKey, providerId, deadlineMs) {
      await Promise.all(roomsOf(providerId).map((room) => room.resolve(userKey, deadlineMs)))
    },
    async start() {
      isOpen = true
      await startWanted()
    },
    async close() {
      isOpen = false
      await Promise.all([groups.close(), teams.close()])
    },
  }
}

/** Only what rules name, so that a person's other groups are not kept, and losing one is nothing. */
interface IdentityFact extends Belonging {
  /** Verified; only where a rule speaks of e-mail. */
  readonly email?: string
}

function identityFact(
  wanted: IdentityWanted,
  { profile, groups, roles = [], tenant }: Identity,
  isEntra: boolean,
): IdentityFact {
  const email = profile.emailVerified === true ? profile.email?.toLowerCase() : undefined
  return {
    groups: groups.filter((name) => wanted.groups.has(name)),
    roles: roles.filter((name) => wanted.roles.has(name)),
    ...(isEntra && wanted.hasTenants && tenant !== undefined ? { entraTenant: tenant } : {}),
    ...(wanted.hasEmails && email !== undefined ? { email } : {}),
  }
}

function losesIdentity(before: IdentityFact | undefined, now: IdentityFact): boolean {
  const { groups = [], roles = [], entraTenant, email } = now
  // Nothing to compare with: an answer without anything may be a broken one.
  if (before === undefined)
    return groups.length + roles.length === 0 && entraTenant === undefined && email === undefined
  return (
    (before.groups ?? []).some((name) => !groups.includes(name)) ||
    (before.roles ?? []).some((name) => !roles.includes(name)) ||
    (before.entraTenant !== undefined && before.entraTenant !== entraTenant) ||
    (before.email !== undefined && before.email !== email)
  )
}

interface Fact<V> {
  readonly provider: string
  readonly value: V
}
interface RoomRules<V> {
  readonly name: string
  readonly ask: (userKey: string, previous: V | undefined) => Promise<Asked<V>>
  readonly loses: (before: V | undefined, now: V) => boolean
  readonly onLost: (userKey: string, now: V) => Promise<void>
}

/** One kind of fact by person: a loading cache whose losses are doubted before they count. */
class FactRoom<V extends object> {
  readonly #deps: MembershipsDeps
  readonly #rules: RoomRules<V>
  readonly #cache: LoadingCache<Fact<V>>
  /** The last fact of any age within the hour, for pages and as the basis of a comparison. */
  readonly #last = new LRUCache<string, { readonly fact: Fact<V>; readonly atMs: number }>({
    maxSize: PEOPLE_MAX,
    sizeCalculation: () => 1,
  })
  readonly #doubted = new Set<string>()
  readonly #guards = new Map<string, ProviderGuard>()
  readonly #groups = new Map<string, ControlGroup>()

  constructor(deps: MembershipsDeps, rules: RoomRules<V>) {
    const { store, runtime, emit } = deps
    this.#deps = deps
    this.#rules = rules
    const stored = storedFacts<Fact<V>>(store, {
      name: rules.name,
      lifeSeconds: STALE_IF_ERROR_SECONDS,
      max: PEOPLE_MAX,
    })
    this.#cache = createLoadingCache<Fact<V>>({
      name: rules.name,
      load: (userKey, previous, signal) => this.#load(userKey, previous, signal),
      freshSeconds: FRESH_SECONDS,
      staleSeconds: FRESH_SECONDS,
      staleIfErrorSeconds: STALE_IF_ERROR_SECONDS,
      negativeSeconds: 0,
      failureSeconds: 1,
      flightDeadlineMs: FLIGHT_DEADLINE_MS,
      entriesMax: PEOPLE_MAX,
      bytesMax: BYTES_MAX,
      sizeOf: (fact) => FACT_BYTES + 2 * JSON.stringify(fact.value).length,
      admit: (_, previous) => this.#guard(previous?.provider ?? '').admit(),
      persist: stored,
      runtime,
      emit,
    })
  }

  /** Asks behind where it is not current; `undefined`: not known, too old, or in doubt. */
  find(userKey: string, bound: Bound): V | undefined {
    if (this.#doubted.has(userKey)) return undefined
    const read = this.#cache.peek(userKey)
    if (read.state === 'hit' || read.state === 'stale') return read.value.value
    this.#cache.renew(userKey)
    const last = bound === 'remembered' ? this.#last.get(userKey) : undefined
    if (last === undefined) return undefined
    const ageMs = this.#deps.runtime.monotonicMs() - last.atMs
    return ageMs < STALE_IF_ERROR_SECONDS * 1000 ? last.fact.value : undefined
  }

  put(userKey: string, provider: string, value: V): void {
    // The provider has just spoken well of somebody.
    this.#guard(provider).note('yes')
    this.#group(provider).accept(userKey, userKey)
    this.#remember(userKey, { provider, value })
    this.#cache.put(userKey, { provider, value })
  }

  /** @returns false for what has to be asked about once more. */
  observe(userKey: string, provider: string, value: V): boolean {
    if (this.#doubted.has(userKey)) return false
    const isLoss = this.#rules.loses(this.#last.get(userKey)?.fact.value, value)
    if (isLoss) this.#cache.revalidate(userKey)
    else this.put(userKey, provider, value)
    return !isLoss
  }

  keep(userKey: string): void {
    const { runtime, keepSeconds } = this.#deps
    const untilMs = runtime.monotonicMs() + Math.max(FRESH_SECONDS, keepSeconds) * 1000
    this.#cache.keepWarm(userKey, untilMs)
    if (this.#cache.peek(userKey).state === 'miss') this.#cache.renew(userKey)
  }

  async resolve(userKey: string, deadlineMs: number): Promise<void> {
    await this.#cache.read(userKey, { deadlineMs })
  }

  async start(): Promise<void> {
    await this.#cache.start()
  }

  close(): Promise<void> {
    return this.#cache.close()
  }

  async #load(
    userKey: string,
    previous: Fact<V> | undefined,
    signal: AbortSignal,
  ): Promise<Loaded<Fact<V>>> {
    const before = previous ?? this.#last.get(userKey)?.fact
    const answer = await this.#rules.ask(userKey, before?.value)
    if (answer.outcome !== 'yes') return this.#unknown(answer)
    if (!this.#rules.loses(before?.value, answer.value))
      return this.#accept(userKey, answer, signal)
    this.#doubted.add(userKey)
    try {
      return await this.#confirm(userKey, before, answer, signal)
    } finally {
      this.#doubted.delete(userKey)
    }
  }

  /** The second opinion is the same question 2 s later; a storm of losses is the provider's fault. */
  async #confirm(
    userKey: string,
    before: Fact<V> | undefined,
    first: Asked<V> & { outcome: 'yes' },
    signal: AbortSignal,
  ): Promise<Loaded<Fact<V>>> {
    const guard = this.#guard(first.provider)
    const sinceMs = this.#deps.runtime.monotonicMs()
    guard.note('no', undefined, userKey)
    await this.#until(sinceMs + SECOND_OPINION_MS, signal)
    const second = await this.#rules.ask(userKey, before?.value)
    if (second.outcome !== 'yes') return this.#unknown(second)
    if (!this.#rules.loses(before?.value, second.value))
      return this.#accept(userKey, second, signal)
    if (await this.#deniesEverybody(userKey, first.provider, sinceMs)) guard.refusesEverybody()
    if (guard.restless()) await this.#until(sinceMs + RESTLESS_MS, signal)
    if (guard.incident() || signal.aborted) return { outcome: 'unknown', error: 'incident' }
    const believed = await this.#believe(userKey, second)
    await this.#rules.onLost(userKey, second.value)
    return believed
  }

  async #accept(
    userKey: string,
    answer: Asked<V> & { outcome: 'yes' },
    signal: AbortSignal,
  ): Promise<Loaded<Fact<V>>> {
    this.#guard(answer.provider).note('yes')
    this.#group(answer.provider).accept(userKey, userKey)
    return signal.aborted ? { outcome: 'unknown', error: 'late' } : this.#believe(userKey, answer)
  }

  async #believe(
    userKey: string,
    { provider, value, onBelieved }: Asked<V> & { outcome: 'yes' },
  ): Promise<Loaded<Fact<V>>> {
    await onBelieved?.()
    this.#remember(userKey, { provider, value })
    return { outcome: 'yes', value: { provider, value } }
  }

  #unknown({ provider, retryAfterMs }: Asked<V> & { outcome: 'unknown' }): Loaded<Fact<V>> {
    this.#guard(provider).note('unknown', retryAfterMs)
    return { outcome: 'unknown', error: 'unknown', retryAfterMs }
  }

  #deniesEverybody(person: string, provider: string, sinceMs: number): Promise<boolean> {
    const ask = async (userKey: string): Promise<'yes' | 'no' | 'unknown'> => {
      const before = this.#last.get(userKey)?.fact.value
      const answer = await this.#rules.ask(userKey, before)
      if (answer.outcome !== 'yes') return 'unknown'
      return this.#rules.loses(before, answer.value) ? 'no' : 'yes'
    }
    return this.#group(provider).refusesEverybody({ person, sinceMs, ask })
  }

  #remember(userKey: string, fact: Fact<V>): void {
    this.#last.set(userKey, { fact, atMs: this.#deps.runtime.monotonicMs() })
  }

  #until(atMs: number, signal: AbortSignal): Promise<void> {
    const { runtime } = this.#deps
    const waitMs = atMs - runtime.monotonicMs()
    if (waitMs <= 0 || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const disarm = runtime.after(waitMs, resolve)
      const leave = (): void => {
        disarm()
        resolve()
      }
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  #guard(provider: string): ProviderGuard {
    const known = this.#guards.get(provider)
    if (known !== undefined) return known
    const { runtime, emit } = this.#deps
    const guard = createProviderGuard(provider, { runtime, emit, onIncident: () => undefined })
    this.#guards.set(provider, guard)
    return guard
  }

  #group(provider: string): ControlGroup {
    const known = this.#groups.get(provider)
    if (known !== undefined) return known
    const group = createControlGroup(this.#deps.runtime)
    this.#groups.set(provider, group)
    return group
  }
}
