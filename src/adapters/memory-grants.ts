/** Grants and marks of the memory store: each verb runs in one turn, so it is atomic by nature. */
import { StoreError } from '../errors.ts'
import type { GrantStore, Key, Step } from '../ports.ts'
import { type Grant, MARK_KEPT_PAST_LIFE_MS, type Mark, type RevocationRow } from '../records.ts'
import { byId, rowKey } from './memory-rows.ts'
import { keyText, wholeNumber } from './sql.ts'
import { createGrantStatement } from './sql-grant-row.ts'
import { pageMax } from './sql-records.ts'
import { KEPT_PAST_LIFE_MS } from './sql-store.ts'

export interface MemoryGrants extends GrantStore {
  insert(grant: Grant, undo: (() => void)[]): boolean
  sweep(nowMs: number, max: number): number
  hasDead(nowMs: number): boolean
}

interface Row {
  grant: Grant
  redeemedAtMs?: number
}

export function createMemoryGrants(
  epoch: number,
  applyAll: (steps: readonly Step[]) => boolean,
): MemoryGrants {
  const rows = new Map<string, Row>()
  const marks: RevocationRow[] = []
  let clock = 0

  const find = (key: Key): Row | undefined => rows.get(rowKey(key))
  const mark = (entry: Mark): number => {
    clock += 1
    marks.push({ ...entry, sequence: clock })
    return clock
  }
  const end = (row: Row, cause: string): void => {
    row.grant = {
      ...row.grant,
      state: 'ended',
      cause,
      version: row.grant.version + 1,
      refreshCurrent: undefined,
      refreshPrevious: undefined,
      refreshSuccessor: undefined,
      refreshGraceUntilMs: undefined,
    }
  }
  const endMarked = (row: Row, cause: string, expiresAtMs: number): void => {
    const { tenant, id } = row.grant
    end(row, cause)
    mark({ tenant, kind: 'grant', id, cause, expiresAtMs, issuedBeforeMs: expiresAtMs })
  }

  return {
    async find(key) {
      const row = find(key)
      return row === undefined ? undefined : structuredClone(row.grant)
    },
    async list(tenant, index, page) {
      return [...rows.values()]
        .map((row) => row.grant)
        .filter((grant) => grant.tenant === tenant && grant[index.name] === keyText(index.value))
        .filter((grant) => grant.id > (page.after ?? ''))
        .sort(byId)
        .slice(0, pageMax(page.max))
        .map((grant) => structuredClone(grant))
    },
    async redeem(key, codeDigest, refreshDigest, nowMs, idleExpiresAtMs, jkt) {
      const row = find(key)
      if (row === undefined || row.grant.codeDigest !== codeDigest) return 'dead'
      const { grant } = row
      if (grant.state === 'pending' && grant.codeExpiresAtMs > wholeNumber(nowMs)) {
        row.redeemedAtMs = nowMs
        row.grant = {
          ...grant,
          ...(jkt === undefined ? {} : { jkt }),
          state: 'active',
          refreshCurrent: refreshDigest,
          version: grant.version + 1,
          expiresAtMs: Math.min(grant.absoluteExpiresAtMs, wholeNumber(idleExpiresAtMs)),
        }
        return 'active'
      }
      if (row.redeemedAtMs === undefined) return 'dead'
      const mine =
        refreshDigest !== undefined &&
        grant.state === 'active' &&
        grant.refreshCurrent === refreshDigest
      return mine ? 'active' : 'reused'
    },
    async rotate(key, presentedDigest, candidate, at) {
      const row = find(key)
      if (row === undefined || row.grant.state !== 'active') return { outcome: 'dead' }
      const { grant } = row
      if (grant.expiresAtMs <= at.nowMs) return { outcome: 'dead' }
      if (grant.refreshCurrent === presentedDigest) {
        const generation = grant.refreshGeneration + 1
        row.grant = {
          ...grant,
          ...(candidate.jkt === undefined ? {} : { jkt: candidate.jkt }),
          refreshPrevious: presentedDigest,
          refreshCurrent: keyText(candidate.digest),
          refreshSuccessor: candidate.sealedSuccessor,
          refreshGeneration: generation,
          refreshGraceUntilMs: at.nowMs + at.graceMs,
          version: grant.version + 1,
          expiresAtMs: Math.min(grant.absoluteExpiresAtMs, wholeNumber(at.idleExpiresAtMs)),
        }
        return { outcome: 'rotated', generation }
      }
      const generation = grant.refreshGeneration
      if (grant.refreshCurrent === candidate.digest) return { outcome: 'rotated', generation }
      const replayable =
        grant.refreshPrevious === presentedDigest && (grant.refreshGraceUntilMs ?? 0) > at.nowMs
      if (replayable && grant.refreshSuccessor !== undefined) {
        return { outcome: 'replayed', sealedSuccessor: grant.refreshSuccessor, generation }
      }
      if (!applyAll(at.alsoWhenReused ?? [])) return { outcome: 'busy' }
      endMarked(row, 'reused', at.markExpiresAtMs)
      return { outcome: 'reused' }
    },
    async end(key, cause, nowMs, markExpiresAtMs, also = []) {
      wholeNumber(nowMs)
      const row = find(key)
      if (row === undefined || row.grant.state === 'ended' || !applyAll(also)) return false
      endMarked(row, cause, markExpiresAtMs)
      return true
    },
    async revoke(given, also = []) {
      const entries = 'kind' in given ? [given] : given
      for (const entry of entries) keyText(entry.id)
      if (!applyAll(also)) throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
      for (const entry of entries) {
        for (const row of rows.values()) {
          const chosen =
            row.grant.state !== 'ended' &&
            row.grant.createdAtMs <= entry.issuedBeforeMs &&
            selects(entry, row.grant)
          if (chosen) end(row, entry.cause ?? 'revoked')
        }
        mark(entry)
      }
      return { sequence: clock }
    },
    async revocationsSince(sequence, max) {
      const after = marks.filter((entry) => entry.sequence > sequence)
      const page = after.slice(0, Math.max(1, pageMax(max)))
      const complete = page.length === after.length
      return { sequence: complete ? clock : (page.at(-1)?.sequence ?? clock), epoch, rows: page }
    },
    insert(grant, undo) {
      // The SQL statement is made for its checks: what SQL refuses is refused here too.
      createGrantStatement(grant)
      const key = rowKey(grant)
      if (rows.has(key)) return false
      const redeemedAtMs = grant.state === 'pending' ? undefined : grant.createdAtMs
      rows.set(key, { grant: structuredClone(grant), redeemedAtMs })
      undo.push(() => rows.delete(key))
      return true
    },
    sweep(nowMs, max) {
      let removed = 0
      for (const [key, row] of rows) {
        const isDead = row.grant.expiresAtMs <= nowMs - KEPT_PAST_LIFE_MS
        if (removed < max && isDead && rows.delete(key)) removed += 1
      }
      for (let index = marks.length - 1; index >= 0; index -= 1) {
        const entry = marks[index]
        if (entry === undefined || removed >= max || !isOver(entry, nowMs)) continue
        marks.splice(index, 1)
        removed += 1
      }
      return removed
    },
    hasDead: (nowMs) =>
      [...rows.values()].some((row) => row.grant.expiresAtMs <= nowMs - KEPT_PAST_LIFE_MS) ||
      marks.some((entry) => isOver(entry, nowMs)),
  }
}

function isOver(mark: Mark, nowMs: number): boolean {
  return mark.expiresAtMs <= nowMs - MARK_KEPT_PAST_LIFE_MS
}

function selects(mark: Mark, grant: Grant): boolean {
  if (mark.tenant !== grant.tenant) return false
  switch (mark.kind) {
    case 'grant':
      return grant.id === mark.id
    case 'user':
      return grant.userId === mark.id
    case 'client':
      return grant.clientId === mark.id
    case 'connector':
      return grant.resource === mark.id
    case 'tenant':
      return true
    case 'token':
    case 'key':
    case 'cache':
      return false
  }
}
