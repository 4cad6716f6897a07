/**
 * Does what `duty` rows ask, on one node at a time: a round every 30 s, and at once after a poke.
 *
 * A provider that fails is asked once a round until it answers, then everything that waits for it goes
 * out: within a minute of its recovery (O15). Retried up to 7 days with back-off and jitter, then
 * told as failed. Never waited for by a request; a restart goes on where the rows say.
 */
import { StoreError } from '../errors.ts'
import type { Emit, Lease, Lock, Runtime, Step, Store, Versioned } from '../ports.ts'
import { TENANT } from '../records.ts'
import { DUTY_LIFE_MS, type Duty, dutyKey } from './duty-steps.ts'

/** What became of one duty. `steps` are written in the commit that removes or moves its row. */
export type Performed =
  | { readonly outcome: 'done'; readonly steps?: readonly Step[]; readonly after?: () => void }
  /** Not finished, nothing failed: again at once with these changes. */
  | { readonly outcome: 'more'; readonly change: Partial<Duty> }
  | { readonly outcome: 'retry'; readonly reason: string }

export interface DutiesDeps {
  readonly store: Store
  readonly lock: Lock
  readonly runtime: Runtime
  readonly emit: Emit
  /** One try. A rejection is a `retry`. */
  perform(duty: Duty): Promise<Performed>
  /** The audit row of a duty that is given up, in the commit that removes it. */
  givenUp(duty: Duty, reason: string): readonly Step[]
}

export interface Duties {
  /** There is something to do: a round behind, soon. */
  poke(): void
  /** One round; resolves when it ends. Never rejects. */
  run(): Promise<void>
  start(): void
  /** Ends the rounds and waits for the one under way. */
  stop(): Promise<void>
}

export const DUTIES_ROUND_MS = 30_000
const ROUND_JITTER_SHARE = 0.2
const LEASE_MS = 60_000
const LOCK_DEADLINE_MS = 300
const PAGE_ROWS = 200
const ROWS_MAX = 10_000
/** Of one issuer at a time: who waits for a dead server must not fill the list for everybody (D6). */
const ISSUER_ROWS_MAX = 200
/** Rows looked at for the ones above. */
const LOOKED_MAX = 50_000
/** A round gives way after this; what is left is due and comes with the next one. */
const ROUND_MAX_MS = 45_000
const RENEW_EVERY = 20
const RETRY_MIN_MS = 5_000
const RETRY_MAX_MS = 3_600_000
const PROVIDERS_MAX = 1_000

type Row = Versioned<'duty'>

export function createDuties(deps: DutiesDeps): Duties {
  const { runtime, emit } = deps
  const round = createRound(deps)
  let running: Promise<void> | undefined
  let again = false
  let started = false
  let cancel = (): void => undefined

  const run = (): Promise<void> => {
    if (running !== undefined) {
      again = true
      return running
    }
    const work = round()
      .catch(() => emit.event({ type: 'server.failed', reason: 'duties' }))
      .then(() => {
        running = undefined
        if (started && again) runtime.waitUntil(run())
        again = false
      })
    if (runtime.sharesPromises) running = work
    return work
  }
  const arm = (): void => {
    const share = 1 + ROUND_JITTER_SHARE * (2 * runtime.random() - 1)
    cancel = runtime.after(Math.round(DUTIES_ROUND_MS * share), () => {
      runtime.waitUntil(
        run().then(() => {
          if (started) arm()
        }),
      )
    })
  }
  return {
    poke() {
      if (started) runtime.waitUntil(run())
    },
    run,
    start() {
      if (started) return
      started = true
      arm()
      runtime.waitUntil(run())
    },
    async stop() {
      started = false
      cancel()
      await running
    },
  }
}

/** One round over what is there, under the lease where there is one. */
function createRound(deps: DutiesDeps): () => Promise<void> {
  const { store, lock, runtime } = deps
  // Providers whose last try failed: asked once a round, whatever is due.
  const failing = new Set<string>()
  return async () => {
    // Nothing to do is the rule: it costs one read and no lease.
    const first = await store.list('duty', TENANT, undefined, { max: 1 })
    if (first.length === 0) return
    const taken = await lock.acquire('duties', LEASE_MS, LOCK_DEADLINE_MS)
    if (taken.state === 'held') return
    // A lock that errs may hold an orphan lease: go on; doing a duty twice is harmless (R2).
    const lease = taken.state === 'acquired' ? taken.lease : undefined
    try {
      const untilMs = runtime.monotonicMs() + ROUND_MAX_MS
      const mayGoOn = createLimit(runtime, lease, untilMs)
      await doLocal(deps, await readRows(store), mayGoOn)
      // What the local ones have just queued is due as well.
      let hasMore = await passUpstream(deps, failing, mayGoOn)
      while (hasMore && (await mayGoOn())) {
        // Who fails is asked once a round.
        const asked = new Set(failing)
        hasMore = await passUpstream(deps, failing, mayGoOn, asked)
      }
    } finally {
      await lease?.release().catch(() => undefined)
    }
  }
}

type MayGoOn = () => Promise<boolean>

/** @returns whether an issuer that answers has more than was read of it. */
async function passUpstream(
  deps: DutiesDeps,
  failing: Set<string>,
  mayGoOn: MayGoOn,
  asked: ReadonlySet<string> = new Set(),
): Promise<boolean> {
  // Who answers comes first; of the others, who was not asked for longest.
  const turns = new Map([...failing].map((issuer, at) => [issuer, at + 1]))
  const groups = [...byIssuer(await readRows(deps.store))].sort(
    ([left], [right]) => (turns.get(left) ?? 0) - (turns.get(right) ?? 0),
  )
  let hasMore = false
  for (const [issuer, waiting] of groups) {
    if (asked.has(issuer)) continue
    const done = await doUpstream(deps, { issuer, waiting, failing, mayGoOn })
    if (done >= ISSUER_ROWS_MAX) hasMore = true
  }
  return hasMore
}

function createLimit(runtime: Runtime, lease: Lease | undefined, untilMs: number): MayGoOn {
  let asked = 0
  return async () => {
    asked += 1
    if (runtime.monotonicMs() >= untilMs) return false
    if (lease === undefined || asked % RENEW_EVERY !== 0) return true
    return (await lease.renew(LEASE_MS)) !== 'lost'
  }
}

async function readRows(store: Store): Promise<readonly Row[]> {
  const rows: Row[] = []
  const counts = new Map<string, number>()
  let after: string | undefined
  for (let looked = 0; looked < LOOKED_MAX && rows.length < ROWS_MAX; looked += PAGE_ROWS) {
    const page = { max: PAGE_ROWS, ...(after === undefined ? {} : { after }) }
    const found = await store.list('duty', TENANT, undefined, page)
    for (const row of found) {
      const { purpose, issuer = '' } = row.value
      const count = (counts.get(issuer) ?? 0) + 1
      if (purpose === 'revoke') counts.set(issuer, count)
      if (purpose !== 'revoke' || count <= ISSUER_ROWS_MAX) rows.push(row)
    }
    if (found.length < PAGE_ROWS) break
    after = found.at(-1)?.key.id
  }
  return rows
}

async function doLocal(deps: DutiesDeps, rows: readonly Row[], mayGoOn: MayGoOn): Promise<void> {
  const surveyed = new Set<string>()
  for (const row of rows) {
    const { purpose, userId = '', provider, after } = row.value
    if (purpose === 'revoke') continue
    // One walk that begins now sees what every other that has not begun was asked to look for. Not of
    // connections: each ends those that had been made when it was asked for.
    if (purpose === 'survey' && after === undefined && provider === undefined) {
      if (surveyed.has(userId)) {
        await deps.store.remove('duty', row.key)
        continue
      }
      surveyed.add(userId)
    }
    let left: Row | undefined = row
    while (left !== undefined && (await mayGoOn())) left = (await doOne(deps, left)).left
  }
}

function byIssuer(rows: readonly Row[]): ReadonlyMap<string, readonly Row[]> {
  const groups = new Map<string, Row[]>()
  for (const row of rows) {
    const { purpose, issuer = '' } = row.value
    if (purpose !== 'revoke' || groups.size >= PROVIDERS_MAX) continue
    groups.set(issuer, [...(groups.get(issuer) ?? []), row])
  }
  return groups
}

interface AtProvider {
  readonly issuer: string
  readonly waiting: readonly Row[]
  readonly failing: Set<string>
  readonly mayGoOn: MayGoOn
}

/** @returns how many are done. */
async function doUpstream(deps: DutiesDeps, at: AtProvider): Promise<number> {
  const { issuer, waiting, failing, mayGoOn } = at
  const nowMs = deps.runtime.nowMs()
  const wasFailing = failing.has(issuer)
  const due = wasFailing ? waiting : waiting.filter(({ value }) => value.dueAtMs <= nowMs)
  let done = 0
  for (const row of due) {
    if (!(await mayGoOn())) return done
    const { failed } = await doOne(deps, row)
    failing.delete(issuer)
    if (failed) {
      failing.add(issuer)
      return done
    }
    done += 1
  }
  return done
}

/** One try and what it leaves: nothing, or the same duty to go on with. */
async function doOne(deps: DutiesDeps, row: Row): Promise<{ failed: boolean; left?: Row }> {
  const { store } = deps
  const performed = await attempt(deps, row.value)
  if (performed.outcome === 'done') {
    const removal: Step = { verb: 'remove', kind: 'duty', key: row.key }
    const { won } = await store.commit([removal, ...(performed.steps ?? [])])
    // Another node without a lock has done it too: told once.
    if (won) performed.after?.()
    return { failed: false }
  }
  if (performed.outcome === 'more') {
    const value = { ...row.value, ...performed.change }
    const put = await store.put('duty', row.key, row.version, value)
    return put.won
      ? { failed: false, left: { ...row, version: put.version, value } }
      : { failed: false }
  }
  await reschedule(deps, row, performed.reason)
  return { failed: true }
}

async function attempt({ perform }: DutiesDeps, duty: Duty): Promise<Performed> {
  try {
    return await perform(duty)
  } catch (error) {
    // The store itself failed: the row is as it was, the next round finds it.
    if (error instanceof StoreError) throw error
    return { outcome: 'retry', reason: 'failed' }
  }
}

/** Later, at a key that says when; after 7 days given up, told and audited in the same commit. */
async function reschedule(deps: DutiesDeps, row: Row, reason: string): Promise<void> {
  const { store, runtime, emit } = deps
  const { value } = row
  const nowMs = Math.trunc(runtime.nowMs())
  const removal: Step = { verb: 'remove', kind: 'duty', key: row.key }
  if (nowMs - value.createdAtMs >= DUTY_LIFE_MS) {
    const { won } = await store.commit([removal, ...deps.givenUp(value, reason)])
    if (won) {
      const { provider = '', userId = '', attempts } = value
      emit.event({
        type: 'revocation.failed',
        level: 'warn',
        tenant: TENANT,
        provider,
        userId,
        reason,
        attempts,
      })
    }
    return
  }
  const waitMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(value.attempts, 20))
  const dueAtMs = nowMs + Math.round(waitMs * (0.5 + runtime.random() / 2))
  const later: Duty = { ...value, attempts: value.attempts + 1, dueAtMs }
  const key = dutyKey(runtime, dueAtMs)
  // Whoever changed the row meanwhile (a person who is deleted) changed what is to be moved.
  const guard: Step = { verb: 'put', kind: 'duty', key: row.key, ifVersion: row.version, value }
  await store.commit([guard, removal, { verb: 'create', kind: 'duty', key, value: later }])
}
