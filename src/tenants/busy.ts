/**
 * How much of the process one tenant may use at once (D6): requests that wait for an answer are counted
 * per tenant, and one beyond `tenantRequestsMax` is refused at once, so that a tenant whose servers hang
 * takes neither memory nor sockets from the others. The outer house is the operator's and is not counted.
 */
import type { Emit } from '../ports.ts'

export interface Busy {
  /** Takes a place; gives it back when called. `undefined`: there is none. */
  enter(): (() => void) | undefined
  /** Tells of a request that was refused for want of a place. */
  refuse(): void
}

/** Plain values: a listener answers with them before anything of a house is loaded. */
export const BUSY_ANSWER = {
  status: 503,
  headers: {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'retry-after': '1',
  },
  body: JSON.stringify({ error: 'temporarily_unavailable' }),
} as const

const REASON = 'tenant_busy'
const REFUSED = { reason: REASON }

export function createBusy(max: number, emit: Emit): Busy {
  let running = 0
  const refuse = (): void => {
    emit.event({ type: 'call.refused', reason: REASON, status: BUSY_ANSWER.status })
    emit.count('postern_auth_refusals_total', REFUSED)
  }
  return {
    refuse,
    enter() {
      if (running >= max) {
        refuse()
        return undefined
      }
      running += 1
      let isIn = true
      return () => {
        if (isIn) running -= 1
        isIn = false
      }
    },
  }
}
