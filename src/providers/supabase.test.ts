import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { productHouse, supabaseProduct } from '../../test/contract/openid-products.ts'
import type { ShapeDouble } from '../../test/contract/openid-shapes.ts'
import type { House } from '../../test/contract/provider-house.ts'

describe('Supabase', () => {
  let house: House<ShapeDouble>
  beforeAll(async () => {
    house = await productHouse(supabaseProduct())
  })
  afterEach(async () => {
    house.double.say({})
    await house.double.revive()
  })
  afterAll(() => house.close())

  it('PRV-20: refuses the access token of another client of the project', async () => {
    house.double.say({ accessToken: { client_id: 'somebody-else' } })
    await expect(house.signIn()).rejects.toMatchObject({ reason: 'access_token_client' })
  })

  it.each([
    [401, 'session_not_found', 'no'],
    [403, 'user_banned', 'no'],
    [403, 'user_not_found', 'no'],
    [403, 'over_request_rate_limit', 'unknown'],
    [401, 'bad_jwt', 'unknown'],
    [429, 'session_not_found', 'unknown'],
    [500, 'session_not_found', 'unknown'],
  ])('PRV-20: %s with %s is %s', async (status, code, outcome) => {
    const { tokens } = await house.signIn()
    house.double.answerWith(house.checkEndpoint, {
      status,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ code: status, error_code: code, msg: 'x' }),
    })
    expect(await house.provider.check(house.context, tokens)).toMatchObject({ outcome })
  })
})
