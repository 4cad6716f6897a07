/**
 * Store in memory: the semantics of the SQL store without a disk, for tests and trials.
 *
 * Values are kept as JSON, so that nobody shares an object with the store. Forgets everything with
 * the process, which is why the configuration must ask for it by name.
 */
import type { Step, Store } from '../ports.ts'
import { INDEXES } from '../record-kinds.ts'
import type { Kind } from '../records.ts'
import { createMemoryGrants, type MemoryGrants } from './memory-grants.ts'
import {
  byId,
  consume,
  insert,
  readValue,
  rowKey,
  type Table,
  type Undo,
  update,
  versioned,
} from './memory-rows.ts'
import { keyText, wholeNumber } from './sql.ts'
import { pageMax } from './sql-records.ts'
import { KEPT_PAST_LIFE_MS, requireSteps } from './sql-store.ts'

export function createMemoryStore(options: { epoch?: number } = {}): Store {
  const tables = new Map<Kind, Table>()
  const table = (kind: Kind): Table => {
    const known = tables.get(kind)
    if (known !== undefined) return known
    const made: Table = new Map()
    tables.set(kind, made)
    return made
  }
  const applyAll = (steps: readonly Step[]): boolean => {
    const undo: Undo[] = []
    try {
      for (const step of steps) {
        if (applyStep(table, grants, step, undo)) continue
        for (const back of undo.reverse()) back()
        return false
      }
      return true
    } catch (error) {
      for (const back of undo.reverse()) back()
      throw error
    }
  }
  const grants: MemoryGrants = createMemoryGrants(options.epoch ?? 1, applyAll)

  return {
    async get(kind, key) {
      const row = table(kind).get(rowKey(key))
      return row === undefined ? undefined : versioned(row)
    },
    async create(kind, key, value) {
      return { won: insert(table(kind), kind, key, value, []) }
    },
    async put(kind, key, ifVersion, value) {
      const won = update(table(kind), kind, key, ifVersion, value, [])
      return won ? { won: true, version: ifVersion + 1 } : { won: false }
    },
    async consume(kind, key, attempt, nowMs) {
      if (consume(table(kind), key, attempt, nowMs, [])) {
        const row = table(kind).get(rowKey(key))
        return row === undefined ? undefined : readValue(row)
      }
      return table(kind).get(rowKey(key))?.consumedBy === undefined ? undefined : 'replayed'
    },
    async remove(kind, key) {
      table(kind).delete(rowKey(key))
    },
    async list(kind, tenant, index, page) {
      if (index !== undefined && !(index.name in (INDEXES[kind] ?? {}))) {
        throw new TypeError(`${kind} has no index ${index.name}`)
      }
      return [...table(kind).values()]
        .filter((row) => row.tenant === keyText(tenant) && row.id > (page.after ?? ''))
        .filter(
          (row) => index === undefined || row.indexed.get(index.name) === keyText(index.value),
        )
        .sort(byId)
        .slice(0, pageMax(page.max))
        .map((row) => versioned(row))
    },
    async count(kind, tenant) {
      let number = 0
      for (const row of table(kind).values()) if (row.tenant === tenant) number += 1
      return number
    },
    async commit(steps) {
      requireSteps(steps)
      return { won: applyAll(steps) }
    },
    async sweep(nowMs, max) {
      const deadBeforeMs = wholeNumber(nowMs) - KEPT_PAST_LIFE_MS
      const dead = (): { table: Table; id: string }[] =>
        [...tables.values()].flatMap((rows) =>
          [...rows]
            .filter(([, row]) => row.expiresAtMs !== undefined && row.expiresAtMs <= deadBeforeMs)
            .map(([id]) => ({ table: rows, id })),
        )
      const removable = dead().slice(0, max)
      for (const { table: rows, id } of removable) rows.delete(id)
      const removed = removable.length + grants.sweep(nowMs, max - removable.length)
      return { removed, more: dead().length > 0 || grants.hasDead(nowMs) }
    },
    grants,
    close: async () => undefined,
  }
}

function applyStep(
  table: (kind: Kind) => Table,
  grants: MemoryGrants,
  step: Step,
  undo: Undo[],
): boolean {
  switch (step.verb) {
    case 'create':
      return insert(table(step.kind), step.kind, step.key, step.value, undo)
    case 'put':
      return update(table(step.kind), step.kind, step.key, step.ifVersion, step.value, undo)
    case 'consume':
      return consume(table(step.kind), step.key, step.attempt, step.nowMs, undo)
    case 'remove': {
      const rows = table(step.kind)
      const key = rowKey(step.key)
      const before = rows.get(key)
      if (before === undefined) return false
      rows.delete(key)
      undo.push(() => rows.set(key, before))
      return true
    }
    case 'createGrant':
      return grants.insert(step.grant, undo)
  }
}
