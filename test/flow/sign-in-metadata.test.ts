import { describe, expect, it } from 'vitest'
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
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const at = (path: string, headers: Record<string, string> = {}) =>
  new Request(`${ISSUER}${path}`, { headers })

describe('metadata and keys', () => {
  it('AS-01 AS-02 AS-04..AS-08 AS-10 AS-12 AS-14: one document at each location, 404 elsewhere', async () => {
    const house = createTestIssuer()
    const texts = await Promise.all(
      ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'].map(
        async (path) => {
          const answer = await house.fetch(at(path))
          expect([answer.status, answer.headers.get('content-type')]).toEqual([
            200,
            'application/json',
          ])
          return answer.text()
        },
      ),
    )
    expect(texts[0]).toBe(texts[1])
    expect(JSON.parse(texts[0] ?? '')).toMatchObject({
      issuer: ISSUER,
      authorization_endpoint: `${ISSUER}/authorize`,
      token_endpoint: `${ISSUER}/token`,
      registration_endpoint: `${ISSUER}/register`,
      revocation_endpoint: `${ISSUER}/revoke`,
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
      scopes_supported: ['mcp', 'offline_access'],
    })
    expect((await house.fetch(at('/.well-known/oauth-authorization-server/unknown'))).status).toBe(
      404,
    )
    expect(
      (await house.fetch(at('/.well-known/oauth-protected-resource/mcp/unknown'))).status,
    ).toBe(404)
  })

  it('AS-01 AS-14: an issuer with a path has the inserted and appended forms, and no others', async () => {
    const house = createTestIssuer({ issuer: `${ISSUER}/t/acme` })
    for (const path of [
      '/.well-known/oauth-authorization-server/t/acme',
      '/.well-known/openid-configuration/t/acme',
      '/t/acme/.well-known/openid-configuration',
      '/t/acme/.well-known/jwks.json',
    ]) {
      expect((await house.fetch(at(path))).status, path).toBe(200)
    }
    expect((await house.fetch(at('/.well-known/oauth-authorization-server'))).status).toBe(404)
  })

  it('AS-13: every resource that the server lists names this server, and no other is listed', async () => {
    const house = createTestIssuer({ connectors: ['notes', 'tasks'] })
    const read = async (path: string) =>
      (await (await house.fetch(at(path))).json()) as Record<string, unknown>
    const { protected_resources: listed, issuer } = await read(
      '/.well-known/oauth-authorization-server',
    )
    expect(listed).toEqual([`${ISSUER}/mcp/notes`, `${ISSUER}/mcp/tasks`])
    for (const resource of listed as string[]) {
      const { pathname } = new URL(resource)
      expect(await read(`/.well-known/oauth-protected-resource${pathname}`)).toMatchObject({
        resource,
        authorization_servers: [issuer],
      })
    }
  })

  it('SEC-17: what nobody knows changes nothing at any endpoint', async () => {
    const house = createTestIssuer()
    const extra = { foo: 'bar', resource_hint: 'x', __proto__x: 'y' }
    const { client_id } = await register(house, extra)
    const { code = '', ...rest } = await signIn(house, new Visitor(house), client_id, extra)
    expect(rest).toEqual({ state: 'client-state', iss: ISSUER })
    const answer = await redeem(house, client_id, code, extra)
    const tokens = (await answer.json()) as { access_token: string; refresh_token: string }
    expect(Object.keys(tokens).sort()).toEqual([
      'access_token',
      'expires_in',
      'refresh_token',
      'scope',
      'token_type',
    ])
    const post = (path: string, form: Record<string, string>) =>
      house.fetch(
        new Request(`${ISSUER}${path}`, { method: 'POST', body: new URLSearchParams(form) }),
      )
    const { refresh_token: token } = tokens
    const refreshing = { grant_type: 'refresh_token', client_id, refresh_token: token, ...extra }
    expect((await post('/token', refreshing)).status).toBe(200)
    expect((await post('/revoke', { client_id, token, ...extra })).status).toBe(200)
    const document = '/.well-known/oauth-authorization-server'
    expect(await (await house.fetch(at(`${document}?foo=bar`))).text()).toBe(
      await (await house.fetch(at(document))).text(),
    )
  })

  it('SEC-04: what an endpoint for programs refuses is not stored either', async () => {
    const house = createTestIssuer({ config: { enable: ['pushed-requests'] } })
    for (const path of ['/token', '/register', '/revoke', '/introspect', '/par']) {
      const body = new URLSearchParams({ token: 'x' })
      const answer = await house.fetch(new Request(`${ISSUER}${path}`, { method: 'POST', body }))
      expect(answer.status, path).toBeGreaterThanOrEqual(400)
      expect(answer.headers.get('cache-control'), path).toBe('no-store')
    }
  })

  it('AS-10: with registration off the member is gone and POST is 404', async () => {
    const house = createTestIssuer({
      config: { registration: { dynamic: false, metadataDocuments: true, redirectHosts: [] } },
    })
    expect(
      await (await house.fetch(at('/.well-known/oauth-authorization-server'))).json(),
    ).not.toHaveProperty('registration_endpoint')
    expect(
      (await house.fetch(new Request(`${ISSUER}/register`, { method: 'POST', body: '{}' }))).status,
    ).toBe(404)
  })

  it('AS-15 AS-16 PR-06 SEC-14: cacheable, validated by a strong ETag, open to any origin without credentials', async () => {
    const house = createTestIssuer()
    const ages = {
      '/.well-known/oauth-authorization-server': 3600,
      '/.well-known/jwks.json': 300,
      '/.well-known/oauth-protected-resource/mcp/notes': 3600,
    }
    for (const [path, maxAge] of Object.entries(ages)) {
      const answer = await house.fetch(at(path, { origin: 'https://app.example' }))
      expect(answer.headers.get('cache-control')).toBe(`public, max-age=${maxAge}`)
      expect(answer.headers.get('access-control-allow-origin')).toBe('*')
      expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
      const etag = answer.headers.get('etag') ?? ''
      expect(etag).toMatch(/^"[\w-]+"$/)
      const again = await house.fetch(at(path, { 'if-none-match': `"other", W/${etag}` }))
      expect([again.status, await again.text()]).toEqual([304, ''])
    }
    const { keys } = (await (await house.fetch(at('/.well-known/jwks.json'))).json()) as {
      keys: Record<string, unknown>[]
    }
    for (const key of keys)
      expect(Object.keys(key).filter((name) => ['d', 'p', 'q', 'k'].includes(name))).toEqual([])
  })

  it('PR-01 PR-02 PR-03 PR-04 PR-05: one document per endpoint; at the root only when there is exactly one', async () => {
    const one = createTestIssuer()
    for (const path of [
      '/.well-known/oauth-protected-resource/mcp/notes',
      '/.well-known/oauth-protected-resource',
    ]) {
      expect(await (await one.fetch(at(path))).json()).toEqual({
        resource: NOTES,
        authorization_servers: [ISSUER],
        scopes_supported: ['mcp'],
        bearer_methods_supported: ['header'],
        resource_name: 'Notes',
      })
    }
    const two = createTestIssuer({ connectors: ['notes', 'tasks'] })
    expect((await two.fetch(at('/.well-known/oauth-protected-resource'))).status).toBe(404)
    expect(
      await (await two.fetch(at('/.well-known/oauth-protected-resource/mcp/tasks'))).json(),
    ).toMatchObject({ resource: `${ISSUER}/mcp/tasks` })
  })

  it('AS-03: issuer is byte-identical in metadata, tokens, answers and resource metadata', async () => {
    const house = createTestIssuer()
    const { client_id } = await register(house)
    const answer = await signIn(house, new Visitor(house), client_id)
    const tokens = (await (await redeem(house, client_id, answer.code ?? '')).json()) as {
      access_token: string
    }
    const server = (await (
      await house.fetch(at('/.well-known/oauth-authorization-server'))
    ).json()) as { issuer: string }
    const resource = (await (
      await house.fetch(at('/.well-known/oauth-protected-resource'))
    ).json()) as { authorization_servers: string[] }
    expect(
      new Set([
        ISSUER,
        answer.iss,
        claimsOf(tokens.access_token).iss,
        server.issuer,
        ...resource.authorization_servers,
      ]).size,
    ).toBe(1)
  })

  it('SEC-14: token, registration and revocation answer preflights of any origin without credentials', async () => {
    const house = createTestIssuer()
    for (const path of [
      '/token',
      '/register',
      '/revoke',
      '/.well-known/oauth-authorization-server',
    ]) {
      const answer = await house.fetch(
        new Request(`${ISSUER}${path}`, {
          method: 'OPTIONS',
          headers: { origin: 'https://app.example', 'access-control-request-method': 'POST' },
        }),
      )
      expect([
        answer.status,
        answer.headers.get('access-control-allow-origin'),
        answer.headers.get('access-control-allow-credentials'),
      ]).toEqual([204, '*', null])
    }
  })

  it('handles names our paths and no others', () => {
    const { routes } = createTestIssuer()
    for (const path of [
      '/',
      '/authorize',
      '/token',
      '/callback/github',
      '/.well-known/jwks.json',
      '/.well-known/oauth-protected-resource/x',
    ])
      expect(routes.handles(path), path).toBe(true)
    for (const path of ['/mcp/notes', '/healthz', '/callback/nobody', '/authorize/x'])
      expect(routes.handles(path), path).toBe(false)
  })
})

describe('registration', () => {
  const send = (
    house: ReturnType<typeof createTestIssuer>,
    body: unknown,
    headers: Record<string, string> = {},
  ) =>
    house.fetch(
      new Request(`${ISSUER}/register`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    )

  it('REG-19 REG-23 REG-24 SEC-04 A17: 201 with what was stored; a secret only for secret-based methods', async () => {
    const house = createTestIssuer()
    const answer = await send(house, {
      redirect_uris: [WEB_REDIRECT],
      client_name: 'X',
      jwks_uri: 'https://x.example',
      admin: true,
      grant_types: ['authorization_code', 'implicit', 'refresh_token'],
    })
    expect(answer.status).toBe(201)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const body = (await answer.json()) as Record<string, unknown>
    expect(body).toEqual({
      client_id: expect.stringMatching(/^cli_[0-9a-z]{26}$/),
      client_id_issued_at: expect.any(Number),
      client_secret: expect.stringMatching(/^[\w-]{43}$/),
      client_secret_expires_at: 0,
      registration_access_token: expect.stringMatching(/^[\w-]{43}$/),
      registration_client_uri: `${ISSUER}/register/${String(body.client_id)}`,
      client_name: 'X',
      redirect_uris: [WEB_REDIRECT],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
      application_type: 'web',
    })
    const open = (await (
      await send(house, { redirect_uris: [WEB_REDIRECT], token_endpoint_auth_method: 'none' })
    ).json()) as object
    expect(open).not.toHaveProperty('client_secret')
    const [row] = await house.store.list('client', 'default', undefined, { max: 5 })
    expect(JSON.stringify(row)).not.toContain(String(body.client_secret))
  })

  it('REG-20 REG-21 REG-22 REG-25: each bad document has its code, and nothing is stored', async () => {
    const house = createTestIssuer()
    const cases: [unknown, string][] = [
      [{}, 'invalid_redirect_uri'],
      [{ redirect_uris: [] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['http://client.example/cb'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['javascript:alert(1)'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['https://u:p@client.example/cb'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['https://*.example/cb'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['unknown-app://cb'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['http://localhost/cb'], application_type: 'web' }, 'invalid_redirect_uri'],
      [
        { redirect_uris: [WEB_REDIRECT], token_endpoint_auth_method: 'private_key_jwt' },
        'invalid_client_metadata',
      ],
      ['not json', 'invalid_client_metadata'],
      ['[]', 'invalid_client_metadata'],
    ]
    for (const [body, error] of cases) {
      const answer = await send(house, body)
      expect([answer.status, await errorOf(answer)], JSON.stringify(body)).toEqual([400, error])
    }
    expect(
      (await send(house, { redirect_uris: ['cursor://anysphere.cursor-retrieval/cb'] })).status,
    ).toBe(201)
    expect(await house.store.count('client', 'default')).toBe(1)
  })

  it('A16 SEC-16: rate per network, bounded table, bounded body; others are unaffected', async () => {
    const house = createTestIssuer({ limits: { registrationsPerMinuteMax: 3, registrationMax: 5 } })
    // Five clients that are used: nothing is left to end, so a sixth finds no room.
    const isUsed = async (response: Response) => {
      const { client_id } = (await response.json()) as { client_id: string }
      await signIn(house, new Visitor(house), client_id)
      await house.runtime.settle()
      return response
    }
    const body = { redirect_uris: [WEB_REDIRECT], token_endpoint_auth_method: 'none' }
    for (let count = 0; count < 3; count += 1)
      expect(
        (await isUsed(await send(house, body, { 'x-test-address': '192.0.2.1' }))).status,
      ).toBe(201)
    const refused = await send(house, body, { 'x-test-address': '::ffff:192.0.2.1' })
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    for (let count = 0; count < 2; count += 1)
      expect(
        (await isUsed(await send(house, body, { 'x-test-address': '192.0.2.2' }))).status,
      ).toBe(201)
    expect((await send(house, body, { 'x-test-address': '192.0.2.3' })).status).toBe(429)
    expect(
      (
        await send(
          house,
          { ...body, client_name: 'x'.repeat(17_000) },
          { 'x-test-address': '192.0.2.9' },
        )
      ).status,
    ).toBe(413)
    expect(house.emit.eventsOf('token.refused').map((event) => event.reason)).toEqual([
      'registration_rate',
      'registration_full',
      'registration_too_large',
    ])
    const [client] = await house.store.list('client', 'default', undefined, { max: 1 })
    expect((await new Visitor(house).get(authorizeUrl(house, client?.key.id ?? ''))).status).toBe(
      200,
    )
  })
})
