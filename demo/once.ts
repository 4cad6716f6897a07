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
import { PATIENCE_MS } from './remote.ts'
import type { Stage } from './stage.ts'

const CALLS = 20
/** Made before, and in no figure: a program that has just started is slow in every lane. */
const WARM_CALLS = 3
const PROVIDER_DELAY_MS = 1_000
const PROVIDER = 'openid'
const CLICKS = 10
const PLAIN_CLICKS = 3

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
  readonly initiation: Initiation
  readonly python:
    | { readonly status: number; readonly durationMs: number; readonly text?: string }
    | { readonly missing: string }
}

/** From the click on "connect" to the redirect, at a remote server that takes half a second. */
interface Initiation {
  readonly warmMs: number
  /** The remote server accepts and says nothing. */
  readonly deadMs: number
  /** The metadata fetched on each click. */
  readonly plainFetchMs: number
  /** Absent: no answer while anybody would wait. */
  readonly plainFetchDeadMs?: number
  /** Exchanges at the remote server during all clicks through Postern, alive and dead. */
  readonly remoteCalls: number
}

/** @param say Progress, for a person who waits. */
export async function compareOnce(stage: Stage, say: (line: string) => void): Promise<OnceResult> {
  const python = await askPython(stage, say)
  const initiation = await initiate(stage)
  say('connected a remote server, called it, killed it, clicked again, disconnected')
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
    initiation,
    python,
  }
}

async function initiate({ remote }: Stage): Promise<Initiation> {
  const clicks = async () => {
    const made = []
    for (let count = -WARM_CALLS; count < CLICKS; count++) made.push(await remote.click())
    return made.slice(WARM_CALLS)
  }
  const plainClicks = async (count: number): Promise<readonly (number | undefined)[]> => {
    const made = []
    while (made.length < count) made.push(await remote.plainClick())
    return made
  }
  const warm = await clicks()
  const plain = (await plainClicks(PLAIN_CLICKS)).filter((each) => each !== undefined)
  const status = await remote.connect()
  if (status !== 200) throw new Error(`the connected server answered ${status}`)
  remote.kill()
  const dead = await clicks()
  const [plainFetchDeadMs] = await plainClicks(1)
  await remote.revive()
  await remote.disconnect()
  return {
    warmMs: middle(warm.map(({ ms }) => ms)),
    deadMs: middle(dead.map(({ ms }) => ms)),
    plainFetchMs: middle(plain),
    ...(plainFetchDeadMs === undefined ? {} : { plainFetchDeadMs }),
    remoteCalls: [...warm, ...dead].reduce((sum, { remoteCalls }) => sum + remoteCalls, 0),
  }
}

function middle(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN
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
    connecting(result.initiation),
    verdict(result),
  ].join('\n')
}

function connecting({ warmMs, deadMs, plainFetchMs, plainFetchDeadMs }: Initiation): string {
  const dead =
    plainFetchDeadMs === undefined
      ? `no answer in ${PATIENCE_MS / 1_000} s`
      : `${plainFetchDeadMs.toFixed(0)} ms`
  return `connect a remote server: first click ${warmMs.toFixed(1)} ms, server dead ${deadMs.toFixed(1)} ms (plain fetch: ${plainFetchMs.toFixed(0)} ms, dead: ${dead})`
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`.padStart(10)
}

function verdict({ noAuth, before, postern, initiation }: OnceResult): string {
  const { remoteCalls } = initiation
  if (remoteCalls > 0) return `not ok: clicks on connect made ${remoteCalls} remote calls`
  const isKept = postern.providerCalls === 0 && postern.providerDead.status === 200
  const distance = postern.p50Ms - noAuth.p50Ms
  const isAsked = before.providerCallsPerRequest === 2
  return isKept && isAsked
    ? `ok: within ${distance.toFixed(1)} ms of no auth, ${postern.providerCalls} remote calls on the hot path`
    : `not ok: Postern made ${postern.providerCalls} provider calls and answered ${postern.providerDead.status} with the provider dead; the old way made ${before.providerCallsPerRequest} per call`
}
