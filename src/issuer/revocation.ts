/**
 * What is revoked, in memory: asked on every request, loaded before the node is ready.
 *
 * Follows the revocation clock of the store by poll every 2 s, at once on a bus poke. A mark is
 * never forgotten before it expires. A changed epoch or a clock that went back (a restored store)
 * reloads everything. A view that could not be read for `maxAgeSeconds` says so instead of
 * answering (I7). On a platform without timers `ensureFresh` polls on use (F11).
 */
import type { Bus, Emit, Runtime, Store } from '../ports.ts'
import {
  MARK_KEPT_PAST_LIFE_MS,
  MARK_KINDS,
  type Mark,
  type MarkKind,
  type RevocationRow,
} from '../records.ts'

/** The parts of a verified token that a mark can name. */
export interface Markable {
  readonly tenant: string
  readonly userId: string
  readonly clientId: string
  readonly grantId: string
  readonly resource: string
  readonly keyId: string
  readonly jti?: string
  readonly digest: string
  readonly issuedAtMs: number
}

export interface RevocationView {
  /** Reads everything; must end before the first request. */
  load(): Promise<void>
  apply(rows: readonly Mark[]): void
  /** Is anything of this token marked? Seven look-ups, no wait. */
  marked(session: Markable): boolean | 'view-too-old'
  /** What this node just wrote counts here at once. */
  markLocal(mark: Mark): void
  /** Waits for one poll when the view is too old, at most `deadlineMs`; true when it is usable. */
  ensureFresh(deadlineMs: number): Promise<boolean>
  /** Since the last successful poll began. */
  ageMs(): number
  size(): number
  start(): Promise<void>
  stop(): void
  /** Called for every mark that is new to this node, after it counts; returns the way to leave. */
  onMark(listener: (mark: Mark) => void): () => void
}

export interface RevocationDeps {
  readonly store: { readonly grants: Pick<Store['grants'], 'revocationsSince'> }
  readonly bus: Bus
  readonly runtime: Runtime
  readonly emit: Emit
  readonly maxAgeSeconds: number
  /** Marks kept; beyond, every answer is `view-too-old` until some have expired. Default 1_000_000. */
  readonly marksMax?: number
}

export const REVOCATION_POLL_MS = 2_000
const PAGE_ROWS = 1_000
const PAGES_MAX = 10_000
const MARKS_MAX = 1_000_000
/** Expired marks are looked for at most this often. */
const PRUNE_MS = 60_000

interface Known {
  issuedBeforeMs: number
  expiresAtMs: number
}
type MarksOfKind = Map<string, Known>

export function createRevocationView(deps: RevocationDeps): RevocationView {
  return new View(deps)
}

class View implements RevocationView {
  readonly #deps: RevocationDeps
  readonly #runtime: Runtime
  readonly #emit: Emit
  readonly #marksMax: number
  /** By tenant, so that a look-up builds no key. */
  readonly #marks = new Map<string, Record<MarkKind, MarksOfKind>>()
  readonly #listeners = new Set<(mark: Mark) => void>()
  #cursor = 0
  #epoch: number | undefined
  #seenAtMs = Number.NEGATIVE_INFINITY
  #prunedAtMs: number
  #polling: Promise<void> | undefined
  #mustPollAgain = false
  #running = false
  // A mark that found no room: until everything has been read again, nothing here is an answer.
  #overflowed = false
  // A view that was full once has no room for marks past their life.
  #keptPastLifeMs = MARK_KEPT_PAST_LIFE_MS
  #cancelTimer: (() => void) | undefined
  #unsubscribe: (() => void) | undefined

  constructor(deps: RevocationDeps) {
    this.#deps = deps
    this.#runtime = deps.runtime
    this.#emit = deps.emit
    this.#marksMax = deps.marksMax ?? MARKS_MAX
    this.#prunedAtMs = deps.runtime.monotonicMs()
  }

  load(): Promise<void> {
    return this.#poll()
  }

  apply(rows: readonly Mark[]): void {
    for (const row of rows) {
      // Its tokens are dead by themselves, also by a clock that comes back.
      if (this.#isOver(row)) continue
      // Says nothing of any token: told, and not kept.
      if (row.kind === 'cache') {
        for (const listener of this.#listeners) listener(row)
        continue
      }
      const known = this.#marksOf(row.tenant)[row.kind]
      if (this.size() >= this.#marksMax && !known.has(row.id)) {
        this.#overflow()
        continue
      }
      if (!remember(known, row)) continue
      for (const listener of this.#listeners) listener(row)
    }
  }

  marked(session: Markable): boolean | 'view-too-old' {
    if (this.#isTooOld()) return 'view-too-old'
    const { tenant, issuedAtMs } = session
    const marks = this.#marks.get(tenant)
    if (marks === undefined) return false
    return (
      covers(marks.grant, session.grantId, issuedAtMs) ||
      covers(marks.user, session.userId, issuedAtMs) ||
      covers(marks.token, session.jti ?? session.digest, issuedAtMs) ||
      covers(marks.client, session.clientId, issuedAtMs) ||
      covers(marks.connector, session.resource, issuedAtMs) ||
      covers(marks.tenant, tenant, issuedAtMs) ||
      covers(marks.key, session.keyId, issuedAtMs)
    )
  }

  markLocal(mark: Mark): void {
    this.apply([mark])
  }

  ensureFresh(deadlineMs: number): Promise<boolean> {
    if (!this.#isTooOld()) return Promise.resolve(true)
    return new Promise((resolve) => {
      const cancel = this.#runtime.after(deadlineMs, () => resolve(false))
      this.#poll()
        .catch(() => undefined)
        .then(() => {
          cancel()
          resolve(!this.#isTooOld())
        })
    })
  }

  ageMs(): number {
    return this.#runtime.monotonicMs() - this.#seenAtMs
  }

  size(): number {
    let total = 0
    for (const marks of this.#marks.values()) {
      for (const kind of MARK_KINDS) total += marks[kind].size
    }
    return total
  }

  async start(): Promise<void> {
    if (this.#running) return
    this.#running = true
    this.#armTick()
    // Subscribe first, poll second: what was written in between is in the poll.
    const onPoke = (): void => this.#pollBehind()
    this.#unsubscribe = await this.#deps.bus.subscribe(onPoke, onPoke)
    this.#pollBehind()
  }

  stop(): void {
    this.#running = false
    this.#cancelTimer?.()
    this.#unsubscribe?.()
  }

  onMark(listener: (mark: Mark) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  #isTooOld(): boolean {
    return this.#overflowed || this.ageMs() > this.#deps.maxAgeSeconds * 1_000
  }

  #isOver({ expiresAtMs }: { readonly expiresAtMs: number }): boolean {
    return expiresAtMs + this.#keptPastLifeMs <= this.#runtime.nowMs()
  }

  #overflow(): void {
    if (!this.#overflowed)
      this.#emit.event({ type: 'server.warning', level: 'error', reason: 'revocations_full' })
    this.#overflowed = true
    this.#keptPastLifeMs = 0
  }

  /** Pages until the clock is reached. Marks of before a reload stay: forgetting could only open. */
  async #read(): Promise<void> {
    const beganAtMs = this.#runtime.monotonicMs()
    if (this.#overflowed && this.size() < this.#marksMax) {
      this.#overflowed = false
      this.#cursor = 0
    }
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const answer = await this.#deps.store.grants.revocationsSince(this.#cursor, PAGE_ROWS)
      const isOtherEpoch = this.#epoch !== undefined && answer.epoch !== this.#epoch
      this.#epoch = answer.epoch
      if (isOtherEpoch || answer.sequence < this.#cursor) {
        this.#cursor = 0
        continue
      }
      this.apply(answer.rows)
      const before = this.#cursor
      this.#cursor = answer.sequence
      this.#reportLag(answer.rows, before)
      if (answer.rows.length < PAGE_ROWS) {
        this.#seenAtMs = beganAtMs
        return
      }
    }
    throw new TypeError('the revocation clock runs without end')
  }

  #reportLag(rows: readonly RevocationRow[], before: number): void {
    // The first load is history, not lag. A grant's mark lies in the future and says nothing.
    if (before === 0) return
    for (const row of rows) {
      const lagMs = this.#runtime.nowMs() - row.issuedBeforeMs
      if (lagMs >= 0) this.#emit.observe('postern_revocation_lag_seconds', lagMs / 1_000)
    }
  }

  #poll(): Promise<void> {
    if (this.#polling !== undefined) {
      // A poke during a poll may be for a row that this poll has passed already.
      this.#mustPollAgain = true
      return this.#polling
    }
    const work = this.#read().finally(() => {
      this.#polling = undefined
      this.#emit.gauge('postern_revocation_view_age_seconds', Math.max(0, this.ageMs()) / 1_000)
      if (!this.#mustPollAgain) return
      this.#mustPollAgain = false
      if (this.#running) this.#pollBehind()
    })
    if (this.#runtime.sharesPromises) this.#polling = work
    return work
  }

  #pollBehind(): void {
    this.#runtime.waitUntil(this.#poll().catch(() => undefined))
  }

  #armTick(): void {
    this.#cancelTimer = this.#runtime.after(REVOCATION_POLL_MS, () => this.#tick())
  }

  #tick(): void {
    this.#prune()
    this.#runtime.waitUntil(
      this.#poll()
        .catch(() => undefined)
        .then(() => {
          if (this.#running) this.#armTick()
        }),
    )
  }

  #marksOf(tenant: string): Record<MarkKind, MarksOfKind> {
    const known = this.#marks.get(tenant)
    if (known !== undefined) return known
    const made = emptyMarks()
    this.#marks.set(tenant, made)
    return made
  }

  #prune(): void {
    if (this.#runtime.monotonicMs() - this.#prunedAtMs < PRUNE_MS) return
    this.#prunedAtMs = this.#runtime.monotonicMs()
    for (const marks of this.#marks.values()) {
      for (const kind of MARK_KINDS) {
        for (const [id, known] of marks[kind]) {
          if (this.#isOver(known)) marks[kind].delete(id)
        }
      }
    }
  }
}

function emptyMarks(): Record<MarkKind, MarksOfKind> {
  return {
    token: new Map(),
    grant: new Map(),
    user: new Map(),
    client: new Map(),
    connector: new Map(),
    tenant: new Map(),
    key: new Map(),
    cache: new Map(),
  }
}

/** The latest time wins, the longest life is kept. True when this mark covers something new. */
function remember(known: MarksOfKind, mark: Mark): boolean {
  const before = known.get(mark.id)
  if (before === undefined) {
    known.set(mark.id, { issuedBeforeMs: mark.issuedBeforeMs, expiresAtMs: mark.expiresAtMs })
    return true
  }
  const isNew = mark.issuedBeforeMs > before.issuedBeforeMs
  before.issuedBeforeMs = Math.max(before.issuedBeforeMs, mark.issuedBeforeMs)
  before.expiresAtMs = Math.max(before.expiresAtMs, mark.expiresAtMs)
  return isNew
}

// A token of the very millisecond counts as before: `iat` is whole seconds, rounded down.
function covers(known: MarksOfKind, id: string, issuedAtMs: number): boolean {
  if (known.size === 0) return false
  const mark = known.get(id)
  return mark !== undefined && issuedAtMs <= mark.issuedBeforeMs
}
