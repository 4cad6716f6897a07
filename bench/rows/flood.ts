/** P19: a million distinct bad tokens: what they cost, and what stays of them. */
import { randomBytes } from 'node:crypto'
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
    const gateway = await openBenchHouse({ kind: 'gateway', connectors })
    const inside = await openBenchHouse({ kind: 'protect' })
    const gatewayToken = await gateway.signIn(CALLS_PATH)
    const insideToken = await inside.signIn(PROTECTED_PATH)
    const good = (port: number, path: string, token: string): Target =>
      cycle(port, [mcpRequest({ port, path, body: BODY, token })])
    const gatewayPids = [gateway.child.pid]
    const insidePids = [inside.child.pid]
    const gatewayFlood = flood(gateway.port, CALLS_PATH, gatewayToken)
    const insideFlood = flood(inside.port, PROTECTED_PATH, insideToken)
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

/** No two alike: noise, a token with an invented tag, and a real one with another signature, in turn. */
function flood(port: number, path: string, real: string): Target {
  const [header = '', payload = ''] = real.split('.')
  const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
  const run = randomBytes(6).toString('base64url')
  let at = 0
  const kinds: readonly ((number: string) => string)[] = [
    (number) => `${run}${number}${'x'.repeat(40)}`,
    (number) => `${header}.${invented(claims, `${run}${number}`)}.${signature(run + number)}`,
    (number) => `${header}.${payload}.${signature(run + number)}`,
  ]
  return {
    port,
    next() {
      const kind = kinds[at % kinds.length]
      const token = kind?.(String(at++).padStart(12, '0'))
      return mcpRequest({ port, path, body: BODY, token })
    },
  }
}

function invented(claims: unknown, seed: string): string {
  const jti = seed.padEnd(33, 'x').slice(-33)
  return Buffer.from(JSON.stringify({ ...Object(claims), jti })).toString('base64url')
}

function signature(seed: string): string {
  return `${seed.padEnd(85, 'A')}Q`
}
