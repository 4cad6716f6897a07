/**
 * Real HTTP for tests: servers on a free port that remember the bytes they saw, and a raw client
 * that sends exactly what it is given.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

const RAW_DEADLINE_MS = 5_000

export interface Seen {
  readonly method: string
  readonly url: string
  /** As they came, name and value. */
  readonly rawHeaders: readonly string[]
  readonly headers: IncomingMessage['headers']
  body: string
  /** Length of the body, all of it. */
  bodyBytes: number
  aborted: boolean
}

export interface TestServer {
  readonly port: number
  readonly origin: string
  readonly server: Server
  readonly seen: Seen[]
  /** Requests that have no answer yet. */
  readonly running: number
  readonly runningPeak: number
  /** Connections accepted so far. */
  readonly connections: number
  respond(handler: (request: IncomingMessage, response: ServerResponse, seen: Seen) => void): void
  close(): Promise<void>
}

export type Handler = (request: IncomingMessage, response: ServerResponse, seen: Seen) => void

const answerOk: Handler = (_request, response) => {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end('{"jsonrpc":"2.0","id":1,"result":{}}')
}

/** The handler runs when the request's body is complete. */
export async function startServer(initial: Handler = answerOk): Promise<TestServer> {
  const seen: Seen[] = []
  let handler = initial
  let running = 0
  let runningPeak = 0
  let connections = 0
  const server = createServer((request, response) => {
    running += 1
    runningPeak = Math.max(runningPeak, running)
    const entry: Seen = {
      method: request.method ?? '',
      url: request.url ?? '',
      rawHeaders: request.rawHeaders,
      headers: request.headers,
      body: '',
      bodyBytes: 0,
      aborted: false,
    }
    seen.push(entry)
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      entry.bodyBytes += chunk.length
    })
    request.on('end', () => {
      entry.body = Buffer.concat(chunks).toString('latin1')
      handler(request, response, entry)
    })
    response.on('close', () => {
      running -= 1
      if (!response.writableFinished) entry.aborted = true
    })
  })
  server.on('connection', () => {
    connections += 1
  })
  const port = await listen(server)
  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    server,
    seen,
    get running() {
      return running
    },
    get runningPeak() {
      return runningPeak
    },
    get connections() {
      return connections
    },
    respond(next) {
      handler = next
    },
    close: () => closeServer(server),
  }
}

export async function listen(server: Server | import('node:net').Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

export interface RawAnswer {
  /** 0: the connection was closed without an answer. */
  readonly status: number
  readonly head: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly text: string
}

/** Sends bytes as they are and reads one answer (the first that is not 1xx), or until close. */
export async function raw(port: number, request: string | Buffer): Promise<RawAnswer> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  try {
    socket.write(typeof request === 'string' ? Buffer.from(request, 'latin1') : request)
    return parseAnswer(await readUntil(socket, isWhole))
  } finally {
    socket.destroy()
  }
}

export interface Line {
  readonly socket: Socket
  readonly text: string
  readonly closed: boolean
  send(text: string): void
}

/** An open connection that collects what comes. */
export function dial(port: number, first: string): Line {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  let closed = false
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  socket.on('close', () => {
    closed = true
  })
  socket.write(first, 'latin1')
  return {
    socket,
    get text() {
      return text
    },
    get closed() {
      return closed
    },
    send: (more) => {
      socket.write(more, 'latin1')
    },
  }
}

/** Reads until `enough` says so, the socket ends, or a bounded time is over. */
export function readUntil(socket: Socket, enough: (text: string) => boolean): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    const done = (): void => {
      clearTimeout(timer)
      socket.off('data', read)
      resolve(text)
    }
    const read = (chunk: Buffer): void => {
      text += chunk.toString('latin1')
      if (enough(text)) done()
    }
    const timer = setTimeout(done, RAW_DEADLINE_MS)
    socket.on('data', read)
    socket.once('close', done)
  })
}

function isWhole(text: string): boolean {
  const answer = splitAnswer(text)
  if (answer === undefined) return false
  const { headers, body, status } = answer
  if (status === 204 || status === 304) return true
  const length = headers['content-length']
  if (length !== undefined) return body.length >= Number(length)
  if (headers['transfer-encoding'] === 'chunked') return body.endsWith('0\r\n\r\n')
  return false
}

export function parseAnswer(text: string): RawAnswer {
  const found = splitAnswer(text)
  if (found === undefined) return { status: 0, head: '', headers: {}, body: '', text }
  const body = found.headers['transfer-encoding'] === 'chunked' ? unchunk(found.body) : found.body
  return { ...found, body, text }
}

function splitAnswer(text: string): Omit<RawAnswer, 'text'> | undefined {
  let rest = text
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) return undefined
    const head = rest.slice(0, end)
    const status = Number(head.split(' ')[1])
    if (status >= 100 && status < 200) {
      rest = rest.slice(end + 4)
      continue
    }
    const headers: Record<string, string> = {}
    for (const line of head.split('\r\n').slice(1)) {
      const colon = line.indexOf(':')
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
    }
    return { status, head, headers, body: rest.slice(end + 4) }
  }
}

function unchunk(text: string): string {
  let body = ''
  let rest = text
  for (;;) {
    const end = rest.indexOf('\r\n')
    const length = end < 0 ? 0 : Number.parseInt(rest.slice(0, end), 16)
    if (!(length > 0)) return body
    body += rest.slice(end + 2, end + 2 + length)
    rest = rest.slice(end + 4 + length)
  }
}

/** A request in HTTP/1.1 bytes, with `content-length` unless `headers` frame it themselves. */
export function request(
  method: string,
  target: string,
  headers: readonly string[],
  body = '',
): string {
  const framed = headers.some((line) => /^(content-length|transfer-encoding):/i.test(line))
  const length =
    framed || (body === '' && method !== 'POST') ? [] : [`Content-Length: ${body.length}`]
  return [`${method} ${target} HTTP/1.1`, ...headers, ...length, '', body].join('\r\n')
}

/** Polls a condition of the world outside, bounded; for sockets, which have no other clock. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what = 'condition',
): Promise<void> {
  for (let turn = 0; turn < 1_000; turn += 1) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`${what} did not come true in time`)
}
