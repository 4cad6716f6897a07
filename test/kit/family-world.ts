/**
 * The world around the house of the bad-input families, as plain functions behind the real egress:
 * one OpenID provider, one plain OAuth provider, documents of clients, and servers behind the gateway.
 * Whatever answers may be replaced by URL; tokens that it gives out are canaries.
 */
import * as jose from 'jose'
import type { Fetch, FetchRequest, Send } from '../../src/ports.ts'

export const OPENID = 'https://id.example'
export const PLAIN = 'https://plain.example'
export const UPSTREAM_CLIENT = 'client-at-id'
export const UPSTREAM_SECRET = 'secret-at-the-provider-0123456789'

export interface WorldAnswer {
  readonly status?: number
  /** Text and bytes as they are, all else as JSON. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface World {
  /** In the place of what answers otherwise, by URL without its query. */
  readonly answers: Map<string, (request: FetchRequest) => WorldAnswer | Promise<WorldAnswer>>
  /** Claims of the next ID token on top of good ones; `undefined` takes one away. */
  claims: Readonly<Record<string, unknown>>
  /** What userinfo says besides `sub`, at both providers. */
  person: Readonly<Record<string, unknown>>
  subject: string
  nonce: string
  /** `METHOD url` of every exchange. */
  readonly asked: string[]
  /** What reached a server behind the gateway: its body, or nothing. */
  readonly reached: { readonly url: string; readonly headers: Headers; readonly body: string }[]
  /** Tokens that were given out. */
  readonly secrets: string[]
  readonly jwk: jose.JWK
  /** A good ID token, with changes. */
  idToken(changes?: Readonly<Record<string, unknown>>, header?: object): Promise<string>
  sign(claims: Readonly<Record<string, unknown>>, header?: object): Promise<string>
  readonly fetch: Fetch
  readonly send: Send
}

export async function createWorld(nowMs: () => number): Promise<World> {
  const pair = await jose.generateKeyPair('ES256', { extractable: true })
  const jwk = { ...(await jose.exportJWK(pair.publicKey)), kid: 'id-key', alg: 'ES256', use: 'sig' }
  let issued = 0
  const secret = (kind: string): string => {
    issued += 1
    const value = `upstream-${kind}-${issued}-${crypto.randomUUID()}`
    world.secrets.push(value)
    return value
  }
  const sign: World['sign'] = (claims, header = {}) =>
    new jose.SignJWT(claims as jose.JWTPayload)
      .setProtectedHeader({ alg: 'ES256', kid: 'id-key', typ: 'JWT', ...header })
      .sign(pair.privateKey)
  const idToken: World['idToken'] = (changes = {}, header) => {
    const iat = Math.floor(nowMs() / 1000)
    const { subject: sub, nonce } = world
    const times = { iat, exp: iat + 600, auth_time: iat }
    const good = { iss: OPENID, aud: UPSTREAM_CLIENT, sub, nonce, ...times, ...world.person }
    return sign({ ...good, ...world.claims, ...changes }, header)
  }
  const tokens = (): Readonly<Record<string, unknown>> => ({
    access_token: secret('access'),
    refresh_token: secret('refresh'),
    token_type: 'Bearer',
    expires_in: 3_600,
    scope: 'openid profile email',
  })
  const usual: Readonly<Record<string, () => WorldAnswer | Promise<WorldAnswer>>> = {
    [`${OPENID}/.well-known/openid-configuration`]: () => ({ body: discoveryDocument() }),
    [`${OPENID}/jwks`]: () => ({ body: { keys: [jwk] } }),
    [`${OPENID}/token`]: async () => ({ body: { ...tokens(), id_token: await idToken() } }),
    [`${OPENID}/userinfo`]: () => ({ body: { sub: world.subject, ...world.person } }),
    [`${PLAIN}/token`]: () => ({ body: tokens() }),
    [`${PLAIN}/userinfo`]: () => ({ body: { sub: world.subject, ...world.person } }),
    [`${PLAIN}/introspect`]: () => ({ body: { active: true, sub: world.subject } }),
  }
  const world: World = {
    answers: new Map(),
    claims: {},
    person: { name: 'Ada Lovelace', email: 'ada@corp.example', email_verified: true },
    subject: 'ada',
    nonce: '',
    asked: [],
    reached: [],
    secrets: [],
    jwk,
    sign,
    idToken,
    async fetch(request) {
      world.asked.push(`${request.method} ${request.url.href}`)
      const place = `${request.url.origin}${request.url.pathname}`
      const make = world.answers.get(place) ?? usual[place]
      const { status = 200, body = {}, headers = {} } = (await make?.(request)) ?? { status: 404 }
      const isRaw = typeof body === 'string' || body instanceof Uint8Array
      const whole = new Response(isRaw ? new Uint8Array(Buffer.from(body)) : JSON.stringify(body))
      return {
        status,
        headers: new Headers({ 'content-type': 'application/json', ...headers }),
        body: whole.body,
      }
    },
    async send({ url, headers, body }) {
      const text = body === null ? '' : await new Response(body as BodyInit).text()
      world.reached.push({ url, headers, body: text })
      return Response.json({ jsonrpc: '2.0', id: 1, result: {} })
    },
  }
  return world
}

export function discoveryDocument(): Readonly<Record<string, unknown>> {
  return {
    issuer: OPENID,
    authorization_endpoint: `${OPENID}/authorize`,
    token_endpoint: `${OPENID}/token`,
    userinfo_endpoint: `${OPENID}/userinfo`,
    jwks_uri: `${OPENID}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    code_challenge_methods_supported: ['S256'],
    id_token_signing_alg_values_supported: ['ES256'],
    token_endpoint_auth_methods_supported: ['client_secret_basic'],
    scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
  }
}
