/**
 * `postern/client`: the REST API for a program in JavaScript, wherever there is `fetch`. Method names are
 * those of `Postern`; types come from the table of routes.
 *
 * A POST names itself, so that its one repetition (after 503, 429, or a connection that broke) is run once.
 * Imports nothing of the house.
 */
import { type CallOptions, type Calls, OPERATIONS } from './operations.ts'

export type { CallOptions } from './operations.ts'
export type {
  Connection,
  ConnectionToken,
  Connector,
  ConnectorInput,
  ConnectorPatch,
  ConnectSession,
  Problem,
} from './schemas.ts'

export interface ClientOptions {
  /** Of the house: its issuer, and `prefix` where it has one. `/api/v1` is added. */
  readonly url: string
  /** `ptk_...` */
  readonly apiKey: string
  /** Default: that of the runtime. */
  readonly fetch?: (request: Request) => Promise<Response>
}

type Body<M extends (...args: never[]) => unknown> = Parameters<M>[0]

export interface PosternClient extends Omit<Calls, 'getToken' | 'connections'> {
  /** A token of this person for the server of a connector. Throws as every call. */
  getToken(
    user: string,
    connector: string,
    options?: Omit<Body<Calls['getToken']>, 'user' | 'connector'>,
  ): ReturnType<Calls['getToken']>
  readonly connections: Omit<Calls['connections'], 'confirm'> & {
    /** @param input.id `attempt` of the return URL. */
    confirm(
      input: { readonly id: string } & Parameters<Calls['connections']['confirm']>[1],
      options?: CallOptions,
    ): ReturnType<Calls['connections']['confirm']>
  }
}

/** A refusal of the house, or no answer of it. */
export class PosternApiError extends Error {
  override readonly name = 'PosternApiError'
  /** HTTP status; 0: no answer came. */
  readonly status: number
  /** `ERR_*`; explained at `/errors/{code}` of the house. */
  readonly code: string
  /** `req_...`, for the log of the house; absent when no answer came. */
  readonly requestId: string | undefined
  /** The whole problem (RFC 9457): `errors`, `param`, `connector`, `state`, `cause`. */
  readonly problem: Readonly<Record<string, unknown>>
  constructor(status: number, problem: Readonly<Record<string, unknown>>, cause?: unknown) {
    const code = typeof problem['code'] === 'string' ? problem['code'] : 'ERR_API_ANSWER'
    const detail = typeof problem['detail'] === 'string' ? problem['detail'] : `status ${status}`
    super(`${code}: ${detail}`, { cause })
    this.status = status
    this.code = code
    this.requestId = typeof problem['requestId'] === 'string' ? problem['requestId'] : undefined
    this.problem = problem
  }
}

interface Operation {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly hasBody?: true
  readonly isNamed?: true
  readonly mayBeAbsent?: true
}
type Call = (...args: readonly unknown[]) => Promise<unknown>

/** A `Retry-After` above this is left to the caller. */
const WAIT_MAX_MS = 5_000
const AGAIN: readonly number[] = [429, 503]

/** @throws {TypeError} for a URL that is none. */
export function createClient(options: ClientOptions): PosternClient {
  const base = new URL(options.url).href.replace(/\/+$/, '')
  const send = options.fetch ?? ((request: Request) => fetch(request))
  const root: Record<string, Call | Record<string, Call>> = {}
  const callOf =
    (operation: Operation): Call =>
    (...args) => {
      const request = requestOf(operation, args, `${base}/api/v1`)
      return exchange(operation, request, { send, apiKey: options.apiKey })
    }
  for (const [id, operation] of Object.entries<Operation>(OPERATIONS)) {
    const [group = '', name] = id.split('.')
    if (name === undefined) root[group] = callOf(operation)
    else
      root[group] = {
        ...(root[group] as Record<string, Call> | undefined),
        [name]: callOf(operation),
      }
  }
  // Filled from the table that `Calls` was made of.
  const calls = root as unknown as Calls
  return {
    ...calls,
    getToken: (user, connector, more = {}) => calls.getToken({ ...more, user, connector }),
    connections: {
      ...calls.connections,
      confirm: ({ id, ...body }, more) => calls.connections.confirm(id, body, more),
    },
  }
}

interface Prepared {
  readonly url: string
  readonly method: Operation['method']
  readonly body: string | undefined
  readonly options: CallOptions
}

/** Path parameters in their order, then body or query, then options. */
function requestOf(operation: Operation, args: readonly unknown[], base: string): Prepared {
  const rest = [...args]
  const path = operation.path.replace(/\{\w+\}/g, () => encodeURIComponent(String(rest.shift())))
  const url = new URL(`${base}${path}`)
  const hasQuery = operation.hasBody !== true && operation.method !== 'POST' && rest.length > 0
  if (operation.hasBody === true) {
    const [body, options = {}] = rest as [unknown, CallOptions?]
    return { url: url.href, method: operation.method, body: JSON.stringify(body), options }
  }
  const takesQuery = hasQuery && !isOptions(rest[0])
  const [query, options = {}] = (takesQuery ? rest : [undefined, rest[0]]) as [
    Readonly<Record<string, unknown>>?,
    CallOptions?,
  ]
  for (const [name, value] of Object.entries(query ?? {}))
    if (value !== undefined) url.searchParams.set(name, String(value))
  return { url: url.href, method: operation.method, body: undefined, options }
}

/** Of a call without a query. No list filters by one of these names. */
function isOptions(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.keys(value).length > 0 &&
    Object.keys(value).every((name) => ['ifMatch', 'idempotencyKey', 'signal'].includes(name))
  )
}

interface Line {
  readonly send: (request: Request) => Promise<Response>
  readonly apiKey: string
}

async function exchange(operation: Operation, prepared: Prepared, line: Line): Promise<unknown> {
  const { url, method, body, options } = prepared
  const { ifMatch, signal, idempotencyKey } = options
  const name = operation.isNamed === true ? (idempotencyKey ?? crypto.randomUUID()) : undefined
  const headers = {
    authorization: `Bearer ${line.apiKey}`,
    accept: 'application/json',
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(ifMatch === undefined ? {} : { 'if-match': `"${ifMatch}"` }),
    ...(name === undefined ? {} : { 'idempotency-key': name }),
  }
  const ask = () =>
    line.send(
      new Request(url, {
        ...{ method, headers },
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
      }),
    )
  const response = await askTwice(ask, signal)
  return answerOf(operation, response)
}

/** Once more where the house asks for it, or the connection broke. */
async function askTwice(
  ask: () => Promise<Response>,
  signal: AbortSignal | undefined,
): Promise<Response> {
  try {
    const response = await ask()
    if (!AGAIN.includes(response.status)) return response
    const waitMs = Number(response.headers.get('retry-after') ?? 0) * 1000
    if (!(waitMs <= WAIT_MAX_MS)) return response
    await response.body?.cancel()
    await new Promise((resolve) => setTimeout(resolve, waitMs))
  } catch (error) {
    if (signal?.aborted === true) throw error
  }
  return ask().catch((error: unknown) => {
    if (signal?.aborted === true) throw error
    throw new PosternApiError(0, { code: 'ERR_API_UNREACHABLE', detail: 'No answer.' }, error)
  })
}

async function answerOf(operation: Operation, response: Response): Promise<unknown> {
  const { status } = response
  const text = await response.text()
  if (response.ok) return text === '' ? undefined : parsed(status, text)
  const problem = parsed(status, text)
  if (operation.mayBeAbsent === true && status === 404) return undefined
  throw new PosternApiError(status, problem as Readonly<Record<string, unknown>>)
}

/** @throws {PosternApiError} for what is no JSON: something else answered. */
function parsed(status: number, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const detail = `Not an answer of the REST API, status ${status}.`
    throw new PosternApiError(status, { code: 'ERR_API_ANSWER', detail }, error)
  }
}
