/**
 * Tables of the SQL store, as arrays of statements in the subset that SQLite, D1 and PostgreSQL
 * share: BIGINT and TEXT, `?n` placeholders, no engine's own functions.
 *
 * A published migration never changes: its checksum is kept, and an edited one refuses to start.
 * The first statement of each batch is the row in `schema_migrations`; its primary key is the lock
 * between processes that migrate at once.
 */
import { ConfigError } from '../errors.ts'
import type { Runtime } from '../ports.ts'
import { numberOf, type Row, type Sql, type Statement, textOf } from './sql.ts'

export interface Migration {
  readonly number: number
  readonly statements: readonly string[]
}

export const MIGRATIONS_TABLE =
  'CREATE TABLE IF NOT EXISTS schema_migrations (number BIGINT PRIMARY KEY, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)'

export const APPLIED_MIGRATIONS = 'SELECT number, checksum FROM schema_migrations ORDER BY number'

/** Whether the rows of `APPLIED_MIGRATIONS` are exactly what this release writes. */
export function isMigrated(rows: readonly Row[], runtime: Pick<Runtime, 'sha256'>): boolean {
  if (rows.length !== MIGRATIONS.length) return false
  return MIGRATIONS.every(({ number, statements }, index) => {
    const row = rows[index]
    return (
      row !== undefined &&
      numberOf(row, 'number') === number &&
      textOf(row, 'checksum') === runtime.sha256(statements.join('\n'))
    )
  })
}

/** `?1` is the epoch of the revocation clock where it is used. */
export const MIGRATIONS: readonly Migration[] = [
  {
    number: 1,
    statements: [
      `CREATE TABLE records (
        tenant TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
        user_id TEXT, client_id TEXT, purpose TEXT, name TEXT,
        data TEXT NOT NULL, version BIGINT NOT NULL, consumed_by TEXT, expires_at BIGINT,
        PRIMARY KEY (tenant, kind, id))`,
      'CREATE INDEX records_user ON records (tenant, kind, user_id, id) WHERE user_id IS NOT NULL',
      'CREATE INDEX records_client ON records (tenant, kind, client_id, id) WHERE client_id IS NOT NULL',
      'CREATE INDEX records_purpose ON records (tenant, kind, purpose, id) WHERE purpose IS NOT NULL',
      'CREATE INDEX records_name ON records (tenant, kind, name, id) WHERE name IS NOT NULL',
      'CREATE INDEX records_expiry ON records (expires_at) WHERE expires_at IS NOT NULL',
      `CREATE TABLE grants (
        tenant TEXT NOT NULL, id TEXT NOT NULL,
        user_id TEXT NOT NULL, client_id TEXT NOT NULL, resource TEXT NOT NULL,
        vault_id TEXT NOT NULL, session_id TEXT, state TEXT NOT NULL, cause TEXT,
        code_digest TEXT NOT NULL, code_expires_at BIGINT NOT NULL, redeemed_at BIGINT,
        refresh_current TEXT, refresh_previous TEXT, refresh_successor TEXT,
        refresh_generation BIGINT NOT NULL, refresh_grace_until BIGINT,
        created_at BIGINT NOT NULL, absolute_expires_at BIGINT NOT NULL, expires_at BIGINT NOT NULL,
        data TEXT NOT NULL, version BIGINT NOT NULL,
        PRIMARY KEY (tenant, id),
        CHECK (state IN ('pending', 'active', 'ended')))`,
      'CREATE INDEX grants_user ON grants (tenant, user_id, id)',
      'CREATE INDEX grants_client ON grants (tenant, client_id, id)',
      'CREATE INDEX grants_resource ON grants (tenant, resource, id)',
      'CREATE INDEX grants_vault ON grants (tenant, vault_id, id)',
      'CREATE INDEX grants_session ON grants (tenant, session_id, id) WHERE session_id IS NOT NULL',
      'CREATE INDEX grants_expiry ON grants (expires_at)',
      'CREATE TABLE revocation_clock (id BIGINT PRIMARY KEY, sequence BIGINT NOT NULL, epoch BIGINT NOT NULL)',
      'INSERT INTO revocation_clock (id, sequence, epoch) VALUES (1, 0, ?1)',
      `CREATE TABLE revocations (
        sequence BIGINT PRIMARY KEY, tenant TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
        issued_before BIGINT NOT NULL, expires_at BIGINT NOT NULL, cause TEXT)`,
      'CREATE INDEX revocations_expiry ON revocations (expires_at)',
    ],
  },
]

/**
 * Brings the tables up to `migrations`. Several processes may do this at once: one applies, the
 * others find it applied.
 *
 * @throws {ConfigError} when the database was made by a newer release or a migration was edited.
 */
export async function migrate(
  sql: Sql,
  runtime: Runtime,
  {
    migrations = MIGRATIONS,
    also = () => [],
  }: {
    readonly migrations?: readonly Migration[]
    /** Written in the commit of each. */
    readonly also?: (migration: Migration) => readonly Statement[]
  } = {},
): Promise<void> {
  await sql.write({ sql: MIGRATIONS_TABLE, args: [] })
  for (const migration of migrations) {
    const checksum = runtime.sha256(migration.statements.join('\n'))
    const known = await appliedChecksum(sql, migration.number)
    if (known === undefined) {
      if (await apply(sql, runtime, migration, checksum, also(migration))) continue
    }
    const applied = known ?? (await appliedChecksum(sql, migration.number))
    if (applied !== checksum) {
      throw new ConfigError(
        'ERR_CONFIG_DATABASE',
        `migration ${migration.number} of this database is not the one of this release.`,
        'Start the release that made the database, or set databaseUrl to a new one.',
      )
    }
  }
  const newest = migrations.at(-1)?.number ?? 0
  const rows = await sql.read({
    sql: 'SELECT COALESCE(MAX(number), 0) AS number FROM schema_migrations',
    args: [],
  })
  if (rows[0] !== undefined && numberOf(rows[0], 'number') > newest) {
    throw new ConfigError(
      'ERR_CONFIG_DATABASE',
      'this database was made by a newer release.',
      'Start that release again, or set databaseUrl to a new one.',
    )
  }
}

async function appliedChecksum(sql: Sql, number: number): Promise<string | undefined> {
  const rows = await sql.read({
    sql: 'SELECT checksum FROM schema_migrations WHERE number = ?1',
    args: [number],
  })
  return rows[0] === undefined ? undefined : textOf(rows[0], 'checksum')
}

async function apply(
  sql: Sql,
  runtime: Runtime,
  migration: Migration,
  checksum: string,
  also: readonly Statement[],
): Promise<boolean> {
  const nowMs = Math.trunc(runtime.nowMs())
  const result = await sql.commit([
    {
      sql: `INSERT INTO schema_migrations (number, checksum, applied_at) VALUES (?1, ?2, ?3)
        ON CONFLICT (number) DO NOTHING`,
      args: [migration.number, checksum, nowMs],
      expect: 1,
    },
    ...migration.statements.map((text) => ({
      sql: text,
      args: text.includes('?1') ? [nowMs] : [],
    })),
    ...also,
  ])
  return result.won
}
