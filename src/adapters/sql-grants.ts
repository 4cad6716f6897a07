/**
 * Grants as SQL. A grant is one row: redeem, rotate and end are one UPDATE each, and 0 rows touched
 * means that somebody else was first. The token carries the grant's id, so no digest has an index.
 */
import type { GrantStore, Key, RefreshCandidate, Step } from '../ports.ts'
import {
  keyText,
  numberOf,
  optionalKeyText,
  optionalNumberOf,
  optionalTextOf,
  type Row,
  type Sql,
  type Statement,
  textOf,
  wholeNumber,
} from './sql.ts'
import { boundData, grantOf } from './sql-grant-row.ts'
import { CLEAR_REFRESH, grantMark, markStatements, revocationsSince, revoke } from './sql-marks.ts'
import { pageMax, stepStatement } from './sql-records.ts'

const LIST_COLUMNS = {
  userId: 'user_id',
  clientId: 'client_id',
  vaultId: 'vault_id',
  sessionId: 'session_id',
} as const
const ROTATE_ATTEMPTS_MAX = 3

export function createSqlGrants(sql: Sql): GrantStore {
  const find = async (key: Key): Promise<Row | undefined> => {
    const rows = await sql.read({
      sql: 'SELECT * FROM grants WHERE tenant = ?1 AND id = ?2',
      args: [keyText(key.tenant), keyText(key.id)],
    })
    return rows[0]
  }
  return {
    async find(key) {
      const row = await find(key)
      return row === undefined ? undefined : grantOf(row)
    },
    async list(tenant, index, page) {
      const rows = await sql.read({
        sql: `SELECT * FROM grants WHERE tenant = ?1 AND ${LIST_COLUMNS[index.name]} = ?2
          AND id > ?3 ORDER BY id LIMIT ?4`,
        args: [keyText(tenant), keyText(index.value), keyText(page.after ?? ''), pageMax(page.max)],
      })
      return rows.map(grantOf)
    },
    async redeem(key, codeDigest, refreshDigest, nowMs, idleExpiresAtMs, jkt) {
      const data = jkt === undefined ? null : boundData(await find(key), jkt)
      const { changes } = await sql.write({
        sql: `UPDATE grants SET state = 'active', refresh_current = ?4, redeemed_at = ?5,
          expires_at = CASE WHEN absolute_expires_at < ?6 THEN absolute_expires_at ELSE ?6 END,
          data = COALESCE(?7, data), version = version + 1
          WHERE tenant = ?1 AND id = ?2 AND state = 'pending' AND code_digest = ?3
            AND code_expires_at > ?5`,
        args: [
          keyText(key.tenant),
          keyText(key.id),
          keyText(codeDigest),
          optionalKeyText(refreshDigest),
          wholeNumber(nowMs),
          wholeNumber(idleExpiresAtMs),
          data,
        ],
      })
      if (changes === 1) return 'active'
      const row = await find(key)
      if (row === undefined || textOf(row, 'code_digest') !== codeDigest) return 'dead'
      if (optionalNumberOf(row, 'redeemed_at') === undefined) return 'dead'
      const mine =
        refreshDigest !== undefined &&
        textOf(row, 'state') === 'active' &&
        optionalTextOf(row, 'refresh_current') === refreshDigest
      return mine ? 'active' : 'reused'
    },
    rotate: (key, presentedDigest, candidate, at) =>
      rotate(sql, find, key, { presentedDigest, candidate, ...at }),
    async end(key, cause, nowMs, markExpiresAtMs, also = []) {
      wholeNumber(nowMs)
      const result = await sql.commit([
        {
          sql: `UPDATE grants SET cause = ?3, ${CLEAR_REFRESH}
            WHERE tenant = ?1 AND id = ?2 AND state <> 'ended'`,
          args: [keyText(key.tenant), keyText(key.id), keyText(cause)],
          expect: 1,
        },
        ...also.map(stepStatement),
        ...markStatements(grantMark(key, cause, markExpiresAtMs)),
      ])
      return result.won
    },
    revoke: (mark, also = []) => revoke(sql, mark, also),
    revocationsSince: (sequence, max) => revocationsSince(sql, sequence, max),
  }
}

interface Rotation {
  readonly presentedDigest: string
  readonly candidate: RefreshCandidate
  readonly nowMs: number
  readonly graceMs: number
  readonly idleExpiresAtMs: number
  readonly markExpiresAtMs: number
  readonly alsoWhenReused?: readonly Step[]
}

async function rotate(
  sql: Sql,
  find: (key: Key) => Promise<Row | undefined>,
  key: Key,
  rotation: Rotation,
): ReturnType<GrantStore['rotate']> {
  const { presentedDigest, candidate, nowMs } = rotation
  const { jkt } = candidate
  const data = jkt === undefined ? null : boundData(await find(key), jkt)
  for (let attempt = 0; attempt < ROTATE_ATTEMPTS_MAX; attempt += 1) {
    const { rows } = await sql.write(rotateStatement(key, rotation, data))
    if (rows[0] !== undefined) {
      return { outcome: 'rotated', generation: numberOf(rows[0], 'refresh_generation') }
    }
    const row = await find(key)
    if (row === undefined || textOf(row, 'state') !== 'active') return { outcome: 'dead' }
    if (numberOf(row, 'expires_at') <= nowMs) return { outcome: 'dead' }
    const generation = numberOf(row, 'refresh_generation')
    const current = optionalTextOf(row, 'refresh_current')
    // The answer of an earlier try was lost: the candidate is kept across retries, so it names us.
    if (current === candidate.digest) return { outcome: 'rotated', generation }
    if (current === presentedDigest) continue
    const successor = optionalTextOf(row, 'refresh_successor')
    const replayable =
      optionalTextOf(row, 'refresh_previous') === presentedDigest &&
      (optionalNumberOf(row, 'refresh_grace_until') ?? 0) > nowMs
    if (replayable && successor !== undefined) {
      return { outcome: 'replayed', sealedSuccessor: successor, generation }
    }
    const ended = await sql.commit([
      {
        sql: `UPDATE grants SET cause = ?3, ${CLEAR_REFRESH}
          WHERE tenant = ?1 AND id = ?2 AND state = 'active' AND version = ?4`,
        args: [keyText(key.tenant), keyText(key.id), 'reused', numberOf(row, 'version')],
        expect: 1,
      },
      ...(rotation.alsoWhenReused ?? []).map(stepStatement),
      ...markStatements(grantMark(key, 'reused', rotation.markExpiresAtMs)),
    ])
    if (ended.won) return { outcome: 'reused' }
  }
  return { outcome: 'busy' }
}

function rotateStatement(key: Key, rotation: Rotation, data: string | null): Statement {
  const { presentedDigest, candidate, nowMs, graceMs, idleExpiresAtMs } = rotation
  return {
    sql: `UPDATE grants SET refresh_previous = refresh_current, refresh_current = ?4,
      refresh_successor = ?5, refresh_generation = refresh_generation + 1,
      refresh_grace_until = ?7, data = COALESCE(?9, data), version = version + 1,
      expires_at = CASE WHEN absolute_expires_at < ?8 THEN absolute_expires_at ELSE ?8 END
      WHERE tenant = ?1 AND id = ?2 AND state = 'active' AND refresh_current = ?3
        AND expires_at > ?6 RETURNING refresh_generation, version`,
    args: [
      keyText(key.tenant),
      keyText(key.id),
      keyText(presentedDigest),
      keyText(candidate.digest),
      keyText(candidate.sealedSuccessor),
      wholeNumber(nowMs),
      wholeNumber(nowMs + graceMs),
      wholeNumber(idleExpiresAtMs),
      data,
    ],
  }
}
