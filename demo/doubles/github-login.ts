/**
 * The part of the GitHub double that lives at github.com: the authorization page and the token
 * endpoint. Each handler names the section of docs.github.com that it follows and sends it along as
 * `X-Documentation`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { escapeHtml, readBody } from './faults.ts'
import {
  ACCESS_LIFE_SECONDS,
  type App,
  type Code,
  challengeOf,
  normalizeScopes,
  REFRESH_LIFE_SECONDS,
  type State,
  type Token,
} from './github-state.ts'
import type { Person } from './people.ts'

const DOCS = 'https://docs.github.com'
const AUTHORIZING = `${DOCS}/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps`
const AUTHORIZE_ERRORS =
  '/apps/building-integrations/setting-up-and-registering-oauth-apps/troubleshooting-authorization-request-errors'
const TOKEN_ERRORS =
  '/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors'

export interface LoginOptions {
  readonly state: State
  /** Who is signed in at GitHub in every browser, until a page is asked for. */
  readonly signedIn: () => Person | undefined
  readonly autoApprove: () => boolean
}

/**
 * GET /login/oauth/authorize: "1. Request a user's GitHub identity". POST: what the page's buttons
 * send, which GitHub does not document.
 */
export async function authorize(
  request: IncomingMessage,
  response: ServerResponse,
  options: LoginOptions,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://double')
  const query = url.searchParams
  const app = options.state.apps.find(({ clientId }) => clientId === query.get('client_id'))
  if (app === undefined) {
    html(response, 404, '<h1>404</h1>', `${AUTHORIZING}#1-request-a-users-github-identity`)
    return
  }
  const redirectUri = query.get('redirect_uri') ?? app.callbackUrl
  if (redirectUri === undefined || !isAllowedCallback(redirectUri, app)) {
    redirectError(
      response,
      app.callbackUrl ?? redirectUri,
      query,
      'redirect_uri_mismatch',
      'The redirect_uri MUST match the registered callback URL for this application.',
    )
    return
  }
  const chosen =
    request.method === 'POST'
      ? (new URLSearchParams(await readBody(request)).get('person') ?? '')
      : undefined
  if (chosen === 'nobody') {
    redirectError(
      response,
      redirectUri,
      query,
      'access_denied',
      'The user has denied your application access.',
    )
    return
  }
  const person =
    chosen === undefined ? silentPerson(query, options) : findPerson(options.state, chosen)
  if (person === undefined) {
    html(
      response,
      200,
      page(options.state, app, query),
      `${AUTHORIZING}#1-request-a-users-github-identity`,
    )
    return
  }
  const code = options.state.addCode({
    app,
    person,
    scopes: normalizeScopes(query.get('scope') ?? ''),
    redirectUri: query.get('redirect_uri') ?? undefined,
    challenge: query.get('code_challenge') ?? undefined,
  })
  const back = new URL(redirectUri)
  back.searchParams.set('code', code)
  const state = query.get('state')
  if (state !== null) back.searchParams.set('state', state)
  redirect(response, back, `${AUTHORIZING}#2-users-are-redirected-back-to-your-site-by-github`)
}

/** `login` suggests an account; `prompt=select_account` forces the picker (same section, parameters). */
function silentPerson(query: URLSearchParams, options: LoginOptions): Person | undefined {
  if (query.get('prompt') === 'select_account' || !options.autoApprove()) return undefined
  return findPerson(options.state, query.get('login') ?? '') ?? options.signedIn()
}

function findPerson(state: State, login: string): Person | undefined {
  return state.people.find((person) => person.login === login)
}

/**
 * Authorizing OAuth apps, "Redirect URLs": host and port must match and the path lie below the
 * registered one; for loopback addresses the port may differ.
 */
function isAllowedCallback(redirectUri: string, app: App): boolean {
  const asked = URL.parse(redirectUri)
  if (asked === null) return false
  const isLoopback = ['127.0.0.1', 'localhost', '[::1]'].includes(asked.hostname)
  if (app.callbackUrl === undefined) return isLoopback
  const known = new URL(app.callbackUrl)
  const isBelow =
    asked.pathname === known.pathname ||
    asked.pathname.startsWith(`${known.pathname.replace(/\/$/, '')}/`)
  return asked.hostname === known.hostname && (isLoopback || asked.port === known.port) && isBelow
}

/** Troubleshooting authorization request errors: to the registered callback, with the state. */
function redirectError(
  response: ServerResponse,
  callback: string | undefined,
  query: URLSearchParams,
  error: string,
  description: string,
): void {
  const documentation = `${DOCS}/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-authorization-request-errors`
  if (callback === undefined || !URL.canParse(callback)) {
    html(response, 404, '<h1>404</h1>', documentation)
    return
  }
  const back = new URL(callback)
  back.searchParams.set('error', error)
  back.searchParams.set('error_description', description)
  back.searchParams.set('error_uri', `${AUTHORIZE_ERRORS}/#${error.replaceAll('_', '-')}`)
  const state = query.get('state')
  if (state !== null) back.searchParams.set('state', state)
  redirect(response, back, documentation)
}

function page(state: State, app: App, query: URLSearchParams): string {
  const buttons = state.people.map(
    ({ login, name }) =>
      `<button name="person" value="${escapeHtml(login)}">Continue as ${escapeHtml(name)}</button>`,
  )
  return `<h1>Authorize ${escapeHtml(app.name)}</h1>
<p>wants: ${escapeHtml(normalizeScopes(query.get('scope') ?? '').join(', ') || 'public information')}</p>
<form method="post" action="/login/oauth/authorize?${escapeHtml(query.toString())}">
${buttons.join('\n')}
<button name="person" value="nobody">Cancel</button></form>`
}

/** POST /login/oauth/access_token: "Exchange this code for an access token" and "Refreshing user access tokens". */
export async function accessToken(
  request: IncomingMessage,
  response: ServerResponse,
  state: State,
): Promise<void> {
  const parameters = await readParameters(request)
  const { clientId, clientSecret } = readClient(request, parameters)
  const app = state.apps.find((entry) => entry.clientId === clientId)
  if (app === undefined) {
    html(
      response,
      404,
      'Not Found',
      `${AUTHORIZING}#2-users-are-redirected-back-to-your-site-by-github`,
    )
    return
  }
  const answer = app.clientSecret === clientSecret ? grant(state, app, parameters) : CREDENTIALS
  const documentation =
    'error' in answer
      ? `${DOCS}${TOKEN_ERRORS}`
      : `${AUTHORIZING}#2-users-are-redirected-back-to-your-site-by-github`
  writeByAccept(request, response, answer, documentation)
}

type TokenAnswer = Readonly<Record<string, string | number>>

const CREDENTIALS: TokenAnswer = refusal(
  'incorrect_client_credentials',
  'The client_id and/or client_secret passed are incorrect.',
)

function grant(state: State, app: App, parameters: URLSearchParams): TokenAnswer {
  if (parameters.get('grant_type') === 'refresh_token') {
    const rotated = state.rotate(parameters.get('refresh_token') ?? '', app)
    return rotated === undefined
      ? refusal('bad_refresh_token', 'The refresh token passed is incorrect or expired.')
      : tokenAnswer(rotated)
  }
  const code = state.takeCode(parameters.get('code') ?? '')
  if (code === undefined || code.app !== app || !isVerified(code, parameters)) {
    return refusal('bad_verification_code', 'The code passed is incorrect or expired.')
  }
  const redirectUri = parameters.get('redirect_uri')
  if (redirectUri !== null && code.redirectUri !== undefined && redirectUri !== code.redirectUri) {
    return refusal(
      'redirect_uri_mismatch',
      'The redirect_uri MUST match the registered callback URL for this application.',
    )
  }
  return tokenAnswer(state.issue(app, code.person, code.scopes))
}

function isVerified(code: Code, parameters: URLSearchParams): boolean {
  return (
    code.challenge === undefined ||
    challengeOf(parameters.get('code_verifier') ?? '') === code.challenge
  )
}

function tokenAnswer(token: Token): TokenAnswer {
  const base = { access_token: token.value, scope: token.scopes.join(','), token_type: 'bearer' }
  if (token.refreshToken === undefined) return base
  return {
    ...base,
    expires_in: ACCESS_LIFE_SECONDS,
    refresh_token: token.refreshToken,
    refresh_token_expires_in: REFRESH_LIFE_SECONDS,
  }
}

/** Troubleshooting OAuth app access token request errors: status 200, the format by `Accept`. */
function refusal(error: string, description: string): TokenAnswer {
  return {
    error,
    error_description: description,
    error_uri: `${TOKEN_ERRORS}/#${error.replaceAll('_', '-')}`,
  }
}

function writeByAccept(
  request: IncomingMessage,
  response: ServerResponse,
  answer: TokenAnswer,
  documentation: string,
): void {
  const wantsJson = /application\/(?:[a-z.]+\+)?json/.test(request.headers.accept ?? '')
  const form = new URLSearchParams(
    Object.entries(answer).map(([name, value]) => [name, String(value)]),
  )
  const type = wantsJson ? 'application/json' : 'application/x-www-form-urlencoded'
  response.writeHead(200, {
    'content-type': `${type}; charset=utf-8`,
    'cache-control': 'max-age=0, private, must-revalidate',
    'x-documentation': documentation,
  })
  response.end(wantsJson ? JSON.stringify(answer) : form.toString())
}

async function readParameters(request: IncomingMessage): Promise<URLSearchParams> {
  const body = await readBody(request)
  const isJson = (request.headers['content-type'] ?? '').includes('json')
  const inBody = isJson
    ? Object.entries(JSON.parse(body) as Record<string, string>)
    : [...new URLSearchParams(body)]
  return new URLSearchParams([
    ...new URL(request.url ?? '/', 'http://double').searchParams,
    ...inBody,
  ])
}

/** In the form as documented; Basic is accepted as well, as GitHub does. */
function readClient(
  request: IncomingMessage,
  parameters: URLSearchParams,
): { clientId: string | null; clientSecret: string | null } {
  return (
    basicOf(request) ?? {
      clientId: parameters.get('client_id'),
      clientSecret: parameters.get('client_secret'),
    }
  )
}

export function basicOf(
  request: IncomingMessage,
): { clientId: string; clientSecret: string } | undefined {
  const credentials = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  if (credentials === undefined) return undefined
  const pair = Buffer.from(credentials, 'base64').toString('utf8')
  const cut = pair.indexOf(':')
  return { clientId: pair.slice(0, cut), clientSecret: pair.slice(cut + 1) }
}

function redirect(response: ServerResponse, to: URL, documentation: string): void {
  response
    .writeHead(302, {
      location: to.href,
      'cache-control': 'no-cache',
      'x-documentation': documentation,
    })
    .end()
}

function html(response: ServerResponse, status: number, body: string, documentation: string): void {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'x-documentation': documentation,
  })
  response.end(`<!doctype html><html lang="en"><title>GitHub double</title>${body}</html>`)
}
