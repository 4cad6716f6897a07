import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { discordHouse, type ProductHouse } from '../../test/contract/product-house.ts'
import { JSON_TYPE } from '../../test/contract/provider-suite.ts'
import { DISCORD, discord, discordProduct } from './discord.ts'
import type { SignIn } from './provider.ts'

describe('Discord (PRV-20)', () => {
  let house: ProductHouse
  let ada: SignIn
  beforeAll(async () => {
    house = await discordHouse()
    ada = await house.signIn('ada')
  })
  afterEach(() => house.double.revive())
  afterAll(() => house.close())

  it('PRV-20: a subject is the snowflake, a picture is built from its hash', () => {
    expect(ada.identity).toMatchObject({
      issuer: 'https://discord.com',
      subject: '803511102246781001',
      profile: {
        pictureUrl:
          'https://cdn.discordapp.com/avatars/803511102246781001/8342729096ea3675442027381ff50dfe.png',
      },
    })
  })

  it('PRV-02: tokens of seven days, client in the header, a form as body', () => {
    expect(ada.tokens.expiresAtMs).toBe(house.runtime.nowMs() + 604_800_000)
    expect(house.double.lastHeaders(house.tokenEndpoint)).toMatchObject({
      'content-type': 'application/x-www-form-urlencoded',
      authorization: expect.stringMatching(/^Basic /),
    })
    expect(house.double.lastTokenParameters()).not.toHaveProperty('client_secret')
  })

  it('PRV-05: the scopes come with the same answer', async () => {
    expect(await house.provider.check(house.context, ada.tokens)).toEqual({
      outcome: 'yes',
      scopes: ['identify', 'email'],
    })
  })

  it.each([
    ['another code', { message: '401: Unauthorized', code: 50_001 }],
    ['another message', { message: 'Unauthorized', code: 0 }],
    ['no body', undefined],
  ])('PRV-20: 401 with %s is not the documented no', async (_what, body) => {
    house.double.answerWith(house.checkEndpoint, {
      status: 401,
      headers: JSON_TYPE,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    expect(await house.provider.check(house.context, ada.tokens)).toMatchObject({
      outcome: 'unknown',
    })
  })

  it.each([
    ['a number', { id: 80_351_110_224_678, username: 'ada' }],
    ['nothing', { username: 'ada' }],
    ['a list', []],
  ])('B25: %s in the place of the id is nobody', async (_what, user) => {
    const visit = await house.visit()
    house.double.answerWith('GET /api/v10/users/@me', {
      status: 200,
      headers: JSON_TYPE,
      body: JSON.stringify(user),
    })
    await expect(house.provider.exchange(house.context, visit)).rejects.toThrow()
  })

  it('A28: an e-mail is verified by literal true only', async () => {
    for (const verified of ['true', 1, null, undefined]) {
      const visit = await house.visit()
      house.double.answerWith('GET /api/v10/users/@me', {
        status: 200,
        headers: JSON_TYPE,
        body: JSON.stringify({ id: '7', email: 'ada@example.com', verified }),
      })
      const { identity } = await house.provider.exchange(house.context, visit)
      expect(identity.profile.emailVerified).toBe(false)
    }
  })

  it('PRV-02: is asked at its public addresses, which are not excepted from the address check', () => {
    expect(discordProduct()).toMatchObject({
      authorizationEndpoint: 'https://discord.com/oauth2/authorize',
      tokenEndpoint: 'https://discord.com/api/oauth2/token',
    })
    const provider = DISCORD.create({
      id: 'discord',
      clientId: 'x',
      callbackPath: '/callback/discord',
      options: {},
    })
    expect(provider.approvedOrigins).toEqual([])
    expect(discord({ id: 'it' })).toEqual({ type: 'discord', id: 'it' })
  })
})
