/**
 * A store on a SQLite file that can only be read: no writer, no migration, nothing made that is not
 * there. For commands that look while a server runs.
 */
import { DatabaseSync } from 'node:sqlite'
import { ConfigError, StoreError } from '../errors.ts'
import type { Runtime, Store } from '../ports.ts'
import { APPLIED_MIGRATIONS, isMigrated } from './schema.ts'
import type { Sql } from './sql.ts'
import { createSqlStore } from './sql-store.ts'
import { createPreparer, execute } from './sqlite-batch.ts'

const BUSY_TIMEOUT_MS = 2_000

/**
 * Every writing verb rejects.
 *
 * @throws {StoreError} when there is no such file. @throws {ConfigError} when it is of another release.
 */
export function openSqliteForReading(path: string, runtime: Pick<Runtime, 'sha256'>): Store {
  const database = open(path)
  if (!isMigrated(migrationsOf(database), runtime)) {
    database.close()
    throw new ConfigError(
      'ERR_CONFIG_DATABASE',
      `${path} was made by another release.`,
      'Use the release that made it, or start the server once with this one.',
    )
  }
  const prepare = createPreparer(database)
  const refuse = () => Promise.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied'))
  const sql: Sql = {
    read: async ({ sql: text, args }) => execute(prepare(text), args).rows,
    write: refuse,
    commit: refuse,
    close: async () => database.close(),
  }
  return createSqlStore(sql)
}

function open(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT_MS })
  } catch (cause) {
    throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied', cause)
  }
}

function migrationsOf(database: DatabaseSync) {
  try {
    return database.prepare(APPLIED_MIGRATIONS).all()
  } catch {
    // No such table: not a database of ours.
    return []
  }
}
