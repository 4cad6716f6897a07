/**
 * What is revoked, in memory: asked on every request, loaded before the node is ready.
 *
 * Follows the revocation clock of the store by poll every 2 s, at once on a bus poke. A mark is
 * never forgotten before it expires. A changed epoch or a clock that went back (a restored store)
 * reloads everything. A view that could not be read for `maxAgeSeconds` says so instead of
 * answering (I7). On a platform without timers `ensureFresh` polls on use (F11).
 */
import type { Bus, Emit, Runtime, Store } from '../ports.ts'
import { MARK_KINDS, type Mark, type MarkKind, type RevocationRow } from '../records.ts'

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
  const { store, runtime, emit } = deps
  const marksMax = deps.marksMax ?? MARKS_MAX
  const marks = emptyMarks()
  const listeners = new Set<(mark: Mark) => void>()
  let cursor = 0
  let epoch: number | undefined
  let seenAtMs = Number.NEGATIVE_INFINITY
  let prunedAtMs = runtime.monotonicMs()
  let polling: Promise<void> | undefined
  let pollAgain = false
  let running = false
  // A mark that found no room: until everything has been read again, nothing here is an answer.
  let overflowed = false
  let cancelTimer: (() => void) | undefined
  let unsubscribe: (() => void) | undefined

  const ageMs = (): number => runtime.monotonicMs() - seenAtMs

  const size = (): number => MARK_KINDS.reduce((sum, kind) => sum + marks[kind].size, 0)

  const apply = (rows: readonly Mark[]): void => {
    for (const row of rows) {
      // Its tokens are dead by themselves.
      if (row.expiresAtMs <= runtime.nowMs()) continue
      if (size() >= marksMax && !marks[row.kind].has(markName(row.tenant, row.id))) {
        if (!overflowed)
          emit.event({ type: 'server.warning', level: 'error', reason: 'revocations_full' })
        overflowed = true
        continue
      }
      if (remember(marks[row.kind], markName(row.tenant, row.id), row)) {
        for (const listener of listeners) listener(row)
      }
    }
  }

  /** Pages until the clock is reached. Marks of before a reload stay: forgetting could only open. */
  const read = async (): Promise<void> => {
    const beganAtMs = runtime.monotonicMs()
    if (overflowed && size() < marksMax) {
      overflowed = false
      cursor = 0
    }
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const answer = await store.grants.revocationsSince(cursor, PAGE_ROWS)
      const restored = (epoch !== undefined && answer.epoch !== epoch) || answer.sequence < cursor
      epoch = answer.epoch
      if (restored) {
        cursor = 0
        continue
      }
      apply(answer.rows)
      const before = cursor
      cursor = answer.sequence
      reportLag(answer.rows, before)
      if (answer.rows.length < PAGE_ROWS) {
        seenAtMs = beganAtMs
        return
      }
    }
    throw new TypeError('the revocation clock runs without end')
  }

  const reportLag = (rows: readonly RevocationRow[], before: number): void => {
    // The first load is history, not lag. A grant's mark lies in the future and says nothing.
    if (before === 0) return
    for (const row of rows) {
      const lagMs = runtime.nowMs() - row.issuedBeforeMs
      if (lagMs >= 0) emit.observe('postern_revocation_lag_seconds', lagMs / 1_000)
    }
  }

  const poll = (): Promise<void> => {
    if (polling !== undefined) {
      // A poke during a poll may be for a row that this poll has passed already.
      pollAgain = true
      return polling
    }
    const work = read().finally(() => {
      polling = undefined
      emit.gauge('postern_revocation_view_age_seconds', Math.max(0, ageMs()) / 1_000)
      if (!pollAgain) return
      pollAgain = false
      if (running) runtime.waitUntil(poll().catch(() => undefined))
    })
    if (runtime.sharesPromises) polling = work
    return work
  }
  const pollBehind = (): void => {
    runtime.waitUntil(poll().catch(() => undefined))
  }
  const tick = (): void => {
    prune()
    runtime.waitUntil(
      poll()
        .catch(() => undefined)
        .then(() => {
          if (running) cancelTimer = runtime.after(REVOCATION_POLL_MS, tick)
        }),
    )
  }

  const prune = (): void => {
    if (runtime.monotonicMs() - prunedAtMs < PRUNE_MS) return
    prunedAtMs = runtime.monotonicMs()
    for (const kind of MARK_KINDS) {
      for (const [name, known] of marks[kind]) {
        if (known.expiresAtMs <= runtime.nowMs()) marks[kind].delete(name)
      }
    }
  }

  const isTooOld = (): boolean => overflowed || ageMs() > deps.maxAgeSeconds * 1_000

  return {
    load: () => poll(),
    apply,
    marked(session) {
      if (isTooOld()) return 'view-too-old'
      const { tenant, issuedAtMs } = session
      return (
        covers(marks.grant, tenant, session.grantId, issuedAtMs) ||
        covers(marks.user, tenant, session.userId, issuedAtMs) ||
        covers(marks.token, tenant, session.jti ?? session.digest, issuedAtMs) ||
        covers(marks.client, tenant, session.clientId, issuedAtMs) ||
        covers(marks.connector, tenant, session.resource, issuedAtMs) ||
        covers(marks.tenant, tenant, tenant, issuedAtMs) ||
        covers(marks.key, tenant, session.keyId, issuedAtMs)
      )
    },
    markLocal: (mark) => apply([mark]),
    ensureFresh(deadlineMs) {
      if (!isTooOld()) return Promise.resolve(true)
      return new Promise((resolve) => {
        const cancel = runtime.after(deadlineMs, () => resolve(false))
        poll()
          .catch(() => undefined)
          .then(() => {
            cancel()
            resolve(!isTooOld())
          })
      })
    },
    ageMs,
    size,
    async start() {
      if (running) return
      running = true
      cancelTimer = runtime.after(REVOCATION_POLL_MS, tick)
      // Subscribe first, poll second: what was written in between is in the poll.
      unsubscribe = await deps.bus.subscribe(pollBehind, pollBehind)
      pollBehind()
    },
    stop() {
      running = false
      cancelTimer?.()
      unsubscribe?.()
    },
    onMark(listener) {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
      }
    },
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
  }
}

/** Ids hold no NUL (F15), so the pair has one name. */
function markName(tenant: string, id: string): string {
  return `${tenant}\0${id}`
}

/** The latest time wins, the longest life is kept. True when this mark covers something new. */
function remember(known: MarksOfKind, name: string, mark: Mark): boolean {
  const before = known.get(name)
  if (before === undefined) {
    known.set(name, { issuedBeforeMs: mark.issuedBeforeMs, expiresAtMs: mark.expiresAtMs })
    return true
  }
  const isNew = mark.issuedBeforeMs > before.issuedBeforeMs
  before.issuedBeforeMs = Math.max(before.issuedBeforeMs, mark.issuedBeforeMs)
  before.expiresAtMs = Math.max(before.expiresAtMs, mark.expiresAtMs)
  return isNew
}

// A token of the very millisecond counts as before: `iat` is whole seconds, rounded down.
function covers(known: MarksOfKind, tenant: string, id: string, issuedAtMs: number): boolean {
  if (known.size === 0) return false
  const mark = known.get(markName(tenant, id))
  return mark !== undefined && issuedAtMs <= mark.issuedBeforeMs
}
