import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { cognitoProduct, productHouse } from '../../test/contract/openid-products.ts'
import type { ShapeDouble } from '../../test/contract/openid-shapes.ts'
import type { House } from '../../test/contract/provider-house.ts'
import { COGNITO } from './cognito.ts'

describe('Amazon Cognito', () => {
  let house: House<ShapeDouble>
  beforeAll(async () => {
    house = await productHouse(cognitoProduct())
  })
  afterEach(async () => {
    house.double.say({})
    await house.double.revive()
  })
  afterAll(() => house.close())

  it.each([
    ['client', { client_id: 'somebody-else' }],
    ['use', { token_use: 'id' }],
    ['client', { client_id: undefined }],
    ['issuer', { iss: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other' }],
  ])('PRV-19: refuses an access token of another %s: %j', async (reason, accessToken) => {
    house.double.say({ accessToken })
    await expect(house.signIn()).rejects.toMatchObject({ reason: `access_token_${reason}` })
  })

  it('PRV-19: an access token in the place of the ID token is refused', async () => {
    house.double.say({ idToken: { token_use: 'access' } })
    await expect(house.signIn()).rejects.toMatchObject({ reason: 'id_token_use' })
  })

  it('PRV-19: a revoked token still verifies here, so a call is the bound', async () => {
    const { tokens, identity } = await house.signIn('grace')
    const check = () => house.provider.check(house.context, tokens, { subject: identity.subject })
    expect(await check()).toMatchObject({ outcome: 'yes' })
    expect(await house.provider.revoke?.(house.context, tokens)).toBe(true)
    house.double.forget()
    expect(await check()).toEqual({ outcome: 'no', reason: 'invalid_token' })
    expect(house.double.exchanges()).toEqual({ [house.checkEndpoint]: 1 })
    expect(COGNITO.facts.check).toContain('300 s')
  })

  it('PRV-19: a 401 without the documented challenge is unknown', async () => {
    const { tokens } = await house.signIn()
    house.double.answerWith(house.checkEndpoint, { status: 401, body: '' })
    expect(await house.provider.check(house.context, tokens)).toMatchObject({ outcome: 'unknown' })
  })

  it('PRV-19: with resource binding aud stands in the place of client_id', async () => {
    house.double.say({ accessToken: { client_id: undefined, aud: 'postern' } })
    await expect(house.signIn()).resolves.toBeDefined()
  })

  it('reads groups of the pool, and asks for no offline_access', async () => {
    const { identity } = await house.signIn()
    expect(identity.groups).toEqual(['engineering', 'maps'])
    expect(identity.roles).toEqual(['arn:aws:iam::1:role/editor'])
    const { authorizationUrl } = await house.visit()
    expect(authorizationUrl.searchParams.get('scope')).toBe('openid profile email')
  })

  it('A28: email_verified is the text true at userInfo, and a boolean in the ID token', async () => {
    const verified = async (atUserinfo: unknown, inToken?: unknown) => {
      house.double.say({ idToken: { email_verified: inToken } })
      const visit = await house.visit()
      const person = { sub: 'cog-1001', email: 'ada@corp.example', email_verified: atUserinfo }
      house.double.answerWith(house.checkEndpoint, {
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(person),
      })
      const { identity } = await house.provider.exchange(house.context, visit)
      return identity.profile.emailVerified
    }
    expect(await verified('true')).toBe(true)
    expect(await verified(true)).toBe(true)
    expect(await verified(undefined, true)).toBe(true)
    for (const word of ['false', 'TRUE', 'yes', '1', 1, null, ['true']])
      expect(await verified(word, true)).toBe(false)
    expect(await verified(undefined, 'true')).toBe(false)
    expect(await verified(undefined)).toBe(false)
  })

  it('CLI-23: revokes refresh tokens only', async () => {
    const { refreshToken: _, ...tokens } = (await house.signIn('grace')).tokens
    expect(await house.provider.revoke?.(house.context, tokens)).toBe(false)
  })
})
