import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { gitLabHouse, type ProductHouse } from '../../test/contract/product-house.ts'
import { REDIRECT_URI } from '../../test/contract/provider-house.ts'
import { JSON_TYPE } from '../../test/contract/provider-suite.ts'
import { parseConfig } from '../config/parse.ts'
import { gitlab } from './gitlab.ts'
import type { SignIn } from './provider.ts'

describe('GitLab (PRV-20)', () => {
  let house: ProductHouse
  let ada: SignIn
  beforeAll(async () => {
    house = await gitLabHouse()
    ada = await house.signIn('ada')
  })
  afterEach(() => house.double.revive())
  afterAll(() => house.close())
  const checked = async (answer: Parameters<ProductHouse['double']['answerWith']>[1]) => {
    house.double.answerWith(house.checkEndpoint, answer)
    return await house.provider.check(house.context, ada.tokens)
  }

  it('PRV-20: a self-managed instance is the issuer of its people, its path included', () => {
    expect(ada.identity.issuer).toBe(`${house.double.origin}/git`)
    expect(house.provider.approvedOrigins).toEqual([house.double.origin])
    const environment = {
      POSTERN_GITLAB_CLIENT_ID: 'a',
      POSTERN_GITLAB_CLIENT_SECRET: 'b',
      POSTERN_GITLAB_URL: 'https://git.corp.example/',
    }
    const [provider] = parseConfig({ providers: [gitlab()] }, { environment }).providers
    expect(provider).toMatchObject({
      issuer: 'https://git.corp.example',
      approvedOrigins: ['https://git.corp.example'],
    })
    const { POSTERN_GITLAB_URL: _url, ...usual } = environment
    const [open] = parseConfig({ providers: [gitlab()] }, { environment: usual }).providers
    expect(open).toMatchObject({ issuer: 'https://gitlab.com', approvedOrigins: [] })
  })

  it('PRV-20: two-hour tokens; the refresh repeats the redirect URI and ends both old ones', async () => {
    const signIn = await house.signIn('grace')
    expect(signIn.tokens.expiresAtMs).toBe(house.runtime.nowMs() + 7_200_000)
    await house.provider.refresh?.(house.context, signIn.tokens.refreshToken ?? '', signIn.tokens)
    expect(house.double.lastTokenParameters()).toMatchObject({ redirect_uri: REDIRECT_URI })
    expect(await house.provider.check(house.context, signIn.tokens)).toEqual({
      outcome: 'no',
      reason: 'invalid_token',
    })
  })

  it('PRV-02: the token information of another application proves nothing', async () => {
    const body = JSON.stringify({ resource_owner_id: 1001, application: { uid: 'other' } })
    expect(await checked({ status: 200, headers: JSON_TYPE, body })).toEqual({
      outcome: 'unknown',
      reason: 'body',
    })
  })

  it.each([
    ['another word', '{"error":"invalid_request"}'],
    ['a message', '{"message":"401 Unauthorized"}'],
    ['no JSON', 'invalid_token'],
  ])('PRV-20: 401 with %s is not the documented no', async (_what, body) => {
    expect(await checked({ status: 401, headers: JSON_TYPE, body })).toMatchObject({
      outcome: 'unknown',
    })
  })

  it('B25: without a refresh token introspection is the second opinion, by literal words', async () => {
    const second = () => house.provider.secondOpinion?.(house.context, ada.tokens)
    expect(await second()).toEqual({ outcome: 'yes', scopes: ['read_user'] })
    const endpoint = 'POST /git/oauth/introspect'
    house.double.answerWith(endpoint, { status: 200, headers: JSON_TYPE, body: '{"active":false}' })
    expect(await second()).toEqual({ outcome: 'no', reason: 'inactive' })
    house.double.answerWith(endpoint, { status: 500, headers: { 'content-type': 'text/html' } })
    expect(await second()).toMatchObject({ outcome: 'unknown' })
    house.double.answerWith(endpoint, { status: 401, headers: JSON_TYPE, body: '{}' })
    expect(await second()).toEqual({ outcome: 'client-refused' })
  })

  it('A28: an e-mail that was never confirmed is unverified', async () => {
    const visit = await house.visit()
    house.double.answerWith('GET /git/api/v4/user', {
      status: 200,
      headers: JSON_TYPE,
      body: '{"id":7,"username":"eve","email":"ceo@corp.example","confirmed_at":null}',
    })
    const { identity } = await house.provider.exchange(house.context, visit)
    expect(identity.profile).toEqual({
      login: 'eve',
      email: 'ceo@corp.example',
      emailVerified: false,
    })
  })

  it('PRV-21: a user name in the place of the number is nobody', async () => {
    const visit = await house.visit()
    house.double.answerWith('GET /git/api/v4/user', {
      status: 200,
      headers: JSON_TYPE,
      body: '{"id":"1001","username":"ada"}',
    })
    await expect(house.provider.exchange(house.context, visit)).rejects.toMatchObject({
      reason: 'identity_missing',
    })
  })
})
