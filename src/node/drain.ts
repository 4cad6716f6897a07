/**
 * Ends servers without losing an answer (hot-path.md section 7, K12).
 *
 * Stops accepting; answers that have not started say `Connection: close`; idle sockets and sockets
 * that never sent a request are closed; idle streams end at once, streams of a running call when
 * the call has had its time; what is left at the deadline is cut.
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { OpenStreams } from './open-streams.ts'

/** Longer than the idle time of common balancers (60 s), so that they close first. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000
const HEADERS_TIMEOUT_MS = 60_000
const REQUEST_TIMEOUT_MS = 300_000
/** Sockets of one listener; each costs some kilobytes. Beyond, a new one is closed at once (D2). */
const CONNECTIONS_MAX = 20_000
const SWEEP_MS = 50
/** Before the deadline, streams of running calls are asked to end. */
const STREAMS_END_BEFORE_MS = 2_500

export interface TrackedServer {
  readonly server: Server
  readonly sockets: ReadonlySet<Socket>
}

export function trackServer(server: Server): TrackedServer {
  server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS
  server.headersTimeout = HEADERS_TIMEOUT_MS
  server.requestTimeout = REQUEST_TIMEOUT_MS
  server.maxConnections = CONNECTIONS_MAX
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return { server, sockets }
}

/** @param served Settles when nothing is left to answer. Default: when these servers have closed. */
export async function drainServers(
  servers: readonly TrackedServer[],
  streams: OpenStreams,
  deadlineMs: number,
  served: Promise<unknown> = Promise.all(servers.map(({ server }) => closeOf(server))),
): Promise<void> {
  const sweep = (): void => {
    for (const { server, sockets } of servers) {
      server.closeIdleConnections()
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
    }
  }
  streams.drain('idle')
  sweep()
  const timers = [
    setInterval(sweep, SWEEP_MS),
    setTimeout(() => streams.drain('all'), Math.max(0, deadlineMs - STREAMS_END_BEFORE_MS)),
    setTimeout(() => {
      for (const { server } of servers) server.closeAllConnections()
    }, deadlineMs),
  ]
  await served
  for (const timer of timers) clearTimeout(timer)
}

function closeOf(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) resolve()
    else server.close(() => resolve())
  })
}
