/** What only SQLite can get wrong: files, threads, other processes, crashes, migrations. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MIGRATIONS, migrate } from '../../src/adapters/schema.ts'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import { createPreparer, runBatch } from '../../src/adapters/sqlite-batch.ts'
import { TENANT } from '../../src/records.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import { attempt, key, NOW_MS, session, temporaryDirectory, user } from './harness.ts'

const CHILD = fileURLToPath(new URL('./children.ts', import.meta.url))
type Opened = Awaited<ReturnType<typeof openSqlite>>

describe('SQLite', () => {
  let directory: string
  let path: string
  const opened: Opened[] = []
  const children: ChildProcess[] = []
  const runtime = createTestRuntime()

  const open = async (busyTimeoutMs?: number): Promise<Opened> => {
    const made = await openSqlite({ path, runtime, busyTimeoutMs })
    opened.push(made)
    return made
  }
  const child = (...args: string[]): ChildProcess => {
    const made = spawn(process.execPath, ['--no-warnings', CHILD, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    children.push(made)
    return made
  }
  beforeEach(() => {
    directory = temporaryDirectory()
    path = join(directory, 'deep', 'postern.db')
  })
  afterEach(async () => {
    for (const made of children.splice(0)) made.kill('SIGKILL')
    for (const made of opened.splice(0)) await made.store.close()
    rmSync(directory, { recursive: true, force: true })
  })

  it('I1: makes its files readable by their owner only', async () => {
    const { store } = await open()
    await store.create('user', key('ada'), user('ada'))
    for (const name of [path, `${path}-wal`, `${path}-shm`]) {
      expect(statSync(name).mode & 0o777, name).toBe(0o600)
    }
    expect(statSync(join(directory, 'deep')).mode & 0o777).toBe(0o700)
  })

  it('SF7: a lock held by somebody else stalls the writer thread, never the event loop', async () => {
    const { store } = await open()
    await store.create('user', key('ada'), user('ada'))
    const hog = new DatabaseSync(path)
    hog.exec('BEGIN IMMEDIATE')
    let answered = false
    const write = store.create('user', key('bob'), user('bob')).then(() => {
      answered = true
    })
    let ticks = 0
    while (ticks < 50) {
      await new Promise((resolve) => setTimeout(resolve, 1))
      expect(await store.get('user', key('ada'))).toBeDefined()
      ticks += 1
    }
    expect({ answered, ticks }).toEqual({ answered: false, ticks: 50 })
    hog.exec('COMMIT')
    hog.close()
    await write
    expect(await store.get('user', key('bob'))).toBeDefined()
  })

  it('K1: refuses as not applied when the lock stays held, and goes on afterwards', async () => {
    const { store } = await open(1)
    const hog = new DatabaseSync(path)
    hog.exec('BEGIN IMMEDIATE')
    await expect(store.create('user', key('ada'), user('ada'))).rejects.toMatchObject({
      code: 'ERR_STORE_UNAVAILABLE',
      certainty: 'not-applied',
    })
    hog.exec('COMMIT')
    hog.close()
    expect(await store.create('user', key('ada'), user('ada'))).toEqual({ won: true })
  })

  it('K2: a full disk refuses writes, reads go on, space brings writes back', async () => {
    const { store, sql } = await open()
    await store.create('user', key('ada'), user('ada'))
    const limit = (pages: number) =>
      sql.write({ sql: `PRAGMA max_page_count = ${pages}`, args: [] })
    await limit(1)
    const big = { ...user('big'), profile: { name: 'x'.repeat(500_000) } }
    const batch = await Promise.allSettled([
      store.create('user', key('big'), big),
      store.create('user', key('big2'), big),
    ])
    for (const result of batch) {
      expect(result).toMatchObject({
        status: 'rejected',
        reason: { code: 'ERR_STORE_FULL', certainty: 'not-applied' },
      })
    }
    expect(await store.get('user', key('ada'))).toBeDefined()
    expect(await store.get('user', key('big'))).toBeUndefined()
    await limit(1_000_000)
    expect(await store.create('user', key('big'), big)).toEqual({ won: true })
  })

  it('SF8: of two processes on one file, one wins each single-use record', async () => {
    const items = 100
    const { store } = await open()
    for (let n = 0; n < items; n += 1) await store.create('attempt', key(`item-${n}`), attempt())
    const other = child('consume', path, String(items))
    const lines = readLines(other)
    expect((await lines.next()).value).toBe('ready')
    other.stdin?.write('go\n')
    const mine = await Promise.all(
      Array.from({ length: items }, (_, n) =>
        store.consume('attempt', key(`item-${n}`), 'parent', NOW_MS),
      ),
    )
    const won = mine.flatMap((result, n) => (typeof result === 'object' ? [n] : []))
    const theirs: number[] = JSON.parse(String((await lines.next()).value))
    expect([...won, ...theirs].sort((a, b) => a - b)).toEqual(
      Array.from({ length: items }, (_, n) => n),
    )
  })

  it('SF8: the bus notices what another connection committed', async () => {
    const first = await open()
    const second = await open()
    let pokes = 0
    const unsubscribe = await first.bus.subscribe(
      () => {
        pokes += 1
      },
      () => undefined,
    )
    // Our own writer thread counts as another connection: one poke for the migrations.
    runtime.advanceMs(1_000)
    pokes = 0
    await second.store.create('user', key('ada'), user('ada'))
    runtime.advanceMs(250)
    expect(pokes).toBe(1)
    runtime.advanceMs(1_000)
    expect(pokes).toBe(1)
    await first.bus.publish()
    expect(pokes).toBe(2)
    unsubscribe()
    expect(runtime.timers()).toBe(0)
  })

  it('K3: kill -9 during writes loses no answered write and leaves no half one', async () => {
    for (let round = 0; round < 3; round += 1) {
      const writer = child('write', path, String(round * 1_000_000))
      const answered: string[] = []
      for await (const line of readLines(writer)) {
        answered.push(line)
        if (answered.length === 40 + round * 25) writer.kill('SIGKILL')
      }
      const { store } = await openSqlite({ path, runtime })
      for (const id of answered) expect(await store.get('session', key(id)), id).toBeDefined()
      expect(await store.count('user', TENANT)).toBe(await store.count('session', TENANT))
      await store.close()
      const database = new DatabaseSync(path)
      expect(database.prepare('PRAGMA integrity_check').get()).toMatchObject({
        integrity_check: 'ok',
      })
      database.close()
    }
  })

  it('SF6: units of one batch succeed, lose and fail each for itself', () => {
    const database = new DatabaseSync(':memory:')
    database.exec('CREATE TABLE t (id TEXT PRIMARY KEY, n BIGINT CHECK (n < 10))')
    const insert = (id: string, n: number, expect?: number) => ({
      sql: 'INSERT INTO t VALUES (?1, ?2)',
      args: [id, n],
      expect,
    })
    const update = { sql: 'UPDATE t SET n = 1 WHERE id = ?1', args: ['nobody'], expect: 1 }
    const outcomes = runBatch(database, createPreparer(database), [
      [insert('a', 1)],
      [insert('a', 2)],
      [insert('b', 99)],
      [insert('c', 1), update],
      [insert('d', 1), insert('d', 2)],
      [{ sql: 'INSERT INTO t VALUES (?1, ?2)', args: ['e'] }],
      [insert('f', 1), insert('g', 1)],
    ])
    expect(outcomes.map((outcome) => outcome.state)).toEqual([
      'done',
      'failed',
      'failed',
      'lost',
      'failed',
      'failed',
      'done',
    ])
    const ids = database
      .prepare('SELECT id FROM t ORDER BY id')
      .all()
      .map((row) => row['id'])
    expect(ids).toEqual(['a', 'f', 'g'])
  })

  it('SF6: an error that ends the whole transaction fails every unit of the batch', () => {
    const database = new DatabaseSync(':memory:')
    database.exec(`CREATE TABLE t (id TEXT PRIMARY KEY);
      CREATE TRIGGER poison BEFORE INSERT ON t WHEN NEW.id = 'poison'
      BEGIN SELECT RAISE(ROLLBACK, 'gone'); END`)
    const insert = (id: string) => ({ sql: 'INSERT INTO t VALUES (?1)', args: [id] })
    for (const poison of [[insert('poison')], [insert('x'), insert('poison')]]) {
      const outcomes = runBatch(database, createPreparer(database), [
        [insert('before')],
        poison,
        [insert('after')],
      ])
      expect(outcomes.map((outcome) => outcome.state)).toEqual(['failed', 'failed', 'failed'])
      expect(database.prepare('SELECT COUNT(*) AS n FROM t').get()).toMatchObject({ n: 0 })
      expect(database.isTransaction).toBe(false)
    }
  })

  it('refuses a statement with too few arguments, which SQLite would fill with NULL', async () => {
    const { sql } = await open()
    const few = { sql: 'SELECT ?1 AS a, ?2 AS b', args: ['x'] }
    await expect(sql.read(few)).rejects.toThrow(TypeError)
    await expect(sql.write(few)).rejects.toMatchObject({ certainty: 'not-applied' })
  })

  it('commits more than one batch when more is queued than a batch holds', async () => {
    const { store } = await open()
    const results = await Promise.all(
      Array.from({ length: 700 }, (_, n) => store.create('user', key(`u${n}`), user(`u${n}`))),
    )
    expect(results.every((result) => result.won)).toBe(true)
    expect(await store.count('user', TENANT)).toBe(700)
  })

  it('I9: refuses writes beyond its queue at once, as not applied', async () => {
    const { sql } = await open()
    const writes = Array.from({ length: 10_400 }, () =>
      sql.write({ sql: 'UPDATE revocation_clock SET epoch = epoch WHERE id = ?1', args: [1] }),
    )
    const settled = await Promise.allSettled(writes)
    const refused = settled.filter((result) => result.status === 'rejected')
    expect(refused.length).toBeGreaterThan(0)
    expect(refused.length).toBeLessThanOrEqual(400)
    expect(refused[0]).toMatchObject({ reason: { certainty: 'not-applied' } })
  })

  it('writes what is queued before it closes, and refuses afterwards', async () => {
    const { store } = await openSqlite({ path, runtime })
    const write = store.create('user', key('ada'), user('ada'))
    await store.close()
    expect(await write).toEqual({ won: true })
    await expect(store.create('user', key('b'), user('b'))).rejects.toMatchObject({
      code: 'ERR_STORE_UNAVAILABLE',
      certainty: 'not-applied',
    })
    const again = await open()
    expect(await again.store.get('user', key('ada'))).toBeDefined()
  })

  it('lets the process end by itself when it closes, and does not hold it before', async () => {
    for (const verb of ['close', 'leave']) {
      const other = child(verb, path)
      const [code] = await once(other, 'exit')
      expect({ verb, code }).toEqual({ verb, code: 0 })
    }
  })

  it('says so when the file is not a database or cannot be made', async () => {
    path = join(directory, 'notes.txt')
    writeFileSync(path, 'this is a text file, and not a short one at that. '.repeat(100))
    await expect(openSqlite({ path, runtime })).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
    const below = join(path, 'postern.db')
    await expect(openSqlite({ path: below, runtime })).rejects.toMatchObject({
      code: 'ERR_STORE_UNAVAILABLE',
    })
  })

  it('reads the session of a user through its index, not by scanning (P17)', async () => {
    const { store, sql } = await open()
    await store.create('session', key('s'), session('user-1'))
    const plan = await sql.read({
      sql: `EXPLAIN QUERY PLAN SELECT tenant, id, data, version FROM records
        WHERE tenant = ?1 AND kind = ?2 AND user_id = ?5 AND id > ?3 ORDER BY id LIMIT ?4`,
      args: [TENANT, 'session', '', 10, 'user-1'],
    })
    const detail = plan.map((row) => String(row['detail'])).join('; ')
    expect(detail).toContain('records_user')
    expect(detail).not.toContain('TEMP B-TREE')
  })

  describe('migrations', () => {
    const second = { number: 2, statements: ['CREATE TABLE extra (id TEXT PRIMARY KEY)'] }

    it('are applied once by three openers at once', async () => {
      const three = await Promise.all([open(), open(), open()])
      const rows = await three[0].sql.read({
        sql: 'SELECT number FROM schema_migrations',
        args: [],
      })
      expect(rows).toHaveLength(MIGRATIONS.length)
      const applied = await Promise.allSettled(
        three.map(({ sql }) => migrate(sql, runtime, { migrations: [...MIGRATIONS, second] })),
      )
      expect(applied.map((result) => result.status)).toEqual([
        'fulfilled',
        'fulfilled',
        'fulfilled',
      ])
    })

    it('refuse to start when one was edited', async () => {
      const { sql } = await open()
      await migrate(sql, runtime, { migrations: [...MIGRATIONS, second] })
      const edited = { number: 2, statements: ['CREATE TABLE other (id TEXT PRIMARY KEY)'] }
      await expect(
        migrate(sql, runtime, { migrations: [...MIGRATIONS, edited] }),
      ).rejects.toMatchObject({
        code: 'ERR_CONFIG_DATABASE',
      })
    })

    it('refuse a database of a newer release', async () => {
      const { sql } = await open()
      await migrate(sql, runtime, { migrations: [...MIGRATIONS, second] })
      await expect(openSqlite({ path, runtime })).rejects.toMatchObject({
        code: 'ERR_CONFIG_DATABASE',
      })
    })

    it('leave nothing behind when a statement fails', async () => {
      const { sql } = await open()
      const broken = { number: 2, statements: [...second.statements, 'CREATE TABLE oops ('] }
      await expect(migrate(sql, runtime, { migrations: [...MIGRATIONS, broken] })).rejects.toThrow()
      await migrate(sql, runtime, { migrations: [...MIGRATIONS, second] })
    })
  })
})

async function* readLines(child: ChildProcess): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of child.stdout ?? []) {
    const lines = (rest + String(chunk)).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
}
