import { describe, expect, it } from 'vitest'
import { createTestIssuer, register, signIn, Visitor } from '../../test/flow/sign-in-house.ts'
import { StoreError } from '../errors.ts'
import type { Step } from '../ports.ts'
import { TENANT, type Values } from '../records.ts'
import { dutyStep } from './duty-steps.ts'
import { offboard } from './offboard.ts'
import { NOTHING_ENDED, type Signals } from './signals.ts'

const MANY = 405

async function open() {
  const house = createTestIssuer()
  const { store, runtime } = house
  const { client_id } = await register(house)
  await signIn(house, new Visitor(house), client_id)
  const [person] = await store.list('user', TENANT, undefined, { max: 2 })
  if (person === undefined) throw new Error('nobody signed in')
  const { userId } = person.value
  const ended: unknown[][] = []
  const state: { endUser: Signals['endUser'] } = {
    endUser: async (id, cause, { revoke, also = [] }) => {
      ended.push([id, cause, revoke])
      const { won } = await store.commit(also)
      if (!won) throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
      return { ...NOTHING_ENDED, users: 1, sessions: 3 }
    },
  }
  const deps = {
    ...house.deps,
    signals: { endUser: (...given: Parameters<Signals['endUser']>) => state.endUser(...given) },
  }
  const rowsOf = async (kind: 'audit' | 'duty' | 'vault' | 'approval') =>
    (await store.list(kind, TENANT, undefined, { max: 5_000 })).map(({ value }) => value)
  return { house, store, runtime, person, userId, ended, state, deps, rowsOf }
}

describe('offboard', () => {
  it('REV-04 I12: nothing names the person afterwards, beyond one page, and the proof says so', async () => {
    const { store, runtime, person, userId, ended, deps, rowsOf, house } = await open()
    const [vault] = await store.list('vault', TENANT, undefined, { max: 1 })
    const [approval] = await store.list('approval', TENANT, undefined, { max: 1 })
    if (vault === undefined || approval === undefined) throw new Error('nothing is stored')
    const audits = (await rowsOf('audit')).filter((row) => row.userId === userId).length
    for (let index = 0; index < MANY; index += 1) {
      const id = `x-${String(index).padStart(4, '0')}`
      const at = { tenant: TENANT, id }
      const row = { event: 'test', atMs: 1, userId, detail: '', expiresAtMs: 9e15 }
      await store.create('audit', at, row as Values['audit'])
      await store.create('vault', at, vault.value)
      await store.create('approval', at, approval.value)
      const facts = { purpose: 'revoke', vaultId: id, userId, cause: 'c' } as const
      if (index < 300) await store.commit([dutyStep(runtime, facts)])
    }
    await store.commit([dutyStep(runtime, { purpose: 'survey', userId, cause: 'c' })])
    const other = { event: 'test', atMs: 1, userId: 'usr_other', detail: '', expiresAtMs: 9e15 }
    await store.create('audit', { tenant: TENANT, id: 'other' }, other as Values['audit'])
    const proof = await offboard(deps, person)
    expect(ended).toEqual([[userId, 'user_deleted', true]])
    expect(proof).toEqual({
      userId,
      pseudonym: proof.pseudonym,
      deletedAt: new Date(runtime.nowMs()).toISOString(),
      done: {
        grants: 'all',
        sessions: 3,
        vaultRecords: MANY + 1,
        connections: 0,
        approvals: MANY + 1,
        auditRows: MANY + audits,
        identity: true,
      },
      pending: { upstreamRevocations: 300 },
    })
    expect(await store.get('user', person.key)).toBeUndefined()
    expect([await rowsOf('vault'), await rowsOf('approval')]).toEqual([[], []])
    const waiting = (await rowsOf('duty')) as Values['duty'][]
    expect(waiting.filter((duty) => duty.userId === proof.pseudonym)).toHaveLength(300)
    expect(waiting.filter((duty) => duty.purpose === 'survey')).toMatchObject([{ userId }])
    const told = (await rowsOf('audit')) as Values['audit'][]
    expect(told.filter((row) => row.userId === userId)).toEqual([])
    expect(told.filter((row) => row.userId === 'usr_other')).toHaveLength(1)
    expect(told.filter(({ event }) => event === 'user.offboarded')).toMatchObject([
      { userId: proof.pseudonym, detail: 'user_deleted' },
    ])
    expect(house.emit.eventsOf('user.offboarded')).toMatchObject([
      { userId: proof.pseudonym, reason: 'user_deleted' },
    ])
    expect(JSON.stringify(house.emit.eventsOf('user.offboarded'))).not.toContain(userId)
  })

  it('I12: the row is disabled and the tombstone set in the very commit that ends everything', async () => {
    const { store, person, state, deps } = await open()
    const seen: (readonly Step[])[] = []
    state.endUser = async (_id, _cause, { also = [] }) => {
      seen.push(also)
      await store.commit(also)
      expect((await store.get('user', person.key))?.value).toEqual({
        ...person.value,
        state: 'disabled',
      })
      return NOTHING_ENDED
    }
    await offboard(deps, person)
    expect(seen.map((steps) => steps.map((step) => ('kind' in step ? step.kind : '')))).toEqual([
      ['user', 'tombstone'],
    ])
  })

  it('REV-04: a sign-in at this very moment is looked at again, twenty times; other failures end it', async () => {
    const { person, state, deps, store } = await open()
    const { endUser } = state
    let tries = 0
    const fails = (count: number, error: StoreError) => {
      tries = 0
      state.endUser = (...given) => {
        tries += 1
        return tries <= count ? Promise.reject(error) : endUser(...given)
      }
    }
    const lost = new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
    const unsure = new StoreError('ERR_STORE_UNAVAILABLE', 'unknown')
    fails(1, unsure)
    await expect(offboard(deps, person)).rejects.toBe(unsure)
    expect(tries).toBe(1)
    fails(20, lost)
    await expect(offboard(deps, person)).rejects.toBe(lost)
    expect(tries).toBe(20)
    fails(19, lost)
    await offboard(deps, person)
    expect([tries, await store.get('user', person.key)]).toEqual([20, undefined])
  })

  it('REV-04: can be repeated when everything is gone, and fails when the row would stay', async () => {
    const { person, deps, store } = await open()
    const first = await offboard(deps, person)
    const again = await offboard(deps, person)
    expect(again.pseudonym).toBe(first.pseudonym)
    expect(again.done).toMatchObject({ vaultRecords: 0, approvals: 0, auditRows: 0 })
    const { commit } = store
    await store.create('user', person.key, person.value)
    store.commit = (steps) =>
      steps.some((step) => step.verb === 'remove')
        ? Promise.resolve({ won: false } as Awaited<ReturnType<typeof commit>>)
        : commit(steps)
    await expect(offboard({ ...deps, store }, person)).rejects.toMatchObject({
      certainty: 'not-applied',
    })
  })
})
