/**
 * Revocation marks and their clock as SQL. A mark gets its sequence from one clock row, advanced in
 * the mark's own commit as its last lock, so that commit order is sequence order and no reader of
 * `revocationsSince` can miss one.
 */
import { StoreError } from '../errors.ts'
import type { Key, Step } from '../ports.ts'
import type { Mark, MarkKind, RevocationRow } from '../records.ts'
import { keyText, numberOf, optionalKeyText, type Sql, type Statement, wholeNumber } from './sql.ts'
import { markOf } from './sql-grant-row.ts'
import { pageMax, stepStatement } from './sql-records.ts'

/** The column by which a mark names grants; the other kinds name none. */
const SELECTORS: Partial<Record<MarkKind, string>> = {
  grant: 'id',
  user: 'user_id',
  client: 'client_id',
  connector: 'resource',
}
/** Ends a grant: state, and no refresh token is left to present. */
export const CLEAR_REFRESH = `state = 'ended', refresh_current = NULL, refresh_previous = NULL,
  refresh_successor = NULL, refresh_grace_until = NULL, version = version + 1`

/** A grant ends for good: whatever it issued, whenever, is covered while a token of it can live. */
export function grantMark(key: Key, cause: string, expiresAtMs: number): Mark {
  return {
    tenant: key.tenant,
    kind: 'grant',
    id: key.id,
    cause,
    expiresAtMs,
    issuedBeforeMs: expiresAtMs,
  }
}

export async function revoke(
  sql: Sql,
  given: Mark | readonly Mark[],
  also: readonly Step[],
): Promise<{ sequence: number }> {
  const marks = 'kind' in given ? [given] : given
  const result = await sql.commit([
    ...marks.flatMap(endStatements),
    ...also.map(stepStatement),
    ...marks.flatMap(markStatements),
  ])
  const row = result.won ? result.results.at(-1)?.rows[0] : undefined
  // Only a step of `also` can lose, and then nothing was written.
  if (row === undefined) throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
  return { sequence: numberOf(row, 'sequence') }
}

/** Ends the grants that a mark names: one statement, however many they are. */
function endStatements(mark: Mark): Statement[] {
  const column = SELECTORS[mark.kind]
  const everything = mark.kind === 'tenant'
  if (column === undefined && !everything) return []
  return [
    {
      sql: `UPDATE grants SET cause = ?2, ${CLEAR_REFRESH} WHERE tenant = ?1
        AND state <> 'ended' AND created_at <= ?3 ${everything ? '' : `AND ${column} = ?4`}`,
      args: [
        keyText(mark.tenant),
        keyText(mark.cause ?? 'revoked'),
        wholeNumber(mark.issuedBeforeMs),
        ...(everything ? [] : [keyText(mark.id)]),
      ],
    },
  ]
}

/** Clock first, row second, nothing after: on PostgreSQL the clock row is locked until the commit. */
export function markStatements(mark: Mark): Statement[] {
  return [
    {
      sql: 'UPDATE revocation_clock SET sequence = sequence + 1 WHERE id = 1',
      args: [],
      expect: 1,
    },
    {
      sql: `INSERT INTO revocations (sequence, tenant, kind, id, issued_before, expires_at, cause)
        SELECT sequence, ?1, ?2, ?3, CAST(?4 AS BIGINT), CAST(?5 AS BIGINT), ?6
        FROM revocation_clock WHERE id = 1 RETURNING sequence`,
      args: [
        keyText(mark.tenant),
        mark.kind,
        keyText(mark.id),
        wholeNumber(mark.issuedBeforeMs),
        wholeNumber(mark.expiresAtMs),
        optionalKeyText(mark.cause),
      ],
      expect: 1,
    },
  ]
}

export async function revocationsSince(
  sql: Sql,
  sequence: number,
  max: number,
): Promise<{ sequence: number; epoch: number; rows: readonly RevocationRow[] }> {
  // One statement, one snapshot: a clock read after the rows could skip one.
  const rows = await sql.read({
    sql: `SELECT c.sequence AS clock, c.epoch AS epoch, r.* FROM revocation_clock c
      LEFT JOIN revocations r ON r.sequence > ?1 WHERE c.id = 1 ORDER BY r.sequence LIMIT ?2`,
    args: [wholeNumber(sequence), Math.max(1, pageMax(max))],
  })
  const first = rows[0]
  if (first === undefined) throw new StoreError('ERR_STORE_CORRUPT', 'not-applied')
  const marks = rows.filter((row) => row['sequence'] !== null).map(markOf)
  const complete = rows.length < Math.max(1, pageMax(max)) || marks.length === 0
  return {
    sequence: complete ? numberOf(first, 'clock') : (marks.at(-1)?.sequence ?? sequence),
    epoch: numberOf(first, 'epoch'),
    rows: marks,
  }
}
