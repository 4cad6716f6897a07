/**
 * One pure, synchronous decision for both carriers: refuse, wait for something cold, or forward.
 *
 * Nothing here waits, reads a clock or opens a socket; everything comes from the view. Order: what
 * needs no secret, then the token, then what is not remembered with it (audience, scope, marks,
 * proof), then what the call carries. Any value that is not an explicit yes is a refusal (I7).
 */

import type { ConnectorConfig } from '../config.ts'
import { CALL_SCOPE, type Route } from '../connectors/connectors.ts'
import type { Credential } from '../connectors/credentials.ts'
import type { Judged, Session } from '../issuer/authenticate.ts'
import { readBearer, readDpop } from '../oauth/challenge.ts'
import {
  ANSWERS,
  type Answer,
  insufficientScope,
  invalidToken,
  malformedToken,
  methodAnswer,
  missingToken,
  possessionAnswer,
  preflightAnswer,
  stepUpRequired,
} from './answers.ts'
import type { Head } from './headers.ts'
import type { Possession, PresentedProof } from './possession.ts'
import { requireTable } from './scope-check.ts'
import { isStateless } from './session-id.ts'

export type Need = 'session' | 'proof' | 'credential'

/** What a decision may look at. Every method answers at once, from memory. */
export interface View {
  readonly requestBodyMaxBytes: number
  nowMs(): number
  route(path: string): Route | 'ambiguous' | undefined
  /** The path below the issuer's own. */
  strip(path: string): string
  hostAllowed(host: string): boolean
  originAllowed(origin: string): boolean
  remembered(token: string): Session | undefined
  judge(token: string): Judged
  /** The house's rule, and the connector's own where there is one; `cold`: memory does not know. */
  allowed(session: Session, connector: ConnectorConfig | undefined): boolean | 'cold'
  marked(session: Session): boolean | 'view-too-old'
  proof(session: Session): 'fresh' | 'stale' | 'cold' | 'suspect' | 'dead'
  /** Absent where DPoP is not enabled: its scheme is then like any other that is not ours. */
  readonly possession?: Possession | undefined
  /** `missing`: this user has no usable connection there. */
  credential(session: Session, connector: ConnectorConfig): Credential | 'cold' | 'missing'
  openSessionId(presented: string, session: Session, connector: ConnectorConfig): string | undefined
}

export interface Forward {
  readonly kind: 'forward'
  readonly route: Route
  /** Path and query at the server. */
  readonly path: string
  /** Absent on a public route only. */
  readonly session: Session | undefined
  readonly credential: Credential | undefined
  /** The server's own session identifier, opened. */
  readonly upstreamSessionId: string | undefined
  readonly stateless: boolean
  /** Renew the proof once the answer is out. */
  readonly renew: boolean
  /** The connector has a scope table: nothing is sent before `inspectBody` saw the whole body. */
  readonly inspect: boolean
}
export interface Refuse {
  readonly kind: 'refuse'
  readonly answer: Answer
  readonly route: Route | undefined
  readonly session: Session | undefined
}
export interface Wait {
  readonly kind: 'wait'
  readonly need: Need
  readonly route: Route
  readonly token: string
  readonly session: Session | undefined
  /** Keeps what the load found out for the next decision. */
  readonly head: Head
}
/**
 * Everything was allowed, but this user has no connection: nothing may be sent. The answer needs the
 * message, so its body is read (bounded); then it is answered, or decided again.
 */
export interface Reconnect extends Omit<Forward, 'kind'> {
  readonly kind: 'reconnect'
}
export type Decision = Refuse | Wait | Forward | Reconnect

export function decide(method: string, target: string, head: Head, view: View): Decision {
  if (target.charCodeAt(0) !== SLASH) return refusal(ANSWERS.absolute_form)
  const mark = target.indexOf('?')
  const path = mark < 0 ? target : target.slice(0, mark)
  const query = mark < 0 ? '' : target.slice(mark)
  const route = view.route(path)
  if (route === undefined) return refusal(ANSWERS.route_unknown)
  if (route === 'ambiguous') return refusal(ANSWERS.path_ambiguous)
  const broken = judgeShape(method, head, route, view)
  if (broken !== undefined) return refusal(broken, route)
  if (route.kind === 'public') return publicForward(route, path, query, view)
  const twice = judgeTokenPlaces(head, query)
  if (twice !== undefined) return refusal(twice, route)
  const decision = authenticate(head, method, route, path, query, view)
  if (route.connector.scopes === undefined) return decision
  if (decision.kind !== 'forward' && decision.kind !== 'reconnect') return decision
  return requireTable(method, decision)
}

const SLASH = 47
const ROUTE_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']

function refusal(answer: Answer, route?: Route, session?: Session): Refuse {
  return { kind: 'refuse', answer, route, session }
}

function judgeShape(method: string, head: Head, route: Route, view: View): Answer | undefined {
  if (head.fault !== undefined) return ANSWERS[head.fault]
  if (head.host === undefined || !view.hostAllowed(head.host)) return ANSWERS.host
  if (head.origin !== undefined && route.kind !== 'public' && !view.originAllowed(head.origin)) {
    return ANSWERS.origin
  }
  if (method !== 'POST') {
    if (method === 'OPTIONS' && head.origin !== undefined && head.preflight !== undefined) {
      return preflightAnswer(route.kind)
    }
    const allowed =
      route.kind === 'mcp'
        ? method === 'GET' || method === 'DELETE'
        : ROUTE_METHODS.includes(method)
    if (!allowed) return methodAnswer(route.kind)
    const bodyless = method === 'GET' || method === 'HEAD' || method === 'DELETE'
    if (bodyless && (head.chunked || (head.contentLength ?? 0) > 0)) return ANSWERS.body_unexpected
  }
  if ((head.contentLength ?? 0) > view.requestBodyMaxBytes) return ANSWERS.body_too_large
  return undefined
}

/** SEC-03, PR-12: a token in the query counts for nothing, and is a fault beside a real one. */
function judgeTokenPlaces(head: Head, query: string): Answer | undefined {
  if (head.authorization === undefined) return undefined
  if (query !== '' && namesToken(query)) return ANSWERS.token_twice
  const type = head.contentType
  if (type !== undefined && /^application\/x-www-form-urlencoded/i.test(type)) {
    return ANSWERS.token_twice
  }
  return undefined
}

function namesToken(query: string): boolean {
  return /[?&]access_token(?:=|&|$)/i.test(query.includes('%') ? decoded(query) : query)
}

function decoded(query: string): string {
  try {
    return decodeURIComponent(query)
  } catch {
    return query
  }
}

function publicForward(route: Route, path: string, query: string, view: View): Forward {
  return {
    kind: 'forward',
    route,
    path: upstreamPath(route, path, query, view),
    session: undefined,
    credential: undefined,
    upstreamSessionId: undefined,
    stateless: true,
    renew: false,
    inspect: false,
  }
}

function authenticate(
  head: Head,
  method: string,
  route: Route,
  path: string,
  query: string,
  view: View,
): Decision {
  const authorization = head.authorization
  // Exact bytes seen before need no grammar. Everybody sends `Bearer`; other spellings are rare.
  let token = authorization?.startsWith('Bearer ') === true ? authorization.slice(7) : undefined
  let session = token === undefined ? undefined : view.remembered(token)
  let isBearer = true
  if (session === undefined) {
    const bearer = readBearer(authorization)
    if (bearer.kind === 'malformed') return refusal(malformedToken(route), route)
    isBearer = bearer.kind === 'bearer'
    token = bearer.kind === 'bearer' ? bearer.token : proofToken(bearer.kind, authorization, view)
    if (token === undefined) return refusal(missingToken(route), route)
    const judged = view.judge(token)
    if (typeof judged === 'string') return notYet(judged, token, route, head)
    session = judged
  }
  if (!isBearer || session.jkt !== undefined) {
    const bound = judgeBinding(
      { head, method, path, token: token ?? '', isBearer },
      session,
      route,
      view,
    )
    if (bound !== undefined) return refusal(bound, route, session)
  }
  const admission = admit(session, route.resource, route.connector, view)
  if (admission === 'cold') {
    return { kind: 'wait', need: 'proof', route, token: token ?? '', session, head }
  }
  if (admission !== 'admitted' && admission !== 'renew') {
    return refusal(refusedAdmission(admission, route, session), route, session)
  }
  return forward(head, route, session, admission === 'renew', path, query, token ?? '', view)
}

function proofToken(
  kind: 'absent' | 'other',
  authorization: string | undefined,
  view: View,
): string | undefined {
  return kind === 'other' && view.possession !== undefined ? readDpop(authorization) : undefined
}

/** A bound token comes with a proof of its key, and only then with the scheme `DPoP` (RFC 9449). */
function judgeBinding(
  shown: Pick<PresentedProof, 'method' | 'path'> & {
    readonly head: Head
    readonly token: string
    readonly isBearer: boolean
  },
  session: Session,
  route: Route,
  { possession }: View,
): Answer | undefined {
  const { head, method, path, token, isBearer } = shown
  if (possession === undefined) return invalidToken(route, 'token_bound')
  // Kept with the request: a decision that waits for something is made twice.
  head.presented ??= { proof: head.dpop, method, path }
  const reason = isBearer
    ? 'token_bound'
    : possession.judge(session, token, route.resource, head.presented)
  if (reason === undefined) return undefined
  return possessionAnswer(route.resourceMetadata, reason, possession.nonce())
}

function notYet(
  judged: Exclude<Judged, Session>,
  token: string,
  route: Route,
  head: Head,
): Decision {
  switch (judged) {
    case 'cold':
      return { kind: 'wait', need: 'session', route, token, session: undefined, head }
    case 'busy':
      return refusal(ANSWERS.busy, route)
    case 'unavailable':
      return refusal(ANSWERS.store_unavailable, route)
    case 'shape':
      return refusal(invalidToken(route, 'token_shape'), route)
    case 'expired':
      return refusal(invalidToken(route, 'token_expired'), route)
    case 'ended':
      return refusal(invalidToken(route, 'grant_ended'), route)
    case 'budget':
      return refusal(invalidToken(route, 'failure_budget'), route)
    default:
      return refusal(invalidToken(route, 'token_invalid'), route)
  }
}

/** `admitted`; `renew`: admitted, prove again behind; `cold`: prove first; the rest are refusals. */
export type Admission =
  | 'admitted'
  | 'renew'
  | 'cold'
  | 'token_audience'
  | 'token_expired'
  | 'token_revoked'
  | 'proof_dead'
  | 'step_up'
  | 'scope'
  | 'not_allowed'
  | 'view_too_old'
  | 'proof_suspect'

/**
 * What is asked of a remembered session on every request: audience, expiry, marks, strength of the
 * sign-in, scope (with a scope table: after the body), who may, proof. Shared with `protect()`, which has no connector.
 */
export function admit(
  session: Session,
  resource: string,
  connector: ConnectorConfig | undefined,
  view: Pick<View, 'nowMs' | 'allowed' | 'marked' | 'proof'>,
): Admission {
  if (session.resource !== resource) return 'token_audience'
  if (!(session.expiresAtMs > view.nowMs())) return 'token_expired'
  const marked = view.marked(session)
  if (marked === 'view-too-old') return 'view_too_old'
  if (marked !== false) return 'token_revoked'
  if (connector !== undefined) {
    if (connector.stepUp !== undefined && isTooWeak(session, connector.stepUp, view)) {
      return 'step_up'
    }
    if (connector.scopes === undefined && !session.scopes.includes(CALL_SCOPE)) return 'scope'
  }
  const allowed = view.allowed(session, connector)
  if (allowed === false) return 'not_allowed'
  const isKnown = allowed === true
  switch (view.proof(session)) {
    case 'fresh':
      return isKnown ? 'admitted' : 'cold'
    case 'stale':
      return isKnown ? 'renew' : 'cold'
    case 'cold':
      return 'cold'
    case 'dead':
      return 'proof_dead'
    default:
      return 'proof_suspect'
  }
}

/** PR-17: signed in too long ago, or not in an accepted way. Not known is no. */
function isTooWeak(
  { authTimeSeconds, acr }: Session,
  { maxAuthAgeSeconds, acrValues }: NonNullable<ConnectorConfig['stepUp']>,
  view: Pick<View, 'nowMs'>,
): boolean {
  if (acrValues !== undefined && (acr === undefined || !acrValues.includes(acr))) return true
  if (maxAuthAgeSeconds === undefined) return false
  return !(view.nowMs() - (authTimeSeconds ?? 0) * 1000 <= maxAuthAgeSeconds * 1000)
}

function refusedAdmission(
  admission: Exclude<Admission, 'admitted' | 'renew' | 'cold'>,
  route: Route,
  session: Session,
): Answer {
  switch (admission) {
    case 'scope':
      return insufficientScope(route, session.scopes, [CALL_SCOPE])
    case 'step_up':
      return stepUpRequired(route, session.scopes)
    case 'not_allowed':
    case 'view_too_old':
    case 'proof_suspect':
      return ANSWERS[admission]
    default:
      return invalidToken(route, admission)
  }
}

function forward(
  head: Head,
  route: Route,
  session: Session,
  renew: boolean,
  path: string,
  query: string,
  token: string,
  view: View,
): Decision {
  const stateless = route.kind !== 'mcp' || isStateless(head.protocolVersion)
  let upstreamSessionId: string | undefined
  if (!stateless && head.sessionId !== undefined) {
    upstreamSessionId = view.openSessionId(head.sessionId, session, route.connector)
    if (upstreamSessionId === undefined) return refusal(ANSWERS.session_unknown, route, session)
  }
  const target = upstreamPath(route, path, query, view)
  if (route.kind !== 'mcp' && isBeyondToken(route, target)) {
    return refusal(ANSWERS.route_unknown, route, session)
  }
  const known = view.credential(session, route.connector)
  const credential = known === 'cold' && head.hasNoConnection ? 'missing' : known
  if (credential === 'cold') {
    return { kind: 'wait', need: 'credential', route, token, session, head }
  }
  return {
    kind: credential === 'missing' ? 'reconnect' : 'forward',
    route,
    path: target,
    session,
    credential: credential === 'missing' ? undefined : credential,
    upstreamSessionId,
    stateless,
    renew,
    inspect: false,
  }
}

/** CLI-21: a server's token goes to its resource and below, nowhere else on that host. */
function isBeyondToken({ connector }: Route, target: string): boolean {
  if (connector.auth !== 'oauth' && connector.auth !== 'client_credentials') return false
  const prefix = connector.url.pathname
  const path = target.split('?', 1)[0] ?? ''
  return path !== prefix && !path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`)
}

function upstreamPath(route: Route, path: string, query: string, view: View): string {
  const fixed = route.upstreamPath
  if (fixed === undefined) return view.strip(path) + query
  if (query === '') return fixed
  const mark = fixed.indexOf('?')
  return mark < 0 ? fixed + query : withoutRepeats(fixed, fixed.slice(mark), query)
}

/** What the connector's own URL says no client says once more: which of the two counts is the server's whim. */
function withoutRepeats(fixed: string, ownQuery: string, query: string): string {
  const own = new Set(namesIn(ownQuery.slice(1)))
  const kept = query
    .slice(1)
    .split('&')
    .filter((part) => !namesIn(part).some((name) => own.has(name)))
  return kept.length === 0 ? fixed : `${fixed}&${kept.join('&')}`
}

/** As lax servers read them: `;` separates too, `a[0]` and `A` are `a`, odd characters are one. */
function namesIn(query: string): readonly string[] {
  return query.split(/[&;]/).map((part) => {
    const [name = ''] = decoded(part.split('=', 1)[0] ?? '').split('[', 1)
    return name
      .replace(/^[+\s]+/, '')
      .toLowerCase()
      .replace(/[^a-z0-9]/g, '_')
  })
}
