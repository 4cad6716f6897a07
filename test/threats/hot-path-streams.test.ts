/** The traps of the hot path (hot-path.md section 9), each on real sockets: streams and drain. */
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { EventBoundary } from '../../src/gateway/event-boundary.ts'
import { createNodeEmit } from '../../src/node/emit.ts'
import { type GatewayOptions, startGateway, type TestGateway } from '../kit/gateway.ts'
import {
  dial,
  type Line,
  parseAnswer,
  raw,
  request,
  startServer,
  type TestServer,
  until,
} from '../kit/http.ts'

const LONG = process.env.POSTERN_TEST_LONG === '1'
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface World {
  server: TestServer
  house: TestGateway
  authorization: string
  /** Open event streams at the server behind. */
  streams: ServerResponse[]
}

async function start(options: Partial<GatewayOptions> = {}): Promise<World> {
  const streams: ServerResponse[] = []
  const server = await startServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    streams.push(response)
  })
  const house = await startGateway({
    connectors: [{ name: 'c1', url: `${server.origin}/mcp` }],
    tickMs: 5,
    ...options,
  })
  closing.push(
    () => server.close(),
    () => house.close(),
  )
  return { server, house, streams, authorization: `Authorization: Bearer ${house.token()}` }
}

const CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}'
const post = ({ house, authorization }: World, body = CALL) =>
  request('POST', '/mcp/c1', [house.host, authorization, 'Content-Type: application/json'], body)
const get = ({ house, authorization }: World) =>
  request('GET', '/mcp/c1', [house.host, authorization, 'Accept: text/event-stream'])

async function openStream(
  world: World,
  text = get(world),
): Promise<{ line: Line; upstream: ServerResponse }> {
  const before = world.streams.length
  const line = dial(world.house.port, text)
  await until(() => world.streams.length > before && line.text.includes('\r\n\r\n'), 'stream')
  const upstream = world.streams[before]
  if (upstream === undefined) throw new Error('no stream')
  return { line, upstream }
}

describe('hot path: streams', () => {
  it('GW-16: the first event arrives before the server sends the second, unbuffered and uncoded', async () => {
    const world = await start()
    const { line, upstream } = await openStream(world, post(world))
    expect(line.text.toLowerCase()).toContain('x-accel-buffering: no')
    expect(world.server.seen[0]?.headers['accept-encoding']).toBe('identity')
    upstream.write('data: one\n\n')
    await until(() => line.text.includes('data: one\n\n'))
    expect(line.text).not.toContain('two')
    upstream.end('data: two\n\n')
    await until(() => line.text.includes('0\r\n\r\n'))
    expect(parseAnswer(line.text).body).toBe('data: one\n\ndata: two\n\n')
  })

  it("GW-15, X3: a client that leaves closes the server's stream, before and after its head", async () => {
    const world = await start()
    const { line } = await openStream(world, post(world))
    line.socket.destroy()
    await until(() => world.server.seen[0]?.aborted === true, 'abort')
    world.server.respond(() => {})
    const early = dial(world.house.port, post(world))
    await until(() => world.server.seen.length === 2)
    early.socket.destroy()
    await until(() => world.server.seen[1]?.aborted === true, 'abort')
    expect(world.house.upstreams.counts(upstreamOf(world))).toMatchObject({ calls: 0, streams: 0 })
  })

  it('X4: a server that vanishes mid-stream leaves a cut answer, never a whole one', async () => {
    const world = await start()
    const { line, upstream } = await openStream(world)
    upstream.write('data: one\n\n')
    await until(() => line.text.includes('one'))
    upstream.socket?.destroy()
    await until(() => line.closed)
    expect(line.text.endsWith('0\r\n\r\n')).toBe(false)
  })

  it('X1: a slow reader slows the server down, and memory stays bounded', async () => {
    const world = await start()
    const { line, upstream } = await openStream(world)
    line.socket.pause()
    const chunk = Buffer.from(`data: ${'x'.repeat(65_528)}\n\n`)
    let written = 0
    const fill = (): void => {
      while (written < 64 * 1024 * 1024) {
        written += chunk.length
        if (!upstream.write(chunk)) return
      }
    }
    upstream.on('drain', fill)
    fill()
    let seen = 0
    let unchanged = 0
    await until(() => {
      unchanged = written === seen ? unchanged + 1 : 0
      seen = written
      return unchanged >= 40
    }, 'the server stands still')
    // What the kernel's buffers of three sockets take, and no more.
    expect(written).toBeGreaterThan(0)
    expect(written).toBeLessThan(32 * 1024 * 1024)
    line.socket.destroy()
    await until(() => upstream.destroyed)
  })

  it("X2: a stream ends after a revocation and after its token's expiry", async () => {
    const world = await start()
    const revoked = await openStream(world)
    revoked.upstream.write('data: one\n\n')
    await until(() => revoked.line.text.includes('one'))
    world.house.revoked.add('grt_ada_cli_1_c1')
    world.house.carrier.recheck()
    await until(() => revoked.line.text.endsWith('0\r\n\r\n'), 'end')
    await until(() => world.server.seen[0]?.aborted === true)
    world.house.revoked.clear()
    const expired = await openStream(world)
    world.house.advanceMs(601_000)
    await until(() => expired.line.text.endsWith('0\r\n\r\n'), 'end')
    expect(world.house.carrier.openStreams).toBe(0)
  })

  it('X2: inside an event a revoked stream is given a moment, then cut', async () => {
    const world = await start()
    const { line, upstream } = await openStream(world)
    upstream.write('data: {"half":')
    await until(() => line.text.includes('half'))
    world.house.revoked.add('grt_ada_cli_1_c1')
    world.house.carrier.recheck()
    expect(line.closed).toBe(false)
    world.house.advanceMs(3_000)
    await until(() => line.closed)
    expect(line.text.endsWith('0\r\n\r\n')).toBe(false)
  })

  it('T8, X5: a comment never stands inside an event', async () => {
    const world = await start({ keepAliveMs: 15 })
    const { line, upstream } = await openStream(world)
    const pieces = [
      'data: {"a":',
      '1}\n',
      '\ndata: x\r\n',
      '\r\n',
      'id: 7\rdata: y\r',
      '\r',
      'data: last',
      '\n\n',
    ]
    for (const piece of pieces) {
      upstream.write(piece)
      await new Promise((resolve) => setTimeout(resolve, 35))
    }
    await until(() => line.text.split(': keep-alive').length > 3, 'comments')
    upstream.end()
    await until(() => line.text.endsWith('0\r\n\r\n'))
    const body = parseAnswer(line.text).body
    expect(eventsOf(body)).toEqual(eventsOf(pieces.join('')))
    expect(eventsOf(body)).toEqual(['data: {"a":1}', 'data: x', 'id: 7|data: y', 'data: last'])
  })

  it('T8: whatever the split, a boundary is only where a parser sees one', () => {
    const samples = [
      'data: a\n\n',
      'data: b\r\n\r\n',
      'data: c\r\r',
      ': c\n\n\n',
      'event: x\ndata: y\r\n\n',
    ]
    const text = samples.join('')
    for (let cut = 1; cut < text.length; cut += 1) {
      const boundary = new EventBoundary()
      boundary.read(Buffer.from(text.slice(0, cut)))
      if (!boundary.between) continue
      const joined = `${text.slice(0, cut)}: ka\n\n${text.slice(cut)}`
      expect([cut, eventsOf(joined)]).toEqual([cut, eventsOf(text)])
    }
  })

  it('T8: a coded stream gets no comment', async () => {
    const world = await start({ keepAliveMs: 5 })
    world.server.respond((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'br' })
      response.write('\n\n')
      world.streams.push(response)
    })
    const { line } = await openStream(world)
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(line.text).not.toContain('keep-alive\n')
  })

  it('GW-27: streams of one user are limited, and places are given back', async () => {
    const world = await start({ limits: { streamsPerUserMax: 2 } })
    const first = await openStream(world)
    await openStream(world, post(world))
    expect((await raw(world.house.port, get(world))).status).toBe(429)
    expect((await raw(world.house.port, post(world))).status).toBe(429)
    first.line.socket.destroy()
    await until(() => world.house.carrier.openStreams === 1)
    await openStream(world)
  })

  it('T17: aborts do not flood the log', async () => {
    let lines = 0
    const emit = createNodeEmit({ write: () => (lines += 1) })
    emit.configure({ level: 'info', format: 'json' }, undefined)
    const world = await start({ emit, limits: { streamsPerUserMax: 10_000 } })
    const count = LONG ? 1_000 : 100
    for (let turn = 0; turn < count; turn += 1) {
      const { line } = await openStream(world)
      line.socket.destroy()
    }
    await until(() => world.house.carrier.openStreams === 0)
    expect(lines).toBeLessThanOrEqual(1)
  })

  it('T11, P10: streams open without one hanging, three times, and leave no clients behind', async () => {
    const count = Math.min(LONG ? 5_000 : 500, Math.floor((openFilesMax() - 200) / 4))
    const world = await start({ limits: { streamsPerUserMax: 10_000 }, tickMs: 1_000 })
    for (let round = 0; round < 3; round += 1) {
      const lines: Line[] = []
      while (lines.length < count) {
        // In groups, as a listen queue takes them.
        const target = Math.min(count, lines.length + 250)
        while (lines.length < target) lines.push(dial(world.house.port, get(world)))
        await until(() => world.house.carrier.openStreams === target, `${target} streams`)
      }
      for (const line of lines) line.socket.destroy()
      await until(() => world.house.carrier.openStreams === 0, 'all closed')
      await until(() => world.server.running === 0, 'all closed behind')
    }
    expect(world.house.upstreams.counts(upstreamOf(world))).toEqual({
      calls: 0,
      streams: 0,
      clients: expect.toSatisfy((clients: number) => clients <= 256),
    })
  }, 60_000)
})

describe('hot path: drain', () => {
  it('T5, K12: an answer in flight arrives, silent and idle sockets go, streams end between events', async () => {
    const world = await start()
    const { house, server } = world
    const stream = await openStream(world)
    stream.upstream.write('data: one\n\n')
    await until(() => stream.line.text.includes('one'))
    let answer: (() => void) | undefined
    server.respond((_request, response) => {
      answer = () => response.end('{"late":true}')
    })
    const idle = dial(house.port, '')
    const silent = dial(house.port, '')
    const flight = dial(house.port, post(world))
    await until(() => answer !== undefined)
    const drained = house.carrier.drain(10_000)
    await until(() => silent.closed && idle.closed && stream.line.closed, 'idle ones closed')
    expect(parseAnswer(stream.line.text).body).toBe('data: one\n\n: draining\nretry: 1000\n\n')
    expect(stream.line.text.endsWith('0\r\n\r\n')).toBe(true)
    answer?.()
    await until(() => flight.closed)
    expect(flight.text).toContain('{"late":true}')
    expect(flight.text.toLowerCase()).toContain('connection: close')
    await drained
    const refused = dial(house.port, post(world))
    await until(() => refused.closed)
    expect(refused.text).toBe('')
  })

  it('T5: what does not end by the deadline is cut', async () => {
    const world = await start()
    world.server.respond(() => {})
    const stuck = dial(world.house.port, post(world))
    await until(() => world.server.seen.length === 1)
    await world.house.carrier.drain(50)
    await until(() => stuck.closed)
  })
})

function upstreamOf({ server }: World) {
  return { name: 'c1', origin: server.origin, addresses: 'approved' } as const
}

/** Fields of each event, as a parser of WHATWG HTML section 9.2 sees them; comments dropped. */
function eventsOf(text: string): string[] {
  const events: string[] = []
  let fields: string[] = []
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (line === '') {
      if (fields.length > 0) events.push(fields.join('|'))
      fields = []
    } else if (!line.startsWith(':')) fields.push(line)
  }
  return events
}

function openFilesMax(): number {
  try {
    const found = /Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))
    return Number(found?.[1] ?? 1_024)
  } catch {
    return 1_024
  }
}
