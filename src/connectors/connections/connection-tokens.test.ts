import { describe, expect, it } from 'vitest'
import { HOUR_MS, type LinkHouse, openLinkHouse } from '../../../test/kit/connected.ts'
import { createMemoryLock } from '../../adapters/memory.ts'
import { StoreError } from '../../errors.ts'
import { connectionKey } from '../../vault/connection-rows.ts'
import type { HeldToken, UnknownToken } from './connection-tokens.ts'

const DEADLINE = { deadlineMs: 10_000 }
const MINUTE_MS = 60_000
const user = (person: string) => `app:default:${person}`
const accessToken = (held: HeldToken | UnknownToken) =>
  held.state === 'token' ? held.accessToken : held.state

/** One connection whose access token has ended. */
async function expired(seed = 1): Promise<LinkHouse> {
  const house = await openLinkHouse({ seed })
  await house.link('ada')
  house.runtime.advanceMs(HOUR_MS + 1_000)
  return house
}

function ask(house: LinkHouse, node = house.first) {
  return node.tokens.load(user('ada'), 'notes', DEADLINE)
}

describe('from memory', () => {
  it('P8, GW-23: a warm token is found without a read of the store', async () => {
    const house = await openLinkHouse()
    const { tokens, store } = house.first
    const { connectionId } = await house.link('ada')
    expect(tokens.peek(user('ada'), 'notes')).toEqual({ state: 'cold' })
    const held = await ask(house)
    const reads = store.reads()
    expect(tokens.peek(user('ada'), 'notes')).toBe(held)
    expect(held).toMatchObject({ state: 'token', connectionId, scopes: ['read', 'write'] })
    expect(held).toMatchObject({ resourceOrigin: 'https://notes.example' })
    expect(store.reads()).toBe(reads)
    expect(house.server.refreshes).toBe(0)
  })

  it('GW-23: nobody gets a token of another person or connector, whatever their names are', async () => {
    const house = await openLinkHouse()
    const { tokens } = house.first
    const people = ['ada', 'grace', 'ada\nnotes', 'ada"', '']
    for (const person of people) await house.link(person)
    await house.link('ada', { connector: 'tasks', resource: 'https://tasks.example/mcp' })
    const seen = new Set<string>()
    for (const person of people) {
      for (const connector of ['notes', 'tasks']) {
        const held = await tokens.load(user(person), connector, DEADLINE)
        expect(tokens.peek(user(person), connector).state).toBe(
          held.state === 'token' ? 'token' : 'cold',
        )
        const isLinked = connector === 'notes' || person === 'ada'
        expect(held.state).toBe(isLinked ? 'token' : 'missing')
        if (held.state === 'token') {
          expect(held.accessToken).toMatch(new RegExp(`-of-${person}$`))
          seen.add(held.accessToken)
        }
      }
    }
    expect(seen.size).toBe(people.length + 1)
    expect((await tokens.load(user('eve'), 'notes', DEADLINE)).state).toBe('missing')
  })

  it('O5, CLI-21: tokens stay behind when the definition of their connector is edited', async () => {
    const house = await openLinkHouse()
    await house.link('ada', { resource: 'https://other.example/mcp' })
    await house.link('grace', { resource: 'https://notes.example/mc' })
    await house.link('mary', { resource: 'https://notes.example/' })
    const of = (person: string) => house.first.tokens.load(user(person), 'notes', DEADLINE)
    for (const person of ['ada', 'grace'])
      expect(await of(person)).toEqual({ state: 'reconnect', cause: 'server_changed' })
    expect((await of('mary')).state).toBe('token')
  })

  it('O15, I1: what ended on one node is forgotten on the others', async () => {
    const house = await openLinkHouse()
    const second = await house.add()
    const { connectionId } = await house.link('ada')
    for (const node of [house.first, second]) expect((await ask(house, node)).state).toBe('token')
    await house.first.connections.end(connectionId, 'disconnected')
    expect(house.first.tokens.peek(user('ada'), 'notes').state).toBe('cold')
    await house.runtime.elapseMs(2_500)
    expect(second.tokens.peek(user('ada'), 'notes').state).toBe('cold')
    expect((await ask(house, second)).state).toBe('missing')
  })

  it('I1: a read that began before an end does not bring the token back', async () => {
    const house = await openLinkHouse()
    const { connectionId, vaultId } = await house.link('ada')
    const reading = ask(house)
    house.first.tokens.forget(vaultId)
    const ending = house.first.connections.end(connectionId, 'disconnected')
    await house.finish(Promise.all([reading, ending]))
    expect(house.first.tokens.peek(user('ada'), 'notes').state).toBe('cold')
  })

  it('VAL-16: what is remembered is bounded by its size', async () => {
    const house = await openLinkHouse()
    const large = 'x'.repeat(16_000)
    for (let person = 0; person < 4_600; person += 1) {
      const tokens = { accessToken: `${large}${person}`, tokenType: 'Bearer' }
      await house.link(`p${person}`, { tokens })
      await house.first.tokens.load(user(`p${person}`), 'notes', DEADLINE)
    }
    const { tokens } = house.first
    expect(tokens.peek(user('p4599'), 'notes').state).toBe('token')
    expect(tokens.peek(user('p0'), 'notes').state).toBe('cold')
  })
})

describe('refreshed on demand', () => {
  it('R1, CLI-19: 1,000 callers of one expired connection make one call', async () => {
    const house = await expired()
    const asked = Array.from({ length: 1_000 }, () => ask(house))
    const held = await house.finish(Promise.all(asked))
    expect(house.server.refreshes).toBe(1)
    expect(new Set(held.map(accessToken))).toEqual(new Set(['access-2-of-ada']))
    expect(house.first.emit.eventsOf('connection.refreshed')).toHaveLength(1)
  })

  it('R2, CLI-19: 4 nodes of 250 callers each make one call', async () => {
    const house = await expired()
    const nodes = [house.first, await house.add(), await house.add(), await house.add()]
    const asked = nodes.flatMap((node) => Array.from({ length: 250 }, () => ask(house, node)))
    const held = await house.finish(Promise.all(asked))
    expect(house.server.refreshes).toBe(1)
    expect(new Set(held.map(accessToken))).toEqual(new Set(['access-2-of-ada']))
  })

  it('R2: processes that do not see each other’s locks make one call, and a strict server loses nobody', async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const house = await expired(seed)
      const blind = () => ({ ...createMemoryLock(house.runtime), reach: 'process' as const })
      const nodes = [await house.add({ lock: blind() }), await house.add({ lock: blind() })]
      house.server.callMs = () => 50 + house.runtime.random() * 2_000
      const asked = nodes.flatMap((node) => Array.from({ length: 20 }, () => ask(house, node)))
      const held = await house.finish(Promise.all(asked))
      expect(house.server.refreshes).toBe(1)
      for (const one of held) expect(house.server.isLive(accessToken(one))).toBe(true)
    }
  })

  it('R2, R4: with the lock store down nodes call once each at most, and none is lost', async () => {
    const house = await expired()
    house.server.habit = 'tolerant'
    const down = {
      acquire: async () => ({ state: 'error', maybeHeld: true, cause: 'down' }) as const,
    }
    const nodes = await Promise.all([1, 2, 3, 4].map(() => house.add({ lock: down })))
    const held = await house.finish(Promise.all(nodes.map((node) => ask(house, node))))
    expect(house.server.refreshes).toBeLessThanOrEqual(4)
    for (const one of held) expect(house.server.isLive(accessToken(one))).toBe(true)
  })

  it('R3: a call that takes three leases is not doubled by another node', async () => {
    const house = await expired()
    const second = await house.add()
    house.server.callMs = () => 45_000
    const nodes = [house.first, second]
    // Longer than anybody waits: they are told to come again, and nobody starts another call.
    const asked = nodes.map((node) => ask(house, node))
    for (const held of await house.finish(Promise.all(asked))) expect(held.state).toBe('unknown')
    await house.runtime.elapseMs(60_000)
    expect(house.server.refreshes).toBe(1)
    for (const node of nodes)
      expect(accessToken(await house.finish(ask(house, node)))).toBe('access-2-of-ada')
    expect(house.server.refreshes).toBe(1)
  })

  it('R6, CLI-18: no new refresh token in the answer keeps the old one', async () => {
    const house = await expired()
    house.server.habit = 'keep'
    for (let round = 0; round < 3; round += 1) {
      expect((await house.finish(ask(house))).state).toBe('token')
      house.runtime.advanceMs(HOUR_MS + 1_000)
    }
    expect(house.server.refreshes).toBe(3)
  })

  it('R12: 1,000 connections that end at once make one call each', async () => {
    const house = await openLinkHouse()
    house.server.callMs = () => 400
    const people = Array.from({ length: 1_000 }, (_, at) => `p${at}`)
    for (const person of people) await house.link(person)
    house.runtime.advanceMs(HOUR_MS + 1_000)
    const asked = people.flatMap((person) =>
      [1, 2].map(() => house.first.tokens.load(user(person), 'notes', DEADLINE)),
    )
    const held = await house.finish(Promise.all(asked))
    expect(house.server.refreshes).toBe(1_000)
    expect(held.every(({ state }) => state === 'token')).toBe(true)
  })

  it('R7: an answer that cannot be written is kept, retried, and the node says so', async () => {
    const house = await expired()
    const { store, refresher } = house.first
    let failures = 5
    const put = store.put
    Object.assign(store, {
      put: async (...given: Parameters<typeof put>) => {
        const isAnswer = house.server.refreshes > 0 && failures > 0
        if (isAnswer) {
          failures -= 1
          throw new StoreError('ERR_STORE_FULL', 'not-applied')
        }
        return put(...given)
      },
    })
    const asked = ask(house)
    await house.runtime.elapseMs(200)
    expect(refresher.unwritten()).toBe(1)
    expect(accessToken(await house.finish(asked))).toBe('access-2-of-ada')
    expect(refresher.unwritten()).toBe(0)
    expect(house.server.refreshes).toBe(1)
  })

  it('asks for as much life as was demanded, once, and never for more than half of what is given', async () => {
    const house = await openLinkHouse()
    await house.link('ada')
    const demand = (minValidityMs: number) =>
      house.finish(house.first.tokens.load(user('ada'), 'notes', { ...DEADLINE, minValidityMs }))
    await demand(20 * MINUTE_MS)
    expect(house.server.refreshes).toBe(0)
    house.runtime.advanceMs(35 * MINUTE_MS)
    expect(accessToken(await demand(20 * MINUTE_MS))).toBe('access-1-of-ada')
    expect(accessToken(await demand(48 * HOUR_MS))).toBe('access-2-of-ada')
    for (let round = 0; round < 5; round += 1) await demand(48 * HOUR_MS)
    expect(house.server.refreshes).toBe(1)
  })
})

describe('what the server says', () => {
  it('CLI-20: invalid_grant ends the connection: reconnect, with its cause, and no further call', async () => {
    const house = await expired()
    house.server.faults.push({ outcome: 'no', error: 'invalid_grant' })
    const asked = Array.from({ length: 10 }, () => ask(house))
    for (const held of await house.finish(Promise.all(asked)))
      expect(held).toEqual({ state: 'reconnect', cause: 'invalid_grant' })
    expect(await house.finish(ask(house))).toEqual({ state: 'reconnect', cause: 'invalid_grant' })
    expect(house.server.refreshes).toBe(1)
    const [told] = house.first.emit.eventsOf('connection.reconnect')
    expect(told).toMatchObject({ connector: 'notes', reason: 'invalid_grant' })
    expect(await house.first.connections.find(user('ada'), 'notes')).toMatchObject({
      state: 'reconnect',
      cause: 'invalid_grant',
    })
  })

  it('CLI-20, F4: 429, 5xx and timeouts keep the connection, serve what lives, and back off', async () => {
    const house = await openLinkHouse()
    await house.link('ada')
    house.server.isUp = false
    // Due for a refresh, alive: served.
    house.runtime.advanceMs(0.9 * HOUR_MS)
    expect((await ask(house)).state).toBe('token')
    house.runtime.advanceMs(0.2 * HOUR_MS)
    expect(await house.finish(ask(house))).toMatchObject({ state: 'unknown' })
    const calls = house.server.refreshes
    for (let round = 0; round < 50; round += 1) await ask(house)
    expect(house.server.refreshes).toBe(calls)
    for (let second = 0; second < 600; second += 1) {
      await house.finish(ask(house))
      await house.runtime.elapseMs(1_000)
    }
    expect(house.server.refreshes - calls).toBeLessThan(25)
    house.server.isUp = true
    await house.runtime.elapseMs(80_000)
    expect((await house.finish(ask(house))).state).toBe('token')
  })

  it('R9: fewer scopes are stored and told', async () => {
    const house = await expired()
    house.server.scopes = ['read']
    expect(await house.finish(ask(house))).toMatchObject({ state: 'token', scopes: ['read'] })
    expect(await house.first.connections.find(user('ada'), 'notes')).toMatchObject({
      scopes: ['read'],
      requestedScopes: ['read', 'write'],
    })
    const reasons = house.first.emit.eventsOf('server.warning').map(({ reason }) => reason)
    expect(reasons).toEqual(['scopes_reduced'])
  })

  it('R9: tokens of another subject are neither stored nor used, and the connection is set aside', async () => {
    const house = await openLinkHouse()
    await house.link('ada', { account: { subject: 'account-1' } })
    house.runtime.advanceMs(HOUR_MS + 1_000)
    house.server.subject = 'account-2'
    expect(await house.finish(ask(house))).toEqual({
      state: 'reconnect',
      cause: 'subject_changed',
    })
    const { vault } = house.first
    const view = await house.first.connections.find(user('ada'), 'notes')
    expect((await vault.load(view?.vaultId ?? '')).tokens.accessToken).toBe('access-1-of-ada')
    const [told] = house.first.emit.eventsOf('server.warning')
    expect(told).toMatchObject({ reason: 'subject_changed', level: 'error', connector: 'notes' })
    expect(house.server.refreshes).toBe(1)
  })

  it('O8, GW-24: 401 for ever is at most one refresh a minute, then the person is asked', async () => {
    const house = await openLinkHouse()
    await house.link('ada')
    const { tokens } = house.first
    let held = await ask(house)
    const states: string[] = []
    for (let second = 0; second < 600; second += 1) {
      held = await house.finish(
        tokens.refused(user('ada'), 'notes', accessToken(held), DEADLINE.deadlineMs),
      )
      states.push(held.state)
      await house.runtime.elapseMs(1_000)
      held = await house.finish(ask(house))
      expect(house.server.refreshes).toBeLessThanOrEqual(1 + Math.floor(second / 60))
    }
    expect(house.server.refreshes).toBeGreaterThan(1)
    expect(states[0]).toBe('token')
    expect(states[1]).toBe('reconnect')
    // Nothing has ended: the server may come to its senses.
    expect((await ask(house)).state).toBe('token')
  })

  it('R2, GW-24: a 401 on one node finds what another has refreshed, without a call', async () => {
    const house = await openLinkHouse()
    const second = await house.add()
    await house.link('ada')
    const old = accessToken(await ask(house))
    await ask(house, second)
    house.runtime.advanceMs(30 * MINUTE_MS)
    const renew = house.first.tokens.refused(user('ada'), 'notes', old, DEADLINE.deadlineMs)
    expect(accessToken(await house.finish(renew))).toBe('access-2-of-ada')
    const found = await second.tokens.refused(user('ada'), 'notes', old, DEADLINE.deadlineMs)
    expect(accessToken(found)).toBe('access-2-of-ada')
    expect(house.server.refreshes).toBe(1)
    // And 100 who come late with the old token on the first.
    const late = Array.from({ length: 100 }, () =>
      house.first.tokens.refused(user('ada'), 'notes', old, DEADLINE.deadlineMs),
    )
    for (const held of await house.finish(Promise.all(late)))
      expect(accessToken(held)).toBe('access-2-of-ada')
    expect(house.server.refreshes).toBe(1)
  })

  it('DSC-20: an expired token of an issuer that was replaced asks for a new connection', async () => {
    const house = await expired()
    house.server.binding = { ...house.server.binding, issuer: 'https://new.example' }
    expect(await house.finish(ask(house))).toEqual({ state: 'reconnect', cause: 'issuer_changed' })
    expect(house.server.refreshes).toBe(0)
  })
})

describe('refreshed ahead', () => {
  it('VAL-13, R10: a connection in use is refreshed before its end, one that is not stays as it is', async () => {
    const house = await openLinkHouse()
    await house.link('ada')
    await house.link('grace')
    await house.first.tokens.load(user('grace'), 'notes', DEADLINE)
    await ask(house)
    for (let minute = 0; minute < 60; minute += 1) {
      await house.runtime.elapseMs(MINUTE_MS)
      expect(house.first.tokens.peek(user('ada'), 'notes').state).toBe('token')
    }
    expect(house.server.refreshes).toBe(1)
    expect(accessToken(house.first.tokens.peek(user('ada'), 'notes'))).toMatch(/-of-ada$/)
    expect(house.first.tokens.peek(user('grace'), 'notes').state).toBe('cold')
  })

  it('R10: 2,000 connections with one expiry are refreshed at a flat rate, one call each', async () => {
    const house = await openLinkHouse()
    const people = Array.from({ length: 2_000 }, (_, at) => `p${at}`)
    for (const person of people) await house.link(person)
    const useAll = async (): Promise<void> => {
      for (const person of people) {
        if (house.first.tokens.peek(user(person), 'notes').state !== 'token')
          await house.first.tokens.load(user(person), 'notes', DEADLINE)
      }
    }
    await useAll()
    const perMinute: number[] = []
    for (let minute = 0; minute < 59; minute += 1) {
      const before = house.server.refreshes
      await house.runtime.elapseMs(MINUTE_MS)
      perMinute.push(house.server.refreshes - before)
      await useAll()
    }
    expect(house.server.refreshes).toBe(2_000)
    expect(Math.max(...perMinute)).toBeLessThan(600)
  })
})

describe('clocks', () => {
  it('K7: a refresh of a clock that has jumped back since does not keep a refused token for good', async () => {
    const house = await openLinkHouse()
    await house.link('ada')
    house.runtime.jumpWallMs(24 * HOUR_MS)
    const before = await house.finish(ask(house))
    house.runtime.jumpWallMs(-24 * HOUR_MS)
    await house.runtime.elapseMs(2 * HOUR_MS)
    expect(house.server.refreshes).toBe(1)
    const { deadlineMs } = DEADLINE
    const refused = house.first.tokens.refused(
      user('ada'),
      'notes',
      accessToken(before),
      deadlineMs,
    )
    const after = await house.finish(refused)
    expect(accessToken(after)).not.toBe(accessToken(before))
    expect(house.server.refreshes).toBe(2)
    expect(await house.finish(ask(house))).toEqual(after)
  })
})

describe('whose tokens', () => {
  it('GW-23: a connection that points to tokens of somebody or something else has none', async () => {
    const house = await openLinkHouse()
    await house.link('ada')
    await house.link('eve')
    await house.link('eve', { connector: 'tasks', resource: 'https://tasks.example/mcp' })
    const { connections, tokens } = house.first
    const eve = user('eve')
    const at = connectionKey(house.runtime, eve, 'notes')
    for (const [owner, connector] of [
      [user('ada'), 'notes'],
      [eve, 'tasks'],
    ] as const) {
      const { vaultId = '' } = (await connections.find(owner, connector)) ?? {}
      const row = await house.store.get('connection', at)
      if (row === undefined) throw new Error('no row')
      await house.store.put('connection', at, row.version, { ...row.value, vaultId })
      tokens.drop(eve, 'notes')
      expect(await house.finish(tokens.load(eve, 'notes', DEADLINE))).toEqual({
        state: 'reconnect',
        cause: 'damaged',
      })
    }
  })
})

describe('tokens of this house itself', () => {
  it('R1: one per connector, asked for once, and again ahead of its end while in use', async () => {
    const house = await openLinkHouse()
    const { tokens } = house.first
    const asked = Array.from({ length: 200 }, () => tokens.loadMachine('robot', DEADLINE))
    const held = await house.finish(Promise.all(asked))
    expect(new Set(held.map(accessToken)).size).toBe(1)
    expect(house.server.machineCalls).toBe(1)
    expect(tokens.machine('robot')).toMatchObject({ resourceOrigin: 'https://robot.example' })
    for (let minute = 0; minute < 120; minute += 1) {
      await house.runtime.elapseMs(MINUTE_MS)
      expect(tokens.machine('robot').state).toBe('token')
    }
    expect(house.server.machineCalls).toBe(3)
    await house.runtime.elapseMs(5 * HOUR_MS)
    expect(house.server.machineCalls).toBeLessThanOrEqual(4)
    expect(tokens.machine('robot').state).toBe('cold')
  })

  it('O8, CLI-20: a server that refuses or fails is asked again after growing waits', async () => {
    const house = await openLinkHouse()
    const { tokens } = house.first
    house.server.faults.push({ outcome: 'no', error: 'unauthorized_client' })
    const load = () => house.finish(tokens.loadMachine('robot', DEADLINE))
    expect(await load()).toEqual({ state: 'missing', cause: 'unauthorized_client' })
    for (let round = 0; round < 50; round += 1)
      expect((await tokens.loadMachine('robot', DEADLINE)).state).toBe('missing')
    expect(house.server.machineCalls).toBe(1)
    await house.runtime.elapseMs(2_000)
    let held = await load()
    expect(held.state).toBe('token')
    for (let second = 0; second < 300; second += 1) {
      const refused = tokens.refusedMachine('robot', accessToken(held), DEADLINE.deadlineMs)
      await house.finish(refused)
      await house.runtime.elapseMs(1_000)
      held = await load()
    }
    expect(house.server.machineCalls).toBeLessThanOrEqual(2 + 5)
  })

  it('CLI-05: refused as a client, the registration is told and nothing loops', async () => {
    const house = await openLinkHouse()
    house.server.faults.push({ outcome: 'no', error: 'invalid_client' })
    await house.finish(house.first.tokens.loadMachine('robot', DEADLINE))
    expect(house.server.clientRefused).toEqual(['client-1'])
    expect(house.server.reports).toEqual([['robot', { kind: 'invalid_client' }]])
  })
})

it('leaves no timer behind when it is closed', async () => {
  const house = await expired()
  await house.finish(ask(house))
  await house.finish(house.first.tokens.loadMachine('robot', DEADLINE))
  await house.first.close()
  expect(house.runtime.timers()).toBe(0)
})
