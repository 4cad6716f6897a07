/** What D1 says when it fails, and what is not handed to it. */
import { describe, expect, it } from 'vitest'
import { D1_PARAMETERS_MAX, type D1Database, d1Sql } from './d1.ts'

/** A database that answers each statement with `answer`. */
function failing(error: unknown) {
  const prepared: string[] = []
  const fail = () => Promise.reject(error)
  const statement = { bind: () => statement, all: fail }
  const database: D1Database = {
    prepare(sql) {
      prepared.push(sql)
      return statement
    },
    batch: fail,
    withSession: () => ({ prepare: () => statement }),
  }
  return { sql: d1Sql(database), prepared }
}

const WRITE = { sql: 'UPDATE t SET a = ?1', args: ['x'] }

describe('d1Sql', () => {
  it.each([
    ['D1_ERROR: UNIQUE constraint failed: t.id: SQLITE_CONSTRAINT', 'VALUE', 'not-applied'],
    ['D1_ERROR: database or disk is full: SQLITE_FULL', 'FULL', 'not-applied'],
    ['D1_ERROR: Exceeded maximum DB size', 'FULL', 'not-applied'],
    ['D1_ERROR: database disk image is malformed: SQLITE_CORRUPT', 'CORRUPT', 'not-applied'],
    ['D1_ERROR: string or blob too big: SQLITE_TOOBIG', 'VALUE', 'not-applied'],
    ['D1_ERROR: no such table: records: SQLITE_ERROR', 'UNAVAILABLE', 'not-applied'],
    ['D1_ERROR: D1 DB is overloaded. Requests queued for too long.', 'UNAVAILABLE', 'not-applied'],
    ['D1_ERROR: Network connection lost.', 'UNAVAILABLE', 'unknown'],
    ['D1_ERROR: D1 DB storage operation exceeded timeout', 'UNAVAILABLE', 'unknown'],
    ['D1_ERROR: Internal error in D1 storage caused object to be reset.', 'UNAVAILABLE', 'unknown'],
    ['something nobody wrote down', 'UNAVAILABLE', 'unknown'],
  ])('K4: "%s" is told with what is certain of it', async (text, code, certainty) => {
    const { sql } = failing(new Error(text))
    const told = { name: 'StoreError', code: `ERR_STORE_${code}`, certainty }
    await expect(sql.write(WRITE)).rejects.toMatchObject(told)
    await expect(sql.commit([WRITE])).rejects.toMatchObject(told)
    // Nothing is written by a read, whatever happened to it.
    await expect(sql.read(WRITE)).rejects.toMatchObject({ ...told, certainty: 'not-applied' })
  })

  it('reads the reason from the cause where the platform puts it there', async () => {
    const cause = new Error('UNIQUE constraint failed: t.id')
    const { sql } = failing(new Error('D1_ERROR', { cause }))
    await expect(sql.write(WRITE)).rejects.toMatchObject({ code: 'ERR_STORE_VALUE' })
  })

  it.each([
    ['too few arguments', { sql: 'SELECT ?1, ?2', args: ['x'] }],
    ['too many arguments', { sql: 'SELECT ?1', args: ['x', 'y'] }],
    ['a fraction', { sql: 'SELECT ?1', args: [1.5] }],
    ['no number', { sql: 'SELECT ?1', args: [Number.NaN] }],
    ['undefined', { sql: 'SELECT ?1', args: [undefined as never] }],
    ['a boolean', { sql: 'SELECT ?1', args: [true as never] }],
    [
      'more parameters than it takes',
      {
        sql: `SELECT ?${D1_PARAMETERS_MAX + 1}`,
        args: Array.from({ length: D1_PARAMETERS_MAX + 1 }, () => 0),
      },
    ],
  ])('SF15: refuses %s before D1 sees it', async (_, statement) => {
    const { sql, prepared } = failing(new Error('asked'))
    await expect(sql.read(statement)).rejects.toThrow(TypeError)
    await expect(sql.write(statement)).rejects.toThrow(TypeError)
    await expect(sql.commit([statement])).rejects.toThrow(TypeError)
    expect(prepared).toEqual([])
  })

  it('I9: refuses a row that is larger than D1 keeps, counted in bytes', async () => {
    const { sql, prepared } = failing(new Error('asked'))
    const refused = { code: 'ERR_STORE_VALUE', certainty: 'not-applied' }
    for (const text of ['x'.repeat(2_000_001), '\u20ac'.repeat(666_667)])
      await expect(sql.write({ ...WRITE, args: [text] })).rejects.toMatchObject(refused)
    expect(prepared).toEqual([])
    await expect(sql.write({ ...WRITE, args: ['x'.repeat(2_000_000)] })).rejects.toThrow(
      'UNAVAILABLE',
    )
  })
})
