/**
 * `protect()` in the issuer's own process: the same remembered tokens, marks and proofs as the
 * gateway, for a server that this house does not stand in front of. Warm: no wait, no exchange.
 */
import type { Judged, Session } from '../issuer/authenticate.ts'
import {
  authInfoOf,
  type ConnectionMemory,
  type Guard,
  type GuardAnswer,
  type Principal,
  type ProtectOptions,
  type Refusal,
} from '../middleware/guard.ts'
import { challenge, dpopChallenge, readBearer, readDpop } from '../oauth/challenge.ts'
import { MCP_SCOPE } from '../oauth/scope.ts'
import { canonicalResource, protectedResourceMetadataPath } from '../oauth/urls.ts'
import type { Emit } from '../ports.ts'
import { possessionError } from './answers.ts'
import { admit, type Need } from './decide.ts'
import type { PossessionRefusal, PresentedProof } from './possession.ts'
import { createLabels } from './records.ts'
import type { GatewayView } from './view.ts'

/** Waits for at most these: the session, then its proof. */
const WAITS_MAX = 2
const BEARER = 'Bearer '
const RETRY_AFTER_SECONDS = '2'

export interface GuardDeps {
  readonly view: Pick<
    GatewayView,
    | 'possession'
    | 'remembered'
    | 'judge'
    | 'nowMs'
    | 'allowed'
    | 'marked'
    | 'proof'
    | 'load'
    | 'settled'
  >
  readonly emit: Emit
  /** Canonical resources that `protect()` may stand for. */
  readonly resources: readonly string[]
}

/** What a request shows of itself. */
interface Shown {
  readonly authorization: string | undefined
  readonly proof: PresentedProof | undefined
}

type Verdict =
  | GuardAnswer
  | { readonly wait: Need; readonly token: string; readonly session: Session | undefined }

export function createGuard(deps: GuardDeps): Guard {
  // Each `protect()` hands over its own options object on every call.
  const resources = new WeakMap<ProtectOptions, string>()
  const resourceFor = (options: ProtectOptions): string => {
    const known = resources.get(options)
    if (known !== undefined) return known
    const found = resourceOf(deps.resources, options)
    resources.set(options, found)
    return found
  }
  return {
    authenticate(authorization, options, memory, proof) {
      const resource = resourceFor(options)
      const shown = { authorization, proof }
      const verdict = judge(deps, shown, resource, options, memory)
      return 'wait' in verdict
        ? settle(deps, shown, resource, options, verdict)
        : counted(deps, verdict)
    },
  }
}

async function settle(
  deps: GuardDeps,
  shown: Shown,
  resource: string,
  options: ProtectOptions,
  first: Extract<Verdict, { wait: Need }>,
): Promise<GuardAnswer> {
  let verdict: Verdict = first
  for (let waits = 0; waits < WAITS_MAX && 'wait' in verdict; waits++) {
    deps.emit.count('postern_hot_path_waits_total', { reason: verdict.wait })
    await deps.view.load({ need: verdict.wait, token: verdict.token, session: verdict.session })
    verdict = judge(deps, shown, resource, options)
  }
  return counted(deps, 'wait' in verdict ? unavailable('proof_unknown') : verdict)
}

const reasonLabels = createLabels('reason')

function counted(deps: GuardDeps, answer: GuardAnswer): GuardAnswer {
  if (!answer.ok)
    deps.emit.count('postern_auth_refusals_total', reasonLabels(answer.refusal.reason))
  return answer
}

function judge(
  deps: GuardDeps,
  shown: Shown,
  resource: string,
  options: ProtectOptions,
  memory?: ConnectionMemory,
): Verdict {
  const { view } = deps
  const { authorization } = shown
  // Exact bytes seen before need no grammar: a remembered token was a whole, well-formed one.
  if (authorization?.startsWith(BEARER)) {
    const token = authorization.slice(BEARER.length)
    const known = recall(deps, authorization, memory) ?? view.remembered(token)
    if (known !== undefined) {
      if (memory !== undefined && memory.session !== known) {
        memory.owner = deps
        memory.authorization = authorization
        memory.session = known
      }
      return judgeSession(view, known, token, resource, options)
    }
  }
  const bearer = readBearer(authorization)
  if (bearer.kind === 'other' && view.possession !== undefined && shown.proof !== undefined) {
    return judgeProved(view, shown, resource, options)
  }
  if (bearer.kind === 'absent' || bearer.kind === 'other')
    return unauthorized(resource, 'token_missing')
  if (bearer.kind === 'malformed') return malformed(resource)
  const { token } = bearer
  const session: Judged = view.judge(token)
  if (typeof session === 'string') return judgeUnknown(session, resource, token)
  return judgeSession(view, session, token, resource, options)
}

/** Scheme `DPoP` (RFC 9449 section 7.1): the token as ever, and a proof of the key it is bound to. */
function judgeProved(
  view: GuardDeps['view'],
  { authorization, proof }: Shown,
  resource: string,
  options: ProtectOptions,
): Verdict {
  const token = readDpop(authorization)
  if (token === undefined || proof === undefined || view.possession === undefined) {
    return malformed(resource)
  }
  const session = view.judge(token)
  if (typeof session === 'string') return judgeUnknown(session, resource, token)
  const reason = view.possession.judge(session, token, resource, proof)
  if (reason !== undefined) return unproved(resource, reason, view.possession.nonce())
  return judgeSession(view, session, token, resource, options, true)
}

function recall(
  deps: GuardDeps,
  authorization: string,
  memory: ConnectionMemory | undefined,
): Session | undefined {
  return memory?.owner === deps && memory.authorization === authorization
    ? memory.session
    : undefined
}

function judgeSession(
  view: GuardDeps['view'],
  session: Session,
  token: string,
  resource: string,
  options: ProtectOptions,
  proved = false,
): Verdict {
  if (session.jkt !== undefined && !proved) {
    return unproved(resource, 'token_bound', view.possession?.nonce())
  }
  const admission = admit(session, resource, undefined, view)
  switch (admission) {
    case 'admitted':
    case 'renew':
      if (options.scopes?.every((scope) => session.scopes.includes(scope)) === false) {
        return insufficient(resource, session, options)
      }
      view.settled(session, admission === 'renew')
      return admitted(token, session)
    case 'cold':
      return { wait: 'proof', token, session }
    case 'view_too_old':
    case 'proof_suspect':
      return unavailable(admission)
    case 'not_allowed':
    case 'scope':
      return forbidden(admission)
    default:
      return unauthorized(resource, admission)
  }
}

function judgeUnknown(judged: Exclude<Judged, Session>, resource: string, token: string): Verdict {
  if (judged === 'cold') return { wait: 'session', token, session: undefined }
  if (judged === 'busy' || judged === 'unavailable') return unavailable('store_unavailable')
  return unauthorized(resource, judged === 'expired' ? 'token_expired' : 'token_invalid')
}

/** A remembered token gives the same principal each time. */
const PRINCIPALS = new WeakMap<Session, Principal>()

function admitted(token: string, session: Session): GuardAnswer {
  let principal = PRINCIPALS.get(session)
  if (principal === undefined) {
    principal = principalOf(session)
    PRINCIPALS.set(session, principal)
  }
  return { ok: true, principal, authInfo: authInfoOf(token, principal) }
}

function principalOf(session: Session): Principal {
  const { provider, identityIssuer, subject, profile, groups } = session
  return {
    userId: session.userId,
    tenant: session.tenant,
    clientId: session.clientId,
    grantId: session.grantId,
    resource: session.resource,
    scopes: session.scopes,
    expiresAtSeconds: Math.floor(session.expiresAtMs / 1000),
    ...(provider === undefined || identityIssuer === undefined || subject === undefined
      ? {}
      : { identity: { provider, issuer: identityIssuer, subject } }),
    ...(profile === undefined ? {} : { profile }),
    ...(groups === undefined ? {} : { groups }),
  }
}

/** The resource that this `protect()` stands for: named, or the only one. */
export function resourceOf(resources: readonly string[], options: ProtectOptions): string {
  const named = options.resource === undefined ? undefined : canonicalResource(options.resource)
  const found =
    options.resource === undefined ? resources[0] : resources.find((entry) => entry === named)
  if (found === undefined || (options.resource === undefined && resources.length > 1)) {
    throw new TypeError(
      resources.length === 0
        ? 'protect() needs the URL of its server in `resources` of the configuration'
        : `protect() needs { resource }: one of ${resources.join(', ')}`,
    )
  }
  return found
}

const JSON_HEADERS = { 'content-type': 'application/json', 'cache-control': 'no-store' }

function refused(
  refusal: Omit<Refusal, 'headers' | 'body'>,
  error: string,
  headers: Record<string, string>,
): GuardAnswer {
  return {
    ok: false,
    refusal: {
      ...refusal,
      headers: { ...JSON_HEADERS, ...headers },
      body: JSON.stringify({ error }),
    },
  }
}

function metadataUrl(resource: string): string {
  return new URL(resource).origin + protectedResourceMetadataPath(resource)
}

/** Refusals of a flood are all alike: made once per resource and reason, which are both few. */
const UNAUTHORIZED = new Map<string, GuardAnswer>()

export function unauthorized(resource: string, reason: string): GuardAnswer {
  const name = `${reason} ${resource}`
  const known = UNAUTHORIZED.get(name)
  if (known !== undefined) return known
  const made = createUnauthorized(resource, reason)
  UNAUTHORIZED.set(name, made)
  return made
}

/** PR-07, PR-08: no `error` attribute where no credentials came. */
function createUnauthorized(resource: string, reason: string): GuardAnswer {
  const error = reason === 'token_missing' ? undefined : 'invalid_token'
  const value = challenge({
    resourceMetadata: metadataUrl(resource),
    scope: MCP_SCOPE,
    ...(error === undefined ? {} : { error }),
  })
  return refused({ status: 401, reason }, error ?? 'unauthorized', { 'www-authenticate': value })
}

/** RFC 9449 section 7.1; also for a bound token that came as `Bearer`. */
export function unproved(
  resource: string,
  reason: PossessionRefusal,
  nonce: string | undefined,
): GuardAnswer {
  if (reason === 'dpop_busy') return unavailable(reason)
  const error = possessionError(reason)
  return refused({ status: 401, reason }, error, {
    'www-authenticate': dpopChallenge(metadataUrl(resource), error),
    ...(nonce === undefined ? {} : { 'dpop-nonce': nonce }),
  })
}

export function malformed(resource: string): GuardAnswer {
  const value = challenge({ resourceMetadata: metadataUrl(resource), error: 'invalid_request' })
  return refused({ status: 400, reason: 'token_malformed' }, 'invalid_request', {
    'www-authenticate': value,
  })
}

export function insufficient(
  resource: string,
  session: Pick<Session, 'scopes'>,
  options: ProtectOptions,
): GuardAnswer {
  const scope = [...new Set([...session.scopes, ...(options.scopes ?? [])])].join(' ')
  const value = challenge({
    resourceMetadata: metadataUrl(resource),
    error: 'insufficient_scope',
    scope,
  })
  return refused({ status: 403, reason: 'scope' }, 'insufficient_scope', {
    'www-authenticate': value,
  })
}

function forbidden(reason: string): GuardAnswer {
  return refused({ status: 403, reason }, 'access_denied', {})
}

export function unavailable(reason: string): GuardAnswer {
  return refused({ status: 503, reason }, 'temporarily_unavailable', {
    'retry-after': RETRY_AFTER_SECONDS,
  })
}
