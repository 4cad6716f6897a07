/**
 * Bytes of the store are not what was written (K16): whoever the row belongs to is refused and it is
 * told, everybody else goes on. 100 places; 1,000 with POSTERN_TEST_LONG=1.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import * as jose from 'jose'
import { describe, expect, it, onTestFinished } from 'vitest'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import { ConfigError, StoreError } from '../../src/errors.ts'
import { TENANT } from '../../src/records.ts'
import { type Node, type Nodes, type SignedIn, startNodes } from '../kit/nodes.ts'
import { createTestRuntime } from '../kit/runtime.ts'

const LONG = process.env.POSTERN_TEST_LONG === '1'
const PLACES = LONG ? 1_000 : 100
/** Sign-ins that are broken at once, one place each. */
const VICTIMS = 20
const FILES = LONG ? 1_000 : 25
const SEED = Number(process.env.POSTERN_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))

interface Place {
  readonly table: 'records' | 'grants'
  readonly column: string
  readonly where: string
  readonly keys: readonly string[]
}

/** Every text of every row that belongs to this sign-in alone, but the keys by which it is found. */
function placesOf({ grantId, userId }: SignedIn, database: DatabaseSync): readonly Place[] {
  const grant = [
    'code_digest',
    'refresh_current',
    'resource',
    'state',
    'user_id',
    'client_id',
    'vault_id',
    'data',
  ]
  const rows = database
    .prepare(`SELECT kind, id FROM records WHERE kind IN ('user', 'vault', 'session', 'proof', 'approval')
      AND (user_id = ?1 OR id IN (SELECT vault_id FROM grants WHERE id = ?2))`)
    .all(userId, grantId)
  return [
    ...grant.map((column) => ({
      table: 'grants' as const,
      column,
      where: 'id = ?',
      keys: [grantId],
    })),
    ...rows.map(({ kind, id }) => ({
      table: 'records' as const,
      column: 'data',
      where: 'kind = ? AND id = ?',
      keys: [String(kind), String(id)],
    })),
  ]
}

function flip(text: string, random: () => number): string {
  const bytes = Buffer.from(text)
  const at = Math.floor(random() * bytes.length)
  bytes.writeUInt8((bytes.readUInt8(at) ^ (1 << Math.floor(random() * 7))) & 0x7f, at)
  return bytes.toString('latin1')
}

describe('K16: a corrupted row', { timeout: LONG ? 900_000 : 120_000 }, () => {
  it(`K16: one sign-in fails closed and is told, others work, nothing crashes (seed ${SEED})`, async () => {
    const nodes = await startNodes()
    const { random } = createTestRuntime({ seed: SEED })
    const database = new DatabaseSync(nodes.config.databaseUrl.replace(/^sqlite:/, ''))
    onTestFinished(() => database.close())
    const signIn = (node: Node, subject: string): Promise<SignedIn> => {
      nodes.remote.person = { subject }
      return node.signIn()
    }
    let other = await signIn(nodes.first, 'other')
    let victims: SignedIn[] = []
    for (let index = 0; index < VICTIMS; index += 1)
      victims.push(await signIn(nodes.first, `victim-${index}`))
    await nodes.first.close()
    let refusals = 0
    for (let round = 0; round < PLACES / VICTIMS; round += 1) {
      const broken = victims.map((victim) => breakOne(database, victim, random))
      // A new process: nothing is remembered, every row is read.
      const node = await nodes.add()
      const after: (SignedIn | undefined)[] = []
      for (const [index, victim] of victims.entries()) {
        const why = `${broken[index]?.name} seed ${SEED} round ${round}`
        const survived = await expectClosed(node, victim, why)
        if (survived === undefined) refusals += 1
        after.push(survived)
        other = await expectWhole(node, other, why)
      }
      expect(nodes.runtime.rejections).toEqual([])
      await node.close()
      for (const { undo } of broken) undo()
      victims = await restored(nodes, victims, after, signIn)
    }
    expect(refusals).toBeGreaterThan(0)
  })
})

/** What the person meets: nothing wrong is said as if it were right. `undefined`: refused. */
async function expectClosed(
  node: Node,
  victim: SignedIn,
  why: string,
): Promise<SignedIn | undefined> {
  const toldBefore = node.platform.events.length
  const called = await node.call(victim.access_token)
  const answer = await node.refresh(victim)
  const page = await node.fetch(accountRequest(victim))
  expect([200, 401, 403, 503], why).toContain(called)
  expect([200, 400, 401, 403, 500, 503], why).toContain(answer.status)
  expect([200, 303, 500, 503], why).toContain(page.status)
  if (answer.status !== 200) {
    // Told with a reason, for whoever looks why this one sign-in does not work.
    expect(node.platform.events.length, `told: ${why}`).toBeGreaterThan(toldBefore)
    return undefined
  }
  const tokens = (await answer.json()) as { access_token: string }
  const { sub, client_id } = jose.decodeJwt(tokens.access_token)
  expect([sub, client_id], why).toEqual([victim.userId, victim.clientId])
  return { ...victim, ...tokens }
}

interface Broken {
  readonly name: string
  /** The way back; a row that was written meanwhile stays as it is. */
  readonly undo: () => void
}

function breakOne(database: DatabaseSync, victim: SignedIn, random: () => number): Broken {
  const places = placesOf(victim, database)
  const place = places[Math.floor(random() * places.length)]
  if (place === undefined) throw new Error('there is nothing to break')
  const { table, column, where, keys } = place
  const name = `${table}.${column} ${keys.join()}`
  const select = `SELECT ${column} AS text FROM ${table} WHERE ${where}`
  const whole = database.prepare(select).get(...keys)?.['text']
  if (typeof whole !== 'string') return { name, undo: () => undefined }
  const update = database.prepare(`UPDATE ${table} SET ${column} = ? WHERE ${where}`)
  const broken = flip(whole, random)
  try {
    update.run(broken, ...keys)
  } catch {
    // The table's own check has refused it.
    return { name, undo: () => undefined }
  }
  const undo = (): void => {
    if (database.prepare(select).get(...keys)?.['text'] === broken) update.run(whole, ...keys)
  }
  return { name, undo }
}

function accountRequest({ visitor }: SignedIn): Request {
  const cookie = [...visitor.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  return new Request('https://auth.example/account', { headers: { cookie, accept: 'text/html' } })
}

async function expectWhole(node: Node, other: SignedIn, why: string): Promise<SignedIn> {
  expect(await node.call(other.access_token), `the other's call: ${why}`).toBe(200)
  const answer = await node.refresh(other)
  expect(answer.status, `the other's refresh: ${why}`).toBe(200)
  expect(node.house.health('/readyz')?.status, why).toBe(200)
  return { ...other, ...((await answer.json()) as object) }
}

/** A row that is whole again is good again; what a refusal has ended is signed in again. */
async function restored(
  nodes: Nodes,
  victims: readonly SignedIn[],
  after: readonly (SignedIn | undefined)[],
  signIn: (node: Node, subject: string) => Promise<SignedIn>,
): Promise<SignedIn[]> {
  const node = await nodes.add()
  const whole: SignedIn[] = []
  for (const [index, victim] of victims.entries()) {
    const survived = after[index]
    const answer = survived === undefined ? await node.refresh(victim) : undefined
    if (survived !== undefined) whole.push(survived)
    else if (answer?.status === 200) whole.push({ ...victim, ...((await answer.json()) as object) })
    else whole.push(await signIn(node, `victim-${index}`))
  }
  await node.close()
  return whole
}

describe('K16: a corrupted page', { timeout: LONG ? 600_000 : 60_000 }, () => {
  it(`K16: a file with broken bytes is refused by name or read, never a crash (seed ${SEED})`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'postern-pages-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    const runtime = createTestRuntime({ seed: SEED })
    const whole = join(folder, 'whole.db')
    const { store } = await openSqlite({ path: whole, runtime })
    for (let count = 0; count < 200; count += 1) {
      const expiresAtMs = runtime.nowMs() + 3_600_000
      const value = { name: 'x'.repeat(100), body: '{}', loadedAtMs: 1, expiresAtMs }
      await store.create('fact', { tenant: TENANT, id: `fact-${count}` }, value)
    }
    await store.close()
    const bytes = await readFile(whole)
    const outcomes = { refused: 0, read: 0, unreadable: 0 }
    for (let count = 0; count < FILES; count += 1) {
      const path = join(folder, `broken-${count}.db`)
      const broken = Buffer.from(bytes)
      const at = Math.floor(runtime.random() * broken.length)
      broken.writeUInt8(broken.readUInt8(at) ^ 0xff, at)
      await writeFile(path, broken)
      try {
        const opened = await openSqlite({ path, runtime })
        for (let row = 0; row < 200; row += 1) {
          try {
            await opened.store.get('fact', { tenant: TENANT, id: `fact-${row}` })
            outcomes.read += 1
          } catch (error) {
            expect(error, `byte ${at}`).toBeInstanceOf(StoreError)
            outcomes.unreadable += 1
          }
        }
        await opened.store.close()
      } catch (error) {
        const isNamed = error instanceof StoreError || error instanceof ConfigError
        expect(isNamed, `byte ${at}: ${String(error)}`).toBe(true)
        outcomes.refused += 1
      }
      await rm(path, { force: true })
    }
    expect(outcomes.read).toBeGreaterThan(0)
  })
})
