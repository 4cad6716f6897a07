/** Enterprise-managed authorization: identity assertions over the issuer in memory. */
import { createServer } from 'node:http'
import { exportJWK, generateKeyPair, type JSONWebKeySet, type JWTPayload, SignJWT } from 'jose'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { createMemoryStore } from '../../src/adapters/memory.ts'
import type { AssertionIssuer } from '../../src/config/token-policies.ts'
import type { Config, StaticClient } from '../../src/config.ts'
import { UpstreamError } from '../../src/errors.ts'
import { createAuthenticator, type Session } from '../../src/issuer/authenticate.ts'
import { tombstoneStep } from '../../src/issuer/tombstones.ts'
import { Secret } from '../../src/secret.ts'
import { openPlane } from '../kit/plane.ts'
import { freePort } from '../kit/postern.ts'
import {
  claimsOf,
  createTestIssuer,
  errorOf,
  ISSUER,
  NOTES,
  register,
  type TestHouse,
  type Tokens,
  token,
  tokensFor,
} from './sign-in-house.ts'

const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
/** Also the issuer of the provider that people sign in at. */
const IDP = 'https://okta.example'
const MAIL = `${ISSUER}/mcp/mail`
const SECRET = 'a-secret-of-an-app-0123456789abc'
const APP: StaticClient = {
  clientId: 'app',
  redirectUris: [],
  secret: new Secret(SECRET),
  grants: [GRANT],
}
let keys: { readonly sign: (jwt: SignJWT) => Promise<string>; readonly jwks: JSONWebKeySet }

beforeAll(async () => {
  const pair = await generateKeyPair('ES256')
  const jwk = { ...(await exportJWK(pair.publicKey)), kid: 'k1', alg: 'ES256' }
  keys = { sign: (jwt) => jwt.sign(pair.privateKey), jwks: { keys: [jwk] } }
})

interface Options {
  readonly trusted?: Partial<AssertionIssuer>
  readonly client?: Partial<StaticClient>
  readonly config?: Partial<Config>
  readonly store?: ReturnType<typeof createMemoryStore>
  readonly jwks?: () => Promise<JSONWebKeySet>
  readonly again?: () => Promise<JSONWebKeySet>
}

function open(options: Options = {}) {
  const asked = { keys: 0, again: 0 }
  const house = createTestIssuer({
    connectors: ['notes', 'mail'],
    ...(options.store === undefined ? {} : { store: options.store }),
    config: {
      enable: ['id-jag'],
      assertionIssuers: [{ issuer: IDP, ...options.trusted }],
      clients: [{ ...APP, ...options.client }],
      ...options.config,
    },
    deps: {
      assertionKeys: {
        keys: () => {
          asked.keys += 1
          return (options.jwks ?? (async () => keys.jwks))()
        },
        askAgain: () => {
          asked.again += 1
          return (options.again ?? (async () => keys.jwks))()
        },
      },
    },
  })
  return { house, asked }
}

let serial = 0
function assertion(
  house: TestHouse,
  claims: JWTPayload = {},
  header: Record<string, unknown> = {},
): Promise<string> {
  const now = Math.floor(house.runtime.nowMs() / 1000)
  serial += 1
  const body = {
    iss: IDP,
    sub: '2001',
    aud: ISSUER,
    client_id: 'app',
    jti: `jti-${serial}`,
    iat: now,
    exp: now + 300,
    resource: NOTES,
    scope: 'mcp',
    email: 'ada@corp.example',
    email_verified: true,
    ...claims,
  }
  const head = { alg: 'ES256', kid: 'k1', typ: 'oauth-id-jag+jwt', ...header }
  return keys.sign(new SignJWT(body).setProtectedHeader(head))
}

function present(
  house: TestHouse,
  jwt: string,
  form: Record<string, string> = {},
): Promise<Response> {
  return token(house, {
    grant_type: GRANT,
    client_id: 'app',
    client_secret: SECRET,
    assertion: jwt,
    ...form,
  })
}

function userIn(house: TestHouse, subject: string) {
  const id = house.runtime.sha256(JSON.stringify([IDP, subject]))
  return house.store.get('user', { tenant: 'default', id })
}

describe('identity assertions', () => {
  it('EXT-03 PR-17: a sign-in whose time is not said, or not yet, passes no step-up', async () => {
    const told = async (auth_time: number | undefined) => {
      const { house } = open()
      const claims = auth_time === undefined ? {} : { auth_time }
      const answer = await present(house, await assertion(house, claims))
      const { gid } = claimsOf(((await answer.json()) as Tokens).access_token)
      const grant = await house.store.grants.find({ tenant: 'default', id: String(gid) })
      return [grant?.authTimeSeconds, Math.floor(house.runtime.nowMs() / 1000)] as const
    }
    expect((await told(undefined))[0]).toBe(0)
    expect((await told(1_700_000_000))[0]).toBe(1_700_000_000)
    const [ahead, now] = await told(9_999_999_999)
    expect(ahead).toBe(now)
  })

  it('EXT-02 B23: times may have a fraction', async () => {
    const { house } = open()
    const now = Math.floor(house.runtime.nowMs() / 1000)
    const jwt = await assertion(house, { iat: now + 0.25, exp: now + 100.123456789 })
    expect((await present(house, jwt)).status).toBe(200)
    expect(await errorOf(await present(house, jwt))).toBe('invalid_grant')
  })

  it('EXT-03: give a token for exactly the resource, no refresh token, and no vault behind it', async () => {
    const { house } = open()
    const answer = await present(house, await assertion(house))
    const body = (await answer.json()) as Tokens
    expect(answer.status).toBe(200)
    expect(body).toMatchObject({ token_type: 'Bearer', scope: 'mcp' })
    expect(body).not.toHaveProperty('refresh_token')
    const claims = claimsOf(body.access_token)
    const user = await userIn(house, '2001')
    expect(claims).toMatchObject({ aud: NOTES, client_id: 'app', sub: user?.value.userId })
    const { runtime, emit, store, keys: ours } = house.deps
    const table = new Map<string, Session>()
    const authenticator = createAuthenticator({
      runtime,
      emit,
      store,
      issuer: ISSUER,
      keys: ours,
      table,
    })
    authenticator.judge(body.access_token)
    await authenticator.load(body.access_token)
    expect(authenticator.judge(body.access_token)).toMatchObject({
      userId: user?.value.userId,
      vaultId: '',
      provider: 'okta',
      subject: '2001',
    })
  })

  it('EXT-02: the account is the one of a sign-in at that issuer, and stays it', async () => {
    const { house } = open()
    const first = (await (await present(house, await assertion(house))).json()) as Tokens
    const second = (await (await present(house, await assertion(house))).json()) as Tokens
    const other = (await (
      await present(house, await assertion(house, { sub: '2002' }))
    ).json()) as Tokens
    const [one, two, three] = [first, second, other].map(
      ({ access_token }) => claimsOf(access_token).sub,
    )
    expect(one).toBe(two)
    expect(one).not.toBe(three)
    // The same subject at another issuer is somebody else.
    const { client_id } = await register(house)
    house.provider.person = { subject: '2001' }
    expect(claimsOf((await tokensFor(house, client_id)).access_token).sub).not.toBe(one)
  })

  it('EXT-03: scopes are at most what assertion, policy and resource share', async () => {
    const { house } = open({ trusted: { scopes: ['other'] } })
    expect(await errorOf(await present(house, await assertion(house)))).toBe('invalid_scope')
    const wide = open()
    const asked = await assertion(wide.house, { scope: 'mcp admin' })
    expect(await (await present(wide.house, asked)).json()).toMatchObject({ scope: 'mcp' })
    const none = await assertion(wide.house, { scope: 'admin' })
    expect(await errorOf(await present(wide.house, none))).toBe('invalid_scope')
    const beyond = await present(wide.house, await assertion(wide.house), { scope: 'admin' })
    expect(await errorOf(beyond)).toBe('invalid_scope')
  })

  it.each<[string, JWTPayload, Record<string, unknown>]>([
    ['an issuer that is not trusted', { iss: 'https://evil.example' }, {}],
    ['another typ', {}, { typ: 'JWT' }],
    ['another audience', { aud: 'https://other.example' }, {}],
    ['an audience in a list', { aud: [ISSUER] }, {}],
    ['another client', { client_id: 'other' }, {}],
    ['an end that has passed', { exp: 1 }, {}],
    ['a beginning to come', { iat: 4_000_000_000, exp: 4_000_000_300 }, {}],
    ['no jti', { jti: undefined }, {}],
    ['no resource', { resource: undefined }, {}],
    ['a resource that is not served', { resource: `${ISSUER}/mcp/none` }, {}],
    ['a key that nobody knows', {}, { kid: 'k9' }],
    ['a key of the client’s that it did not prove', { cnf: { jkt: 'A'.repeat(43) } }, {}],
  ])('EXT-02: %s is 400 invalid_grant, and nothing is stored', async (_, claims, header) => {
    const { house } = open()
    const answer = await present(house, await assertion(house, claims, header))
    expect([answer.status, await errorOf(answer)]).toEqual([400, 'invalid_grant'])
    expect(await house.store.count('user', 'default')).toBe(0)
    expect(await house.store.count('spent', 'default')).toBe(0)
  })

  it('EXT-02: a signature by another key is invalid_grant', async () => {
    const { house } = open()
    const other = await generateKeyPair('ES256')
    const jwk = { ...(await exportJWK(other.publicKey)), kid: 'k1', alg: 'ES256' }
    const foreign = open({ jwks: async () => ({ keys: [jwk] }) })
    const jwt = await assertion(house)
    expect(await errorOf(await present(foreign.house, jwt))).toBe('invalid_grant')
    expect(await errorOf(await present(house, 'not.a.jwt'))).toBe('invalid_grant')
  })

  it('EXT-02: a jti is used once, on any node', async () => {
    const store = createMemoryStore()
    const [one, two] = [open({ store }), open({ store })]
    const jwt = await assertion(one.house)
    expect((await present(one.house, jwt)).status).toBe(200)
    for (const { house } of [one, two]) {
      expect(await errorOf(await present(house, jwt))).toBe('invalid_grant')
    }
    const fresh = await assertion(one.house)
    const both = await Promise.all([present(one.house, fresh), present(two.house, fresh)])
    expect(both.map(({ status }) => status).toSorted()).toEqual([200, 400])
  })

  it('EXT-02: the issuer’s policy binds clients and resources; a request cannot name another', async () => {
    const clients = open({ trusted: { clientIds: ['other'] } })
    const resources = open({ trusted: { resources: [MAIL] } })
    for (const { house } of [clients, resources]) {
      expect(await errorOf(await present(house, await assertion(house)))).toBe('invalid_grant')
    }
    const { house } = open()
    const answer = await present(house, await assertion(house), { resource: MAIL })
    expect(await errorOf(answer)).toBe('invalid_grant')
    const narrowed = open({ client: { resources: [MAIL] } })
    expect(await errorOf(await present(narrowed.house, await assertion(narrowed.house)))).toBe(
      'invalid_grant',
    )
  })

  it('EXT-02: who may not sign in may not be asserted: allow, a disabled person', async () => {
    const closed = open({ config: { allow: { emailDomains: ['other.example'] } } })
    expect(await errorOf(await present(closed.house, await assertion(closed.house)))).toBe(
      'invalid_grant',
    )
    const unverified = open({ config: { allow: { emailDomains: ['corp.example'] } } })
    const loose = await assertion(unverified.house, { email_verified: undefined })
    expect(await errorOf(await present(unverified.house, loose))).toBe('invalid_grant')
    const { house } = open({ config: { allow: { emailDomains: ['corp.example'] } } })
    expect((await present(house, await assertion(house))).status).toBe(200)
    const user = await userIn(house, '2001')
    if (user === undefined) throw new Error('nobody was made')
    await house.store.put('user', user.key, user.version, { ...user.value, state: 'disabled' })
    expect(await errorOf(await present(house, await assertion(house)))).toBe('invalid_grant')
  })

  it('EXT-02: a person who was deleted comes back as a new one', async () => {
    const { house } = open()
    const first = (await (await present(house, await assertion(house))).json()) as Tokens
    const user = await userIn(house, '2001')
    if (user === undefined) throw new Error('nobody was made')
    house.runtime.advanceMs(1_000)
    await house.store.commit([await tombstoneStep(house.deps, user.key.id)])
    house.runtime.advanceMs(1_000)
    const second = (await (await present(house, await assertion(house))).json()) as Tokens
    expect(claimsOf(second.access_token).sub).not.toBe(claimsOf(first.access_token).sub)
  })

  it('EXT-02: a refused assertion is not used up', async () => {
    const closed = open({ config: { allow: { emailDomains: ['other.example'] } } })
    await present(closed.house, await assertion(closed.house))
    expect(await closed.house.store.count('spent', 'default')).toBe(0)
  })

  it('EXT-02 VAL-14: keys come from memory; an unknown key asks for the set once', async () => {
    const { house, asked } = open({ jwks: async () => ({ keys: [] }) })
    expect((await present(house, await assertion(house))).status).toBe(200)
    expect(asked).toEqual({ keys: 1, again: 1 })
    const dead = open({
      jwks: async () => {
        throw new UpstreamError('ERR_UPSTREAM_TIMEOUT', { operation: 'jwks', origin: IDP })
      },
    })
    const answer = await present(dead.house, await assertion(dead.house))
    expect([answer.status, answer.headers.has('retry-after')]).toEqual([503, true])
  })

  it('EXT-01: a public client, one without the grant type, and a house without id-jag refuse', async () => {
    const publicClient = open({ client: { secret: undefined } })
    const jwt = await assertion(publicClient.house)
    const form = { grant_type: GRANT, client_id: 'app', assertion: jwt }
    expect(await errorOf(await token(publicClient.house, form))).toBe('unauthorized_client')
    const without = open({ client: { grants: ['client_credentials'] } })
    expect(await errorOf(await present(without.house, jwt))).toBe('unauthorized_client')
    const off = open({ config: { enable: [] } })
    expect(await errorOf(await present(off.house, jwt))).toBe('unsupported_grant_type')
  })
})

/** An identity provider of its own process: discovery and keys over a socket, counted. */
async function startIdp() {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    const issuer = `http://127.0.0.1:${port}`
    const documents: Readonly<Record<string, unknown>> = {
      '/.well-known/openid-configuration': {
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/keys`,
      },
      '/keys': keys.jwks,
    }
    const body = documents[request.url ?? '']
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body ?? {}))
  })
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { issuer: `http://127.0.0.1:${port}`, asked }
}

describe('identity assertions over the whole house', () => {
  it('EXT-01 EXT-02 EXT-03: keys are warm before the first assertion, and its token reaches the server behind', async () => {
    const idp = await startIdp()
    const plane = await openPlane({
      provider: 'github',
      clock: 'real',
      config: {
        enable: ['id-jag'],
        assertionIssuers: [{ issuer: idp.issuer }],
        clients: { app: { secret: SECRET, grants: [GRANT] } },
      },
    })
    await expect.poll(() => idp.asked).toContain('/keys')
    const warm = idp.asked.length
    const now = Math.floor(Date.now() / 1000)
    const jwt = await keys.sign(
      new SignJWT({
        iss: idp.issuer,
        sub: '2001',
        aud: plane.issuer,
        client_id: 'app',
        jti: 'once',
        iat: now,
        exp: now + 300,
        resource: plane.resource,
      }).setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'oauth-id-jag+jwt' }),
    )
    const ask = () =>
      fetch(`${plane.issuer}/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: GRANT,
          client_id: 'app',
          client_secret: SECRET,
          assertion: jwt,
        }),
      })
    const answer = await ask()
    expect(answer.status).toBe(200)
    const { access_token: accessToken } = (await answer.json()) as Tokens
    expect((await plane.call({ accessToken })).status).toBe(200)
    expect((await ask()).status).toBe(400)
    expect(idp.asked.length).toBe(warm)
  })
})
