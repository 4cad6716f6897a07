import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { exportJWK, SignJWT } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import { type NotesOptions, type NotesServer, startNotesServer } from './notes.ts'

const ISSUER = 'https://postern.example'
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function start(options: NotesOptions = {}): Promise<NotesServer> {
  const server = await startNotesServer({ stepMs: 1, ...options })
  closers.push(() => server.close())
  return server
}

async function connect(
  server: NotesServer,
  token?: string,
  mode: 'legacy' | 'auto' = 'auto',
): Promise<Client> {
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } })
  const requestInit = token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }
  await client.connect(new StreamableHTTPClientTransport(new URL(server.url), { requestInit }))
  closers.push(() => client.close())
  return client
}

async function call(
  client: Client,
  name: string,
  args: Record<string, unknown> = {},
): Promise<string> {
  const result = await client.callTool({ name, arguments: args })
  const [first] = Array.isArray(result.content) ? result.content : []
  return first?.type === 'text' ? first.text : ''
}

/** A Postern of which only the key set is there. */
async function startIssuer() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }
  let fetched = 0
  const server = createServer((_request, response) => {
    fetched++
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ keys: [jwk] }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => new Promise((resolve) => server.close(resolve)))
  return {
    jwksUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`,
    fetched: () => fetched,
    sign: (claims: Record<string, unknown>) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', kid: 'k', typ: 'at+jwt' })
        .setIssuer(ISSUER)
        .setExpirationTime('5m')
        .sign(privateKey),
  }
}

describe.each([
  ['2026-07-28, stateless', {}, 'auto', 0],
  ['2025-11-25, stateless', {}, 'legacy', 0],
  ['2026-07-28, beside sessions', { sessions: true }, 'auto', 0],
  ['2025-11-25, with sessions', { sessions: true }, 'legacy', 1],
] as const)('notes server, %s', (_name, options, mode, sessions) => {
  it('calls tools and streams progress', async () => {
    const server = await start(options)
    const client = await connect(server, undefined, mode)
    expect(await call(client, 'whoami')).toBe('{"sub":"anonymous"}')
    expect(await call(client, 'add_note', { text: 'first' })).toBe('1 note')
    expect(await call(client, 'list_notes')).toBe('first')
    const seen: number[] = []
    await client.callTool(
      { name: 'slow_count', arguments: { to: 3 } },
      { onprogress: ({ progress }) => void seen.push(progress) },
    )
    expect(seen).toEqual([1, 2, 3])
    expect(server.sessions()).toBe(sessions)
  })
})

describe('notes server with identity', () => {
  it('keeps a notebook per person, and fetches the keys once', async () => {
    const issuer = await startIssuer()
    const server = await start({
      identity: { jwksUrl: issuer.jwksUrl, issuer: ISSUER, required: true },
    })
    const people = await Promise.all(
      ['ada', 'grace'].map((sub) => issuer.sign({ sub, aud: server.url, name: sub })),
    )
    const [ada, grace] = await Promise.all(people.map((token) => connect(server, token)))
    if (ada === undefined || grace === undefined) throw new Error('not connected')
    await call(ada, 'add_note', { text: 'engine' })
    expect(await call(grace, 'list_notes')).toBe('Your notebook is empty.')
    expect(JSON.parse(await call(ada, 'whoami'))).toMatchObject({ sub: 'ada', name: 'ada' })
    expect(issuer.fetched()).toBe(1)
  })

  it.each([
    ['no token', undefined],
    ['another audience', { sub: 'ada', aud: 'https://other.example' }],
    ['no audience', { sub: 'ada' }],
  ])('answers 401 with %s', async (_what, claims) => {
    const issuer = await startIssuer()
    const server = await start({
      identity: { jwksUrl: issuer.jwksUrl, issuer: ISSUER, required: true },
    })
    const token = claims === undefined ? undefined : await issuer.sign(claims)
    const response = await fetch(server.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: '{}',
    })
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"')
    await response.body?.cancel()
  })
})
