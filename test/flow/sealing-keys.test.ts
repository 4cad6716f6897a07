/**
 * A change of the sealing key in a house that has grown: two keys at once, sealed again by the command,
 * which is killed in the middle.
 * @see threat K13, api.md section 5
 */
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import { createKeys } from '../../src/issuer/keys.ts'
import { createNodeRuntime } from '../../src/node/runtime.ts'
import { TENANT } from '../../src/records.ts'
import { createSealing } from '../../src/vault/sealing.ts'
import { createVault } from '../../src/vault/vault.ts'
import { startCli } from '../kit/cli.ts'

const ENTRY = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const ROWS = 3_000
const KILLS = 3
const OWNER = {
  userId: 'app:default:ada',
  userKey: '',
  provider: 'connector:notes',
  issuer: 'https://auth.notes.example',
  subject: '',
  tokenOrigin: 'https://auth.notes.example',
}

async function grown(rows = ROWS) {
  const folder = await mkdtemp(join(tmpdir(), 'postern-sealing-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'postern.db')
  const old = randomBytes(32)
  const fresh = randomBytes(32)
  const runtime = createNodeRuntime()
  const open = async <T>(
    keys: readonly Uint8Array[],
    work: (rooms: Awaited<ReturnType<typeof roomsOf>>) => Promise<T>,
  ): Promise<T> => {
    const { store } = await openSqlite({ path, runtime })
    try {
      return await work(roomsOf(store, keys))
    } finally {
      await store.close()
    }
  }
  const roomsOf = (
    store: Awaited<ReturnType<typeof openSqlite>>['store'],
    keys: readonly Uint8Array[],
  ) => {
    const sealing = createSealing(keys, runtime)
    return { store, sealing, runtime, vault: createVault({ store, sealing, runtime }) }
  }
  const ids = await open([old], async ({ store, sealing, vault }) => {
    await createKeys({ store, sealing, runtime }).load()
    const made: string[] = []
    for (let row = 0; row < rows; row += 1) {
      const tokens = { accessToken: `access-${row}`, tokenType: 'Bearer' }
      made.push((await vault.save(OWNER, tokens)).id)
    }
    return made
  })
  const config = (keys: readonly Buffer[]) => ({
    issuer: 'https://auth.example',
    databaseUrl: `sqlite:${path}`,
    sealingKey: keys.map((key) => key.toString('base64url')).join(','),
    resources: ['https://notes.example/mcp'],
  })
  return { folder, ids, old, fresh, open, config }
}

type Grown = Awaited<ReturnType<typeof grown>>

/** Every row opens, whichever key has sealed it; returns how many the first key has. */
function count({ ids, old, fresh, open }: Grown): Promise<number> {
  return open([fresh, old], async ({ vault, sealing }) => {
    let first = 0
    for (const [row, id] of ids.entries()) {
      const { tokens, record } = await vault.load(id)
      if (tokens.accessToken !== `access-${row}`) throw new Error(`${id} holds another's tokens`)
      if (record.keyId === sealing.primaryKeyId) first += 1
    }
    return first
  })
}

/** Runs the command until it has told of its first rows, and kills it. */
async function kill(house: Grown): Promise<void> {
  const file = join(house.folder, 'postern.config.json')
  await writeFile(file, JSON.stringify(house.config([house.fresh, house.old])))
  const child = fork(ENTRY, ['keys', 'rotate', '--sealing', '--config', file], {
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await Promise.race([
    new Promise<void>((resolve) => child.stderr?.once('data', () => resolve())),
    exited,
  ])
  child.kill('SIGKILL')
  await exited
}

it(`K13, K3: killed ${KILLS} times, no row is lost, each run goes on, and the old key can go`, {
  timeout: 120_000,
}, async () => {
  const house = await grown()
  let done = 0
  for (let round = 0; round < KILLS; round += 1) {
    await kill(house)
    const now = await count(house)
    expect(now).toBeGreaterThan(done)
    expect(now).toBeLessThan(ROWS)
    done = now
  }
  const both = house.config([house.fresh, house.old])
  const ended = await startCli(['keys', 'rotate', '--sealing', '--json', '--quiet'], both)
  expect([ended.code, ended.stderr]).toEqual([0, ''])
  const told = JSON.parse(ended.stdout) as { resealed: number }
  expect(told).toMatchObject({ done: true, left: 0, unreadable: 0 })
  expect(told.resealed).toBeGreaterThanOrEqual(ROWS - done)
  await house.open([house.fresh], async ({ vault, store, sealing, runtime }) => {
    for (const [row, id] of house.ids.entries())
      expect((await vault.load(id)).tokens.accessToken).toBe(`access-${row}`)
    await createKeys({ store, sealing, runtime }).load()
    const audits = await store.list('audit', TENANT, undefined, { max: 10 })
    const details = audits.map(({ value }) => `${value.event} ${value.detail}`)
    expect(details).toContainEqual(
      expect.stringMatching(`^key.rotated sealing ${sealing.primaryKeyId}: \\d+ rows$`),
    )
  })
  const alone = await startCli(['keys', 'rotate', '--sealing'], house.config([house.fresh]))
  expect(alone.stdout).toContain('sealed     0 rows again')
  const mixed = await startCli(['keys', 'rotate', '--sealing', '--emergency'], both)
  expect([mixed.code, mixed.stdout]).toEqual([2, ''])
})

it('K13: a key that is missing is told: exit 1, and nothing is changed', async () => {
  const house = await grown(20)
  const foreign = randomBytes(32)
  const owner = await house.open([foreign], async ({ vault }) =>
    vault.save(OWNER, {
      accessToken: 'of another key',
      tokenType: 'Bearer',
    }),
  )
  const ended = await startCli(
    ['keys', 'rotate', '--sealing', '--json', '--quiet'],
    house.config([house.fresh, house.old]),
  )
  expect(ended.code).toBe(1)
  expect(JSON.parse(ended.stdout)).toMatchObject({ done: false, unreadable: 1 })
  await house.open([foreign], async ({ vault }) => {
    expect((await vault.load(owner.id)).version).toBe(1)
  })
}, 60_000)
