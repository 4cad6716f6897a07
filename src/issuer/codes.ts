/**
 * Issues an authorization code: a grant in state `pending` that carries the code's digest, committed
 * together with the approval, after a guarded write of the user's row (so that a user who was disabled
 * meanwhile gets nothing). A code lives 60 s (AZ-06).
 */
import { printable } from '../errors.ts'
import { authorizationResponse } from '../oauth/authorization.ts'
import type { Client } from '../oauth/client.ts'
import { formatCode } from '../oauth/code.ts'
import { formatScope } from '../oauth/scope.ts'
import type { Step, Versioned } from '../ports.ts'
import { type AuthorizationRequest, type Grant, TENANT } from '../records.ts'
import { redirectAnswer } from './answers.ts'
import { approvalStep } from './approvals.ts'
import { auditStep } from './audit.ts'
import { findResource, type IssuerHouse, report } from './house.ts'
import { createId, key } from './ids.ts'
import type { SignedIn } from './sessions.ts'

const CODE_TTL_MS = 60_000
const CODE_RANDOM_BYTES = 32
/** Of what a client asked for, in an event or audit row. */
const REQUESTED_SCOPE_SHOWN_MAX = 512
/**
 * Rounds of re-reading after a lost commit: another tab, another node. One of those that compete wins
 * each round, so this many sign-ins of one person at one moment all arrive.
 */
export const COMMIT_ATTEMPTS_MAX = 20

/** Who the grant is for and what it depends on. */
export interface GrantSubject {
  readonly userId: string
  readonly userKey: string
  readonly vaultId: string
  readonly sessionDigest: string
  readonly authTimeSeconds: number
  readonly acr?: string
}

export interface IssuedCode {
  readonly steps: readonly Step[]
  readonly code: string
  readonly grantId: string
  /** More than this person allowed this client here before (PR-18). */
  readonly elevation?: Elevation
}

/** Scopes as the wire has them. */
export interface Elevation {
  readonly requested: string
  readonly granted: string
  readonly before: string
}

/** The steps that approve and grant; the caller commits them with what must stand or fall with them. */
export async function codeSteps(
  house: IssuerHouse,
  subject: GrantSubject,
  request: AuthorizationRequest,
  client: Client,
  options: { readonly approve: boolean; readonly flowId: string },
): Promise<IssuedCode> {
  const { runtime } = house
  const grantId = createId(runtime, 'grt')
  const code = formatCode({ grantId, random: runtime.randomBytes(CODE_RANDOM_BYTES) })
  const { step: approval, before } = options.approve
    ? await approvalStep(house, subject.userId, request, client)
    : {}
  const elevation = elevationOf(request, before)
  const grant = pendingGrant(house, subject, request, { grantId, codeDigest: runtime.sha256(code) })
  const steps: Step[] = [{ verb: 'createGrant', grant }]
  if (approval !== undefined) steps.push(approval)
  const { userId } = subject
  const detail = elevation === undefined ? options.flowId : elevationText(elevation, options.flowId)
  steps.push(auditStep(house, 'consent.given', { userId, clientId: client.clientId, detail }))
  return { steps, code, grantId, ...(elevation === undefined ? {} : { elevation }) }
}

/** @param before Scopes of the earlier approval of the same client, redirect URI and resource. */
function elevationOf(
  request: AuthorizationRequest,
  before: readonly string[] | undefined,
): Elevation | undefined {
  if (before === undefined || request.scopes.every((scope) => before.includes(scope)))
    return undefined
  return {
    requested: request.requestedScope ?? '',
    granted: formatScope(request.scopes),
    before: formatScope(before),
  }
}

function elevationText({ requested, granted, before }: Elevation, flowId: string): string {
  const shown = printable(requested).slice(0, REQUESTED_SCOPE_SHOWN_MAX)
  return `${flowId} elevation requested="${shown}" granted="${granted}" before="${before}"`
}

/** What the event of a consent says about an elevation, beside client, user and flow id. */
export function elevationFacts({ elevation }: IssuedCode): Readonly<Record<string, string>> {
  if (elevation === undefined) return {}
  const { requested, granted, before } = elevation
  return {
    requestedScope: printable(requested).slice(0, REQUESTED_SCOPE_SHOWN_MAX),
    grantedScope: granted,
    scopeBefore: before,
  }
}

function pendingGrant(
  house: IssuerHouse,
  subject: GrantSubject,
  request: AuthorizationRequest,
  ids: { readonly grantId: string; readonly codeDigest: string },
): Grant {
  const nowMs = house.runtime.nowMs()
  return {
    tenant: TENANT,
    id: ids.grantId,
    userId: subject.userId,
    userKey: subject.userKey,
    clientId: request.clientId,
    resource: request.resource,
    scopes: request.scopes,
    vaultId: subject.vaultId,
    sessionId: subject.sessionDigest,
    state: 'pending',
    redirectUri: request.redirectUri,
    codeChallenge: request.codeChallenge,
    codeDigest: ids.codeDigest,
    codeExpiresAtMs: nowMs + CODE_TTL_MS,
    refreshGeneration: 0,
    ...(request.dpopJkt === undefined ? {} : { jkt: request.dpopJkt }),
    authTimeSeconds: subject.authTimeSeconds,
    ...(subject.acr === undefined ? {} : { acr: subject.acr }),
    ...(tellsAuthentication(house, request) ? { tellsAuthentication: true } : {}),
    createdAtMs: nowMs,
    absoluteExpiresAtMs: nowMs + house.config.limits.refreshTokenAbsoluteSeconds * 1000,
    expiresAtMs: nowMs + CODE_TTL_MS,
    version: 1,
  }
}

/** RFC 9470 section 6: tokens say when and how where the client asked, or where a policy will ask. */
function tellsAuthentication(house: IssuerHouse, request: AuthorizationRequest): boolean {
  return (
    request.maxAgeSeconds !== undefined ||
    request.acrValues !== undefined ||
    findResource(house, request.resource)?.connector?.stepUp !== undefined
  )
}

/** A write of the row as it is: wins only if nobody changed it since it was read. */
export function guardStep(user: Versioned<'user'>): Step {
  return { verb: 'put', kind: 'user', key: user.key, ifVersion: user.version, value: user.value }
}

function sessionGuard({ key: at, version, value }: Versioned<'session'>): Step {
  return { verb: 'put', kind: 'session', key: at, ifVersion: version, value }
}

/** The last step of every sign-in with a client: 303 with `code`, `state`, `iss`. */
export function codeAnswer(
  house: IssuerHouse,
  request: AuthorizationRequest,
  issued: IssuedCode,
  cookies: readonly string[] = [],
): Response {
  const url = authorizationResponse(
    request.redirectUri,
    { code: issued.code },
    { iss: house.config.issuer, ...(request.state === undefined ? {} : { state: request.state }) },
  )
  return redirectAnswer(url, cookies)
}

/**
 * Issues a code for a browser with a session, with no trip to the provider.
 *
 * @param once Steps that make it happen once (the answered form); empty for the silent rule.
 * @returns `undefined` when the sign-in ended meanwhile, or the rows it depends on kept changing.
 */
export async function issueForSession(
  house: IssuerHouse,
  signedIn: SignedIn,
  request: AuthorizationRequest,
  client: Client,
  options: { readonly once: readonly Step[]; readonly approve: boolean; readonly flowId: string },
): Promise<IssuedCode | undefined> {
  const { session } = signedIn
  const subject: GrantSubject = {
    userId: session.value.userId,
    userKey: session.value.userKey,
    vaultId: session.value.vaultId,
    sessionDigest: signedIn.digest,
    authTimeSeconds: session.value.authTimeSeconds,
    ...(session.value.acr === undefined ? {} : { acr: session.value.acr }),
  }
  for (let round = 0; round < COMMIT_ATTEMPTS_MAX; round += 1) {
    const user = round === 0 ? signedIn.user : await house.store.get('user', signedIn.user.key)
    const kept = round === 0 ? signedIn.session : await house.store.get('session', session.key)
    if (user?.value.state !== 'active' || kept === undefined) return undefined
    // Read after the user's row: what ends a sign-in writes that row too, so this commit is lost then.
    const vault = await house.store.get('vault', key(subject.vaultId))
    if (vault?.value.state !== 'active') return undefined
    const issued = await codeSteps(house, subject, request, client, options)
    // Whoever ends everything ends the sessions first: nothing can be granted in between.
    const guards = [guardStep(user), sessionGuard(kept)]
    const { won } = await house.store.commit([...guards, ...options.once, ...issued.steps])
    if (won) {
      house.clients.markUsed(client)
      report(house, {
        type: options.approve ? 'consent.given' : 'signin.completed',
        flowId: options.flowId,
        userId: subject.userId,
        clientId: client.clientId,
        grantId: issued.grantId,
        provider: session.value.provider,
        reason: options.approve ? 'session' : 'silent',
        ...elevationFacts(issued),
      })
      return issued
    }
  }
  return undefined
}
