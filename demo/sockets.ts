/**
 * What arrives at the sockets of the demo's servers, seen from their side: each exchange with its
 * times and who made it. Neither Postern nor the old way is asked what they did.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage } from 'node:http'

const KEPT_EXCHANGES_MAX = 4_000
/** Carries the number of a measured call through every server, as a trace header would. */
export const CALL_HEADER = 'x-demo-call'

export interface Exchange<Name extends string = string> {
  readonly at: Name
  readonly path: string
  readonly userAgent: string
  /** Opened by a person's browser. */
  readonly isPage: boolean
  readonly call?: string
  readonly startedMs: number
  /** Both absent while it runs; `status` 0: cut off. */
  endedMs?: number
  status?: number
}

export interface Sockets<Name extends string> {
  /** The newest, oldest first. */
  exchanges(): readonly Exchange<Name>[]
  /** A server that started later. */
  watch(name: Name, port: number): void
  close(): void
}

export function watchSockets<Name extends string>(): Sockets<Name> {
  const names = new Map<number, Name>()
  const running = new WeakMap<IncomingMessage, Exchange<Name>>()
  let kept: Exchange<Name>[] = []
  const end = (request: IncomingMessage, status: number): void => {
    const exchange = running.get(request)
    if (exchange === undefined) return
    running.delete(request)
    exchange.endedMs = performance.now()
    exchange.status = status
  }
  const onRequest = (message: unknown): void => {
    const { request } = message as { request: IncomingMessage }
    const at = names.get(request.socket.localPort ?? 0)
    if (at === undefined) return
    const { headers } = request
    const call = headers[CALL_HEADER]
    const exchange: Exchange<Name> = {
      at,
      path: (request.url ?? '/').replace(/\?.*$/s, ''),
      userAgent: headers['user-agent'] ?? '',
      isPage: headers.accept?.startsWith('text/html') === true,
      ...(typeof call === 'string' ? { call } : {}),
      startedMs: performance.now(),
    }
    kept.push(exchange)
    if (kept.length > KEPT_EXCHANGES_MAX) kept = kept.slice(-KEPT_EXCHANGES_MAX / 2)
    running.set(request, exchange)
  }
  const onFinish = (message: unknown): void => {
    const { request, response } = message as {
      request: IncomingMessage
      response: { statusCode: number }
    }
    end(request, response.statusCode)
  }
  subscribe('http.server.request.start', onRequest)
  subscribe('http.server.response.finish', onFinish)
  return {
    exchanges: () => kept,
    watch: (name, port) => void names.set(port, name),
    close() {
      unsubscribe('http.server.request.start', onRequest)
      unsubscribe('http.server.response.finish', onFinish)
    },
  }
}
