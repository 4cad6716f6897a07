/** P19: a million distinct bad tokens: what they cost, and what stays of them. */
import { badTokens } from '../bad-tokens.ts'
import { startChild } from '../children.ts'
import { CALLS_PATH, openBenchHouse, PROTECTED_PATH } from '../house.ts'
import { awake, cycle, mcpRequest, send, type Target, toolCall } from '../load.ts'
import { compare, requireStatus, residentBytes } from '../measure.ts'
import type { Benchmark } from '../report.ts'

const FLOOD = 1_000_000
const WARM_FLOOD = 30_000
const CONCURRENCY = 64
const ROUNDS = 21
const BODY = toolCall(150)

export const P19: Benchmark = {
  id: 'P19',
  title: 'flood of 1 M distinct bad tokens: memory, and CPU per refusal / per acceptance',
  async run() {
    const upstream = await startChild<{ callsPort: number }>('upstream', { events: 0, pauseMs: 0 })
    const connectors = { calls: `http://127.0.0.1:${upstream.ready.callsPort}/mcp` }
    // Its pace of refusals out of the way: what one refusal costs is asked here.
    const limits = { refusalsPerSecondMax: 1_000_000 }
    const gateway = await openBenchHouse({ kind: 'gateway', connectors, limits })
    const inside = await openBenchHouse({ kind: 'protect' })
    const gatewayToken = await gateway.signIn(CALLS_PATH)
    const insideToken = await inside.signIn(PROTECTED_PATH)
    const good = (port: number, path: string, token: string): Target =>
      cycle(port, [mcpRequest({ port, path, body: BODY, token })])
    const gatewayPids = [gateway.child.pid]
    const insidePids = [inside.child.pid]
    const gatewayFlood = badTokens({
      port: gateway.port,
      path: CALLS_PATH,
      real: gatewayToken,
      body: BODY,
    })
    const insideFlood = badTokens({
      port: inside.port,
      path: PROTECTED_PATH,
      real: insideToken,
      body: BODY,
    })
    const insideGood = good(inside.port, PROTECTED_PATH, insideToken)
    const of = await compare(
      [
        {
          name: 'gateway good',
          pids: gatewayPids,
          target: good(gateway.port, CALLS_PATH, gatewayToken),
        },
        { name: 'gateway bad', pids: gatewayPids, target: gatewayFlood, status: 401 },
        { name: 'inside good', pids: insidePids, target: insideGood },
        { name: 'inside bad', pids: insidePids, target: insideFlood, status: 401 },
        { name: 'inside good again', pids: insidePids, target: insideGood },
      ],
      { concurrency: 32, rounds: ROUNDS },
    )
    requireStatus('gateway', await awake(send(gatewayFlood, CONCURRENCY, WARM_FLOOD)), 401)
    const before = residentBytes(gateway.child.pid)
    const flooded = await awake(send(gatewayFlood, CONCURRENCY, FLOOD))
    requireStatus('gateway', flooded, 401)
    const after = residentBytes(gateway.child.pid)
    const ratio = (bad: string, good: string): number => of(bad).cpuUs / of(good).cpuUs
    return {
      figures: {
        growthMegabytes: (after - before) / 1_048_576,
        cpuGateway: ratio('gateway bad', 'gateway good'),
        cpuProtect: ratio('inside bad', 'inside good'),
        refusals: flooded.requests,
        refusalsPerSecond: flooded.requests / (flooded.elapsedMs / 1_000),
        refusalCpuUs: of('inside bad').cpuUs,
        acceptanceCpuUs: of('inside good').cpuUs,
      },
      must: { growthMegabytes: ['<=', 64], cpuGateway: ['<=', 1.5], cpuProtect: ['<=', 1.5] },
      aim: { growthMegabytes: ['<=', 16], cpuGateway: ['<=', 1], cpuProtect: ['<=', 1] },
      control: { cpuProtect: ratio('inside good again', 'inside good') },
    }
  },
}
