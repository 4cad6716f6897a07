/** Rows that a house of some age has: revocation marks, and many grants. */
import { randomBytes } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import type { Runtime } from '../../src/ports.ts'
import type { MarkKind } from '../../src/records.ts'
import type { Copy } from './mint.ts'

const BATCH = 500
const COPY_BATCH = 50_000
const MARK_LIFE_MS = 3_900_000
/** What is revoked in practice; each of these look-ups then finds a map that is not empty. */
const MARKED: readonly MarkKind[] = ['grant', 'user', 'token', 'client', 'connector']

/** Before the house opens, so that it loads them as after a restart. */
export async function seedMarks(
  { databasePath, marks }: { readonly databasePath: string; readonly marks: number },
  runtime: Runtime,
): Promise<void> {
  if (marks === 0) return
  const { store } = await openSqlite({ path: databasePath, runtime })
  const issuedBeforeMs = runtime.nowMs()
  const expiresAtMs = issuedBeforeMs + MARK_LIFE_MS
  for (let from = 0; from < marks; from += BATCH) {
    await Promise.all(
      Array.from({ length: Math.min(BATCH, marks - from) }, (_, offset) => {
        const kind = MARKED[(from + offset) % MARKED.length] ?? 'grant'
        const id = randomBytes(16).toString('base64url')
        return store.grants.revoke({
          tenant: 'default',
          kind,
          id,
          issuedBeforeMs,
          expiresAtMs,
          cause: 'bench',
        })
      }),
    )
  }
  await store.close()
}

/**
 * Copies one grant `count` times, each with a person of its own unless `withoutUsers`. By SQL, on a
 * connection of its own: a benchmark cannot sign in a million people.
 */
export function copyGrants(options: {
  readonly databasePath: string
  readonly grantId: string
  readonly count: number
  readonly withoutUsers?: boolean
}): readonly Copy[] {
  const { count, grantId } = options
  const database = new DatabaseSync(options.databasePath, { timeout: 10_000 })
  const run = randomBytes(4).toString('hex')
  const columns = database.prepare('SELECT name FROM pragma_table_info(?)')
  const names = (table: string) => columns.all(table).map((row) => String(row['name']))
  const insertGrants = database.prepare(
    copyStatement(
      'grants',
      names('grants'),
      {
        id: idOf('grt', run),
        ...(options.withoutUsers === true
          ? {}
          : {
              user_id: idOf('usr', run),
              data: `json_set(o.data, '$.userKey', ${idOf('key', run)})`,
            }),
      },
      'o.id = ?3',
    ),
  )
  const insertUsers = database.prepare(
    copyStatement(
      'records',
      names('records'),
      {
        id: idOf('key', run),
        user_id: idOf('usr', run),
        data: `json_set(o.data, '$.userId', ${idOf('usr', run)}, '$.subject', 'person-' || n.i)`,
      },
      `o.kind = 'user' AND o.id = (SELECT json_extract(data, '$.userKey') FROM grants WHERE id = ?3)`,
    ),
  )
  try {
    for (let from = 0; from < count; from += COPY_BATCH) {
      const until = Math.min(count, from + COPY_BATCH) - 1
      database.exec('BEGIN IMMEDIATE')
      insertGrants.run(from, until, grantId)
      if (options.withoutUsers !== true) insertUsers.run(from, until, grantId)
      database.exec('COMMIT')
    }
  } finally {
    database.close()
  }
  const number = (at: number): string => String(at).padStart(ID_DIGITS, '0')
  return Array.from({ length: count }, (_, at) => ({
    grantId: `grt_${run}${number(at)}`,
    userId: `usr_${run}${number(at)}`,
  }))
}

/** As long as ids of the house are: prefix, run, number. */
const ID_DIGITS = 18

function idOf(prefix: string, run: string): string {
  return `'${prefix}_${run}' || printf('%0${ID_DIGITS}d', n.i)`
}

function copyStatement(
  table: string,
  columns: readonly string[],
  replaced: Readonly<Record<string, string>>,
  where: string,
): string {
  const values = columns.map((name) => replaced[name] ?? `o.${name}`)
  return `WITH RECURSIVE n(i) AS (SELECT CAST(?1 AS INTEGER) UNION ALL SELECT i + 1 FROM n WHERE i < CAST(?2 AS INTEGER))
    INSERT INTO ${table} (${columns.join(', ')}) SELECT ${values.join(', ')} FROM n, ${table} o WHERE ${where}`
}
