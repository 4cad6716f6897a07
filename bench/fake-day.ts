/**
 * Two hours in a second: the whole house on a fake clock, a provider that answers at once, and one
 * call every so often with a token of a grant in its store.
 */
import { randomBytes } from 'node:crypto'
import { createMemoryBus, createMemoryLock, createMemoryStore } from '../src/adapters/memory.ts'
import { createPostern } from '../src/app.ts'
import { createKeys } from '../src/issuer/keys.ts'
import { node } from '../src/node/index.ts'
import { createJti, signAccessToken } from '../src/oauth/access-token.ts'
import type { Emit, Fetch, Platform, Store } from '../src/ports.ts'
import { oidc } from '../src/providers/index.ts'
import { type Grant, TENANT } from '../src/records.ts'
import { createSealing } from '../src/vault/sealing.ts'
import { createVault } from '../src/vault/vault.ts'
import { createTestRuntime, type TestRuntime } from '../test/kit/runtime.ts'

const HOURS_MS = 7_200_000
const ISSUER = 'http://127.0.0.1:8414'
const RESOURCE = `${ISSUER}/calls`
const PROVIDER = 'http://127.0.0.1:9'
const KEY = new Uint8Array(randomBytes(32))

export interface FakeDay {
  readonly calls: number
  /** Calls that waited for something cold, the first one left out. */
  readonly waits: number
  readonly refused: number
  readonly exchanges: number
}

export async function twoHours(everyMs: number): Promise<FakeDay> {
  const runtime = createTestRuntime()
  const store = createMemoryStore()
  const network = createNetwork()
  let waits = 0
  const emit: Emit = {
    event: () => {},
    count: (name) => {
      if (name === 'postern_hot_path_waits_total') waits += 1
    },
    observe: () => {},
    gauge: () => {},
  }
  const { fetch } = network
  const platform: Platform = {
    ...node({ environment: {} }),
    runtime,
    emit,
    lock: createMemoryLock(runtime),
    openStore: async () => ({ store, bus: createMemoryBus() }),
    openFetch: () => ({
      fetch,
      send: () => Promise.reject(new Error('not used')),
      close: async () => {},
    }),
  }
  const token = await seed(store, runtime)
  const postern = createPostern(
    {
      issuer: ISSUER,
      databaseUrl: 'memory:',
      sealingKey: Buffer.from(KEY).toString('base64url'),
      allow: 'anyone',
      providers: [
        oidc({ id: 'openid', issuer: PROVIDER, clientId: 'postern', clientSecret: 'secret' }),
      ],
      resources: [RESOURCE],
    },
    platform,
  )
  await postern.ready()
  const headers = { authorization: `Bearer ${token}` }
  const call = () => postern.authenticate(new Request(RESOURCE, { method: 'POST', headers }))
  await call()
  const warm = { waits, exchanges: network.exchanges() }
  let calls = 0
  let refused = 0
  for (let atMs = everyMs; atMs <= HOURS_MS; atMs += everyMs) {
    await runtime.elapseMs(everyMs)
    calls += 1
    if ('response' in (await call())) refused += 1
  }
  const day = {
    calls,
    waits: waits - warm.waits,
    refused,
    exchanges: network.exchanges() - warm.exchanges,
  }
  await postern.close()
  return day
}

function createNetwork(): { fetch: Fetch; exchanges(): number } {
  let exchanges = 0
  const metadata = {
    issuer: PROVIDER,
    authorization_endpoint: `${PROVIDER}/auth`,
    token_endpoint: `${PROVIDER}/token`,
    jwks_uri: `${PROVIDER}/jwks`,
    userinfo_endpoint: `${PROVIDER}/me`,
  }
  const bodies: Readonly<Record<string, unknown>> = {
    '/.well-known/openid-configuration': metadata,
    '/jwks': { keys: [] },
    '/me': { sub: 'ada' },
  }
  return {
    exchanges: () => exchanges,
    fetch: async ({ url }) => {
      exchanges += 1
      const body = bodies[url.pathname]
      const headers = new Headers({ 'content-type': 'application/json' })
      const status = body === undefined ? 404 : 200
      return { status, headers, body: new Response(JSON.stringify(body ?? {})).body }
    },
  }
}

/** What a sign-in leaves in the store, and the token that it would have given. */
async function seed(store: Store, runtime: TestRuntime): Promise<string> {
  const sealing = createSealing([KEY], runtime)
  const keys = createKeys({ store, sealing, runtime })
  await keys.load()
  const nowMs = runtime.nowMs()
  const person = {
    userId: 'usr_ada',
    userKey: 'key_ada',
    provider: 'openid',
    issuer: PROVIDER,
    subject: 'ada',
  }
  await store.create(
    'user',
    { tenant: TENANT, id: person.userKey },
    {
      userId: person.userId,
      issuer: PROVIDER,
      subject: 'ada',
      provider: 'openid',
      profile: {},
      groups: [],
      state: 'active',
      createdAtMs: nowMs,
      lastSignInAtMs: nowMs,
    },
  )
  const entry = await createVault({ store, sealing, runtime }).save(
    { ...person, tokenOrigin: PROVIDER },
    { accessToken: 'upstream', tokenType: 'Bearer' },
  )
  const farMs = nowMs + 90 * 86_400_000
  const grant: Grant = {
    tenant: TENANT,
    id: 'grt_ada',
    userId: person.userId,
    userKey: person.userKey,
    clientId: 'cli_1',
    resource: RESOURCE,
    scopes: ['mcp'],
    vaultId: entry.id,
    state: 'active',
    redirectUri: 'http://127.0.0.1/cb',
    codeChallenge: 'x',
    codeDigest: 'x',
    codeExpiresAtMs: nowMs,
    refreshGeneration: 0,
    authTimeSeconds: Math.floor(nowMs / 1000),
    createdAtMs: nowMs,
    absoluteExpiresAtMs: farMs,
    expiresAtMs: farMs,
    version: 1,
  }
  await store.commit([{ verb: 'createGrant', grant }])
  const iat = Math.floor(nowMs / 1000)
  const exp = iat + 3 * 3_600
  const jti = createJti(runtime, keys.tagKey(), { gid: grant.id, exp })
  const claims = {
    iss: ISSUER,
    aud: RESOURCE,
    sub: grant.userId,
    client_id: grant.clientId,
    iat,
    exp,
    jti,
    scope: 'mcp',
    gid: grant.id,
  }
  return signAccessToken(claims, keys.current(), runtime)
}
