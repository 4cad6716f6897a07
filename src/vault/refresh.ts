/**
 * Refreshes upstream tokens: at most one call per record, and no token pair is ever lost.
 *
 * Callers wait at most their deadline; the work goes on without them. Flights of one node are
 * shared where promises may be; between nodes the lease and the intent row keep calls apart, and
 * the compare-and-set on the record decides (threats.md section 6). Never marks a record broken
 * because this node was slow.
 */
import { LRUCache } from 'lru-cache'
import type { TokenSet } from '../oauth/token-answer.ts'
import type { Emit, Lock, Runtime } from '../ports.ts'
import { type FlightDeps, fly } from './refresh-flight.ts'
import type { Vault, VaultRecord } from './vault.ts'

/** What the provider said to a refresh. `no` is its documented refusal, nothing else is. */
export type RefreshAnswer =
  | { readonly outcome: 'yes'; readonly value: TokenSet }
  | { readonly outcome: 'no'; readonly reason: string }
  | { readonly outcome: 'unknown'; readonly error?: unknown; readonly retryAfterMs?: number }

/** `current`: nothing to do. `unknown`: not now; the old tokens are still the truth. */
export type RefreshResult = 'refreshed' | 'current' | 'dead' | 'unknown'

export interface RefresherOptions {
  readonly vault: Vault
  readonly lock: Lock
  readonly runtime: Runtime
  readonly emit: Emit
  /** One exchange with the pinned token endpoint; must end by itself within its own timeout. */
  call(record: VaultRecord, tokens: TokenSet): Promise<RefreshAnswer>
  /** Revokes upstream what was issued for a record that has ended meanwhile. */
  revoke?(vaultId: string, record: VaultRecord, tokens: TokenSet): Promise<unknown>
  /** Longest that `call` takes. Default 28 000: what has begun longer ago is over. */
  readonly callTimeoutMs?: number
  /** While true for a provider, its refusals are not believed (flows.md section 10). */
  incident?(provider: string): boolean
}

export interface Refresher {
  /**
   * Refreshes when due. With `force`, unless a refresh happened after this call began: the second
   * opinion on tokens that were refused. With `believe: false` a refusal is told and not written:
   * the caller asks a second time before anything ends (flows.md section 10).
   */
  refresh(
    vaultId: string,
    deadlineMs: number,
    options?: { force?: boolean; believe?: boolean },
  ): Promise<RefreshResult>
  /** Answers received and not yet written: the node is not healthy, and must not stop, until 0. */
  unwritten(): number
}

/** Refreshes at work at once on this node. Beyond: `unknown`, and the caller asks again. */
export const FLIGHTS_MAX = 10_000
const DUE_SHARE = 0.8
const JITTER_SHARE = 0.05
/** A refresh ahead starts no later than this before the end (VAL-13) ... */
const LATEST_MS = 60_000
/** ... but not before this share of a short life, or it would never end. */
const EARLIEST_SHARE = 0.5

export function createRefresher(options: RefresherOptions): Refresher {
  const { runtime, emit } = options
  const flights = new Map<string, Promise<RefreshResult>>()
  let flying = 0
  let waiters = 0
  let unwritten = 0
  const deps: FlightDeps = {
    ...options,
    isDue: (record) => runtime.nowMs() >= dueAtMs(record, DUE_SHARE - JITTER_SHARE),
    countUnwritten: (by) => {
      unwritten += by
    },
    over: new LRUCache<string, number>({ max: FLIGHTS_MAX }),
  }

  const start = (
    vaultId: string,
    asked: { force: boolean; believe: boolean },
    name: string,
  ): Promise<RefreshResult> => {
    flying += 1
    const flight = fly(deps, vaultId, asked)
      .catch((): RefreshResult => 'unknown')
      .then((result) => {
        flying -= 1
        flights.delete(name)
        emit.count('postern_refreshes_total', { outcome: result })
        return result
      })
    if (runtime.sharesPromises) flights.set(name, flight)
    runtime.waitUntil(flight)
    return flight
  }

  return {
    refresh(vaultId, deadlineMs, { force = false, believe = true } = {}) {
      const name = `${force ? 'force' : 'due'}:${believe ? 'believe' : 'ask'}:${vaultId}`
      const shared = flights.get(name)
      // A flight that is held is never thrown out for another one (R12).
      if (shared === undefined && flying >= FLIGHTS_MAX) return Promise.resolve('unknown')
      const flight = shared ?? start(vaultId, { force, believe }, name)
      waiters += 1
      emit.gauge('postern_refresh_waiters', waiters)
      return new Promise((resolve) => {
        let waiting = true
        const answer = (result: RefreshResult): void => {
          if (!waiting) return
          waiting = false
          cancel()
          waiters -= 1
          emit.gauge('postern_refresh_waiters', waiters)
          resolve(result)
        }
        const cancel = runtime.after(deadlineMs, () => answer('unknown'))
        void flight.then(answer)
      })
    },
    unwritten: () => unwritten,
  }
}

/**
 * When a background refresh should start: 80 % of the token's life, spread by `random` in [0, 1), and
 * 60 s before its end at the latest, unless that is less than half of its life.
 */
export function refreshDueAtMs(record: VaultRecord, random: number): number {
  return dueAtMs(record, DUE_SHARE - JITTER_SHARE + 2 * JITTER_SHARE * random)
}

function dueAtMs(record: VaultRecord, share: number): number {
  if (record.accessExpiresAtMs === undefined) return Number.POSITIVE_INFINITY
  const fromMs = record.refreshedAtMs ?? record.createdAtMs
  const lifeMs = Math.max(0, record.accessExpiresAtMs - fromMs)
  const latestMs = Math.max(lifeMs * EARLIEST_SHARE, lifeMs - LATEST_MS)
  return fromMs + Math.min(lifeMs * share, latestMs)
}
