/**
 * Watches what one provider answers, so that its mistakes do not end anybody's sign-in.
 *
 * More than 20 and more than 5 % noes among the proofs of the last minute, or a refusal of our own
 * client, is an incident of the provider: while it lasts no refusal is believed. One person counts
 * once a minute, or who signs in and revokes again and again could stage one. A provider that was
 * found to refuse everybody (control-group.ts) is one too, for a time. Also holds the budget of checks
 * that nobody waits for. Pure bookkeeping: never waits, never asks.
 * @see flows.md section 10, threats F11 and F12
 */
import type { Emit, Runtime } from '../ports.ts'

const WINDOW_SECONDS = 60
const INCIDENT_NOES_MIN = 20
const INCIDENT_SHARE = 0.05
/** From this many noes in the window on, a confirmed no waits to see whether a storm follows. */
const STORM_SIGN_NOES = 3
/** Checks per second that nobody waits for, and how many may come at once. */
const BACKGROUND_PER_SECOND = 100
const BACKGROUND_BURST = 200
/** This many people throttled within the window: the provider means us, not them. */
const THROTTLED_MIN = 3
const THROTTLED_MAX_MS = 300_000
const UNREACHABLE_IN_ROW = 5
/** People whose no was counted; with so many there is an incident anyway. */
const REFUSED_PEOPLE_MAX = 1_000

export type ProofWord = 'yes' | 'no' | 'unknown' | 'client-refused'

export interface ProviderGuard {
  /** @param person Whom the answer is about; absent: somebody new. */
  note(word: ProofWord, retryAfterMs?: number, person?: string): void
  incident(): boolean
  /** Several noes lately: wait before believing one. */
  restless(): boolean
  /** Takes one check from the background budget; false when there is none now. */
  admit(): boolean
  /**
   * Everybody who was asked about is refused: an incident until somebody is accepted, and for
   * `refusesEverybodyMaxSeconds` at most. It is not declared again before somebody was accepted.
   */
  refusesEverybody(): void
  /** The operator says that the refusals are meant. */
  clearIncident(): void
}

interface GuardDeps {
  readonly runtime: Pick<Runtime, 'monotonicMs'>
  readonly emit: Emit
  readonly onIncident: () => void
  /** Default 3600: past it the stale rules refuse everybody too, and nobody would sign in again. */
  readonly refusesEverybodyMaxSeconds?: number
}

const REFUSES_EVERYBODY_MAX_SECONDS = 3_600

export function createProviderGuard(provider: string, deps: GuardDeps): ProviderGuard {
  return new Guard(provider, deps)
}

class Guard implements ProviderGuard {
  readonly #provider: string
  readonly #runtime: Pick<Runtime, 'monotonicMs'>
  readonly #emit: Emit
  readonly #onIncident: () => void
  readonly #yes = new Uint32Array(WINDOW_SECONDS)
  readonly #no = new Uint32Array(WINDOW_SECONDS)
  readonly #throttled = new Uint32Array(WINDOW_SECONDS)
  readonly #refusedPeople = new Map<string, number>()
  #second: number
  #inIncident = false
  #isUnanimous = false
  #yesSinceNo = false
  #clientRefusedMs = Number.NEGATIVE_INFINITY
  #unknownInRow = 0
  #budget = BACKGROUND_BURST
  #budgetMs: number
  #pausedUntilMs = 0

  readonly #refusesEverybodyMaxMs: number
  #refusesEverybodySinceMs: number | undefined

  constructor(provider: string, deps: GuardDeps) {
    this.#refusesEverybodyMaxMs =
      (deps.refusesEverybodyMaxSeconds ?? REFUSES_EVERYBODY_MAX_SECONDS) * 1000
    this.#provider = provider
    this.#runtime = deps.runtime
    this.#emit = deps.emit
    this.#onIncident = deps.onIncident
    this.#budgetMs = deps.runtime.monotonicMs()
    this.#second = Math.floor(this.#budgetMs / 1000)
  }

  note(word: ProofWord, retryAfterMs?: number, person?: string): void {
    const bucket = this.#turn()
    if (word === 'no' && person !== undefined && this.#isRepeated(person)) return
    if (word === 'yes') {
      this.#add(this.#yes, bucket)
      this.#yesSinceNo = true
      this.#refusesEverybodySinceMs = undefined
    }
    if (word === 'no') {
      this.#add(this.#no, bucket)
      this.#yesSinceNo = false
    }
    if (word === 'client-refused') this.#clientRefusedMs = this.#runtime.monotonicMs()
    if (word === 'unknown' && retryAfterMs !== undefined) {
      this.#add(this.#throttled, bucket)
      this.#pause(retryAfterMs)
    }
    this.#noteReach(word)
    this.#judge()
  }

  incident(): boolean {
    this.#turn()
    this.#judge()
    return this.#inIncident
  }

  restless(): boolean {
    this.#turn()
    return sum(this.#no) >= STORM_SIGN_NOES
  }

  admit(): boolean {
    const nowMs = this.#runtime.monotonicMs()
    const earned = ((nowMs - this.#budgetMs) / 1000) * BACKGROUND_PER_SECOND
    this.#budget = Math.min(BACKGROUND_BURST, this.#budget + earned)
    this.#budgetMs = nowMs
    if (nowMs < this.#pausedUntilMs || this.#budget < 1) return false
    this.#budget--
    return true
  }

  refusesEverybody(): void {
    this.#refusesEverybodySinceMs ??= this.#runtime.monotonicMs()
    this.#judge()
  }

  clearIncident(): void {
    // Declared long ago: not again before somebody was accepted.
    this.#refusesEverybodySinceMs = Number.NEGATIVE_INFINITY
    this.#no.fill(0)
    this.#refusedPeople.clear()
    this.#clientRefusedMs = Number.NEGATIVE_INFINITY
    this.#yesSinceNo = true
    this.#judge()
  }

  #isRepeated(person: string): boolean {
    const since = this.#refusedPeople.get(person)
    if (since !== undefined && this.#second - since < WINDOW_SECONDS) return true
    this.#refusedPeople.delete(person)
    if (this.#refusedPeople.size >= REFUSED_PEOPLE_MAX) {
      const oldest = this.#refusedPeople.keys().next().value
      if (oldest !== undefined) this.#refusedPeople.delete(oldest)
    }
    this.#refusedPeople.set(person, this.#second)
    return false
  }

  #judge(): void {
    const noes = sum(this.#no)
    const isStorm = noes > INCIDENT_NOES_MIN && noes > (noes + sum(this.#yes)) * INCIDENT_SHARE
    const refusedAgoMs = this.#runtime.monotonicMs() - this.#clientRefusedMs
    const isRefused = refusedAgoMs < WINDOW_SECONDS * 1000
    const sinceMs = this.#refusesEverybodySinceMs ?? Number.NEGATIVE_INFINITY
    const isUnanimous = this.#runtime.monotonicMs() - sinceMs < this.#refusesEverybodyMaxMs
    if (!this.#inIncident && (isStorm || isRefused || isUnanimous)) {
      this.#inIncident = true
      this.#isUnanimous = isUnanimous
      const reason = isStorm ? 'refusals' : isRefused ? 'client-refused' : 'refuses-everybody'
      this.#emit.event({ type: 'provider.incident', provider: this.#provider, reason })
      this.#onIncident()
      return
    }
    // Silence proves nothing: an incident passes when somebody's proof is good again.
    const isOver = this.#yesSinceNo || (this.#isUnanimous && !isUnanimous)
    if (this.#inIncident && !isStorm && !isRefused && !isUnanimous && isOver) {
      this.#inIncident = false
      this.#emit.event({ type: 'provider.recovered', provider: this.#provider, reason: 'incident' })
    }
  }

  #noteReach(word: ProofWord): void {
    const wasUnreachable = this.#unknownInRow >= UNREACHABLE_IN_ROW
    this.#unknownInRow = word === 'unknown' ? this.#unknownInRow + 1 : 0
    const { provider, type } =
      this.#unknownInRow === UNREACHABLE_IN_ROW
        ? { provider: this.#provider, type: 'provider.unreachable' as const }
        : { provider: this.#provider, type: 'provider.recovered' as const }
    const changed = wasUnreachable !== this.#unknownInRow >= UNREACHABLE_IN_ROW
    if (changed) this.#emit.event({ type, provider })
  }

  #pause(retryAfterMs: number): void {
    if (sum(this.#throttled) < THROTTLED_MIN) return
    const untilMs = this.#runtime.monotonicMs() + Math.min(THROTTLED_MAX_MS, retryAfterMs)
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, untilMs)
  }

  /** Clears the seconds that went by; answers the bucket of now. */
  #turn(): number {
    const second = Math.floor(this.#runtime.monotonicMs() / 1000)
    const passed = Math.min(WINDOW_SECONDS, second - this.#second)
    for (let step = 1; step <= passed; step++) {
      const bucket = (this.#second + step) % WINDOW_SECONDS
      this.#yes[bucket] = 0
      this.#no[bucket] = 0
      this.#throttled[bucket] = 0
    }
    this.#second = second
    return second % WINDOW_SECONDS
  }

  #add(counts: Uint32Array, bucket: number): void {
    counts[bucket] = (counts[bucket] ?? 0) + 1
  }
}

function sum(counts: Uint32Array): number {
  let total = 0
  for (const count of counts) total += count
  return total
}
