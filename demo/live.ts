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
import type { ProviderName, Stage } from './stage.ts'

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
  readonly revoked: boolean
  readonly revocation: {
    readonly boundSeconds: number
    readonly defaultBoundSeconds: number
    readonly measuredSeconds?: number
  }
  readonly problem?: string
}

export interface Live {
  state(): LiveState
  /** Calls of the last minute, oldest first. */
  calls(): readonly ShownCall[]
  listen(onCall: (call: ShownCall) => void, onState: () => void): () => void
  setDelay(delayMs: number): void
  use(provider: ProviderName): void
  kill(): Promise<void>
  revive(): Promise<void>
  revoke(): void
  signIn(): Promise<void>
  close(): Promise<void>
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

export function startLive(stage: Stage): Live {
  let provider: ProviderName = 'openid'
  let kept: Kept[] = []
  let changedMs = performance.now()
  let killed = false
  let problem: string | undefined
  const revocations = new Map<ProviderName, Revocation>()
  let isClosed = false
  const callListeners = new Set<(call: ShownCall) => void>()
  const stateListeners = new Set<() => void>()

  const tell = (): void => {
    for (const listener of stateListeners) listener()
  }
  const changed = (): void => {
    changedMs = performance.now()
    tell()
  }
  const shown = ({
    lane,
    status,
    durationMs,
    startedMs,
    providerCalls,
    note,
    timeline,
  }: Kept): ShownCall => ({
    lane,
    status,
    durationMs,
    providerCalls,
    ageMs: performance.now() - startedMs - durationMs,
    ...(note === undefined ? {} : { note }),
    ...(timeline === undefined ? {} : { timeline }),
  })
  const run = async (lane: Lane): Promise<void> => {
    const asked = provider
    const { sockets, tool } = stage
    const caller = stage.lanes(asked)[lane]
    const measured = await measure({ lane, caller, tool, provider: asked, sockets })
    if (isClosed || asked !== provider) return
    const note = noteOf(stage, asked, measured)
    const timeline = lane === 'postern' ? timelineOf(sockets, measured) : undefined
    const call = {
      ...measured,
      ...(note === undefined ? {} : { note }),
      ...(timeline === undefined ? {} : { timeline }),
    }
    const oldestMs = performance.now() - WINDOW_MS
    kept = [...kept.filter(({ startedMs }) => startedMs > oldestMs), call]
    const revocation = revocations.get(asked)
    if (
      lane === 'postern' &&
      revocation?.isOpen === true &&
      revocation.measuredSeconds === undefined
    ) {
      if (!isGood(call)) {
        revocation.measuredSeconds =
          (call.startedMs + call.durationMs - revocation.startedMs) / 1_000
      }
    }
    for (const listener of callListeners) listener(shown(call))
  }
  const loop = async (lanes: readonly Lane[], pauseMs: number): Promise<void> => {
    while (!isClosed) {
      for (const lane of lanes) {
        await run(lane)
        await pause(pauseMs, undefined, { ref: false })
      }
    }
  }
  const loops = Promise.all([
    loop(['noAuth', 'postern'], FAST_PAUSE_MS),
    loop(['before'], SLOW_PAUSE_MS),
  ])
  const summary = (lane: Lane): Summary =>
    summarize(
      kept
        .filter((call) => call.lane === lane && call.startedMs >= changedMs)
        .slice(-SUMMARY_CALLS_MAX),
    )

  return {
    state() {
      const sinceMs = performance.now() - WINDOW_MS
      const inCalls = kept
        .filter(({ lane }) => lane === 'postern')
        .reduce((sum, call) => sum + call.providerCalls, 0)
      const all = providerExchanges(stage.sockets, provider, 'postern')
      const revocation = revocations.get(provider)
      const recent = all.filter(({ startedMs }) => startedMs > sinceMs).length
      return {
        provider: { name: provider, delayMs: stage.delayMs(), killed },
        noAuth: summary('noAuth'),
        before: summary('before'),
        postern: { ...summary('postern'), providerCallsBehind: Math.max(0, recent - inCalls) },
        revoked: revocation?.isOpen === true,
        revocation: {
          boundSeconds: stage.revocationBoundSeconds,
          defaultBoundSeconds: LIMITS.upstreamProofStaleSeconds.default,
          ...(revocation?.measuredSeconds === undefined
            ? {}
            : { measuredSeconds: revocation.measuredSeconds }),
        },
        ...(problem === undefined ? {} : { problem }),
      }
    },
    calls: () => kept.map(shown),
    listen(onCall, onState) {
      callListeners.add(onCall)
      stateListeners.add(onState)
      return () => {
        callListeners.delete(onCall)
        stateListeners.delete(onState)
      }
    },
    setDelay(delayMs) {
      stage.slow(delayMs)
      changed()
    },
    use(name) {
      provider = name
      kept = []
      changed()
    },
    async kill() {
      killed = true
      changed()
      await stage.kill()
    },
    async revive() {
      await stage.revive()
      killed = false
      changed()
    },
    revoke() {
      stage.revoke(provider)
      revocations.set(provider, { startedMs: performance.now(), isOpen: true })
      changed()
    },
    async signIn() {
      const asked = provider
      try {
        problem = undefined
        await stage.signIn(asked)
        const revocation = revocations.get(asked)
        if (revocation !== undefined) revocation.isOpen = false
      } catch (error) {
        problem = `Ada could not sign in: ${error instanceof Error ? error.message : 'unknown'}`
      }
      changed()
    },
    async close() {
      isClosed = true
      callListeners.clear()
      stateListeners.clear()
      await loops
    },
  }
}

/** What the last answer says, in the words of the lane. */
function noteOf(stage: Stage, provider: ProviderName, measured: Measured): string | undefined {
  if (measured.lane === 'noAuth' || !isGood(measured)) return measured.error
  if (measured.lane === 'before') return undefined
  const ageSeconds = stage.proofAgeSeconds(provider)
  return ageSeconds === undefined ? undefined : `proof ${Math.round(ageSeconds)} s old`
}
