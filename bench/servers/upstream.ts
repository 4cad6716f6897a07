/**
 * The MCP server behind the gateway. `calls` answers 2 KB JSON from a bare socket, so that it costs
 * little beside what is in front of it; `streams` is a `node:http` server of event streams.
 */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { offer, readSettings } from './channel.ts'

export interface UpstreamSettings {
  /** Events of one stream and the pause before each. */
  readonly events: number
  readonly pauseMs: number
}

const BODY = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  result: { content: [{ type: 'text', text: 'x'.repeat(1_960) }], isError: false },
})
const ANSWER = Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(BODY)}\r\n\r\n${BODY}`,
)
const EVENT = `event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params: { progress: 1, message: 'x'.repeat(100) } })}\n\n`

const settings = readSettings<UpstreamSettings>()
const idle = new Set<ServerResponse>()

const calls = createServer((socket) => {
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  answerEach(socket)
})

/** Whole requests by `content-length`, one answer each. */
function answerEach(socket: Socket): void {
  let pending: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    for (;;) {
      const headEnd = pending.indexOf('\r\n\r\n')
      if (headEnd < 0) return
      const length = /\r\ncontent-length: *(\d+)/i.exec(pending.toString('latin1', 0, headEnd))
      const whole = headEnd + 4 + Number(length?.[1] ?? 0)
      if (pending.length < whole) return
      pending = pending.subarray(whole)
      socket.write(ANSWER)
    }
  })
}

const streams = createHttpServer((request, response) => {
  request.resume()
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    response.flushHeaders()
    if (request.method === 'GET') keepIdle(request, response)
    else sendEvents(response)
  })
})

function keepIdle(request: IncomingMessage, response: ServerResponse): void {
  idle.add(response)
  request.socket.once('close', () => idle.delete(response))
}

function sendEvents(response: ServerResponse): void {
  let left = settings.events
  const next = (): void => {
    if (response.destroyed) return
    left -= 1
    if (left > 0) {
      response.write(EVENT)
      setTimeout(next, settings.pauseMs)
    } else response.end(EVENT)
  }
  setTimeout(next, settings.pauseMs)
}

calls.listen(0, '127.0.0.1', () => {
  streams.listen(0, '127.0.0.1', 4_096, () => {
    offer(
      {
        callsPort: (calls.address() as AddressInfo).port,
        streamsPort: (streams.address() as AddressInfo).port,
      },
      {
        idle: () => idle.size,
        /** One event to every idle stream. */
        broadcast: () => {
          for (const response of idle) response.write(EVENT)
          return idle.size
        },
      },
    )
  })
})
