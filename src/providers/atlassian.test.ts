import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { atlassianHouse, type ProductHouse } from '../../test/contract/product-house.ts'
import { JSON_TYPE } from '../../test/contract/provider-suite.ts'
import { ATLASSIAN, atlassian } from './atlassian.ts'
import type { SignIn } from './provider.ts'

describe('Atlassian', () => {
  let house: ProductHouse
  let ada: SignIn
  beforeAll(async () => {
    house = await atlassianHouse()
    ada = await house.signIn('ada')
  })
  afterEach(() => house.double.revive())
  afterAll(() => house.close())
  const refresh = (signIn: SignIn) =>
    house.provider.refresh?.(house.context, signIn.tokens.refreshToken ?? '', signIn.tokens)

  it('PRV-18: asks for its API, for consent and for a refresh token', async () => {
    const { authorizationUrl } = await house.visit()
    expect(Object.fromEntries(authorizationUrl.searchParams)).toMatchObject({
      audience: 'api.atlassian.com',
      prompt: 'consent',
      scope: 'read:me offline_access',
    })
  })

  it('PRV-18: scopes of the configuration do not lose the two that a sign-in needs', () => {
    const provider = ATLASSIAN.create({
      id: 'atlassian',
      clientId: 'x',
      callbackPath: '/callback/atlassian',
      options: {},
      scopes: ['read:jira-work', 'offline_access'],
    })
    expect(provider.scopes).toEqual(['read:jira-work', 'offline_access', 'read:me'])
    expect(atlassian()).toEqual({ type: 'atlassian' })
  })

  it('PRV-18: authenticates in a JSON body, at sign-in and at refresh', async () => {
    for (const step of [
      () => house.signIn('grace'),
      async () => refresh(await house.signIn('grace')),
    ]) {
      await step()
      expect(house.double.lastHeaders(house.tokenEndpoint)).toMatchObject({
        'content-type': 'application/json',
      })
      expect(house.double.lastHeaders(house.tokenEndpoint)).not.toHaveProperty('authorization')
      expect(Object.keys(house.double.lastTokenParameters())).toEqual(
        expect.arrayContaining(['grant_type', 'client_id', 'client_secret']),
      )
    }
  })

  it('PRV-18, CLI-20: refresh tokens rotate, and 403 with invalid_grant ends the connection', async () => {
    const signIn = await house.signIn('grace')
    const renewed = await refresh(signIn)
    if (renewed?.outcome !== 'yes') throw new Error('not refreshed')
    expect(renewed.tokens.refreshToken).not.toBe(signIn.tokens.refreshToken)
    expect(await refresh(signIn)).toEqual({ outcome: 'no', reason: 'invalid_grant' })
    house.double.forget()
  })

  it.each([
    ['403 with another word', 403, '{"error":"access_denied"}'],
    ['403 without a word', 403, '{"message":"Forbidden"}'],
    ['403 in HTML', 403, '<h1>invalid_grant</h1>'],
    ['500 with the word', 500, '{"error":"invalid_grant"}'],
    ['429 with the word', 429, '{"error":"invalid_grant"}'],
  ])('PRV-18: %s ends nothing', async (_what, status, body) => {
    const headers = body.startsWith('<') ? { 'content-type': 'text/html' } : JSON_TYPE
    house.double.answerWith(house.tokenEndpoint, { status, headers, body })
    expect(await refresh(ada)).toMatchObject({ outcome: 'unknown' })
  })

  it('F11: unauthorized_client at a refresh is about ourselves', async () => {
    house.double.answerWith(house.tokenEndpoint, {
      status: 403,
      headers: JSON_TYPE,
      body: '{"error":"unauthorized_client"}',
    })
    expect(await refresh(ada)).toEqual({ outcome: 'client-refused' })
  })

  it('PRV-18: a missing scope at /me is not the documented no', async () => {
    const check = () => house.provider.check(house.context, ada.tokens)
    house.double.answerWith(house.checkEndpoint, {
      status: 401,
      headers: JSON_TYPE,
      body: '{"code":401,"message":"Unauthorized; scope does not match"}',
    })
    expect(await check()).toMatchObject({ outcome: 'unknown' })
    house.double.answerWith(house.checkEndpoint, {
      status: 401,
      headers: JSON_TYPE,
      body: '{"code":401,"message":"Unauthorized"}',
    })
    expect(await check()).toEqual({ outcome: 'no', reason: 'unauthorized' })
  })

  it('A28: an e-mail counts by literal true only', async () => {
    for (const verified of ['true', 1, undefined]) {
      const visit = await house.visit()
      house.double.answerWith('GET /me', {
        status: 200,
        headers: JSON_TYPE,
        body: JSON.stringify({ account_id: 'a', email: 'a@b.example', email_verified: verified }),
      })
      const { identity } = await house.provider.exchange(house.context, visit)
      expect(identity.profile.emailVerified).toBe(false)
    }
  })
})
