/**
 * What a resource of the REST API says of itself: one table of routes gives the router, validation, the
 * role check, `docs/openapi.json` and the client. A handler gets values that passed their schema and
 * answers values; the wire is the frame's (`frame.ts`).
 */
import type { z } from 'zod'
import type { Config } from '../config.ts'
import type { TokenDoor } from '../connectors/connections/auth-provider.ts'
import type { EmbeddedDoor } from '../connectors/embedded/embedded-door.ts'
import type { ErrorCode } from '../error-codes.ts'
import type { EndingHouse } from '../issuer/endings.ts'
import type { Keys } from '../issuer/keys.ts'
import type { Egress } from '../net/egress.ts'
import type { Operations } from '../operations.ts'
import type { Mark } from '../records.ts'
import type { Sealing } from '../vault/sealing.ts'
import type { ApiKeys } from './keys.ts'

export const ROLES = ['read', 'connect', 'tokens', 'manage'] as const
/** What a key is for. None includes another: each route names those that may. */
export type Role = (typeof ROLES)[number]

export interface ApiCaller {
  /** `key_...`; `admin` for the key of the configuration. */
  readonly keyId: string
  readonly role: Role
  /** It sees and makes only what belongs to this app. */
  readonly app?: string
  /** It sees and makes only what belongs to these. */
  readonly connectors?: readonly string[]
}

export interface ApiCall<P = unknown, Q = unknown, B = unknown> {
  readonly params: P
  readonly query: Q
  readonly body: B
  readonly caller: ApiCaller
  /** `req_...` */
  readonly requestId: string
  readonly request: Request
  /** `If-Match` without quotes; `*` matches everything. */
  readonly ifMatch?: string
  /** Of a list: how many entries at most, 1 to 200. */
  readonly limit: number
  /** Of a list: the `next` of an earlier answer, authenticated. */
  readonly after?: string
}

export interface ApiAnswer {
  readonly status: number
  readonly body?: unknown
  /** In the place of `body`, sent as it is: an export. Name its type in `headers`. */
  readonly text?: string | ReadableStream<Uint8Array>
  readonly headers?: Readonly<Record<string, string>>
  /** Sent quoted as `ETag`. */
  readonly etag?: string
  /** Of a list that goes on: where. The frame makes `nextCursor` of it. */
  readonly next?: string
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface AnswerShape {
  readonly description: string
  /** Absent: no body. */
  readonly schema?: z.ZodType
  /** Other media types of the same answer: exports. */
  readonly alsoTypes?: readonly string[]
}

interface RouteFacts {
  readonly method: Method
  /** Below `/api/v1`: `/connectors/{name}`. */
  readonly path: string
  /** Method of the client, such as `connectors.list`. */
  readonly operationId: string
  readonly summary: string
  /** Who may. Empty: anybody, without a key. */
  readonly roles: readonly Role[]
  /** Takes `limit` and `cursor`; answers `{ data, nextCursor? }`. */
  readonly list?: true
  /**
   * Restrictions of a key that the handler itself obeys (`reach.ts`). A key with any other one is
   * refused here. Default none.
   */
  readonly reach?: readonly ('app' | 'connectors')[]
  /** Answers `ETag` and obeys `If-Match`. */
  readonly versioned?: true
  /** A POST that may be repeated as it is: `Idempotency-Key` is taken and means nothing. */
  readonly repeatable?: true
  readonly answers: Readonly<Record<number, AnswerShape>>
  /** What it may answer besides what every route may (`problemsOf` in `openapi.ts`). */
  readonly problems: readonly ErrorCode[]
}

export interface ApiRoute extends RouteFacts {
  readonly params?: z.ZodObject
  /** Flat; values are text, whole numbers or booleans. `limit` and `cursor` are the frame's. */
  readonly query?: z.ZodObject
  readonly body?: z.ZodType
  handle(call: ApiCall): Promise<ApiAnswer>
}

type Output<S, None> = S extends z.ZodType ? z.infer<S> : None

/** Infers what the handler gets from the schemas. */
export function route<
  P extends z.ZodObject | undefined = undefined,
  Q extends z.ZodObject | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(
  definition: RouteFacts & {
    readonly params?: P
    readonly query?: Q
    readonly body?: B
    handle(
      call: ApiCall<
        Output<P, Record<string, never>>,
        Output<Q, Record<string, never>>,
        Output<B, undefined>
      >,
    ): Promise<ApiAnswer>
  },
): ApiRoute {
  return definition as ApiRoute
}

/** What is wrong with one field. `param` is its path: `body.user`, `query.limit`. */
export interface FieldProblem {
  readonly param: string
  readonly code: ErrorCode
  readonly detail: string
}

/** The one way to refuse: `application/problem+json` (RFC 9457). `detail` never carries a secret. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string
  readonly param: string | undefined
  readonly errors: readonly FieldProblem[] | undefined
  readonly headers: Readonly<Record<string, string>>
  /** Further members: `connector`, `state`, `cause`. */
  readonly members: Readonly<Record<string, string>>
  constructor(
    status: number,
    code: ErrorCode,
    detail: string,
    more: {
      readonly param?: string
      readonly errors?: readonly FieldProblem[]
      readonly headers?: Readonly<Record<string, string>>
      readonly members?: Readonly<Record<string, string>>
      readonly cause?: unknown
    } = {},
  ) {
    super(`${code}: ${detail}`, { cause: more.cause })
    this.status = status
    this.code = code
    this.detail = detail
    this.param = more.param
    this.errors = more.errors
    this.headers = more.headers ?? {}
    this.members = more.members ?? {}
  }
}

/** @throws {Problem} 412 when `If-Match` was sent and names another version than `current`. */
export function requireVersion(call: Pick<ApiCall, 'ifMatch'>, current: string | undefined): void {
  if (call.ifMatch === undefined || (call.ifMatch === '*' && current !== undefined)) return
  if (call.ifMatch !== current)
    throw new Problem(412, 'ERR_API_VERSION', 'It was changed since you read it.')
}

/** 404, the same for what is not there and for what the key may not see. */
export function notFound(what: string): Problem {
  return new Problem(404, 'ERR_API_NOT_FOUND', `There is no such ${what}.`)
}

/** What resources stand on. `EndingHouse`: store, runtime, emit, bus, config, revocation, duties. */
export interface ApiHouse extends EndingHouse {
  readonly config: Config
  readonly operations: Operations
  readonly keys: Keys
  readonly sealing: Sealing
  readonly egress: Egress
  readonly tokenDoor: TokenDoor
  readonly embedded: EmbeddedDoor
  /** Who calls. To be told of a key that was ended. */
  readonly apiKeys: ApiKeys
  onMark(listener: (mark: Mark) => void): () => void
  /** Address of the peer, behind trusted proxies the client's; `undefined`: limits per address are off. */
  readonly clientAddress: (request: Request) => string | undefined
}
export type ResourceRoutes = (house: ApiHouse) => readonly ApiRoute[]
