/**
 * The driver port below the SQL store: one engine, the common subset of `schema.ts`.
 *
 * Placeholders are `?1`, `?2`, each one argument, reused freely. Nothing here knows a table. A
 * driver rejects with `StoreError`: `not-applied` when nothing was written for certain, otherwise
 * `unknown`, which may be asked again only in a form that recognises itself.
 */
import { StoreError } from '../errors.ts'

export type SqlValue = string | number | null
export type Row = Readonly<Record<string, unknown>>

export interface Statement {
  readonly sql: string
  readonly args: readonly SqlValue[]
  /** Rows it must touch, else the whole commit is lost. */
  readonly expect?: number
}
export interface Result {
  readonly rows: readonly Row[]
  /** Rows written; for a statement with RETURNING the rows returned. */
  readonly changes: number
}
export type CommitResult =
  | { readonly won: true; readonly results: readonly Result[] }
  | { readonly won: false }

export interface Sql {
  /** A query that writes nothing; sees every write that was answered before. */
  read(statement: Statement): Promise<readonly Row[]>
  /** One writing statement, durable when answered. */
  write(statement: Statement): Promise<Result>
  /** All or nothing, at most `COMMIT_STEPS_MAX` statements, durable when answered. */
  commit(statements: readonly Statement[]): Promise<CommitResult>
  close(): Promise<void>
}

export const COMMIT_STEPS_MAX = 20
const ID_MAX_CHARACTERS = 4_096
const VALUE_MAX_CHARACTERS = 1_048_576

/**
 * Text that becomes part of a key or a searched column. PostgreSQL and SQLite both store U+FFFD for
 * a lone surrogate, which would make two names one key; NUL ends text in one and fails in the other.
 */
export function keyText(text: string): string {
  const usable =
    typeof text === 'string' &&
    text.length <= ID_MAX_CHARACTERS &&
    text.isWellFormed() &&
    !text.includes('\0')
  if (!usable) throw new StoreError('ERR_STORE_VALUE', 'not-applied')
  return text
}

export function optionalKeyText(text: string | undefined): string | null {
  return text === undefined ? null : keyText(text)
}

/** JSON escapes NUL and lone surrogates, so a value survives every engine as it is. */
export function encodeValue(value: unknown): string {
  const text = JSON.stringify(value)
  if (text.length > VALUE_MAX_CHARACTERS) throw new StoreError('ERR_STORE_VALUE', 'not-applied')
  return text
}

/** Engines differ on what they do with NaN, fractions and big numbers; we store whole safe ones. */
export function wholeNumber(value: number): number {
  if (!Number.isSafeInteger(value)) throw new StoreError('ERR_STORE_VALUE', 'not-applied')
  return value
}

export function optionalWholeNumber(value: number | undefined): number | null {
  return value === undefined ? null : wholeNumber(value)
}

/** Number of arguments a statement takes: the highest `?n` in it. */
export function parameterCount(sql: string): number {
  let highest = 0
  for (const match of sql.matchAll(/\?(\d+)/g)) highest = Math.max(highest, Number(match[1]))
  return highest
}

// What comes back from an engine was written by this house: a wrong type there is damage.
export function textOf(row: Row, column: string): string {
  const value = row[column]
  if (typeof value !== 'string') throw new StoreError('ERR_STORE_CORRUPT', 'not-applied')
  return value
}
export function numberOf(row: Row, column: string): number {
  const value = row[column]
  if (typeof value !== 'number') throw new StoreError('ERR_STORE_CORRUPT', 'not-applied')
  return value
}
export function optionalTextOf(row: Row, column: string): string | undefined {
  return row[column] === null || row[column] === undefined ? undefined : textOf(row, column)
}
export function optionalNumberOf(row: Row, column: string): number | undefined {
  return row[column] === null || row[column] === undefined ? undefined : numberOf(row, column)
}
