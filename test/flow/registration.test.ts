import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createId } from '../../src/issuer/ids.ts'
import { isDocumentUrl } from '../../src/oauth/client-document.ts'
import { TENANT } from '../../src/records.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import { createClientKey } from './client-house.ts'
import {
  answerOf,
  authorizeUrl,
  createTestIssuer,
  errorOf,
  ISSUER,
  redeem,
  refresh,
  register,
  signIn,
  type TestHouse,
  tokensFor,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const DAY_MS = 86_400_000

interface Registered extends Record<string, unknown> {
  readonly client_id: string
  readonly client_secret?: string
  readonly registration_access_token: string
  readonly registration_client_uri: string
}

async function registered(house: TestHouse, metadata: Record<string, unknown> = {}) {
  return (await register(house, metadata)) as unknown as Registered
}

function manage(
  house: TestHouse,
  method: string,
  client: Pick<Registered, 'client_id' | 'registration_access_token'>,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return house.fetch(
    new Request(`${ISSUER}/register/${client.client_id}`, {
      method,
      headers: {
        authorization: `Bearer ${client.registration_access_token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }),
  )
}

const audits = async (house: TestHouse) =>
  (await house.store.list('audit', TENANT, undefined, { max: 1_000 })).map(({ value }) => value)

describe('dynamic registration', () => {
  it('REG-03: no identifier of ours can be taken for a document URL', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const id = createId(createTestRuntime({ seed }), 'cli')
        expect(id).toMatch(/^cli_[0-9a-hjkmnp-tv-z]{26}$/)
        expect(isDocumentUrl(id)).toBe(false)
      }),
    )
  })

  it('REG-01 REG-21: Cursor’s three redirect URIs are taken as a list, each judged on use', async () => {
    const house = createTestIssuer()
    const cursor = 'cursor://anysphere.cursor-retrieval/oauth/user-mcp/callback'
    const redirect_uris = [
      cursor,
      'https://www.cursor.com/agents/mcp/oauth/callback',
      'http://localhost:8787/callback',
    ]
    const { client_id } = await registered(house, { redirect_uris })
    const status = async (redirect_uri: string | undefined) =>
      (await new Visitor(house).get(authorizeUrl(house, client_id, { redirect_uri }))).status
    for (const uri of redirect_uris) expect(await status(uri), uri).toBe(200)
    expect(await status('http://localhost:9999/callback')).toBe(200)
    expect(await status('cursor://evil/callback')).toBe(400)
    expect(await status('https://www.cursor.com/other')).toBe(400)
    expect(await status(undefined)).toBe(400)
  })

  it('REG-22 A17: private_key_jwt registers with keys, and with exactly one source of them', async () => {
    const house = createTestIssuer()
    const key = await createClientKey()
    const method = { token_endpoint_auth_method: 'private_key_jwt' }
    const answer = await registered(house, {
      ...method,
      jwks: { keys: [{ ...key.jwk, x5u: 'x' }] },
    })
    expect(answer.jwks).toEqual({ keys: [key.jwk] })
    expect(answer).not.toHaveProperty('client_secret')
    const published = await registered(house, { ...method, jwks_uri: 'https://a.example/jwks' })
    expect(published.jwks_uri).toBe('https://a.example/jwks')
    for (const bad of [
      {},
      { jwks: key.jwks, jwks_uri: 'https://a.example/jwks' },
      { jwks: { keys: [] } },
      { jwks: { keys: [{ ...key.jwk, d: 'AAAA' }] } },
      { jwks: 'x' },
      { jwks_uri: 'http://a.example/jwks' },
      { jwks_uri: 'file:///etc/passwd' },
      { jwks_uri: ['https://a.example/jwks'] },
    ]) {
      await expect(registered(house, { ...method, ...bad }), JSON.stringify(bad)).rejects.toThrow(
        'invalid_client_metadata',
      )
    }
    // Keys of a client that does not use them are dropped like any other member.
    expect(await registered(house, { jwks: key.jwks })).not.toHaveProperty('jwks')
  })

  it('I12 A16: a registration and its audit row are one commit, and live as long as each other', async () => {
    const house = createTestIssuer()
    const { client_id } = await registered(house)
    const [audit] = await audits(house)
    expect(audit).toMatchObject({ event: 'client.registered', clientId: client_id })
    const row = await house.store.get('client', { tenant: TENANT, id: client_id })
    expect(audit?.expiresAtMs).toBe(row?.value.expiresAtMs)
    await signIn(house, new Visitor(house), client_id)
    await house.runtime.settle()
    const kept = (await audits(house)).find(({ event }) => event === 'client.registered')
    expect(kept?.expiresAtMs).toBe((audit?.atMs ?? 0) + 400 * DAY_MS)
  })

  it('REG-26: after 401 invalid_client the same client registers again and works', async () => {
    const house = createTestIssuer()
    const { client_id } = await registered(house)
    const tokens = await tokensFor(house, client_id)
    await house.runtime.settle()
    house.runtime.advanceMs(91 * DAY_MS)
    const answer = await refresh(house, client_id, tokens.refresh_token)
    expect([answer.status, await errorOf(answer)]).toEqual([401, 'invalid_client'])
    const again = await registered(house)
    expect(again.client_id).not.toBe(client_id)
    expect((await tokensFor(house, again.client_id)).access_token).toMatch(/./)
  })
})

describe('the bounded table', () => {
  it('A16: a full table ends the oldest that nobody used, never one that is used', async () => {
    const house = createTestIssuer({
      limits: { registrationMax: 4, registrationsPerMinuteMax: 1_000 },
    })
    const used = await registered(house)
    const tokens = await tokensFor(house, used.client_id)
    await house.runtime.settle()
    const unused: string[] = []
    for (let index = 0; index < 3; index += 1) {
      house.runtime.advanceMs(601_000)
      unused.push((await registered(house)).client_id)
    }
    const flood: string[] = []
    for (let index = 0; index < 20; index += 1) {
      house.runtime.advanceMs(1_000)
      flood.push((await registered(house)).client_id)
    }
    expect(await house.store.count('client', TENANT)).toBe(4)
    for (const id of unused) {
      expect(await house.store.get('client', { tenant: TENANT, id })).toBeUndefined()
    }
    // Oldest first: the newest three are there.
    for (const id of flood.slice(-3)) {
      expect(await house.store.get('client', { tenant: TENANT, id })).toBeDefined()
    }
    expect((await refresh(house, used.client_id, tokens.refresh_token)).status).toBe(200)
    expect(
      house.emit.eventsOf('client.ended').every(({ reason }) => reason === 'registration_room'),
    ).toBe(true)
    // The audit does not grow with the flood either: one row each for those that are left.
    const rows = (await audits(house)).filter(({ event }) => event === 'client.registered')
    expect(rows).toHaveLength(4)
  })

  it('A16: a flood locks out nobody: who registers amid it signs in', async () => {
    const house = createTestIssuer({
      limits: { registrationMax: 200, registrationsPerMinuteMax: 100_000 },
    })
    const flood = async (count: number) => {
      for (let index = 0; index < count; index += 1) {
        house.runtime.advanceMs(10)
        await registered(house)
      }
    }
    await flood(500)
    const honest = await registered(house)
    await flood(100)
    const { code = '' } = await signIn(house, new Visitor(house), honest.client_id)
    await house.runtime.settle()
    await flood(1_000)
    expect((await redeem(house, honest.client_id, code)).status).toBe(200)
    expect(await house.store.count('client', TENANT)).toBeLessThanOrEqual(200)
  })

  it('A16: a flood while somebody is at the provider does not end the app they allowed', async () => {
    const house = createTestIssuer({
      limits: { registrationMax: 50, registrationsPerMinuteMax: 100_000 },
    })
    const honest = await registered(house)
    const visitor = new Visitor(house)
    const page = await visitor.get(authorizeUrl(house, honest.client_id))
    const trip = await visitor.press(page, 'allow:github')
    await house.runtime.settle()
    for (let index = 0; index < 400; index += 1) {
      house.runtime.advanceMs(100)
      await registered(house)
    }
    const back = await visitor.comeBack(trip)
    expect(answerOf(back).code).toBeDefined()
    expect(await house.store.count('client', TENANT)).toBeLessThanOrEqual(50)
  })

  it('A16: who only presses Allow for ever does not fill the table for others', async () => {
    const house = createTestIssuer({
      limits: { registrationMax: 20, registrationsPerMinuteMax: 100_000 },
    })
    for (let index = 0; index < 60; index += 1) {
      const { client_id } = await registered(house)
      const visitor = new Visitor(house)
      await visitor.press(await visitor.get(authorizeUrl(house, client_id)), 'allow:github')
      await house.runtime.settle()
    }
    expect((await registered(house)).client_id).toMatch(/^cli_/)
    expect(await house.store.count('client', TENANT)).toBeLessThanOrEqual(20)
  })

  it('SEC-16: a network that registers too much waits; its clients that exist go on', async () => {
    const house = createTestIssuer({
      limits: { registrationsPerMinuteMax: 2 },
      address: '192.0.2.1',
    })
    const { client_id } = await registered(house)
    const tokens = await tokensFor(house, client_id)
    await registered(house)
    await expect(registered(house)).rejects.toThrow('429')
    expect((await refresh(house, client_id, tokens.refresh_token)).status).toBe(200)
    house.runtime.advanceMs(60_001)
    expect((await registered(house)).client_id).toMatch(/^cli_/)
  })
})

describe('registration management (RFC 7592)', () => {
  it('REG-28: GET is 200 with what was registered, and no secret', async () => {
    const house = createTestIssuer()
    const client = await registered(house, { token_endpoint_auth_method: 'client_secret_basic' })
    expect(client.registration_client_uri).toBe(`${ISSUER}/register/${client.client_id}`)
    const answer = await manage(house, 'GET', client)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const { client_secret, client_secret_expires_at, ...rest } = client
    expect(await answer.json()).toEqual(rest)
    const [row] = await house.store.list('client', TENANT, undefined, { max: 1 })
    expect(JSON.stringify(row)).not.toContain(client.registration_access_token)
  })

  it('REG-28: PUT is 200, replaces everything, and is judged like a registration', async () => {
    const house = createTestIssuer()
    const client = await registered(house, { client_uri: 'https://client.example', scope: 'mcp' })
    const next = {
      client_id: client.client_id,
      client_name: 'Renamed',
      redirect_uris: ['https://client.example/new'],
      token_endpoint_auth_method: 'none',
    }
    const answer = await manage(house, 'PUT', client, next)
    expect(answer.status).toBe(200)
    const body = (await answer.json()) as Registered
    expect(body).toMatchObject({ client_name: 'Renamed', redirect_uris: next.redirect_uris })
    expect(body).not.toHaveProperty('client_uri')
    expect(body).not.toHaveProperty('scope')
    expect(body.registration_access_token).toBe(client.registration_access_token)
    const old = await new Visitor(house).get(authorizeUrl(house, client.client_id))
    expect(old.status).toBe(400)
    const bad: [unknown, string][] = [
      [{ ...next, redirect_uris: ['javascript:alert(1)'] }, 'invalid_redirect_uri'],
      [{ ...next, client_id: 'cli_other' }, 'invalid_client_metadata'],
      [{ ...next, client_id: undefined }, 'invalid_client_metadata'],
      [{ ...next, registration_access_token: 'x' }, 'invalid_client_metadata'],
      [{ ...next, registration_client_uri: 'https://x.example' }, 'invalid_client_metadata'],
      [{ ...next, client_secret: 'chosen' }, 'invalid_client_metadata'],
      [[], 'invalid_client_metadata'],
    ]
    for (const [document, error] of bad) {
      const refused = await manage(house, 'PUT', client, document)
      expect([refused.status, await errorOf(refused)]).toEqual([400, error])
    }
    expect((await audits(house)).map(({ detail }) => detail)).toContain('updated')
  })

  it('REG-28 A24: PUT from public to confidential gives a secret, and back takes it away', async () => {
    const house = createTestIssuer()
    const client = await registered(house)
    const next = { client_id: client.client_id, redirect_uris: [WEB_REDIRECT] }
    const basic = { ...next, token_endpoint_auth_method: 'client_secret_post' }
    const given = (await (await manage(house, 'PUT', client, basic)).json()) as Registered
    expect(given.client_secret).toMatch(/^[\w-]{43}$/)
    const same = { ...basic, client_secret: given.client_secret }
    expect(await (await manage(house, 'PUT', client, same)).json()).not.toHaveProperty(
      'client_secret',
    )
    const secret = { client_secret: given.client_secret ?? '' }
    expect(await errorOf(await refresh(house, client.client_id, 'ptr_x'))).toBe('invalid_client')
    expect(await errorOf(await refresh(house, client.client_id, 'ptr_x', secret))).toBe(
      'invalid_grant',
    )
    await manage(house, 'PUT', client, { ...next, token_endpoint_auth_method: 'none' })
    expect(await errorOf(await refresh(house, client.client_id, 'ptr_x', secret))).toBe(
      'invalid_client',
    )
    expect(await errorOf(await refresh(house, client.client_id, 'ptr_x'))).toBe('invalid_grant')
  })

  it('REG-28: DELETE is 204 and ends the client, its grants and its tokens by one mark', async () => {
    const house = createTestIssuer()
    const client = await registered(house)
    const tokens = await tokensFor(house, client.client_id)
    const { code = '' } = await signIn(house, new Visitor(house), client.client_id)
    const other = await registered(house)
    const others = await tokensFor(house, other.client_id)
    await house.runtime.settle()
    const answer = await manage(house, 'DELETE', client)
    expect([answer.status, await answer.text()]).toEqual([204, ''])
    for (const refused of [
      await refresh(house, client.client_id, tokens.refresh_token),
      await redeem(house, client.client_id, code),
    ]) {
      expect([refused.status, await errorOf(refused)]).toEqual([401, 'invalid_client'])
    }
    const grants = await house.store.grants.list(
      TENANT,
      { name: 'clientId', value: client.client_id },
      { max: 10 },
    )
    expect(grants.map(({ state }) => state)).toEqual(['ended', 'ended'])
    const marks = house.marks.filter(({ kind }) => kind === 'client')
    expect(marks).toHaveLength(1)
    expect(marks[0]).toMatchObject({ id: client.client_id })
    expect(marks[0]?.issuedBeforeMs).toBeGreaterThan(house.runtime.nowMs())
    expect((await manage(house, 'GET', client)).status).toBe(401)
    expect((await manage(house, 'DELETE', client)).status).toBe(401)
    expect((await new Visitor(house).get(authorizeUrl(house, client.client_id))).status).toBe(400)
    expect((await refresh(house, other.client_id, others.refresh_token)).status).toBe(200)
    expect((await audits(house)).map(({ event }) => event)).toContain('client.ended')
    expect(house.emit.eventsOf('client.ended')).toHaveLength(1)
  })

  it('A16 D4 REG-28: changing and ending what nobody used leaves no mark, no duty and no row', async () => {
    const house = createTestIssuer()
    for (let round = 0; round < 5; round += 1) {
      const client = await registered(house)
      const next = {
        client_id: client.client_id,
        redirect_uris: [WEB_REDIRECT],
        token_endpoint_auth_method: 'none',
      }
      for (const client_name of ['One', 'Two'])
        expect((await manage(house, 'PUT', client, { ...next, client_name })).status).toBe(200)
      const [row, ...others] = await audits(house)
      expect(others).toEqual([])
      expect(row).toMatchObject({ event: 'client.registered', detail: 'updated' })
      expect(row?.expiresAtMs).toBe(house.runtime.nowMs() + DAY_MS)
      expect((await manage(house, 'DELETE', client)).status).toBe(204)
    }
    expect(house.marks).toEqual([])
    expect((await house.store.grants.revocationsSince(0, 10)).rows).toEqual([])
    for (const kind of ['audit', 'client', 'duty'] as const)
      expect(await house.store.count(kind, TENANT), kind).toBe(0)
    expect(house.emit.eventsOf('client.ended')).toHaveLength(5)
  })

  it('SEC-16: changes are limited as registrations are, per network; reading is not', async () => {
    const house = createTestIssuer({ limits: { registrationsPerMinuteMax: 3 } })
    const [client, other] = [await registered(house), await registered(house)]
    const next = {
      client_id: client.client_id,
      redirect_uris: [WEB_REDIRECT],
      token_endpoint_auth_method: 'none',
    }
    const here = { 'x-test-address': '203.0.113.9' }
    for (let round = 0; round < 3; round += 1)
      expect((await manage(house, 'PUT', client, next, here)).status).toBe(200)
    const limited = await manage(house, 'PUT', client, next, here)
    expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '60'])
    expect((await manage(house, 'DELETE', client, undefined, here)).status).toBe(429)
    expect((await manage(house, 'GET', client, undefined, here)).status).toBe(200)
    const there = { 'x-test-address': '203.0.113.10' }
    expect((await manage(house, 'DELETE', other, undefined, there)).status).toBe(204)
  })

  it('REG-28 A22: a wrong, missing or foreign token and an unknown client are one and the same 401', async () => {
    const house = createTestIssuer()
    const [client, other] = [await registered(house), await registered(house)]
    const expired = await registered(house)
    const token = client.registration_access_token
    const answers = [
      await manage(house, 'GET', { ...client, registration_access_token: 'x'.repeat(43) }),
      await manage(house, 'GET', {
        ...client,
        registration_access_token: other.registration_access_token,
      }),
      await manage(house, 'GET', { client_id: 'cli_unknown', registration_access_token: token }),
      await manage(house, 'DELETE', { client_id: 'portal', registration_access_token: token }),
      await manage(house, 'PUT', { ...client, registration_access_token: '' }, {}),
      await manage(house, 'GET', client, undefined, { authorization: `Basic ${token}` }),
      await house.fetch(new Request(`${ISSUER}/register/${client.client_id}`)),
    ]
    house.runtime.advanceMs(DAY_MS + 1)
    answers.push(await manage(house, 'GET', expired))
    const texts = new Set<string>()
    for (const answer of answers) {
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
      texts.add(await answer.text())
    }
    expect(texts.size).toBe(1)
  })

  it('REG-28: other methods are 405, and a house without registration has no such address', async () => {
    const house = createTestIssuer()
    const client = await registered(house)
    for (const method of ['POST', 'PATCH']) {
      const answer = await manage(house, method, client, {})
      expect([answer.status, answer.headers.get('allow')]).toEqual([
        405,
        'GET, PUT, DELETE, OPTIONS',
      ])
    }
    const asked = new Request(client.registration_client_uri, { method: 'OPTIONS' })
    const preflight = await house.fetch(asked)
    expect(preflight.headers.get('access-control-allow-methods')).toBe('GET, PUT, DELETE')
    expect(preflight.headers.get('access-control-allow-credentials')).toBeNull()
    const registration = { dynamic: false, metadataDocuments: true, redirectHosts: [] }
    const off = createTestIssuer({ config: { registration } })
    expect((await manage(off, 'GET', client)).status).toBe(404)
    expect(house.routes.handles(`/register/${client.client_id}`)).toBe(true)
  })

  it('REG-28: of two changes at once one is told to try again, nothing is lost', async () => {
    const house = createTestIssuer()
    const client = await registered(house)
    const next = (client_name: string) => ({
      client_id: client.client_id,
      client_name,
      redirect_uris: [WEB_REDIRECT],
      token_endpoint_auth_method: 'none',
    })
    const both = await Promise.all(
      ['One', 'Two'].map((name) => manage(house, 'PUT', client, next(name))),
    )
    expect(both.map(({ status }) => status).toSorted()).toEqual([200, 503])
  })
})
