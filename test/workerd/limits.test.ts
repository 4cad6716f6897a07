/**
 * What one request costs on Workers, counted: calls of D1 and statements in them, KV, objects, exchanges.
 * A row that grows beyond its bound fails (K18). The smallest plan has 50 sub-requests for one request;
 * only the very first start, which makes the tables, has more than 50 statements of D1.
 */
import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type OpenIdDouble, startOpenIdDouble } from '../../demo/doubles/openid.ts'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { toolCallRequest } from '../flow/protect-house.ts'
import { startServer, type TestServer } from '../kit/http.ts'
import { createProduct } from '../kit/product.ts'
import { allow, cookiesOf } from './consent-form.ts'
import { type RunningWorker, startWorker } from './start-worker.ts'

const ISSUER = 'https://auth.example'
const RESOURCE = `${ISSUER}/mcp/notes`
const REDIRECT_URI = 'http://127.0.0.1:33418/callback'
const SECRET = 'secret-of-the-demo-provider'
const ADMIN_KEY = randomBytes(32).toString('base64url')

interface Cost {
  /** Calls of D1, and statements in them. */
  readonly d1: number
  readonly statements: number
  /** Reads, and writes. */
  readonly kv: number
  readonly kvWrites: number
  readonly locks: number
  readonly exchanges: number
}

/** Behind the answer as well. Measured, and a little room. */
const BOUNDS: Readonly<Record<string, Cost>> = {
  'first start of all': { d1: 42, statements: 65, kv: 4, kvWrites: 4, locks: 8, exchanges: 4 },
  'cold isolate': { d1: 20, statements: 20, kv: 4, kvWrites: 0, locks: 0, exchanges: 0 },
  // Behind it, now and then, the polls of marks and keys.
  'warm call': { d1: 2, statements: 2, kv: 0, kvWrites: 0, locks: 0, exchanges: 1 },
  'first call': { d1: 2, statements: 2, kv: 0, kvWrites: 0, locks: 0, exchanges: 1 },
  'call in another isolate': { d1: 6, statements: 6, kv: 0, kvWrites: 0, locks: 0, exchanges: 1 },
  authorize: { d1: 2, statements: 2, kv: 0, kvWrites: 1, locks: 0, exchanges: 0 },
  consent: { d1: 5, statements: 9, kv: 1, kvWrites: 0, locks: 0, exchanges: 0 },
  'sign-in callback': { d1: 16, statements: 34, kv: 1, kvWrites: 1, locks: 2, exchanges: 3 },
  'token by code': { d1: 10, statements: 10, kv: 0, kvWrites: 1, locks: 0, exchanges: 0 },
  'token refresh': { d1: 13, statements: 13, kv: 0, kvWrites: 0, locks: 0, exchanges: 0 },
  'cold initiation': { d1: 6, statements: 6, kv: 1, kvWrites: 1, locks: 3, exchanges: 3 },
  'warm initiation': { d1: 2, statements: 2, kv: 0, kvWrites: 0, locks: 0, exchanges: 0 },
  'API list': { d1: 2, statements: 2, kv: 0, kvWrites: 0, locks: 0, exchanges: 0 },
  'token of a linked account': { d1: 9, statements: 9, kv: 0, kvWrites: 0, locks: 0, exchanges: 0 },
  'warm token of a linked account': {
    ...{ d1: 3, statements: 3, kv: 0, kvWrites: 0, locks: 0, exchanges: 0 },
  },
  'scheduled, a refresh': { d1: 26, statements: 28, kv: 0, kvWrites: 0, locks: 5, exchanges: 1 },
  scheduled: { d1: 40, statements: 45, kv: 2, kvWrites: 2, locks: 6, exchanges: 6 },
}
/**
 * All that is ever written behind an answer: facts and proofs, which are asked for again; the longer life
 * of a client and of the audit row of its registration, which its next use gives; when a key was used.
 */
const MAY_BE_LOST = [
  ...['INSERT fact', 'UPDATE fact', 'DELETE fact', 'INSERT proof', 'UPDATE proof'],
  ...['UPDATE client', 'UPDATE audit', 'UPDATE apiKey'],
  // That a token is in use: not refreshed ahead, but by the call that needs it.
  ...['INSERT renewal', 'UPDATE renewal'],
]

let provider: OpenIdDouble
let server: TestServer
let remote: RemoteServer
let worker: RunningWorker
beforeAll(async () => {
  const callback = `${ISSUER}/callback/oidc`
  provider = await startOpenIdDouble({
    clients: [{ clientId: 'postern', clientSecret: SECRET, redirectUris: [callback] }],
  })
  server = await startServer()
  remote = await startRemoteServer()
  worker = await startWorker({
    entry: new URL('house.worker.ts', import.meta.url),
    origin: ISSUER,
    isolates: 2,
    options: {
      d1Databases: { POSTERN_DB: 'postern' },
      kvNamespaces: { POSTERN_KV: 'postern' },
      durableObjects: { POSTERN_LOCK: 'PosternLock' },
    },
    bindings: {
      TEST_ISSUER: ISSUER,
      TEST_PROVIDER: provider.issuer,
      TEST_SERVER: `${server.origin}/mcp`,
      TEST_REMOTE: remote.url,
      TEST_ADMIN_KEY: ADMIN_KEY,
      POSTERN_SEALING_KEY: randomBytes(32).toString('base64url'),
      POSTERN_OIDC_CLIENT_ID: 'postern',
      POSTERN_OIDC_CLIENT_SECRET: SECRET,
    },
  })
})
afterAll(async () => {
  await worker?.dispose()
  await Promise.all([server?.close(), provider?.close(), remote?.close()])
})

interface Counted extends Omit<Cost, 'exchanges'> {
  readonly late: readonly string[]
}

/** What an isolate counted since the last time, once nothing more is added to it. */
async function counted(isolate: number): Promise<Counted> {
  const sum = { d1: 0, statements: 0, kv: 0, kvWrites: 0, locks: 0 }
  const late = new Set<string>()
  for (let quiet = 0; quiet < QUIET_ROUNDS; ) {
    const answer = await worker.fetchAt(isolate, '/counts')
    const { late: names, ...now } = (await answer.json()) as Counted
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += now[name]
    for (const name of names) late.add(name)
    quiet = Object.values(now).every((value) => value === 0) ? quiet + 1 : 0
  }
  return { ...sum, late: [...late] }
}
const QUIET_ROUNDS = 5

const table: Record<string, Cost & { late: string }> = {}

/** Does it and counts it, with all that goes on behind; fails beyond the bound of its row. */
async function within<T>(name: string, work: () => Promise<T>, isolate = 0): Promise<T> {
  await counted(isolate)
  const before = worker.outboundExchanges.length
  const result = await work()
  const { late, ...counts } = await counted(isolate)
  const cost: Cost = { ...counts, exchanges: worker.outboundExchanges.length - before }
  table[name] = { ...cost, late: late.join(' ') }
  const bound = BOUNDS[name] ?? cost
  for (const part of Object.keys(bound) as (keyof Cost)[])
    expect(cost[part], `${name}: ${part}`).toBeLessThanOrEqual(bound[part])
  expect(
    late.filter((kind) => !MAY_BE_LOST.includes(kind)),
    `${name}: written late`,
  ).toEqual([])
  return result
}

/** A token of one who linked an account, and its refresh by the cron trigger once it is old. */
async function linkedAccount(): Promise<void> {
  const shop = 'https://shop.example'
  const place = { issuer: ISSUER, send: worker.fetch, adminKey: ADMIN_KEY, app: 'shop' }
  const product = createProduct({ ...place, origin: shop, returnUrl: `${shop}/done` })
  await product.connect('ada', 'remote')
  const key = await product.tokensKey()
  const take = () => product.api('POST', '/tokens', { user: 'ada', connector: 'remote' }, key)
  expect((await within('token of a linked account', take)).status).toBe(200)
  expect((await within('warm token of a linked account', take)).status).toBe(200)
  await worker.runSql('POSTERN_DB', [
    `UPDATE records SET data = json_set(data, '$.createdAtMs', 1) WHERE kind = 'vault'`,
    `UPDATE records SET id = printf('%015d', 1) || substr(id, 16) WHERE kind = 'renewal'`,
  ])
  await within('scheduled, a refresh', () => worker.runScheduled())
  expect(remote.tokenCalls.map(([grantType]) => grantType)).toEqual([
    'authorization_code',
    'refresh_token',
  ])
}

async function register(): Promise<string> {
  const answer = await worker.fetch('/register', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Counted',
      redirect_uris: [REDIRECT_URI],
      token_endpoint_auth_method: 'none',
    }),
  })
  expect(answer.status).toBe(201)
  return ((await answer.json()) as { client_id: string }).client_id
}

async function redeem(parameters: Record<string, string>): Promise<Tokens> {
  const body = new URLSearchParams(parameters)
  const answer = await worker.fetch('/token', { method: 'POST', body })
  expect(answer.status).toBe(200)
  return (await answer.json()) as Tokens
}
interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
}

it('K18: each request stays within its bounds, and nothing that must survive is done after the answer', async () => {
  await within('first start of all', () => worker.fetch('/.well-known/jwks.json'))
  await within('cold isolate', () => worker.fetchAt(1, '/.well-known/jwks.json'), 1)
  const client_id = await register()
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
  const html = { accept: 'text/html' }
  const page = await within('authorize', () =>
    worker.fetch(`/authorize?${query}`, { headers: html }),
  )
  const consent = allow(ISSUER, await page.text(), cookiesOf(page))
  const away = await within('consent', () => worker.fetch(...consent))
  const back = await provider.playSignIn(away.headers.get('location') ?? '', 'ada')
  const headers = { ...html, cookie: cookiesOf(away) }
  const done = await within('sign-in callback', () => worker.fetch(back.href, { headers }))
  const code = new URL(done.headers.get('location') ?? '').searchParams.get('code') ?? ''
  const tokens = await within('token by code', () =>
    redeem({
      grant_type: 'authorization_code',
      code,
      client_id,
      redirect_uri: REDIRECT_URI,
      code_verifier: verifier,
      resource: RESOURCE,
    }),
  )
  const call = (isolate: number): Promise<Response> =>
    worker.fetchAt(isolate, '/mcp/notes', toolCallRequest('list', tokens.access_token))
  expect((await within('first call', () => call(0))).status).toBe(200)
  expect((await within('warm call', () => call(0))).status).toBe(200)
  expect((await within('call in another isolate', () => call(1), 1)).status).toBe(200)
  expect((await within('warm call', () => call(1), 1)).status).toBe(200)
  await within('token refresh', () =>
    redeem({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token, client_id }),
  )
  const authorization = `Bearer ${ADMIN_KEY}`
  const list = await within('API list', () =>
    worker.fetch('/api/v1/connectors', { headers: { authorization } }),
  )
  expect(list.status).toBe(200)
  await within('cold initiation', () => worker.fetch(`/discover?url=${remote.url}`))
  await within('warm initiation', () => worker.fetch(`/discover?url=${remote.url}`))
  await within('scheduled', () => worker.runScheduled())
  await within('scheduled', () => worker.runScheduled())
  await linkedAccount()
  if (process.env['POSTERN_TABLE'] !== undefined) console.table(table)
})
