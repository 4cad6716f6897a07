/**
 * Identity assertions for the OpenID double (draft-ietf-oauth-identity-assertion-authz-grant): an app
 * gives the ID token of a person who signed in and gets an ID-JAG for another authorization server.
 *
 * The administrator of the double says who the app is there (`OpenIdClient.assertsAs`); an app without
 * that entry gets none.
 */
import { createPublicKey, type JsonWebKey, randomUUID } from 'node:crypto'
import { importJWK, type JWK, jwtVerify, SignJWT } from 'jose'
import type { Provider } from 'oidc-provider'

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const TYPE = 'urn:ietf:params:oauth:token-type:'
const LIFE_SECONDS = 300
const PARAMETERS = [
  'requested_token_type',
  'audience',
  'resource',
  'scope',
  'subject_token',
  'subject_token_type',
]

export interface AssertionSource {
  readonly issuer: string
  /** The key that signs ID tokens too. */
  readonly jwk: JWK
  /** The app's `client_id` at the other authorization server. */
  clientIdElsewhere(clientId: string): string | undefined
}

export function addIdentityAssertions(provider: Provider, source: AssertionSource): void {
  provider.registerGrantType(
    TOKEN_EXCHANGE,
    async (context) => {
      const { client, params } = context.oidc
      const answer = await exchange(source, client.clientId, params)
      if (answer === undefined) {
        context.status = 400
        context.body = { error: 'invalid_grant' }
      } else context.body = answer
    },
    PARAMETERS,
  )
}

async function exchange(
  source: AssertionSource,
  clientId: string,
  asked: Readonly<Record<string, string | undefined>>,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const elsewhere = source.clientIdElsewhere(clientId)
  if (elsewhere === undefined || asked['requested_token_type'] !== `${TYPE}id-jag`) return undefined
  if (asked['subject_token_type'] !== `${TYPE}id_token`) return undefined
  const person = await readIdToken(source, clientId, asked['subject_token'] ?? '')
  if (person === undefined) return undefined
  const { audience = '', resource, scope } = asked
  const claims = {
    client_id: elsewhere,
    ...(resource === undefined ? {} : { resource }),
    ...(scope === undefined ? {} : { scope }),
  }
  const { alg = 'ES256', kid = '' } = source.jwk
  const assertion = await new SignJWT(claims)
    .setProtectedHeader({ alg, kid, typ: 'oauth-id-jag+jwt' })
    .setIssuer(source.issuer)
    .setSubject(person)
    .setAudience(audience)
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime(`${LIFE_SECONDS}s`)
    .sign(await importJWK(source.jwk, alg))
  return {
    issued_token_type: `${TYPE}id-jag`,
    access_token: assertion,
    token_type: 'N_A',
    expires_in: LIFE_SECONDS,
    ...(scope === undefined ? {} : { scope }),
  }
}

async function readIdToken(
  { issuer, jwk }: AssertionSource,
  audience: string,
  idToken: string,
): Promise<string | undefined> {
  const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
  const options = { issuer, audience, algorithms: [jwk.alg ?? 'ES256'] }
  return await jwtVerify(idToken, key, options).then(
    ({ payload }) => payload.sub,
    () => undefined,
  )
}
