import { describe, expect, it } from 'vitest'
import { HOUR_MS, type LinkHouse, openLinkHouse } from '../../test/kit/connected.ts'
import { StoreError } from '../errors.ts'
import type { Principal } from '../middleware/guard.ts'
import { appUserId, createTokenDoor } from './auth-provider.ts'

const FRESH = { ageMs: () => 0, ensureFresh: async () => true }

function doorOf({ config, first, runtime }: LinkHouse, revocation = FRESH) {
  return createTokenDoor({ config, tokens: first.tokens, revocation, nowMs: () => runtime.nowMs() })
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
    const without = createTokenDoor({ config: house.config, revocation: FRESH, nowMs: () => 0 })
    await expect(without.getToken('ada', 'notes')).rejects.toMatchObject({
      code: 'ERR_CONFIG_VALUE',
    })
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
