/** Rows of the memory store and their guarded writes; each write says how it is undone. */
import type { Key, Versioned } from '../ports.ts'
import { INDEXES } from '../record-kinds.ts'
import type { Kind, Values } from '../records.ts'
import { encodeValue, keyText, optionalKeyText, optionalWholeNumber, wholeNumber } from './sql.ts'
import { expiryOf } from './sql-records.ts'

export interface Row {
  readonly tenant: string
  readonly id: string
  readonly json: string
  readonly version: number
  readonly consumedBy?: string
  readonly expiresAtMs?: number
  readonly indexed: ReadonlyMap<string, string>
}
export type Table = Map<string, Row>
/** What a step wrote before it was lost, undone in reverse. */
export type Undo = () => void

export function insert<K extends Kind>(
  rows: Table,
  kind: K,
  key: Key,
  value: Values[K],
  undo: Undo[],
): boolean {
  const name = rowKey(key)
  const row = rowOf(kind, key, value, 1)
  if (rows.has(name)) return false
  rows.set(name, row)
  undo.push(() => rows.delete(name))
  return true
}

export function update<K extends Kind>(
  rows: Table,
  kind: K,
  key: Key,
  ifVersion: number,
  value: Values[K],
  undo: Undo[],
): boolean {
  const name = rowKey(key)
  const row = rowOf(kind, key, value, wholeNumber(ifVersion) + 1)
  const before = rows.get(name)
  if (before?.version !== ifVersion) return false
  rows.set(name, { ...row, consumedBy: before.consumedBy })
  undo.push(() => rows.set(name, before))
  return true
}

export function consume(
  rows: Table,
  key: Key,
  attempt: string,
  nowMs: number,
  undo: Undo[],
): boolean {
  const name = rowKey(key)
  const before = rows.get(name)
  keyText(attempt)
  if (before === undefined) return false
  if (before.consumedBy === attempt) return true
  const alive = before.expiresAtMs === undefined || before.expiresAtMs > nowMs
  if (before.consumedBy !== undefined || !alive) return false
  rows.set(name, { ...before, consumedBy: attempt })
  undo.push(() => rows.set(name, before))
  return true
}

function rowOf<K extends Kind>(kind: K, key: Key, value: Values[K], version: number): Row {
  const indexed = new Map<string, string>()
  const indexes = INDEXES[kind]
  for (const name of Object.keys(indexes ?? {})) {
    const text = optionalKeyText(indexes?.[name]?.(value))
    if (text !== null) indexed.set(name, text)
  }
  return {
    tenant: key.tenant,
    id: key.id,
    json: encodeValue(value),
    version,
    indexed,
    expiresAtMs: optionalWholeNumber(expiryOf(value)) ?? undefined,
  }
}

export function rowKey(key: Key): string {
  return JSON.stringify([keyText(key.tenant), keyText(key.id)])
}

/** Ids are ASCII, so that UTF-16 order is the byte order of the engines. */
export function byId(left: { id: string }, right: { id: string }): number {
  if (left.id === right.id) return 0
  return left.id < right.id ? -1 : 1
}

export function versioned<K extends Kind>(row: Row): Versioned<K> {
  return {
    key: { tenant: row.tenant, id: row.id },
    version: row.version,
    value: readValue(row),
  }
}

export function readValue<K extends Kind>(row: Row): Values[K] {
  return JSON.parse(row.json) as Values[K]
}
