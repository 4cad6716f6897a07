/** P13 and P14: what a cold discovery costs in time, and how long a server that never answers is waited for. */

import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:net'
import { startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { alsoClose } from '../children.ts'
import { openBenchDiscovery, targetOf } from '../discovery.ts'
import { quantile } from '../measure.ts'
import type { Benchmark } from '../report.ts'

/** Of each answer of the remote server: a chain on the loopback alone would measure the test. */
const REMOTE_DELAY_MS = 40
const ROUNDS = 21
const STARTS = 1_000
const READ_DEADLINE_MS = 30_000
const EXCHANGE = { timeoutMs: 10_000, maxBytes: 65_536, operation: 'discovery' } as const

export const P13: Benchmark = {
  id: 'P13',
  title: 'cold discovery / the exchanges that the standard orders, one after another: time',
  async run() {
    const remote = await startRemoteServer()
    alsoClose(() => remote.close())
    remote.slow(REMOTE_DELAY_MS)
    const { engine, egress } = await openBenchDiscovery(remote.origin)
    const target = targetOf(remote.url)
    const cold = async (): Promise<number> => {
      await engine.drop(target)
      const startedMs = performance.now()
      const result = await engine.read(target, { deadlineMs: READ_DEADLINE_MS })
      if (!result.ok) throw new Error(`not discovered: ${result.problem.text}`)
      return performance.now() - startedMs
    }
    /** RFC 9728 section 5, then RFC 8414 section 3: the challenge, and two documents. */
    const ordered = async (): Promise<number> => {
      const startedMs = performance.now()
      await egress.exchange({ ...EXCHANGE, method: 'POST', url: remote.url, body: '{}' })
      for (const name of ['oauth-protected-resource/mcp', 'oauth-authorization-server'])
        await egress.exchange({
          ...EXCHANGE,
          method: 'GET',
          url: `${remote.origin}/.well-known/${name}`,
        })
      return performance.now() - startedMs
    }
    await cold()
    remote.forget()
    await ordered()
    const chain = remote.total()
    const times = { cold: [] as number[], ordered: [] as number[], again: [] as number[] }
    for (let round = 0; round < ROUNDS; round++) {
      times.cold.push(await cold())
      times.ordered.push(await ordered())
      times.again.push(await ordered())
    }
    await engine.drop(target)
    remote.forget()
    const starts = await Promise.all(
      Array.from({ length: STARTS }, () => engine.read(target, { deadlineMs: READ_DEADLINE_MS })),
    )
    const median = (name: keyof typeof times): number => quantile(times[name], 0.5)
    return {
      figures: {
        time: median('cold') / median('ordered'),
        chainsOfThousandStarts: remote.total() / chain,
        startsServed: starts.filter(({ ok }) => ok).length,
        coldMs: median('cold'),
        orderedMs: median('ordered'),
        exchangesOfOneChain: chain,
      },
      must: { time: ['<=', 1.15], chainsOfThousandStarts: ['=', 1], startsServed: ['=', STARTS] },
      aim: { time: ['<=', 1.05] },
      control: { ordered: median('again') / median('ordered') },
    }
  },
}

const BLACK_HOLES = 5

export const P14: Benchmark = {
  id: 'P14',
  title: 'discovery against a black hole / the configured total timeout',
  async run() {
    const silent = await listen((server) => server.on('connection', (socket) => socket.resume()))
    /** A byte of a head now and then: alive, and never done. */
    const dripping = await listen((server) =>
      server.on('connection', (socket) => {
        socket.resume()
        socket.write('HTTP/1.1 200 OK\r\nX-A: ')
        const timer = setInterval(() => socket.write('a'), 100)
        socket.on('error', () => socket.destroy())
        socket.on('close', () => clearInterval(timer))
      }),
    )
    const waited = async (origin: string): Promise<number[]> => {
      const { engine, timeoutMs } = await openBenchDiscovery(origin)
      const one = async (at: number): Promise<number> => {
        const startedMs = performance.now()
        const result = await engine.read(targetOf(`${origin}/mcp/${at}`), {
          deadlineMs: READ_DEADLINE_MS,
        })
        if (result.ok) throw new Error('a black hole was discovered')
        return (performance.now() - startedMs) / timeoutMs
      }
      return await Promise.all(Array.from({ length: BLACK_HOLES }, (_, at) => one(at)))
    }
    const timer = async (): Promise<number> => {
      const startedMs = performance.now()
      await new Promise((resolve) => setTimeout(resolve, 1_000))
      return (performance.now() - startedMs) / 1_000
    }
    const [hole = [], drip = [], control = 0] = await Promise.all([
      waited(silent),
      waited(dripping),
      timer(),
    ])
    return {
      figures: { silent: Math.max(...hole), dripping: Math.max(...drip) },
      must: { silent: ['<=', 1.1], dripping: ['<=', 1.1] },
      aim: { silent: ['<=', 1.02], dripping: ['<=', 1.02] },
      control: { timer: control },
    }
  },
}

async function listen(answer: (server: Server) => void): Promise<string> {
  const server = createServer()
  answer(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const sockets = new Set<{ destroy(): void }>()
  server.on('connection', (socket) => sockets.add(socket))
  alsoClose(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
