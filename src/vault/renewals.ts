/**
 * Upstream tokens in use on a platform without timers: noted down as they are used, refreshed ahead of
 * their end by `runDue` (VAL-13).
 *
 * One row per token, named by the time when it is due: the first rows are what is due, however many
 * others there are. Written behind the use, at most once an hour by a node and record. What nobody used
 * for two hours is not refreshed; a lost row costs a refresh on demand, nothing else. The refresh itself
 * is kept apart by its lease and intent (threats.md section 6).
 */
import { LRUCache } from 'lru-cache'
import { StoreError } from '../errors.ts'
import type { Key, Lock, Runtime, Store, Versioned } from '../ports.ts'
import { TENANT } from '../records.ts'
import { type RefreshResult, refreshDueAtMs } from './refresh.ts'
import type { Vault, VaultEntry, VaultRecord } from './vault.ts'

/** Refreshes one record when it is due. `dead`: never again with these tokens. */
export type Renew = (vaultId: string, record: VaultRecord) => Promise<RefreshResult>

export interface Renewals {
  /** These tokens are being used. Waits for nothing. */
  seen(vaultId: string, record: VaultRecord): void
  /** Refreshes what is due, at most `runMax` records; the rest is due in the next run. */
  runDue(renew: Renew): Promise<void>
}

export interface RenewalsDeps {
  readonly store: Pick<Store, 'create' | 'get' | 'put' | 'list' | 'remove'>
  readonly lock: Lock
  readonly runtime: Pick<
    Runtime,
    'nowMs' | 'monotonicMs' | 'random' | 'waitUntil' | 'sharesPromises'
  >
  readonly vault: Pick<Vault, 'find'>
  readonly runMax: number
}

export const NOTED_EVERY_MS = 3_600_000
/** A note that failed is written again by a use after this. */
const NOTED_RETRY_MS = 60_000
/** Twice what a note takes to come, so that what is used all the time never falls out. */
export const IN_USE_MS = 2 * NOTED_EVERY_MS
const NOTED_MAX = 50_000
/** A row that no run came to: the token has ended by then. */
const ROW_KEPT_MS = 86_400_000
/** Longest that a run begins new refreshes. */
const RUN_MAX_MS = 45_000
const LEASE_MS = 60_000
const LOCK_DEADLINE_MS = 300
const RETRY_MIN_MS = 60_000
const RETRY_MAX_MS = 600_000
const DUE_DIGITS = 15

type Row = Versioned<'renewal'>

export function createRenewals(deps: RenewalsDeps): Renewals {
  const { store, lock, runtime } = deps
  const noted = new LRUCache<string, number>({ max: NOTED_MAX })
  return {
    seen(vaultId, record) {
      if (!record.hasRefreshToken || record.accessExpiresAtMs === undefined) return
      const nowMs = runtime.monotonicMs()
      if (nowMs - (noted.get(vaultId) ?? Number.NEGATIVE_INFINITY) < NOTED_EVERY_MS) return
      noted.set(vaultId, nowMs)
      runtime.waitUntil(
        note(deps, vaultId, record, Math.trunc(runtime.nowMs())).catch(() => {
          noted.set(vaultId, nowMs - NOTED_EVERY_MS + NOTED_RETRY_MS)
        }),
      )
    },
    async runDue(renew) {
      // Where timers run, they do it.
      if (runtime.sharesPromises) return
      const first = await store.list('renewal', TENANT, undefined, { max: deps.runMax })
      const due = first.filter(({ key }) => dueOf(key) <= runtime.nowMs())
      if (due.length === 0) return
      const taken = await lock.acquire('renewals', LEASE_MS, LOCK_DEADLINE_MS)
      if (taken.state === 'held') return
      try {
        await runRows(deps, due, renew)
      } finally {
        if (taken.state === 'acquired') await taken.lease.release().catch(() => undefined)
      }
    },
  }
}

/** One provider's records one after the other, providers beside each other: one that is slow holds up its own. */
async function runRows(deps: RenewalsDeps, rows: readonly Row[], renew: Renew): Promise<void> {
  const untilMs = deps.runtime.monotonicMs() + RUN_MAX_MS
  const lines = new Map<string, { readonly row: Row; readonly entry: VaultEntry }[]>()
  for (const row of rows) {
    const entry = await wanted(deps, row)
    if (entry === undefined) continue
    const { provider } = entry.record
    lines.set(provider, [...(lines.get(provider) ?? []), { row, entry }])
  }
  const runLine = async (line: readonly { row: Row; entry: VaultEntry }[]): Promise<void> => {
    let answers = true
    for (const { row, entry } of line) {
      if (deps.runtime.monotonicMs() >= untilMs) return
      const { id, record } = entry
      // One that could not say is not asked about all the others in the same run.
      const result = answers ? await renew(id, record) : 'unknown'
      if (result === 'unknown') {
        answers = false
        await postpone(deps, row)
      } else if (result === 'dead') await deps.store.remove('renewal', row.key)
      else await moveOn(deps, row, await deps.vault.find(id))
    }
  }
  const done = await Promise.allSettled([...lines.values()].map(runLine))
  for (const each of done) if (each.status === 'rejected') throw each.reason
}

/** The record that is to be refreshed now; else its row moves or goes. */
async function wanted(deps: RenewalsDeps, row: Row): Promise<VaultEntry | undefined> {
  const { runtime, store } = deps
  const { vaultId, usedAtMs } = row.value
  const isUsed = runtime.nowMs() - usedAtMs < IN_USE_MS
  const entry = isUsed ? await findOrNone(deps, vaultId) : undefined
  if (entry?.record.state !== 'active') {
    await store.remove('renewal', row.key)
    return undefined
  }
  if (refreshDueAtMs(entry.record, 0) <= runtime.nowMs()) return entry
  // Refreshed by a request that could not wait.
  await moveOn(deps, row, entry)
  return undefined
}

async function findOrNone({ vault }: RenewalsDeps, id: string): Promise<VaultEntry | undefined> {
  try {
    return await vault.find(id)
  } catch (error) {
    if (error instanceof StoreError && error.code === 'ERR_STORE_CORRUPT') return undefined
    throw error
  }
}

/** The next token of this record is in use as this one was. A crash in between leaves one row too many. */
async function moveOn(deps: RenewalsDeps, row: Row, entry: VaultEntry | undefined): Promise<void> {
  if (entry?.record.state === 'active' && entry.record.accessExpiresAtMs !== undefined)
    await note(deps, entry.id, entry.record, row.value.usedAtMs)
  await deps.store.remove('renewal', row.key)
}

async function postpone({ store, runtime }: RenewalsDeps, { key, value }: Row): Promise<void> {
  const { vaultId, attempts } = value
  const waitMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(attempts, 10))
  const dueAtMs = Math.trunc(runtime.nowMs() + waitMs * (0.5 + runtime.random() / 2))
  const later = { ...value, attempts: attempts + 1, expiresAtMs: dueAtMs + ROW_KEPT_MS }
  await store.create('renewal', keyAt(dueAtMs, vaultId), later)
  await store.remove('renewal', key)
}

async function note(
  { store }: RenewalsDeps,
  vaultId: string,
  record: VaultRecord,
  usedAtMs: number,
): Promise<void> {
  const dueAtMs = Math.ceil(refreshDueAtMs(record, 0))
  const key = keyAt(dueAtMs, vaultId)
  const value = { vaultId, usedAtMs, attempts: 0, expiresAtMs: dueAtMs + ROW_KEPT_MS }
  if ((await store.create('renewal', key, value)).won) return
  const known = await store.get('renewal', key)
  if (known === undefined || known.value.usedAtMs >= usedAtMs) return
  await store.put('renewal', key, known.version, { ...known.value, usedAtMs })
}

/** The same from every node that holds this token. */
function keyAt(dueAtMs: number, vaultId: string): Key {
  return { tenant: TENANT, id: `${String(dueAtMs).padStart(DUE_DIGITS, '0')}.${vaultId}` }
}

function dueOf({ id }: Key): number {
  return Number(id.slice(0, DUE_DIGITS))
}
