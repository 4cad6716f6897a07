/**
 * Refusals at a pace (C7, D3, A16): beyond a tenth of `refusalsPerSecondMax` at once, a network gets
 * its refusals one by one at that rate. A flood over few connections so slows itself down, and nobody
 * who is answered well waits, not even behind the same address.
 *
 * Where the client's address is not known each connection counts for itself.
 */
import type { IncomingMessage } from 'node:http'
import { networkOf } from '../issuer/rate.ts'

/** The part of a second's refusals that is answered at once. */
const AT_ONCE = 0.1
const WAIT_MAX_MS = 2_000
/** A full table forgets the oldest source, which then has its budget again. */
const SOURCES_MAX = 10_000
/** Beyond it refusals are answered at once, so that nobody can make us hold more. */
const WAITING_MAX = 20_000

export interface RefusalPace {
  /** Runs `answer` now, or later when the source of the request has used up its budget. */
  pace(request: IncomingMessage, answer: () => void): void
}

export interface RefusalPaceOptions {
  readonly perSecondMax: number
  readonly addressOf: (request: IncomingMessage) => string | undefined
  readonly monotonicMs: () => number
  readonly after: (delayMs: number, run: () => void) => unknown
}

export function createRefusalPace(options: RefusalPaceOptions): RefusalPace {
  const stepMs = 1_000 / options.perSecondMax
  const aheadMs = Math.max(1, Math.floor(options.perSecondMax * AT_ONCE)) * stepMs
  /** By source: when all of its refusals so far would have been answered one by one. */
  const doneAtMs = new Map<unknown, number>()
  let waiting = 0

  const waitMs = (source: unknown): number => {
    const now = options.monotonicMs()
    const doneAt = Math.max(doneAtMs.get(source) ?? 0, now) + stepMs
    doneAtMs.delete(source)
    if (doneAtMs.size >= SOURCES_MAX) doneAtMs.delete(doneAtMs.keys().next().value)
    doneAtMs.set(source, Math.min(doneAt, now + aheadMs + WAIT_MAX_MS))
    return Math.min(doneAt - aheadMs - now, WAIT_MAX_MS)
  }

  return {
    pace(request, answer) {
      const address = options.addressOf(request)
      const delayMs = waitMs(address === undefined ? request.socket : networkOf(address))
      if (delayMs < 1 || waiting >= WAITING_MAX) {
        answer()
        return
      }
      waiting += 1
      options.after(delayMs, () => {
        waiting -= 1
        answer()
      })
    },
  }
}
