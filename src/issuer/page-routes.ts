/**
 * The pages that people see: `/authorize`, `/consent`, callbacks, sign-out, home. A person never sees
 * a stack or a blank page: what failed is in the log under the flow id that the page shows.
 */
import { type Context, Hono } from 'hono'
import type { ConnectHouse } from '../connectors/connect/connect-rooms.ts'
import { isPosternError, placeOf } from '../errors.ts'
import { MARK_ICON } from '../ui/layout.ts'
import { messagePage } from '../ui/message.ts'
import { account } from './account.ts'
import { endFromAccount } from './account-endings.ts'
import {
  jsonAnswer,
  methodNotAllowed,
  pageAnswer,
  type Redirect,
  redirectAnswer,
} from './answers.ts'
import { authorize } from './authorize.ts'
import { callback } from './callback.ts'
import { decide } from './consent.ts'
import {
  developmentPagePath,
  showDevelopmentPage,
  takeDevelopmentName,
} from './development-sign-in.ts'
import { explainError } from './errors-page.ts'
import { home, logout, mcpJson } from './home.ts'
import { type IssuerHouse, report } from './house.ts'
import { createFlowId } from './ids.ts'
import { createRate, networkOf } from './rate.ts'
import { refusalPage } from './refusals.ts'

const ASSET_MAX_AGE_SECONDS = 31_536_000
/** Visits to `/authorize` a minute from one network; hosted clients send people, not themselves. */
const AUTHORIZE_PER_MINUTE_MAX = 120
const UNAVAILABLE_RETRY_AFTER_SECONDS = 2

/** @returns What answers a product's link without a table of routes (connectors/embedded/app-link.ts). */
export function addPageRoutes(app: Hono, house: IssuerHouse): LinkDoor {
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
  const developmentPath = developmentPagePath(house)
  if (developmentPath !== undefined) {
    app.get(developmentPath, page(showDevelopmentPage))
    app.post(developmentPath, page(takeDevelopmentName))
    app.all(developmentPath, () => methodNotAllowed('GET, POST'))
  }
  app.post(paths.logout, page(logout))
  app.all(paths.logout, () => methodNotAllowed('POST'))
  app.get(paths.home, page(home))
  if (house.config.prefix !== '') app.get(paths.home.slice(0, -1), () => redirectAnswer(paths.home))
  app.get(paths.account, page(account))
  app.post(paths.account, page(endFromAccount))
  app.all(paths.account, () => methodNotAllowed('GET, POST'))
  const link = addConnectPages(app, house)
  app.get(`${paths.errors}:code`, page(explainError))
  app.get(paths.mcpJson, page(mcpJson))
  app.get(paths.style, () => asset(house.style, 'text/css; charset=utf-8'))
  app.get(paths.mark, () => asset(MARK_ICON, 'image/svg+xml'))
  return link
}

export type LinkDoor = (
  http: Request,
  connector: string,
  query: URLSearchParams,
) => Promise<Response | Redirect> | undefined

/** Their own table of routes, made when the first connector needs them: ours takes no more then. */
function addConnectPages(app: Hono, house: IssuerHouse): LinkDoor {
  const { connect, widget, widgetScript } = house.paths
  let pages: Hono | undefined
  let own: ConnectHouse | undefined
  const open = (): Hono | undefined => {
    const connecting = house.linking?.()
    if (pages !== undefined || connecting === undefined) return pages
    pages = new Hono()
    own = { ...house, connecting }
    connecting.pages.addRoutes(pages, own, pageOrApology)
    pages.notFound(() => jsonAnswer({ error: 'not_found' }, 404))
    return pages
  }
  // At the start where it is needed then: questions of before wait to be answered.
  open()
  const serve = async (context: Context, next: () => Promise<void>) =>
    (await open()?.fetch(context.req.raw)) ?? (await next())
  app.all(connect, serve)
  app.all(`${connect}/*`, serve)
  app.all(`${widget}/*`, serve)
  app.all(widgetScript, serve)
  return (http, connector, query) => {
    open()
    const opened = own
    if (opened === undefined) return undefined
    const { link } = opened.connecting.pages
    return pageOrApology(house, () => link(opened, http, connector, query))
  }
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
    side: 'you',
    title: 'Too many sign-ins at once',
    text: 'Wait a minute, then start again from the app.',
  } as const
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
async function pageOrApology<A extends Redirect | Response>(
  house: IssuerHouse,
  serve: () => Promise<A>,
): Promise<A | Response> {
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
      side: 'server' as const,
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
