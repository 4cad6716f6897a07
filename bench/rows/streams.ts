/** P9 and P10: event streams through the gateway: CPU, first event, 5,000 open at once. */
import { connect, type Socket } from 'node:net'
import { type Child, startChild } from '../children.ts'
import { type BenchHouse, openBenchHouse, STREAMS_PATH } from '../house.ts'
import { cycle, mcpRequest, toolCall } from '../load.ts'
import { compare, pause, quantile, residentBytes } from '../measure.ts'
import type { Benchmark } from '../report.ts'

const EVENTS = 20
/** Between events, and before the first: what a tool needs to have something to say. */
const PAUSE_MS = 10
const FIRST_EVENTS = 60
const OPEN_STREAMS = 5_000
const OPENING_AT_ONCE = 100
const OPEN_DEADLINE_MS = 60_000
const EVENT_DEADLINE_MS = 15_000
const WARM_STREAMS = 200

type Upstream = Child<{ readonly callsPort: number; readonly streamsPort: number }>

async function openSides(): Promise<{ upstream: Upstream; house: BenchHouse; token: string }> {
  const settings = { events: EVENTS, pauseMs: PAUSE_MS }
  const upstream: Upstream = await startChild('upstream', settings)
  const house = await openBenchHouse({
    kind: 'gateway',
    connectors: { streams: `http://127.0.0.1:${upstream.ready.streamsPort}/mcp` },
    limits: { streamsPerUserMax: 2 * OPEN_STREAMS },
  })
  return { upstream, house, token: await house.signIn(STREAMS_PATH) }
}

export const P9: Benchmark = {
  id: 'P9',
  title: `event streams of ${EVENTS} events, c = 16: CPU per event and first event, through / direct`,
  async run() {
    const { upstream, house, token } = await openSides()
    const body = toolCall(150)
    const direct = mcpRequest({ port: upstream.ready.streamsPort, path: '/mcp', body })
    const through = mcpRequest({ port: house.port, path: STREAMS_PATH, body, token })
    const base = { pids: [upstream.pid], target: cycle(upstream.ready.streamsPort, [direct]) }
    const gateway = { pids: [house.child.pid], target: cycle(house.port, [through]) }
    const sides = [
      { name: 'direct', ...base },
      { name: 'gateway', ...gateway },
      { name: 'direct again', ...base },
    ]
    const of = await compare(sides, {
      concurrency: 16,
      rounds: 7,
      roundMs: 500,
      clientSleeps: true,
    })
    const first = await firstEvents([
      { name: 'direct', port: upstream.ready.streamsPort, request: direct },
      { name: 'gateway', port: house.port, request: through },
      { name: 'direct again', port: upstream.ready.streamsPort, request: direct },
    ])
    const ratio = (name: string): number => first(name) / first('direct')
    return {
      figures: {
        cpu: of('gateway').cpuUs / of('direct').cpuUs,
        firstEvent: ratio('gateway'),
        directCpuPerEventUs: of('direct').cpuUs / EVENTS,
        gatewayCpuPerEventUs: of('gateway').cpuUs / EVENTS,
        firstEventAddedMs: first('gateway') - first('direct'),
      },
      must: { cpu: ['<=', 4], firstEvent: ['<=', 1.2] },
      aim: { cpu: ['<=', 3], firstEvent: ['<=', 1.1] },
      control: {
        cpu: of('direct again').cpuUs / of('direct').cpuUs,
        firstEvent: ratio('direct again'),
      },
    }
  },
}

/** Median time from the request to the first event, one stream at a time, sides in turn. */
async function firstEvents(
  sides: readonly { name: string; port: number; request: Buffer }[],
): Promise<(name: string) => number> {
  const samples = new Map<string, number[]>(sides.map(({ name }) => [name, []]))
  for (let turn = 0; turn < FIRST_EVENTS; turn++) {
    for (const { name, port, request } of sides) {
      const stream = await openStream(port, request)
      samples.get(name)?.push(await stream.event)
      stream.socket.destroy()
    }
  }
  return (name) => quantile(samples.get(name) ?? [], 0.5)
}

interface Stream {
  readonly socket: Socket
  /** Milliseconds from the request to the first event. */
  readonly event: Promise<number>
}

/** Resolves when the head of the answer is here. */
function openStream(port: number, request: Buffer): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    const timer = setTimeout(() => reject(new Error('a stream hangs')), OPEN_DEADLINE_MS)
    let text = ''
    let sentMs = 0
    let onEvent = (_ms: number): void => {}
    const event = new Promise<number>((settle) => {
      onEvent = settle
    })
    socket.setNoDelay(true)
    socket.on('error', reject)
    socket.on('connect', () => {
      sentMs = performance.now()
      socket.write(request)
    })
    const read = (chunk: Buffer): void => {
      text += chunk.toString('latin1')
      if (text.includes('\r\n\r\n')) {
        clearTimeout(timer)
        if (text.startsWith('HTTP/1.1 200')) resolve({ socket, event })
        else reject(new Error(`a stream was refused: ${text.slice(0, 40)}`))
      }
      if (!text.includes('data:')) return
      socket.off('data', read)
      socket.resume()
      onEvent(performance.now() - sentMs)
    }
    socket.on('data', read)
  })
}

export const P10: Benchmark = {
  id: 'P10',
  title: `${OPEN_STREAMS} idle event streams at once: memory of each, and none hangs`,
  async run() {
    const { upstream, house, token } = await openSides()
    const request = mcpRequest({ method: 'GET', port: house.port, path: STREAMS_PATH, token })
    await closeStreams(await openStreams(house.port, request, WARM_STREAMS), upstream)
    const before = residentBytes(house.child.pid)
    const upstreamBefore = residentBytes(upstream.pid)
    const startedMs = performance.now()
    const streams = await openStreams(house.port, request, OPEN_STREAMS)
    const openedMs = performance.now() - startedMs
    const after = residentBytes(house.child.pid)
    const upstreamAfter = residentBytes(upstream.pid)
    await upstream.call('broadcast')
    let served = 0
    for (const { event } of streams) void event.then(() => served++)
    const deadlineMs = performance.now() + EVENT_DEADLINE_MS
    while (served < streams.length && performance.now() < deadlineMs) await pause(20)
    const upstreamStreams = await upstream.call<number>('idle')
    await closeStreams(streams, upstream)
    return {
      figures: {
        kilobytesPerStream: (after - before) / OPEN_STREAMS / 1_024,
        hanging: OPEN_STREAMS - served,
        openSeconds: openedMs / 1_000,
        streamsAtServer: upstreamStreams,
        leftAtServer: await upstream.call<number>('idle'),
      },
      must: { kilobytesPerStream: ['<=', 48], hanging: ['=', 0], leftAtServer: ['=', 0] },
      aim: { kilobytesPerStream: ['<=', 32] },
      control: {
        serverKilobytesPerStream: (upstreamAfter - upstreamBefore) / OPEN_STREAMS / 1_024,
      },
    }
  },
}

async function openStreams(
  port: number,
  request: Buffer,
  count: number,
): Promise<readonly Stream[]> {
  const streams: Stream[] = []
  while (streams.length < count) {
    const some = Math.min(OPENING_AT_ONCE, count - streams.length)
    streams.push(
      ...(await Promise.all(Array.from({ length: some }, () => openStream(port, request)))),
    )
  }
  return streams
}

/** Closes the client's end and waits, bounded, until the server behind has noticed. */
async function closeStreams(streams: readonly Stream[], upstream: Upstream): Promise<void> {
  for (const { socket } of streams) socket.destroy()
  for (let turn = 0; turn < 250; turn++) {
    if ((await upstream.call<number>('idle')) === 0) return
    await pause(20)
  }
}
