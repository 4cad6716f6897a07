/**
 * What nodes share is down, slow, flushed or out of reach (K5, K6): locks, pokes, the store itself.
 * Nothing of it is the source of truth but the store; a node that cannot read it refuses in time.
 */
import { describe, expect, it } from 'vitest'
import { createMemoryLock } from '../../src/adapters/memory.ts'
import { StoreError } from '../../src/errors.ts'
import type { Bus, Lock, Store } from '../../src/ports.ts'
import { type Node, type Nodes, type SignedIn, startNodes } from '../kit/nodes.ts'
import type { WatchedPlatform } from '../kit/platform.ts'
import type { TestRuntime } from '../kit/runtime.ts'

const LONG = process.env.POSTERN_TEST_LONG === '1'

const BROKEN_LOCKS: readonly (readonly [string, (runtime: TestRuntime) => Lock])[] = [
  [
    'refuses connections',
    () => ({
      acquire: async () => ({ state: 'error', maybeHeld: false, cause: new Error('ECONNREFUSED') }),
    }),
  ],
  [
    'times out, perhaps held',
    () => ({
      acquire: async () => ({ state: 'error', maybeHeld: true, cause: new Error('late') }),
    }),
  ],
  ['is held by somebody for ever', () => ({ acquire: async () => ({ state: 'held' }) })],
  [
    'is flushed at once',
    (runtime) => ({
      // A new table for every caller: whoever asks gets it.
      acquire: (...given) => createMemoryLock(runtime).acquire(...given),
    }),
  ],
  [
    'loses every lease',
    (runtime) => ({
      async acquire(...given) {
        const taken = await createMemoryLock(runtime).acquire(...given)
        if (taken.state !== 'acquired') return taken
        return {
          ...taken,
          lease: { ...taken.lease, remainingMs: () => 1_000, renew: async () => 'lost' },
        }
      },
    }),
  ],
]

const deadBus: Bus = {
  publish: async () => undefined,
  subscribe: async () => async () => undefined,
}

/** A platform whose pokes are lost and whose lock is `lock`. */
function cut(platform: WatchedPlatform, lock: Lock): WatchedPlatform {
  return {
    ...platform,
    lock,
    async openStore(databaseUrl) {
      const { store } = await platform.openStore(databaseUrl)
      return { store, bus: deadBus }
    },
  }
}

async function refreshed(node: Node, signedIn: SignedIn): Promise<SignedIn> {
  const answer = await node.refresh(signedIn)
  expect(answer.status).toBe(200)
  return { ...signedIn, ...((await answer.json()) as object) }
}

/** What a deployment does all day, on both nodes. */
async function playAll(nodes: Nodes): Promise<void> {
  const { first, second } = nodes
  nodes.remote.person = { subject: 'ada' }
  let ada = await first.signIn()
  nodes.remote.person = { subject: 'grace' }
  const grace = await second.signIn()
  expect(await second.call(ada.access_token)).toBe(200)
  ada = await refreshed(second, ada)
  ada = await refreshed(first, ada)
  await nodes.elapse(310_000, 1_000)
  expect(await first.call(ada.access_token)).toBe(200)
  expect(await second.call(grace.access_token)).toBe(200)
  const { clientId } = grace
  await first.post('/revoke', { token: grace.refresh_token, client_id: clientId })
  expect(await first.call(grace.access_token)).toBe(401)
  await nodes.elapse(5_000, 500)
  expect(await second.call(grace.access_token)).toBe(401)
  expect((await second.refresh(grace)).status).toBe(400)
  expect(await second.call(ada.access_token)).toBe(200)
}

describe('K5: what nodes share besides the store', () => {
  it.each(BROKEN_LOCKS)(
    'K5: the lock %s and no poke arrives: everything works, revocations by poll',
    async (_, make) => {
      const nodes = await startNodes({
        nodes: 2,
        platform: (platform) => cut(platform, make(platform.runtime as TestRuntime)),
      })
      await playAll(nodes)
      for (const node of nodes.nodes)
        expect(node.platform.events.filter(({ type }) => type === 'server.failed')).toEqual([])
    },
  )
})

/** A store that can be put out of reach: every call fails, none is applied. */
function reachable(): { platform(platform: WatchedPlatform): WatchedPlatform; isCut: boolean } {
  const state = {
    isCut: false,
    platform: (platform: WatchedPlatform): WatchedPlatform => ({
      ...platform,
      async openStore(databaseUrl) {
        const { store } = await platform.openStore(databaseUrl)
        return { store: failing(store, () => state.isCut), bus: deadBus }
      },
    }),
  }
  return state
}

function failing<T extends object>(target: T, isCut: () => boolean): T {
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name)
      if (name === 'grants') return failing(value as Store['grants'], isCut)
      if (typeof value !== 'function' || name === 'close') return value
      return (...given: unknown[]) =>
        isCut()
          ? Promise.reject(new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied'))
          : (value.apply(object, given) as unknown)
    },
  })
}

describe('K6: a partition', { timeout: LONG ? 300_000 : 60_000 }, () => {
  const ROUNDS = LONG ? 20 : 2
  const PARTITION_MS = 300_000
  const STEP_MS = 1_000
  const VIEW_MAX_MS = 30_000

  it('K5 K6: five minutes without the store: a node answers from memory for 30 s, then refuses; nothing wrong in its history', async () => {
    const link = reachable()
    const nodes = await startNodes({
      nodes: 2,
      platform: (platform, node) => (node === 1 ? link.platform(platform) : platform),
    })
    const { first, second, runtime } = nodes
    nodes.remote.person = { subject: 'ada' }
    let ada = await first.signIn()
    for (let round = 0; round < ROUNDS; round += 1) {
      nodes.remote.person = { subject: `grace-${round}` }
      const grace = await first.signIn()
      ada = await refreshed(first, ada)
      for (const { access_token } of [ada, grace]) expect(await second.call(access_token)).toBe(200)
      await nodes.elapse(2_500, 500)

      link.isCut = true
      const cutAtMs = runtime.monotonicMs()
      let revokedAtMs = Number.POSITIVE_INFINITY
      const history: { readonly atMs: number; readonly ada: number; readonly grace: number }[] = []
      while (runtime.monotonicMs() - cutAtMs < PARTITION_MS) {
        await nodes.elapse(STEP_MS, STEP_MS)
        const atMs = runtime.monotonicMs() - cutAtMs
        history.push({
          atMs,
          ada: await second.call(ada.access_token),
          grace: await second.call(grace.access_token),
        })
        if (revokedAtMs === Number.POSITIVE_INFINITY && atMs >= 10_000) {
          await first.post('/revoke', { token: grace.refresh_token, client_id: grace.clientId })
          revokedAtMs = atMs
        }
        // The other side of the cut goes on, with the truth.
        expect(await first.call(ada.access_token)).toBe(200)
        expect(await first.call(grace.access_token)).toBe(atMs >= revokedAtMs ? 401 : 200)
      }
      for (const { atMs, ada: status, grace: other } of history) {
        // Whoever is not revoked is never told so; nobody is let in by a view that is too old.
        expect([200, 503]).toContain(status)
        if (atMs <= VIEW_MAX_MS - 5_000) expect(status).toBe(200)
        if (atMs > VIEW_MAX_MS) expect([status, other]).toEqual([503, 503])
      }
      expect(second.house.health('/readyz')?.status).toBe(503)
      expect((await second.refresh(ada)).status).toBe(503)

      link.isCut = false
      await nodes.elapse(5_000, 500)
      expect(await second.call(grace.access_token)).toBe(401)
      expect(await second.call(ada.access_token)).toBe(200)
      expect(second.house.health('/readyz')?.status).toBe(200)
      ada = await refreshed(second, ada)
    }
    // Work behind the requests failed as the store did, and for no other reason.
    const others = nodes.runtime.rejections.filter((error) => !(error instanceof StoreError))
    expect(others).toEqual([])
  })

  it('K5: a house closes while its store is out of reach', async () => {
    const link = reachable()
    const nodes = await startNodes({ platform: (platform) => link.platform(platform) })
    const ada = await nodes.first.signIn()
    expect(await nodes.first.call(ada.access_token)).toBe(200)
    link.isCut = true
    await expect(nodes.first.close()).resolves.toBeUndefined()
    link.isCut = false
    const again = await nodes.add()
    expect(await again.call(ada.access_token)).toBe(200)
  })
})
