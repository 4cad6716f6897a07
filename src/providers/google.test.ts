import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { GOOGLE, productHouse } from '../../test/contract/openid-products.ts'
import type { ShapeDouble } from '../../test/contract/openid-shapes.ts'
import { CLIENT, type House } from '../../test/contract/provider-house.ts'
import type { AuthorizeInput } from './provider.ts'

const TOKENINFO = 'POST /oauth2.googleapis.com/tokeninfo'
const json = (body: unknown, status = 200) => ({
  status,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
})

describe('Google', () => {
  let house: House<ShapeDouble>
  beforeAll(async () => {
    house = await productHouse(GOOGLE)
  })
  afterEach(async () => {
    house.double.say({})
    await house.double.revive()
  })
  afterAll(() => house.close())

  const authorize = async (input: Partial<AuthorizeInput> = {}) => {
    const url = await house.provider.authorize(house.context, {
      state: 's',
      verifierChallenge: 'c',
      nonce: 'n',
      ...input,
    })
    return url.searchParams
  }

  it('PRV-12: asks for offline access always, and for consent only when no refresh token is stored', async () => {
    for (const [hasRefreshToken, prompt] of [
      [undefined, null],
      [true, null],
      [false, 'consent'],
    ] as const) {
      const query = await authorize(hasRefreshToken === undefined ? {} : { hasRefreshToken })
      expect(query.get('access_type')).toBe('offline')
      expect(query.get('prompt')).toBe(prompt)
      expect(query.get('scope')).toBe('openid profile email')
    }
    expect((await authorize({ chooseAccount: true })).get('prompt')).toBe('select_account')
  })

  it('PRV-12: a sign-in without a refresh token is a sign-in', async () => {
    const answer = await productHouse(GOOGLE, { shape: { givesRefreshToken: () => false } })
    const { tokens } = await answer.signIn()
    expect(tokens.refreshToken).toBeUndefined()
    await answer.close()
  })

  it('PRV-12: compares what was granted with what was asked, by the long names as well', async () => {
    const scopes = ['openid', 'email', 'https://www.googleapis.com/auth/drive.readonly']
    const narrow = await productHouse(GOOGLE, {
      scopes,
      shape: { grant: () => ['openid', 'https://www.googleapis.com/auth/userinfo.email'] },
    })
    const signIn = await narrow.signIn()
    expect(signIn.proof.scopes).toEqual(['openid', 'email'])
    expect(signIn.missingScopes).toEqual(['https://www.googleapis.com/auth/drive.readonly'])
    await narrow.close()
  })

  it('PRV-13: verifies the ID token here and asks nobody else at sign-in', async () => {
    // The published keys are at hand from the first sign-in on.
    await house.signIn()
    const visit = await house.visit()
    house.double.forget()
    await house.provider.exchange(house.context, visit)
    expect(house.double.exchanges()).toEqual({ 'POST /oauth2.googleapis.com/token': 1 })
  })

  it('PRV-13: takes an ID token whose iss has no scheme, as older ones do', async () => {
    house.double.say({ idToken: { iss: 'accounts.google.com' } })
    const { identity } = await house.signIn()
    expect(identity.issuer).toBe('https://accounts.google.com')
  })

  it.each([
    ['another client', { aud: 'somebody-else' }, 'id_token_audience'],
    ['another party', { azp: 'somebody-else' }, 'id_token_authorized_party'],
    ['another issuer', { iss: 'https://evil.example' }, 'id_token_issuer'],
  ])('PRV-13: refuses an ID token of %s', async (_what, idToken, reason) => {
    house.double.say({ idToken })
    await expect(house.signIn()).rejects.toMatchObject({ reason })
  })

  it.each([
    ['aud', { aud: 'somebody-else', azp: CLIENT.clientId, sub: '101001' }],
    ['azp', { aud: CLIENT.clientId, azp: 'somebody-else', sub: '101001' }],
  ])('PRV-13: an access token issued to another client (%s) is a no', async (_what, body) => {
    const { tokens } = await house.signIn()
    house.double.answerWith(TOKENINFO, json(body))
    expect(await house.provider.check(house.context, tokens, { subject: '101001' })).toEqual({
      outcome: 'no',
      reason: 'client',
    })
  })

  it('PRV-13: sends the access token in a header and never in an address', async () => {
    const { tokens } = await house.signIn()
    await house.provider.check(house.context, tokens)
    expect(house.double.lastHeaders(TOKENINFO)?.['authorization']).toBe(
      `Bearer ${tokens.accessToken}`,
    )
  })

  it('PRV-21: hd is the tenant, and another domain is refused', async () => {
    expect((await house.signIn()).identity.tenant).toBe('example.com')
    const corporate = await productHouse(GOOGLE, { options: { hostedDomain: 'corp.example' } })
    await expect(corporate.signIn()).rejects.toMatchObject({ reason: 'hosted_domain' })
    corporate.double.say({ idToken: { hd: 'corp.example' } })
    expect((await corporate.signIn()).identity.tenant).toBe('corp.example')
    expect((await corporate.visit()).authorizationUrl.searchParams.get('hd')).toBe('corp.example')
    await corporate.close()
  })

  it('CLI-23: revokes without our secret, and knows that it ends the whole authorization', async () => {
    const { tokens } = await house.signIn('grace')
    expect(house.provider.revocationEnds).toBe('authorization')
    expect(await house.provider.revoke?.(house.context, tokens)).toBe(true)
    expect(
      house.double.lastHeaders('POST /oauth2.googleapis.com/revoke')?.['authorization'],
    ).toBeUndefined()
    house.double.answerWith(
      'POST /oauth2.googleapis.com/revoke',
      json({ error: 'invalid_token' }, 400),
    )
    expect(await house.provider.revoke?.(house.context, tokens)).toBe(true)
  })
})
