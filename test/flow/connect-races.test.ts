/**
 * Trips that cross: three people with several browsers, three connectors, answers that arrive twice, at
 * the wrong place, in the wrong browser, from the wrong server, late. Whatever happens, a code reaches
 * only the server it came from, and its tokens only the person who started in that browser.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import { TENANT } from '../../src/records.ts'
import { createSealing } from '../../src/vault/sealing.ts'
import { createVault } from '../../src/vault/vault.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import {
  arrive,
  type ConnectTestHouse,
  callbackUrl,
  createConnectHouse,
  depart,
  SEALING_KEY,
  signedIn,
  userIdOf,
} from './connect-house.ts'
import { locationOf, ticketOf, Visitor } from './sign-in-house.ts'

const CONNECTORS = ['notes', 'tasks', 'files'] as const
const PEOPLE = ['1001', '1002', '1003']
const RUNS = 25
const STEPS = 40

interface Browser {
  readonly visitor: Visitor
  readonly subject: string
}

interface Journey {
  readonly browser: Browser
  readonly name: string
  readonly code: string
  readonly url: URL
  readonly startedMs: number
}

/** Small, seeded, so that a failure can be run again. */
function createDice(seed: number): (sides: number) => number {
  let state = seed * 2_654_435_761 + 1
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 4_294_967_296) * sides)
  }
}

function pick<T>(list: readonly T[], dice: (sides: number) => number): T {
  const found = list[dice(list.length)]
  if (found === undefined) throw new Error('nothing to pick from')
  return found
}

async function play(house: ConnectTestHouse, seed: number): Promise<readonly Journey[]> {
  const dice = createDice(seed)
  const browsers: Browser[] = []
  for (const subject of [...PEOPLE, '1001', '1002'])
    browsers.push({ visitor: await signedIn(house, { subject }), subject })
  const journeys: Journey[] = []
  for (let step = 0; step < STEPS; step += 1) {
    const roll = dice(10)
    if (roll < 4 || journeys.length === 0) {
      const browser = pick(browsers, dice)
      const name = pick(CONNECTORS, dice)
      const code = `${name}-${browser.subject}-${step}`
      const { away } = await depart(browser.visitor, name)
      const startedMs = house.runtime.nowMs()
      journeys.push({ browser, name, code, url: callbackUrl(away, { code }), startedMs })
      continue
    }
    const journey = pick(journeys, dice)
    const url = new URL(journey.url)
    if (roll === 4) url.pathname = `/connect/${pick(CONNECTORS, dice)}/callback`
    if (roll === 5) url.searchParams.set('iss', `https://login.${pick(CONNECTORS, dice)}.example`)
    if (roll === 6) house.runtime.advanceMs(dice(400_000))
    const times = roll === 7 ? 3 : roll === 8 ? dice(2) : 1
    const own = Array.from({ length: times }, () => arrive(journey.browser.visitor, url))
    // Sent to somebody else, who is signed in at the server as themselves: the code is of their account.
    const other = roll === 8 ? pick(browsers, dice) : undefined
    if (other !== undefined) {
      const lured = new URL(url)
      lured.searchParams.set('code', `${journey.name}-${other.subject}-${step}`)
      own.push(arrive(other.visitor, lured))
    }
    await Promise.all(own)
  }
  return journeys
}

describe('trips that cross', () => {
  it('O1 O2 W7 CLI-06 CLI-11 CLI-12: a code reaches its own server once, its tokens their own person', async () => {
    let connected = 0
    for (let seed = 1; seed <= RUNS; seed += 1) {
      const house = createConnectHouse({ linked: CONNECTORS })
      const journeys = await play(house, seed)
      const exchanged = CONNECTORS.flatMap((name) =>
        house.remote(name).exchanges.map(({ code }) => ({ name, code })),
      )
      expect(new Set(exchanged.map(({ code }) => code)).size, `seed ${seed}`).toBe(exchanged.length)
      for (const { name, code } of exchanged)
        expect(code.startsWith(`${name}-`), `seed ${seed}: ${code} at ${name}`).toBe(true)
      const users = await house.store.list('user', TENANT, undefined, { max: 10 })
      const vault = createVault({
        store: house.store,
        sealing: createSealing([SEALING_KEY], house.runtime),
        runtime: house.runtime,
      })
      const rows = await house.store.list('connection', TENANT, undefined, { max: 100 })
      for (const { value } of rows) {
        const subject = users.find((user) => user.value.userId === value.userId)?.value.subject
        const { tokens } = await vault.load(value.vaultId)
        const owner = `upstream-access-${value.connector}-${subject}-`
        expect(tokens.accessToken.startsWith(owner), `seed ${seed}`).toBe(true)
      }
      const living = await house.store.list('vault', TENANT, undefined, { max: 500 })
      const active = living.filter(
        ({ value }) => value.state === 'active' && value.provider.startsWith('connector:'),
      )
      expect(active).toHaveLength(rows.length)
      connected += exchanged.length
      expect(journeys.length).toBeGreaterThan(0)
    }
    expect(connected).toBeGreaterThan(RUNS)
  })

  it('W7 CLI-06: two nodes on one SQLite file get the same form and the same callback at once: one trip, one token call, one connection', async () => {
    const runtime = createTestRuntime()
    const folder = await mkdtemp(join(tmpdir(), 'postern-connect-'))
    const { store } = await openSqlite({ path: join(folder, 'postern.db'), runtime })
    onTestFinished(async () => {
      await store.close()
      await rm(folder, { recursive: true, force: true })
    })
    const first = createConnectHouse({ store, runtime })
    const second = createConnectHouse({ store, runtime, deps: { keys: first.deps.keys } })
    const here = await signedIn(first)
    const there = new Visitor(second)
    const share = () => {
      for (const [name, value] of here.cookies) there.cookies.set(name, value)
    }
    const ticket = ticketOf(await (await here.get('/connect/notes')).text())
    share()
    const form = { ticket, decision: 'connect' }
    const away = await Promise.all([here, there].map((node) => node.post('/connect/notes', form)))
    const [won] = away
    expect(new Set(away.map((answer) => locationOf(answer))).size).toBe(1)
    if (won === undefined) throw new Error('nobody departed')
    for (const [name, value] of there.cookies) here.cookies.set(name, value)
    share()
    const url = callbackUrl(won)
    const answers = await Promise.all([here, there, here, there].map((node) => arrive(node, url)))
    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1)
    const exchanges = [first, second].flatMap((house) => house.remote().exchanges)
    expect(exchanges).toHaveLength(1)
    expect(await first.connections.list(await userIdOf(first))).toHaveLength(1)
  })
})
