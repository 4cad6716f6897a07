/**
 * The comparison as it runs behind the page: one loop for the calls that must be fast, one for those
 * that wait for the provider, and the switches that a visitor has. Tells listeners each call.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { LIMITS } from '../src/config/fields.ts'
import {
  isGood,
  type Lane,
  type Measured,
  measure,
  providerExchanges,
  type Summary,
  summarize,
  type Timeline,
  timelineOf,
} from './comparison.ts'
import { LiveRemote, type RemoteState } from './live-remote.ts'
import type { ProviderName } from './registrations.ts'
import type { Stage } from './stage.ts'

/** After each call: what the page does with one call must not be time of the next. */
const FAST_PAUSE_MS = 230
const SLOW_PAUSE_MS = 250
const WINDOW_MS = 60_000
/** Figures follow the provider's state: they are made of the newest calls since it changed. */
const SUMMARY_CALLS_MAX = 40

export interface ShownCall {
  readonly lane: Lane
  readonly status: number
  readonly durationMs: number
  readonly providerCalls: number
  readonly ageMs: number
  readonly note?: string
  readonly timeline?: Timeline
}

export interface LiveState {
  readonly provider: {
    readonly name: ProviderName
    readonly delayMs: number
    readonly killed: boolean
  }
  readonly noAuth: Summary
  readonly before: Summary
  readonly postern: Summary & { readonly providerCallsBehind: number }
  readonly remote: RemoteState
  readonly revoked: boolean
  readonly revocation: {
    readonly boundSeconds: number
    readonly defaultBoundSeconds: number
    readonly measuredSeconds?: number
  }
  readonly problem?: string
}

interface Kept extends Measured {
  readonly note?: string
  readonly timeline?: Timeline
}

/** One press on "Revoke Ada", until Ada signs in again. */
interface Revocation {
  readonly startedMs: number
  isOpen: boolean
  /** Until the first call that Postern refused. */
  measuredSeconds?: number
}

interface Listener {
  readonly onCall: (call: ShownCall) => void
  readonly onState: () => void
}

export class Live {
  /** Switches of the remote server. */
  readonly remote: LiveRemote
  readonly #stage: Stage
  readonly #revocations = new Map<ProviderName, Revocation>()
  readonly #listeners = new Set<Listener>()
  readonly #loops: Promise<unknown>
  #provider: ProviderName = 'openid'
  #kept: readonly Kept[] = []
  #changedMs = performance.now()
  #killed = false
  #problem: string | undefined
  #isClosed = false

  constructor(stage: Stage) {
    this.#stage = stage
    this.remote = new LiveRemote(stage.remote, () => this.#tell())
    this.#loops = Promise.all([
      this.#loop(['noAuth', 'postern'], FAST_PAUSE_MS),
      this.#loop(['before'], SLOW_PAUSE_MS),
    ])
  }

  state(): LiveState {
    const stage = this.#stage
    const provider = this.#provider
    const revocation = this.#revocations.get(provider)
    const measuredSeconds = revocation?.measuredSeconds
    const problem = this.#problem
    return {
      provider: { name: provider, delayMs: stage.delayMs(), killed: this.#killed },
      noAuth: this.#summary('noAuth'),
      before: this.#summary('before'),
      postern: { ...this.#summary('postern'), providerCallsBehind: this.#providerCallsBehind() },
      remote: this.remote.state(),
      revoked: revocation?.isOpen === true,
      revocation: {
        boundSeconds: stage.revocationBoundSeconds,
        defaultBoundSeconds: LIMITS.upstreamProofStaleSeconds.default,
        ...(measuredSeconds === undefined ? {} : { measuredSeconds }),
      },
      ...(problem === undefined ? {} : { problem }),
    }
  }

  /** Calls of the last minute, oldest first. */
  calls(): readonly ShownCall[] {
    return this.#kept.map(show)
  }

  /** Returns the end of it. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  setDelay(delayMs: number): void {
    this.#stage.slow(delayMs)
    this.#changed()
  }

  use(provider: ProviderName): void {
    this.#provider = provider
    this.#kept = []
    this.#changed()
  }

  async kill(): Promise<void> {
    this.#killed = true
    this.#changed()
    await this.#stage.kill()
  }

  async revive(): Promise<void> {
    await this.#stage.revive()
    this.#killed = false
    this.#changed()
  }

  revoke(): void {
    this.#stage.revoke(this.#provider)
    this.#revocations.set(this.#provider, { startedMs: performance.now(), isOpen: true })
    this.#changed()
  }

  async signIn(): Promise<void> {
    const provider = this.#provider
    try {
      this.#problem = undefined
      await this.#stage.signIn(provider)
      const revocation = this.#revocations.get(provider)
      if (revocation !== undefined) revocation.isOpen = false
    } catch (error) {
      this.#problem = `Ada could not sign in: ${error instanceof Error ? error.message : 'unknown'}`
    }
    this.#changed()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#listeners.clear()
    await Promise.all([this.#loops, this.remote.close()])
  }

  async #loop(lanes: readonly Lane[], pauseMs: number): Promise<void> {
    while (!this.#isClosed) {
      for (const lane of lanes) {
        await this.#run(lane)
        await pause(pauseMs, undefined, { ref: false })
      }
    }
  }

  async #run(lane: Lane): Promise<void> {
    const provider = this.#provider
    const { sockets, tool } = this.#stage
    const caller = this.#stage.lanes(provider)[lane]
    const measured = await measure({ lane, caller, tool, provider, sockets })
    if (this.#isClosed || provider !== this.#provider) return
    if (lane === 'postern') this.#judgeRevocation(provider, measured)
    const note = noteOf(this.#stage, provider, measured)
    const timeline = lane === 'postern' ? timelineOf(sockets, measured) : undefined
    const call = {
      ...measured,
      ...(note === undefined ? {} : { note }),
      ...(timeline === undefined ? {} : { timeline }),
    }
    const oldestMs = performance.now() - WINDOW_MS
    this.#kept = [...this.#kept.filter(({ startedMs }) => startedMs > oldestMs), call]
    for (const { onCall } of this.#listeners) onCall(show(call))
  }

  #judgeRevocation(provider: ProviderName, call: Measured): void {
    const revocation = this.#revocations.get(provider)
    if (revocation?.isOpen !== true || revocation.measuredSeconds !== undefined) return
    if (isGood(call) || call.startedMs < revocation.startedMs) return
    const endedMs = call.startedMs + call.durationMs
    revocation.measuredSeconds = (endedMs - revocation.startedMs) / 1_000
  }

  #changed(): void {
    this.#changedMs = performance.now()
    this.#tell()
  }

  #tell(): void {
    for (const { onState } of this.#listeners) onState()
  }

  #summary(lane: Lane): Summary {
    const calls = this.#kept.filter(
      (call) => call.lane === lane && call.startedMs >= this.#changedMs,
    )
    return summarize(calls.slice(-SUMMARY_CALLS_MAX))
  }

  /** Exchanges of the last minute that no call of Postern's waited for. */
  #providerCallsBehind(): number {
    const sinceMs = performance.now() - WINDOW_MS
    const all = providerExchanges(this.#stage.sockets, this.#provider, 'postern')
    const recent = all.filter(({ startedMs }) => startedMs > sinceMs).length
    const waitedFor = this.#kept
      .filter(({ lane }) => lane === 'postern')
      .reduce((sum, { providerCalls }) => sum + providerCalls, 0)
    return Math.max(0, recent - waitedFor)
  }
}

function show({
  startedMs,
  durationMs,
  lane,
  status,
  providerCalls,
  note,
  timeline,
}: Kept): ShownCall {
  return {
    lane,
    status,
    durationMs,
    providerCalls,
    ageMs: performance.now() - startedMs - durationMs,
    ...(note === undefined ? {} : { note }),
    ...(timeline === undefined ? {} : { timeline }),
  }
}

/** What the last answer says, in the words of the lane. */
function noteOf(stage: Stage, provider: ProviderName, measured: Measured): string | undefined {
  if (measured.lane === 'noAuth' || !isGood(measured)) return measured.error
  if (measured.lane === 'before') return undefined
  const ageSeconds = stage.proofAgeSeconds(provider)
  return ageSeconds === undefined ? undefined : `proof ${Math.round(ageSeconds)} s old`
}
