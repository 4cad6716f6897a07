import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { keycloakProduct, productHouse } from '../../test/contract/openid-products.ts'
import type { ShapeDouble } from '../../test/contract/openid-shapes.ts'
import type { House } from '../../test/contract/provider-house.ts'
import { parseConfig } from '../config/parse.ts'
import { keycloak } from './keycloak.ts'

describe('Keycloak', () => {
  let house: House<ShapeDouble>
  beforeAll(async () => {
    house = await productHouse(keycloakProduct())
  })
  afterEach(() => house.double.say({}))
  afterAll(() => house.close())

  it('A12, PRV-20: announces iss, so an answer without it is refused', async () => {
    const { iss, ...visit } = await house.visit()
    expect(iss).toBe('https://id.corp.example/realms/acme')
    expect(await house.provider.judgeIssuer(house.context, undefined)).toBe('missing')
    await expect(house.provider.exchange(house.context, visit)).rejects.toMatchObject({
      reason: 'provider_issuer_mismatch',
    })
  })

  it('PRV-20: roles of the realm by name, roles of our client with its name before them', async () => {
    const { identity } = await house.signIn()
    expect(identity.roles).toEqual(['staff', 'postern:editor'])
    expect(identity.groups).toEqual(['engineering', 'maps'])
  })

  it('PRV-20: refuses the access token of another client', async () => {
    house.double.say({ accessToken: { azp: 'account-console' } })
    await expect(house.signIn()).rejects.toMatchObject({ reason: 'access_token_client' })
  })

  it('PRV-02: a revocation ends every session of the person with our client', () => {
    expect(house.provider.revocationEnds).toBe('authorization')
  })

  it.each([
    ['https://id.example.com/realms/main', 'https://id.example.com'],
    ['https://id.example.com/auth/realms/main', 'https://id.example.com'],
    ['http://127.0.0.1:8080/realms/my.realm_1', 'http://127.0.0.1:8080'],
  ])('PRV-20: starts with the issuer %s, as it is given', (issuer, origin) => {
    expect(start(issuer).providers).toMatchObject([{ issuer, approvedOrigins: [origin] }])
  })

  it.each([
    'id.example.com/realms/main',
    'https://id.example.com',
    'https://id.example.com/main',
    'https://id.example.com/realms',
    'https://id.example.com/realms/',
    'https://id.example.com/realms/main/',
    'https://id.example.com/realms/main/protocol/openid-connect/auth',
    'https://id.example.com/realms/..',
    'https://id.example.com/../realms/main',
    'https://id.example.com//realms/main',
    'https://id.example.com/realms/main?x',
    'https://id.example.com/realms/main#x',
    'https://a:b@id.example.com/realms/main',
    'https://id.example.com:99999/realms/main',
    'ftp://id.example.com/realms/main',
  ])('PRV-20: starts with no issuer %s, and shows the form', (issuer) => {
    expect(() => start(issuer)).toThrow(
      expect.objectContaining({
        code: 'ERR_CONFIG_VALUE',
        message: expect.stringContaining('providers[0].issuer must be'),
        fix: expect.stringContaining('`https://id.example.com/realms/main`'),
      }),
    )
  })

  it('PRV-20: asks for no offline_access: sign-ins end with the session there', async () => {
    const { authorizationUrl } = await house.visit()
    expect(authorizationUrl.searchParams.get('scope')).toBe('openid profile email')
    expect(authorizationUrl.searchParams.has('prompt')).toBe(false)
  })
})

/** By the environment, as an image takes it. */
function start(issuer: string) {
  const environment = { POSTERN_KEYCLOAK_CLIENT_ID: 'x', POSTERN_KEYCLOAK_ISSUER: issuer }
  return parseConfig({ providers: [keycloak()] }, { environment })
}
