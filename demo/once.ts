/**
 * `npm start -- --once`: the comparison in the terminal. Ada signs in, each way makes the same calls,
 * then the provider is killed and each way makes one more.
 */
import {
  isGood,
  type Lane,
  type Measured,
  measure,
  providerExchanges,
  type Summary,
  summarize,
} from './comparison.ts'
import type { Stage } from './stage.ts'

const CALLS = 20
/** Made before, and in no figure: a program that has just started is slow in every lane. */
const WARM_CALLS = 3
const PROVIDER_DELAY_MS = 1_000
const PROVIDER = 'openid'

interface LaneResult extends Summary {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly providerDead: {
    readonly status: number
    readonly afterMs: number
    readonly error?: string
  }
}

export interface OnceResult {
  readonly providerDelayMs: number
  readonly calls: number
  readonly noAuth: LaneResult
  readonly before: LaneResult
  readonly postern: LaneResult & { readonly proofAgeSeconds?: number }
  readonly python:
    | { readonly status: number; readonly durationMs: number; readonly text?: string }
    | { readonly missing: string }
}

/** @param say Progress, for a person who waits. */
export async function compareOnce(stage: Stage, say: (line: string) => void): Promise<OnceResult> {
  const python = await askPython(stage, say)
  await stage.signIn(PROVIDER)
  stage.slow(PROVIDER_DELAY_MS)
  say(`signed in; ${CALLS} calls each, the old way takes two answers of the provider per call`)
  const lanes: Record<Lane, readonly Measured[]> = {
    noAuth: await callMany(stage, 'noAuth'),
    postern: await callMany(stage, 'postern'),
    before: await callMany(stage, 'before'),
  }
  const arrived = {
    noAuth: 0,
    before: providerCalls(stage, 'before', lanes.before),
    postern: providerCalls(stage, 'postern', lanes.postern),
  }
  await stage.kill()
  const afterDeath = async (lane: Lane): Promise<LaneResult> => {
    const { status, durationMs, error } = await call(stage, lane)
    const summary = summarize(lanes[lane])
    return {
      ...summary,
      p50Ms: summary.p50Ms ?? Number.NaN,
      p99Ms: summary.p99Ms ?? Number.NaN,
      providerCalls: arrived[lane],
      providerCallsPerRequest: arrived[lane] / CALLS,
      providerDead: { status, afterMs: durationMs, ...(error === undefined ? {} : { error }) },
    }
  }
  const proofAgeSeconds = stage.proofAgeSeconds(PROVIDER)
  return {
    providerDelayMs: PROVIDER_DELAY_MS,
    calls: CALLS,
    noAuth: await afterDeath('noAuth'),
    before: await afterDeath('before'),
    postern: {
      ...(await afterDeath('postern')),
      ...(proofAgeSeconds === undefined ? {} : { proofAgeSeconds }),
    },
    python,
  }
}

async function askPython(stage: Stage, say: (line: string) => void): Promise<OnceResult['python']> {
  const state = await stage.python.settled
  if (state.state !== 'ready') {
    const reason = state.state === 'missing' ? state.reason : 'it did not start'
    say(`no Python server: ${reason}`)
    return { missing: reason }
  }
  const { status, durationMs, text, error } = await stage.callPython()
  if (status !== 200 || error !== undefined) {
    throw new Error(`the Python server answered ${status} ${error ?? ''}`)
  }
  say(`Python server (FastMCP) behind Postern: ${text ?? ''} in ${durationMs.toFixed(1)} ms`)
  return { status, durationMs, ...(text === undefined ? {} : { text }) }
}

function call(stage: Stage, lane: Lane): Promise<Measured> {
  const { sockets, tool } = stage
  return measure({ lane, caller: stage.lanes(PROVIDER)[lane], tool, provider: PROVIDER, sockets })
}

async function callMany(stage: Stage, lane: Lane): Promise<readonly Measured[]> {
  const calls: Measured[] = []
  for (let index = -WARM_CALLS; index < CALLS; index++) {
    const measured = await call(stage, lane)
    if (!isGood(measured)) {
      throw new Error(`${lane}: status ${measured.status} ${measured.error ?? ''}`)
    }
    if (index >= 0) calls.push(measured)
  }
  return calls
}

/** Everything that reached the provider's socket from the first call of a lane to its last. */
function providerCalls(stage: Stage, lane: Lane, calls: readonly Measured[]): number {
  const firstMs = calls[0]?.startedMs ?? 0
  const last = calls.at(-1)
  const lastMs = last === undefined ? 0 : last.startedMs + last.durationMs
  return providerExchanges(stage.sockets, PROVIDER, lane).filter(
    ({ startedMs }) => startedMs >= firstMs && startedMs <= lastMs,
  ).length
}

/** The table of the README. */
export function tableOf(result: OnceResult): string {
  const { noAuth, before, postern } = result
  const age = postern.proofAgeSeconds
  const dead = (lane: LaneResult): string =>
    isGood({ ...lane.providerDead, startedMs: 0, durationMs: 0 })
      ? String(lane.providerDead.status)
      : `${lane.providerDead.status} after ${(lane.providerDead.afterMs / 1_000).toFixed(1)} s`
  const proof = age === undefined ? '' : ` (proof ${Math.round(age)} s old)`
  const row = (name: string, lane: LaneResult, note: string): string =>
    `  ${name.padEnd(25)}${ms(lane.p50Ms)} ${ms(lane.p99Ms)}${String(lane.providerCalls).padStart(9)}             ${note}`
  return [
    `signed in as Ada at the demo provider (OpenID Connect), provider delay ${result.providerDelayMs} ms, ${result.calls} calls each`,
    `${' '.repeat(33)}p50        p99     provider calls   provider dead`,
    row('no auth', noAuth, dead(noAuth)),
    row('ask every time', before, dead(before)),
    row('Postern', postern, `${dead(postern)}${postern.providerDead.status === 200 ? proof : ''}`),
    verdict(result),
  ].join('\n')
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`.padStart(10)
}

function verdict({ noAuth, before, postern }: OnceResult): string {
  const isKept = postern.providerCalls === 0 && postern.providerDead.status === 200
  const distance = postern.p50Ms - noAuth.p50Ms
  const isAsked = before.providerCallsPerRequest === 2
  return isKept && isAsked
    ? `ok: within ${distance.toFixed(1)} ms of no auth, ${postern.providerCalls} remote calls on the hot path`
    : `not ok: Postern made ${postern.providerCalls} provider calls and answered ${postern.providerDead.status} with the provider dead; the old way made ${before.providerCallsPerRequest} per call`
}
