/**
 * The authorization server as one Hono application: documents here, what clients call in
 * `protocol-routes.ts`, what other servers call in `server-routes.ts`, what people see in
 * `page-routes.ts`. Answers for the configured host only (A19).
 */
import { type Context, Hono } from 'hono'
import { isLoopbackHost } from '../oauth/urls.ts'
import { COMMON_ENTRIES, documentAnswer, OPEN_CORS, preflight, Redirect } from './answers.ts'
import { developmentPagePath } from './development-sign-in.ts'
import { createIssuerHouse, type IssuerDeps, type IssuerHouse } from './house.ts'
import { createMetadata, type FindDocument } from './metadata.ts'
import { addPageRoutes, type LinkDoor } from './page-routes.ts'
import { addProtocolRoutes } from './protocol-routes.ts'
import { addServerRoutes } from './server-routes.ts'

export interface IssuerRoutes {
  readonly app: Hono
  readonly house: IssuerHouse
  /** The answer to a product's link; `undefined` for everything else, at once. */
  link(request: Request): Promise<Response | Redirect> | undefined
  /** Whether a path is one of ours, so that the carrier need not ask the application. */
  handles(path: string): boolean
}

export function createIssuerRoutes(deps: IssuerDeps): IssuerRoutes {
  const house = createIssuerHouse(deps)
  const findDocument = createMetadata(house)
  const app = new Hono()
  app.use('*', (context, next) => guardHost(house, context, next))
  addDocuments(app, findDocument)
  addProtocolRoutes(app, house)
  const serverPaths = addServerRoutes(app, house)
  const link = addPageRoutes(app, house)
  addApi(app, house)
  app.notFound(() => notFound())
  return {
    app,
    house,
    link: createLinkDoor(house, link),
    handles: ownPaths(house, findDocument, serverPaths),
  }
}

/**
 * A product's link, told by its address on our own host: finding it in the table of routes, and one
 * more such table behind it, takes longer than answering it.
 */
function createLinkDoor({ issuerUrl, paths }: IssuerHouse, link: LinkDoor): IssuerRoutes['link'] {
  const start = `${issuerUrl.origin}${paths.connect}/`
  return (request) => {
    const { url } = request
    if (!url.startsWith(start) || request.method !== 'GET') return undefined
    const end = url.indexOf('?', start.length)
    if (end < 0) return undefined
    const name = url.slice(start.length, end)
    const query = new URLSearchParams(url.slice(end + 1))
    if (!CONNECTOR_NAME.test(name) || !query.has('app')) return undefined
    return link(request, name, query)?.then(withCommonHeaders)
  }
}

const CONNECTOR_NAME = /^[a-z0-9-]{1,40}$/

function withCommonHeaders(answer: Response | Redirect): Response | Redirect {
  if (answer instanceof Redirect) return answer
  const { headers } = answer
  // A page that may do more than the others says so itself.
  for (const [name, value] of COMMON_ENTRIES) if (!headers.has(name)) headers.set(name, value)
  if (!headers.has('cache-control')) headers.set('cache-control', 'no-store')
  return answer
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
  withCommonHeaders(context.res)
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

/** A room of its own: it judges methods, keys and bodies itself, and answers in its own form. */
function addApi(app: Hono, { api, paths }: IssuerHouse): void {
  if (api === undefined) return
  app.all(paths.api, (context) => api(context.req.raw))
  app.all(`${paths.api}/*`, (context) => api(context.req.raw))
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

function notFound(headers: Readonly<Record<string, string>> = {}): Response {
  return Response.json(
    { error: 'not_found' },
    { status: 404, headers: { 'cache-control': 'no-store', ...headers } },
  )
}

/** Ours only while somebody can link accounts here. */
const LATE = ['connect', 'widget', 'widgetScript'] as const

function ownPaths(
  house: IssuerHouse,
  findDocument: FindDocument,
  serverPaths: readonly string[],
): (path: string) => boolean {
  const base = house.issuerUrl.pathname.replace(/\/$/, '')
  const paths = new Set([
    ...Object.values(house.paths).filter(
      (path) => !LATE.some((name) => path === house.paths[name]),
    ),
    ...serverPaths,
    ...(house.config.prefix === '' ? [] : [house.paths.home.slice(0, -1)]),
    ...house.providers.map(({ provider }) => `${base}${provider.callbackPath}`),
    ...[developmentPagePath(house)].filter((path) => path !== undefined),
  ])
  // Never as a reference: `//` is none, and `//host/path` would be the path of somebody else.
  const isDocument = (path: string): boolean => {
    const url = URL.parse(`${house.issuerUrl.origin}${path}`)
    return url !== null && findDocument(url) !== undefined
  }
  // Another program's own page may live there, where nobody links accounts here.
  const { connect, widget, widgetScript } = house.paths
  const hasApps = (house.config.apps ?? []).length > 0
  const isConnectPath = (path: string): boolean =>
    (path === connect ||
      path.startsWith(`${connect}/`) ||
      (hasApps && (path === widgetScript || path.startsWith(`${widget}/`)))) &&
    house.linking?.() !== undefined
  return (path) =>
    paths.has(path) ||
    path.startsWith(house.paths.errors) ||
    path.startsWith(`${house.paths.api}/`) ||
    isConnectPath(path) ||
    path.startsWith(`${house.paths.register}/`) ||
    path.includes('/.well-known/oauth-') ||
    isDocument(path)
}
