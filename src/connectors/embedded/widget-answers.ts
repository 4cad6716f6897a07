/**
 * What the widget's calls are answered with: JSON, problems (RFC 9457), and CORS for exactly one origin
 * without credentials. Before a session is known, only origins of some app may read the answer, and all
 * that it says is that there is no session (W8).
 */

import { SHOWN_ERRORS, type ShownErrorCode } from '../../error-codes.ts'
import { OAuthError, placeOf, StoreError, UpstreamError } from '../../errors.ts'
import { report } from '../../issuer/house.ts'
import { createId } from '../../issuer/ids.ts'
import type { ConnectHouse } from '../connect/connect-rooms.ts'

const PREFLIGHT_MAX_AGE_SECONDS = '600'
const UNAVAILABLE_RETRY_AFTER_SECONDS = 2

export type WidgetHeaders = Readonly<Record<string, string>>

/** @param origin Exactly the one that may read the answer; `undefined`: none. */
export function corsOf(origin: string | undefined): WidgetHeaders {
  return {
    vary: 'Origin',
    'cache-control': 'no-store',
    ...(origin === undefined
      ? {}
      : {
          'access-control-allow-origin': origin,
          'access-control-expose-headers': 'Retry-After, X-Request-Id',
        }),
  }
}

/**
 * The origin of the page that calls. With a GET from its own origin a browser sends none, and says so in
 * its own words, which no page can write (Fetch Metadata): that is a product mounted beside this house.
 */
export function callerOrigin(
  { config }: ConnectHouse,
  { method, headers }: Request,
): string | null {
  const isOwn = method === 'GET' && headers.get('sec-fetch-site') === 'same-origin'
  return headers.get('origin') ?? (isOwn ? new URL(config.issuer).origin : null)
}

/** Is it of any app: what a preflight, which carries no session, can be judged by. */
export function originOfSomeApp(house: ConnectHouse, http: Request): string | undefined {
  const origin = callerOrigin(house, http)
  const isKnown = house.config.apps?.some(
    ({ origins }) => origin !== null && origins.includes(origin),
  )
  return isKnown === true && origin !== null ? origin : undefined
}

export function widgetPreflight(house: ConnectHouse, http: Request, methods: string): Response {
  const origin = originOfSomeApp(house, http)
  if (origin === undefined) return new Response(null, { status: 403, headers: corsOf(undefined) })
  const headers = {
    ...corsOf(origin),
    'access-control-allow-methods': methods,
    'access-control-allow-headers': 'Authorization, Content-Type',
    'access-control-max-age': PREFLIGHT_MAX_AGE_SECONDS,
  }
  return new Response(null, { status: 204, headers })
}

export interface WidgetProblem {
  readonly status: number
  readonly code: ShownErrorCode
  readonly detail?: string
  readonly retryAfterSeconds?: number
}

export function problemAnswer(
  { config, runtime }: ConnectHouse,
  problem: WidgetProblem,
  cors: WidgetHeaders,
  requestId = createId(runtime, 'req'),
): Response {
  const { status, code, retryAfterSeconds } = problem
  const { meaning } = SHOWN_ERRORS[code]
  const body = {
    type: `${config.issuer}${config.prefix}/errors/${code}`,
    title: meaning,
    status,
    code,
    detail: problem.detail ?? meaning,
    requestId,
  }
  const headers = {
    ...cors,
    'content-type': 'application/problem+json',
    'x-request-id': requestId,
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
  }
  return new Response(JSON.stringify(body), { status, headers })
}

export function widgetAnswer(body: unknown, status: number, cors: WidgetHeaders): Response {
  return Response.json(body, { status, headers: cors })
}

/** What was thrown on the way to an answer. */
export function failureAnswer(house: ConnectHouse, error: unknown, cors: WidgetHeaders): Response {
  if (error instanceof OAuthError && error.code !== undefined) {
    const { status, code, description: detail } = error
    return problemAnswer(house, { status, code, detail }, cors)
  }
  const isExpected = error instanceof StoreError || error instanceof UpstreamError
  const status = isExpected ? 503 : 500
  const requestId = createId(house.runtime, 'req')
  const reason = isExpected ? error.name : 'unexpected'
  const place = placeOf(error)
  report(house, { type: 'server.failed', level: 'error', reason, place, requestId, status })
  const problem = {
    status,
    code: 'ERR_WIDGET_UNAVAILABLE',
    retryAfterSeconds: UNAVAILABLE_RETRY_AFTER_SECONDS,
  } as const
  return problemAnswer(house, problem, cors, requestId)
}
