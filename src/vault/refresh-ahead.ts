/**
 * Refreshes upstream tokens ahead of their end, for sign-ins in use, behind every request (VAL-13).
 *
 * At 80 % of their life with jitter and never under 60 s before the end; few at once per provider, one
 * at a time while a provider fails our client. A temporary error waits longer each time, a refusal
 * ends the trying: what it means is the proof engine's to decide. A token that nobody uses is not
 * refreshed.
 * @see flows.md section 10, threats F9 and R10
 */
import { createWheel } from '../cache/wheel.ts'
import type { Runtime } from '../ports.ts'
import type { RefreshResult } from './refresh.ts'
import { refreshDueAtMs } from './refresh.ts'
import type { VaultRecord } from './vault.ts'

/** Refreshes under way at once per provider and node. */
export const REFRESHES_AT_ONCE_MAX = 20
const RECORDS_MAX = 200_000
/** Of a record that is due already when it is seen: spread over this. */
const OVERDUE_SPREAD_MS = 30_000
const RETRY_MIN_MS = 15_000
const RETRY_MAX_MS = 600_000
/** Nothing is asked of a provider that refuses our client, for this long, doubling. */
const HOLD_MIN_MS = 60_000
const HOLD_MAX_MS = 600_000

export interface RefreshAheadDeps {
  /** Refreshes when due, under the cluster's lease; a refusal is told and not written. */
  readonly refresh: (vaultId: string) => Promise<RefreshResult>
  /** What came of it, for the proof of this sign-in. */
  readonly told: (vaultId: string, record: VaultRecord, result: 'refreshed' | 'dead') => void
  /** The provider refuses everybody, or our client. */
  readonly incident: (provider: string) => boolean
  /** Seen this long ago at most: in use. */
  readonly inUseMs: number
  readonly runtime: Pick<Runtime, 'nowMs' | 'monotonicMs' | 'random' | 'after' | 'waitUntil'>
}

export interface RefreshAhead {
  /** The proof of this record is being asked for, so it is in use. */
  seen(vaultId: string, record: VaultRecord): void
  forget(vaultId: string): void
  /** Records that are watched, and refreshes under way. */
  size(): { readonly watched: number; readonly flying: number }
  close(): void
}

interface Watched {
  record: VaultRecord
  seenMs: number
  failures: number
  /** The token that was refused: never tried again. */
  refused: boolean
}

/** One provider's line: who waits, how many are under way, until when nobody goes. */
interface Line {
  readonly waiting: Set<string>
  flying: number
  holds: number
  heldUntilMs: number
  cancel: (() => void) | undefined
}

export function createRefreshAhead(deps: RefreshAheadDeps): RefreshAhead {
  return new Ahead(deps)
}

class Ahead implements RefreshAhead {
  readonly #deps: RefreshAheadDeps
  readonly #watched = new Map<string, Watched>()
  readonly #lines = new Map<string, Line>()
  readonly #wheel: ReturnType<typeof createWheel>
  #closed = false

  constructor(deps: RefreshAheadDeps) {
    this.#deps = deps
    this.#wheel = createWheel(deps.runtime, (vaultId) => this.#due(vaultId))
  }

  seen(vaultId: string, record: VaultRecord): void {
    if (this.#closed) return
    const seenMs = this.#deps.runtime.monotonicMs()
    const known = this.#watched.get(vaultId)
    if (known !== undefined && isSameToken(known.record, record)) {
      known.seenMs = seenMs
      return
    }
    if (!record.hasRefreshToken || record.accessExpiresAtMs === undefined) {
      this.forget(vaultId)
      return
    }
    if (known === undefined && this.#watched.size >= RECORDS_MAX) return
    this.#watched.set(vaultId, { record, seenMs, failures: 0, refused: false })
    this.#lineOf(record).waiting.delete(vaultId)
    this.#schedule(vaultId, record)
  }

  forget(vaultId: string): void {
    const known = this.#watched.get(vaultId)
    if (known === undefined) return
    this.#watched.delete(vaultId)
    this.#lineOf(known.record).waiting.delete(vaultId)
    this.#wheel.cancel(vaultId)
  }

  size(): { readonly watched: number; readonly flying: number } {
    let flying = 0
    for (const line of this.#lines.values()) flying += line.flying
    return { watched: this.#watched.size, flying }
  }

  close(): void {
    this.#closed = true
    this.#wheel.close()
    for (const line of this.#lines.values()) line.cancel?.()
    this.#watched.clear()
  }

  #schedule(vaultId: string, record: VaultRecord): void {
    const { runtime } = this.#deps
    const waitMs = refreshDueAtMs(record, runtime.random()) - runtime.nowMs()
    const spreadMs = waitMs > 0 ? waitMs : runtime.random() * OVERDUE_SPREAD_MS
    this.#wheel.schedule(vaultId, runtime.monotonicMs() + spreadMs)
  }

  #due(vaultId: string): void {
    const known = this.#watched.get(vaultId)
    if (known === undefined) return
    if (this.#deps.runtime.monotonicMs() - known.seenMs > this.#deps.inUseMs) {
      this.forget(vaultId)
      return
    }
    const line = this.#lineOf(known.record)
    line.waiting.add(vaultId)
    this.#advance(known.record.provider, line)
  }

  /** As many as may go; the rest when one of them is back or the hold is over. */
  #advance(provider: string, line: Line): void {
    const { runtime, incident } = this.#deps
    if (this.#closed || line.waiting.size === 0) return
    if (line.holds === 0 && incident(provider)) this.#hold(line)
    const waitMs = line.heldUntilMs - runtime.monotonicMs()
    if (waitMs > 0) {
      line.cancel ??= runtime.after(waitMs, () => {
        line.cancel = undefined
        this.#advance(provider, line)
      })
      return
    }
    const atOnceMax = line.holds > 0 ? 1 : REFRESHES_AT_ONCE_MAX
    for (const vaultId of line.waiting) {
      if (line.flying >= atOnceMax) return
      line.waiting.delete(vaultId)
      line.flying += 1
      runtime.waitUntil(
        this.#fly(vaultId, line).finally(() => {
          line.flying -= 1
          this.#advance(provider, line)
        }),
      )
    }
  }

  async #fly(vaultId: string, line: Line): Promise<void> {
    const known = this.#watched.get(vaultId)
    if (known === undefined || known.refused) return
    const result = await this.#deps.refresh(vaultId).catch((): RefreshResult => 'unknown')
    if (this.#watched.get(vaultId) !== known) return
    if (result === 'unknown') {
      if (this.#deps.incident(known.record.provider)) this.#hold(line)
      this.#retry(vaultId, known)
      return
    }
    line.holds = 0
    if (result === 'dead') known.refused = true
    // Renewed here or by another node: its next check brings the new record.
    else this.forget(vaultId)
    if (result !== 'current') this.#deps.told(vaultId, known.record, result)
  }

  #retry(vaultId: string, known: Watched): void {
    const { runtime } = this.#deps
    const backOffMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(known.failures, 10))
    known.failures += 1
    this.#wheel.schedule(vaultId, runtime.monotonicMs() + backOffMs * (0.5 + runtime.random()))
  }

  #hold(line: Line): void {
    const holdMs = Math.min(HOLD_MAX_MS, HOLD_MIN_MS * 2 ** Math.min(line.holds, 10))
    line.holds += 1
    line.heldUntilMs = this.#deps.runtime.monotonicMs() + holdMs
  }

  #lineOf({ provider }: VaultRecord): Line {
    const known = this.#lines.get(provider)
    if (known !== undefined) return known
    const line: Line = {
      waiting: new Set(),
      flying: 0,
      holds: 0,
      heldUntilMs: 0,
      cancel: undefined,
    }
    this.#lines.set(provider, line)
    return line
  }
}

/** A refresh or a new sign-in gives a record other times. */
function isSameToken(left: VaultRecord, right: VaultRecord): boolean {
  return (
    left.accessExpiresAtMs === right.accessExpiresAtMs && left.refreshedAtMs === right.refreshedAtMs
  )
}
