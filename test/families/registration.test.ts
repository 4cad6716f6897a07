/** Bad input at `/register`, at its management address and in client documents (threats.md section 4). */
import { describe, expect, it } from 'vitest'
import { authorizeUrl, Visitor, WEB_REDIRECT } from '../flow/sign-in-house.ts'
import { checkFamily, countOf, createDraw } from '../kit/family.ts'
import { type FamilyHouse, openFamilyHouse, type Seen } from '../kit/family-house.ts'
import { badSchemes, hostileJson, markup, nearMisses, ODD_VALUES } from '../kit/hostile.ts'

const APP = 'https://app.example/client.json'
const ERRORS = ['invalid_redirect_uri', 'invalid_client_metadata', 'invalid_request']
const GOOD = {
  client_name: 'Claude',
  redirect_uris: [WEB_REDIRECT],
  token_endpoint_auth_method: 'none',
}
/** What an answer of these doors may hold (RFC 7591 section 3.2.1). */
const LISTED = [
  'client_id',
  'client_secret',
  'client_id_issued_at',
  'client_secret_expires_at',
  'registration_access_token',
  'registration_client_uri',
  'client_name',
  'client_uri',
  'redirect_uris',
  'grant_types',
  'response_types',
  'token_endpoint_auth_method',
  'application_type',
  'scope',
  'jwks',
  'jwks_uri',
]

interface Registered {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readonly<Record<string, unknown>>
}

const MORE_GRANTS = ['authorization_code', 'implicit', 'password', 'client_credentials']
const MORE_TYPES = ['code', 'token', 'code id_token']
const JSON_TYPE = { 'content-type': 'application/json' }

/** A registration whose tokens are known, and so are canaries from then on. */
async function registerOne(house: FamilyHouse, rest: object = {}): Promise<Registered> {
  const answer = await house.fetch(
    new Request('https://auth.example/register', {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ ...GOOD, ...rest }),
    }),
  )
  const body = (await answer.json()) as Record<string, unknown>
  const authorization = `Bearer ${String(body['registration_access_token'])}`
  const { pathname } = new URL(String(body['registration_client_uri']))
  return { path: pathname, headers: { ...JSON_TYPE, authorization }, body }
}

/** The answer to an owner holds the owner's own secrets, so it is not searched for them. */
async function put(house: FamilyHouse, one: Registered, body: BodyInit): Promise<Seen> {
  const url = `https://auth.example${one.path}`
  const answer = await house.fetch(new Request(url, { method: 'PUT', headers: one.headers, body }))
  const text = await answer.text()
  expect(answer.status, text).toBeLessThan(500)
  const json = (): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>
  const error = answer.ok ? undefined : String(json()['error'])
  return { status: answer.status, headers: answer.headers, text, json, error, location: undefined }
}

/** Refused with a word of RFC 7591, or stored without anything that nobody listed. */
function expectListed(seen: Seen): void {
  if (seen.status >= 400) {
    expect([400, 401, 413, 415]).toContain(seen.status)
    expect(ERRORS).toContain(seen.error)
    return
  }
  const body = seen.json()
  for (const name of Object.keys(body)) expect(LISTED).toContain(name)
  for (const uri of body['redirect_uris'] as string[]) expectSafe(uri)
  for (const grant of body['grant_types'] as string[])
    expect(['authorization_code', 'refresh_token']).toContain(grant)
  expect(body['response_types'] ?? ['code']).toEqual(['code'])
  const methods = ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt']
  expect(methods).toContain(body['token_endpoint_auth_method'])
}

/** Independent of the code under test: what a browser would make of it. */
function expectSafe(uri: string): void {
  const url = new URL(uri)
  expect(url.href).toBe(uri)
  expect([url.protocol, url.username, url.password, url.hash]).toEqual(['https:', '', '', ''])
  expect(uri).not.toMatch(/[*\\]/)
}

/** Every address on a page: ours, or https in whole. */
function expectSafeLinks(page: string): void {
  for (const [, link = ''] of page.matchAll(/(?:href|src|action|formaction)="([^"]*)"/gi))
    expect(link).toMatch(/^(?:\/(?!\/)|#|https:\/\/)/)
}

const asText = (body: unknown): string => JSON.stringify(body)

describe('registration', () => {
  it('B1: redirect URIs of a registration and of a PUT are what they say, or refused', async () => {
    const house = await openFamilyHouse()
    const one = await registerOne(house)
    const uris = nearMisses(WEB_REDIRECT, countOf(400))
    await checkFamily('B1 /register', uris, async (uri) => {
      const body = asText({ ...GOOD, redirect_uris: [uri] })
      expectListed(await house.post('/register', body, JSON_TYPE))
      expectListed(await put(house, one, asText({ ...GOOD, ...idOf(one), redirect_uris: [uri] })))
    })
    await house.finish()
  })

  it('A5 A15 B2: a dangerous scheme is refused as redirect URI, and never a link of the consent page', async () => {
    const house = await openFamilyHouse()
    const one = await registerOne(house)
    const schemes = badSchemes(countOf(120))
    await checkFamily('B2', schemes, async (uri) => {
      for (const redirect_uris of [[uri], [WEB_REDIRECT, uri]]) {
        const seen = await house.post('/register', asText({ ...GOOD, redirect_uris }), JSON_TYPE)
        expect([seen.status, seen.error]).toEqual([400, 'invalid_redirect_uri'])
        const changed = await put(house, one, asText({ ...GOOD, ...idOf(one), redirect_uris }))
        expect([changed.status, changed.error]).toEqual([400, 'invalid_redirect_uri'])
      }
      for (const member of ['client_uri', 'logo_uri', 'policy_uri', 'tos_uri', 'jwks_uri']) {
        const body = asText({ ...GOOD, [member]: uri })
        const seen = await house.post('/register', body, JSON_TYPE)
        expectListed(seen)
        if (seen.status >= 400) continue
        expect(seen.text.toLowerCase()).not.toContain(uri.trim().slice(0, 8).toLowerCase())
        const id = String(seen.json()['client_id'])
        const page = await new Visitor(house.kit).get(authorizeUrl(house.kit, id))
        expect(page.status).toBe(200)
        expectSafeLinks(await page.text())
      }
    })
    await house.finish()
  })

  it('A17 REG-22 B3: documents with odd members store nothing that is not listed, at both doors', async () => {
    const house = await openFamilyHouse()
    const one = await registerOne(house)
    const draw = createDraw()
    const members = [
      ...Object.keys(GOOD),
      'client_uri',
      'scope',
      'grant_types',
      'response_types',
      'application_type',
      'logo_uri',
      'jwks',
      'jwks_uri',
      'software_statement',
      'client_id',
      'client_secret',
      'admin',
      'verified',
      'tenant',
      'userId',
      'toString',
    ]
    const documents = Array.from({ length: countOf(300) }, (_, index) => {
      const odd = [
        ...ODD_VALUES,
        ['implicit', 'password'],
        ['token'],
        MORE_GRANTS,
        MORE_TYPES,
        'client_secret_jwt',
        'admin',
      ]
      const changed: Record<string, unknown> = index % 3 === 0 ? {} : { ...GOOD }
      for (let left = 1 + draw.whole(4); left > 0; left -= 1)
        changed[draw.pick(members)] = draw.pick(odd)
      return changed
    })
    const policy = [
      { ...GOOD, grant_types: MORE_GRANTS },
      { ...GOOD, response_types: MORE_TYPES },
      { ...GOOD, token_endpoint_auth_method: 'client_secret_jwt' },
    ]
    await checkFamily('B3', [...policy, ...documents], async (body) => {
      expectListed(await house.post('/register', asText(body), JSON_TYPE))
      const changed = await put(house, one, asText({ ...body, ...idOf(one) }))
      expectListed(changed)
    })
    await house.finish()
  })

  it('S6 B9: hostile JSON is refused or harmless at /register and PUT', async () => {
    const house = await openFamilyHouse()
    const one = await registerOne(house)
    const count = countOf(300)
    await checkFamily('B9 /register', hostileJson(GOOD, count), async (body) => {
      expectListed(await house.post('/register', new Uint8Array(body), JSON_TYPE))
    })
    await checkFamily('B9 PUT', hostileJson({ ...GOOD, ...idOf(one) }, count), async (body) =>
      expectListed(await put(house, one, new Uint8Array(body))),
    )
    await house.finish()
  })

  it('B26: nobody manages a registration with another token, id or method', async () => {
    const house = await openFamilyHouse()
    const one = await registerOne(house)
    const other = await registerOne(house)
    const tokens = ['', 'x', other.headers['authorization']?.slice(7) ?? '', 'a'.repeat(5_000)]
    for (const method of ['GET', 'PUT', 'DELETE']) {
      for (const token of tokens) {
        for (const path of [one.path, `${one.path}x`, '/register/cli_', '/register/..%2f']) {
          const body = method === 'PUT' ? asText({ ...GOOD, ...idOf(one) }) : undefined
          const headers = { ...JSON_TYPE, authorization: `Bearer ${token}` }
          const url = `https://auth.example${path}`
          const init = { method, headers, ...(body === undefined ? {} : { body }) }
          const seen = await house.ask(new Request(url, init))
          expect([path, method, seen.status >= 400]).toEqual([path, method, true])
        }
      }
    }
    expect((await put(house, one, asText({ ...GOOD, ...idOf(one) }))).status).toBe(200)
    await house.finish()
  })
})

function idOf({ body }: Registered): { client_id: string; client_secret?: string } {
  return { client_id: String(body['client_id']) }
}

describe('client documents', () => {
  const good = { ...GOOD, client_id: APP }
  let serial = 0

  /** A document of its own address, so that nothing remembered answers. */
  async function visit(house: FamilyHouse, body: unknown, clientId?: string): Promise<Seen> {
    serial += 1
    const id = clientId ?? `https://app${serial}.example/client.json`
    house.world.answers.set(id, () => ({ body }))
    const request = new Request(authorizeUrl(house.kit, id), { headers: { accept: 'text/html' } })
    const page = await house.ask(request, 'remote')
    house.world.answers.delete(id)
    return page
  }
  const nextId = (): string => `https://app${serial + 1}.example/client.json`

  it('A18 S6 B9 B3: a broken or odd document signs nobody in, and no member of it is believed', async () => {
    const house = await openFamilyHouse()
    const documents = hostileJson(good, countOf(300))
    await checkFamily('B9 document', documents, async (bytes) => {
      const text = Buffer.from(bytes).toString('latin1').replaceAll(APP, nextId())
      const page = await visit(house, new Uint8Array(Buffer.from(text, 'latin1')))
      expect(page.location).toBeUndefined()
      expect([200, 400, 503]).toContain(page.status)
      if (page.status === 200) expectSafeLinks(page.text)
    })
    await house.finish()
  })

  it('A18 A5 B1 B2: a document names its own address and safe redirect URIs, or is refused', async () => {
    const house = await openFamilyHouse()
    const count = countOf(400)
    await checkFamily('B1 client_id', nearMisses(APP, count), async (client_id) => {
      const page = await visit(house, { ...good, client_id }, nextId())
      expect([page.status, page.location]).toEqual([400, undefined])
    })
    await checkFamily('B2 document', badSchemes(countOf(120)), async (uri) => {
      const id = nextId()
      const bad = await visit(house, { ...good, client_id: id, redirect_uris: [uri] })
      expect([bad.status, bad.location]).toEqual([400, undefined])
      const other = nextId()
      const page = await visit(house, { ...good, client_id: other, client_uri: uri, logo_uri: uri })
      expect(page.location).toBeUndefined()
      expectSafeLinks(page.text)
    })
    await house.finish()
  })
})

it('B14: markup in a registration stays text, or is refused', async () => {
  const house = await openFamilyHouse()
  await checkFamily('B14', markup(countOf(200)), async (text) => {
    const body = asText({
      ...GOOD,
      client_name: text,
      client_uri: `https://client.example/${text}`,
    })
    const seen = await house.post('/register', body, JSON_TYPE)
    expectListed(seen)
    expect(seen.headers.get('content-type')).toMatch(/^application\/json/)
    expect(seen.headers.get('x-content-type-options')).toBe('nosniff')
  })
  await house.finish()
})
