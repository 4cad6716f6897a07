/**
 * A real HTTP server that can be slowed, hung, broken, killed and revived, and that counts what
 * arrives at its socket. The doubles answer behind it; whoever calls them is never told.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

const REVIVE_ATTEMPTS_MAX = 20
const REVIVE_PAUSE_MS = 50
const CLOSE_PAUSE_MS = 5

export type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

/** What everybody gets instead of an answer. `hang` stops after accept, after the headers or in the body. */
export type Fault =
  | { readonly kind: 'none' }
  | { readonly kind: 'hang'; readonly after: 'accept' | 'headers' | 'body' }
  | { readonly kind: 'reset' }
  | {
      readonly kind: 'fail'
      readonly status: number
      readonly headers: Readonly<Record<string, string>>
    }

/** An answer put in the place of the double's own. */
export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface Faults {
  readonly origin: string
  readonly port: number
  /** Waits before each answer; `back-channel` leaves pages for people alone. 0 = none. */
  slow(delayMs: number, where?: 'everywhere' | 'back-channel'): void
  hang(after?: 'accept' | 'headers' | 'body'): void
  /** Every connection is closed without an answer. */
  reset(): void
  fail(status: number, headers?: Readonly<Record<string, string>>): void
  /** The listener closes and open sockets are cut: connections are refused. */
  kill(): Promise<void>
  /** Ends every fault, and listens again on the same port after `kill`. The delay stays. */
  revive(): Promise<void>
  /** Puts an answer in the place of the double's own at `GET /user` and the like; `undefined` ends it. */
  answerWith(endpoint: string, answer: Answer | undefined): void
  state(): 'ok' | 'slow' | 'hang' | 'reset' | 'fail' | 'dead'
  delayMs(): number
  /** Exchanges that reached the socket since the last `forget`, by method and path. */
  exchanges(): Readonly<Record<string, number>>
  /** All exchanges, or those of one endpoint such as `GET /user`. */
  total(endpoint?: string): number
  forget(): void
  /** Last headers that came in at an endpoint: what the caller really sent. */
  lastHeaders(endpoint: string): Readonly<Record<string, string | string[] | undefined>> | undefined
  close(): Promise<void>
}

export interface FaultOptions {
  readonly handler: Handler
  /** Pages for people: not slowed by `back-channel`, not counted as exchanges of a program. */
  readonly isFrontChannel: (path: string) => boolean
  /** Fixed port; 0 or absent: any. */
  readonly port?: number
  /** PEM: the server speaks https. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** Replaces parts of a path that differ per call, so that counts stay few. */
  readonly nameOf?: (path: string) => string
}

export async function startFaults(options: FaultOptions): Promise<Faults> {
  let fault: Fault = { kind: 'none' }
  let delayMs = 0
  let where: 'everywhere' | 'back-channel' = 'everywhere'
  let isDead = false
  const counts = new Map<string, number>()
  const headers = new Map<string, IncomingMessage['headers']>()
  const answers = new Map<string, Answer>()

  const serve: Handler = async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://double').pathname
    const endpoint = `${request.method ?? 'GET'} ${options.nameOf?.(path) ?? path}`
    const isFront = options.isFrontChannel(path)
    if (!isFront) {
      counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
      headers.set(endpoint, request.headers)
    }
    if (fault.kind !== 'none') return applyFault(fault, response)
    if (delayMs > 0 && (where === 'everywhere' || !isFront))
      await pause(delayMs, undefined, { ref: false })
    if (response.destroyed) return
    const answer = answers.get(endpoint)
    if (answer === undefined) return await options.handler(request, response)
    response.writeHead(answer.status, answer.headers).end(answer.body)
  }
  const server = create(options, serve)
  const port = await listen(server, options.port ?? 0)
  return {
    origin: `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    slow(ms, part = 'everywhere') {
      delayMs = ms
      where = part
    },
    hang(after = 'accept') {
      fault = { kind: 'hang', after }
    },
    reset() {
      fault = { kind: 'reset' }
    },
    fail(status, extra = {}) {
      fault = { kind: 'fail', status, headers: extra }
    },
    async kill() {
      if (isDead) return
      isDead = true
      await stop(server)
    },
    async revive() {
      fault = { kind: 'none' }
      answers.clear()
      if (isDead) await listenAgain(server, port)
      isDead = false
    },
    answerWith(endpoint, answer) {
      if (answer === undefined) answers.delete(endpoint)
      else answers.set(endpoint, answer)
    },
    state: () =>
      isDead ? 'dead' : fault.kind !== 'none' ? fault.kind : delayMs > 0 ? 'slow' : 'ok',
    delayMs: () => delayMs,
    exchanges: () => Object.fromEntries(counts),
    total: (endpoint) =>
      endpoint === undefined
        ? [...counts.values()].reduce((sum, count) => sum + count, 0)
        : (counts.get(endpoint) ?? 0),
    forget() {
      counts.clear()
      headers.clear()
    },
    lastHeaders: (endpoint) => headers.get(endpoint),
    close: () => (isDead ? Promise.resolve() : stop(server)),
  }
}

function create(options: FaultOptions, serve: Handler): Server {
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    Promise.resolve(serve(request, response)).catch(() => {
      if (response.headersSent) response.destroy()
      else response.writeHead(500, { 'content-type': 'text/plain' }).end('the double failed')
    })
  }
  return options.tls === undefined
    ? createServer(onRequest)
    : createTlsServer(options.tls, onRequest)
}

function applyFault(fault: Exclude<Fault, { kind: 'none' }>, response: ServerResponse): void {
  if (fault.kind === 'reset') {
    response.socket?.resetAndDestroy()
    return
  }
  if (fault.kind === 'fail') {
    const type = { 'content-type': 'text/html; charset=utf-8' }
    response
      .writeHead(fault.status, { ...type, ...fault.headers })
      .end('<!doctype html><title>Unavailable</title>')
    return
  }
  if (fault.after === 'accept') return
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
  if (fault.after === 'headers') response.flushHeaders()
  else response.write('{"')
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject)
      resolve((server.address() as AddressInfo).port)
    })
  })
}

/** Somebody else may hold the port for a moment, such as an outgoing connection of this machine. */
async function listenAgain(server: Server, port: number): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await listen(server, port)
      return
    } catch (error) {
      if (attempt === REVIVE_ATTEMPTS_MAX) throw error
      await pause(REVIVE_PAUSE_MS)
    }
  }
}

/** The pause lets callers in this process notice that their idle connections are gone. */
async function stop(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
  await pause(CLOSE_PAUSE_MS)
}

const BODY_MAX_BYTES = 65_536

/** The whole body of a request to a double. */
export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > BODY_MAX_BYTES) throw new Error('body too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
}
