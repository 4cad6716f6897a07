import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { oktaProduct, productHouse } from '../../test/contract/openid-products.ts'
import type { ShapeDouble } from '../../test/contract/openid-shapes.ts'
import type { House } from '../../test/contract/provider-house.ts'
import { parseConfig } from '../config/parse.ts'
import { type OktaOptions, okta } from './okta.ts'

describe('Okta', () => {
  let house: House<ShapeDouble>
  beforeAll(async () => {
    house = await productHouse(oktaProduct('default'))
  })
  afterEach(async () => {
    house.double.say({})
    await house.double.revive()
  })
  afterAll(() => house.close())

  it('PRV-16: a custom server: granted scopes from the scp list of its JWT', async () => {
    const { tokens, identity } = await house.signIn()
    expect(tokens.scopes).toEqual(['openid', 'profile', 'email', 'offline_access'])
    expect(identity.groups).toEqual(['engineering', 'maps'])
    house.double.say({ accessToken: { scp: 'openid email' } })
    expect((await house.signIn()).tokens.scopes).toEqual(['openid', 'email'])
  })

  it.each([
    ['client', { cid: 'somebody-else' }],
    ['audience', { aud: 'api://other' }],
    ['issuer', { iss: 'https://acme.okta.com' }],
  ])('PRV-16: refuses the access token of another %s', async (reason, accessToken) => {
    house.double.say({ accessToken })
    await expect(house.signIn()).rejects.toMatchObject({ reason: `access_token_${reason}` })
  })

  it('PRV-16: a token of another client is a no without a call', async () => {
    const { tokens, identity } = await house.signIn()
    house.double.say({ accessToken: { cid: 'somebody-else' } })
    const other = { iss: house.provider.issuer, sub: 'ada', uid: '00u1001', aud: 'api://default' }
    const exp = Math.floor(house.runtime.nowMs() / 1_000) + 600
    const accessToken = await house.double.sign({ ...other, exp, cid: 'somebody-else' })
    house.double.forget()
    const stolen = { ...tokens, accessToken }
    expect(
      await house.provider.check(house.context, stolen, { subject: identity.subject }),
    ).toEqual({ outcome: 'no', reason: 'client' })
    expect(house.double.total()).toBe(0)
  })

  it('PRV-16: the server of the organisation: its access tokens are never read', async () => {
    const organisation = await productHouse(oktaProduct())
    const signIn = await organisation.signIn()
    expect(signIn.tokens.accessToken.split('.')).toHaveLength(3)
    const { context, provider } = organisation
    expect(await provider.check(context, signIn.tokens)).toEqual({ outcome: 'yes' })
    expect(provider.issuer).toBe('https://acme.okta.com')
    await organisation.close()
  })

  it('PRV-16: introspection takes the place of userinfo where it is configured', async () => {
    const asking = await productHouse(oktaProduct(), { options: { check: 'introspection' } })
    const { tokens } = await asking.signIn()
    const introspect = (body: unknown) => {
      asking.double.answerWith('POST /acme.okta.com/oauth2/v1/introspect', {
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      return asking.provider.check(asking.context, tokens)
    }
    expect(await introspect({ active: true, scp: ['openid', 'email'] })).toEqual({
      outcome: 'yes',
      scopes: ['openid', 'email'],
    })
    expect(await introspect({ active: false })).toEqual({ outcome: 'no', reason: 'inactive' })
    await asking.close()
  })

  it.each([
    'https://acme.okta.com',
    'https://acme.okta.com/oauth2/default',
    'https://id.acme.example/oauth2/aus1a2B3-_',
  ])('starts with the issuer %s, as it is given', (issuer) => {
    expect(start({ issuer }).providers).toMatchObject([{ type: 'okta', issuer }])
  })

  it.each([
    undefined,
    'acme.okta.com',
    'http://acme.okta.com',
    'https://acme.okta.com/',
    'https://acme.okta.com/oauth2',
    'https://acme.okta.com/oauth2/default/',
    'https://acme.okta.com/oauth2/default/v1',
    'https://acme.okta.com/oauth2/..',
    'https://acme.okta.com?x',
    'https://acme.okta.com#x',
    'https://a:b@acme.okta.com',
    'https://ACME.okta.com',
    'https://okta',
    'https://1.2.3.4.5',
  ])('starts with no issuer %s, and shows both forms', (issuer) => {
    expect(() => start(issuer === undefined ? {} : { issuer })).toThrow(
      expect.objectContaining({
        code: 'ERR_CONFIG_VALUE',
        message: expect.stringContaining('providers[0].issuer must be'),
        fix: expect.stringMatching(
          /^Set providers\[0\]\.issuer: .*`https:\/\/acme\.okta\.com`.*`https:\/\/acme\.okta\.com\/oauth2\/default`/,
        ),
      }),
    )
  })

  it('takes POSTERN_OKTA_ISSUER', () => {
    const { providers } = start({}, { POSTERN_OKTA_ISSUER: 'https://acme.okta.com' })
    expect(providers).toMatchObject([{ issuer: 'https://acme.okta.com' }])
  })

  it('asks for another account with prompt=login, and never for consent again', async () => {
    const ask = async (chooseAccount: boolean) => {
      const input = { state: 's', verifierChallenge: 'c', nonce: 'n', chooseAccount }
      return (await house.provider.authorize(house.context, input)).searchParams.get('prompt')
    }
    expect(await ask(false)).toBeNull()
    expect(await ask(true)).toBe('login')
  })
})

const CREDENTIALS = { POSTERN_OKTA_CLIENT_ID: 'x', POSTERN_OKTA_CLIENT_SECRET: 'y' }

function start(options: OktaOptions, environment: Readonly<Record<string, string>> = {}) {
  return parseConfig(
    { providers: [okta(options)] },
    { environment: { ...CREDENTIALS, ...environment } },
  )
}
