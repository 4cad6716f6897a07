/**
 * The Store on any engine of the `Sql` driver port: records, grants, marks, sweep.
 *
 * No clock, no retry, no cache. A row stays 10 minutes past its life, so that a replay can be told
 * from an unknown value, a mark 25 hours; the sweep deletes in small batches, because one large delete holds the
 * only writer for too long.
 */
import type { Step, Store } from '../ports.ts'
import { MARK_KEPT_PAST_LIFE_MS } from '../records.ts'
import { COMMIT_STEPS_MAX, numberOf, type Sql, wholeNumber } from './sql.ts'
import { createSqlGrants } from './sql-grants.ts'
import { createSqlRecords, type OnUnreadable, stepStatement } from './sql-records.ts'

export const KEPT_PAST_LIFE_MS = 600_000

/** Tables with a life, and the key that names a row. */
const SWEPT = [
  { table: 'records', key: 'tenant, kind, id', keptMs: KEPT_PAST_LIFE_MS },
  { table: 'grants', key: 'tenant, id', keptMs: KEPT_PAST_LIFE_MS },
  { table: 'revocations', key: 'sequence', keptMs: MARK_KEPT_PAST_LIFE_MS },
] as const

export function createSqlStore(sql: Sql, onUnreadable: OnUnreadable = () => undefined): Store {
  return {
    ...createSqlRecords(sql, onUnreadable),
    grants: createSqlGrants(sql),
    async commit(steps) {
      requireSteps(steps)
      const result = await sql.commit(steps.map(stepStatement))
      return { won: result.won }
    },
    async sweep(nowMs, max) {
      wholeNumber(nowMs)
      let removed = 0
      for (const { table, key, keptMs } of SWEPT) {
        if (removed >= max) break
        const { changes } = await sql.write({
          sql: `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table}
            WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)`,
          args: [nowMs - keptMs, wholeNumber(max - removed)],
        })
        removed += changes
      }
      return { removed, more: await hasDead(sql, nowMs) }
    },
    close: () => sql.close(),
  }
}

/** Asked, not derived: beside a second sweeper "fewer than the limit" does not mean "done". */
async function hasDead(sql: Sql, nowMs: number): Promise<boolean> {
  const parts = SWEPT.map(
    ({ table }, index) => `EXISTS (SELECT 1 FROM ${table} WHERE expires_at <= ?${index + 1})`,
  )
  const rows = await sql.read({
    sql: `SELECT CASE WHEN ${parts.join(' OR ')} THEN 1 ELSE 0 END AS more`,
    args: SWEPT.map(({ keptMs }) => nowMs - keptMs),
  })
  return rows[0] !== undefined && numberOf(rows[0], 'more') === 1
}

export function requireSteps(steps: readonly Step[]): void {
  if (steps.length === 0 || steps.length > COMMIT_STEPS_MAX) {
    throw new TypeError(`a commit has 1 to ${COMMIT_STEPS_MAX} steps`)
  }
}
