import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { auth0Product, productHouse } from '../../test/contract/openid-products.ts'
import type { ShapeDouble } from '../../test/contract/openid-shapes.ts'
import type { House } from '../../test/contract/provider-house.ts'
import { parseConfig } from '../config/parse.ts'
import { auth0 } from './auth0.ts'

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

  it.each(['https://acme.eu.auth0.com', 'https://acme.eu.auth0.com/'])(
    'the account key of %s is the issuer as Auth0 writes it, with the slash',
    (issuer) => {
      expect(start(issuer).providers).toMatchObject([{ issuer: 'https://acme.eu.auth0.com/' }])
    },
  )

  it.each([
    'acme.eu.auth0.com',
    'http://acme.eu.auth0.com/',
    'https://acme.eu.auth0.com//',
    'https://acme.eu.auth0.com/authorize',
    'https://acme.eu.auth0.com/?x',
    'https://acme.eu.auth0.com/#x',
    'https://a@acme.eu.auth0.com/',
    'https://auth0',
  ])('starts with no issuer %s, and shows the form', (issuer) => {
    expect(() => start(issuer)).toThrow(
      expect.objectContaining({
        code: 'ERR_CONFIG_VALUE',
        message: expect.stringContaining('providers[0].issuer must be'),
        fix: expect.stringContaining('`https://acme.eu.auth0.com/`'),
      }),
    )
  })

  it('CLI-23: revokes refresh tokens only', async () => {
    const { refreshToken: _, ...tokens } = (await house.signIn('grace')).tokens
    house.double.forget()
    expect(await house.provider.revoke?.(house.context, tokens)).toBe(false)
    expect(house.double.total()).toBe(0)
  })
})

/** By the environment, as an image takes it. */
function start(issuer: string) {
  const environment = {
    POSTERN_AUTH0_CLIENT_ID: 'x',
    POSTERN_AUTH0_CLIENT_SECRET: 'y',
    POSTERN_AUTH0_ISSUER: issuer,
  }
  return parseConfig({ providers: [auth0()] }, { environment })
}
