/**
 * The generic records of the Store as SQL: one table, real columns for what is searched, JSON for
 * the rest, `version` for compare-and-set. Each verb is one guarded statement.
 */
import { StoreError } from '../errors.ts'
import type { Key, Step, Store, Versioned } from '../ports.ts'
import { INDEXES } from '../record-kinds.ts'
import type { Kind, Values } from '../records.ts'
import {
  encodeValue,
  keyText,
  numberOf,
  optionalKeyText,
  optionalWholeNumber,
  type Row,
  type Sql,
  type SqlValue,
  type Statement,
  textOf,
  wholeNumber,
} from './sql.ts'
import { createGrantStatement } from './sql-grant-row.ts'

type Records = Pick<Store, 'get' | 'create' | 'put' | 'consume' | 'remove' | 'list' | 'count'>

/** Index names of `records.ts` and the column each has. */
const COLUMNS = {
  userId: 'user_id',
  clientId: 'client_id',
  purpose: 'purpose',
  name: 'name',
} as const
type ColumnName = keyof typeof COLUMNS
const COLUMN_NAMES = Object.keys(COLUMNS).filter(isColumnName)
const LIST_MAX = 1_000
/** Rounds of reading on past rows that are not JSON; a table with more of them is lost as a whole. */
const UNREADABLE_MAX = 1_000

/** Told the kind of a row that `list` left out because nobody can read it. */
export type OnUnreadable = (kind: Kind) => void

export function createSqlRecords(sql: Sql, onUnreadable: OnUnreadable): Records {
  return {
    async get(kind, key) {
      const rows = await sql.read({
        sql: 'SELECT tenant, id, data, version FROM records WHERE tenant = ?1 AND kind = ?2 AND id = ?3',
        args: keyArgs(kind, key),
      })
      return rows[0] === undefined ? undefined : versioned(rows[0])
    },
    async create(kind, key, value) {
      const { changes } = await sql.write(createStatement(kind, key, value))
      return { won: changes === 1 }
    },
    async put(kind, key, ifVersion, value) {
      const { changes } = await sql.write(putStatement(kind, key, ifVersion, value))
      return changes === 1 ? { won: true, version: ifVersion + 1 } : { won: false }
    },
    async consume(kind, key, attempt, nowMs) {
      const { rows } = await sql.write(consumeStatement(kind, key, attempt, nowMs))
      if (rows[0] !== undefined) return readValue(rows[0])
      const left = await sql.read({
        sql: `SELECT consumed_by FROM records
          WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND consumed_by IS NOT NULL`,
        args: keyArgs(kind, key),
      })
      return left.length === 0 ? undefined : 'replayed'
    },
    async remove(kind, key) {
      await sql.write(removeStatement(kind, key))
    },
    async list(kind, tenant, index, page) {
      const max = pageMax(page.max)
      const found: Versioned<typeof kind>[] = []
      let after = page.after ?? ''
      for (let round = 0; round < UNREADABLE_MAX; round += 1) {
        const asked = max - found.length
        const rows = await sql.read(listStatement(kind, tenant, index, { after, max: asked }))
        for (const row of rows) {
          try {
            found.push(versioned(row))
          } catch (error) {
            if (!(error instanceof StoreError)) throw error
            onUnreadable(kind)
          }
        }
        const last = rows.at(-1)
        // A short page means the end to every caller, so it is filled up.
        if (last === undefined || rows.length < asked || found.length === max) return found
        after = textOf(last, 'id')
      }
      throw new StoreError('ERR_STORE_CORRUPT', 'not-applied')
    },
    async count(kind, tenant) {
      const rows = await sql.read({
        sql: 'SELECT COUNT(*) AS number FROM records WHERE tenant = ?1 AND kind = ?2',
        args: [keyText(tenant), kind],
      })
      return rows[0] === undefined ? 0 : numberOf(rows[0], 'number')
    },
  }
}

/** The statement of a step, with the row it must touch. */
export function stepStatement(step: Step): Statement {
  switch (step.verb) {
    case 'create':
      return { ...createStatement(step.kind, step.key, step.value), expect: 1 }
    case 'put':
      return { ...putStatement(step.kind, step.key, step.ifVersion, step.value), expect: 1 }
    case 'consume':
      return { ...consumeStatement(step.kind, step.key, step.attempt, step.nowMs), expect: 1 }
    case 'remove':
      return { ...removeStatement(step.kind, step.key), expect: 1 }
    case 'createGrant':
      return { ...createGrantStatement(step.grant), expect: 1 }
  }
}

function createStatement<K extends Kind>(kind: K, key: Key, value: Values[K]): Statement {
  return {
    sql: `INSERT INTO records
      (tenant, kind, id, data, expires_at, user_id, client_id, purpose, name, version)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1) ON CONFLICT (tenant, kind, id) DO NOTHING`,
    args: [...keyArgs(kind, key), ...valueArgs(kind, value)],
  }
}

function putStatement<K extends Kind>(
  kind: K,
  key: Key,
  ifVersion: number,
  value: Values[K],
): Statement {
  return {
    sql: `UPDATE records SET data = ?4, expires_at = ?5, user_id = ?6, client_id = ?7,
      purpose = ?8, name = ?9, version = version + 1
      WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND version = ?10`,
    args: [...keyArgs(kind, key), ...valueArgs(kind, value), wholeNumber(ifVersion)],
  }
}

// Marked, never deleted: a caller whose answer was lost must not look like a replay.
function consumeStatement(kind: Kind, key: Key, attempt: string, nowMs: number): Statement {
  return {
    sql: `UPDATE records SET consumed_by = ?4
      WHERE tenant = ?1 AND kind = ?2 AND id = ?3 AND (consumed_by = ?4
        OR (consumed_by IS NULL AND (expires_at IS NULL OR expires_at > ?5))) RETURNING data`,
    args: [...keyArgs(kind, key), keyText(attempt), wholeNumber(nowMs)],
  }
}

function removeStatement(kind: Kind, key: Key): Statement {
  return {
    sql: 'DELETE FROM records WHERE tenant = ?1 AND kind = ?2 AND id = ?3',
    args: keyArgs(kind, key),
  }
}

function listStatement(
  kind: Kind,
  tenant: string,
  index: { name: string; value: string } | undefined,
  page: { after?: string; max: number },
): Statement {
  const args: SqlValue[] = [keyText(tenant), kind, keyText(page.after ?? ''), pageMax(page.max)]
  let condition = ''
  if (index !== undefined) {
    if (!isColumnName(index.name) || !(index.name in (INDEXES[kind] ?? {}))) {
      throw new TypeError(`${kind} has no index ${index.name}`)
    }
    condition = `AND ${COLUMNS[index.name]} = ?5`
    args.push(keyText(index.value))
  }
  return {
    sql: `SELECT tenant, id, data, version FROM records
      WHERE tenant = ?1 AND kind = ?2 ${condition} AND id > ?3 ORDER BY id LIMIT ?4`,
    args,
  }
}

/** At most `LIST_MAX` rows a page, whatever was asked. */
export function pageMax(max: number): number {
  return Math.max(0, Math.min(wholeNumber(max), LIST_MAX))
}

function keyArgs(kind: Kind, key: Key): SqlValue[] {
  return [keyText(key.tenant), kind, keyText(key.id)]
}

/** data, expires_at, then the index columns in their fixed order. */
function valueArgs<K extends Kind>(kind: K, value: Values[K]): SqlValue[] {
  const indexes = INDEXES[kind]
  const columns = COLUMN_NAMES.map((name) => optionalKeyText(indexes?.[name]?.(value)))
  return [encodeValue(value), optionalWholeNumber(expiryOf(value)), ...columns]
}

export function expiryOf(value: Values[Kind]): number | undefined {
  return 'expiresAtMs' in value ? value.expiresAtMs : undefined
}

function isColumnName(name: string): name is ColumnName {
  return name in COLUMNS
}

function versioned<K extends Kind>(row: Row): Versioned<K> {
  return {
    key: { tenant: textOf(row, 'tenant'), id: textOf(row, 'id') },
    version: numberOf(row, 'version'),
    value: readValue(row),
  }
}

// The one place where stored JSON becomes a value again: it was written by `encodeValue`.
function readValue<K extends Kind>(row: Row): Values[K] {
  try {
    return JSON.parse(textOf(row, 'data')) as Values[K]
  } catch (cause) {
    throw new StoreError('ERR_STORE_CORRUPT', 'not-applied', cause)
  }
}
