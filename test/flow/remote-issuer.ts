/**
 * The issuer of another process, on a test clock: real keys, tokens, marks and revocation feed, with
 * the network between the two replaced by a port that counts and can be cut.
 */
import { createMemoryBus, createMemoryStore } from '../../src/adapters/memory.ts'
import { createRevocationView } from '../../src/issuer/revocation.ts'
import { createRevocationFeed } from '../../src/issuer/revocation-feed.ts'
import type { GuardAnswer } from '../../src/middleware/guard.ts'
import { guardOf, type RemoteHouse } from '../../src/middleware/protectable.ts'
import { FetchFailure } from '../../src/net/failure.ts'
import { type AccessTokenClaims, createJti, signAccessToken } from '../../src/oauth/access-token.ts'
import type { EcJwk, Fetch, SigningKey } from '../../src/ports.ts'
import { type Mark, TENANT } from '../../src/records.ts'
import { Secret } from '../../src/secret.ts'
import { createRecordingEmit } from '../kit/emit.ts'
import { createTestRuntime } from '../kit/runtime.ts'

export const ISSUER = 'https://auth.example'
export const RESOURCE = 'https://notes.example/mcp'
export const CREDENTIAL = 'a-credential-of-32-characters-or-more'
const TOKEN_LIFE_SECONDS = 3_600

export type RemoteIssuer = Awaited<ReturnType<typeof createRemoteIssuer>>

export async function createRemoteIssuer(options: { sharesPromises?: boolean } = {}) {
  const runtime = createTestRuntime(options)
  const emit = createRecordingEmit()
  const store = createMemoryStore()
  const view = createRevocationView({
    store,
    bus: createMemoryBus(),
    runtime,
    emit: createRecordingEmit(),
    maxAgeSeconds: 30,
  })
  await view.load()
  const resources = [{ url: RESOURCE, credential: new Secret(CREDENTIAL) }]
  const feed = createRevocationFeed({ config: { resources }, store, runtime, revocation: view })
  const tagKey = runtime.randomBytes(32)
  const keys = new Map<string, { readonly publicJwk: EcJwk; readonly key: SigningKey }>()
  const exchanges: string[] = []
  /** What the network does between the two. */
  const network: { state: 'up' | 'down'; feedBody?: string } = { state: 'up' }

  const serve = async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url)
    if (pathname === '/.well-known/jwks.json') {
      const set = [...keys].map(([kid, { publicJwk }]) => ({
        ...publicJwk,
        kid,
        use: 'sig',
        alg: 'ES256',
      }))
      return Response.json({ keys: set }, { headers: { 'cache-control': 'public, max-age=300' } })
    }
    return network.feedBody === undefined ? feed(request) : new Response(network.feedBody)
  }
  const fetch: Fetch = async ({ url, headers, signal, addresses }) => {
    exchanges.push(url.pathname + url.search)
    if (addresses !== 'approved' || network.state === 'down')
      throw new FetchFailure('ERR_UPSTREAM_CONNECT', 'refused')
    const response = await serve(new Request(url, { headers, signal }))
    return { status: response.status, headers: response.headers, body: response.body }
  }

  const addKey = (kid: string): void => {
    const { d, ...publicJwk } = runtime.createSigningJwk()
    keys.set(kid, { publicJwk, key: runtime.importSigningKey({ ...publicJwk, d }) })
  }
  addKey('key-1')

  const token = (changes: Partial<AccessTokenClaims> & { kid?: string } = {}): string => {
    const { kid = 'key-1', ...claims } = changes
    const iat = Math.floor(runtime.nowMs() / 1000)
    const facts = { gid: 'grt_1', exp: iat + TOKEN_LIFE_SECONDS, ...claims }
    const key = (keys.get(kid) ?? keys.get('key-1'))?.key
    if (key === undefined) throw new Error('no key')
    const all = {
      iss: ISSUER,
      aud: RESOURCE,
      sub: 'usr_1',
      client_id: 'cli_1',
      iat,
      scope: 'mcp',
      jti: createJti(runtime, tagKey, facts),
      ...facts,
    }
    return signAccessToken(all, { kid, key }, runtime)
  }
  const mark = async (kind: Mark['kind'], id: string): Promise<void> => {
    const nowMs = runtime.nowMs()
    const made: Mark = {
      tenant: TENANT,
      kind,
      id,
      issuedBeforeMs: nowMs,
      expiresAtMs: nowMs + 3_900_000,
      cause: 'test',
    }
    await store.grants.revoke(made)
    view.markLocal(made)
  }
  const platform = { runtime, emit, openFetch: () => ({ fetch, close: async () => undefined }) }
  return {
    runtime,
    emit,
    store,
    feed,
    view,
    exchanges,
    network,
    keys,
    addKey,
    token,
    mark,
    platform,
  }
}

/** `protect()` of the server at RESOURCE, ready for its first call. */
export async function startRemote(issuer: RemoteIssuer, options: Partial<RemoteHouse> = {}) {
  const guard = guardOf({
    issuer: ISSUER,
    resource: RESOURCE,
    credential: CREDENTIAL,
    platform: issuer.platform,
    ...options,
  })
  await issuer.runtime.settle()
  const ask = (token: string, scopes: readonly string[] = []): GuardAnswer | Promise<GuardAnswer> =>
    guard.authenticate(`Bearer ${token}`, { scopes })
  /** `200`, or the status and the reason of the refusal. */
  const call = async (token: string, scopes?: readonly string[]): Promise<string> => {
    const answer = await ask(token, scopes)
    return answer.ok ? '200' : `${answer.refusal.status} ${answer.refusal.reason}`
  }
  return { guard, ask, call }
}
