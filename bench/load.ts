/**
 * A load of fixed concurrency over keep-alive sockets, bounded in time or count. Written on raw
 * sockets so that the client costs little beside the server it measures: it only finds where an
 * answer ends.
 */
import { connect, type Socket } from 'node:net'

export interface Target {
  readonly port: number
  /** The next whole HTTP/1.1 request. */
  next(): Buffer
}

export interface LoadResult {
  readonly requests: number
  readonly elapsedMs: number
  readonly latenciesMs: readonly number[]
  /** Answers by status. */
  readonly statuses: ReadonlyMap<number, number>
}

/** The requests in turn, for ever. */
export function cycle(port: number, requests: readonly Buffer[]): Target {
  let at = 0
  return {
    port,
    next() {
      const request = requests[at++ % requests.length]
      if (request === undefined) throw new Error('a load needs a request')
      return request
    },
  }
}

/** Each request once; throws when there are no more. */
export function once(port: number, requests: readonly Buffer[]): Target {
  let at = 0
  return {
    port,
    next() {
      const request = requests[at++]
      if (request === undefined) throw new Error(`all ${requests.length} requests were sent`)
      return request
    },
  }
}

/**
 * Keeps this process awake. A server that answers a sleeping client pays for waking it, several
 * microseconds on a virtual machine, and the slower server pays it more often: a cost of the
 * measurement. Only where client and server have a processor each.
 */
export async function awake<T>(work: Promise<T>): Promise<T> {
  let isOn = true
  const turn = (): void => {
    if (isOn) setImmediate(turn)
  }
  turn()
  try {
    return await work
  } finally {
    isOn = false
  }
}

/** Keeps `concurrency` requests under way for `durationMs`, then lets the last answers arrive. */
export function load(target: Target, concurrency: number, durationMs: number): Promise<LoadResult> {
  const deadlineMs = performance.now() + durationMs
  return run(target, concurrency, () => performance.now() < deadlineMs)
}

/** Sends exactly `count` requests, `concurrency` at a time. */
export function send(target: Target, concurrency: number, count: number): Promise<LoadResult> {
  let sent = 0
  return run(target, Math.min(concurrency, count), () => sent++ < count)
}

async function run(target: Target, concurrency: number, more: () => boolean): Promise<LoadResult> {
  const statuses = new Map<number, number>()
  const latenciesMs: number[] = []
  const startedMs = performance.now()
  const done = (status: number, latencyMs: number): void => {
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    latenciesMs.push(latencyMs)
  }
  await Promise.all(Array.from({ length: concurrency }, () => worker(target, more, done)))
  const elapsedMs = performance.now() - startedMs
  return { requests: latenciesMs.length, elapsedMs, latenciesMs, statuses }
}

function worker(
  target: Target,
  more: () => boolean,
  done: (status: number, latencyMs: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let sentMs = 0
    let settled = false
    const finish = (socket: Socket): void => {
      settled = true
      socket.destroy()
      resolve()
    }
    const write = (socket: Socket): void => {
      try {
        const request = target.next()
        sentMs = performance.now()
        socket.write(request)
      } catch (error) {
        settled = true
        socket.destroy()
        reject(error)
      }
    }
    const open = (): void => {
      const socket = connect(target.port, '127.0.0.1')
      let replaced = false
      socket.setNoDelay(true)
      socket.on('connect', () => write(socket))
      socket.on('error', reject)
      socket.on('close', () => {
        if (!settled && !replaced) reject(new Error(`port ${target.port} closed a connection`))
      })
      socket.on(
        'data',
        createReader((status, closes) => {
          done(status, performance.now() - sentMs)
          if (!more()) return finish(socket)
          if (!closes) return write(socket)
          replaced = true
          socket.destroy()
          open()
        }),
      )
    }
    if (more()) open()
    else resolve()
  })
}

const HEAD_END = Buffer.from('\r\n\r\n')

/** Calls back once per whole answer, by content-length or the last chunk. */
export function createReader(
  done: (status: number, closes: boolean) => void,
): (chunk: Buffer) => void {
  let pending: Buffer = Buffer.alloc(0)
  return (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    for (;;) {
      const headEnd = pending.indexOf(HEAD_END)
      if (headEnd < 0) return
      const head = pending.toString('latin1', 0, headEnd).toLowerCase()
      const bodyStart = headEnd + HEAD_END.length
      const length = /\r\ncontent-length: (\d+)/.exec(head)
      const end = length === null ? chunkedEnd(pending, bodyStart) : bodyStart + Number(length[1])
      if (end < 0 || pending.length < end) return
      pending = pending.subarray(end)
      done(Number(head.slice(9, 12)), head.includes('\r\nconnection: close'))
    }
  }
}

const LAST_CHUNK = '\r\n0\r\n\r\n'

function chunkedEnd(buffer: Buffer, from: number): number {
  const at = buffer.indexOf(LAST_CHUNK, from - 2)
  return at < 0 ? -1 : at + LAST_CHUNK.length
}

export interface RequestParts {
  readonly method?: 'GET' | 'POST'
  readonly port: number
  readonly path: string
  readonly token?: string
  readonly body?: string
}

/** One call as an MCP client sends it. */
export function mcpRequest({
  method = 'POST',
  port,
  path,
  token,
  body = '',
}: RequestParts): Buffer {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `host: 127.0.0.1:${port}`,
    'accept: application/json, text/event-stream',
    'mcp-protocol-version: 2025-11-25',
    ...(token === undefined ? [] : [`authorization: Bearer ${token}`]),
    ...(method === 'GET'
      ? []
      : ['content-type: application/json', `content-length: ${Buffer.byteLength(body)}`]),
  ]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`)
}

/** A `tools/call` whose body is `bytes` long. */
export function toolCall(bytes: number): string {
  const call = (text: string): string =>
    JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'search', arguments: { text } },
    })
  return call('x'.repeat(Math.max(0, bytes - call('').length)))
}
