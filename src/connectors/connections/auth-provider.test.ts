import { describe, expect, it } from 'vitest'
import { HOUR_MS, type LinkHouse, openLinkHouse } from '../../../test/kit/connected.ts'
import type { Config } from '../../config.ts'
import { StoreError } from '../../errors.ts'
import type { Principal } from '../../middleware/guard.ts'
import { TENANT } from '../../records.ts'
import { appUserId } from '../embedded/app-space.ts'
import { createTokenDoor } from './auth-provider.ts'
import { createTokenAdmission, type TokenAdmissionDeps } from './token-admission.ts'

const FRESH = { ageMs: () => 0, ensureFresh: async () => true }

function doorOf(
  house: LinkHouse,
  revocation = FRESH,
  {
    config = house.config,
    memberships,
  }: Pick<Partial<TokenAdmissionDeps>, 'memberships'> & {
    readonly config?: Config
  } = {},
) {
  const { first, runtime, store } = house
  const admits = createTokenAdmission({
    config,
    store,
    runtime,
    ...(memberships && { memberships }),
  })
  const nowMs = () => runtime.nowMs()
  return createTokenDoor({ config, tokens: first.tokens, revocation, admits, nowMs })
}

function principal(userId: string): Principal {
  return { userId, tenant: 'default' } as Principal
}

describe('getToken', () => {
  it('GW-23: gives the token with its end, scopes and connection, warm without a read of the store', async () => {
    const house = await openLinkHouse()
    const { connectionId } = await house.link('ada')
    const { getToken } = doorOf(house)
    const token = await getToken('ada', 'notes')
    const reads = house.first.store.reads()
    expect(await getToken('ada', 'notes')).toEqual(token)
    expect(house.first.store.reads()).toBe(reads)
    expect(token).toEqual({
      accessToken: 'access-1-of-ada',
      tokenType: 'Bearer',
      expiresAt: new Date(house.runtime.nowMs() + HOUR_MS).toISOString(),
      scopes: ['read', 'write'],
      connectionId,
    })
  })

  it('O5: a product’s person and somebody who signed in here are never the same', async () => {
    const house = await openLinkHouse()
    const { getToken } = doorOf(house)
    await house.admit('usr_ada')
    await house.link('ada', { userId: 'usr_ada' })
    expect((await getToken(principal('usr_ada'), 'notes')).accessToken).toBe('access-1-of-ada')
    await expect(getToken('usr_ada', 'notes')).rejects.toMatchObject({
      code: 'ERR_CONNECTION_NEEDED',
    })
    await house.link('grace', { userId: appUserId('usr_grace', 'shop') })
    expect((await getToken('usr_grace', 'notes', { app: 'shop' })).accessToken).toMatch(/grace$/)
    for (const [user, app] of [
      ['usr_grace', undefined],
      ['grace', 'shop'],
      ['shop:usr_grace', 'default'],
    ] as const) {
      const options = app === undefined ? {} : { app }
      await expect(getToken(user, 'notes', options)).rejects.toMatchObject({ status: 409 })
    }
  })

  it.each([
    ['', undefined],
    ['x'.repeat(257), undefined],
    ['a\0b', undefined],
    ['ada', 'Shop'],
    ['ada', 'a:b'],
  ])('O5: refuses a name that could be read as another: %j of app %j', async (user, app) => {
    const { getToken } = doorOf(await openLinkHouse())
    const options = app === undefined ? {} : { app }
    await expect(getToken(user, 'notes', options)).rejects.toThrow(TypeError)
    await expect(getToken(principal('usr_ada'), 'notes', { app: 'shop' })).rejects.toThrow(
      TypeError,
    )
  })

  it('says what is needed: a connection, another one, or patience', async () => {
    const house = await openLinkHouse()
    const { getToken } = doorOf(house)
    await expect(getToken('ada', 'notes')).rejects.toMatchObject({
      name: 'OAuthError',
      code: 'ERR_CONNECTION_NEEDED',
      status: 409,
    })
    await house.link('ada')
    house.runtime.advanceMs(HOUR_MS + 1_000)
    house.server.isUp = false
    await expect(house.finish(getToken('ada', 'notes'))).rejects.toMatchObject({
      name: 'UpstreamError',
      origin: 'https://notes.example',
      retryAfterMs: expect.any(Number),
    })
  })

  it('CLI-20: names the cause of a connection that is dead', async () => {
    const house = await openLinkHouse()
    const { getToken } = doorOf(house)
    await house.link('ada')
    house.runtime.advanceMs(HOUR_MS + 1_000)
    house.server.faults.push({ outcome: 'no', error: 'invalid_grant' })
    await expect(house.finish(getToken('ada', 'notes'))).rejects.toMatchObject({
      name: 'OAuthError',
      code: 'ERR_CONNECTION_RECONNECT',
      reason: 'invalid_grant',
    })
  })

  it('refreshes first when less is left than is asked for', async () => {
    const house = await openLinkHouse()
    const { getToken } = doorOf(house)
    await house.link('ada')
    house.runtime.advanceMs(HOUR_MS - 30_000)
    expect(
      (await house.finish(getToken('ada', 'notes', { minValiditySeconds: 0 }))).accessToken,
    ).toBe('access-1-of-ada')
    expect((await house.finish(getToken('ada', 'notes'))).accessToken).toBe('access-2-of-ada')
    expect(house.server.refreshes).toBe(1)
  })

  it('I7: a node that has heard of no revocation for too long gives nothing from memory', async () => {
    const house = await openLinkHouse()
    await house.link('ada')
    let isUp = false
    const revocation = { ageMs: () => 31_000, ensureFresh: async () => isUp }
    const { getToken } = doorOf(house, revocation)
    await expect(getToken('ada', 'notes')).rejects.toThrow(StoreError)
    isUp = true
    expect((await getToken('ada', 'notes')).accessToken).toBe('access-1-of-ada')
  })

  it('names connectors that connect nobody', async () => {
    const house = await openLinkHouse()
    const { getToken, authProvider } = doorOf(house)
    for (const connector of ['unknown', 'robot', '__proto__']) {
      await expect(getToken('ada', connector)).rejects.toMatchObject({ code: 'ERR_CONFIG_VALUE' })
      expect(() => authProvider('ada', connector)).toThrow(/connects people/)
    }
    const without = createTokenDoor({
      config: house.config,
      revocation: FRESH,
      admits: async () => 'in',
      nowMs: () => 0,
    })
    await expect(without.getToken('ada', 'notes')).rejects.toMatchObject({
      code: 'ERR_CONFIG_VALUE',
    })
  })
})

describe('whom `allow` of the connector names no more', () => {
  const only = (subject: string, config: Config): Config => ({
    ...config,
    connectors: config.connectors.map((connector) => ({
      ...connector,
      allow: { users: [`id:${subject}`], groups: ['staff'] },
    })),
  })

  it('O6: gets no token from getToken and authProvider either; a product’s people are its own', async () => {
    const house = await openLinkHouse()
    for (const user of ['usr_ada', 'usr_eve']) {
      await house.admit(user)
      await house.link(user, { userId: user })
    }
    await house.link('eve')
    const door = doorOf(house, FRESH, { config: only('usr_ada', house.config) })
    const refused = { error: 'access_denied', status: 403, reason: 'not_allowed' }
    expect((await door.getToken(principal('usr_ada'), 'notes')).accessToken).toMatch(/usr_ada$/)
    await expect(door.getToken(principal('usr_eve'), 'notes')).rejects.toMatchObject(refused)
    const provider = door.authProvider(principal('usr_eve'), 'notes')
    await expect(provider.token()).rejects.toMatchObject(refused)
    expect((await door.getToken('eve', 'notes')).accessToken).toMatch(/eve$/)
    // A yes is remembered for seconds; then the row counts.
    const [row] = await house.store.list('user', TENANT, undefined, { max: 1 })
    if (row === undefined) throw new Error('nobody')
    await house.store.put('user', row.key, row.version, { ...row.value, state: 'disabled' })
    await house.runtime.elapseMs(6_000)
    await expect(door.getToken(principal('usr_ada'), 'notes')).rejects.toMatchObject(refused)
  })

  it('O6, I7: facts that are too old are waited for, and are no yes where nobody answers', async () => {
    const house = await openLinkHouse()
    await house.admit('usr_eve')
    await house.link('eve', { userId: 'usr_eve' })
    let groups: readonly string[] | undefined
    const memberships = {
      asks: () => ({ belonging: true, memberships: false }),
      belonging: () => (groups === undefined ? ('unknown' as const) : { groups }),
      memberships: () => 'unknown' as const,
      resolve: async () => undefined,
    }
    const config = only('usr_ada', house.config)
    const door = doorOf(house, FRESH, { config, memberships })
    const ask = () => door.getToken(principal('usr_eve'), 'notes')
    await expect(ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TIMEOUT' })
    memberships.resolve = async () => {
      groups = ['staff']
      return undefined
    }
    expect((await ask()).accessToken).toMatch(/eve$/)
    groups = []
    await house.runtime.elapseMs(6_000)
    await expect(ask()).rejects.toMatchObject({ reason: 'not_allowed' })
  })
})

describe('authProvider', () => {
  it('O8, GW-24: several calls that come back refused make one refresh', async () => {
    const house = await openLinkHouse()
    await house.link('ada')
    const provider = doorOf(house).authProvider('ada', 'notes')
    house.runtime.advanceMs(20 * 60_000)
    expect(await provider.token()).toBe('access-1-of-ada')
    await house.finish(Promise.all([provider.onUnauthorized(), provider.onUnauthorized()]))
    expect(await provider.token()).toBe('access-2-of-ada')
    // Sent with the token of before, answered late.
    await provider.onUnauthorized()
    expect(house.server.refreshes).toBe(1)
    await house.runtime.elapseMs(11_000)
    await expect(house.finish(provider.onUnauthorized())).rejects.toMatchObject({
      code: 'ERR_CONNECTION_RECONNECT',
      reason: 'refused_by_server',
    })
    expect(house.server.refreshes).toBe(1)
  })

  it('does nothing about a refusal before it gave a token', async () => {
    const house = await openLinkHouse()
    await doorOf(house).authProvider('ada', 'notes').onUnauthorized()
    expect(house.server.refreshes).toBe(0)
  })
})
