/**
 * What `protect()` asks, in the issuer's process and in any other: is this `Authorization` header good
 * for this resource, and who is it? One answer type for every runtime's middleware.
 */
import type { PresentedProof } from '../gateway/possession.ts'
import type { Session } from '../issuer/authenticate.ts'
import type { Profile } from '../records.ts'

/** The person and client behind a call, after every check. */
export interface Principal {
  readonly userId: string
  readonly tenant: string
  readonly clientId: string
  readonly grantId: string
  readonly resource: string
  readonly scopes: readonly string[]
  readonly expiresAtSeconds: number
  /** Absent in another process than the issuer's. */
  readonly identity?: {
    readonly provider: string
    readonly issuer: string
    readonly subject: string
  }
  readonly profile?: Profile
  readonly groups?: readonly string[]
}

/** The official MCP SDK's type; `extra.principal` is the `Principal`. */
export interface AuthInfo {
  token: string
  clientId: string
  scopes: string[]
  /** Seconds since the epoch. */
  expiresAt?: number
  resource?: URL
  extra?: Record<string, unknown>
}

export interface ProtectOptions {
  /** Needed only when several resources are configured. */
  readonly resource?: string
  /** Scopes a call needs beyond a valid token; default none. */
  readonly scopes?: readonly string[]
}

/** A refusal ready for the wire: 400, 401, 403, or 503 with `Retry-After`. */
export interface Refusal {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Stable word for log and metric; never on the wire. */
  readonly reason: string
}

export type GuardAnswer =
  | { readonly ok: true; readonly principal: Principal; readonly authInfo: AuthInfo }
  | { readonly ok: false; readonly refusal: Refusal }

/**
 * What the last call on one connection carried and who it was, so that the next one with the very same
 * bytes needs no digest. Only its owner believes it, and everything that can change is asked again.
 */
export interface ConnectionMemory {
  owner?: object
  authorization?: string
  session?: Session
}

export interface Guard {
  /**
   * Answers at once when everything is warm; a promise only when something is cold.
   *
   * @param memory One object per connection, where the runtime has connections.
   * @param proof What the request shows beside a `DPoP` credential; nothing for any other.
   */
  authenticate(
    authorization: string | undefined,
    options: ProtectOptions,
    memory?: ConnectionMemory,
    proof?: PresentedProof,
  ): GuardAnswer | Promise<GuardAnswer>
}

/** The official SDK reads this shape from `req.auth`. */
export function authInfoOf(token: string, principal: Principal): AuthInfo {
  return {
    token,
    clientId: principal.clientId,
    scopes: principal.scopes.slice(),
    expiresAt: principal.expiresAtSeconds,
    resource: resourceUrl(principal.resource),
    extra: { principal },
  }
}

/** Whether a proof has to be read at all: one look at the first letter of every other credential. */
export function usesDpop(authorization: string | undefined): boolean {
  const first = authorization?.charCodeAt(0)
  return (first === UPPER_D || first === LOWER_D) && /^dpop /i.test(authorization ?? '')
}

const UPPER_D = 68
const LOWER_D = 100

/** What a `Request` shows, for `Guard.authenticate`. */
export function proofOfRequest(request: Request): PresentedProof | undefined {
  const { headers, method, url } = request
  if (!usesDpop(headers.get('authorization') ?? undefined)) return undefined
  return { proof: headers.get('dpop') ?? undefined, method, path: new URL(url).pathname }
}

/** As `Postern.authenticate`: the principal, or the response to send. */
export async function authenticateRequest(
  guard: Guard,
  request: Request,
  options: ProtectOptions,
): Promise<{ principal: Principal; authInfo: AuthInfo } | { response: Response; reason: string }> {
  const authorization = request.headers.get('authorization') ?? undefined
  const proof = proofOfRequest(request)
  const answer = await guard.authenticate(authorization, options, undefined, proof)
  if (answer.ok) return { principal: answer.principal, authInfo: answer.authInfo }
  return { response: refusalResponse(answer.refusal), reason: answer.refusal.reason }
}

const RESOURCE_URLS_MAX = 64
const RESOURCE_URLS = new Map<string, URL>()

/** Parsed once: a process protects few resources, and answers many calls. */
function resourceUrl(resource: string): URL {
  const known = RESOURCE_URLS.get(resource)
  if (known !== undefined) return known
  const parsed = new URL(resource)
  if (RESOURCE_URLS.size < RESOURCE_URLS_MAX) RESOURCE_URLS.set(resource, parsed)
  return parsed
}

export function refusalResponse(refusal: Refusal): Response {
  return new Response(refusal.body, { status: refusal.status, headers: { ...refusal.headers } })
}
