/**
 * One house with all its inbound doors in memory: pages and endpoints of the issuer over a real store,
 * the gateway's carrier for `Request`, and `protect()` in the same process. What servers behind get is
 * kept; their answers are always 200.
 */
import { createConnectors } from '../../src/connectors/connectors.ts'
import { createCredentials } from '../../src/connectors/credentials.ts'
import { createGuard } from '../../src/gateway/guard.ts'
import { createProxy } from '../../src/gateway/proxy.ts'
import { createSessionIds } from '../../src/gateway/session-id.ts'
import { createView } from '../../src/gateway/view.ts'
import { createAuthenticator, type Session } from '../../src/issuer/authenticate.ts'
import { createJti } from '../../src/oauth/access-token.ts'
import { encodeBase64url } from '../../src/oauth/base64url.ts'
import { createTestIssuer, type HouseOptions, ISSUER } from '../flow/sign-in-house.ts'

/** A server that uses `protect()`, on a host of its own. */
export const PROTECTED = 'https://app.example/mcp'
/** Makes a session id at every server behind. */
export const UPSTREAM_SESSION_ID = 'upstream-session-1'

export interface Reached {
  readonly url: string
  readonly headers: Headers
}

export type Doors = ReturnType<typeof createDoors>

export function createDoors(options: HouseOptions = {}) {
  const issuer = createTestIssuer({
    ...options,
    config: { resources: [{ url: PROTECTED }], ...options.config },
  })
  const { runtime, emit, store, proofs } = issuer
  const { config, keys } = issuer.deps
  const table = new Map<string, Session>()
  const authenticator = createAuthenticator({
    runtime,
    emit,
    store,
    issuer: config.issuer,
    keys,
    table: {
      get: (digest) => table.get(digest),
      set: (digest, session) => table.set(digest, session),
      delete: (digest) => table.delete(digest),
    },
  })
  const reached: Reached[] = []
  const mcpSessionKey = runtime.randomBytes(32)
  const view = createView({
    config,
    runtime,
    connectors: createConnectors(config),
    authenticator,
    credentials: createCredentials({ config, keys, runtime }),
    sessionIds: createSessionIds({ runtime, key: () => mcpSessionKey }),
    proofs: {
      state: (vaultId) => proofs.state(vaultId),
      renew: (vaultId) => proofs.renew(vaultId),
      resolve: async () => undefined,
      touch: () => undefined,
    },
    revocation: { marked: () => false },
  })
  const proxy = createProxy({
    view,
    emit,
    runtime,
    firstByteTimeoutMs: 1_000,
    send: async ({ url, headers }) => {
      reached.push({ url, headers: new Headers(headers) })
      return Response.json({}, { headers: { 'mcp-session-id': UPSTREAM_SESSION_ID } })
    },
  })
  const guard = createGuard({ view, emit, resources: config.resources.map(({ url }) => url) })
  const base = config.issuer
  return {
    ...issuer,
    reached,
    table,
    view,
    proxy,
    guard,
    /** What the gateway answers to this `Authorization` value. */
    call: (authorization: string | undefined, connector = 'notes', more: HeadersInit = {}) =>
      proxy(callRequest(`${base}/mcp/${connector}`, authorization, more)),
    /** The status of `protect()`. */
    async protectedStatus(authorization: string | undefined, resource = PROTECTED) {
      const answer = await guard.authenticate(authorization, { resource })
      return answer.ok ? 200 : answer.refusal.status
    },
    /** A token of our key and tag, with any header and claims on top of good ones. */
    forge: (claims: Readonly<Record<string, unknown>>, header: object = {}) =>
      forge(issuer, claims, header),
  }
}

export function callRequest(
  url: string,
  authorization: string | undefined,
  more: HeadersInit = {},
): Request {
  const headers = new Headers(more)
  headers.set('content-type', 'application/json')
  if (authorization !== undefined) headers.set('authorization', authorization)
  const body = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
  return new Request(url, { method: 'POST', headers, body })
}

function forge(
  { runtime, deps }: ReturnType<typeof createTestIssuer>,
  claims: Readonly<Record<string, unknown>>,
  header: object,
): string {
  const current = deps.keys.current()
  const nowSeconds = Math.floor(runtime.nowMs() / 1000)
  const times = { iat: nowSeconds, exp: nowSeconds + 600, gid: 'grt_none', ...claims }
  const exp = Number(times.exp)
  const jti = createJti(runtime, deps.keys.tagKey(), {
    gid: String(times.gid),
    exp: Number.isSafeInteger(exp) && exp >= 0 ? exp : 0,
  })
  const whole = { iss: ISSUER, aud: `${ISSUER}/mcp/notes`, scope: 'mcp', jti, ...times }
  const part = (value: unknown) => encodeBase64url(new TextEncoder().encode(JSON.stringify(value)))
  const input = `${part({ alg: 'ES256', typ: 'at+jwt', kid: current.kid, ...header })}.${part(whole)}`
  return `${input}.${runtime.sign(current.key, input)}`
}
