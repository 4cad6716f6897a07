/**
 * A person is deleted: what goes at once, what waits, what stays, and that nothing brings them back.
 * @see flows.md section 11.5
 */
import { describe, expect, it } from 'vitest'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import { TENANT } from '../../src/records.ts'
import { type Nodes, type SignedIn, startNodes } from '../kit/nodes.ts'

const KINDS = [
  'user',
  'session',
  'approval',
  'vault',
  'origin',
  'duty',
  'audit',
  'tombstone',
] as const

async function storeOf(nodes: Nodes) {
  const path = nodes.config.databaseUrl.slice('sqlite:'.length)
  return (await openSqlite({ path, runtime: nodes.runtime })).store
}

async function offboard({ first }: Nodes, { userId }: SignedIn) {
  const [person] = await first.house.operations.findPeople(userId)
  if (person === undefined) throw new Error(`nobody is ${userId}`)
  return first.house.operations.offboard(person)
}

describe('offboarding', () => {
  it('I12 REV-04 REV-08: everything ends at once; rows go; the proof says what is pending', async () => {
    const nodes = await startNodes({ nodes: 2 })
    const { first, second, remote } = nodes
    remote.person = { subject: 'ada', sid: 'session-1' }
    const ada = await first.signIn()
    remote.person = { subject: 'grace' }
    const grace = await first.signIn()
    expect(await second.call(ada.access_token)).toBe(200)
    remote.isUp = false
    const proof = await offboard(nodes, ada)
    expect(proof).toMatchObject({
      userId: ada.userId,
      done: {
        grants: 'all',
        sessions: 1,
        vaultRecords: 1,
        connections: 0,
        approvals: 1,
        identity: true,
      },
      pending: { upstreamRevocations: 1 },
    })
    expect(await first.call(ada.access_token)).toBe(401)
    expect((await first.refresh(ada)).status).toBe(400)
    await nodes.elapse(2_500)
    expect(await second.call(ada.access_token)).toBe(401)
    expect(await second.call(grace.access_token)).toBe(200)

    const store = await storeOf(nodes)
    for (const kind of KINDS) {
      const rows = await store.list(kind, TENANT, undefined, { max: 100 })
      const dump = JSON.stringify(rows)
      expect(dump, kind).not.toContain(ada.userId)
      if (kind !== 'duty') expect(dump, kind).not.toContain('"ada')
    }
    const audit = await store.list(
      'audit',
      TENANT,
      { name: 'userId', value: proof.pseudonym },
      { max: 100 },
    )
    const events = audit.map(({ value }) => value.event)
    expect(events).toEqual(
      expect.arrayContaining(['signin.completed', 'grants.ended', 'user.offboarded']),
    )
    await store.close()

    remote.isUp = true
    await nodes.elapse(90_000, 5_000)
    expect(remote.revoked).toEqual(['upstream-refresh-1-of-ada'])
  })

  it('who signs in again is a new person; nothing of before comes back', async () => {
    const nodes = await startNodes()
    const { first } = nodes
    const ada = await first.signIn()
    await offboard(nodes, ada)
    await nodes.elapse(3_000)
    const again = await first.signIn()
    expect(again.userId).not.toBe(ada.userId)
    expect(await first.call(again.access_token)).toBe(200)
    expect(await first.call(ada.access_token)).toBe(401)
  })

  it('I5: rows that a restored backup brings back are dead under the tombstone', async () => {
    const nodes = await startNodes()
    const { first } = nodes
    const ada = await first.signIn()
    const store = await storeOf(nodes)
    const [user] = await store.list('user', TENANT, undefined, { max: 1 })
    const [vault] = await store.list('vault', TENANT, undefined, { max: 1 })
    const [session] = await store.list('session', TENANT, undefined, { max: 1 })
    const grant = await store.grants.find({ tenant: TENANT, id: ada.grantId })
    if (user === undefined || vault === undefined || session === undefined || grant === undefined)
      throw new Error('the sign-in left no rows')
    await offboard(nodes, ada)
    // The rows of before, also the grant, under a number that no mark names.
    await store.create('user', user.key, user.value)
    await store.create('vault', vault.key, vault.value)
    await store.create('session', session.key, session.value)
    const id = `${grant.id}0`
    await store.commit([{ verb: 'createGrant', grant: { ...grant, id } }])
    const home = await (await ada.visitor.get('/')).text()
    expect(home).not.toContain('Sign out')
    const restored = await store.grants.find({ tenant: TENANT, id })
    expect(restored?.state).toBe('active')
    await nodes.elapse(3_000)
    const again = await first.signIn()
    expect(again.userId).not.toBe(ada.userId)
    expect(await first.call(again.access_token)).toBe(200)
    const tombs = await store.list('tombstone', TENANT, undefined, { max: 10 })
    const lives = tombs.map(({ value }) => value.expiresAtMs - value.deletedAtMs)
    expect(lives).toEqual([400 * 86_400_000])
    await store.close()
  })

  it('can be repeated when it was cut off', async () => {
    const nodes = await startNodes()
    const { first } = nodes
    const ada = await first.signIn()
    const [person] = await first.house.operations.findPeople(ada.userId)
    if (person === undefined) throw new Error('nobody signed in')
    const [one, two] = await Promise.all([
      first.house.operations.offboard(person),
      first.house.operations.offboard(person),
    ])
    expect(one?.pseudonym).toBe(two?.pseudonym)
    expect(await first.house.operations.findPeople(ada.userId)).toEqual([])
  })

  it('REV-08: a revocation that waited does not end the sign-in of who came back since', async () => {
    const nodes = await startNodes({ provider: { revocationEnds: 'authorization' } })
    const { first, remote } = nodes
    const ada = await first.signIn()
    remote.isUp = false
    const proof = await offboard(nodes, ada)
    expect(proof.pending.upstreamRevocations).toBe(1)
    await nodes.elapse(3_000)
    const again = await first.signIn()
    expect(again.userId).not.toBe(ada.userId)
    remote.isUp = true
    await nodes.elapse(10 * 60_000, 5_000)
    // This provider ends the whole authorization with one token: the new sign-in would die with it.
    expect(remote.revoked).toEqual([])
    expect((await first.refresh(again)).status).toBe(200)
  })
})
