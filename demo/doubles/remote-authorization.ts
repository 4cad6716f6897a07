/**
 * The authorization server of a remote MCP server: metadata, registration, consent without a page,
 * codes with PKCE, rotating refresh tokens, revocation and pushed requests. It is strict about what
 * the standards demand of a client, so that a wrong client fails here and not only in the field.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { readBody } from './faults.ts'
import type { RemoteSettings } from './remote-server.ts'

type Json = Readonly<Record<string, unknown>>

interface RegisteredClient {
  readonly redirectUris: readonly string[]
  readonly method: string
  readonly secret?: string
}
interface Family {
  readonly clientId: string
  readonly person: string
  readonly scopes: readonly string[]
  readonly resource: string
  isLive: boolean
}
interface AccessToken extends Family {
  readonly expiresAtMs: number
}
interface Code {
  readonly clientId: string
  readonly redirectUri: string
  readonly challenge: string
  readonly scopes: readonly string[]
  readonly resource: string
  readonly person: string
}

export interface AuthorizationState {
  readonly issuer: string
  readonly settings: RemoteSettings
  readonly clients: Map<string, RegisteredClient>
  readonly codes: Map<string, Code>
  readonly pushed: Map<string, URLSearchParams>
  readonly accessTokens: Map<string, { family: Family; expiresAtMs: number }>
  readonly refreshTokens: Map<string, { family: Family; uses: number }>
  readonly tokenCalls: [string, URLSearchParams][]
  readonly nowMs: () => number
  live(accessToken: string): AccessToken | undefined
  tokensOf(person: string): readonly string[]
  expireAccessTokens(): void
  revokeEverything(): void
  publish(document: Json, request: IncomingMessage, response: ServerResponse): void
}

export function createAuthorizationState(options: {
  issuer: string
  settings: RemoteSettings
  nowMs: () => number
}): AuthorizationState {
  const { settings, nowMs } = options
  const accessTokens: AuthorizationState['accessTokens'] = new Map()
  const refreshTokens: AuthorizationState['refreshTokens'] = new Map()
  const live = (accessToken: string): AccessToken | undefined => {
    const found = accessTokens.get(accessToken)
    if (found === undefined || !found.family.isLive || found.expiresAtMs <= nowMs())
      return undefined
    return { ...found.family, expiresAtMs: found.expiresAtMs }
  }
  return {
    ...options,
    clients: new Map(),
    codes: new Map(),
    pushed: new Map(),
    accessTokens,
    refreshTokens,
    tokenCalls: [],
    live,
    tokensOf: (person) =>
      [...accessTokens.keys()].filter((token) => live(token)?.person === person),
    expireAccessTokens: () => accessTokens.clear(),
    revokeEverything() {
      accessTokens.clear()
      refreshTokens.clear()
    },
    publish(document, request, response) {
      const instead = settings.answerHeaders(request.headers)
      if (instead !== undefined) {
        response.writeHead(instead.status).end(instead.body)
        return
      }
      const body = JSON.stringify(document)
      const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 16)}"`
      const headers = {
        'content-type': 'application/json',
        ...(settings.cacheControl === undefined ? {} : { 'cache-control': settings.cacheControl }),
        ...(settings.cors ? { 'access-control-allow-origin': '*' } : {}),
        ...(settings.etag ? { etag } : {}),
      }
      if (settings.etag && request.headers['if-none-match'] === etag) {
        response.writeHead(304, headers).end()
      } else response.writeHead(200, headers).end(body)
    },
  }
}

/** False when the path is none of the authorization server's. */
export async function answerAuthorization(
  state: AuthorizationState,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const url = new URL(request.url ?? '/', state.issuer)
  const base = new URL(state.issuer).pathname.replace(/\/$/, '')
  const path = url.pathname
  if (path === `/.well-known/oauth-authorization-server${base}`) {
    state.publish(state.settings.editServer(serverDocument(state)), request, response)
  } else if (path === `${base}/authorize`) authorize(state, url.searchParams, response)
  else if (request.method !== 'POST') return false
  else if (path === `${base}/register`) await register(state, request, response)
  else if (path === `${base}/par`) await push(state, request, response)
  else if (path === `${base}/token`) await token(state, request, response)
  else if (path === `${base}/revoke`) await revoke(state, request, response)
  else return false
  return true
}

function serverDocument({ issuer, settings }: AuthorizationState): Json {
  const at = (name: string): string => `${issuer}/${name}`
  return {
    issuer,
    authorization_endpoint: at('authorize'),
    token_endpoint: at('token'),
    revocation_endpoint: at('revoke'),
    ...(settings.registration ? { registration_endpoint: at('register') } : {}),
    response_types_supported: ['code'],
    grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials'],
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
    scopes_supported: ['notes:read', 'notes:write', 'offline_access'],
    ...(settings.issParameter ? { authorization_response_iss_parameter_supported: true } : {}),
    ...(settings.metadataDocuments ? { client_id_metadata_document_supported: true } : {}),
    ...(settings.pushedRequests === 'none'
      ? {}
      : { pushed_authorization_request_endpoint: at('par') }),
    ...(settings.pushedRequests === 'required'
      ? { require_pushed_authorization_requests: true }
      : {}),
  }
}

async function register(
  state: AuthorizationState,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (!state.settings.registration) return json(response, 404, { error: 'not_found' })
  const input = JSON.parse(await readBody(request)) as Json
  const redirectUris = input['redirect_uris']
  if (!Array.isArray(redirectUris) || redirectUris.length === 0) {
    return json(response, 400, { error: 'invalid_redirect_uri' })
  }
  const method = String(input['token_endpoint_auth_method'] ?? 'client_secret_basic')
  const clientId = `client_${randomBytes(9).toString('base64url')}`
  const secret = method === 'none' ? undefined : randomBytes(18).toString('base64url')
  state.clients.set(clientId, {
    redirectUris: redirectUris.map(String),
    method,
    ...(secret === undefined ? {} : { secret }),
  })
  const seconds = state.settings.clientSecretSeconds
  const expires = seconds === undefined ? 0 : Math.floor(state.nowMs() / 1000) + seconds
  json(response, 201, {
    ...input,
    client_id: clientId,
    client_id_issued_at: Math.floor(state.nowMs() / 1000),
    ...(secret === undefined ? {} : { client_secret: secret, client_secret_expires_at: expires }),
  })
}

async function push(
  state: AuthorizationState,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const form = new URLSearchParams(await readBody(request))
  if ((await clientOf(state, request, form)) === undefined)
    return json(response, 401, { error: 'invalid_client' })
  const uri = `urn:ietf:params:oauth:request_uri:${randomBytes(12).toString('base64url')}`
  state.pushed.set(uri, form)
  json(response, 201, { request_uri: uri, expires_in: 60 })
}

/** The same address once more, with a word that the page adds. */
function showSignIn(
  { settings }: AuthorizationState,
  query: URLSearchParams,
  response: ServerResponse,
) {
  const fields = [...query].map(
    ([name, value]) => `<input type="hidden" name="${inMarkup(name)}" value="${inMarkup(value)}">`,
  )
  response.writeHead(200, { 'content-type': 'text/html', ...settings.signInPage })
  response.end(
    `<!doctype html><html lang="en"><title>Sign in</title><h1>Sign in</h1><form>${fields.join('')}<button name="signed-in" value="1">Sign in as ${inMarkup(settings.person)}</button></form>`,
  )
}

function inMarkup(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** Everybody who comes here is signed in as `settings.person` and agrees. */
function authorize(
  state: AuthorizationState,
  query: URLSearchParams,
  response: ServerResponse,
): undefined {
  if (state.settings.signInPage !== undefined && !query.has('signed-in')) {
    showSignIn(state, query, response)
    return
  }
  const uri = query.get('request_uri')
  const asked = uri === null ? query : state.pushed.get(uri)
  if (asked === undefined || (uri === null && state.settings.pushedRequests === 'required')) {
    return json(response, 400, { error: 'invalid_request' })
  }
  if (uri !== null) state.pushed.delete(uri)
  const clientId = asked.get('client_id') ?? ''
  const redirectUri = asked.get('redirect_uri') ?? ''
  const known = state.clients.get(clientId)
  const isDocument = state.settings.metadataDocuments && /^https?:/.test(clientId)
  if (!isDocument && known?.redirectUris.includes(redirectUri) !== true) {
    return json(response, 400, { error: 'invalid_request', error_description: 'unknown client' })
  }
  const back = new URL(redirectUri)
  const sent = asked.get('state')
  if (sent !== null) back.searchParams.set('state', sent)
  if (state.settings.issParameter) back.searchParams.set('iss', state.issuer)
  const challenge = asked.get('code_challenge')
  if (challenge === null || asked.get('code_challenge_method') !== 'S256') {
    back.searchParams.set('error', 'invalid_request')
  } else {
    const code = randomBytes(18).toString('base64url')
    state.codes.set(code, {
      clientId,
      redirectUri,
      challenge,
      scopes: (asked.get('scope') ?? 'notes:read').split(' ').filter((scope) => scope !== ''),
      resource: asked.get('resource') ?? '',
      person: state.settings.person,
    })
    back.searchParams.set('code', code)
  }
  response.writeHead(302, { location: back.href }).end()
}

async function token(
  state: AuthorizationState,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const form = new URLSearchParams(await readBody(request))
  const grantType = form.get('grant_type') ?? ''
  state.tokenCalls.push([grantType, form])
  const clientId = await clientOf(state, request, form)
  if (clientId === undefined) return json(response, 401, { error: 'invalid_client' })
  const family = familyOf(state, grantType, clientId, form)
  const delayMs = state.settings.tokenDelayMs()
  const answer =
    family === undefined ? { error: 'invalid_grant' } : issue(state, family, grantType, form)
  if (delayMs > 0) await pause(delayMs, undefined, { ref: false })
  json(response, family === undefined ? 400 : 200, answer)
}

function familyOf(
  state: AuthorizationState,
  grantType: string,
  clientId: string,
  form: URLSearchParams,
): Family | undefined {
  if (grantType === 'client_credentials') {
    const scopes = (form.get('scope') ?? 'notes:read').split(' ')
    return {
      clientId,
      person: clientId,
      scopes,
      resource: form.get('resource') ?? '',
      isLive: true,
    }
  }
  if (grantType === 'authorization_code') {
    const code = state.codes.get(form.get('code') ?? '')
    state.codes.delete(form.get('code') ?? '')
    const verifier = form.get('code_verifier') ?? ''
    const proves = createHash('sha256').update(verifier).digest('base64url') === code?.challenge
    if (code === undefined || !proves || code.clientId !== clientId) return undefined
    if (
      code.redirectUri !== form.get('redirect_uri') ||
      code.resource !== (form.get('resource') ?? '')
    )
      return undefined
    return { ...code, isLive: true }
  }
  const known = state.refreshTokens.get(form.get('refresh_token') ?? '')
  if (known === undefined || !known.family.isLive || known.family.clientId !== clientId)
    return undefined
  known.uses += 1
  const { refreshTokens } = state.settings
  if (known.uses > (refreshTokens === 'tolerant' ? 2 : 1) && refreshTokens !== 'keep') {
    known.family.isLive = false
    return undefined
  }
  return known.family
}

function issue(
  state: AuthorizationState,
  family: Family,
  grantType: string,
  form: URLSearchParams,
): Json {
  const accessToken = `remote_at_${randomBytes(18).toString('base64url')}`
  const seconds = state.settings.accessTokenSeconds
  state.accessTokens.set(accessToken, { family, expiresAtMs: state.nowMs() + seconds * 1000 })
  const keeps = grantType === 'refresh_token' && state.settings.refreshTokens === 'keep'
  const isRefreshable = grantType !== 'client_credentials' && !keeps
  const refreshToken = `remote_rt_${randomBytes(18).toString('base64url')}`
  if (isRefreshable) state.refreshTokens.set(refreshToken, { family, uses: 0 })
  return {
    access_token: accessToken,
    token_type: 'Bearer',
    expires_in: seconds,
    ...(isRefreshable ? { refresh_token: refreshToken } : {}),
    scope: form.get('scope') ?? family.scopes.join(' '),
  }
}

async function revoke(
  state: AuthorizationState,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const form = new URLSearchParams(await readBody(request))
  if ((await clientOf(state, request, form)) === undefined)
    return json(response, 401, { error: 'invalid_client' })
  const presented = form.get('token') ?? ''
  const refreshed = state.refreshTokens.get(presented)
  if (refreshed !== undefined) refreshed.family.isLive = false
  state.accessTokens.delete(presented)
  response.writeHead(200).end()
}

/** Exactly one way of authentication, the registered one; a document client names itself. */
async function clientOf(
  state: AuthorizationState,
  request: IncomingMessage,
  form: URLSearchParams,
): Promise<string | undefined> {
  const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1]
  const [user, password] = basic === undefined ? [] : decodeBasic(basic)
  const clientId = user ?? form.get('client_id') ?? ''
  const known = state.clients.get(clientId)
  if (known === undefined) {
    return state.settings.metadataDocuments && /^https?:/.test(clientId) ? clientId : undefined
  }
  const posted = form.get('client_secret') ?? undefined
  if (password !== undefined && posted !== undefined) return undefined
  const method =
    password !== undefined
      ? 'client_secret_basic'
      : posted !== undefined
        ? 'client_secret_post'
        : 'none'
  return method === known.method && (password ?? posted) === known.secret ? clientId : undefined
}

function decodeBasic(text: string): readonly [string, string] {
  const plain = Buffer.from(text, 'base64').toString('utf8')
  const colon = plain.indexOf(':')
  const decode = (part: string): string => decodeURIComponent(part.replaceAll('+', ' '))
  return [decode(plain.slice(0, colon)), decode(plain.slice(colon + 1))]
}

function json(response: ServerResponse, status: number, body: Json): undefined {
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(JSON.stringify(body))
}
