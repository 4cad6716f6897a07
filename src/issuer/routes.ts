/**
 * The authorization server as one Hono application: metadata, keys, `/authorize`, `/consent`,
 * callbacks, `/token`, `/register`, `/revoke`, sign-out, home. Answers for the configured host only
 * (A19); every failure becomes a page or an RFC error here and nowhere else.
 */
import { type Context, Hono } from 'hono'
import { isPosternError, OAuthError, placeOf, toResponse } from '../errors.ts'
import { isLoopbackHost } from '../oauth/urls.ts'
import { MARK_ICON } from '../ui/layout.ts'
import { messagePage } from '../ui/message.ts'
import { COMMON_HEADERS, documentAnswer, OPEN_CORS, pageAnswer, redirectAnswer } from './answers.ts'
import { authorize } from './authorize.ts'
import { callback } from './callback.ts'
import { decide } from './consent.ts'
import { home, logout, mcpJson } from './home.ts'
import { createIssuerHouse, type IssuerDeps, type IssuerHouse, report } from './house.ts'
import { createFlowId, createId } from './ids.ts'
import { createMetadata, type FindDocument } from './metadata.ts'
import { createRate, networkOf } from './rate.ts'
import { refusalPage } from './refusals.ts'
import { createRegistration } from './registration.ts'
import { createRevocationEndpoint } from './revoke.ts'
import { createTokenEndpoint } from './tokens.ts'

const ASSET_MAX_AGE_SECONDS = 31_536_000
/** Visits to `/authorize` a minute from one network; hosted clients send people, not themselves. */
const AUTHORIZE_PER_MINUTE_MAX = 120
const UNAVAILABLE_RETRY_AFTER_SECONDS = 2

export interface IssuerRoutes {
  readonly app: Hono
  /** Whether a path is one of ours, so that the carrier need not ask the application. */
  handles(path: string): boolean
}

export function createIssuerRoutes(deps: IssuerDeps): IssuerRoutes {
  const house = createIssuerHouse(deps)
  const findDocument = createMetadata(house)
  const app = new Hono()
  app.use('*', (context, next) => guardHost(house, context, next))
  addDocuments(app, findDocument)
  addProtocol(app, house)
  addPages(app, house)
  app.notFound(() => notFound())
  return { app, handles: ownPaths(house, findDocument) }
}

/** Not our host: 421, except a page asked for under another loopback name, which is redirected. */
async function guardHost(
  house: IssuerHouse,
  context: Context,
  next: () => Promise<void>,
): Promise<Response | undefined> {
  const refused = otherHost(house, context.req.raw)
  if (refused === undefined) await next()
  else context.res = refused
  for (const [name, value] of Object.entries(COMMON_HEADERS)) context.res.headers.set(name, value)
  if (!context.res.headers.has('cache-control'))
    context.res.headers.set('cache-control', 'no-store')
  return undefined
}

function otherHost(house: IssuerHouse, http: Request): Response | undefined {
  const url = new URL(http.url)
  const { issuerUrl } = house
  if (url.host === issuerUrl.host) return undefined
  const bothLoopback = isLoopbackHost(url.hostname) && isLoopbackHost(issuerUrl.hostname)
  const wantsPage =
    http.method === 'GET' && (http.headers.get('accept') ?? '').includes('text/html')
  if (bothLoopback && url.port === issuerUrl.port && wantsPage) {
    return new Response(null, {
      status: 302,
      headers: { location: `${issuerUrl.origin}${url.pathname}${url.search}` },
    })
  }
  return Response.json(
    { error: 'invalid_request', error_description: 'this server does not answer for this host' },
    { status: 421 },
  )
}

function addDocuments(app: Hono, findDocument: FindDocument): void {
  app.get('/.well-known/*', (context) => publicDocument(context, findDocument))
  app.get('/:base{.+}/.well-known/*', (context) => publicDocument(context, findDocument))
  app.options('/.well-known/*', () => preflight('GET, HEAD'))
}

function publicDocument(context: Context, findDocument: FindDocument): Response {
  const document = findDocument(new URL(context.req.url))
  return document === undefined ? notFound(OPEN_CORS) : documentAnswer(context.req.raw, document)
}

function addProtocol(app: Hono, house: IssuerHouse): void {
  const endpoints: [string, (http: Request) => Promise<Response>][] = [
    [house.paths.token, createTokenEndpoint(house)],
    [house.paths.revoke, createRevocationEndpoint(house)],
  ]
  if (house.config.registration.dynamic)
    endpoints.push([house.paths.register, createRegistration(house)])
  for (const [path, serve] of endpoints) {
    app.options(path, () => preflight('POST'))
    app.post(path, (context) => protocolAnswer(house, path, () => serve(context.req.raw)))
    app.all(path, () => methodNotAllowed('POST, OPTIONS', OPEN_CORS))
  }
}

/** JSON errors of RFC 6749, an event with the inner reason, open CORS. */
async function protocolAnswer(
  house: IssuerHouse,
  path: string,
  serve: () => Promise<Response>,
): Promise<Response> {
  let response: Response
  try {
    response = await serve()
  } catch (error) {
    const requestId = createId(house.runtime, 'req')
    response = toResponse(error, requestId)
    const reason =
      error instanceof OAuthError ? error.reason : isPosternError(error) ? error.name : 'unexpected'
    const type = response.status === 500 ? 'server.failed' : 'token.refused'
    const level = response.status === 500 ? 'error' : 'info'
    const { status } = response
    const place = type === 'server.failed' ? { place: placeOf(error) } : {}
    report(house, { type, level, reason, status, requestId, endpoint: path, ...place })
  }
  for (const [name, value] of Object.entries(OPEN_CORS)) response.headers.set(name, value)
  return response
}

function addPages(app: Hono, house: IssuerHouse): void {
  const { paths } = house
  const visits = createRate(house.runtime, AUTHORIZE_PER_MINUTE_MAX)
  const base = house.issuerUrl.pathname.replace(/\/$/, '')
  const page =
    (serve: (house: IssuerHouse, http: Request) => Promise<Response>) => (context: Context) =>
      pageOrApology(house, () => serve(house, context.req.raw))
  app.get(
    paths.authorize,
    page((_, http) => limited(house, http, visits)),
  )
  app.all(paths.authorize, () => methodNotAllowed('GET'))
  app.post(paths.consent, page(decide))
  app.all(paths.consent, () => methodNotAllowed('POST'))
  for (const { provider } of house.providers) {
    app.get(`${base}${provider.callbackPath}`, page(callback))
    app.all(`${base}${provider.callbackPath}`, () => methodNotAllowed('GET'))
  }
  app.post(paths.logout, page(logout))
  app.all(paths.logout, () => methodNotAllowed('POST'))
  app.get(paths.home, page(home))
  if (house.config.prefix !== '') app.get(paths.home.slice(0, -1), () => redirectAnswer(paths.home))
  app.get(paths.mcpJson, page(mcpJson))
  app.get(paths.style, () => asset(house.style, 'text/css; charset=utf-8'))
  app.get(paths.mark, () => asset(MARK_ICON, 'image/svg+xml'))
}

function limited(
  house: IssuerHouse,
  http: Request,
  visits: ReturnType<typeof createRate>,
): Promise<Response> {
  const address = house.clientAddress?.(http)
  const { retryAfterSeconds } = address === undefined ? {} : visits.take(networkOf(address))
  if (retryAfterSeconds === undefined) return authorize(house, http)
  const message = {
    title: 'Too many sign-ins at once',
    text: 'Wait a minute, then start again from the app.',
  }
  return refusalPage(
    house,
    message,
    { reason: 'authorize_rate', flowId: createFlowId(house.runtime) },
    { status: 429 },
  ).then((response) => {
    response.headers.set('retry-after', String(retryAfterSeconds))
    return response
  })
}

/** A person never sees a stack or a blank page: what failed is in the log under the flow id. */
async function pageOrApology(
  house: IssuerHouse,
  serve: () => Promise<Response>,
): Promise<Response> {
  try {
    return await serve()
  } catch (error) {
    const flowId = createFlowId(house.runtime)
    const expected = isPosternError(error)
    const reason = expected ? error.name : 'unexpected'
    report(house, {
      type: 'server.failed',
      level: 'error',
      reason,
      flowId,
      place: placeOf(error),
      status: expected ? 503 : 500,
    })
    const message = {
      title: expected ? 'Not available right now' : 'Something went wrong here',
      text: expected
        ? 'This server cannot reach its own storage.'
        : 'This is our fault. Nothing was shared.',
      fix: 'Try again in a moment.',
      flowId,
    }
    const response = await pageAnswer(messagePage(house.pages, message), expected ? 503 : 500)
    if (expected) response.headers.set('retry-after', String(UNAVAILABLE_RETRY_AFTER_SECONDS))
    return response
  }
}

function asset(body: string, contentType: string): Response {
  const headers = {
    'content-type': contentType,
    'cache-control': `public, max-age=${ASSET_MAX_AGE_SECONDS}, immutable`,
  }
  return new Response(body, { headers })
}

function preflight(methods: string): Response {
  const headers = {
    ...OPEN_CORS,
    'access-control-allow-methods': methods,
    'access-control-allow-headers': 'Authorization, Content-Type, MCP-Protocol-Version',
    'access-control-max-age': '86400',
  }
  return new Response(null, { status: 204, headers })
}

function methodNotAllowed(allow: string, headers: Readonly<Record<string, string>> = {}): Response {
  const body = { error: 'invalid_request', error_description: 'method not allowed' }
  return Response.json(body, {
    status: 405,
    headers: { allow, 'cache-control': 'no-store', ...headers },
  })
}

function notFound(headers: Readonly<Record<string, string>> = {}): Response {
  return Response.json(
    { error: 'not_found' },
    { status: 404, headers: { 'cache-control': 'no-store', ...headers } },
  )
}

function ownPaths(house: IssuerHouse, findDocument: FindDocument): (path: string) => boolean {
  const base = house.issuerUrl.pathname.replace(/\/$/, '')
  const paths = new Set([
    ...Object.values(house.paths),
    ...(house.config.prefix === '' ? [] : [house.paths.home.slice(0, -1)]),
    ...house.providers.map(({ provider }) => `${base}${provider.callbackPath}`),
  ])
  return (path) =>
    paths.has(path) ||
    path.includes('/.well-known/oauth-') ||
    findDocument(new URL(path, house.issuerUrl)) !== undefined
}
