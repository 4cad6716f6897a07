/**
 * Store on Cloudflare D1: SQLite behind a network, no interactive transaction. One statement is
 * atomic, and a batch is all or nothing.
 *
 * A step that touches other rows than it must ends its whole batch by a statement behind it that is no
 * JSON then. Reads go to the primary. Migrations are those of `schema.ts`, at open or by
 * `wrangler d1 migrations apply`: each way finds what the other did.
 * @see storage.md sections 1 and 7
 */
import { StoreError } from '../errors.ts'
import type { Runtime, Store } from '../ports.ts'
import {
  APPLIED_MIGRATIONS,
  isMigrated,
  MIGRATIONS_TABLE,
  type Migration,
  migrate,
} from './schema.ts'
import {
  type CommitResult,
  parameterCount,
  type Result,
  type Row,
  type Sql,
  type Statement,
} from './sql.ts'
import type { OnUnreadable } from './sql-records.ts'
import { createSqlStore } from './sql-store.ts'

/** What is used of a binding of type D1. */
export interface D1Database {
  prepare(sql: string): D1Statement
  batch(statements: D1Statement[]): Promise<D1Answer[]>
  withSession(constraint: 'first-primary'): { prepare(sql: string): D1Statement }
}
interface D1Statement {
  bind(...values: unknown[]): D1Statement
  all(): Promise<D1Answer>
}
interface D1Answer {
  readonly results?: unknown
  readonly meta?: { readonly changes?: number }
}

export interface D1Options {
  readonly database: D1Database
  readonly runtime: Runtime
  /** Told the kind of a row that nobody can read, each time a list comes across it. */
  readonly onUnreadable?: OnUnreadable
}

/** Limits of D1: parameters of a statement, bytes of a row. */
export const D1_PARAMETERS_MAX = 100
export const D1_ROW_BYTES_MAX = 2_000_000
const STATEMENTS_COUNTED_MAX = 200

/**
 * Opens what a binding names; one read when its tables are those of this release.
 *
 * @throws {StoreError} when D1 does not answer. @throws {ConfigError} on a foreign schema.
 */
export async function openD1({ database, runtime, onUnreadable }: D1Options): Promise<{
  store: Store
  sql: Sql
}> {
  const sql = d1Sql(database)
  // Before the first migration there is no such table; should D1 be down, the migration says so.
  const applied = await sql.read({ sql: APPLIED_MIGRATIONS, args: [] }).catch(() => [])
  if (!isMigrated(applied, runtime)) await migrate(sql, runtime, { also: wranglerRow })
  return { store: createSqlStore(sql, onUnreadable), sql }
}

/** The `Sql` driver of one binding. `close` does nothing: a binding is not opened either. */
export function d1Sql(database: D1Database): Sql {
  return {
    async read(statement) {
      try {
        // A session of its own: the first query of each goes to the primary, and so does this one.
        const { results } = await bound(database.withSession('first-primary'), statement).all()
        return rowsOf(results)
      } catch (error) {
        throw failureOf(error, 'not-applied')
      }
    },
    async write(statement) {
      try {
        return resultOf(statement, await bound(database, statement).all())
      } catch (error) {
        throw failureOf(error, 'unknown')
      }
    },
    commit: (statements) => commit(database, statements),
    close: async () => undefined,
  }
}

/** Neither of its words is JSON, so a lost step is an error that no other statement of ours makes. */
function guardOf(expect: number): string {
  return `SELECT json(CASE WHEN changes() = ${expect} THEN '1' ELSE 'postern_lost' END)`
}
const LOST = /malformed JSON/i

async function commit(
  database: D1Database,
  statements: readonly Statement[],
): Promise<CommitResult> {
  const batch: D1Statement[] = []
  const places: number[] = []
  try {
    for (const statement of statements) {
      places.push(batch.push(bound(database, statement)) - 1)
      if (statement.expect !== undefined) batch.push(database.prepare(guardOf(statement.expect)))
    }
    const answers = await database.batch(batch)
    const results = statements.map((statement, index) =>
      resultOf(statement, answers[places[index] ?? -1]),
    )
    return { won: true, results }
  } catch (error) {
    if (LOST.test(textOf(error))) return { won: false }
    throw failureOf(error, 'unknown')
  }
}

const counted = new Map<string, number>()

/** @throws {TypeError} for arguments that D1 would bind as something else. */
function bound(to: Pick<D1Database, 'prepare'>, { sql, args }: Statement): D1Statement {
  let parameters = counted.get(sql)
  if (parameters === undefined) {
    if (counted.size >= STATEMENTS_COUNTED_MAX) counted.clear()
    parameters = parameterCount(sql)
    counted.set(sql, parameters)
  }
  if (args.length !== parameters || parameters > D1_PARAMETERS_MAX)
    throw new TypeError(`statement takes ${parameters} arguments, got ${args.length}`)
  let bytes = 0
  for (const value of args) {
    if (typeof value === 'string') bytes += utf8Bytes(value)
    else if (value !== null && !Number.isSafeInteger(value))
      throw new TypeError(`an argument is a ${typeof value} that no column takes`)
  }
  if (bytes > D1_ROW_BYTES_MAX) throw new StoreError('ERR_STORE_VALUE', 'not-applied')
  const statement = to.prepare(sql)
  return args.length === 0 ? statement : statement.bind(...args)
}

/** At most three bytes a unit: only what may be too long is counted. */
function utf8Bytes(text: string): number {
  return text.length * 3 <= D1_ROW_BYTES_MAX / 4
    ? text.length
    : new TextEncoder().encode(text).length
}

function resultOf({ sql }: Statement, answer: D1Answer | undefined): Result {
  const rows = rowsOf(answer?.results)
  const changes = /\bRETURNING\b/.test(sql) ? rows.length : (answer?.meta?.changes ?? 0)
  return { rows, changes }
}

function rowsOf(results: unknown): readonly Row[] {
  if (!Array.isArray(results)) return []
  return results.filter((row): row is Row => typeof row === 'object' && row !== null)
}

/** Errors of D1 have no code, only text: `D1_ERROR: UNIQUE constraint failed: ...: SQLITE_CONSTRAINT`. */
const FAILURES: readonly {
  readonly text: RegExp
  readonly code: StoreError['code']
  readonly certainty?: 'not-applied'
}[] = [
  {
    text: /database or disk is full|SQLITE_FULL|maximum DB size/i,
    code: 'ERR_STORE_FULL',
    certainty: 'not-applied',
  },
  {
    text: /disk image is malformed|SQLITE_CORRUPT|not a database/i,
    code: 'ERR_STORE_CORRUPT',
    certainty: 'not-applied',
  },
  {
    text: /constraint failed|SQLITE_CONSTRAINT|too big|SQLITE_TOOBIG|D1_TYPE_ERROR/i,
    code: 'ERR_STORE_VALUE',
    certainty: 'not-applied',
  },
  // Refused before it ran: by the compiler of SQL, or at the door of a database with too long a queue.
  {
    text: /SQLITE_ERROR|no such (table|column)|syntax error|overloaded|Too many requests queued/i,
    code: 'ERR_STORE_UNAVAILABLE',
    certainty: 'not-applied',
  },
]

/** @param otherwise Whether a call that broke off may have written. */
function failureOf(error: unknown, otherwise: StoreError['certainty']): unknown {
  if (error instanceof StoreError || error instanceof TypeError) return error
  const text = textOf(error)
  const known = FAILURES.find((failure) => failure.text.test(text))
  return new StoreError(
    known?.code ?? 'ERR_STORE_UNAVAILABLE',
    known?.certainty ?? otherwise,
    error,
  )
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  return error.cause instanceof Error ? `${error.message} ${error.cause.message}` : error.message
}

/** File name of a migration for `wrangler d1 migrations apply`, and what wrangler calls it. */
export function wranglerName({ number }: Pick<Migration, 'number'>): string {
  return `${String(number).padStart(4, '0')}_postern.sql`
}

const WRANGLER_TABLE =
  'CREATE TABLE IF NOT EXISTS d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)'

/** In the commit of a migration at open: wrangler finds it applied in its own table. */
function wranglerRow(migration: Migration): readonly Statement[] {
  return [
    { sql: WRANGLER_TABLE, args: [] },
    {
      sql: 'INSERT INTO d1_migrations (name) VALUES (?1) ON CONFLICT (name) DO NOTHING',
      args: [wranglerName(migration)],
    },
  ]
}

/**
 * A migration as a file for wrangler, one statement a line. It writes our row first, so that a house
 * which opens afterwards finds it applied, and one that migrates at the same time makes it fail whole.
 */
export function migrationFile(migration: Migration, runtime: Pick<Runtime, 'sha256'>): string {
  const { number, statements } = migration
  const checksum = runtime.sha256(statements.join('\n'))
  const nowMs = "CAST(strftime('%s', 'now') AS INTEGER) * 1000"
  const lines = [
    MIGRATIONS_TABLE,
    `INSERT INTO schema_migrations (number, checksum, applied_at) VALUES (${number}, '${checksum}', ${nowMs})`,
    ...statements.map((statement) => statement.replaceAll('?1', nowMs).replace(/\s+/g, ' ')),
  ]
  return `${lines.map((line) => `${line};`).join('\n')}\n`
}
