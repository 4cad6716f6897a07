/**
 * The routes below `/widget`, where the configuration names apps: the element's script and calls, the
 * popup's pages. A call needs a connect session and its exact origin before anything else is looked at,
 * and is counted; a page needs neither and is a person's.
 */
import type { Context, Hono } from 'hono'
import { methodNotAllowed } from '../../issuer/answers.ts'
import { report } from '../../issuer/house.ts'
import { createRate, type Rate } from '../../issuer/rate.ts'
import { DONE_SCRIPT } from '../../ui/done-script.ts'
import type { Apology, ConnectHouse } from '../connect/connect-rooms.ts'
import { findSession } from './connect-sessions.ts'
import { showDone } from './embedded-end.ts'
import { decidePopup, showPopup } from './popup.ts'
import { decidePopupReplacement, showPopupReplacement } from './popup-replace.ts'
import {
  callerOrigin,
  corsOf,
  failureAnswer,
  originOfSomeApp,
  problemAnswer,
  widgetAnswer,
  widgetPreflight,
} from './widget-answers.ts'
import {
  type Call,
  confirmAttempt,
  disconnect,
  listConnections,
  startAttempt,
} from './widget-api.ts'
import { widgetScript } from './widget-script.ts'

/** Calls a minute of one connect session; people press buttons, pages look. */
const LOOKS_PER_MINUTE_MAX = 120
const ACTIONS_PER_MINUTE_MAX = 30
const SCRIPT_MAX_AGE_SECONDS = 300

export function addWidgetRoutes(app: Hono, house: ConnectHouse, guarded: Apology): void {
  const { widget, widgetScript: scriptPath } = house.paths
  const looks = createRate(house.runtime, LOOKS_PER_MINUTE_MAX)
  const actions = createRate(house.runtime, ACTIONS_PER_MINUTE_MAX)
  const call = (name: string, method: 'GET' | 'POST', rate: Rate, serve: Call): void => {
    const path = `${widget}/${name}`
    app.options(path, ({ req }) => widgetPreflight(house, req.raw, method))
    app.on(method, path, ({ req }) => answerCall(house, req.raw, rate, serve))
    app.all(path, () => methodNotAllowed(method))
  }
  call('connections', 'GET', looks, listConnections)
  call('attempts', 'POST', actions, startAttempt)
  call('confirm', 'POST', actions, confirmAttempt)
  call('disconnect', 'POST', actions, disconnect)
  type Page = (house: ConnectHouse, http: Request) => Promise<Response>
  const page = (serve: Page) => (context: Context) =>
    guarded(house, () => serve(house, context.req.raw))
  app.get(`${widget}/popup`, page(showPopup)).post(page(decidePopup))
  app.get(`${widget}/replace`, page(showPopupReplacement)).post(page(decidePopupReplacement))
  for (const name of ['popup', 'replace'])
    app.all(`${widget}/${name}`, () => methodNotAllowed('GET, POST'))
  app.get(`${widget}/done`, page(showDone))
  app.get(`${widget}/done.js`, doneScript)
  app.get(scriptPath, ({ req }) => widgetScript(req.raw))
  for (const path of [`${widget}/done`, `${widget}/done.js`, scriptPath])
    app.all(path, () => methodNotAllowed('GET'))
}

function doneScript(): Response {
  const headers = {
    'content-type': 'text/javascript; charset=utf-8',
    'cache-control': `public, max-age=${SCRIPT_MAX_AGE_SECONDS}`,
  }
  return new Response(DONE_SCRIPT, { headers })
}

async function answerCall(
  house: ConnectHouse,
  http: Request,
  rate: Rate,
  serve: Call,
): Promise<Response> {
  // Until the session says whose it is, an origin of some app may read that there is none.
  let cors = corsOf(originOfSomeApp(house, http))
  try {
    const living = await findSession(house, bearerOf(http))
    if (living === undefined)
      return problemAnswer(house, { status: 401, code: 'ERR_CONNECT_SESSION' }, cors)
    const { origin, app } = living.session
    if (callerOrigin(house, http) !== origin) {
      report(house, { type: 'connection.refused', reason: 'widget_origin', app, status: 403 })
      return problemAnswer(house, { status: 403, code: 'ERR_WIDGET_ORIGIN' }, corsOf(undefined))
    }
    cors = corsOf(origin)
    const { retryAfterSeconds } = rate.take(living.digest)
    if (retryAfterSeconds !== undefined) {
      const problem = { status: 429, code: 'ERR_WIDGET_RATE', retryAfterSeconds } as const
      return problemAnswer(house, problem, cors)
    }
    const { status, body } = await serve(house, living, http)
    return widgetAnswer(body, status, cors)
  } catch (error) {
    return failureAnswer(house, error, cors)
  }
}

function bearerOf(http: Request): string | undefined {
  return /^Bearer +([^\s,]+)$/i.exec(http.headers.get('authorization') ?? '')?.[1]
}
