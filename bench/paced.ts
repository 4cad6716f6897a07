/**
 * An open-loop load: requests leave at their time whether or not earlier ones are answered, so that a
 * slow server shows as waiting and not as fewer requests. Latency counts from the time a request was
 * due. At most `inFlightMax` requests (default 256) are under way; what is due beyond is counted as dropped.
 */
import { connect, type Socket } from 'node:net'
import { createReader, type Target } from './load.ts'

export interface PacedResult {
  readonly sent: number
  readonly dropped: number
  readonly latenciesMs: readonly number[]
  readonly statuses: ReadonlyMap<number, number>
}

const IN_FLIGHT_MAX = 256
const TICK_MS = 1
const LAST_ANSWERS_MS = 5_000

interface Line {
  readonly socket: Socket
  dueMs: number
}

/** Sends `perSecond` requests a second until `durationMs` is over or `count` were sent. */
export async function paced(
  target: Target,
  perSecond: number,
  limits: { readonly durationMs: number; readonly count?: number; readonly inFlightMax?: number },
): Promise<PacedResult> {
  const latenciesMs: number[] = []
  const statuses = new Map<number, number>()
  const idle: Line[] = []
  const all = new Set<Socket>()
  const { inFlightMax = IN_FLIGHT_MAX } = limits
  let [sent, dropped, answered] = [0, 0, 0]

  const open = (): Line => {
    const socket = connect(target.port, '127.0.0.1')
    const line: Line = { socket, dueMs: 0 }
    all.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => all.delete(socket))
    socket.on('close', () => all.delete(socket))
    socket.on(
      'data',
      createReader((status, closes) => {
        answered += 1
        latenciesMs.push(performance.now() - line.dueMs)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        if (closes) socket.destroy()
        else idle.push(line)
      }),
    )
    return line
  }
  const send = (dueMs: number): void => {
    let line = idle.pop()
    while (line?.socket.destroyed === true) line = idle.pop()
    if (line === undefined && all.size >= inFlightMax) {
      dropped += 1
      return
    }
    line ??= open()
    line.dueMs = dueMs
    line.socket.write(target.next())
    sent += 1
  }

  const startedMs = performance.now()
  const countMax = limits.count ?? Number.POSITIVE_INFINITY
  let due = 0
  await new Promise<void>((resolve) => {
    const tick = (): void => {
      const elapsedMs = performance.now() - startedMs
      const upTo = Math.min(countMax, (Math.min(elapsedMs, limits.durationMs) * perSecond) / 1_000)
      for (; due < Math.floor(upTo); due++) send(startedMs + (due * 1_000) / perSecond)
      if (elapsedMs >= limits.durationMs || due >= countMax) resolve()
      else setTimeout(tick, TICK_MS)
    }
    tick()
  })
  const untilMs = performance.now() + LAST_ANSWERS_MS
  while (answered < sent && performance.now() < untilMs) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  for (const socket of all) socket.destroy()
  return { sent, dropped, latenciesMs, statuses }
}
