/** Tables on D1: made at open or by wrangler, and each way knows what the other did. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { migrationFile, wranglerName } from '../../src/adapters/d1.ts'
import { MIGRATIONS } from '../../src/adapters/schema.ts'
import { key, NOW_MS, user } from '../contract/harness.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import { type AdaptersWorker, startAdapters } from './remote-ports.ts'

let adapters: AdaptersWorker
const runtime = createTestRuntime()
beforeAll(async () => {
  adapters = await startAdapters()
})
beforeEach(() => adapters.call('empty'))
afterAll(() => adapters?.worker.dispose())

const run = (sql: string) => adapters.call<Record<string, unknown>[]>('run', sql)
const TABLES =
  "SELECT name, sql FROM sqlite_master WHERE tbl_name NOT LIKE 'd1_%' AND tbl_name NOT LIKE 'sqlite_%' AND tbl_name NOT LIKE '_cf_%' ORDER BY name"
const shape = async () =>
  (await run(TABLES)).map(({ name, sql }) => [name, String(sql).replace(/\s+/g, ' ')])

/** As wrangler does: its own table, then each file that is not in it, with its row, as one. */
async function applyByWrangler(): Promise<string[]> {
  await run(
    'CREATE TABLE IF NOT EXISTS d1_migrations(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)',
  )
  const known = (await run('SELECT name FROM d1_migrations')).map(({ name }) => name)
  const due = MIGRATIONS.filter((migration) => !known.includes(wranglerName(migration)))
  for (const migration of due) {
    const lines = migrationFile(migration, runtime).trim().split('\n')
    const name = wranglerName(migration)
    await adapters.call('exec', [...lines, `INSERT INTO d1_migrations (name) VALUES ('${name}')`])
  }
  return due.map(wranglerName)
}

describe('migrations on D1', () => {
  it('are applied once by ten openers at once', async () => {
    await Promise.all(Array.from({ length: 10 }, () => adapters.call('open')))
    expect(await run('SELECT number FROM schema_migrations')).toHaveLength(MIGRATIONS.length)
    expect(await run('SELECT epoch FROM revocation_clock')).toHaveLength(1)
  })

  it('by wrangler are found by a house that opens, and make the same tables', async () => {
    await adapters.call('open')
    const own = await shape()
    await adapters.call('empty')
    expect(await applyByWrangler()).toEqual(MIGRATIONS.map(wranglerName))
    expect(await shape()).toEqual(own)
    const before = await run('SELECT * FROM schema_migrations')
    await adapters.call('open')
    expect(await run('SELECT * FROM schema_migrations')).toEqual(before)
    await adapters.store.create('user', key('ada'), user('ada'))
    const [clock] = await run('SELECT epoch, sequence FROM revocation_clock')
    expect(clock).toMatchObject({ sequence: 0 })
    expect(clock?.['epoch']).toBeGreaterThan(NOW_MS / 2)
  })

  it('at open are found by wrangler, which then applies nothing', async () => {
    await adapters.call('open')
    expect(await applyByWrangler()).toEqual([])
    await adapters.call('open')
  })

  it('by wrangler beside a house that migrates fail whole and leave what is there', async () => {
    await adapters.call('open')
    await run('DROP TABLE d1_migrations')
    const before = await shape()
    await expect(applyByWrangler()).rejects.toThrow('UNIQUE')
    expect(await shape()).toEqual(before)
  })

  it('refuse a database of another release', async () => {
    await adapters.call('open')
    await run("UPDATE schema_migrations SET checksum = 'edited'")
    await expect(adapters.call('open')).rejects.toMatchObject({ code: 'ERR_CONFIG_DATABASE' })
    await adapters.call('empty')
    await adapters.call('open')
    await run("INSERT INTO schema_migrations VALUES (99, 'newer', 0)")
    await expect(adapters.call('open')).rejects.toMatchObject({ code: 'ERR_CONFIG_DATABASE' })
  })
})
