/**
 * The server behind a gateway, on a bare socket: every byte that reached it, every request that was
 * whole, and an answer that is sent exactly as the test wrote it. Nothing repairs what comes or goes.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

export interface Echoed {
  readonly method: string
  readonly target: string
  /** As they came: name and value of each line. */
  readonly lines: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

export interface Echo {
  readonly url: string
  readonly port: number
  /** Requests that arrived to their last byte. */
  readonly whole: Echoed[]
  readonly bytes: number
  readonly connections: number
  /** Bytes to answer with; `undefined`: cut. Default: 200 with a JSON-RPC result. */
  answer: (request: Echoed) => string | undefined
  /** Each connection ends after its answer. Default false. */
  endsAfter: boolean
  close(): Promise<void>
}

const RESULT = '{"jsonrpc":"2.0","id":1,"result":{}}'
const CLOSED_DEADLINE_MS = 4_000

export function okAnswer(body = RESULT, lines: readonly string[] = []): string {
  const head = ['HTTP/1.1 200 OK', 'Content-Type: application/json', ...lines]
  return `${head.join('\r\n')}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

export async function startEcho(): Promise<Echo> {
  const whole: Echoed[] = []
  const sockets = new Set<Socket>()
  const counts = { bytes: 0, connections: 0 }
  const server = createServer((socket) => {
    counts.connections += 1
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => sockets.delete(socket))
    let pending = ''
    socket.on('data', (chunk: Buffer) => {
      counts.bytes += chunk.length
      pending += chunk.toString('latin1')
      for (let next = takeRequest(pending); next !== undefined; next = takeRequest(pending)) {
        pending = next.rest
        whole.push(next.request)
        const answer = echo.answer(next.request)
        if (answer === undefined) socket.destroy()
        else if (echo.endsAfter) socket.end(answer, 'latin1')
        else socket.write(answer, 'latin1')
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
  onTestFinished(close)
  const echo: Echo = {
    url: `http://127.0.0.1:${port}/mcp`,
    port,
    whole,
    get bytes() {
      return counts.bytes
    },
    get connections() {
      return counts.connections
    },
    answer: () => okAnswer(),
    endsAfter: false,
    close,
  }
  return echo
}

function takeRequest(text: string): { request: Echoed; rest: string } | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const [start = '', ...rows] = text.slice(0, end).split('\r\n')
  const [method = '', target = ''] = start.split(' ')
  const lines = rows.map((row): readonly [string, string] => {
    const colon = row.indexOf(':')
    return [row.slice(0, colon), row.slice(colon + 1).trim()]
  })
  const lineOf = (name: string) => lines.find(([each]) => each.toLowerCase() === name)?.[1]
  const rest = text.slice(end + 4)
  const body =
    lineOf('transfer-encoding') === undefined
      ? takeLength(rest, Number(lineOf('content-length') ?? 0))
      : takeChunks(rest)
  return body && { request: { method, target, lines, body: body.body }, rest: body.rest }
}

function takeLength(text: string, length: number): { body: string; rest: string } | undefined {
  return text.length < length
    ? undefined
    : { body: text.slice(0, length), rest: text.slice(length) }
}

function takeChunks(text: string): { body: string; rest: string } | undefined {
  let body = ''
  let rest = text
  for (;;) {
    const end = rest.indexOf('\r\n')
    if (end < 0) return undefined
    const length = Number.parseInt(rest.slice(0, end), 16)
    if (rest.length < end + 4 + length) return undefined
    if (length === 0) return { body, rest: rest.slice(end + 4) }
    body += rest.slice(end + 2, end + 2 + length)
    rest = rest.slice(end + 4 + length)
  }
}

export interface Spoken {
  /** All that came back. */
  readonly text: string
  /** Of each answer in `text`, in order; 1xx left out. */
  readonly statuses: readonly number[]
  /** The other side ended the connection. */
  readonly closed: boolean
}

/**
 * Sends bytes as they are and reads until `enough`, or the other side closes, or four seconds.
 * @param half Ours is closed after the bytes, as by a client that gave up half-way.
 */
export async function speak(
  port: number,
  bytes: string,
  enough: (text: string) => boolean = () => false,
  half = false,
): Promise<Spoken> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let text = ''
  let closed = false
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, CLOSED_DEADLINE_MS)
    const end = (): void => {
      closed = true
      clearTimeout(timer)
      resolve()
    }
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (!enough(text)) return
      clearTimeout(timer)
      resolve()
    })
    socket.once('end', end)
    socket.once('close', end)
    socket.write(bytes, 'latin1')
    if (half) socket.end()
  })
  socket.destroy()
  const statuses = [...text.matchAll(/(?:^|\r\n\r\n|[^\r\n])HTTP\/1\.1 ([2-5]\d\d) /g)].map(
    (each) => Number(each[1]),
  )
  return { text, statuses, closed }
}
