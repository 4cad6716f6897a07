/**
 * Sign-ins of the demo, each a real authorization code flow with PKCE: as an MCP client at Postern
 * (RFC 9728 and 8414 discovery, dynamic registration), and as an OAuth client at a provider.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Visitor } from './visitor.ts'

const EXCHANGE_TIMEOUT_MS = 20_000

export interface Tokens {
  readonly accessToken: string
  readonly refreshToken?: string
}

export interface SignedInClient extends Tokens {
  readonly clientId: string
  readonly tokenEndpoint: string
}

/** Signs a person in to an MCP server as any MCP client would, with nothing known but its URL. */
export async function signInAsClient(options: {
  readonly resource: string
  readonly redirectUri: string
  readonly visitor: Visitor
  /** Default: what the server gives a client that asks for nothing. */
  readonly scope?: string
}): Promise<SignedInClient> {
  const server = await discover(options.resource)
  const registered = await readJson(server.registrationEndpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Demo client',
      redirect_uris: [options.redirectUri],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    }),
  })
  const clientId = text(registered, 'client_id')
  const tokens = await authorize({
    authorizationEndpoint: server.authorizationEndpoint,
    tokenEndpoint: server.tokenEndpoint,
    clientId,
    redirectUri: options.redirectUri,
    parameters: {
      resource: options.resource,
      ...(options.scope === undefined ? {} : { scope: options.scope }),
    },
    visitor: options.visitor,
  })
  return { ...tokens, clientId, tokenEndpoint: server.tokenEndpoint }
}

export async function refresh(client: SignedInClient): Promise<SignedInClient> {
  if (client.refreshToken === undefined) throw new Error('there is no refresh token')
  const answer = await readJson(client.tokenEndpoint, {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: client.refreshToken,
      client_id: client.clientId,
    }),
  })
  return { ...client, ...tokensOf(answer) }
}

interface CodeFlow {
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  readonly clientId: string
  readonly clientSecret?: string
  readonly redirectUri: string
  /** Added to the first request; `resource` also to the second. */
  readonly parameters: Readonly<Record<string, string>>
  readonly visitor: Visitor
  /** Says at the token endpoint who calls. */
  readonly userAgent?: string
}

/** One authorization code flow with PKCE, the person played by the visitor. */
export async function authorize(flow: CodeFlow): Promise<Tokens> {
  const verifier = randomBytes(32).toString('base64url')
  const state = randomBytes(16).toString('base64url')
  const url = new URL(flow.authorizationEndpoint)
  const parameters = {
    ...flow.parameters,
    response_type: 'code',
    client_id: flow.clientId,
    redirect_uri: flow.redirectUri,
    state,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  }
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  const callback = await flow.visitor.visit(url, flow.redirectUri)
  const code = callback.searchParams.get('code')
  if (code === null || callback.searchParams.get('state') !== state) {
    throw new Error(`no code came back: ${callback.searchParams.get('error') ?? 'other state'}`)
  }
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    code,
    redirect_uri: flow.redirectUri,
    ...(flow.clientSecret === undefined ? { client_id: flow.clientId } : {}),
    code_verifier: verifier,
  })
  if (flow.parameters.resource !== undefined) body.set('resource', flow.parameters.resource)
  const headers = {
    accept: 'application/json',
    'user-agent': flow.userAgent ?? 'demo-client',
    ...(flow.clientSecret === undefined
      ? {}
      : { authorization: basic(flow.clientId, flow.clientSecret) }),
  }
  const request = { method: 'POST', headers, body }
  return tokensOf(await readJson(flow.tokenEndpoint, request))
}

/** RFC 6749 section 2.3.1. */
export function basic(clientId: string, clientSecret: string): string {
  const pair = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`
  return `Basic ${Buffer.from(pair).toString('base64')}`
}

interface AuthorizationServer {
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  readonly registrationEndpoint: string
}

/** The 401's `resource_metadata` (RFC 9728), then the authorization server's document (RFC 8414). */
async function discover(resource: string): Promise<AuthorizationServer> {
  const refused = await fetch(resource, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }),
    signal: AbortSignal.timeout(EXCHANGE_TIMEOUT_MS),
  })
  await refused.text()
  const challenge = refused.headers.get('www-authenticate') ?? ''
  const metadataUrl = /resource_metadata="([^"]+)"/.exec(challenge)?.[1]
  if (refused.status !== 401 || metadataUrl === undefined) {
    throw new Error(`${resource} answered ${refused.status} without resource_metadata`)
  }
  const metadata = await readJson(metadataUrl)
  const servers: unknown = metadata['authorization_servers']
  const issuer: unknown = Array.isArray(servers) ? servers[0] : undefined
  if (typeof issuer !== 'string') throw new Error(`${metadataUrl} names no authorization server`)
  const path = new URL(issuer).pathname.replace(/\/$/, '')
  const server = await readJson(
    new URL(`/.well-known/oauth-authorization-server${path}`, issuer).href,
  )
  return {
    authorizationEndpoint: text(server, 'authorization_endpoint'),
    tokenEndpoint: text(server, 'token_endpoint'),
    registrationEndpoint: text(server, 'registration_endpoint'),
  }
}

type Json = Readonly<Record<string, unknown>>

export async function readJson(url: string, request: RequestInit = {}): Promise<Json> {
  const signal = AbortSignal.timeout(EXCHANGE_TIMEOUT_MS)
  const response = await fetch(url, { ...request, redirect: 'manual', signal })
  const body: unknown = await response.json().catch(() => undefined)
  if (!response.ok || typeof body !== 'object' || body === null) {
    const { origin, pathname } = new URL(url)
    const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : ''
    throw new Error(`${origin}${pathname} answered ${response.status} ${String(error)}`)
  }
  return { ...body }
}

function text(object: Json, name: string): string {
  const value = object[name]
  if (typeof value !== 'string') throw new Error(`the answer has no ${name}`)
  return value
}

function tokensOf(answer: Json): Tokens {
  const refreshToken = answer['refresh_token']
  return {
    accessToken: text(answer, 'access_token'),
    ...(typeof refreshToken === 'string' ? { refreshToken } : {}),
  }
}
