/**
 * `mount` and `protect` for `node:http`, and what Express shares with them. Put `mount` before any
 * body parser. A warm call is decided from its headers alone, with no `Request` object.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { PresentedProof } from '../gateway/possession.ts'
import {
  type AuthInfo,
  type ConnectionMemory,
  type GuardAnswer,
  type Principal,
  type ProtectOptions,
  type Refusal,
  usesDpop,
} from '../middleware/guard.ts'
import {
  guardOf,
  type Mountable,
  type Mounted,
  mountable,
  type Protectable,
} from '../middleware/protectable.ts'
import { remotePlatform } from './remote-platform.ts'

/** A request that `protect` let through carries these, as the official SDK's middleware does. */
export interface Authenticated {
  auth?: AuthInfo
  principal?: Principal
}

/** Answers the routes of the house and hands every other request to `handler`. */
export function mount(house: Mountable, handler: RequestListener): RequestListener {
  const routes = mountedListener(house)
  return (request, response) => {
    if (!routes(request, response)) handler(request, response)
  }
}

/** Answers a request of the house and says so; `false` leaves it untouched. */
export function mountedListener(
  house: Mountable,
): (request: IncomingMessage, response: ServerResponse, path?: string) => boolean {
  const routes = mountable(house, remotePlatform)
  const answer = getRequestListener((request) => routes.fetch(request), {
    overrideGlobalObjects: false,
    hostname: new URL(routes.base).host,
  })
  const isForeign = createForeignPaths(routes)
  return (request, response, target = request.url ?? '/') => {
    if (isForeign(target)) return false
    void answer(request, response)
    return true
  }
}

const FOREIGN_PATHS_MAX = 256

/** A request target, which is no reference: `//host/path` is a path. `undefined`: none of ours. */
function urlOf(target: string, base: string): URL | undefined {
  const text = target.startsWith('/') ? `${new URL(base).origin}${target}` : target
  return URL.parse(text) ?? undefined
}

/** Remembers paths that are not the house's, so that the application's own requests parse no URL. */
function createForeignPaths(routes: Mounted): (target: string) => boolean {
  const foreign = new Set<string>()
  return (target) => {
    const query = target.indexOf('?')
    const path = query < 0 ? target : target.slice(0, query)
    if (foreign.has(path)) return true
    const url = urlOf(target, routes.base)
    if (url === undefined) return true
    if (routes.handles(url)) return false
    if (!routes.settled() || path.startsWith('/.well-known')) return true
    if (foreign.size >= FOREIGN_PATHS_MAX) foreign.clear()
    foreign.add(path)
    return true
  }
}

/**
 * @returns The principal, with `req.auth` and `req.principal` set: at once when everything is warm,
 * else as a promise. `undefined` when the request has been answered already (400, 401, 403, or 503
 * with `Retry-After`).
 */
export function protect(
  house: Protectable,
  options: ProtectOptions = {},
): (
  request: IncomingMessage & Authenticated,
  response: ServerResponse,
) => Principal | undefined | Promise<Principal | undefined> {
  const guard = guardOf(house, remotePlatform)
  return (request, response) => {
    const authorization = authorizationOf(request.rawHeaders)
    const pending = guard.authenticate(
      authorization,
      options,
      memoryOf(request.socket),
      usesDpop(authorization) ? proofOf(request, request.url) : undefined,
    )
    return pending instanceof Promise
      ? pending.then((answer) => settle(answer, request, response))
      : settle(pending, request, response)
  }
}

const AUTHORIZATION = 'authorization'

/**
 * The header as it came, without making Node build its object of all headers. Sent twice, the two
 * are joined, which no grammar accepts: Node would silently keep the first (PR-12).
 */
export function authorizationOf(rawHeaders: readonly string[]): string | undefined {
  let found: string | undefined
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length !== AUTHORIZATION.length) continue
    if (name !== AUTHORIZATION && name.toLowerCase() !== AUTHORIZATION) continue
    const value = rawHeaders[index + 1]
    found = found === undefined ? value : `${found}, ${value}`
  }
  return found
}

/** What stands beside a `DPoP` credential: only then does Node build its object of all headers. */
export function proofOf(
  { headers, method = 'GET' }: IncomingMessage,
  target: string | undefined = '/',
): PresentedProof {
  const query = target.indexOf('?')
  const { dpop } = headers
  return {
    // Node joins repeated ones, which no grammar accepts.
    proof: typeof dpop === 'string' ? dpop : undefined,
    method,
    path: query < 0 ? target : target.slice(0, query),
  }
}

const MEMORY = Symbol('postern.connection')

/** What the guard remembers of this connection, gone with it. */
export function memoryOf(socket: Socket & { [MEMORY]?: ConnectionMemory }): ConnectionMemory {
  socket[MEMORY] ??= {}
  return socket[MEMORY]
}

/** Sets what a handler reads, or writes the refusal. */
export function settle(
  answer: GuardAnswer,
  request: IncomingMessage & Authenticated,
  response: ServerResponse,
): Principal | undefined {
  if (!answer.ok) {
    writeRefusal(answer.refusal, response)
    return undefined
  }
  request.auth = answer.authInfo
  request.principal = answer.principal
  return answer.principal
}

function writeRefusal(refusal: Refusal, response: ServerResponse): void {
  response.writeHead(refusal.status, {
    ...refusal.headers,
    'content-length': Buffer.byteLength(refusal.body),
  })
  response.end(refusal.body)
}
