/**
 * D3: 10,000 bad tokens a second beside good calls. A16: a million registrations beside good calls.
 *
 * Good calls leave at a fixed pace from this process; the flood comes from another. Phases take
 * turns, so that the machine's moods fall on all alike, and the control is quiet against quiet in
 * them. The house has the limits of a new installation: refusals beyond a budget come late, so a
 * flood over a bounded number of connections is slower than it wants; `offered` and `sent` tell.
 * As many harmless calls in the place of the flood are printed beside it.
 */
import { alsoClose, type Child, startChild } from '../children.ts'
import { type BenchHouse, CALLS_PATH, openBenchHouse } from '../house.ts'
import { cycle, mcpRequest, toolCall } from '../load.ts'
import { quantile, requireStatus, residentBytes } from '../measure.ts'
import { paced } from '../paced.ts'
import type { Benchmark, Figures } from '../report.ts'
import type { FloodOrder, FloodReport } from '../servers/flooder.ts'

const BODY = toolCall(150)
const GOOD_PER_SECOND = 200
/** Room for a server that does not answer for five seconds: its waiting must show as latency. */
const GOOD_IN_FLIGHT_MAX = 1_000
const PHASE_MS = 4_000
const TURNS = 5
/** The p99 of good calls may grow by a fifth, or by twice what the run itself wavers. */
const P99_RATIO_MAX = 1.2
const BAD_TOKENS_PER_SECOND = 10_000
const REGISTRATIONS = 1_000_000
const REGISTRATIONS_PER_SECOND = 4_000
const REGISTRATION_MAX = 20_000
/** Registrations under way at once have each found a place before any of them is counted. */
const OVERSHOOT_MAX = 256
/** The million, beside nobody. */
const SLICE = 50_000
const SLICE_PER_SECOND = 10_000
const SLICE_MS = 30_000
const SLICES_MAX = 100

interface Scene {
  readonly house: BenchHouse
  readonly token: string
  readonly flooder: Child<object>
}

async function openScene(limits: Parameters<typeof openBenchHouse>[0]['limits']): Promise<Scene> {
  const upstream = await startChild<{ callsPort: number }>('upstream', { events: 0, pauseMs: 0 })
  const connectors = { calls: `http://127.0.0.1:${upstream.ready.callsPort}/mcp` }
  const house = await openBenchHouse({ kind: 'gateway', connectors, limits })
  const flooder = await startChild<object>('flooder', {})
  alsoClose(() => flooder.stop())
  const token = await house.signIn(CALLS_PATH)
  const scene = { house, token, flooder }
  await good(scene)
  return scene
}

/** p99 of good calls during one phase, in milliseconds. */
async function good({ house, token }: Scene, durationMs = PHASE_MS): Promise<number> {
  const target = cycle(house.port, [
    mcpRequest({ port: house.port, path: CALLS_PATH, body: BODY, token }),
  ])
  const result = await paced(target, GOOD_PER_SECOND, {
    durationMs,
    inFlightMax: GOOD_IN_FLIGHT_MAX,
  })
  requireStatus('good calls', { ...result, requests: result.sent, elapsedMs: durationMs }, 200)
  if (result.dropped > 0) throw new Error(`${result.dropped} good calls could not be sent`)
  return quantile(result.latenciesMs, 0.99)
}

function flood({ house, token, flooder }: Scene, order: Partial<FloodOrder>): Promise<FloodReport> {
  return flooder.call<FloodReport>('flood', {
    port: house.port,
    path: CALLS_PATH,
    token,
    body: BODY,
    durationMs: PHASE_MS,
    ...order,
  })
}

/** Quiet, quiet again, flood, and the same pace of harmless calls, in each turn. */
async function takeTurns(scene: Scene, order: Partial<FloodOrder>): Promise<Turns> {
  const turns: { quiet: number; again: number; flooded: number; harmless: number }[] = []
  const reports: FloodReport[] = []
  for (let turn = 0; turn < TURNS; turn++) {
    const quiet = await good(scene)
    const again = await good(scene)
    const [flooded, report] = await Promise.all([good(scene), flood(scene, order)])
    const [harmless] = await Promise.all([
      good(scene),
      flood(scene, { ...order, kind: 'good calls' }),
    ])
    turns.push({ quiet, again, flooded, harmless })
    reports.push(report)
  }
  const median = (of: (turn: (typeof turns)[number]) => number) => quantile(turns.map(of), 0.5)
  return {
    reports,
    ratio: median(({ quiet, flooded }) => flooded / quiet),
    harmlessRatio: median(({ harmless, flooded }) => flooded / harmless),
    control: median(({ quiet, again }) => Math.max(quiet / again, again / quiet)),
    quietMs: median(({ quiet }) => quiet),
    floodedMs: median(({ flooded }) => flooded),
  }
}

interface Turns {
  readonly reports: readonly FloodReport[]
  readonly ratio: number
  readonly harmlessRatio: number
  readonly control: number
  readonly quietMs: number
  readonly floodedMs: number
}

function figuresOf(turns: Turns): Figures {
  return {
    p99Ratio: turns.ratio,
    p99AgainstHarmless: turns.harmlessRatio,
    p99QuietMs: turns.quietMs,
    p99FloodedMs: turns.floodedMs,
  }
}

function barOf({ control }: Turns): readonly ['<=', number] {
  return ['<=', Math.max(P99_RATIO_MAX, 2 * control)]
}

function total(reports: readonly FloodReport[], of: (report: FloodReport) => number): number {
  return reports.reduce((sum, report) => sum + of(report), 0)
}

function answered(reports: readonly FloodReport[], status: number): number {
  return reports
    .flatMap(({ statuses }) => statuses)
    .reduce((sum, [word, count]) => sum + (word === status ? count : 0), 0)
}

export const D3: Benchmark = {
  id: 'D3',
  title: '10,000 bad tokens a second: p99 of good calls',
  async run() {
    const scene = await openScene({})
    const turns = await takeTurns(scene, {
      kind: 'bad tokens',
      perSecond: BAD_TOKENS_PER_SECOND,
    })
    const sent = total(turns.reports, (report) => report.sent)
    const dropped = total(turns.reports, (report) => report.dropped)
    return {
      figures: {
        ...figuresOf(turns),
        offeredPerSecond: ((sent + dropped) * 1_000) / (TURNS * PHASE_MS),
        sentPerSecond: (sent * 1_000) / (TURNS * PHASE_MS),
        refused: answered(turns.reports, 401),
        answeredOtherwise: sent - answered(turns.reports, 401),
      },
      must: { p99Ratio: barOf(turns), answeredOtherwise: ['=', 0] },
      aim: {},
      control: { p99Ratio: turns.control },
    }
  },
}

export const A16: Benchmark = {
  id: 'A16',
  title: '1,000,000 registrations: the table is bounded, others are served',
  async run() {
    const turns = await takeTurns(await openScene({}), {
      kind: 'registrations',
      perSecond: REGISTRATIONS_PER_SECOND,
    })
    // The table: with the limits per network out of the way, or nothing but 429 would be measured.
    const scene = await openScene({
      registrationsPerMinuteMax: 100_000,
      refusalsPerSecondMax: 1_000_000,
      registrationMax: REGISTRATION_MAX,
    })
    const { house } = scene
    const order = { kind: 'registrations' } as const
    const before = residentBytes(house.child.pid)
    const reports: FloodReport[] = []
    const sent = () => total(reports, (report) => report.sent)
    for (let slice = 0; slice < SLICES_MAX && sent() < REGISTRATIONS; slice++) {
      const count = Math.min(SLICE, REGISTRATIONS - sent())
      reports.push(
        await flood(scene, { ...order, perSecond: SLICE_PER_SECOND, count, durationMs: SLICE_MS }),
      )
    }
    return {
      figures: {
        ...figuresOf(turns),
        besideSent: total(turns.reports, (report) => report.sent),
        besideRefused: answered(turns.reports, 429),
        sent: sent(),
        registered: answered(reports, 201),
        refused: answered(reports, 429),
        rows: await house.child.call<number>('countClients'),
        growthMegabytes: (residentBytes(house.child.pid) - before) / 1_048_576,
      },
      must: {
        p99Ratio: barOf(turns),
        rows: ['<=', REGISTRATION_MAX + OVERSHOOT_MAX],
        sent: ['>=', REGISTRATIONS * 0.99],
      },
      aim: {},
      control: { p99Ratio: turns.control },
    }
  },
}
