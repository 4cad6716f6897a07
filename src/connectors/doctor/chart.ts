/**
 * What one examination has done so far: steps with their times and faults, and notes. A fault that ends
 * the walk throws `Ended`, so that nobody guesses what a missing document might have said.
 *
 * Goes out through the Egress alone: the origins that the operator typed or wrote down may be private
 * or http, everything that a document names is held to public https (I6, NET-01).
 */
import { UpstreamError } from '../../errors.ts'
import type { Egress, EgressRequest, EgressResponse } from '../../net/egress.ts'
import type { Runtime } from '../../ports.ts'
import type { ConnectorProblem } from '../../records.ts'
import { type Asker, createAsker } from '../discovery/discovery-exchange.ts'
import { Refusal, refusalOf, shown } from '../discovery/discovery-problems.ts'
import { faultOf, type Scene, silenceFault } from './remedies.ts'
import type { Fault, Report, Step } from './report.ts'

export interface DoctorDeps {
  readonly egress: Egress
  readonly runtime: Pick<Runtime, 'monotonicMs'>
  /** Exact origins that may be http or private: what the operator typed, and what their file names. */
  readonly approvedOrigins: ReadonlySet<string>
  /** Of one exchange. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** The walk is over: what comes next cannot be known. */
export class Ended extends Error {}

/** A whole walk. */
const WALK_TIMEOUT_MS = 60_000
const NOTES_MAX = 20
const BODY_MAX_BYTES = 65_536

export class Chart {
  readonly ask: Asker
  readonly deps: DoctorDeps
  readonly #base: Omit<Scene, 'at'>
  readonly #steps: Step[] = []
  readonly #notes: string[] = []
  #current: Fault[] = []

  constructor(deps: DoctorDeps, base: Omit<Scene, 'at'>, rules: { followsRedirects: boolean }) {
    const { egress, runtime, signal, timeoutMs } = deps
    this.deps = deps
    this.#base = base
    this.ask = createAsker({
      egress,
      runtime,
      signal,
      server: base.url,
      endsAtMs: runtime.monotonicMs() + WALK_TIMEOUT_MS,
      metadataTimeoutMs: timeoutMs,
      publicOnly: false,
      followsRedirects: rules.followsRedirects,
    })
  }

  /**
   * One numbered step. What it throws is its fault, and ends the walk.
   * @param work May give the title by what it found.
   */
  async step<T>(
    title: string,
    party: ConnectorProblem['party'],
    work: (name: (title: string) => void) => Promise<T>,
  ): Promise<T> {
    const startedMs = this.deps.runtime.monotonicMs()
    let shownTitle = title
    this.#current = []
    try {
      return await work((named) => {
        shownTitle = named
      })
    } catch (error) {
      this.fail(error, party)
      throw new Ended()
    } finally {
      const ms = Math.round(this.deps.runtime.monotonicMs() - startedMs)
      this.#steps.push({ title: shownTitle, ms, faults: this.#current })
      this.#current = []
    }
  }

  /** A fault of the current step; the walk goes on. */
  fault(problem: ConnectorProblem, at: URL, weight?: Fault['weight']): void {
    this.#current.push(faultOf(problem, this.scene(at), weight))
  }

  found(fault: Fault): void {
    this.#current.push(fault)
  }

  /** Records what was thrown as a fault of the current step. @throws what is a mistake of our own. */
  fail(error: unknown, party: ConnectorProblem['party'], weight?: Fault['weight']): void {
    if (error instanceof Ended) return
    if (error instanceof Faulty) this.#current.push(error.fault)
    else if (error instanceof Refusal) this.fault(error.problem, this.#base.url, weight)
    else if (error instanceof UpstreamError) {
      const fault = silenceFault(error, this.scene(this.#base.url), this.deps.timeoutMs)
      this.#current.push({ ...fault, party, ...(weight === undefined ? {} : { weight }) })
    } else throw error
  }

  note(text: string): void {
    if (this.#notes.length < NOTES_MAX && !this.#notes.includes(text)) this.#notes.push(text)
  }

  scene(at: URL, more: Partial<Scene> = {}): Scene {
    return { ...this.#base, at, ...more }
  }

  /** An exchange that no document is asked with. @throws {UpstreamError} @throws {Refusal} */
  async exchange(
    request: Pick<EgressRequest, 'method' | 'headers' | 'body' | 'answersRedirects'> & {
      readonly url: URL
    },
    party: ConnectorProblem['party'],
  ): Promise<EgressResponse> {
    const { egress, timeoutMs, signal } = this.deps
    try {
      return await egress.exchange({
        operation: 'discovery',
        timeoutMs,
        maxBytes: BODY_MAX_BYTES,
        signal,
        ...request,
      })
    } catch (error) {
      const refused = refusalOf(error, party, request.url)
      throw refused === undefined
        ? error
        : new Faulty(faultOf(refused.problem, this.scene(request.url)))
    }
  }

  report(healthy: string): Report {
    const faults = this.#steps.flatMap((step) => step.faults)
    if (faults.length > 0 && faults.every(({ weight }) => weight === 'limits'))
      this.note('this house gets in all the same')
    const url = shown(this.#base.url.origin + this.#base.url.pathname)
    return { url, steps: this.#steps, notes: this.#notes, healthy }
  }
}

/** A refusal with its scene. */
export class Faulty extends Error {
  readonly fault: Fault
  constructor(fault: Fault) {
    super(fault.code)
    this.fault = fault
  }
}
