/**
 * Each client of `hosted-clients.ts` plays its exact requests against our rooms, from registration or
 * document to refresh; then what several of them share: guessed endpoints, resources, CORS, HEAD.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Config } from '../../src/config.ts'
import { openPlane } from '../kit/plane.ts'
import { asserted, createClientKey, openClientHouse } from './client-house.ts'
import {
  CHATGPT_KEYS,
  CLAUDE_REGISTRATION,
  HOSTED_CLIENTS,
  type HostedClient,
} from './hosted-clients.ts'
import {
  answerOf,
  authorizeUrl,
  claimsOf,
  createTestIssuer,
  ISSUER,
  NOTES,
  refresh,
  register,
  type TestHouse,
  type Tokens,
  tokensFor,
  VERIFIER,
  Visitor,
} from './sign-in-house.ts'

const DAY_MS = 86_400_000
const FORM = 'application/x-www-form-urlencoded'

// Once: an RSA key takes longer than all the rest.
const chatGptKey = createClientKey('cimd-20260428030119', 'RS256')

/** A member without a value is absent: clients with strict readers fail on `null`. */
function withoutNull(text: string): unknown {
  return JSON.parse(text, (name, value: unknown) => {
    if (value === null) throw new Error(`${name} is null in ${text}`)
    return value
  })
}

async function jsonOf(answer: Response): Promise<Record<string, unknown>> {
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
  return withoutNull(await answer.text()) as Record<string, unknown>
}

function get(house: TestHouse, url: string, headers: Record<string, string> = {}) {
  return house.fetch(new Request(url, { headers }))
}

/** One client in one house, as its program behaves. */
class Played {
  readonly client: HostedClient
  readonly house: TestHouse
  readonly key: Awaited<ReturnType<typeof createClientKey>>
  clientId = ''
  secret: string | undefined
  server: Record<string, string> = {}

  constructor(client: HostedClient, house: TestHouse, key: Played['key']) {
    this.client = client
    this.house = house
    this.key = key
  }

  /** Protected resource metadata, then the metadata of the server that it names. */
  async discover(): Promise<void> {
    const { headers = {} } = this.client
    const path = new URL(NOTES).pathname
    const at = `${ISSUER}/.well-known/oauth-protected-resource${path}`
    const resource = await jsonOf(await get(this.house, at, headers))
    expect(resource).toMatchObject({ resource: NOTES, authorization_servers: [ISSUER] })
    const server = await get(
      this.house,
      `${ISSUER}/.well-known/oauth-authorization-server`,
      headers,
    )
    this.server = (await jsonOf(server)) as Record<string, string>
  }

  async identify(): Promise<void> {
    const { registration, document, headers = {} } = this.client
    this.clientId = document?.client_id ?? ''
    if (registration === undefined) return
    const answer = await this.house.fetch(
      new Request(this.server['registration_endpoint'] ?? '', {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(registration),
      }),
    )
    expect(answer.status).toBe(201)
    const registered = await jsonOf(answer)
    expect(registered['redirect_uris']).toEqual(registration['redirect_uris'])
    this.clientId = String(registered['client_id'])
    this.secret = registered['client_secret'] as string | undefined
  }

  url(redirectUri: string): URL {
    const url = authorizeUrl(this.house, this.clientId, {
      resource: undefined,
      scope: undefined,
      ...this.client.authorize,
      redirect_uri: redirectUri,
      state: this.client.state ?? 'a-state',
    })
    expect(`${url.origin}${url.pathname}`).toBe(this.server['authorization_endpoint'])
    return url
  }

  async signIn(visitor: Visitor): Promise<string> {
    const page = await visitor.get(this.url(this.client.redirectUri))
    expect(page.status, await page.clone().text()).toBe(200)
    const answer = await visitor.comeBack(await visitor.press(page, 'allow:github'))
    expect(answer.headers.get('location')).toMatch(this.client.redirectUri)
    const { code = '', state, iss } = answerOf(answer)
    expect({ state, iss }).toEqual({ state: this.client.state ?? 'a-state', iss: ISSUER })
    return code
  }

  async post(form: Record<string, string>): Promise<Response> {
    const { headers = {} } = this.client
    const { form: own, headers: proof } = await this.proof()
    return this.house.fetch(
      new Request(this.server['token_endpoint'] ?? '', {
        method: 'POST',
        headers: { 'content-type': FORM, ...headers, ...proof },
        body: new URLSearchParams({ ...form, ...own }),
      }),
    )
  }

  private async proof(): Promise<{
    form: Record<string, string>
    headers: Record<string, string>
  }> {
    const form = { client_id: this.clientId }
    const { authentication, audience } = this.client
    if (authentication === undefined) return { form, headers: {} }
    if (authentication === 'private_key_jwt') {
      const aud = audience ?? ISSUER
      const assertion = await this.key.assert(this.house, this.clientId, { aud })
      return { form: { ...form, ...asserted(assertion) }, headers: {} }
    }
    const secret = this.secret ?? 'no secret was registered'
    if (authentication === 'client_secret_post')
      return { form: { ...form, client_secret: secret }, headers: {} }
    return { form: {}, headers: { authorization: `Basic ${btoa(`${this.clientId}:${secret}`)}` } }
  }

  async redeem(code: string): Promise<Response> {
    return this.post({
      grant_type: 'authorization_code',
      code,
      code_verifier: VERIFIER,
      redirect_uri: this.client.redirectUri,
      ...this.client.token,
    })
  }

  async refresh(refreshToken: string): Promise<Response> {
    return this.post({
      grant_type: 'refresh_token',
      refresh_token: refreshToken,
      ...this.client.refresh,
    })
  }
}

async function play(client: HostedClient, config: Partial<Config> = {}): Promise<Played> {
  const key = await chatGptKey
  const { house, web } = await openClientHouse({ config })
  if (client.document !== undefined)
    web.pages.set(client.document.client_id, { body: client.document })
  web.pages.set(CHATGPT_KEYS, { body: key.jwks })
  const played = new Played(client, house, key)
  await played.discover()
  await played.identify()
  return played
}

const rows = HOSTED_CLIENTS.map((client) => [client.name, client] as const)

describe('hosted clients', () => {
  it.each(rows)('REG-01 TOK-12 AZ-14: %s signs in and refreshes', async (_name, client) => {
    expect(client.sources.length).toBeGreaterThan(0)
    const played = await play(client)
    const answer = await played.redeem(await played.signIn(new Visitor(played.house)))
    expect(answer.status, await answer.clone().text()).toBe(200)
    const tokens = (await jsonOf(answer)) as unknown as Tokens
    expect(tokens).toMatchObject({ token_type: 'Bearer', expires_in: 3_600, scope: 'mcp' })
    expect(claimsOf(tokens.access_token)['aud']).toBe(NOTES)
    const renewed = await played.refresh(tokens.refresh_token)
    expect(renewed.status, await renewed.clone().text()).toBe(200)
    const next = (await jsonOf(renewed)) as unknown as Tokens
    expect(next).toMatchObject({ token_type: 'Bearer', scope: 'mcp' })
    expect(claimsOf(next.access_token)['aud']).toBe(NOTES)
    expect(next.refresh_token).not.toBe(tokens.refresh_token)
  })

  it.each(rows)(
    'AZ-02 AZ-03 REG-21: %s is led to its own callbacks only',
    async (_name, client) => {
      const played = await play(client)
      const open = async (uri: string) =>
        (await new Visitor(played.house).get(played.url(uri))).status
      for (const uri of [client.redirectUri, ...(client.alsoUses ?? [])])
        expect(await open(uri), uri).toBe(200)
      for (const uri of client.refused) expect(await open(uri), uri).toBe(400)
    },
  )

  it.each(rows)('TOK-13: %s is refused in JSON without a null', async (_name, client) => {
    const played = await play(client)
    const answer = await played.refresh('ptr_x')
    expect(answer.status).toBe(400)
    expect(await jsonOf(answer)).toMatchObject({ error: 'invalid_grant' })
  })

  it('TOK-05 A23: who signs for the endpoint and offers nothing weaker is still refused', async () => {
    const chatGpt = HOSTED_CLIENTS.find(({ audience }) => audience === `${ISSUER}/token`)
    if (chatGpt?.document === undefined) throw new Error('no such client')
    const { token_endpoint_auth_methods_supported: _offers, ...strict } = chatGpt.document
    for (const [document, audience, status] of [
      [strict, `${ISSUER}/token`, 401],
      [strict, ISSUER, 200],
      [chatGpt.document, `${ISSUER}/token/`, 401],
      [chatGpt.document, `${ISSUER}/revoke`, 401],
      [chatGpt.document, 'https://other.example/token', 401],
    ] as const) {
      const played = await play({ ...chatGpt, document, audience })
      const answer = await played.redeem(await played.signIn(new Visitor(played.house)))
      expect(answer.status, audience).toBe(status)
    }
  })

  it('REG-09: a document that also offers none must still sign', async () => {
    const chatGpt = HOSTED_CLIENTS.find(({ audience }) => audience === `${ISSUER}/token`)
    if (chatGpt === undefined) throw new Error('no such client')
    const { authentication: _signs, ...silent } = chatGpt
    const played = await play(silent)
    const answer = await played.redeem(await played.signIn(new Visitor(played.house)))
    expect(answer.status).toBe(401)
    expect(await jsonOf(answer)).toMatchObject({ error: 'invalid_client' })
  })

  it('REG-18 REG-21: the lists of docs/clients.md let these clients in, and nobody else', async () => {
    const page = readFileSync(new URL('../../docs/clients.md', import.meta.url), 'utf8')
    const { registration } = JSON.parse(/```json\n(.*?)```/s.exec(page)?.[1] ?? '') as {
      registration: { redirectHosts: string[]; documentHosts: string[] }
    }
    const config = { registration: { dynamic: true, metadataDocuments: true, ...registration } }
    const [stranger, ...others] = HOSTED_CLIENTS.toReversed()
    for (const client of others) {
      const played = await play(client, config)
      const first = await new Visitor(played.house).get(played.url(client.redirectUri))
      expect(first.status, client.name).toBe(200)
    }
    if (stranger === undefined) throw new Error('no clients')
    await expect(play(stranger, config)).rejects.toThrow('400')
    const elsewhere = { ...stranger, registration: undefined }
    const document = { ...stranger.registration, client_id: 'https://old.example/client.json' }
    const played = await play({ ...elsewhere, document } as HostedClient, config)
    const refused = await new Visitor(played.house).get(played.url(stranger.redirectUri))
    expect(refused.status).toBe(400)
  })

  it('REG-26: Claude, told 401 invalid_client for an expired registration, registers again', async () => {
    const client = HOSTED_CLIENTS.find(({ registration }) => registration === CLAUDE_REGISTRATION)
    if (client === undefined) throw new Error('no such client')
    const played = await play(client)
    const { house } = played
    const answer = await played.redeem(await played.signIn(new Visitor(house)))
    const tokens = (await answer.json()) as Tokens
    await house.runtime.settle()
    house.runtime.advanceMs(91 * DAY_MS)
    const late = await played.refresh(tokens.refresh_token)
    expect([late.status, (await jsonOf(late))['error']]).toEqual([401, 'invalid_client'])
    const before = played.clientId
    await played.identify()
    expect(played.clientId).not.toBe(before)
    expect((await played.redeem(await played.signIn(new Visitor(house)))).status).toBe(200)
  })
})

describe('what clients guess and leave out', () => {
  it('AS-04: /authorize, /token and /register answer at the origin of the resource', async () => {
    for (const prefix of ['', '/postern']) {
      const house = createTestIssuer({ config: { prefix } })
      const server = await jsonOf(
        await get(house, `${ISSUER}/.well-known/oauth-authorization-server`),
      )
      const { origin } = new URL(NOTES)
      expect(server).toMatchObject({
        authorization_endpoint: `${origin}/authorize`,
        token_endpoint: `${origin}/token`,
        registration_endpoint: `${origin}/register`,
      })
      const { client_id } = await register(house)
      expect((await tokensFor(house, client_id)).scope).toBe('mcp')
    }
  })

  it('AZ-11: resource with or without a slash and in any case is the published one', async () => {
    const forms = [NOTES, `${NOTES}/`, NOTES.replace('https://auth', 'HTTPS://AUTH')]
    for (const resource of forms) {
      const client: HostedClient = {
        name: resource,
        sources: [],
        registration: { client_name: 'x', redirect_uris: ['https://client.example/cb'] },
        redirectUri: 'https://client.example/cb',
        refused: [],
        authorize: { response_type: 'code', code_challenge_method: 'S256', resource },
        token: { resource },
        refresh: { resource },
        authentication: 'client_secret_basic',
      }
      const played = await play(client)
      const answer = await played.redeem(await played.signIn(new Visitor(played.house)))
      const tokens = (await answer.json()) as Tokens
      expect(claimsOf(tokens.access_token)['aud'], resource).toBe(NOTES)
      const renewed = (await (await played.refresh(tokens.refresh_token)).json()) as Tokens
      expect(claimsOf(renewed.access_token)['aud'], resource).toBe(NOTES)
    }
  })

  it('AZ-12 TOK-10: without resource the default, then the granted one is meant', async () => {
    const TASKS = `${ISSUER}/mcp/tasks`
    const connectors = ['notes', 'tasks']
    const house = createTestIssuer({ connectors, config: { defaultResource: TASKS } })
    const { client_id } = await register(house)
    const visitor = new Visitor(house)
    const page = await visitor.get(authorizeUrl(house, client_id, { resource: undefined }))
    const answer = await visitor.comeBack(await visitor.press(page, 'allow:github'))
    const redeemed = await house.fetch(
      new Request(`${ISSUER}/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'authorization_code',
          client_id,
          code: answerOf(answer)['code'] ?? '',
          code_verifier: VERIFIER,
        }),
      }),
    )
    const tokens = (await redeemed.json()) as Tokens
    expect(claimsOf(tokens.access_token)['aud']).toBe(TASKS)
    const renewed = (await (await refresh(house, client_id, tokens.refresh_token)).json()) as Tokens
    expect(claimsOf(renewed.access_token)['aud']).toBe(TASKS)
    const other = await refresh(house, client_id, renewed.refresh_token, { resource: NOTES })
    expect([other.status, (await jsonOf(other))['error']]).toEqual([400, 'invalid_target'])
    const undecided = createTestIssuer({ connectors })
    const stranger = await register(undecided)
    const refused = await new Visitor(undecided).get(
      authorizeUrl(undecided, stranger.client_id, { resource: undefined }),
    )
    expect(refused.status).toBe(400)
  })
})

describe('clients that are pages', () => {
  const PAGE = 'http://localhost:6274'

  it.each([
    ['/.well-known/oauth-protected-resource/mcp/notes', 'GET', 'mcp-protocol-version'],
    ['/.well-known/oauth-authorization-server', 'GET', 'mcp-protocol-version'],
    ['/.well-known/openid-configuration', 'GET', 'mcp-protocol-version'],
    ['/.well-known/jwks.json', 'GET', 'mcp-protocol-version'],
    ['/register', 'POST', 'content-type,mcp-protocol-version'],
    ['/token', 'POST', 'authorization,content-type,mcp-protocol-version'],
    ['/revoke', 'POST', 'authorization,content-type,mcp-protocol-version'],
  ])('SEC-14: %s may be asked from a page of the Inspector', async (path, method, asked) => {
    const house = createTestIssuer()
    const preflight = await house.fetch(
      new Request(`${ISSUER}${path}`, {
        method: 'OPTIONS',
        headers: {
          origin: PAGE,
          'access-control-request-method': method,
          'access-control-request-headers': asked,
        },
      }),
    )
    expect(preflight.ok).toBe(true)
    expect(preflight.headers.get('access-control-allow-methods')).toContain(method)
    const allowed = (preflight.headers.get('access-control-allow-headers') ?? '')
      .toLowerCase()
      .split(/\s*,\s*/)
    // Fetch: a star does not stand for Authorization.
    for (const name of asked.split(',')) expect(allowed, name).toContain(name)
    const answer = await house.fetch(
      new Request(`${ISSUER}${path}`, {
        method,
        headers: { origin: PAGE, 'mcp-protocol-version': '2025-11-25', 'content-type': FORM },
        ...(method === 'POST' ? { body: 'x=y' } : {}),
      }),
    )
    expect(answer.status).toBeLessThan(500)
    expect(answer.headers.get('access-control-allow-origin')).toBe('*')
    expect(answer.headers.has('access-control-allow-credentials')).toBe(false)
  })

  it('SEC-15 PR-07 PR-08: without a token GET and POST name the metadata, and a page may read it', async () => {
    const plane = await openPlane({ provider: 'github', clock: 'real' })
    const ask = (method: string) =>
      fetch(plane.resource, {
        method,
        headers: { origin: PAGE, accept: 'application/json, text/event-stream' },
        ...(method === 'POST' ? { body: '{}' } : {}),
      })
    const document = `${plane.issuer}/.well-known/oauth-protected-resource/mcp/notes`
    for (const method of ['GET', 'POST']) {
      const answer = await ask(method)
      expect(answer.status, method).toBe(401)
      expect(answer.headers.get('www-authenticate'), method).toContain(
        `resource_metadata="${document}"`,
      )
      expect(answer.headers.get('www-authenticate'), method).not.toContain('error=')
      const exposed = answer.headers.get('access-control-expose-headers') ?? ''
      expect(exposed.toLowerCase(), method).toContain('www-authenticate')
    }
    // Claude and Gemini CLI try HEAD first; told that there is none, they take the usual address.
    expect((await ask('HEAD')).status).toBe(405)
    expect(await jsonOf(await fetch(document))).toMatchObject({ resource: plane.resource })
  })
})
