/** Hostile event streams of a server behind (threats.md section 4, B8): bounded memory, bounded time, nobody else's. */
import type { ServerResponse } from 'node:http'
import { describe, expect, it } from 'vitest'
import {
  type ConnectionHouse,
  MODERN,
  modernCall,
  startConnectionHouse,
} from '../kit/connection-house.ts'
import { checkFamily, countOf, createDraw, type Draw } from '../kit/family.ts'
import { dial, request, until } from '../kit/http.ts'

const FAMILY_COUNT = 80
const FLOOD_BYTES = 64 * 1024 * 1024
/** What the kernel keeps for three sockets, and no more. */
const KEPT_BYTES = 32 * 1024 * 1024

/** How the second carrier cuts an answer is its runtime's. */
const ENDS = { node: ['end', 'destroy', 'hang'], fetch: ['end', 'hang'] } as const

interface Script {
  readonly chunks: readonly Buffer[]
  readonly end: 'end' | 'destroy' | 'hang'
  readonly headers: Readonly<Record<string, string>>
}

const foreign = (message: object): string =>
  `data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`

const PIECES: readonly ((draw: Draw) => string | Buffer)[] = [
  () => 'data: x\n\n',
  (draw) => `id: ${draw.pick(['7', 'somebody-elses', '\0', 'x'.repeat(9_000)])}\n`,
  (draw) => `retry: ${draw.pick(['0', '-1', '99999999999999999999', 'x'])}\n`,
  () => `:${'c'.repeat(10_000)}\n`,
  () => '\ufeffdata: bom\n\n',
  () => '\r\r\r\r',
  () => '\r\n\r\n\n\r\n\r',
  () => 'event: \0\ndata\n\n',
  () => Buffer.from([0xff, 0xfe, 0x80, 0x0a, 0x0a, 0xed, 0xa0, 0x80, 0x0a]),
  () => `data: ${'x'.repeat(1_000_000)}\n\n`,
  () => 'data: a\n\n'.repeat(5_000),
  () => `data: ${'['.repeat(50_000)}\n\n`,
  () => foreign({ id: 7, result: { content: [] } }).repeat(3),
  () => foreign({ id: 'somebody-elses', result: {} }),
  () => foreign({ id: 1, method: 'sampling/createMessage', params: {} }),
  () => foreign({ method: 'notifications/tools/list_changed' }),
  () => foreign({ id: 7, result: { resultType: 'input_required', requestState: 'prs1_forged' } }),
  () => 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  () => '',
]

function script(draw: Draw, index: number, ends: readonly Script['end'][]): Script {
  const text = Buffer.concat(
    Array.from({ length: 1 + draw.whole(6) }, () => Buffer.from(draw.pick(PIECES)(draw))),
  )
  const chunks: Buffer[] = []
  for (let at = 0; at < text.length; ) {
    // Ends inside lines, characters and line ends.
    const size = chunks.length > 150 ? text.length : 1 + draw.whole(draw.pick([2, 7, 100, 70_000]))
    chunks.push(text.subarray(at, at + size))
    at += size
  }
  return {
    chunks,
    end: ends[index % ends.length] ?? 'end',
    headers: draw.pick<Readonly<Record<string, string>>>([
      {},
      { 'content-type': 'text/event-stream; charset=utf-16' },
      { 'cache-control': 'public, max-age=999' },
      { 'x-accel-buffering': 'yes', 'set-cookie': 'a=1' },
      { 'content-encoding': 'identity' },
    ]),
  }
}

function play({ chunks, end, headers }: Script, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', ...headers })
  response.flushHeaders()
  const left = [...chunks]
  const next = (): void => {
    const chunk = left.shift()
    if (response.destroyed) return
    if (chunk === undefined) {
      if (end === 'end') response.end()
      else if (end === 'destroy') response.destroy()
      return
    }
    // One write, one packet: as the server cut it.
    response.write(chunk, () => setImmediate(next))
  }
  next()
}

async function judge(world: ConnectionHouse, one: Script): Promise<void> {
  world.server.respond((_request, response, seen) => {
    if (seen.body.includes('"plain"')) response.writeHead(200).end('{"plain":true}')
    else play(one, response)
  })
  const whole = Buffer.concat(one.chunks)
  const leaving = new AbortController()
  const onData = (bytes: number): void => {
    if (one.end === 'hang' && bytes >= whole.length) leaving.abort()
  }
  if (one.end === 'hang' && whole.length === 0) setImmediate(() => leaving.abort())
  const told = await world
    .send(modernCall(), { headers: MODERN, signal: leaving.signal, onData })
    .catch(() => undefined)
  if (one.end === 'end') {
    expect(told?.status).toBe(200)
    expect(told?.bytes.equals(whole)).toBe(true)
    expect(told?.headers).toMatchObject({
      'x-accel-buffering': 'no',
      'cache-control': expect.stringMatching(/private|no-store/),
    })
    expect(told?.headers['set-cookie']).toBeUndefined()
  } else expect(told, 'cut is never whole').toBeUndefined()
  await until(() => world.server.running === 0, 'the exchange behind is over')
  // The next call of somebody else finds nothing of it.
  const other = await world.send(
    { ...modernCall(), plain: true, params: { name: 'plain' } },
    { user: 'bob' },
  )
  expect(other.text).toBe('{"plain":true}')
}

describe.each(['node', 'fetch'] as const)('B8: hostile event streams, carrier %s', (carrier) => {
  it('B8, O14: pass as they are, end when a side does, and leave nothing to the next caller', async () => {
    const world = await startConnectionHouse({ carrier })
    for (const user of ['ada', 'bob']) world.connect(user)
    const draw = createDraw()
    const cases = Array.from({ length: countOf(FAMILY_COUNT) }, (_, index) =>
      script(draw, index, ENDS[carrier]),
    )
    await checkFamily('B8', cases, (one) => judge(world, one))
    if (carrier === 'node') expect(world.house.carrier.openStreams).toBe(0)
    await world.close()
  }, 120_000)

  it('B8, X1: a flood of small events to a reader that stopped stands still, and ends with the reader', async () => {
    const world = await startConnectionHouse({ carrier })
    world.connect('ada')
    let written = 0
    let upstream: ServerResponse | undefined
    world.server.respond((_request, response) => {
      upstream = response
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const events = Buffer.from('id: 1\ndata: x\n\n'.repeat(4_096))
      const fill = (): void => {
        while (written < FLOOD_BYTES && !response.destroyed) {
          written += events.length
          if (!response.write(events)) return
        }
      }
      response.on('drain', fill)
      fill()
    })
    const lines = [
      world.house.host,
      `Authorization: Bearer ${world.ourToken()}`,
      'Content-Type: application/json',
    ]
    const line = dial(
      world.house.port,
      request('POST', '/mcp/notes', lines, JSON.stringify(modernCall())),
    )
    line.socket.pause()
    let seen = -1
    let unchanged = 0
    await until(() => {
      unchanged = written === seen && written > 0 ? unchanged + 1 : 0
      seen = written
      return unchanged >= 40
    }, 'the server stands still')
    expect(written).toBeLessThan(KEPT_BYTES)
    line.socket.destroy()
    await until(() => upstream?.destroyed === true, 'the server is told')
    await world.close()
  }, 60_000)
})
