/**
 * A load of fixed concurrency over keep-alive sockets, bounded in time. Written on raw sockets so that
 * the client costs little beside the server it measures: it only finds where an answer ends.
 */
import { connect, type Socket } from 'node:net'

export interface Target {
  readonly host: string
  readonly port: number
  /** Whole HTTP/1.1 requests, sent in turn. */
  readonly requests: readonly Buffer[]
}

export interface LoadResult {
  readonly requests: number
  readonly elapsedMs: number
  readonly latenciesMs: readonly number[]
  /** Answers by status. */
  readonly statuses: ReadonlyMap<number, number>
}

/** Keeps `concurrency` requests under way for `durationMs`, then lets the last answers arrive. */
export async function load(target: Target, concurrency: number, durationMs: number): Promise<LoadResult> {
  const statuses = new Map<number, number>()
  const latenciesMs: number[] = []
  const startedMs = performance.now()
  const deadlineMs = startedMs + durationMs
  const cursor = { next: 0 }
  await Promise.all(
    Array.from({ length: concurrency }, () =>
      worker(target, cursor, deadlineMs, (status, latencyMs) => {
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        latenciesMs.push(latencyMs)
      }),
    ),
  )
  return { requests: latenciesMs.length, elapsedMs: performance.now() - startedMs, latenciesMs, statuses }
}

/** Sends exactly `count` requests, `concurrency` at a time. */
export async function send(target: Target, concurrency: number, count: number): Promise<LoadResult> {
  const statuses = new Map<number, number>()
  const latenciesMs: number[] = []
  const startedMs = performance.now()
  const cursor = { next: 0, last: count }
  await Promise.all(
    Array.from({ length: Math.min(concurrency, count) }, () =>
      worker(target, cursor, Number.POSITIVE_INFINITY, (status, latencyMs) => {
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        latenciesMs.push(latencyMs)
      }),
    ),
  )
  return { requests: latenciesMs.length, elapsedMs: performance.now() - startedMs, latenciesMs, statuses }
}

function worker(
  target: Target,
  cursor: { next: number; last?: number },
  deadlineMs: number,
  done: (status: number, latencyMs: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const open = () => {
      const socket = connect(target.port, target.host)
      socket.setNoDelay(true)
      const reader = createReader((status, closes) => {
        done(status, performance.now() - sentMs)
        if (closes) {
          socket.destroy()
          if (more()) open()
          else resolve()
        } else if (more()) write(socket)
        else {
          socket.destroy()
          resolve()
        }
      })
      socket.on('connect', () => write(socket))
      socket.on('data', reader)
      socket.on('error', reject)
    }
    let sentMs = 0
    const more = () => performance.now() < deadlineMs && cursor.next < (cursor.last ?? Number.POSITIVE_INFINITY)
    const write = (socket: Socket) => {
      const request = target.requests[cursor.next++ % target.requests.length]
      sentMs = performance.now()
      if (request !== undefined) socket.write(request)
    }
    if (more()) open()
    else resolve()
  })
}

const HEAD_END = Buffer.from('\r\n\r\n')

/** Calls back once per whole answer, by content-length or the last chunk. */
function createReader(done: (status: number, closes: boolean) => void): (chunk: Buffer) => void {
  let pending: Buffer = Buffer.alloc(0)
  return (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    for (;;) {
      const headEnd = pending.indexOf(HEAD_END)
      if (headEnd < 0) return
      const head = pending.latin1Slice(0, headEnd).toLowerCase()
      const bodyStart = headEnd + 4
      const length = /\r\ncontent-length: (\d+)/.exec(head)
      const end = length === null ? chunkedEnd(pending, bodyStart) : bodyStart + Number(length[1])
      if (end < 0 || pending.length < end) return
      pending = pending.subarray(end)
      done(Number(head.slice(9, 12)), head.includes('\r\nconnection: close'))
    }
  }
}

function chunkedEnd(buffer: Buffer, from: number): number {
  const at = buffer.indexOf('0\r\n\r\n', from)
  return at < 0 ? -1 : at + 5
}

/** One request as bytes. */
export function httpRequest(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body = '',
): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const length = body === '' ? '' : `content-length: ${Buffer.byteLength(body)}\r\n`
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}${length}\r\n${body}`)
}
