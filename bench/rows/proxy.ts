/** P6 and P7: the gateway with everything on, against nginx `proxy_pass`, 2 KB both ways. */
import { startChild } from '../children.ts'
import { CALLS_PATH, openBenchHouse } from '../house.ts'
import { cycle, mcpRequest, toolCall } from '../load.ts'
import { compare, type Measured, type Side } from '../measure.ts'
import { startNginx } from '../nginx.ts'
import type { Benchmark } from '../report.ts'

const BODY = toolCall(2_048)
const ROUNDS = 21
/** Of the second way of measuring the same bar. */
const ROUNDS_AGAIN = 11

interface Upstream {
  readonly callsPort: number
  readonly streamsPort: number
}

async function openSides(): Promise<readonly Side[]> {
  const upstream = await startChild<Upstream>('upstream', { events: 0, pauseMs: 0 })
  const { callsPort } = upstream.ready
  const nginx = await startNginx(callsPort)
  const house = await openBenchHouse({
    kind: 'gateway',
    connectors: { calls: `http://127.0.0.1:${callsPort}/mcp` },
  })
  const token = await house.signIn(CALLS_PATH)
  const plain = (port: number) => cycle(port, [mcpRequest({ port, path: '/mcp', body: BODY })])
  const call = mcpRequest({ port: house.port, path: CALLS_PATH, body: BODY, token })
  const gateway = { pids: [house.child.pid], target: cycle(house.port, [call]) }
  return [
    { name: 'direct', pids: [upstream.pid], target: plain(callsPort) },
    { name: 'nginx', pids: [nginx.pid], target: plain(nginx.port) },
    { name: 'gateway', ...gateway },
    { name: 'nginx again', pids: [nginx.pid], target: plain(nginx.port) },
    { name: 'gateway again', ...gateway },
  ]
}

export const P6: Benchmark = {
  id: 'P6',
  title: 'gateway CPU / nginx proxy_pass CPU, 2 KB POST, c = 32',
  async run() {
    const sides = (await openSides()).filter(({ name }) => name !== 'direct')
    const of = await compare(sides, { concurrency: 32, clientSleeps: true })
    const two = sides.slice(0, 2)
    const awake = await compare(two, { concurrency: 32, rounds: ROUNDS_AGAIN })
    return {
      figures: {
        cpu: of('gateway').cpuUs / of('nginx').cpuUs,
        cpuClientAwake: awake('gateway').cpuUs / awake('nginx').cpuUs,
        cpuOfMedians: of('gateway').cpuMedianUs / of('nginx').cpuMedianUs,
        requestsPerSecond: of('gateway').requestsPerSecond / of('nginx').requestsPerSecond,
        nginxCpuUs: of('nginx').cpuUs,
        gatewayCpuUs: of('gateway').cpuUs,
      },
      must: { cpu: ['<=', 3.5], cpuClientAwake: ['<=', 3.5] },
      aim: { cpu: ['<=', 2.5], cpuClientAwake: ['<=', 2.5] },
      control: {
        nginx: of('nginx again').cpuUs / of('nginx').cpuUs,
        gateway: of('gateway again').cpuUs / of('gateway').cpuUs,
      },
    }
  },
}

export const P7: Benchmark = {
  id: 'P7',
  title: 'p50 added by the gateway / p50 added by nginx, 2 KB POST, c = 1',
  async run() {
    const of = await compare(await openSides(), {
      concurrency: 1,
      rounds: ROUNDS,
      clientSleeps: true,
    })
    const added = (name: string, from: (name: string) => Measured = of): number =>
      from(name).p50Ms - from('direct').p50Ms
    return {
      figures: {
        added: added('gateway') / added('nginx'),
        directP50Ms: of('direct').p50Ms,
        nginxP50Ms: of('nginx').p50Ms,
        gatewayP50Ms: of('gateway').p50Ms,
      },
      must: { added: ['<=', 5] },
      aim: { added: ['<=', 3.3] },
      control: {
        nginx: added('nginx again') / added('nginx'),
        gateway: added('gateway again') / added('gateway'),
      },
    }
  },
}
