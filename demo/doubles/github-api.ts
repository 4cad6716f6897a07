/**
 * The part of the GitHub double that lives at api.github.com. Each handler names the section of
 * docs.github.com that it follows and sends it along: `documentation_url` in errors as GitHub does,
 * `X-Documentation` on every answer.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { readBody } from './faults.ts'
import { basicOf } from './github-login.ts'
import { type App, HOURLY_LIMIT, type State, type Token } from './github-state.ts'
import type { Person } from './people.ts'

const DOCS = 'https://docs.github.com/rest'
const RATE_LIMITS = `${DOCS}/using-the-rest-api/rate-limits-for-the-rest-api`
const OAUTH_APPS = `${DOCS}/apps/oauth-applications`

export interface ApiOptions {
  readonly state: State
  /** A limit that everybody has run into, or none. */
  readonly limit: () => Throttle | undefined
}

export interface Throttle {
  readonly kind: 'primary' | 'secondary'
  readonly status: 403 | 429
  readonly retryAfterSeconds?: number
}

interface Reply {
  readonly status: number
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

interface Call {
  readonly state: State
  readonly token: Token
  readonly path: string
}

interface Route {
  readonly documentation: string
  readonly accepted: string
  readonly answer: (call: Call) => Reply
}

/** Scopes for OAuth apps, and permissions of GitHub Apps, by what they open. */
const EMAILS = ['user', 'user:email', 'email_addresses:read']
const MEMBERS = ['read:org', 'write:org', 'admin:org', 'members:read']

function may(token: Token, names: readonly string[]): boolean {
  return (token.app.permissions ?? token.scopes).some((name) => names.includes(name))
}

/** Paths that a user's token opens, with the section each follows. */
const USER_PATHS: Readonly<Record<string, Route>> = {
  '/user': {
    documentation: `${DOCS}/users/users#get-the-authenticated-user`,
    accepted: '',
    answer: ({ token }) => ({ status: 200, body: publicUser(token.person) }),
  },
  '/user/emails': {
    documentation: `${DOCS}/users/emails#list-email-addresses-for-the-authenticated-user`,
    accepted: 'user, user:email',
    answer: ({ token }) =>
      may(token, EMAILS)
        ? { status: 200, body: emails(token.person) }
        : {
            status: 404,
            body: notFound(`${DOCS}/users/emails#list-email-addresses-for-the-authenticated-user`),
          },
  },
  '/user/repos': {
    documentation: `${DOCS}/repos/repos#list-repositories-for-the-authenticated-user`,
    accepted: '',
    answer: ({ token }) => ({ status: 200, body: repositories(token.person) }),
  },
  '/user/orgs': {
    documentation: `${DOCS}/orgs/orgs#list-organizations-for-the-authenticated-user`,
    accepted: 'admin:org, read:org, repo, user, write:org',
    answer: ({ token }) =>
      token.scopes.some((scope) => ['user', 'read:org', 'write:org', 'admin:org'].includes(scope))
        ? {
            status: 200,
            body: token.person.groups.map((login, index) => ({ login, id: 2001 + index })),
          }
        : {
            status: 403,
            body: {
              message: 'You need at least read:org scope or user scope to list your organizations.',
              documentation_url: `${DOCS}/orgs/orgs#list-organizations-for-the-authenticated-user`,
              status: '403',
            },
          },
  },
}

export async function api(
  request: IncomingMessage,
  response: ServerResponse,
  options: ApiOptions,
): Promise<void> {
  const path = new URL(request.url ?? '/', 'http://double').pathname.replace(/^\/api\/v3/, '')
  // Troubleshooting the REST API, "User agent required".
  if (request.headers['user-agent'] === undefined) {
    response.writeHead(403, {
      'content-type': 'text/html',
      'x-documentation': `${DOCS}/using-the-rest-api/troubleshooting-the-rest-api#user-agent-required`,
    })
    response.end(
      'Request forbidden by administrative rules. Please make sure your request has a User-Agent header',
    )
    return
  }
  const application = /^\/applications\/([^/]+)\/(token|grant)$/.exec(path)
  if (application !== null) {
    const [, clientId = '', kind = ''] = application
    await answerApplication(request, response, options, {
      clientId: decodeURIComponent(clientId),
      kind,
    })
    return
  }
  answerUser(request, response, options, path)
}

function answerUser(
  request: IncomingMessage,
  response: ServerResponse,
  options: ApiOptions,
  path: string,
): void {
  const route = USER_PATHS[path] ?? membershipRoute(path)
  const documentation = route?.documentation ?? DOCS
  const value = /^(?:bearer|token) (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  const token = value === undefined ? undefined : options.state.findToken(value)
  if (token === undefined) {
    // Authenticating to the REST API, "Failed login limit": 401 and exactly this message.
    const message = value === undefined ? 'Requires authentication' : 'Bad credentials'
    send(
      response,
      { status: 401, body: { message, documentation_url: DOCS, status: '401' } },
      documentation,
    )
    return
  }
  if (route === undefined) {
    send(response, { status: 404, body: notFound(DOCS) }, documentation)
    return
  }
  const throttle = options.limit()
  if (throttle !== undefined) {
    sendThrottle(response, throttle, token, options.state)
    return
  }
  const reply = route.answer({ state: options.state, token, path })
  const body = JSON.stringify(reply.body)
  const etag = `W/"${createHash('sha256').update(`${token.value}\n${body}`).digest('hex')}"`
  // Best practices, "Use conditional requests if appropriate": a 304 does not count.
  const isUnchanged = reply.status === 200 && request.headers['if-none-match'] === etag
  const limit = options.state.countRequest(`user:${token.person.id}`, isUnchanged)
  if (limit.used > HOURLY_LIMIT) {
    sendThrottle(response, { kind: 'primary', status: 403 }, token, options.state)
    return
  }
  const headers = {
    // Differences between GitHub Apps and OAuth apps: permissions, no scopes.
    ...(token.app.permissions === undefined
      ? {
          'x-oauth-scopes': token.scopes.join(', '),
          'x-accepted-oauth-scopes': route.accepted,
          'x-oauth-client-id': token.app.clientId,
        }
      : {}),
    ...(token.expiresAtMs === undefined
      ? {}
      : { 'github-authentication-token-expiration': expiry(token.expiresAtMs) }),
    ...(reply.status === 200
      ? { etag, 'cache-control': 'private, max-age=60, s-maxage=60', vary: 'Accept, Authorization' }
      : {}),
    ...rateHeaders(limit.used, limit.resetSeconds),
  }
  send(response, isUnchanged ? { status: 304, headers } : { ...reply, headers }, documentation)
}

/**
 * Organization members, "Get an organization membership for the authenticated user"; team members,
 * "Get team membership for a user". Who may not see a membership gets the 404 of who has none.
 */
function membershipRoute(path: string): Route | undefined {
  const organization = /^\/user\/memberships\/orgs\/([^/]+)$/.exec(path)?.[1]
  if (organization !== undefined) {
    return membership(
      `${DOCS}/orgs/members#get-an-organization-membership-for-the-authenticated-user`,
      ({ token }) => token.person.groups.includes(decodeURIComponent(organization)),
    )
  }
  const [, owner, slug, login = ''] =
    /^\/orgs\/([^/]+)\/teams\/([^/]+)\/memberships\/([^/]+)$/.exec(path) ?? []
  if (owner === undefined) return undefined
  return membership(`${DOCS}/teams/members#get-team-membership-for-a-user`, ({ state }) =>
    (state.teams[`${owner}/${slug}`] ?? []).includes(login),
  )
}

function membership(documentation: string, isMember: (call: Call) => boolean): Route {
  return {
    documentation,
    accepted: 'admin:org, read:org, write:org',
    answer: (call) =>
      may(call.token, MEMBERS) && isMember(call)
        ? { status: 200, body: { state: 'active', role: 'member', url: documentation } }
        : { status: 404, body: notFound(documentation) },
  }
}

/** REST, OAuth applications: "Check a token", "Delete an app token", "Delete an app authorization". */
async function answerApplication(
  request: IncomingMessage,
  response: ServerResponse,
  { state }: ApiOptions,
  asked: { clientId: string; kind: string },
): Promise<void> {
  const section =
    asked.kind === 'grant'
      ? 'delete-an-app-authorization'
      : request.method === 'DELETE'
        ? 'delete-an-app-token'
        : 'check-a-token'
  const documentation = `${OAUTH_APPS}#${section}`
  const reply = (answer: Reply) => send(response, answer, documentation)
  const basic = basicOf(request)
  const app = state.apps.find((entry) => entry.clientId === asked.clientId)
  if (
    app === undefined ||
    basic?.clientId !== app.clientId ||
    basic.clientSecret !== app.clientSecret
  ) {
    reply({
      status: 401,
      body: { message: 'Bad credentials', documentation_url: DOCS, status: '401' },
    })
    return
  }
  const limit = state.countRequest(`app:${app.clientId}`, false)
  const headers = rateHeaders(limit.used, limit.resetSeconds)
  const value = readAccessToken(await readBody(request))
  if (value === undefined) {
    reply({
      status: 422,
      headers,
      body: { message: 'Validation Failed', documentation_url: documentation, status: '422' },
    })
    return
  }
  const token = state.findToken(value)
  if (token === undefined || token.app !== app) {
    reply({ status: 404, headers, body: notFound(documentation) })
    return
  }
  if (request.method === 'POST' && asked.kind === 'token') {
    reply({ status: 200, headers, body: authorization(token) })
    return
  }
  if (asked.kind === 'grant')
    state.dropTokens((other) => other.app === app && other.person === token.person)
  else state.dropToken(token.value)
  reply({ status: 204, headers })
}

/** Rate limits for the REST API, "Exceeding the rate limit". */
function sendThrottle(
  response: ServerResponse,
  throttle: Throttle,
  token: Token,
  state: State,
): void {
  const isPrimary = throttle.kind === 'primary'
  const { resetSeconds } = state.countRequest(`user:${token.person.id}`, true)
  const retryAfter = throttle.retryAfterSeconds
  send(
    response,
    {
      status: throttle.status,
      headers: {
        ...(isPrimary ? rateHeaders(HOURLY_LIMIT, resetSeconds) : {}),
        ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
      },
      body: {
        message: isPrimary
          ? `API rate limit exceeded for user ID ${token.person.id}.`
          : 'You have exceeded a secondary rate limit. Please wait a few minutes before you try again.',
        documentation_url: isPrimary ? RATE_LIMITS : `${RATE_LIMITS}#about-secondary-rate-limits`,
        status: String(throttle.status),
      },
    },
    `${RATE_LIMITS}#exceeding-the-rate-limit`,
  )
}

/** Rate limits for the REST API, "Checking the status of your rate limit". */
function rateHeaders(used: number, resetSeconds: number): Record<string, string> {
  return {
    'x-ratelimit-limit': String(HOURLY_LIMIT),
    'x-ratelimit-remaining': String(Math.max(0, HOURLY_LIMIT - used)),
    'x-ratelimit-used': String(used),
    'x-ratelimit-reset': String(resetSeconds),
    'x-ratelimit-resource': 'core',
  }
}

function send(response: ServerResponse, reply: Reply, documentation: string): void {
  const hasBody = reply.body !== undefined && reply.status !== 304 && reply.status !== 204
  response.writeHead(reply.status, {
    ...(hasBody ? { 'content-type': 'application/json; charset=utf-8' } : {}),
    'x-github-media-type': 'github.v3; format=json',
    'x-github-api-version-selected': '2022-11-28',
    'x-github-request-id': randomUUID(),
    'x-documentation': documentation,
    ...reply.headers,
  })
  response.end(hasBody ? JSON.stringify(reply.body) : undefined)
}

function readAccessToken(body: string): string | undefined {
  try {
    const { access_token: value } = JSON.parse(body) as { access_token?: unknown }
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

function publicUser(person: Person): Record<string, unknown> {
  const { login, id, name, email } = person
  const self = `https://api.github.com/users/${login}`
  return {
    login,
    id,
    node_id: Buffer.from(`04:User${id}`).toString('base64'),
    avatar_url: `https://avatars.githubusercontent.com/u/${id}?v=4`,
    gravatar_id: '',
    url: self,
    html_url: `https://github.com/${login}`,
    repos_url: `${self}/repos`,
    organizations_url: `${self}/orgs`,
    type: 'User',
    user_view_type: 'public',
    site_admin: false,
    name,
    company: null,
    blog: '',
    location: null,
    email,
    hireable: null,
    bio: null,
    public_repos: 2,
    public_gists: 0,
    followers: 3,
    following: 4,
    created_at: '2015-12-10T00:00:00Z',
    updated_at: '2026-01-01T00:00:00Z',
  }
}

function emails(person: Person): unknown[] {
  return [
    { email: person.email, primary: true, verified: true, visibility: 'public' },
    { email: `${person.login}@old.example`, primary: false, verified: false, visibility: null },
  ]
}

function repositories(person: Person): unknown[] {
  return ['engine', 'notes'].map((name, index) => ({
    id: person.id * 10 + index,
    name,
    full_name: `${person.login}/${name}`,
    private: false,
    owner: { login: person.login, id: person.id },
    html_url: `https://github.com/${person.login}/${name}`,
  }))
}

function authorization(token: Token): Record<string, unknown> {
  return {
    id: 1,
    url: 'https://api.github.com/authorizations/1',
    app: appOf(token.app),
    token: token.value,
    hashed_token: createHash('sha256').update(token.value).digest('hex'),
    token_last_eight: token.value.slice(-8),
    note: null,
    note_url: null,
    created_at: new Date(token.createdAtMs).toISOString(),
    updated_at: new Date(token.createdAtMs).toISOString(),
    scopes: token.scopes,
    fingerprint: null,
    expires_at: token.expiresAtMs === undefined ? null : new Date(token.expiresAtMs).toISOString(),
    user: publicUser(token.person),
  }
}

function appOf(app: App): Record<string, string> {
  return { url: app.callbackUrl ?? 'http://127.0.0.1', name: app.name, client_id: app.clientId }
}

function notFound(documentation: string): Record<string, string> {
  return { message: 'Not Found', documentation_url: documentation, status: '404' }
}

function expiry(atMs: number): string {
  return new Date(atMs)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC')
}
