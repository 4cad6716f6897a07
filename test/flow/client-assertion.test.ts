import { type JWTPayload, SignJWT } from 'jose'
import { describe, expect, it } from 'vitest'
import type { Config } from '../../src/config.ts'
import { Secret } from '../../src/secret.ts'
import { APP, asserted, createClientKey, documentOf, openClientHouse } from './client-house.ts'
import {
  errorOf,
  ISSUER,
  redeem,
  refresh,
  register,
  signIn,
  type TestHouse,
  type Tokens,
  token,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const JWKS_URI = 'https://app.example/jwks.json'

async function withStatic(rest: Partial<Config['clients'][number]>) {
  const client = { clientId: 'portal', redirectUris: [WEB_REDIRECT], ...rest }
  return openClientHouse({ config: { clients: [client] } })
}

async function tokensFor(house: TestHouse, clientId: string, proof: Record<string, string>) {
  const { code = '' } = await signIn(house, new Visitor(house), clientId)
  const answer = await redeem(house, clientId, code, proof)
  if (answer.status !== 200) throw new Error(await answer.text())
  return (await answer.json()) as Tokens
}

const refusals = (house: TestHouse) =>
  house.emit.eventsOf('token.refused').map(({ reason }) => reason)

describe('private_key_jwt at the token endpoint', () => {
  it('TOK-05 AS-07: a static, a registered and a document client each get tokens with it', async () => {
    const key = await createClientKey()
    const fixed = await withStatic({ jwks: key.jwks })
    const first = await tokensFor(
      fixed.house,
      'portal',
      asserted(await key.assert(fixed.house, 'portal')),
    )
    expect(first.access_token).toMatch(/./)
    const open = await openClientHouse()
    const { client_id } = await register(open.house, {
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: key.jwks,
    })
    const proof = asserted(await key.assert(open.house, client_id))
    expect((await tokensFor(open.house, client_id, proof)).access_token).toMatch(/./)
    open.web.pages.set(
      APP,
      documentOf(APP, { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: JWKS_URI }),
    )
    open.web.pages.set(JWKS_URI, { body: key.jwks })
    const published = asserted(await key.assert(open.house, APP))
    expect((await tokensFor(open.house, APP, published)).access_token).toMatch(/./)
  })

  it('TOK-05: client_id may be left out, and must agree where it stands', async () => {
    const key = await createClientKey()
    const { house } = await withStatic({ jwks: key.jwks })
    const tokens = await tokensFor(house, 'portal', asserted(await key.assert(house, 'portal')))
    const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }
    const good = await token(house, { ...form, ...asserted(await key.assert(house, 'portal')) })
    expect(good.status).toBe(200)
    const other = await token(house, {
      ...form,
      client_id: 'somebody',
      ...asserted(await key.assert(house, 'portal')),
    })
    expect([other.status, await errorOf(other)]).toEqual([401, 'invalid_client'])
  })

  it('A23 TOK-05: a second use is refused, on this node and on another', async () => {
    const key = await createClientKey()
    const { house, again } = await withStatic({ jwks: key.jwks })
    const proof = asserted(await key.assert(house, 'portal'))
    const tokens = await tokensFor(house, 'portal', proof)
    const form = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }
    const second = await token(house, { ...form, ...proof })
    expect([second.status, await errorOf(second)]).toEqual([401, 'invalid_client'])
    const elsewhere = (await again()).house
    expect((await token(elsewhere, { ...form, ...proof })).status).toBe(401)
    expect(refusals(house)).toEqual(['assertion_replayed'])
    const racing = asserted(await key.assert(house, 'portal'))
    const race = await Promise.all([
      token(house, { ...form, ...racing }),
      token(house, { ...form, ...racing }),
    ])
    expect(race.map(({ status }) => status).toSorted()).toEqual([200, 401])
  })

  it('A23 TOK-05: made for another audience, subject, time or algorithm, it is invalid_client', async () => {
    const key = await createClientKey()
    const { house, runtime } = await withStatic({ jwks: key.jwks })
    const seconds = Math.floor(runtime.nowMs() / 1000)
    const bad = [
      { aud: [ISSUER] },
      { aud: `${ISSUER}/token` },
      { aud: 'https://other.example' },
      { iss: 'other' },
      { sub: 'other' },
      { exp: seconds - 61 },
      { exp: seconds + 3_600 },
      { jti: undefined },
    ]
    const form = { grant_type: 'refresh_token', refresh_token: 'ptr_x', client_id: 'portal' }
    for (const rest of bad) {
      const answer = await token(house, {
        ...form,
        ...asserted(await key.assert(house, 'portal', rest as JWTPayload)),
      })
      expect([answer.status, await errorOf(answer)], JSON.stringify(rest)).toEqual([
        401,
        'invalid_client',
      ])
    }
    const hmac = await new SignJWT({
      iss: 'portal',
      sub: 'portal',
      aud: ISSUER,
      exp: seconds + 60,
      jti: 'x',
    })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(new TextEncoder().encode(JSON.stringify(key.jwk)))
    for (const text of [hmac, `${hmac.slice(0, hmac.lastIndexOf('.'))}.`, 'x', '']) {
      expect((await token(house, { ...form, ...asserted(text) })).status).toBe(401)
    }
    const wrongType = {
      client_assertion: await key.assert(house, 'portal'),
      client_assertion_type: 'x',
    }
    expect((await token(house, { ...form, ...wrongType })).status).toBe(401)
    const stranger = await createClientKey()
    const forged = asserted(await stranger.assert(house, 'portal'))
    expect((await token(house, { ...form, ...forged })).status).toBe(401)
  })

  it('VAL-14 TOK-05: a published set is fetched once, again for an unknown kid at most every 30 s', async () => {
    const [first, second] = await Promise.all([createClientKey('a'), createClientKey('b')])
    const { house, web, runtime } = await withStatic({ jwksUri: JWKS_URI })
    web.pages.set(JWKS_URI, { body: first.jwks })
    const form = { grant_type: 'refresh_token', refresh_token: 'ptr_x' }
    const ask = async (key: typeof first) =>
      errorOf(await token(house, { ...form, ...asserted(await key.assert(house, 'portal')) }))
    for (let index = 0; index < 5; index += 1) expect(await ask(first)).toBe('invalid_grant')
    expect(web.asked).toHaveLength(1)
    web.pages.set(JWKS_URI, { body: { keys: [first.jwk, second.jwk] } })
    expect(await ask(second)).toBe('invalid_grant')
    expect(web.asked).toHaveLength(2)
    for (let index = 0; index < 20; index += 1) {
      expect(await ask(await createClientKey(`random-${index}`))).toBe('invalid_client')
    }
    expect(web.asked).toHaveLength(2)
    await runtime.elapseMs(30_001)
    expect(await ask(await createClientKey('later'))).toBe('invalid_client')
    expect(web.asked).toHaveLength(3)
    web.pages.set(JWKS_URI, 'down')
    await runtime.elapseMs(30_001)
    expect(await ask(await createClientKey('later'))).toBe('invalid_client')
    expect(await ask(first)).toBe('invalid_grant')
  })

  it('a set that cannot be had is 503, never invalid_client', async () => {
    const key = await createClientKey()
    const { house, web } = await withStatic({ jwksUri: JWKS_URI })
    for (const page of ['down', { status: 500 }, { body: '{}' }, { body: { keys: [] } }] as const) {
      web.pages.set(JWKS_URI, page)
      const answer = await token(house, {
        grant_type: 'refresh_token',
        refresh_token: 'ptr_x',
        ...asserted(await key.assert(house, 'portal')),
      })
      expect(answer.status).toBe(503)
      expect(answer.headers.get('retry-after')).toBe('10')
    }
  })

  it('SEC-16: wrong assertions are counted per client and network, and hurt nobody else', async () => {
    const key = await createClientKey()
    const wrong = await createClientKey()
    const { house } = await withStatic({ jwks: key.jwks })
    const ask = async (proof: string, address: string) =>
      (
        await token(
          house,
          { grant_type: 'refresh_token', refresh_token: 'ptr_x', ...asserted(proof) },
          { 'x-test-address': address },
        )
      ).status
    const bad = await wrong.assert(house, 'portal')
    for (let index = 0; index < 60; index += 1) expect(await ask(bad, '192.0.2.1')).toBe(401)
    expect(await ask(bad, '192.0.2.1')).toBe(429)
    expect(await ask(await key.assert(house, 'portal'), '192.0.2.2')).toBe(400)
  })
})

describe('A24', () => {
  const SECRET = 'a-secret-of-the-operator'

  it('A24 TOK-02: six registered methods against six presented ones: the registered one and no other', async () => {
    const key = await createClientKey()
    const clients = [
      { clientId: 'static-secret', redirectUris: [WEB_REDIRECT], secret: new Secret(SECRET) },
      { clientId: 'static-keys', redirectUris: [WEB_REDIRECT], jwks: key.jwks },
    ]
    const { house } = await openClientHouse({ config: { clients } })
    const made = async (method: string) =>
      register(house, {
        token_endpoint_auth_method: method,
        ...(method === 'private_key_jwt' ? { jwks: key.jwks } : {}),
      })
    const registered: Record<string, { id: string; secret: string; accepts: readonly string[] }> =
      {}
    for (const method of ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt']) {
      const { client_id, client_secret = 'none-given' } = await made(method)
      registered[method] = { id: client_id, secret: client_secret, accepts: [method] }
    }
    // The operator gives a secret, not a method.
    registered['static secret'] = {
      id: 'static-secret',
      secret: SECRET,
      accepts: ['client_secret_basic', 'client_secret_post'],
    }
    registered['static keys'] = { id: 'static-keys', secret: SECRET, accepts: ['private_key_jwt'] }

    const form = { grant_type: 'refresh_token', refresh_token: 'ptr_x' }
    const basic = (id: string, secret: string) => ({
      authorization: `Basic ${btoa(`${id}:${secret}`)}`,
    })
    type Present = (id: string, secret: string) => Promise<Response>
    const presented: Record<string, Present> = {
      none: (id) => token(house, { ...form, client_id: id }),
      client_secret_basic: (id, secret) => token(house, form, basic(id, secret)),
      client_secret_post: (id, secret) =>
        token(house, { ...form, client_id: id, client_secret: secret }),
      private_key_jwt: async (id) =>
        token(house, { ...form, ...asserted(await key.assert(house, id)) }),
      client_secret_jwt: async (id, secret) => {
        const seconds = Math.floor(house.runtime.nowMs() / 1000)
        const claims = { iss: id, sub: id, aud: house.issuer, exp: seconds + 60, jti: id }
        const jwt = await new SignJWT(claims)
          .setProtectedHeader({ alg: 'HS256' })
          .sign(new TextEncoder().encode(secret.padEnd(32, '0')))
        return token(house, { ...form, ...asserted(jwt) })
      },
      'two at once': (id, secret) =>
        token(house, { ...form, client_id: id, client_secret: secret }, basic(id, secret)),
    }
    const seen: Record<string, string> = {}
    for (const [mine, { id, secret, accepts }] of Object.entries(registered)) {
      for (const [theirs, present] of Object.entries(presented)) {
        const error = await errorOf(await present(id, secret))
        const expected =
          theirs === 'two at once'
            ? 'invalid_request'
            : accepts.includes(theirs)
              ? // Authenticated: it is the refresh token that is wrong.
                'invalid_grant'
              : 'invalid_client'
        expect(error, `${mine} presented as ${theirs}`).toBe(expected)
        seen[`${mine}/${theirs}`] = error
      }
    }
    expect(Object.keys(seen)).toHaveLength(36)
  })

  it('A24: a refresh token of a confidential client is worth nothing without its method', async () => {
    const key = await createClientKey()
    const { house } = await withStatic({ jwks: key.jwks })
    const tokens = await tokensFor(house, 'portal', asserted(await key.assert(house, 'portal')))
    expect((await refresh(house, 'portal', tokens.refresh_token)).status).toBe(401)
    const proof = asserted(await key.assert(house, 'portal'))
    expect((await refresh(house, 'portal', tokens.refresh_token, proof)).status).toBe(200)
  })

  it('A18 SEC-16: key sets of strangers do not turn us into a flood against one host', async () => {
    const { house, web } = await openClientHouse({
      limits: { registrationsPerMinuteMax: 1_000 },
    })
    const key = await createClientKey()
    const statuses: number[] = []
    const clients: string[] = []
    for (let index = 0; index < 70; index += 1) {
      const uri = `https://victim.example/keys/${index}`
      web.pages.set(uri, { body: key.jwks })
      const metadata = { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: uri }
      clients.push((await register(house, metadata)).client_id)
    }
    const ask = async (clientId: string) => {
      const proof = asserted(await key.assert(house, clientId))
      return token(house, { grant_type: 'refresh_token', refresh_token: 'ptr_x', ...proof })
    }
    for (const clientId of clients) statuses.push((await ask(clientId)).status)
    expect(web.asked).toHaveLength(60)
    expect(statuses).toEqual([...Array(60).fill(400), ...Array(10).fill(503)])
    // What is at hand goes on, and a minute later so do the others.
    expect((await ask(clients[0] ?? '')).status).toBe(400)
    house.runtime.advanceMs(61_000)
    expect((await ask(clients[69] ?? '')).status).toBe(400)
  })
})
