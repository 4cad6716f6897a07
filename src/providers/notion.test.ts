import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { NOTION_DIALECT } from '../../test/contract/product-dialects.ts'
import { notionHouse, type ProductHouse } from '../../test/contract/product-house.ts'
import { JSON_TYPE } from '../../test/contract/provider-suite.ts'
import { NOTION, notion } from './notion.ts'
import type { SignIn } from './provider.ts'

const WORKSPACE = 'a9c1e5b4-0000-4000-8000-000000000001'

describe('Notion (PRV-20)', () => {
  let house: ProductHouse
  let ada: SignIn
  beforeAll(async () => {
    house = await notionHouse()
    ada = await house.signIn('ada')
  })
  afterEach(() => house.double.revive())
  afterAll(() => house.close())

  const signInWith = async (change: (answer: Record<string, unknown>) => void) => {
    const other = await notionHouse({
      dialect: {
        tokenAnswer(token, isRefresh) {
          const answer = NOTION_DIALECT.tokenAnswer(token, isRefresh) as Record<string, unknown>
          change(answer)
          return answer
        },
      },
    })
    try {
      return await other.signIn('ada')
    } finally {
      await other.close()
    }
  }

  it('PRV-20: Basic with JSON and a version, at token, introspection and revocation', async () => {
    const signIn = await house.signIn('grace')
    await house.provider.check(house.context, signIn.tokens)
    await house.provider.revoke?.(house.context, signIn.tokens)
    for (const endpoint of [
      house.tokenEndpoint,
      'POST /v1/oauth/introspect',
      'POST /v1/oauth/revoke',
    ]) {
      expect(house.double.lastHeaders(endpoint)).toMatchObject({
        'content-type': 'application/json',
        'notion-version': '2025-09-03',
        authorization: expect.stringMatching(/^Basic /),
      })
    }
    expect(house.double.lastTokenParameters()).not.toHaveProperty('client_secret')
    expect(house.double.lastTokenParameters()).not.toHaveProperty('code_verifier')
  })

  it('PRV-20: asks for a person, and signs in by the token answer alone', async () => {
    const { authorizationUrl } = await house.visit()
    expect(authorizationUrl.searchParams.get('owner')).toBe('user')
    expect(authorizationUrl.searchParams.has('scope')).toBe(false)
    house.double.forget()
    await house.signIn('ada')
    expect(house.double.exchanges()).toEqual({ [house.tokenEndpoint]: 1 })
  })

  it.each([
    ['a workspace', { type: 'workspace', workspace: true }],
    ['nobody', undefined],
    ['a list', []],
    ['a user of another type', { type: 'workspace', user: { id: 'x' } }],
  ])('PRV-20: %s as owner is no sign-in', async (_what, owner) => {
    const signIn = signInWith((answer) => {
      answer['owner'] = owner
    })
    await expect(signIn).rejects.toMatchObject({ reason: 'owner_is_workspace' })
  })

  it('PRV-02: tokens of an older connection have no end and no refresh', async () => {
    const { tokens } = await signInWith((answer) => {
      delete answer['refresh_token']
    })
    expect(tokens.expiresAtMs).toBeUndefined()
    expect(tokens.refreshToken).toBeUndefined()
  })

  it('PRV-20: only people of the workspace sign in, where one is named', async () => {
    const right = await notionHouse({ workspace: WORKSPACE })
    expect((await right.signIn('ada')).identity.subject).toBe(ada.identity.subject)
    await right.close()
    const wrong = await notionHouse({ workspace: 'other' })
    await expect(wrong.signIn('ada')).rejects.toMatchObject({ reason: 'other_workspace' })
    await wrong.close()
  })

  it('F11, B25: 401 at introspection is about ourselves, and only literal words decide', async () => {
    const check = () => house.provider.check(house.context, ada.tokens)
    house.double.answerWith(house.checkEndpoint, { status: 401, headers: JSON_TYPE, body: '{}' })
    expect(await check()).toEqual({ outcome: 'client-refused' })
    for (const active of ['true', 'false', 1, 0, null]) {
      house.double.answerWith(house.checkEndpoint, {
        status: 200,
        headers: JSON_TYPE,
        body: JSON.stringify({ active }),
      })
      expect(await check()).toEqual({ outcome: 'unknown', reason: 'body' })
    }
  })

  it('PRV-02: stands in a configuration as data, at its public address', () => {
    expect(notion({ workspace: WORKSPACE })).toEqual({ type: 'notion', workspace: WORKSPACE })
    expect(
      NOTION.create({ id: 'notion', clientId: 'x', callbackPath: '/callback/it', options: {} }),
    ).toMatchObject({ issuer: 'https://api.notion.com', approvedOrigins: [] })
  })
})
