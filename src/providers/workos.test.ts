import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { productHouse, workosProduct } from '../../test/contract/openid-products.ts'
import type { ShapeDouble } from '../../test/contract/openid-shapes.ts'
import type { House } from '../../test/contract/provider-house.ts'

describe('WorkOS AuthKit', () => {
  let house: House<ShapeDouble>
  beforeAll(async () => {
    house = await productHouse(workosProduct())
  })
  afterEach(() => house.double.say({}))
  afterAll(() => house.close())

  it('PRV-20: organisation and role come with the access token', async () => {
    expect((await house.signIn()).identity).toMatchObject({ tenant: 'org_acme', roles: ['editor'] })
  })

  it('PRV-20: refuses the access token of another application', async () => {
    house.double.say({ accessToken: { aud: 'client_other' } })
    await expect(house.signIn()).rejects.toMatchObject({ reason: 'access_token_audience' })
  })

  it('PRV-20: an access token that is no JWT is opaque', async () => {
    const opaque = await productHouse(workosProduct(), { shape: { accessToken: 'opaque' } })
    const { tokens } = await opaque.signIn()
    expect(await opaque.provider.check(opaque.context, tokens)).toEqual({ outcome: 'yes' })
    await opaque.close()
  })
})
