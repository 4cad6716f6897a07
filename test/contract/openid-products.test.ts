/** The suite of every provider, over the recorded shapes of each OpenID product. */
import { expect, it } from 'vitest'
import { ADA } from '../../demo/doubles/people.ts'
import { userKeyOf } from '../../src/issuer/admission.ts'
import {
  auth0Product,
  cognitoProduct,
  entraProduct,
  GOOGLE,
  keycloakProduct,
  oidOf,
  oktaProduct,
  productHouse,
  supabaseProduct,
  TENANT,
  workosProduct,
} from './openid-products.ts'
import { describeProvider } from './provider-suite.ts'

const { name, email } = ADA

describeProvider({
  name: 'Google',
  start: () => productHouse(GOOGLE),
  subject: `10${ADA.id}`,
  profile: { name, email, emailVerified: true },
  rotates: false,
})
describeProvider({
  name: 'Microsoft Entra, one directory',
  start: () => productHouse(entraProduct(TENANT)),
  subject: `${TENANT}.${oidOf(ADA)}`,
  remoteCheck: false,
  rotates: false,
  revokes: false,
})
describeProvider({
  name: 'Okta, the server of the organisation (opaque tokens)',
  start: () => productHouse(oktaProduct()),
  subject: `00u${ADA.id}`,
})
describeProvider({
  name: 'Okta, a custom server (JWT)',
  start: () => productHouse(oktaProduct('default')),
  subject: `00u${ADA.id}`,
})
describeProvider({
  name: 'Auth0 without an audience (opaque tokens)',
  start: () => productHouse(auth0Product()),
  subject: `auth0|${ADA.id}`,
})
describeProvider({
  name: 'Auth0 with an audience (JWT)',
  start: () => productHouse(auth0Product('https://api.acme.example')),
  subject: `auth0|${ADA.id}`,
})
describeProvider({
  name: 'Keycloak',
  start: () => productHouse(keycloakProduct()),
  subject: `kc-${ADA.id}`,
})
describeProvider({
  name: 'Amazon Cognito',
  start: () => productHouse(cognitoProduct()),
  subject: `cog-${ADA.id}`,
})
describeProvider({
  name: 'WorkOS AuthKit',
  start: () => productHouse(workosProduct()),
  subject: `user_${ADA.id}`,
})
describeProvider({
  name: 'Supabase',
  start: () => productHouse(supabaseProduct()),
  subject: `sb-${ADA.id}`,
  revokes: false,
})

it('PRV-21: one verified e-mail at two providers is two accounts', async () => {
  const keys = new Set<string>()
  for (const product of [GOOGLE, entraProduct(TENANT), oktaProduct(), auth0Product()]) {
    const house = await productHouse(product)
    const { identity } = await house.signIn('ada')
    expect(identity.profile).toMatchObject({ email, emailVerified: true })
    keys.add(userKeyOf(house.runtime, identity))
    await house.close()
  }
  expect(keys.size).toBe(4)
})
