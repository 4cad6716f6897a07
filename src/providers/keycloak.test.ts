import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { keycloakProduct, productHouse } from '../../test/contract/openid-products.ts'
import type { ShapeDouble } from '../../test/contract/openid-shapes.ts'
import type { House } from '../../test/contract/provider-house.ts'

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

  it('PRV-20: asks for no offline_access: sign-ins end with the session there', async () => {
    const { authorizationUrl } = await house.visit()
    expect(authorizationUrl.searchParams.get('scope')).toBe('openid profile email')
    expect(authorizationUrl.searchParams.has('prompt')).toBe(false)
  })
})
