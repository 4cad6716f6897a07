import { describe, expect, it } from 'vitest'
import { createTestIssuer, register, signIn, Visitor } from '../../test/flow/sign-in-house.ts'
import { type Grant, TENANT, type Values } from '../records.ts'
import { userKeyOf } from './admission.ts'
import { createSignals, NOTHING_ENDED, originName } from './signals.ts'

const MANY = 405
const ISSUER = 'https://github.example'

/** Ada is signed in once; what is added is hers or another's. */
async function open() {
  const house = createTestIssuer()
  const { store, runtime } = house
  const { client_id } = await register(house)
  await signIn(house, new Visitor(house), client_id)
  const [user] = await store.list('user', TENANT, undefined, { max: 2 })
  const [vault] = await store.list('vault', TENANT, undefined, { max: 2 })
  const [session] = await store.list('session', TENANT, undefined, { max: 2 })
  if (user === undefined || vault === undefined || session === undefined)
    throw new Error('nobody signed in')
  const { userId } = user.value
  const index = { name: 'userId', value: userId } as const
  const grants = (): Promise<readonly Grant[]> => store.grants.list(TENANT, index, { max: 2_000 })
  const ended: string[] = []
  const state = { answer: 'ended' as 'ended' | 'gone' | 'newer' | 'used' }
  const signals = createSignals({
    ...house.deps,
    endVault: async (vaultId, cause, options) => {
      ended.push(`${vaultId} ${cause} ${JSON.stringify(options)}`)
      return state.answer
    },
  })
  const add = {
    grant: async (id: string, rest: Partial<Grant>): Promise<void> => {
      const [first] = await grants()
      if (first === undefined) throw new Error('no grant')
      const grant = { ...first, id, ...rest, codeDigest: `digest-${id}` }
      await store.commit([{ verb: 'createGrant', grant }])
    },
    session: (id: string, rest: Partial<Values['session']> = {}) =>
      store.create('session', { tenant: TENANT, id }, { ...session.value, ...rest }),
    origin: (id: string, name: string, owner = userId) =>
      store.create(
        'origin',
        { tenant: TENANT, id },
        { name, userId: owner, expiresAtMs: runtime.nowMs() + 1_000_000 },
      ),
    vault: (id: string, rest: Partial<Values['vault']> = {}) =>
      store.create('vault', { tenant: TENANT, id }, { ...vault.value, ...rest }),
  }
  const living = async () => (await grants()).filter((grant) => grant.state !== 'ended')
  return { house, store, runtime, signals, add, ended, state, userId, vault, living }
}

const name = (index: number): string => String(index).padStart(5, '0')

describe('endUser', () => {
  it('REV-12: ends sessions, origins and every living vault record, beyond one page', async () => {
    const { store, signals, add, ended, userId, vault } = await open()
    for (let index = 0; index < MANY; index += 1) {
      await add.session(`s-${name(index)}`)
      await add.origin(`s-${name(index)}`, 'n')
      await add.vault(`v-${name(index)}`)
    }
    await add.vault('v-over', { state: 'ended' })
    await add.vault('v-other', { userId: 'usr_other' })
    await add.session('s-other', { userId: 'usr_other' })
    await add.origin('s-other', 'n', 'usr_other')
    expect(await signals.endUser(userId, 'why', { revoke: true })).toEqual({
      users: 1,
      sessions: MANY + 1,
      grants: 0,
      vaults: MANY + 1,
    })
    expect(await store.count('session', TENANT)).toBe(1)
    expect(await store.count('origin', TENANT)).toBe(1)
    expect(ended).toHaveLength(MANY + 1)
    expect(new Set(ended).size).toBe(MANY + 1)
    expect(ended).toContain(`${vault.key.id} why {"revoke":true}`)
    expect(ended.join()).not.toMatch(/v-over|v-other/)
  })

  it('REV-12: counts only what it ended itself', async () => {
    const { signals, state, userId, house } = await open()
    state.answer = 'gone'
    expect(await signals.endUser(userId, 'why', { revoke: false })).toEqual({
      ...NOTHING_ENDED,
      users: 1,
      sessions: 1,
    })
    expect(house.marks.map(({ kind, id, cause }) => [kind, id, cause])).toEqual([
      ['user', userId, 'why'],
    ])
  })
})

describe('endSubject', () => {
  it('REV-12: knows people by issuer and subject, and ends nothing of nobody', async () => {
    const { signals, house, userId, runtime } = await open()
    const options = { revoke: true }
    for (const person of [
      { issuer: ISSUER, subject: '1002' },
      { issuer: 'https://okta.example', subject: '1001' },
    ])
      expect(await signals.endSubject(person, 'why', options)).toEqual(NOTHING_ENDED)
    expect(house.marks).toEqual([])
    const ada = { issuer: ISSUER, subject: '1001' }
    expect(await signals.endSubject(ada, 'why', options)).toMatchObject({ users: 1, sessions: 1 })
    expect(house.marks.map(({ id }) => id)).toEqual([userId])
    expect(userKeyOf(runtime, ada)).not.toBe(userKeyOf(runtime, { ...ada, subject: '1002' }))
  })
})

describe('endProviderSession', () => {
  it('REV-10: ends the sessions that came from it and the grants born in them, beyond one page', async () => {
    const { store, runtime, signals, add, living, userId } = await open()
    const origin = originName(runtime, ISSUER, 'sid-1')
    for (let index = 0; index < MANY; index += 1) {
      await add.session(`s-${name(index)}`)
      await add.origin(`s-${name(index)}`, origin)
    }
    for (let index = 0; index < MANY; index += 1)
      await add.grant(`g-${name(index)}`, { sessionId: 's-00000' })
    await add.grant('g-over', { sessionId: 's-00000', state: 'ended' })
    await add.grant('g-other', { sessionId: 's-other' })
    await add.session('s-other')
    await add.origin('s-other', originName(runtime, ISSUER, 'sid-2'))
    const before = (await living()).length
    expect(await signals.endProviderSession({ issuer: ISSUER, sid: 'sid-1' }, 'why')).toEqual({
      users: 0,
      sessions: MANY,
      grants: MANY,
      vaults: 0,
    })
    expect((await living()).length).toBe(before - MANY)
    expect((await living()).map(({ id }) => id)).toContain('g-other')
    expect(await store.count('origin', TENANT)).toBe(1)
    expect(await store.get('session', { tenant: TENANT, id: 's-00000' })).toBeUndefined()
    expect(await store.get('session', { tenant: TENANT, id: 's-other' })).toBeDefined()
    expect(userId).toMatch(/^usr_/)
  })

  it('REV-10: with a subject the session must be one of that very person', async () => {
    const { runtime, signals, add, userId } = await open()
    const origin = originName(runtime, ISSUER, 'sid-1')
    await add.origin('s-ada', origin)
    await add.origin('s-other', origin, 'usr_other')
    const session = { issuer: ISSUER, sid: 'sid-1' }
    for (const subject of ['1002', 'nobody'])
      expect(await signals.endProviderSession({ ...session, subject }, 'why')).toEqual(
        NOTHING_ENDED,
      )
    const ada = { ...session, subject: '1001' }
    expect(await signals.endProviderSession(ada, 'why')).toMatchObject({ sessions: 1 })
    expect(await signals.endProviderSession(ada, 'why')).toEqual(NOTHING_ENDED)
    expect(await signals.endProviderSession(session, 'why')).toMatchObject({ sessions: 1 })
    expect(userId).toMatch(/^usr_/)
    const other = { issuer: 'https://okta.example', sid: 'sid-1' }
    expect(originName(runtime, other.issuer, other.sid)).not.toBe(origin)
  })
})

describe('endSignIn', () => {
  it('VAL-12: ends the record and every grant that depends on it, unless it holds other tokens', async () => {
    const { signals, add, state, living, vault, ended } = await open()
    for (let index = 0; index < MANY; index += 1) await add.grant(`g-${name(index)}`, {})
    await add.grant('g-other', { vaultId: 'vlt_other' })
    const options = { revoke: false, ifSealed: 'x' }
    state.answer = 'newer'
    expect(await signals.endSignIn(vault.key.id, 'why', options)).toBe('newer')
    expect(await living()).toHaveLength(MANY + 2)
    for (const answer of ['ended', 'gone'] as const) {
      state.answer = answer
      expect(await signals.endSignIn(vault.key.id, 'why', options)).toBe(answer)
      expect((await living()).map(({ id }) => id)).toEqual(['g-other'])
    }
    expect(ended).toHaveLength(3)
    expect(ended[0]).toBe(`${vault.key.id} why {"revoke":false,"ifSealed":"x"}`)
  })
})
