/**
 * Store and Bus on one SQLite file, through `node:sqlite`.
 *
 * Durable when answered, one writer thread, readers on the calling thread (WAL: they never wait for
 * a writer). Two processes may share the file during a rolling restart: writes take turns by
 * SQLite's lock, and the bus notices the other one's commits by `PRAGMA data_version`.
 */
import { chmodSync, closeSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StoreError } from '../errors.ts'
import type { Bus, Runtime, Store } from '../ports.ts'
import { APPLIED_MIGRATIONS, isMigrated, migrate } from './schema.ts'
import type { Sql } from './sql.ts'
import type { OnUnreadable } from './sql-records.ts'
import { createSqlStore } from './sql-store.ts'
import { createPreparer, execute, failed } from './sqlite-batch.ts'
import { createSqliteBus } from './sqlite-bus.ts'
import { createSqliteWriter, storeError } from './sqlite-writer.ts'

export interface SqliteOptions {
  /** The database file; its directory is made when missing. */
  readonly path: string
  readonly runtime: Runtime
  /** Longest wait for another process's lock. Default 10_000. */
  readonly busyTimeoutMs?: number
  /** Told the kind of a row that nobody can read, each time a list comes across it. */
  readonly onUnreadable?: OnUnreadable
}

const BUSY_TIMEOUT_MS = 10_000
const READ_BUSY_TIMEOUT_MS = 250
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

/** @throws {StoreError} when the file cannot be opened. @throws {ConfigError} on a foreign schema. */
export async function openSqlite(
  options: SqliteOptions,
): Promise<{ store: Store; bus: Bus; sql: Sql }> {
  const path = resolve(options.path)
  const busyTimeoutMs = options.busyTimeoutMs ?? BUSY_TIMEOUT_MS
  prepareFile(path)
  const writer = createSqliteWriter({ path, busyTimeoutMs })
  const opened = writer.open()
  // A file that needs no migration is read while the writer's thread starts. Should that fail, the
  // first write tries again and says so.
  opened.catch(() => undefined)
  const early = openMigrated(path, options.runtime)
  if (early === undefined) await opened
  const reader = early ?? openReader(path)
  const prepare = createPreparer(reader)
  const bus = createSqliteBus({ runtime: options.runtime, dataVersion })

  function dataVersion(): number {
    const row = prepare('PRAGMA data_version').statement.get()
    return Number(row?.['data_version'])
  }

  const sql: Sql = {
    read: async (statement) => {
      try {
        return execute(prepare(statement.sql), statement.args).rows
      } catch (error) {
        throw readError(error)
      }
    },
    write: async (statement) => {
      const result = await writer.submit([statement])
      const first = result.won ? result.results[0] : undefined
      return first ?? { rows: [], changes: 0 }
    },
    commit: (statements) => writer.submit(statements),
    close: async () => {
      bus.close()
      reader.close()
      await writer.close()
    },
  }
  try {
    if (early === undefined) await migrate(sql, options.runtime)
  } catch (error) {
    await sql.close()
    throw error
  }
  return { store: createSqlStore(sql, options.onUnreadable), bus, sql }
}

function openReader(path: string): DatabaseSync {
  return new DatabaseSync(path, { readOnly: true, timeout: READ_BUSY_TIMEOUT_MS })
}

/** A reader of a file with this release's tables; `undefined` for any other, whatever is wrong. */
function openMigrated(path: string, runtime: Runtime): DatabaseSync | undefined {
  if (statSync(path).size === 0) return undefined
  let reader: DatabaseSync | undefined
  try {
    reader = openReader(path)
    if (isMigrated(reader.prepare(APPLIED_MIGRATIONS).all(), runtime)) return reader
  } catch {
    // The writer finds out what it is, and tells.
  }
  reader?.close()
  return undefined
}

/** Made by us with a tight mode before SQLite sees it; the WAL files take over the mode. */
function prepareFile(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: DIRECTORY_MODE })
    closeSync(openSync(path, 'a', FILE_MODE))
    chmodSync(path, FILE_MODE)
  } catch (cause) {
    throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied', cause)
  }
}

function readError(error: unknown): unknown {
  if (error instanceof TypeError) return error
  const outcome = failed(error, 'not-applied')
  return outcome.state === 'failed' ? storeError(outcome.failure) : error
}
