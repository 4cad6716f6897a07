/**
 * One transaction of the SQLite writer: many units, each all or nothing, one durable commit.
 *
 * A unit that fails or loses leaves no row and does not disturb the others. Some errors end the
 * whole transaction behind our back (RAISE(ROLLBACK), I/O, memory): after each failed unit the
 * transaction is looked at, because later units would commit one by one without it.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { parameterCount, type Result, type Row, type Statement } from './sql.ts'

export type Unit = readonly Statement[]
export type Outcome =
  | { readonly state: 'done'; readonly results: readonly Result[] }
  | { readonly state: 'lost' }
  | { readonly state: 'failed'; readonly failure: Failure }
export interface Failure {
  /** SQLite's extended result code; 0 when the error was not SQLite's. */
  readonly code: number
  readonly message: string
  readonly certainty: 'not-applied' | 'unknown'
}

export const UNITS_MAX = 256
const STATEMENTS_CACHED_MAX = 200

export interface Prepared {
  readonly statement: StatementSync
  readonly parameters: number
  readonly returnsRows: boolean
}

/** Compiled statements of one connection. */
export function createPreparer(database: DatabaseSync): (sql: string) => Prepared {
  const cached = new Map<string, Prepared>()
  return (sql) => {
    const known = cached.get(sql)
    if (known !== undefined) return known
    if (cached.size >= STATEMENTS_CACHED_MAX) cached.clear()
    const statement = database.prepare(sql)
    const prepared: Prepared = {
      statement,
      parameters: parameterCount(sql),
      returnsRows: statement.columns().length > 0,
    }
    cached.set(sql, prepared)
    return prepared
  }
}

export function execute(prepared: Prepared, args: Statement['args']): Result {
  // SQLite binds NULL for what is missing, without a word.
  if (args.length !== prepared.parameters) {
    throw new TypeError(`statement takes ${prepared.parameters} arguments, got ${args.length}`)
  }
  if (!prepared.returnsRows) {
    return { rows: [], changes: Number(prepared.statement.run(...args).changes) }
  }
  // Only `all`: an unfinished iterator over RETURNING would keep the write lock.
  const rows: readonly Row[] = prepared.statement.all(...args)
  return { rows, changes: rows.length }
}

export function runBatch(
  database: DatabaseSync,
  prepare: (sql: string) => Prepared,
  units: readonly Unit[],
): Outcome[] {
  try {
    // IMMEDIATE: a deferred transaction that reads first fails at once instead of waiting its turn.
    database.exec('BEGIN IMMEDIATE')
  } catch (error) {
    return units.map(() => failed(error, 'not-applied'))
  }
  const outcomes: Outcome[] = []
  for (const unit of units) {
    outcomes.push(runUnit(database, prepare, unit))
    if (!database.isTransaction) {
      const failure = outcomes.at(-1)
      return units.map(() => failure ?? failed(undefined, 'not-applied'))
    }
  }
  try {
    database.exec('COMMIT')
    return outcomes
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    return units.map(() => failed(error, 'unknown'))
  }
}

function runUnit(database: DatabaseSync, prepare: (sql: string) => Prepared, unit: Unit): Outcome {
  const first = unit[0]
  if (unit.length === 1 && first !== undefined && first.expect === undefined) {
    try {
      return { state: 'done', results: [execute(prepare(first.sql), first.args)] }
    } catch (error) {
      return failed(error, 'not-applied')
    }
  }
  const results: Result[] = []
  let ending: Outcome = { state: 'done', results }
  database.exec('SAVEPOINT unit')
  try {
    for (const statement of unit) {
      const result = execute(prepare(statement.sql), statement.args)
      results.push(result)
      if (statement.expect !== undefined && result.changes !== statement.expect) {
        ending = { state: 'lost' }
        break
      }
    }
  } catch (error) {
    ending = failed(error, 'not-applied')
  }
  if (database.isTransaction) {
    if (ending.state !== 'done') database.exec('ROLLBACK TO unit')
    database.exec('RELEASE unit')
  }
  return ending
}

export function failed(error: unknown, certainty: Failure['certainty']): Outcome {
  const message = error instanceof Error ? error.message : 'failed'
  return { state: 'failed', failure: { code: resultCode(error), message, certainty } }
}

function resultCode(error: unknown): number {
  if (typeof error !== 'object' || error === null || !('errcode' in error)) return 0
  return typeof error.errcode === 'number' ? error.errcode : 0
}
