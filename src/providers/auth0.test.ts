import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { auth0Product, productHouse } from '../../test/contract/openid-products.ts'
import type { ShapeDouble } from '../../test/contract/openid-shapes.ts'
import type { House } from '../../test/contract/provider-house.ts'

const AUDIENCE = 'https://api.acme.example'

describe('Auth0', () => {
  let house: House<ShapeDouble>
  beforeAll(async () => {
    house = await productHouse(auth0Product(AUDIENCE))
  })
  afterEach(() => house.double.say({}))
  afterAll(() => house.close())

  it('PRV-16: sends audience where one is configured, and reads scopes from the JWT', async () => {
    const { authorizationUrl } = await house.visit()
    expect(authorizationUrl.searchParams.get('audience')).toBe(AUDIENCE)
    house.double.say({ accessToken: { scope: 'openid read:notes' } })
    const { tokens, identity } = await house.signIn()
    const proof = await house.provider.check(house.context, tokens, { subject: identity.subject })
    expect(proof).toEqual({ outcome: 'yes', scopes: ['openid', 'read:notes'] })
  })

  it('PRV-16: without an audience none is sent, and the token is opaque', async () => {
    const opaque = await productHouse(auth0Product())
    const { authorizationUrl } = await opaque.visit()
    expect(authorizationUrl.searchParams.has('audience')).toBe(false)
    const { tokens } = await opaque.signIn()
    expect(await opaque.provider.check(opaque.context, tokens)).toEqual({ outcome: 'yes' })
    await opaque.close()
  })

  it.each([
    ['audience', { aud: 'https://other.example' }],
    ['client', { azp: 'somebody-else' }],
    ['issuer', { iss: 'https://acme.eu.auth0.com' }],
  ])('PRV-16: refuses the access token of another %s', async (reason, accessToken) => {
    house.double.say({ accessToken })
    await expect(house.signIn()).rejects.toMatchObject({ reason: `access_token_${reason}` })
  })

  it('reads groups and roles from claims of a namespace, the organisation as tenant', async () => {
    expect((await house.signIn()).identity).toMatchObject({
      issuer: 'https://acme.eu.auth0.com/',
      groups: ['engineering', 'maps'],
      roles: ['editor'],
      tenant: 'org_acme',
    })
  })

  it('CLI-23: revokes refresh tokens only', async () => {
    const { refreshToken: _, ...tokens } = (await house.signIn('grace')).tokens
    house.double.forget()
    expect(await house.provider.revoke?.(house.context, tokens)).toBe(false)
    expect(house.double.total()).toBe(0)
  })
})
