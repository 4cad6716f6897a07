/** Pushed authorization requests (RFC 9126) over the issuer in memory. */
import { describe, expect, it } from 'vitest'
import type { Capability } from '../../src/config/fields.ts'
import { Secret } from '../../src/secret.ts'
import {
  answerOf,
  authorizeUrl,
  createTestIssuer,
  errorOf,
  ISSUER,
  NOTES,
  redeem,
  register,
  type TestHouse,
  Visitor,
  WEB_REDIRECT,
} from './sign-in-house.ts'

const SECRET = 'a-secret-of-a-web-app-0123456789'

function open(enable: readonly Capability[] = ['pushed-requests']) {
  return createTestIssuer({
    config: {
      enable,
      clients: [
        { clientId: 'web', redirectUris: [WEB_REDIRECT], secret: new Secret(SECRET) },
        { clientId: 'open', redirectUris: [WEB_REDIRECT] },
      ],
    },
  })
}

function push(
  house: TestHouse,
  form: Record<string, string | undefined> = {},
  headers: Record<string, string> = {},
): Promise<Response> {
  const parameters = authorizeUrl(house, 'web', { client_secret: SECRET, ...form }).searchParams
  return house.fetch(
    new Request(`${ISSUER}/par`, {
      method: 'POST',
      body: new URLSearchParams(parameters),
      headers,
    }),
  )
}

async function pushed(house: TestHouse, form: Record<string, string | undefined> = {}) {
  const answer = await push(house, form)
  expect(answer.status).toBe(201)
  return (await answer.json()) as { request_uri: string; expires_in: number }
}

function visit(visitor: Visitor, clientId: string, requestUri: string): Promise<Response> {
  const query = new URLSearchParams({ client_id: clientId, request_uri: requestUri })
  return visitor.get(`/authorize?${query}`)
}

async function refusedPage(answer: Response): Promise<string> {
  expect([answer.status, answer.headers.get('location')]).toEqual([400, null])
  return answer.text()
}

describe('pushed authorization requests', () => {
  it('AZ-20 EXT-08: a whole sign-in: 201, a request_uri for 90 s, then a code for the same client', async () => {
    const house = open()
    const answer = await push(house)
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([201, 'no-store'])
    const body = (await answer.json()) as { request_uri: string; expires_in: number }
    expect(body.request_uri).toMatch(/^urn:ietf:params:oauth:request_uri:[\w-]{43}$/)
    expect(body.expires_in).toBe(90)
    const visitor = new Visitor(house)
    const page = await visit(visitor, 'web', body.request_uri)
    const toProvider = await visitor.press(page, 'allow:github')
    const back = answerOf(await visitor.comeBack(toProvider))
    expect(back).toMatchObject({ state: 'client-state', iss: ISSUER })
    const tokens = await redeem(house, 'web', back.code ?? '', { client_secret: SECRET })
    expect(await tokens.json()).toMatchObject({ token_type: 'Bearer', scope: 'mcp' })
  })

  it('AZ-20 EXT-08: a second use is a page with invalid_request_uri, never a redirect', async () => {
    const house = open()
    const { request_uri } = await pushed(house)
    expect((await visit(new Visitor(house), 'web', request_uri)).status).toBe(200)
    expect(await refusedPage(await visit(new Visitor(house), 'web', request_uri))).toContain(
      'invalid_request_uri',
    )
  })

  it('AZ-20 EXT-08: 20 visits at once, one of them gets the page', async () => {
    const house = open()
    const { request_uri } = await pushed(house)
    const visits = Array.from({ length: 20 }, () => visit(new Visitor(house), 'web', request_uri))
    const statuses = (await Promise.all(visits)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(1)
    expect(statuses.filter((status) => status === 400)).toHaveLength(19)
  })

  it('AZ-20 EXT-08: another client is refused, and does not use it up', async () => {
    const house = open()
    const { request_uri } = await pushed(house)
    expect(await refusedPage(await visit(new Visitor(house), 'open', request_uri))).toContain(
      'invalid_request_uri',
    )
    expect((await visit(new Visitor(house), 'web', request_uri)).status).toBe(200)
  })

  it('EXT-08: is gone after 90 s, and an invented one never was', async () => {
    const house = open()
    const { request_uri } = await pushed(house)
    house.runtime.advanceMs(90_000)
    expect(await refusedPage(await visit(new Visitor(house), 'web', request_uri))).toContain(
      'invalid_request_uri',
    )
    const invented = `urn:ietf:params:oauth:request_uri:${'x'.repeat(43)}`
    await refusedPage(await visit(new Visitor(house), 'web', invented))
  })

  it('AZ-20: what stands in the query beside it counts for nothing', async () => {
    const house = open()
    const { request_uri } = await pushed(house)
    const visitor = new Visitor(house)
    const query = { request_uri, state: 'other', redirect_uri: 'https://evil.example/', scope: 'x' }
    const page = await visitor.get(authorizeUrl(house, 'web', query))
    const toProvider = await visitor.press(page, 'allow:github')
    const back = await visitor.comeBack(toProvider)
    expect(back.headers.get('location')?.startsWith(`${WEB_REDIRECT}?`)).toBe(true)
    expect(answerOf(back).state).toBe('client-state')
  })

  it.each<[string, Record<string, string | undefined>, number, string]>([
    ['a wrong secret', { client_secret: 'wrong' }, 401, 'invalid_client'],
    ['no secret', { client_secret: undefined }, 401, 'invalid_client'],
    ['an unknown client', { client_id: 'nobody' }, 401, 'invalid_client'],
    ['a foreign redirect URI', { redirect_uri: 'https://evil.example/' }, 400, 'invalid_request'],
    ['another response type', { response_type: 'token' }, 400, 'unsupported_response_type'],
    ['no challenge', { code_challenge: undefined }, 400, 'invalid_request'],
    ['an unknown resource', { resource: `${NOTES}x` }, 400, 'invalid_target'],
    ['an unknown scope', { scope: 'x' }, 400, 'invalid_scope'],
    ['a request_uri', { request_uri: 'urn:x' }, 400, 'invalid_request'],
    ['a request object', { request: 'a.b.c' }, 400, 'request_not_supported'],
  ])(
    'AZ-20 EXT-08: %s is refused to the client itself, and nothing is kept',
    async (_, form, status, error) => {
      const house = open()
      const answer = await push(house, form)
      expect([answer.status, await errorOf(answer)]).toEqual([status, error])
      expect(await house.store.count('pushed', 'default')).toBe(0)
    },
  )

  it('AZ-20: a public client may push too; GET is 405; off it is 404 and not advertised', async () => {
    const house = open()
    const { client_id } = await register(house)
    await pushed(house, { client_id, client_secret: undefined })
    expect((await house.fetch(new Request(`${ISSUER}/par`))).status).toBe(405)
    expect((await push(open([]))).status).toBe(404)
  })

  it('EXT-08: the 121st push of a public client from one network is 429; others go on', async () => {
    const house = open()
    const from = { 'x-test-address': '203.0.113.7' }
    const form = { client_id: 'open', client_secret: undefined }
    const first = await Promise.all(Array.from({ length: 120 }, () => push(house, form, from)))
    expect(new Set(first.map(({ status }) => status))).toEqual(new Set([201]))
    const next = await push(house, form, from)
    expect([next.status, next.headers.has('retry-after')]).toEqual([429, true])
    expect((await push(house, form, { 'x-test-address': '198.51.100.7' })).status).toBe(201)
    expect((await push(house, {}, from)).status).toBe(201)
  })

  it('AZ-19: any other request_uri stays request_uri_not_supported', async () => {
    const house = open()
    for (const uri of ['https://client.example/request.jwt', 'urn:example:x']) {
      const answer = await new Visitor(house).get(authorizeUrl(house, 'web', { request_uri: uri }))
      expect(answerOf(answer).error, uri).toBe('request_uri_not_supported')
    }
  })

  it('EXT-08: only a digest of the request_uri is kept', async () => {
    const house = open()
    const { request_uri } = await pushed(house)
    const rows = await house.store.list('pushed', 'default', undefined, { max: 10 })
    expect(rows).toHaveLength(1)
    expect(JSON.stringify(rows)).not.toContain(request_uri.slice(-43))
  })
})
