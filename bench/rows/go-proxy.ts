/** P8: the gateway with everything on, against Go's `httputil.ReverseProxy`, 2 KB both ways. */
import { startChild } from '../children.ts'
import { startGoProxy } from '../go-proxy.ts'
import { CALLS_PATH, openBenchHouse } from '../house.ts'
import { cycle, mcpRequest, toolCall } from '../load.ts'
import { compare } from '../measure.ts'
import type { Benchmark } from '../report.ts'

const BODY = toolCall(2_048)

export const P8: Benchmark = {
  id: 'P8',
  title: 'gateway requests per second / Go httputil.ReverseProxy, 2 KB POST, c = 32',
  async run() {
    const upstream = await startChild<{ readonly callsPort: number }>('upstream', {
      events: 0,
      pauseMs: 0,
    })
    const { callsPort } = upstream.ready
    const go = await startGoProxy(`http://127.0.0.1:${callsPort}`)
    const house = await openBenchHouse({
      kind: 'gateway',
      connectors: { calls: `http://127.0.0.1:${callsPort}/mcp` },
    })
    const token = await house.signIn(CALLS_PATH)
    const plain = mcpRequest({ port: go.port, path: '/mcp', body: BODY })
    const proxy = { pids: [go.pid], target: cycle(go.port, [plain]) }
    const call = mcpRequest({ port: house.port, path: CALLS_PATH, body: BODY, token })
    const gateway = { pids: [house.child.pid], target: cycle(house.port, [call]) }
    const sides = [
      { name: 'go', ...proxy },
      { name: 'gateway', ...gateway },
      { name: 'go again', ...proxy },
      { name: 'gateway again', ...gateway },
    ]
    // A client with a processor of its own stands for one on another machine: no answer has to wake it.
    const of = await compare(sides, { concurrency: 32 })
    const asleep = await compare(sides, { concurrency: 32, clientSleeps: true })
    const rps = (name: string): number => of(name).requestsPerSecond
    return {
      figures: {
        requestsPerSecond: rps('gateway') / rps('go'),
        requestsPerSecondClientAsleep:
          asleep('gateway').requestsPerSecond / asleep('go').requestsPerSecond,
        cpu: of('gateway').cpuUs / of('go').cpuUs,
        goRequestsPerSecond: rps('go'),
        gatewayRequestsPerSecond: rps('gateway'),
        goCpuUs: of('go').cpuUs,
        gatewayCpuUs: of('gateway').cpuUs,
      },
      must: { requestsPerSecond: ['>=', 1.2] },
      aim: { requestsPerSecond: ['>=', 1.8] },
      control: {
        go: rps('go again') / rps('go'),
        gateway: rps('gateway again') / rps('gateway'),
      },
    }
  },
}
