import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { linearHouse, type ProductHouse } from '../../test/contract/product-house.ts'
import { JSON_TYPE } from '../../test/contract/provider-suite.ts'
import { LINEAR, linear } from './linear.ts'
import type { SignIn } from './provider.ts'

describe('Linear (PRV-20)', () => {
  let house: ProductHouse
  let ada: SignIn
  beforeAll(async () => {
    house = await linearHouse({ scopes: ['read', 'issues:create'] })
    ada = await house.signIn('ada')
  })
  afterEach(() => house.double.revive())
  afterAll(() => house.close())
  const checked = async (answer: Parameters<ProductHouse['double']['answerWith']>[1]) => {
    house.double.answerWith(house.checkEndpoint, answer)
    return await house.provider.check(house.context, ada.tokens)
  }

  it('PRV-20: scopes are separated by commas, in the request and in the answer', async () => {
    const { authorizationUrl } = await house.visit()
    expect(authorizationUrl.searchParams.get('scope')).toBe('read,issues:create')
    expect(ada.tokens.scopes).toEqual(['read', 'issues:create'])
  })

  it('PRV-20: tokens of a day come with a refresh token', () => {
    expect(ada.tokens.expiresAtMs).toBe(house.runtime.nowMs() + 86_399_000)
    expect(ada.tokens.refreshToken).toBeDefined()
  })

  it('A28: Linear says nothing of its e-mails, so none is verified', () => {
    expect(ada.identity.profile).toMatchObject({ email: 'ada@example.com', emailVerified: false })
  })

  it('PRV-20: throttles with 400, which is never a no, and waits until the reset', async () => {
    const resetMs = house.runtime.nowMs() + 900_000
    const body = '{"errors":[{"message":"slow down","extensions":{"code":"RATELIMITED"}}]}'
    const headers = { ...JSON_TYPE, 'x-ratelimit-requests-reset': String(resetMs) }
    expect(await checked({ status: 400, headers, body })).toEqual({
      outcome: 'unknown',
      reason: 'rate_limit',
      retryAfterMs: 900_000,
    })
    expect(await checked({ status: 400, headers: JSON_TYPE, body })).toMatchObject({
      retryAfterMs: 60_000,
    })
  })

  it.each([
    ['errors beside no data', 200, { data: null, errors: [{ extensions: { code: 'X' } }] }],
    [
      'the word with status 200',
      200,
      { errors: [{ extensions: { code: 'AUTHENTICATION_ERROR' } }] },
    ],
    ['another word with 401', 401, { errors: [{ extensions: { code: 'FORBIDDEN' } }] }],
    ['a message with 401', 401, { error: 'AUTHENTICATION_ERROR' }],
    ['a viewer without an id', 200, { data: { viewer: { name: 'Ada' } } }],
    ['a list of viewers', 200, { data: { viewer: [{ id: 'x' }] } }],
  ])('B25: unknown, for %s', async (_what, status, body) => {
    const answer = { status, headers: JSON_TYPE, body: JSON.stringify(body) }
    expect(await checked(answer)).toMatchObject({ outcome: 'unknown' })
  })

  it('PRV-20: only people of the workspace sign in, where one is named', async () => {
    const right = await linearHouse({ workspace: 'acme' })
    expect((await right.signIn('ada')).identity.subject).toBe(ada.identity.subject)
    await right.close()
    const wrong = await linearHouse({ workspace: 'other' })
    await expect(wrong.signIn('ada')).rejects.toMatchObject({ reason: 'other_workspace' })
    await wrong.close()
  })

  it('PRV-02: public addresses, data in a configuration, another account by consent', async () => {
    const provider = LINEAR.create({
      id: 'linear',
      clientId: 'x',
      callbackPath: '/callback/linear',
      options: {},
    })
    expect(provider).toMatchObject({ issuer: 'https://linear.app', approvedOrigins: [] })
    expect(linear({ workspace: 'acme' })).toEqual({ type: 'linear', workspace: 'acme' })
    const url = await provider.authorize(house.context, {
      state: 's',
      verifierChallenge: 'c',
      chooseAccount: true,
    })
    expect(url.href).toMatch(/^https:\/\/linear\.app\/oauth\/authorize\?/)
    expect(url.searchParams.get('prompt')).toBe('consent')
  })
})
