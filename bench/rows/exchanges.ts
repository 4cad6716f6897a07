/** P4 and P21: what warm calls cost others: exchanges with the provider, durable writes. */
import { type Child, startChild } from '../children.ts'
import { twoHours } from '../fake-day.ts'
import { type BenchHouse, CALLS_PATH, openBenchHouse } from '../house.ts'
import { cycle, mcpRequest, send, type Target, toolCall } from '../load.ts'
import { pause, requireStatus } from '../measure.ts'
import type { Benchmark } from '../report.ts'

const WARM_CALLS = 50
const CALLS = 1_000
const WRITE_CALLS = 10_000
const SHORT_TTL_SECONDS = 2
const PROVIDER_DELAY_MS = 500
const AFTER_TTL_DEADLINE_MS = 10_000
/** Facts are written behind, in batches one second apart; this is longer. */
const WRITTEN_BEHIND_MS = 2_500
const CALL_EVERY_MS = 400_000
const SEVENTY_MINUTES_MS = 4_200_000
const WAITS = 'postern_hot_path_waits_total'

async function openWarm(
  limits: Parameters<typeof openBenchHouse>[0]['limits'] = {},
): Promise<{ house: BenchHouse; calls: Target }> {
  const upstream: Child<{ readonly callsPort: number }> = await startChild('upstream', {
    events: 0,
    pauseMs: 0,
  })
  const connectors = { calls: `http://127.0.0.1:${upstream.ready.callsPort}/mcp` }
  const house = await openBenchHouse({ kind: 'gateway', connectors, limits })
  const token = await house.signIn(CALLS_PATH)
  const request = mcpRequest({ port: house.port, path: CALLS_PATH, body: toolCall(150), token })
  const calls = cycle(house.port, [request])
  requireStatus('gateway', await send(calls, 1, WARM_CALLS), 200)
  return { house, calls }
}

export const P4: Benchmark = {
  id: 'P4',
  title:
    'exchanges of our own: per 1,000 warm calls, after the TTL, one call every 400 s for two hours',
  async run() {
    const { house, calls } = await openWarm()
    house.provider.forget()
    requireStatus('gateway', await send(calls, 8, CALLS), 200)
    const exchanges = house.provider.total()
    const after = await afterTtl()
    const day = await twoHours(CALL_EVERY_MS)
    return {
      figures: {
        exchangesPer1000: (exchanges * 1_000) / CALLS,
        exchangesAfterTtl: after.exchanges,
        waitsAfterTtl: after.waits,
        slowestAfterTtlMs: after.slowestMs,
        providerDelayMs: PROVIDER_DELAY_MS,
        callsInTwoHours: day.calls,
        waitsInTwoHours: day.waits,
        refusedInTwoHours: day.refused,
        exchangesInTwoHours: day.exchanges,
      },
      must: {
        exchangesPer1000: ['=', 0],
        exchangesAfterTtl: ['=', 1],
        waitsAfterTtl: ['=', 0],
        slowestAfterTtlMs: ['<=', PROVIDER_DELAY_MS - 1],
        waitsInTwoHours: ['=', 0],
        refusedInTwoHours: ['=', 0],
      },
      aim: {},
      // A proof is kept warm for an hour, then served 300 s more: this call must be seen to wait.
      control: { waitsAfterSeventyMinutes: (await twoHours(SEVENTY_MINUTES_MS)).waits },
    }
  },
}

/** Calls go on while a proof ages past its TTL at a slow provider, until one exchange is over. */
async function afterTtl(): Promise<{ exchanges: number; waits: number; slowestMs: number }> {
  const { house, calls } = await openWarm({ upstreamProofTtlSeconds: SHORT_TTL_SECONDS })
  const waitsBefore = await house.metric(WAITS)
  house.provider.forget()
  house.provider.slow(PROVIDER_DELAY_MS)
  let slowestMs = 0
  const deadlineMs = performance.now() + AFTER_TTL_DEADLINE_MS
  let endMs = Number.POSITIVE_INFINITY
  while (performance.now() < Math.min(deadlineMs, endMs)) {
    const { latenciesMs, statuses } = await send(calls, 1, 1)
    if (!statuses.has(200)) throw new Error('a call was refused after the TTL')
    slowestMs = Math.max(slowestMs, ...latenciesMs)
    // Its answer, and a while in which a second one would show.
    if (house.provider.total() > 0 && endMs > deadlineMs)
      endMs = performance.now() + 2 * PROVIDER_DELAY_MS
    await pause(10)
  }
  return {
    exchanges: house.provider.total(),
    waits: (await house.metric(WAITS)) - waitsBefore,
    slowestMs,
  }
}

export const P21: Benchmark = {
  id: 'P21',
  title: 'durable writes per warm request, counted at the store',
  async run() {
    const { house, calls } = await openWarm()
    await pause(WRITTEN_BEHIND_MS)
    const quiet = await house.child.call<number>('writes')
    await pause(WRITTEN_BEHIND_MS)
    const before = await house.child.call<number>('writes')
    const records = await house.child.call<number>('records')
    requireStatus('gateway', await send(calls, 8, WRITE_CALLS), 200)
    const writes = (await house.child.call<number>('writes')) - before
    return {
      figures: {
        writesPerRequest: writes / WRITE_CALLS,
        writes,
        requests: WRITE_CALLS,
        callRecords: (await house.child.call<number>('records')) - records,
        writesOfSignIn: quiet,
      },
      must: { writesPerRequest: ['=', 0], callRecords: ['=', WRITE_CALLS] },
      aim: { writesPerRequest: ['=', 0] },
      control: { writesWithoutRequests: before - quiet },
    }
  },
}
