/**
 * Time goes wrong: the wall clock jumps, the process stands still, the process is started again and
 * again, and things are forgotten for long (K7, K8, K10, V3).
 */
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createMemoryLock } from '../../src/adapters/memory.ts'
import { type Nodes, type SignedIn, startNodes } from '../kit/nodes.ts'
import { createTestRuntime } from '../kit/runtime.ts'

const LONG = process.env.POSTERN_TEST_LONG === '1'
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const JUMPS: readonly (readonly [string, number])[] = [
  ['+1 h', HOUR_MS],
  ['-1 h', -HOUR_MS],
  ['+1 d', DAY_MS],
  ['-1 d', -DAY_MS],
]
const PEOPLE = LONG ? 50 : 5

function database(nodes: Nodes): DatabaseSync {
  const path = nodes.config.databaseUrl.replace(/^sqlite:/, '')
  const opened = new DatabaseSync(path, { readOnly: true })
  onTestFinished(() => opened.close())
  return opened
}

function rowsOf(nodes: Nodes): Readonly<Record<string, number>> {
  const rows = database(nodes)
    .prepare(
      `SELECT kind, COUNT(*) AS n FROM records GROUP BY kind
       UNION SELECT 'grant ' || state, COUNT(*) FROM grants GROUP BY state
       UNION SELECT 'mark', COUNT(*) FROM revocations`,
    )
    .all()
  return Object.fromEntries(rows.map((row) => [String(row['kind']), Number(row['n'])]))
}

async function signInMany(nodes: Nodes, prefix: string): Promise<SignedIn[]> {
  const people: SignedIn[] = []
  for (let index = 0; index < PEOPLE; index += 1) {
    nodes.remote.person = { subject: `${prefix}-${index}` }
    people.push(await nodes.first.signIn())
  }
  return people
}

async function refreshed(nodes: Nodes, signedIn: SignedIn): Promise<SignedIn> {
  const answer = await nodes.first.refresh(signedIn)
  expect(answer.status).toBe(200)
  return { ...signedIn, ...((await answer.json()) as object) }
}

describe('the wall clock jumps', { timeout: LONG ? 300_000 : 60_000 }, () => {
  it.each(JUMPS)(
    'K7: %s for an hour, then back: nobody is lost, nothing that ended comes back',
    async (_, jumpMs) => {
      const nodes = await startNodes()
      const { first, runtime } = nodes
      const revoke = (token: string, clientId: string) =>
        first.post('/revoke', { token, client_id: clientId })
      const living = await signInMany(nodes, 'living')
      const ended = await signInMany(nodes, 'ended')
      for (const { refresh_token, clientId } of ended)
        expect((await revoke(refresh_token, clientId)).status).toBe(200)
      const [spare] = living
      const killed = spare?.access_token ?? ''
      await revoke(killed, spare?.clientId ?? '')
      for (const { access_token } of [...living.slice(1), ...ended]) await first.call(access_token)
      const before = rowsOf(nodes)

      runtime.jumpWallMs(jumpMs)
      // One hour of sweeps, prunes, polls and key duties under the wrong clock.
      await nodes.elapse(HOUR_MS, 10_000)
      for (const { access_token } of ended) expect(await first.call(access_token)).toBe(401)
      expect(await first.call(killed)).toBe(401)
      const during: SignedIn[] = []
      for (const signedIn of living) {
        // Signed by the wall clock: it may be past its end. Its grant is not, and it is refreshed.
        expect([200, 401]).toContain(await first.call(signedIn.access_token))
        const next = await refreshed(nodes, signedIn)
        expect(await first.call(next.access_token)).toBe(200)
        during.push(next)
      }
      runtime.jumpWallMs(-jumpMs)
      await nodes.elapse(2 * MINUTE_MS, 10_000)
      for (const { access_token } of ended) expect(await first.call(access_token)).toBe(401)
      for (const signedIn of ended) expect((await first.refresh(signedIn)).status).toBe(400)
      expect(await first.call(killed)).toBe(401)
      for (const signedIn of during) {
        const next = await refreshed(nodes, signedIn)
        expect(await first.call(next.access_token)).toBe(200)
      }
      const after = rowsOf(nodes)
      for (const kind of [
        'user',
        'session',
        'client',
        'vault',
        'approval',
        'grant active',
        'grant ended',
        'mark',
      ])
        expect([kind, after[kind]]).toEqual([kind, before[kind]])

      // A new process knows nothing but the store.
      const second = await nodes.add()
      for (const { access_token } of ended) expect(await second.call(access_token)).toBe(401)
      expect(await second.call(killed)).toBe(401)
    },
  )

  // An hour back it is an hour young again, by the clock that signed it: only there it may be let in.
  it.each(JUMPS.filter(([, jumpMs]) => jumpMs !== -HOUR_MS))(
    'K7: %s for the whole life of a token: it is dead after it, and its grant is not',
    async (_, jumpMs) => {
      const nodes = await startNodes()
      const { first, runtime } = nodes
      const ada = await first.signIn()
      expect(await first.call(ada.access_token)).toBe(200)
      runtime.jumpWallMs(jumpMs)
      // A whole life of the token passes: no clock that was set back makes it live on.
      await nodes.elapse(HOUR_MS + MINUTE_MS, 10_000)
      expect(await first.call(ada.access_token)).toBe(401)
      const next = await refreshed(nodes, ada)
      expect(await first.call(next.access_token)).toBe(200)
    },
  )

  it('K7: slewing by a tenth of a second each second for ten minutes refuses nobody', async () => {
    const nodes = await startNodes()
    const { first, runtime } = nodes
    const ada = await first.signIn()
    for (const step of [100, -100]) {
      for (let second = 0; second < 300; second += 1) {
        runtime.jumpWallMs(step)
        await nodes.elapse(1_000, 1_000)
        if (second % 30 === 0) expect(await first.call(ada.access_token)).toBe(200)
      }
    }
    expect((await refreshed(nodes, ada)).access_token).not.toBe(ada.access_token)
  })
})

describe('the event loop stands still', () => {
  it.each([1_000, 2_000, 5_000])(
    'K8: a lease outlives a stall of %i ms, and is lost only past its end',
    async (stallMs) => {
      const runtime = createTestRuntime()
      const lock = createMemoryLock(runtime)
      const taken = await lock.acquire('vault-refresh:x', 15_000, 300)
      if (taken.state !== 'acquired') throw new Error(taken.state)
      // Renewed every third of the lease: a stall right before a renewal still finds it.
      runtime.advanceMs(4_999)
      runtime.stallMs(stallMs)
      expect(await taken.lease.renew(15_000)).toBe('acquired')
      expect((await lock.acquire('vault-refresh:x', 15_000, 300)).state).toBe('held')
      runtime.stallMs(15_000)
      expect(await taken.lease.renew(15_000)).toBe('lost')
      expect((await lock.acquire('vault-refresh:x', 15_000, 300)).state).toBe('acquired')
    },
  )

  it('K8: stalls of 1 to 5 s for ten minutes: the view stays young, deadlines fire, health is right, all goes on', async () => {
    const nodes = await startNodes({ nodes: 2 })
    const { first, second, runtime } = nodes
    let ada = await first.signIn()
    for (let round = 0; round < 120; round += 1) {
      runtime.stallMs(1_000 + (round % 5) * 1_000)
      await nodes.settle()
      expect(first.house.health('/readyz')?.status).toBe(200)
      expect(await second.call(ada.access_token)).toBe(200)
      if (round % 20 === 19) ada = await refreshed(nodes, ada)
    }
    // As ever: a revocation at one node is felt at the other one within 5 s.
    await first.post('/revoke', { token: ada.refresh_token, client_id: ada.clientId })
    runtime.stallMs(5_000)
    await nodes.settle()
    expect(await second.call(ada.access_token)).toBe(401)
    expect(runtime.rejections).toEqual([])
  })

  it('K8: a stall longer than the view may be old: not ready and no answer, until it has been read', async () => {
    const nodes = await startNodes()
    const { first, runtime } = nodes
    const ada = await first.signIn()
    expect(await first.call(ada.access_token)).toBe(200)
    runtime.stallMs(60_000)
    expect(first.house.health('/readyz')?.status).toBe(503)
    await nodes.settle()
    expect(first.house.health('/readyz')?.status).toBe(200)
    expect(await first.call(ada.access_token)).toBe(200)
  })
})

describe('restarts', { timeout: LONG ? 600_000 : 60_000 }, () => {
  const RESTARTS = LONG ? 360 : 30

  it('K10: a restart every 10 s loses nothing but memory; the first request after it is answered at once', async () => {
    const nodes = await startNodes()
    const { runtime } = nodes
    let node = nodes.first
    let ada = await node.signIn()
    nodes.remote.person = { subject: 'ended' }
    const ended = await node.signIn()
    await node.post('/revoke', { token: ended.refresh_token, client_id: ended.clientId })
    const asked = nodes.remote.exchanges.length
    for (let restart = 0; restart < RESTARTS; restart += 1) {
      await node.close()
      node = await nodes.add()
      const sinceMs = runtime.monotonicMs()
      expect(await node.call(ada.access_token)).toBe(200)
      expect(await node.call(ended.access_token)).toBe(401)
      expect(runtime.monotonicMs() - sinceMs).toBe(0)
      const answer = await node.refresh(ada)
      expect(answer.status).toBe(200)
      ada = { ...ada, ...((await answer.json()) as object) }
      expect((await node.refresh(ended)).status).toBe(400)
      await nodes.elapse(10_000, 2_000)
    }
    // Proof and documents come from the store: the provider hears no herd.
    expect(nodes.remote.exchanges.length - asked).toBeLessThanOrEqual(RESTARTS)
  })
})

describe('V3: long-forgotten grants', () => {
  it('V3: ends what nobody used for the idle time, and shows people how long each app was not used', async () => {
    const nodes = await startNodes({ config: { limits: { sessionIdleSeconds: 7 * 86_400 } } })
    const { first } = nodes
    const used = await first.signIn()
    const forgotten = await first.signIn()
    let current = used
    for (let day = 0; day < 30; day += 1) {
      // Nobody is there: all that was due in the night happens in the morning.
      nodes.runtime.stallMs(DAY_MS - MINUTE_MS)
      await nodes.settle()
      await nodes.elapse(MINUTE_MS, 30_000)
      if (day % 5 === 4) current = await refreshed(nodes, current)
    }
    expect((await first.refresh(forgotten)).status).toBe(400)
    expect((await first.refresh(current)).status).toBe(200)
    await nodes.elapse(11 * MINUTE_MS, 30_000)
    const states = database(nodes).prepare('SELECT client_id, state FROM grants').all()
    expect(states).toMatchObject([{ client_id: used.clientId, state: 'active' }])
  })

  it('V3: the list of apps says when each was used last', async () => {
    const nodes = await startNodes()
    const { first, runtime } = nodes
    const ada = await first.signIn()
    await nodes.elapse(3 * HOUR_MS, MINUTE_MS)
    const page = await ada.visitor.get('/account')
    const text = (await page.text()).replace(/<[^>]+>/g, ' ').replace(/\s+/g, ' ')
    expect(page.status).toBe(200)
    expect(text).toMatch(/[Uu]sed/)
    expect(runtime.rejections).toEqual([])
  })
})
