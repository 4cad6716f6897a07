/**
 * Is this sign-in still good at its provider? Answered from memory; asked behind.
 *
 * fresh, stale (served, renewed behind), cold (somebody waits, shortly), suspect (first definite no,
 * at most 10 s) and dead (confirmed no). Records in use are re-proved ahead, so nobody who calls
 * regularly waits. An unknown outcome never ends anything; a storm of refusals neither.
 * @see flows.md section 10
 */
import { LRUCache } from 'lru-cache'
import { createLoadingCache, type Loaded, type LoadingCache } from '../cache/loading-cache.ts'
import type { Persist } from '../cache/write-behind.ts'
import type { Emit, Runtime } from '../ports.ts'
import type { Proof } from '../providers/provider.ts'
import { type ControlGroup, createControlGroup } from './control-group.ts'
import { createProviderGuard, type ProviderGuard } from './provider-guard.ts'

export type ProofState = 'fresh' | 'stale' | 'cold' | 'suspect' | 'dead'

/** With the configured id of the provider that was asked, and whom it was asked about. */
export type Checked = Proof & { readonly provider: string; readonly person?: string }

/** What is remembered of a good proof. */
export interface ProofFact {
  readonly provider?: string
  readonly scopes?: readonly string[]
  readonly etag?: string
}

type Ask<A> = (vaultId: string, previous: ProofFact | undefined, signal: AbortSignal) => Promise<A>

export interface ProofsOptions {
  /** One call to the provider. A rejection is *unknown*. */
  readonly check: Ask<Checked>
  /** Asked after a first no: a refresh, or another endpoint. `undefined`: check again after 2 s. */
  readonly secondOpinion?: Ask<Checked | undefined>
  readonly limits: {
    /** 0 asks every time. */
    readonly upstreamProofTtlSeconds: number
    readonly upstreamProofStaleSeconds: number
    readonly upstreamProofStaleIfErrorSeconds: number
    readonly upstreamProofDeadlineMs: number
  }
  /** Whole time of one check, default 10 000. */
  readonly checkDeadlineMs?: number
  readonly persist?: Persist<ProofFact>
  readonly runtime: Runtime
  readonly emit: Emit
}

export interface Proofs {
  /** Synchronous, never asks. */
  state(vaultId: string): ProofState
  renew(vaultId: string): void
  /** Waits for a cold proof, by default at most `upstreamProofDeadlineMs`. */
  resolve(vaultId: string, deadlineMs?: number): Promise<ProofState>
  /** In use: re-proved ahead for the next hour. */
  touch(vaultId: string): void
  /** A sign-in or a refresh just proved it. */
  proved(vaultId: string, fact: ProofFact): void
  /**
   * What a provider said when it was asked for another reason (a refresh ahead): a yes is a proof, a
   * no is doubted as any other.
   */
  told(vaultId: string, answer: Checked): void
  /** Our own client was refused there: nothing that it says about anybody is believed (F11). */
  clientRefused(provider: string): void
  /** A protected server answered 401 to this person's token. */
  suspect(vaultId: string): void
  /** A signed event of the provider: believed at once. */
  end(vaultId: string, cause: string): void
  /** Ended here (logout, revocation): nothing is told to listeners. */
  forget(vaultId: string): void
  /** The verdict was about tokens that a newer sign-in has replaced. */
  revive(vaultId: string): void
  find(vaultId: string): ProofFact | undefined
  incident(provider: string): boolean
  clearIncident(provider: string): void
  onDead(listener: (vaultId: string, cause: string) => void | Promise<void>): () => void
  onProved(listener: (vaultId: string, answer: Checked & { outcome: 'yes' }) => void): () => void
  start(): Promise<number>
  close(): Promise<void>
}

const SUSPECT_MAX_MS = 10_000
const SECOND_CHECK_MS = 2_000
/** A confirmed no is believed not before this; later when other noes came with it. */
const VERDICT_MIN_MS = 2_000
const VERDICT_RESTLESS_MS = 9_000
/** A server that keeps answering 401 cannot keep its users suspect. */
const UPSTREAM_DOUBT_MIN_MS = 30_000
const KEEP_WARM_MS = 3_600_000
const CHECK_DEADLINE_MS = 10_000
const RECORDS_MAX = 200_000
const BYTES_MAX = 128 * 1_048_576
const FACT_BYTES = 200
const DEAD_MAX = 100_000
const SUSPECTS_MAX = 10_000
const PROVIDERS_MAX = 1_000
/** "Ask every time": one answer serves the requests that waited for it, and for this long. */
const PASS_MS = 5_000
/** Reason of a no that no provider gave: the vault record ended or is gone. */
export const ENDED_HERE = 'ended_here'

interface Suspect {
  readonly sinceMs: number
  readonly abort: AbortController
  provider: string
  ended: boolean
}

export function createProofs(options: ProofsOptions): Proofs {
  return new ProofEngine(options)
}

class ProofEngine implements Proofs {
  readonly #options: ProofsOptions
  readonly #runtime: Runtime
  readonly #cache: LoadingCache<ProofFact>
  readonly #guards = new Map<string, ProviderGuard>()
  readonly #groups = new Map<string, ControlGroup>()
  readonly #suspects = new Map<string, Suspect>()
  readonly #dead = bounded<string>(DEAD_MAX)
  readonly #doubted = bounded<number>(SUSPECTS_MAX)
  readonly #passes = bounded<{ state: 'fresh' | 'stale'; untilMs: number; left: number }>(
    SUSPECTS_MAX,
  )
  readonly #deadListeners = new Set<(vaultId: string, cause: string) => void | Promise<void>>()
  readonly #provedListeners = new Set<
    (vaultId: string, answer: Checked & { outcome: 'yes' }) => void
  >()
  readonly #asksEveryTime: boolean

  constructor(options: ProofsOptions) {
    const { limits, runtime, emit, persist } = options
    this.#options = options
    this.#runtime = runtime
    this.#asksEveryTime = limits.upstreamProofTtlSeconds <= 0
    this.#cache = createLoadingCache<ProofFact>({
      name: 'proof',
      load: (vaultId, previous, signal) => this.#load(vaultId, previous, signal),
      freshSeconds: limits.upstreamProofTtlSeconds,
      staleSeconds: this.#asksEveryTime ? 0 : limits.upstreamProofStaleSeconds,
      staleIfErrorSeconds: limits.upstreamProofStaleIfErrorSeconds,
      negativeSeconds: 0,
      flightDeadlineMs: options.checkDeadlineMs ?? CHECK_DEADLINE_MS,
      entriesMax: RECORDS_MAX,
      bytesMax: BYTES_MAX,
      sizeOf: sizeOfFact,
      admit: (_, previous) => this.#guard(previous?.provider ?? '').admit(),
      persist,
      runtime,
      emit,
    })
  }

  state(vaultId: string): ProofState {
    const verdict = this.#verdict(vaultId)
    if (verdict !== undefined) return verdict
    if (this.#asksEveryTime) return this.#usePass(vaultId)
    const read = this.#cache.peek(vaultId)
    if (read.state === 'hit') return 'fresh'
    return read.state === 'stale' ? 'stale' : 'cold'
  }

  renew(vaultId: string): void {
    if (this.#verdict(vaultId) !== undefined) return
    if (this.#asksEveryTime) this.#runtime.waitUntil(this.resolve(vaultId))
    else this.#cache.renew(vaultId)
  }

  async resolve(
    vaultId: string,
    deadlineMs = this.#options.limits.upstreamProofDeadlineMs,
  ): Promise<ProofState> {
    const before = this.#verdict(vaultId)
    if (before !== undefined) return before
    const read = await this.#cache.read(vaultId, { deadlineMs })
    const after = this.#verdict(vaultId)
    if (after !== undefined) return after
    if (read.state !== 'hit' && read.state !== 'stale') return 'cold'
    const state = read.state === 'hit' ? 'fresh' : 'stale'
    if (this.#asksEveryTime) this.#addPass(vaultId, state)
    return state
  }

  touch(vaultId: string): void {
    this.#cache.keepWarm(vaultId, this.#runtime.monotonicMs() + KEEP_WARM_MS)
  }

  proved(vaultId: string, { provider, scopes, etag }: ProofFact): void {
    const suspect = this.#suspects.get(vaultId)
    if (suspect !== undefined) this.#clear(vaultId, suspect)
    this.#cache.put(vaultId, { provider, scopes, etag })
    if (provider === undefined) return
    // The provider accepted somebody just now: it is well.
    this.#guard(provider).note('yes')
    this.#group(provider).accept(vaultId, vaultId)
  }

  told(vaultId: string, answer: Checked): void {
    if (this.#verdict(vaultId) !== undefined) return
    const previous = this.find(vaultId)
    const noted = this.#note(vaultId, answer)
    if (noted.outcome === 'yes') {
      const scopes = noted.scopes ?? previous?.scopes
      this.#cache.put(vaultId, { ...factOf(noted), scopes })
      return
    }
    if (noted.outcome !== 'no') return
    const suspect = this.#begin(vaultId, noted.provider)
    if (suspect !== undefined)
      this.#runtime.waitUntil(this.#confirm(vaultId, suspect, previous, noted.reason))
  }

  clientRefused(provider: string): void {
    this.#guard(provider).note('client-refused')
  }

  suspect(vaultId: string): void {
    const nowMs = this.#runtime.monotonicMs()
    const lastMs = this.#doubted.get(vaultId) ?? Number.NEGATIVE_INFINITY
    if (nowMs - lastMs < UPSTREAM_DOUBT_MIN_MS) return
    this.#doubted.set(vaultId, nowMs)
    const previous = this.find(vaultId)
    const suspect = this.#begin(vaultId, previous?.provider ?? '')
    if (suspect !== undefined) this.#runtime.waitUntil(this.#clarify(vaultId, suspect, previous))
  }

  end(vaultId: string, cause: string): void {
    if (this.#dead.has(vaultId)) return
    const suspect = this.#suspects.get(vaultId)
    if (suspect !== undefined) this.#clear(vaultId, suspect)
    this.#dead.set(vaultId, cause)
    this.#cache.drop(vaultId)
    for (const group of this.#groups.values()) group.drop(vaultId)
    for (const listener of this.#deadListeners) {
      this.#runtime.waitUntil((async () => await listener(vaultId, cause))())
    }
  }

  forget(vaultId: string): void {
    const suspect = this.#suspects.get(vaultId)
    if (suspect !== undefined) this.#clear(vaultId, suspect)
    this.#cache.drop(vaultId)
    for (const group of this.#groups.values()) group.drop(vaultId)
  }

  revive(vaultId: string): void {
    this.#dead.delete(vaultId)
    this.forget(vaultId)
  }

  find(vaultId: string): ProofFact | undefined {
    const read = this.#cache.peek(vaultId)
    return read.state === 'hit' || read.state === 'stale' ? read.value : undefined
  }

  incident(provider: string): boolean {
    return this.#guards.get(provider)?.incident() ?? false
  }

  clearIncident(provider: string): void {
    this.#guards.get(provider)?.clearIncident()
  }

  onDead(listener: (vaultId: string, cause: string) => void | Promise<void>): () => void {
    this.#deadListeners.add(listener)
    return () => this.#deadListeners.delete(listener)
  }

  onProved(listener: (vaultId: string, answer: Checked & { outcome: 'yes' }) => void): () => void {
    this.#provedListeners.add(listener)
    return () => this.#provedListeners.delete(listener)
  }

  start(): Promise<number> {
    return this.#cache.start()
  }

  async close(): Promise<void> {
    for (const [vaultId, suspect] of this.#suspects) this.#clear(vaultId, suspect)
    await this.#cache.close()
  }

  #verdict(vaultId: string): 'dead' | 'suspect' | undefined {
    if (this.#dead.has(vaultId)) return 'dead'
    return this.#suspects.has(vaultId) ? 'suspect' : undefined
  }

  async #load(
    vaultId: string,
    previous: ProofFact | undefined,
    signal: AbortSignal,
  ): Promise<Loaded<ProofFact>> {
    if (this.#verdict(vaultId) !== undefined) return { outcome: 'unknown', error: 'suspect' }
    const checked = await this.#options.check(vaultId, previous, signal)
    if (signal.aborted) return { outcome: 'unknown', error: 'late' }
    const answer = this.#note(vaultId, checked)
    if (answer.outcome === 'yes') return { outcome: 'yes', value: factOf(answer) }
    if (answer.outcome === 'no') {
      const suspect = this.#begin(vaultId, answer.provider)
      if (suspect !== undefined) {
        this.#runtime.waitUntil(this.#confirm(vaultId, suspect, previous, answer.reason))
      }
      return { outcome: 'unknown', error: 'suspect' }
    }
    const retryAfterMs = answer.outcome === 'unknown' ? answer.retryAfterMs : undefined
    return { outcome: 'unknown', error: answer.outcome, retryAfterMs }
  }

  /** Counts an answer, one no per person; during an incident a no becomes *unknown*. */
  #note(vaultId: string, checked: Checked, isSecond = false): Checked {
    const guard = this.#guard(checked.provider)
    const retryAfterMs = checked.outcome === 'unknown' ? checked.retryAfterMs : undefined
    if (checked.outcome !== 'no' || !isSecond)
      guard.note(checked.outcome, retryAfterMs, checked.person)
    if (checked.outcome === 'yes') {
      this.#group(checked.provider).accept(vaultId, checked.person ?? vaultId)
      for (const listener of this.#provedListeners) listener(vaultId, checked)
    }
    if (checked.outcome !== 'no' || !guard.incident()) return checked
    return { outcome: 'unknown', reason: 'provider-incident', provider: checked.provider }
  }

  #begin(vaultId: string, provider: string): Suspect | undefined {
    if (this.#verdict(vaultId) !== undefined || this.#suspects.size >= SUSPECTS_MAX)
      return undefined
    const sinceMs = this.#runtime.monotonicMs()
    const suspect: Suspect = { sinceMs, abort: new AbortController(), provider, ended: false }
    const disarm = this.#runtime.after(SUSPECT_MAX_MS, () => this.#clear(vaultId, suspect))
    suspect.abort.signal.addEventListener('abort', disarm, { once: true })
    this.#suspects.set(vaultId, suspect)
    return suspect
  }

  /** Back to the rules of an unknown outcome: the older proof, within its bounds. */
  #clear(vaultId: string, suspect: Suspect): void {
    if (suspect.ended) return
    suspect.ended = true
    this.#suspects.delete(vaultId)
    // A signal belongs to the request that made it, where promises do: there its waits end by themselves.
    if (this.#runtime.sharesPromises) suspect.abort.abort()
  }

  /** After a 401 elsewhere: the provider has not said no yet, so it is asked first. */
  async #clarify(
    vaultId: string,
    suspect: Suspect,
    previous: ProofFact | undefined,
  ): Promise<void> {
    const answer = await this.#ask(this.#options.check, vaultId, suspect, {
      previous,
      isSecond: false,
    })
    if (answer?.outcome === 'no')
      return await this.#confirm(vaultId, suspect, previous, answer.reason)
    this.#acquit(vaultId, suspect, answer)
  }

  async #confirm(
    vaultId: string,
    suspect: Suspect,
    previous: ProofFact | undefined,
    reason: string,
  ): Promise<void> {
    const { secondOpinion, check } = this.#options
    let answer =
      secondOpinion &&
      (await this.#ask(secondOpinion, vaultId, suspect, { previous, isSecond: true }))
    if (answer === undefined) {
      await this.#until(suspect, this.#runtime.monotonicMs() + SECOND_CHECK_MS)
      // Unconditional: an entity tag of better days must not answer for today.
      const basis = previous && { ...previous, etag: undefined }
      answer = await this.#ask(check, vaultId, suspect, { previous: basis, isSecond: true })
    }
    if (answer?.outcome !== 'no') {
      this.#acquit(vaultId, suspect, answer)
      return
    }
    const guard = this.#guard(suspect.provider)
    await this.#until(suspect, suspect.sinceMs + VERDICT_MIN_MS)
    if (await this.#refusesEverybody(suspect, answer.person ?? vaultId)) guard.refusesEverybody()
    if (guard.restless()) await this.#until(suspect, suspect.sinceMs + VERDICT_RESTLESS_MS)
    if (suspect.ended) return
    if (guard.incident()) this.#clear(vaultId, suspect)
    else this.end(vaultId, reason)
  }

  /** F11 in a small house: a no about each of three different people is the provider's fault. */
  #refusesEverybody({ provider, sinceMs }: Suspect, person: string): Promise<boolean> {
    const ask = async (vaultId: string): Promise<'yes' | 'no' | 'unknown'> => {
      const { signal } = new AbortController()
      const answer = await this.#options.check(vaultId, undefined, signal)
      // What ended here is no word of the provider.
      if (answer.provider !== provider || (answer.outcome === 'no' && answer.reason === ENDED_HERE))
        return 'unknown'
      this.#note(vaultId, answer)
      return answer.outcome === 'yes' || answer.outcome === 'no' ? answer.outcome : 'unknown'
    }
    return this.#group(provider).refusesEverybody({ person, sinceMs, ask })
  }

  #acquit(vaultId: string, suspect: Suspect, answer: Checked | undefined): void {
    if (suspect.ended) return
    this.#clear(vaultId, suspect)
    if (answer?.outcome === 'yes') this.#cache.put(vaultId, factOf(answer))
  }

  /** `undefined` when there was no answer, or the suspicion ended before it came. */
  async #ask(
    ask: Ask<Checked | undefined>,
    vaultId: string,
    suspect: Suspect,
    { previous, isSecond }: { previous: ProofFact | undefined; isSecond: boolean },
  ): Promise<Checked | undefined> {
    if (suspect.ended) return undefined
    try {
      const checked = await ask(vaultId, previous, suspect.abort.signal)
      if (checked === undefined || suspect.ended) return undefined
      suspect.provider = checked.provider
      return this.#note(vaultId, checked, isSecond)
    } catch {
      return { outcome: 'unknown', reason: 'failed', provider: suspect.provider }
    }
  }

  #until(suspect: Suspect, atMs: number): Promise<void> {
    const waitMs = atMs - this.#runtime.monotonicMs()
    if (suspect.ended || waitMs <= 0) return Promise.resolve()
    return new Promise((resolve) => {
      const disarm = this.#runtime.after(waitMs, resolve)
      suspect.abort.signal.addEventListener(
        'abort',
        () => {
          disarm()
          resolve()
        },
        { once: true },
      )
    })
  }

  #guard(provider: string): ProviderGuard {
    const known = this.#guards.get(provider)
    if (known !== undefined) return known
    const { runtime, emit } = this.#options
    const onIncident = (): void => {
      for (const [vaultId, suspect] of this.#suspects) {
        if (suspect.provider === provider) this.#clear(vaultId, suspect)
      }
    }
    const { upstreamProofStaleIfErrorSeconds: refusesEverybodyMaxSeconds } = this.#options.limits
    const guard = createProviderGuard(provider, {
      runtime,
      emit,
      onIncident,
      refusesEverybodyMaxSeconds,
    })
    if (this.#guards.size < PROVIDERS_MAX) this.#guards.set(provider, guard)
    return guard
  }

  #group(provider: string): ControlGroup {
    const known = this.#groups.get(provider)
    if (known !== undefined) return known
    const group = createControlGroup(this.#runtime)
    if (this.#groups.size < PROVIDERS_MAX) this.#groups.set(provider, group)
    return group
  }

  #addPass(vaultId: string, state: 'fresh' | 'stale'): void {
    const left = (this.#passes.get(vaultId)?.left ?? 0) + 1
    this.#passes.set(vaultId, { state, untilMs: this.#runtime.monotonicMs() + PASS_MS, left })
  }

  /** Each answer is used once: by the request that waited for it. */
  #usePass(vaultId: string): ProofState {
    const pass = this.#passes.get(vaultId)
    if (pass === undefined) return 'cold'
    pass.left--
    if (pass.left <= 0) this.#passes.delete(vaultId)
    return this.#runtime.monotonicMs() < pass.untilMs ? pass.state : 'cold'
  }
}

function bounded<V extends NonNullable<unknown>>(entriesMax: number): LRUCache<string, V> {
  return new LRUCache({ maxSize: entriesMax, sizeCalculation: () => 1 })
}

function factOf({ provider, scopes, etag }: Checked & { outcome: 'yes' }): ProofFact {
  return { provider, scopes, etag }
}

function sizeOfFact({ scopes = [], etag = '' }: ProofFact): number {
  return FACT_BYTES + 2 * (scopes.join('').length + etag.length)
}
