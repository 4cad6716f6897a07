/** The client credentials grant and what `enable` switches, over the issuer in memory. */
import { describe, expect, it } from 'vitest'
import { CAPABILITIES, type Capability } from '../../src/config/fields.ts'
import type { StaticClient } from '../../src/config.ts'
import { createAuthenticator, type Session } from '../../src/issuer/authenticate.ts'
import { Secret } from '../../src/secret.ts'
import { openPlane } from '../kit/plane.ts'
import {
  authorizeUrl,
  claimsOf,
  createTestIssuer,
  errorOf,
  ISSUER,
  NOTES,
  redeem,
  register,
  signIn,
  type TestHouse,
  type Tokens,
  token,
  tokensFor,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const SECRET = 'a-secret-of-a-machine-0123456789'
const ROBOT: StaticClient = {
  clientId: 'robot',
  redirectUris: [],
  secret: new Secret(SECRET),
  grants: ['client_credentials'],
}

function open(
  client: Partial<StaticClient> = {},
  enable: readonly Capability[] = ['client-credentials'],
) {
  return createTestIssuer({
    connectors: ['notes', 'mail'],
    config: { enable, clients: [{ ...ROBOT, ...client }] },
  })
}

function ask(house: TestHouse, form: Record<string, string> = {}): Promise<Response> {
  return token(house, {
    grant_type: 'client_credentials',
    client_id: 'robot',
    client_secret: SECRET,
    resource: NOTES,
    ...form,
  })
}

async function metadata(house: TestHouse): Promise<Record<string, unknown>> {
  const answer = await house.fetch(new Request(`${ISSUER}/.well-known/oauth-authorization-server`))
  return (await answer.json()) as Record<string, unknown>
}

describe('client credentials', () => {
  it('TOK-26 EXT-04: a static client with a secret gets a token for one resource and no refresh token', async () => {
    const house = open()
    const answer = await ask(house)
    expect(answer.status).toBe(200)
    const body = (await answer.json()) as Tokens
    expect(body).toMatchObject({ token_type: 'Bearer', expires_in: 3600, scope: 'mcp' })
    expect(body).not.toHaveProperty('refresh_token')
    expect(claimsOf(body.access_token)).toMatchObject({
      aud: NOTES,
      sub: 'client:robot',
      client_id: 'robot',
      scope: 'mcp',
    })
  })

  it('TOK-26 EXT-04: a public, a dynamic and an unregistered client are refused', async () => {
    const publicClient = open({ secret: undefined })
    const refused = await token(publicClient, {
      grant_type: 'client_credentials',
      client_id: 'robot',
      resource: NOTES,
    })
    expect([refused.status, await errorOf(refused)]).toEqual([400, 'unauthorized_client'])
    const house = open()
    const dynamic = await register(house, {
      token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['authorization_code', 'refresh_token'],
    })
    const form = {
      grant_type: 'client_credentials',
      client_id: dynamic.client_id,
      client_secret: dynamic.client_secret ?? '',
      resource: NOTES,
    }
    expect(await errorOf(await token(house, form))).toBe('unauthorized_client')
    const signsPeopleIn = open({ grants: ['authorization_code'], redirectUris: [WEB_REDIRECT] })
    expect(await errorOf(await ask(signsPeopleIn))).toBe('unauthorized_client')
  })

  it('EXT-04: resource is required, must be ours, one, and the client’s own', async () => {
    const house = open({ resources: [NOTES] })
    const cases: Record<string, string>[] = [
      { resource: '' },
      { resource: `${ISSUER}/mcp/unknown` },
      { resource: `${ISSUER}/mcp/mail` },
      { resource: 'notes' },
    ]
    for (const form of cases) {
      expect(await errorOf(await ask(house, form)), form.resource).toBe('invalid_target')
    }
    expect((await ask(house)).status).toBe(200)
  })

  it('TOK-26: scope stays within the client’s', async () => {
    const house = open({ scopes: ['other'] })
    expect(await errorOf(await ask(house, { scope: 'mcp' }))).toBe('invalid_scope')
    expect(await errorOf(await ask(house))).toBe('invalid_scope')
    expect(await errorOf(await ask(open(), { scope: 'admin' }))).toBe('invalid_scope')
  })

  it('TOK-26: a wrong secret is invalid_client, and nothing is stored', async () => {
    const house = open()
    const answer = await ask(house, { client_secret: 'wrong' })
    expect([answer.status, await errorOf(answer)]).toEqual([401, 'invalid_client'])
    expect(await house.store.count('audit', 'default')).toBe(0)
  })

  it('TOK-16 TOK-26: its token has a session without a person, which ends with a mark of its grant', async () => {
    const house = open()
    const { access_token } = (await (await ask(house)).json()) as Tokens
    const { keys, store, runtime, emit } = house.deps
    const authenticator = createAuthenticator({
      runtime,
      emit,
      store,
      issuer: ISSUER,
      keys,
      table: new Map<string, Session>(),
    })
    expect(authenticator.judge(access_token)).toBe('cold')
    await authenticator.load(access_token)
    expect(authenticator.judge(access_token)).toMatchObject({
      userId: 'client:robot',
      clientId: 'robot',
      vaultId: '',
      resource: NOTES,
    })
    const revoked = await house.fetch(
      new Request(`${ISSUER}/revoke`, {
        method: 'POST',
        body: new URLSearchParams({
          token: access_token,
          client_id: 'robot',
          client_secret: SECRET,
        }),
      }),
    )
    expect(revoked.status).toBe(200)
    expect(house.marks).toMatchObject([{ kind: 'token', id: claimsOf(access_token).jti }])
  })

  it('TOK-26: the issuance is an audit row in the same commit as its grant', async () => {
    const house = open()
    const { access_token } = (await (await ask(house)).json()) as Tokens
    const rows = await house.store.list('audit', 'default', undefined, { max: 10 })
    expect(rows.map(({ value }) => [value.event, value.clientId, value.detail])).toEqual([
      ['token.issued', 'robot', 'client_credentials'],
    ])
    const id = String(claimsOf(access_token).gid)
    expect(await house.store.grants.find({ tenant: 'default', id })).toMatchObject({
      state: 'active',
      userKey: '',
      vaultId: '',
    })
  })
})

const SERVED: readonly (readonly [Capability, string, unknown])[] = [
  ['client-credentials', 'grant_types_supported', 'client_credentials'],
  ['token-exchange', 'grant_types_supported', 'urn:ietf:params:oauth:grant-type:token-exchange'],
  ['id-jag', 'grant_types_supported', 'urn:ietf:params:oauth:grant-type:jwt-bearer'],
  [
    'id-jag',
    'authorization_grant_profiles_supported',
    'urn:ietf:params:oauth:grant-profile:id-jag',
  ],
  ['dpop', 'dpop_signing_alg_values_supported', 'ES256'],
  ['pushed-requests', 'pushed_authorization_request_endpoint', `${ISSUER}/par`],
]

describe('what is advertised is what is served', () => {
  it.each(SERVED)(
    'AS-06 EXT-01: %s puts its word into %s, and only then',
    async (name, member, word) => {
      const holds = (document: Record<string, unknown>): boolean => {
        const value = document[member]
        return Array.isArray(value) ? value.includes(word) : value === word
      }
      expect(holds(await metadata(open({}, [name])))).toBe(true)
      const others = CAPABILITIES.filter((other) => other !== name)
      expect(holds(await metadata(open({}, others)))).toBe(false)
      expect(holds(await metadata(open({}, [])))).toBe(false)
    },
  )

  it('AS-06 AS-07: with everything on, each listed grant type is known, and no other is', async () => {
    const house = open({}, CAPABILITIES)
    const { grant_types_supported: listed } = await metadata(house)
    expect(listed).toEqual([
      'authorization_code',
      'refresh_token',
      'client_credentials',
      'urn:ietf:params:oauth:grant-type:token-exchange',
      'urn:ietf:params:oauth:grant-type:jwt-bearer',
    ])
    for (const grantType of listed as string[]) {
      const error = await errorOf(await ask(house, { grant_type: grantType, resource: '' }))
      expect(error, grantType).not.toBe('unsupported_grant_type')
    }
  })
})

const TRICKS_AT_TOKEN = [
  'password',
  'implicit',
  'client_credentials',
  'urn:ietf:params:oauth:grant-type:token-exchange',
  'urn:ietf:params:oauth:grant-type:jwt-bearer',
  'urn:ietf:params:oauth:grant-type:saml2-bearer',
  'urn:ietf:params:oauth:grant-type:device_code',
  'urn:openid:params:grant-type:ciba',
  'AUTHORIZATION_CODE',
  'authorization_code ',
  'authorization_code refresh_token',
  'code',
]
const EXTRAS: readonly Record<string, string>[] = [
  {},
  { username: 'ada', password: 'secret', scope: 'mcp' },
]
const TRICKS_AT_AUTHORIZE: readonly Record<string, string>[] = [
  ...['token', 'id_token', 'code token', 'code id_token', 'id_token token', 'none', 'CODE'].map(
    (responseType) => ({ response_type: responseType }),
  ),
  ...['fragment', 'form_post', 'query.jwt', 'fragment.jwt', 'web_message', 'jwt', 'Query'].map(
    (mode) => ({ response_mode: mode }),
  ),
  { response_type: 'token', response_mode: 'fragment' },
  { request_uri: 'urn:ietf:params:oauth:request_uri:x' },
]

describe('flows that are off', () => {
  it('A25: stay off in 40 combinations, whatever else a request says', async () => {
    const house = open({ redirectUris: [WEB_REDIRECT], grants: ['authorization_code'] }, [])
    let combinations = 0
    for (const grantType of TRICKS_AT_TOKEN) {
      for (const extra of EXTRAS) {
        const answer = await ask(house, { ...extra, grant_type: grantType })
        expect([answer.status, await errorOf(answer)], grantType).toEqual([
          400,
          'unsupported_grant_type',
        ])
        combinations += 1
      }
    }
    for (const trick of TRICKS_AT_AUTHORIZE) {
      // A static client with an https redirect URI: the error goes to the client (AZ-15).
      const answer = await new Visitor(house).get(authorizeUrl(house, 'robot', trick))
      const back = new URL(answer.headers.get('location') ?? '')
      expect(back.searchParams.get('error'), JSON.stringify(trick)).toMatch(
        /^(unsupported_response_type|invalid_request|request_uri_not_supported)$/,
      )
      expect([back.searchParams.has('code'), back.hash]).toEqual([false, ''])
      combinations += 1
    }
    expect(combinations).toBe(40)
    expect((await house.fetch(new Request(`${ISSUER}/par`, { method: 'POST' }))).status).toBe(404)
  })

  it('A25: a DPoP header means nothing where proofs are not taken', async () => {
    const house = open({}, [])
    const { client_id } = await register(house)
    const { code = '' } = await signIn(house, new Visitor(house), client_id)
    const answer = await token(
      house,
      {
        grant_type: 'authorization_code',
        client_id,
        code,
        code_verifier: 'v'.repeat(43),
        redirect_uri: WEB_REDIRECT,
      },
      { dpop: 'nonsense' },
    )
    expect(await answer.json()).toMatchObject({ token_type: 'Bearer' })
    expect((await redeem(house, client_id, code)).status).toBe(400)
    expect((await tokensFor(house, client_id)).token_type).toBe('Bearer')
  })
})

describe('a client that acts for itself, over the whole house', () => {
  it('TOK-16 EXT-04: calls what its resources name, whomever allow names; nothing has to be proved', async () => {
    const plane = await openPlane({
      provider: 'github',
      clock: 'real',
      config: {
        enable: ['client-credentials'],
        allow: { users: ['github:somebody-else'] },
        clients: { robot: { secret: SECRET, grants: ['client_credentials'] } },
      },
    })
    const answer = await fetch(`${plane.issuer}/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: 'robot',
        client_secret: SECRET,
        resource: plane.resource,
      }),
    })
    const { access_token: accessToken } = (await answer.json()) as Tokens
    const asked = plane.provider.exchanges()
    for (let times = 0; times < 2; times += 1) {
      expect((await plane.call({ accessToken })).status).toBe(200)
    }
    expect(plane.provider.exchanges()).toEqual(asked)
  })
})
