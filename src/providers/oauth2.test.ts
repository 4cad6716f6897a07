import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { oauth2House, type ProductHouse } from '../../test/contract/product-house.ts'
import { JSON_TYPE } from '../../test/contract/provider-suite.ts'
import { checkFamily } from '../../test/kit/family.ts'
import { parseConfig } from '../config/parse.ts'
import { ConfigError } from '../errors.ts'
import { createOAuth2, type OAuth2Options, oauth2 } from './oauth2.ts'
import { judgeIntrospection } from './oauth2-answers.ts'
import type { SignIn } from './provider.ts'

const ENDPOINTS = {
  issuer: 'https://id.corp.example',
  authorizationUrl: 'https://id.corp.example/authorize',
  tokenUrl: 'https://id.corp.example/token',
}
/** Everything that is neither of the two literal words. */
const NOT_LITERAL: readonly string[] = [
  '"true"',
  '"false"',
  '"TRUE"',
  '"True"',
  '"yes"',
  '"no"',
  '"on"',
  '"1"',
  '"0"',
  '""',
  '" true"',
  '1',
  '0',
  '-1',
  '1.0',
  '0.0',
  '1e0',
  'null',
  '[]',
  '{}',
  '[true]',
  '[false]',
  '{"value":true}',
  '{"value":false}',
  '"active"',
  '"inactive"',
  '"null"',
  '"undefined"',
  '2',
  '"\\u0074rue"',
]
/** Around the member `active`, with `%` for its value. */
const SHAPES: readonly string[] = [
  '{"active":%}',
  '{"active":%,"sub":"ada"}',
  '{"sub":"ada","active":%,"scope":"read"}',
  '{"active":%,"exp":9999999999}',
]
/** What holds the literal word, and still is no answer of an introspection endpoint. */
const NOT_AN_ANSWER: readonly string[] = ['true', 'false'].flatMap((word) => [
  `[{"active":${word}}]`,
  `{"data":{"active":${word}}}`,
  `{"Active":${word}}`,
  `{"ACTIVE":${word}}`,
  `{"active ":${word}}`,
  `{"active":${word}`,
  `{"active":${word}}}`,
  `{"active":${word},"active":${word}}`,
  `{"active":${word},"error":"temporarily_unavailable"}`,
  `{active:${word}}`,
  `active=${word}`,
  `"{\\"active\\":${word}}"`,
  `${word}`,
])

describe('OAuth 2.0 by its endpoints', () => {
  let house: ProductHouse
  let ada: SignIn
  beforeAll(async () => {
    house = await oauth2House({ ask: 'both', scopes: ['read', 'write'] })
    ada = await house.signIn('ada')
  })
  afterEach(() => house.double.revive())
  afterAll(() => house.close())
  const check = (subject = 'ada') => house.provider.check(house.context, ada.tokens, { subject })
  const introspected = async (answer: Parameters<ProductHouse['double']['answerWith']>[1]) => {
    house.double.answerWith(house.checkEndpoint, answer)
    return await check()
  }

  it('B25: only literal true is active, and only literal false is a no, in 146 answers', async () => {
    const bodies = [
      ...NOT_LITERAL.flatMap((value) => SHAPES.map((shape) => shape.replace('%', value))),
      ...NOT_AN_ANSWER,
    ]
    expect(new Set(bodies).size).toBe(146)
    await checkFamily('B25', bodies, async (body) => {
      expect(await introspected({ status: 200, headers: JSON_TYPE, body })).toMatchObject({
        outcome: 'unknown',
      })
    })
    for (const shape of SHAPES) {
      const yes = { status: 200, headers: JSON_TYPE, body: shape.replace('%', 'true') }
      expect(await introspected(yes)).toMatchObject({ outcome: 'yes' })
      const no = { status: 200, headers: JSON_TYPE, body: shape.replace('%', 'false') }
      expect(await introspected(no)).toEqual({ outcome: 'no', reason: 'inactive' })
    }
  })

  it('B25: the literal words count with status 200 and JSON only', async () => {
    for (const word of ['true', 'false']) {
      const body = `{"active":${word}}`
      for (const status of [201, 203, 400, 403, 404, 429, 500, 503]) {
        expect(await introspected({ status, headers: JSON_TYPE, body })).toMatchObject({
          outcome: 'unknown',
        })
      }
      for (const type of ['text/html', 'text/plain', 'text/json', '']) {
        const headers = { 'content-type': type }
        expect(await introspected({ status: 200, headers, body })).toMatchObject({
          outcome: 'unknown',
        })
      }
    }
  })

  it('B25: an inactive or odd introspection is no sign-in either', async () => {
    const other = await oauth2House({ ask: 'introspection' })
    for (const active of ['false', '"true"', '1', 'null', '[true]']) {
      const visit = await other.visit()
      const body = `{"active":${active},"sub":"ada"}`
      other.double.answerWith('POST /introspect', { status: 200, headers: JSON_TYPE, body })
      await expect(other.provider.exchange(other.context, visit)).rejects.toThrow()
    }
    const visit = await other.visit()
    other.double.answerWith('POST /introspect', {
      status: 200,
      headers: JSON_TYPE,
      body: '{"active":true}',
    })
    await expect(other.provider.exchange(other.context, visit)).rejects.toMatchObject({
      reason: 'identity_missing',
    })
    await other.close()
  })

  it('B25: userinfo is a yes about one text subject only', async () => {
    const other = await oauth2House({ ask: 'userinfo' })
    const signIn = await other.signIn('ada')
    const subjects = [
      '7',
      'null',
      'true',
      '[]',
      '["ada"]',
      '{}',
      '""',
      '"a b"',
      '"a\\u0000"',
      '"\\ud800"',
    ]
    await checkFamily('B25', subjects, async (sub) => {
      other.double.answerWith('GET /userinfo', {
        status: 200,
        headers: JSON_TYPE,
        body: `{"sub":${sub}}`,
      })
      const proof = await other.provider.check(other.context, signIn.tokens, { subject: 'ada' })
      expect(proof).toEqual({ outcome: 'unknown', reason: 'body' })
      await expect(other.provider.exchange(other.context, await other.visit())).rejects.toThrow()
    })
    await other.close()
  })

  it('F11: 401 at introspection is about ourselves', async () => {
    expect(await introspected({ status: 401, headers: JSON_TYPE, body: '{}' })).toEqual({
      outcome: 'client-refused',
    })
    const body = '{"error":"invalid_client"}'
    expect(await introspected({ status: 400, headers: JSON_TYPE, body })).toEqual({
      outcome: 'client-refused',
    })
  })

  it('RFC 7662 section 2.1: asks as the client, with the token in the body', async () => {
    house.double.forget()
    expect(await check()).toEqual({ outcome: 'yes', scopes: ['read', 'write'] })
    expect(house.double.lastHeaders('POST /introspect')).toMatchObject({
      authorization: expect.stringMatching(/^Basic /),
      'content-type': 'application/x-www-form-urlencoded',
    })
    expect(house.double.exchanges()).toEqual({ 'POST /introspect': 1 })
  })

  it('PRV-02: what is known of nobody is opaque, checked there, and has no rotation grace', async () => {
    expect(await check('somebody')).toEqual({ outcome: 'no', reason: 'subject' })
    const signIn = await house.signIn('grace')
    const old = signIn.tokens.refreshToken ?? ''
    await house.provider.refresh?.(house.context, old, signIn.tokens)
    expect(await house.provider.refresh?.(house.context, old, signIn.tokens)).toEqual({
      outcome: 'no',
      reason: 'invalid_grant',
    })
  })

  it('PRV-02: an end that was agreed needs no call', async () => {
    const { context, provider } = house
    const { refreshToken: _refreshToken, ...without } = ada.tokens
    const over = { ...without, expiresAtMs: house.runtime.nowMs() }
    house.double.forget()
    expect(await provider.check(context, over)).toEqual({
      outcome: 'no',
      reason: 'access_token_expired',
    })
    expect(await provider.check(context, { ...over, refreshToken: 'r' })).toEqual({
      outcome: 'unknown',
      reason: 'access_token_expired',
    })
    expect(house.double.total()).toBe(0)
  })

  it('PRV-02: another member may name the person, a number too', async () => {
    const other = await oauth2House({ ask: 'userinfo', options: { subjectClaim: 'id' } })
    expect((await other.signIn('ada')).identity).toMatchObject({
      issuer: 'https://id.corp.example',
      subject: '1001',
    })
    await other.close()
  })

  it('PRV-09: lists the scopes that were asked for and not given', async () => {
    expect(ada.missingScopes).toBeUndefined()
    const visit = await house.visit()
    house.double.answerWith(house.tokenEndpoint, {
      status: 200,
      headers: JSON_TYPE,
      body: `{"access_token":"${ada.tokens.accessToken}","token_type":"bearer","scope":"read"}`,
    })
    expect((await house.provider.exchange(house.context, visit)).missingScopes).toEqual(['write'])
  })

  it('PRV-02: the separator, the place of the secret and PKCE follow the configuration', async () => {
    const provider = createOAuth2({
      id: 'it',
      clientId: 'x',
      callbackPath: '/callback/it',
      scopes: ['a', 'b'],
      options: {
        ...ENDPOINTS,
        userinfoUrl: 'https://api.corp.example/me',
        scopeSeparator: 'comma',
        pkce: 'none',
      },
    })
    const url = await provider.authorize(house.context, { state: 's', verifierChallenge: 'c' })
    expect(url.searchParams.get('scope')).toBe('a,b')
    expect(url.searchParams.has('code_challenge')).toBe(false)
    expect(provider.title).toBe('id.corp.example')
    expect(provider.approvedOrigins).toEqual([
      'https://id.corp.example',
      'https://api.corp.example',
    ])
  })

  it('CLI-23: revokes the refresh token first', async () => {
    const grace = await house.signIn('grace')
    expect(await house.provider.revoke?.(house.context, grace.tokens)).toBe(true)
    expect(house.double.lastHeaders('POST /revoke')).toBeDefined()
    expect(await house.provider.check(house.context, grace.tokens)).toMatchObject({ outcome: 'no' })
  })

  it('PRV-02: without a door to ask who somebody is, the start names the fix', () => {
    const environment = { POSTERN_OAUTH2_CLIENT_ID: 'x' }
    const parse = (options: object) =>
      parseConfig({ providers: [oauth2({ ...ENDPOINTS, ...options })] }, { environment })
    expect(() => parse({})).toThrow(ConfigError)
    expect(() => parse({})).toThrow(/introspectionUrl/)
    const [provider] = parse({ userinfoUrl: 'https://id.corp.example/me' }).providers
    expect(provider).toMatchObject({ type: 'oauth2', issuer: 'https://id.corp.example' })
    expect(provider?.revoke).toBeUndefined()
  })

  it('PRV-02: the account key is the issuer, by default the origin of authorizationUrl', () => {
    const environment = {
      POSTERN_OAUTH2_CLIENT_ID: 'x',
      POSTERN_OAUTH2_AUTHORIZATION_URL: 'https://id.corp.example:8443/o/authorize?tenant=1',
      POSTERN_OAUTH2_TOKEN_URL: 'https://api.corp.example/token',
      POSTERN_OAUTH2_INTROSPECTION_URL: 'https://api.corp.example/introspect',
      POSTERN_OAUTH2_USERINFO_URL: 'https://api.corp.example/me',
      POSTERN_OAUTH2_REVOCATION_URL: 'https://api.corp.example/revoke',
    }
    const start = (options: OAuth2Options, more: object = {}) =>
      parseConfig({ providers: [oauth2(options)] }, { environment: { ...environment, ...more } })
        .providers[0]
    expect(start({})).toMatchObject({
      issuer: 'https://id.corp.example:8443',
      revoke: expect.any(Function),
    })
    const issuer = 'https://id.corp.example/tenant/1'
    expect(start({ issuer })?.issuer).toBe(issuer)
    expect(start({}, { POSTERN_OAUTH2_ISSUER: issuer })?.issuer).toBe(issuer)
  })

  it('RFC 7662 section 2.2: scopes are words or a list; anything else says nothing', () => {
    const judged = (scope: unknown) =>
      judgeIntrospection(
        {
          status: 200,
          headers: new Headers(JSON_TYPE),
          text: JSON.stringify({ active: true, scope }),
          url: 'https://id.corp.example/introspect',
          elapsedMs: 1,
        },
        'ada',
      )
    expect(judged('a b')).toEqual({ outcome: 'yes', scopes: ['a', 'b'] })
    expect(judged(['a', 'b'])).toEqual({ outcome: 'yes', scopes: ['a', 'b'] })
    expect(judged('')).toEqual({ outcome: 'yes', scopes: [] })
    for (const odd of [7, null, {}, ['a', 7]]) expect(judged(odd)).toEqual({ outcome: 'yes' })
  })
})
