/**
 * The REST API: one request in, one answer out. Finds the route, asks who calls, checks role and
 * fields, runs the handler, and writes the answer. No CORS, nothing to be stored, `X-Request-Id` always.
 *
 * An access token never works here: only what `keys.ts` knows. Refusals are `problem.ts`.
 */
import { z } from 'zod'
import { isPosternError, placeOf } from '../errors.ts'
import { readBody } from '../issuer/body.ts'
import { report } from '../issuer/house.ts'
import { createId } from '../issuer/ids.ts'
import { createRate, networkOf, type Rate } from '../issuer/rate.ts'
import { createCursors, listName } from './cursors.ts'
import { judge, LIST_QUERY, readJson, readQuery } from './fields.ts'
import { createIdempotency } from './idempotency.ts'
import { problemBody, problemOf } from './problem.ts'
import {
  type ApiAnswer,
  type ApiCall,
  type ApiCaller,
  type ApiHouse,
  type ApiRoute,
  Problem,
} from './route.ts'
import { createRouter } from './router.ts'
import { apiRoutes } from './table.ts'

export const API_BODY_MAX_BYTES = 262_144
/** Calls a minute with one key, on one node. */
export const CALLS_PER_MINUTE_MAX = 6_000
/** Calls a minute from one network that have no key, or a bad one. */
export const BAD_KEYS_PER_MINUTE_MAX = 120
const NOTHING = z.strictObject({})
/** Of a call without a key. */
const NOBODY: ApiCaller = { keyId: 'nobody', role: 'read' }

export interface ApiPlace {
  /** Path of `/api/v1`, without a trailing slash. */
  readonly base: string
  /** Where codes are explained, with a trailing slash. */
  readonly errorsUrl: string
}

interface Frame {
  readonly house: ApiHouse
  readonly callRate: Rate
  readonly badKeyRate: Rate
  readonly cursors: ReturnType<typeof createCursors>
  readonly idempotency: ReturnType<typeof createIdempotency>
}

/** What is known of a request so far, for the event of it. */
interface Told {
  readonly requestId: string
  readonly startedMs: number
  route?: string
  keyId?: string
}

export function createApi(
  house: ApiHouse,
  place: ApiPlace,
): (request: Request) => Promise<Response> {
  const { runtime } = house
  const secret = () => house.keys.ticketKey()
  const frame: Frame = {
    house,
    callRate: createRate(runtime, CALLS_PER_MINUTE_MAX),
    badKeyRate: createRate(runtime, BAD_KEYS_PER_MINUTE_MAX),
    cursors: createCursors(runtime, secret),
    idempotency: createIdempotency({ store: house.store, runtime, secret }),
  }
  const find = createRouter(apiRoutes(house).map(strict))
  return async (request) => {
    const told: Told = {
      requestId: createId(runtime, 'req'),
      startedMs: runtime.monotonicMs(),
    }
    let response: Response
    try {
      const url = new URL(request.url)
      const matched = find(request.method, url.pathname.slice(place.base.length))
      if (matched === undefined)
        throw new Problem(404, 'ERR_API_NOT_FOUND', 'There is no such path.')
      if ('allow' in matched) throw otherMethod(matched.allow)
      told.route = `${matched.route.method} ${matched.route.path}`
      const caller = await callerOf(frame, request, matched.route, told)
      const answer = await run(frame, request, { ...matched, url, caller, told })
      response = write(request, answer)
    } catch (error) {
      response = refuse(frame, error, told, place)
    }
    response.headers.set('x-request-id', told.requestId)
    response.headers.set('cache-control', 'no-store')
    tell(frame, request, response.status, told)
    return response
  }
}

/** Bodies and queries take no field that they do not name. */
function strict(route: ApiRoute): ApiRoute {
  const { query, body } = route
  const listed = route.list === true ? LIST_QUERY.extend(query?.shape ?? {}) : query
  return {
    ...route,
    query: (listed ?? NOTHING).strict(),
    ...(body instanceof z.ZodObject ? { body: body.strict() } : {}),
  }
}

function otherMethod(allow: readonly string[]): Problem {
  const methods = allow.includes('GET') ? [...allow, 'HEAD'] : allow
  return new Problem(405, 'ERR_API_METHOD', `This path takes ${methods.join(', ')}.`, {
    headers: { allow: methods.join(', ') },
  })
}

/** @throws {Problem} 401, 403, 429 */
async function callerOf(
  { house, callRate, badKeyRate }: Frame,
  request: Request,
  route: ApiRoute,
  told: Told,
): Promise<ApiCaller> {
  if (route.roles.length === 0) return NOBODY
  const address = house.clientAddress(request)
  const network = address === undefined ? undefined : networkOf(address)
  const authorization = request.headers.get('authorization')
  // Who guesses must not lock out a key that is in use behind the same address.
  const caller = await house.apiKeys.authenticate(authorization, () => {
    if (network !== undefined) refuseTooMany(badKeyRate.look(network))
  })
  if (caller === undefined) {
    if (network !== undefined) badKeyRate.take(network)
    throw new Problem(401, 'ERR_API_KEY', 'Send "Authorization: Bearer ptk_...".', {
      headers: { 'www-authenticate': 'Bearer' },
    })
  }
  told.keyId = caller.keyId
  refuseTooMany(callRate.take(caller.keyId))
  if (!route.roles.includes(caller.role)) {
    const roles = route.roles.map((role) => JSON.stringify(role)).join(' or ')
    const detail = `This call needs the role ${roles}; the key has ${JSON.stringify(caller.role)}.`
    throw new Problem(403, 'ERR_API_ROLE', detail)
  }
  for (const restriction of ['app', 'connectors'] as const) {
    if (caller[restriction] === undefined || route.reach?.includes(restriction)) continue
    const detail = `This call needs a key that is not restricted by ${JSON.stringify(restriction)}.`
    throw new Problem(403, 'ERR_API_APP', detail)
  }
  return caller
}

function refuseTooMany({ retryAfterSeconds }: ReturnType<Rate['take']>): void {
  if (retryAfterSeconds === undefined) return
  throw new Problem(429, 'ERR_API_RATE', 'Wait a little.', {
    headers: { 'retry-after': String(retryAfterSeconds) },
  })
}

interface Found {
  readonly route: ApiRoute
  readonly url: URL
  readonly params: Readonly<Record<string, string>>
  readonly caller: ApiCaller
  readonly told: Told
}

async function run(frame: Frame, request: Request, found: Found): Promise<ApiAnswer> {
  const { route, caller, told } = found
  const { search, searchParams, pathname } = found.url
  const params = judgeParams(route, found.params)
  const query = judge(route.query ?? NOTHING, readQuery(route.query ?? NOTHING, searchParams))
  const text = await bodyText(request)
  const body = judgeBody(route, text, request)
  const { limit = 1, cursor } = query as { readonly limit?: number; readonly cursor?: string }
  const list = listName(route.operationId, caller.keyId, { ...query, ...found.params })
  const after = cursor === undefined ? undefined : frame.cursors.open(cursor, list)
  const ifMatch = request.headers.get('if-match')?.replace(/^"([^"]*)"$/, '$1')
  const call: ApiCall = {
    ...{ params, query, body, caller, request, limit },
    requestId: told.requestId,
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(after === undefined ? {} : { after }),
  }
  const idempotencyKey = request.headers.get('idempotency-key')
  const isNamed = idempotencyKey !== null && route.method === 'POST' && route.repeatable !== true
  const answer = await (isNamed
    ? frame.idempotency.once(
        {
          callerId: caller.keyId,
          idempotencyKey,
          content: [route.method, `${pathname}${search}`, text],
        },
        () => route.handle(call),
      )
    : route.handle(call))
  if (answer.next === undefined) return answer
  const nextCursor = frame.cursors.seal(answer.next, list)
  return { ...answer, body: { ...(answer.body as object), nextCursor } }
}

/** An id that cannot be one is as unknown as any other. */
function judgeParams(route: ApiRoute, params: Found['params']): unknown {
  if (route.params === undefined) return params
  // A name that is to be given is wrong; one that was never given is not there.
  if (route.method === 'PUT') return judge(route.params, params)
  const judged = route.params.safeParse(params)
  if (judged.success) return judged.data
  throw new Problem(404, 'ERR_API_NOT_FOUND', 'There is nothing of that name.')
}

async function bodyText(request: Request): Promise<string> {
  if (request.method === 'GET' || request.method === 'HEAD') return ''
  const text = await readBody(request, API_BODY_MAX_BYTES)
  if (text !== undefined) return text
  const detail = `A body has at most ${API_BODY_MAX_BYTES} bytes.`
  throw new Problem(413, 'ERR_API_BODY_SIZE', detail)
}

function judgeBody(route: ApiRoute, text: string, request: Request): unknown {
  if (text === '' && route.body === undefined) return undefined
  return judge(route.body ?? NOTHING, readJson(text, request.headers.get('content-type')))
}

function write(request: Request, answer: ApiAnswer): Response {
  const { status, body, text, etag } = answer
  const headers = new Headers(answer.headers)
  if (etag !== undefined) headers.set('etag', `"${etag}"`)
  if (request.method === 'HEAD' || (body === undefined && text === undefined))
    return new Response(null, { status, headers })
  if (text !== undefined) return new Response(text, { status, headers })
  return Response.json(body, { status, headers })
}

function refuse({ house }: Frame, error: unknown, told: Told, place: ApiPlace): Response {
  const problem = problemOf(error)
  const { status } = problem
  if (status >= 500) {
    const reason = status === 500 ? 'unexpected' : problem.code
    const expected = isPosternError(error) && status !== 500
    report(house, {
      ...{ type: 'server.failed', level: expected ? 'warn' : 'error', reason, status },
      ...{ requestId: told.requestId, endpoint: told.route ?? 'api', place: placeOf(error) },
    })
  }
  return Response.json(problemBody(problem, told.requestId, place.errorsUrl), {
    status,
    headers: { ...problem.headers, 'content-type': 'application/problem+json' },
  })
}

function tell({ house }: Frame, request: Request, status: number, told: Told): void {
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  const { requestId, route = 'none', keyId } = told
  report(house, {
    type: 'api.called',
    level: isRead && status < 400 ? 'debug' : 'info',
    ...{ requestId, status, route },
    durationMs: house.runtime.monotonicMs() - told.startedMs,
    ...(keyId === undefined ? {} : { keyId }),
  })
}
