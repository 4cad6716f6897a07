import { describe, expect, it } from 'vitest'
import { HOUR_MS, type LinkHouse, openLinkHouse } from '../../../test/kit/connected.ts'
import { OAuthError } from '../../errors.ts'
import { endByMark } from '../../issuer/endings.ts'
import { offboard } from '../../issuer/offboard.ts'
import { createSignals } from '../../issuer/signals.ts'
import type { Lock } from '../../ports.ts'
import { TENANT } from '../../records.ts'

const MINUTE_MS = 60_000
const ADA = 'app:default:ada'

async function audits({ store }: LinkHouse): Promise<readonly string[]> {
  const rows = await store.list('audit', TENANT, undefined, { max: 100 })
  return rows.map(({ value }) => `${value.event} ${value.detail}`).sort()
}

function endingHouse(house: LinkHouse) {
  const { store, runtime, config } = house
  const { emit, duties } = house.first
  const revocation = { markLocal: () => undefined, marked: () => false }
  const bus = { publish: async () => undefined, subscribe: async () => () => undefined }
  return { store, runtime, emit, bus, config, revocation, duties }
}

describe('connect', () => {
  it('I4, I12: row, tokens and audit are written in one commit', async () => {
    const house = await openLinkHouse()
    const view = await house.link('ada', { account: { subject: '42', label: 'Ada' } })
    expect(view).toMatchObject({
      userId: ADA,
      connector: 'notes',
      state: 'active',
      scopes: ['read', 'write'],
      accountSubject: '42',
      accountLabel: 'Ada',
    })
    expect(view.connectionId).toMatch(/^con_[\w-]{22}$/)
    const { connections } = house.first
    expect(await connections.find(ADA, 'notes')).toEqual(view)
    expect(await connections.findById(view.connectionId)).toEqual(view)
    expect(await connections.list(ADA)).toEqual([view])
    expect(await audits(house)).toEqual(['connection.active notes'])
    const dump = JSON.stringify([
      await house.store.list('vault', TENANT, undefined, { max: 10 }),
      await house.store.list('connection', TENANT, undefined, { max: 10 }),
    ])
    expect(dump).not.toMatch(/(access|refresh)-1/)
  })

  it('CLI-23: connecting again replaces, and the older tokens are revoked at the server', async () => {
    const house = await openLinkHouse()
    const second = await house.add()
    const first = await house.link('ada')
    const of = (node = house.first) => node.tokens.load(ADA, 'notes', { deadlineMs: 1_000 })
    await of(second)
    const again = await house.link('ada')
    expect(again.connectionId).not.toBe(first.connectionId)
    expect(await of()).toMatchObject({ accessToken: 'access-2-of-ada' })
    await house.runtime.elapseMs(5_000)
    expect(house.server.revoked).toEqual([
      'refresh_token:refresh-1-of-ada',
      'access_token:access-1-of-ada',
    ])
    // The other node has forgotten the older token by the mark.
    expect(second.tokens.peek(ADA, 'notes').state).toBe('cold')
    expect(await of(second)).toMatchObject({ accessToken: 'access-2-of-ada' })
    expect(await house.first.connections.list(ADA)).toHaveLength(1)
    expect(house.server.isLive('access-2-of-ada')).toBe(true)
  })

  it('CLI-23: a server that hands out the same token again keeps it', async () => {
    const house = await openLinkHouse()
    const tokens = house.server.issue('ada')
    await house.link('ada', { tokens })
    await house.link('ada', { tokens })
    await house.runtime.elapseMs(60_000)
    expect(house.server.revoked).toEqual([])
    expect(await house.store.count('duty', TENANT)).toBe(0)
  })

  it('I3: of two who connect at once one stands, and the tokens of the other are revoked', async () => {
    const house = await openLinkHouse()
    await Promise.all(Array.from({ length: 5 }, () => house.link('ada')))
    await house.runtime.elapseMs(5_000)
    expect(await house.store.count('connection', TENANT)).toBe(1)
    expect(house.server.living()).toBe(1)
    const held = await house.first.tokens.load(ADA, 'notes', { deadlineMs: 1_000 })
    expect(held.state === 'token' && house.server.isLive(held.accessToken)).toBe(true)
  })

  it('O5: one person has one connection per connector, under ids that nobody can guess', async () => {
    const house = await openLinkHouse()
    const notes = await house.link('ada')
    await house.link('ada', { connector: 'tasks', resource: 'https://tasks.example/mcp' })
    await house.link('grace')
    const { connections } = house.first
    expect(await connections.list(ADA)).toHaveLength(2)
    expect(await connections.find('app:default:eve', 'notes')).toBeUndefined()
    expect(await connections.findById(`${notes.connectionId}x`)).toBeUndefined()
    expect(await connections.end('con_unknown', 'disconnected')).toBeUndefined()
  })

  it('K16: a damaged record fails closed, and may be replaced or ended', async () => {
    for (const mend of ['connect', 'end'] as const) {
      const house = await openLinkHouse()
      const view = await house.link('ada')
      const at = { tenant: TENANT, id: view.vaultId }
      const row = await house.store.get('vault', at)
      if (row === undefined) throw new Error('no row')
      await house.store.put('vault', at, row.version, { ...row.value, sealed: 'damaged' })
      await expect(
        house.first.tokens.load(ADA, 'notes', { deadlineMs: 1_000 }),
      ).rejects.toMatchObject({ code: 'ERR_STORE_CORRUPT' })
      if (mend === 'connect') {
        await house.link('ada')
        const held = await house.first.tokens.load(ADA, 'notes', { deadlineMs: 1_000 })
        expect(held).toMatchObject({ accessToken: 'access-2-of-ada' })
      } else {
        await house.first.connections.end(view.connectionId, 'disconnected')
        expect((await house.first.connections.find(ADA, 'notes'))?.state).toBe('ended')
      }
    }
  })

  it('REV-08: a person who was deleted or disabled meanwhile gets no connection', async () => {
    const house = await openLinkHouse()
    await expect(house.link('ada', { userId: 'usr_gone' })).rejects.toThrow(OAuthError)
    await house.admit('usr_ada')
    expect((await house.link('ada', { userId: 'usr_ada' })).state).toBe('active')
    expect(await house.store.count('connection', TENANT)).toBe(1)
    const key = { tenant: TENANT, id: 'key-of-usr_ada' }
    const row = await house.store.get('user', key)
    if (row === undefined) throw new Error('nobody is there')
    await house.store.put('user', key, row.version, { ...row.value, state: 'disabled' })
    await expect(house.link('ada', { userId: 'usr_ada' })).rejects.toThrow(OAuthError)
  })
})

describe('disconnect', () => {
  it('CLI-23, O15: dead here at once, then revoked at the server: refresh token first', async () => {
    const house = await openLinkHouse()
    const { connectionId } = await house.link('ada')
    const { connections, tokens, emit } = house.first
    const held = { deadlineMs: 1_000 }
    await tokens.load(ADA, 'notes', held)
    expect(await connections.end(connectionId, 'disconnected')).toEqual({ revocation: 'pending' })
    expect(tokens.peek(ADA, 'notes').state).toBe('cold')
    expect(await tokens.load(ADA, 'notes', held)).toEqual({ state: 'missing' })
    expect(await connections.list(ADA)).toEqual([])
    expect(await connections.find(ADA, 'notes')).toMatchObject({
      state: 'ended',
      cause: 'disconnected',
    })
    await house.runtime.elapseMs(5_000)
    expect(house.server.revoked).toEqual([
      'refresh_token:refresh-1-of-ada',
      'access_token:access-1-of-ada',
    ])
    expect(emit.eventsOf('connection.ended')).toMatchObject([
      { connectionId, connector: 'notes', reason: 'disconnected' },
    ])
    expect(emit.eventsOf('revocation.confirmed')).toHaveLength(1)
    expect(await audits(house)).toEqual([
      'connection.active notes',
      'revocation.confirmed connector:notes: disconnected',
      'revocation.requested connector:notes: disconnected',
    ])
    expect(await connections.end(connectionId, 'disconnected')).toBeUndefined()
  })

  it('O15, CLI-23: with the server down dead here at once, there within a minute of its recovery', async () => {
    const house = await openLinkHouse()
    const { connectionId } = await house.link('ada')
    house.server.isUp = false
    await house.first.connections.end(connectionId, 'disconnected')
    expect((await house.first.tokens.load(ADA, 'notes', { deadlineMs: 1_000 })).state).toBe(
      'missing',
    )
    await house.runtime.elapseMs(3 * HOUR_MS)
    expect(house.server.isLive('access-1-of-ada')).toBe(true)
    house.server.isUp = true
    await house.runtime.elapseMs(MINUTE_MS)
    expect(house.server.isLive('access-1-of-ada')).toBe(false)
    expect(house.first.emit.eventsOf('revocation.confirmed')).toHaveLength(1)
  })

  it('O15: a server that never answers is given up after 7 days, told and audited', async () => {
    const house = await openLinkHouse()
    const { connectionId } = await house.link('ada')
    house.server.isUp = false
    await house.first.connections.end(connectionId, 'disconnected')
    await house.runtime.elapseMs(MINUTE_MS)
    house.runtime.jumpWallMs(7 * 24 * HOUR_MS)
    await house.runtime.elapseMs(MINUTE_MS)
    expect(house.first.emit.eventsOf('revocation.failed')).toHaveLength(1)
    expect(await audits(house)).toContain('revocation.failed connector:notes: silent')
    expect(await house.store.count('duty', TENANT)).toBe(0)
  })

  it('CLI-23: a server without revocation is told as such', async () => {
    const house = await openLinkHouse()
    house.server.offersRevocation = false
    const { connectionId } = await house.link('ada')
    expect(await house.first.connections.end(connectionId, 'disconnected')).toEqual({
      revocation: 'unsupported',
    })
    await house.runtime.elapseMs(5_000)
    expect(house.first.emit.eventsOf('revocation.failed')).toMatchObject([
      { reason: 'not_offered' },
    ])
  })
})

describe('what ends many', () => {
  it('REV-08, O15: deleting a person ends their connections and revokes them at their servers', async () => {
    const house = await openLinkHouse()
    await house.admit('usr_ada')
    await house.link('ada', { userId: 'usr_ada' })
    await house.link('grace')
    const ending = endingHouse(house)
    const signals = createSignals({ ...ending, endVault: house.first.duties.endVault })
    const [person] = await house.store.list('user', TENANT, undefined, { max: 1 })
    if (person === undefined) throw new Error('nobody')
    const keys = { tagKey: () => new Uint8Array(32) }
    const proof = await offboard({ ...ending, signals, keys }, person)
    expect(proof.done).toMatchObject({ vaultRecords: 1, connections: 1 })
    await house.runtime.elapseMs(30_000)
    expect(house.server.revoked).toEqual([
      'refresh_token:refresh-1-of-ada',
      'access_token:access-1-of-ada',
    ])
    const left = await house.store.list('connection', TENANT, undefined, { max: 10 })
    expect(left.map(({ value }) => value.userId)).toEqual(['app:default:grace'])
  })

  it('REV-12: a logout at the provider leaves what the person has connected', async () => {
    const house = await openLinkHouse()
    await house.admit('usr_ada')
    await house.link('ada', { userId: 'usr_ada' })
    const ending = endingHouse(house)
    const signals = createSignals({ ...ending, endVault: house.first.duties.endVault })
    await signals.endUser('usr_ada', 'logged_out', { revoke: true })
    await house.runtime.elapseMs(30_000)
    expect(house.server.revoked).toEqual([])
    expect(await house.first.connections.list('usr_ada')).toHaveLength(1)
  })

  it('V2: revoking a connector takes its tokens out of use at once, before each connection has ended', async () => {
    const house = await openLinkHouse()
    // Nobody gets to the rows: as with a hundred thousand of them.
    const lock: Lock = { acquire: async () => ({ state: 'held' }) }
    const second = await house.add({ lock })
    await house.finish(house.first.duties.stop())
    await house.link('ada')
    await house.link('grace', { connector: 'tasks', resource: 'https://tasks.example/mcp' })
    const nodes = [house.first, second]
    for (const { tokens } of nodes)
      expect((await tokens.load(ADA, 'notes', { deadlineMs: 1_000 })).state).toBe('token')
    const resource = house.config.connectors[0]?.resource ?? ''
    await endByMark(endingHouse(house), { kind: 'connector', id: resource }, 'revoked_by_operator')
    await house.runtime.elapseMs(5_000)
    const later = await house.add({ lock })
    for (const { tokens } of [...nodes, later]) {
      expect(tokens.peek(ADA, 'notes').state).toBe('cold')
      expect((await tokens.load(ADA, 'notes', { deadlineMs: 1_000 })).state).toBe('missing')
      const grace = await tokens.load('app:default:grace', 'tasks', { deadlineMs: 1_000 })
      expect(grace.state).toBe('token')
    }
    await house.link('ada')
    expect((await later.tokens.load(ADA, 'notes', { deadlineMs: 1_000 })).state).toBe('token')
  })

  it('REV-08: revoking a connector ends its connections, and no other’s', async () => {
    const house = await openLinkHouse()
    for (let at = 0; at < 120; at += 1) await house.link(`p${at}`)
    const tasks = { connector: 'tasks', resource: 'https://tasks.example/mcp' }
    await house.link('ada', tasks)
    const resource = house.config.connectors[0]?.resource ?? ''
    await endByMark(endingHouse(house), { kind: 'connector', id: resource }, 'revoked_by_operator')
    await house.runtime.elapseMs(2 * MINUTE_MS)
    expect(house.server.living()).toBe(1)
    expect(await house.first.connections.list(ADA)).toMatchObject([{ connector: 'tasks' }])
    expect(await house.first.connections.list('app:default:p7')).toEqual([])
  })
})
