/**
 * kill -9 at random while people sign in, refresh and revoke: what the house has acknowledged is true
 * after each restart, and nothing that opens a door is ever readable on disk or in the log.
 *
 * 20 rounds; 200 with POSTERN_TEST_LONG=1. The seed is printed; POSTERN_TEST_SEED repeats a run's
 * choices, though not the operating system's.
 * @see threats K3, I1, I5
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, describe, expect, it } from 'vitest'
import { type OpenIdDouble, startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { type NotesServer, startNotesServer } from '../../demo/servers/notes.ts'
import { type Canaries, watchCanaries } from '../kit/canaries.ts'
import { createLedger, type Entry, type Ledger, WrongAnswer } from '../kit/ledger.ts'
import { freePort } from '../kit/postern.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import { prepareServed, type Served } from '../kit/served.ts'

const LONG = process.env.POSTERN_TEST_LONG === '1'
const ROUNDS = LONG ? 200 : 20
const ROUND_BUDGET_MS = 30_000
const SEED = Number(process.env.POSTERN_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))
const WANDERERS = 6
const ACKNOWLEDGED_MAX = 40
const CLIENT = { clientId: 'postern', clientSecret: 'provider-client-secret-canary' }
/** Of what earlier rounds left. */
const OLD_CHECKED_MAX = 30
const DAMAGED_MAX = 3

const cleanups: (() => Promise<unknown> | unknown)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
})

interface Stage {
  readonly served: Served
  readonly canaries: Canaries
  readonly ledger: Ledger
  readonly random: () => number
  /** Resolves at the next acknowledged answer after `count` more. */
  acknowledged(count: number): Promise<void>
}

async function openStage(): Promise<Stage> {
  const port = await freePort()
  const issuer = `http://127.0.0.1:${port}`
  const openid: OpenIdDouble = await startOpenIdDouble({
    clients: [{ ...CLIENT, redirectUris: [`${issuer}/callback/openid`] }],
  })
  cleanups.push(() => openid.close())
  const notes: NotesServer = await startNotesServer()
  cleanups.push(() => notes.close())
  const served = await prepareServed((databaseUrl) => ({
    issuer,
    listen: { port, metricsPort: 0 },
    databaseUrl,
    providers: [{ type: 'oidc', id: 'openid', title: 'OpenID', issuer: openid.issuer, ...CLIENT }],
    connectors: { notes: { url: notes.url } },
    limits: { registrationsPerMinuteMax: 1_000 },
    log: { level: 'debug', format: 'json' },
  }))
  cleanups.push(() => served.close())
  const canaries = watchCanaries(port, openid.port)
  cleanups.push(() => canaries.close())
  canaries.add(CLIENT.clientSecret)
  const { random } = createTestRuntime({ seed: SEED })
  let onAcknowledged = (): void => undefined
  const ledger = createLedger({
    issuer,
    people: ['ada', 'grace'],
    random,
    onSecret: canaries.add,
    onAcknowledged: () => onAcknowledged(),
  })
  await served.start()
  await ledger.register()
  return {
    served,
    canaries,
    ledger,
    random,
    acknowledged: (count) =>
      new Promise((resolve) => {
        let left = count
        onAcknowledged = () => {
          left--
          if (left <= 0) resolve()
        }
      }),
  }
}

/** Everybody at work until the house dies under them; returns when they have noticed. */
async function killDuring({ ledger, served, random, acknowledged }: Stage): Promise<void> {
  let isOver = false
  const moment = acknowledged(1 + Math.floor(random() * ACKNOWLEDGED_MAX))
  const wrong: unknown[] = []
  const work = Array.from({ length: WANDERERS }, async () => {
    try {
      while (!isOver) await ledger.wander()
    } catch (error) {
      if (error instanceof WrongAnswer || !isOver) wrong.push(error)
    }
  })
  const failed = Promise.all(work).then(() => undefined)
  await Promise.race([moment, failed])
  // Somewhere inside whatever is under way now, not always right after an answer.
  for (let turns = Math.floor(random() * 12); turns > 0; turns--) {
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  isOver = true
  await served.kill()
  await failed
  expect(wrong, `seed ${SEED}`).toEqual([])
}

function expectWholeDatabase(path: string): void {
  const database = new DatabaseSync(path, { readOnly: true })
  const check = database.prepare('PRAGMA integrity_check').all()
  const states = database.prepare('SELECT DISTINCT state FROM grants').all()
  database.close()
  expect(check).toEqual([{ integrity_check: 'ok' }])
  for (const { state } of states) expect(['pending', 'active', 'ended']).toContain(state)
}

/** What each state promises after a crash. */
async function expectKept(ledger: Ledger, entry: Entry): Promise<void> {
  const why = `${entry.state}, seed ${SEED}`
  if (entry.state === 'code') {
    expect((await ledger.redeem(entry)).status, why).toBe(200)
    entry.state = 'active'
  } else if (entry.state === 'redeeming') {
    // Nobody knows whether it was done; if it was, a second use ends what the first one issued.
    const { status, body } = await ledger.redeem(entry)
    if (status !== 200) expect({ status, body }, why).toMatchObject(INVALID_GRANT)
    entry.state = status === 200 ? 'active' : 'revoked'
  } else if (entry.state === 'active' || entry.state === 'refreshing') {
    const wasAnswered = entry.state === 'active'
    if (wasAnswered) expect(await ledger.call(entry), why).toBe(200)
    expect((await ledger.refresh(entry)).status, why).toBe(200)
    entry.state = 'active'
    expect(await ledger.call(entry), why).toBe(200)
  } else if (entry.state === 'revoking') {
    const { status, body } = await ledger.refresh(entry)
    if (status !== 200) expect({ status, body }, why).toMatchObject(INVALID_GRANT)
    entry.state = status === 200 ? 'active' : 'revoked'
  } else {
    // A code whose first use was never answered left nothing but itself.
    const isEmpty = entry.refreshToken === ''
    const presented = await (isEmpty ? ledger.redeem(entry) : ledger.refresh(entry))
    expect(presented, why).toMatchObject(INVALID_GRANT)
    if (!isEmpty) expect(await ledger.call(entry), why).toBe(401)
  }
}

/** Every kind of secret was really seen, so that finding none means something. */
const KINDS = [
  'at the provider state',
  'cookie',
  'from the provider',
  'of a client',
  'redirect code',
  'redirect state',
  'to the provider code',
  'to the provider code_verifier',
  'upstream credential',
]

const INVALID_GRANT = { status: 400, body: { error: 'invalid_grant' } }

/** A code or a token that was used before the crash is still used up: its family ends. */
async function expectUsedUp(ledger: Ledger, entry: Entry, what: 'code' | 'token'): Promise<void> {
  const newest = entry.refreshToken
  // The newest spent one may still be repeated: a client that lost the answer is given it again.
  const spent = entry.spent.at(-2)
  if (what === 'token' && spent === undefined) return
  const replayed = await (what === 'code' || spent === undefined
    ? ledger.redeem(entry)
    : ledger.refresh(entry, spent))
  expect(replayed, `${what}, seed ${SEED}`).toMatchObject(INVALID_GRANT)
  expect(await ledger.refresh(entry, newest)).toMatchObject(INVALID_GRANT)
  expect(await ledger.call(entry)).toBe(401)
  entry.state = 'revoked'
}

async function expectNothingReadable({ served, canaries }: Stage): Promise<void> {
  const sealingKey = await readFile(join(served.dataFolder, 'sealing-key'), 'utf8')
  canaries.add(sealingKey.trim())
  const files = await served.files()
  expect(files.map(({ name }) => name)).toContain('postern.db')
  for (const { name, bytes } of files) expect(canaries.find(bytes), name).toEqual([])
}

describe('kill -9', () => {
  it(`K3 I1 I5: ${ROUNDS} times during sign-ins, refreshes and revocations nothing acknowledged is lost`, {
    timeout: ROUNDS * ROUND_BUDGET_MS,
  }, async () => {
    console.log(`kill -9: ${ROUNDS} rounds, seed ${SEED}`)
    const stage = await openStage()
    const { served, ledger, random } = stage
    let settled: readonly Entry[] = []
    const seen: Record<string, number> = {}
    for (let round = 0; round < ROUNDS; round++) {
      await killDuring(stage)
      await expectNothingReadable(stage)
      await served.start()
      expectWholeDatabase(served.databasePath)

      const fresh = ledger.entries.filter((entry) => !settled.includes(entry))
      const open = ledger.entries.filter(({ state }) => /ing$/.test(state))
      const old = sample(settled, OLD_CHECKED_MAX, random)
      for (const entry of new Set([...fresh, ...open, ...old])) {
        seen[entry.state] = (seen[entry.state] ?? 0) + 1
        await expectKept(ledger, entry)
      }
      const active = ledger.entries.filter(({ state }) => state === 'active')
      for (const entry of sample(active, DAMAGED_MAX, random)) {
        await expectUsedUp(ledger, entry, random() < 0.5 ? 'code' : 'token')
      }
      settled = [...ledger.entries]
    }
    console.log(`acknowledged ${ledger.acknowledged}, found after a kill: ${JSON.stringify(seen)}`)
    await served.stop()
    await expectNothingReadable(stage)
    expectWholeDatabase(served.databasePath)

    // The search itself works, and the log was as talkative as it can be.
    const output = served.output()
    expect(stage.canaries.find(Buffer.from(output, 'latin1'))).toEqual([])
    expect(output).toMatch(/"level":"debug"/)
    const planted = Buffer.from(`{"token":"${ledger.entries[0]?.accessToken}"}`)
    expect(stage.canaries.find(planted)).not.toEqual([])
    expect(Object.keys(stage.canaries.kinds()).sort()).toEqual(KINDS)
  })
})

function sample<T>(list: readonly T[], max: number, random: () => number): readonly T[] {
  const left = [...list]
  const taken: T[] = []
  while (taken.length < max && left.length > 0) {
    taken.push(...left.splice(Math.floor(random() * left.length), 1))
  }
  return taken
}
