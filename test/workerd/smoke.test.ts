import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type OpenIdDouble, startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { toolCallRequest } from '../flow/protect-house.ts'
import { startServer, type TestServer } from '../kit/http.ts'
import { allow, cookiesOf } from './consent-form.ts'
import { type RunningWorker, startWorker } from './start-worker.ts'

const ISSUER = 'https://auth.example'
const RESOURCE = `${ISSUER}/mcp/notes`
const REDIRECT_URI = 'http://127.0.0.1:33418/callback'
const SECRET = 'secret-of-the-demo-provider'

describe('sign-in and call in real workerd', () => {
  let provider: OpenIdDouble
  let server: TestServer
  let worker: RunningWorker

  beforeAll(async () => {
    provider = await startOpenIdDouble({
      clients: [
        { clientId: 'postern', clientSecret: SECRET, redirectUris: [`${ISSUER}/callback/oidc`] },
      ],
    })
    server = await startServer()
    worker = await startWorker({
      entry: new URL('smoke.worker.ts', import.meta.url),
      origin: ISSUER,
      bindings: {
        TEST_ISSUER: ISSUER,
        TEST_PROVIDER: provider.issuer,
        TEST_SERVER: `${server.origin}/mcp`,
        POSTERN_SEALING_KEY: randomBytes(32).toString('base64url'),
        POSTERN_OIDC_CLIENT_ID: 'postern',
        POSTERN_OIDC_CLIENT_SECRET: SECRET,
      },
    })
  })

  afterAll(async () => {
    await worker?.dispose()
    await server?.close()
    await provider?.close()
  })

  const call = (accessToken?: string): Promise<Response> =>
    worker.fetch('/mcp/notes', toolCallRequest('list', accessToken))

  it('made at module scope, it opens on the first requests, also when they come together', async () => {
    expect(worker.outboundExchanges).toEqual([])
    const answers = await Promise.all(Array.from({ length: 20 }, () => call()))
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([401]))
    expect(answers[0]?.headers.get('www-authenticate')).toContain(
      `resource_metadata="${ISSUER}/.well-known/oauth-protected-resource/mcp/notes"`,
    )
    const keys = await Promise.all(
      [1, 2, 3].map(async () => (await worker.fetch('/.well-known/jwks.json')).text()),
    )
    expect(new Set(keys).size).toBe(1)
  })

  it('register, authorize, consent, provider, callback, token; then calls with no exchange but their own', async () => {
    const tokens = await signIn(worker, provider)
    // The first calls come together and each loads its session itself: no promise is shared.
    const first = await Promise.all(Array.from({ length: 20 }, () => call(tokens.access_token)))
    expect(new Set(first.map((answer) => answer.status))).toEqual(new Set([200]))
    expect(await first[0]?.json()).toEqual({ jsonrpc: '2.0', id: 1, result: {} })
    const forwarded = server.seen.at(-1)?.headers.authorization ?? ''
    expect(forwarded).toMatch(/^Bearer \S+\.\S+\.\S+$/)
    expect(forwarded).not.toContain(tokens.access_token)

    const before = worker.outboundExchanges.length
    const answers = await Promise.all(Array.from({ length: 50 }, () => call(tokens.access_token)))
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]))
    const exchanges = worker.outboundExchanges.slice(before)
    expect(exchanges.filter(({ url }) => !url.startsWith(server.origin))).toEqual([])
    expect(exchanges).toHaveLength(50)

    const body = new URLSearchParams({ token: tokens.refresh_token, client_id: tokens.client_id })
    expect((await worker.fetch('/revoke', { method: 'POST', body })).status).toBe(200)
    expect((await call(tokens.access_token)).status).toBe(401)
  })

  it('imports nothing of Node but node:crypto, and what lru-cache reports its work to', () => {
    expect(worker.platformImports).toEqual([
      'cloudflare:workers',
      'node:crypto',
      'node:diagnostics_channel',
    ])
  })

  it('a refreshed token works', async () => {
    const tokens = await signIn(worker, provider)
    const renewed = await redeem(worker, {
      grant_type: 'refresh_token',
      refresh_token: tokens.refresh_token,
      client_id: tokens.client_id,
    })
    expect((await call(renewed.access_token)).status).toBe(200)
  })
})

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
}

async function redeem(worker: RunningWorker, parameters: Record<string, string>): Promise<Tokens> {
  const answer = await worker.fetch('/token', {
    method: 'POST',
    body: new URLSearchParams(parameters),
  })
  expect(answer.status).toBe(200)
  return (await answer.json()) as Tokens
}

async function signIn(
  worker: RunningWorker,
  provider: OpenIdDouble,
): Promise<Tokens & { client_id: string }> {
  const registered = await worker.fetch('/register', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Smoke',
      redirect_uris: [REDIRECT_URI],
      token_endpoint_auth_method: 'none',
    }),
  })
  expect(registered.status).toBe(201)
  const { client_id } = (await registered.json()) as { client_id: string }
  const verifier = randomBytes(32).toString('base64url')
  const query = new URLSearchParams({
    response_type: 'code',
    client_id,
    redirect_uri: REDIRECT_URI,
    state: 'state-1',
    resource: RESOURCE,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  })
  const page = await worker.fetch(`/authorize?${query}`, { headers: { accept: 'text/html' } })
  expect(page.status).toBe(200)
  const away = await worker.fetch(...allow(ISSUER, await page.text(), cookiesOf(page)))
  expect(away.status).toBe(303)
  const back = await provider.playSignIn(away.headers.get('location') ?? '', 'ada')
  expect(back.origin).toBe(ISSUER)
  const done = await worker.fetch(back.href, {
    headers: { accept: 'text/html', cookie: cookiesOf(away) },
  })
  expect(done.status).toBe(303)
  const answer = new URL(done.headers.get('location') ?? '')
  expect([answer.searchParams.get('state'), answer.searchParams.get('iss')]).toEqual([
    'state-1',
    ISSUER,
  ])
  const tokens = await redeem(worker, {
    grant_type: 'authorization_code',
    code: answer.searchParams.get('code') ?? '',
    client_id,
    redirect_uri: REDIRECT_URI,
    code_verifier: verifier,
    resource: RESOURCE,
  })
  return { ...tokens, client_id }
}
