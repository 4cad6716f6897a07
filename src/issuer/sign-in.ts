/**
 * Finishes a sign-in after the provider's answer was accepted: exchange the code once, who is it, may
 * they, is it the account that the page showed; then everything in one commit, the user's row first
 * (flows.md section 5, steps 5 to 9).
 */

import { withDeadline } from '../cache/deadline.ts'
import { OAuthError, UpstreamError } from '../errors.ts'
import { type Client, matchRedirectUri } from '../oauth/client.ts'
import type { Step, Versioned } from '../ports.ts'
import { SetUpError, type SignIn } from '../providers/provider.ts'
import { TENANT, type Values } from '../records.ts'
import { userKeyOf } from './admission.ts'
import { redirectAnswer } from './answers.ts'
import { ATTEMPT_TTL_MS, nonceOf, openVerifier, providerFailedPage } from './attempt.ts'
import { auditStep } from './audit.ts'
import {
  COMMIT_ATTEMPTS_MAX,
  codeAnswer,
  codeSteps,
  elevationFacts,
  type IssuedCode,
} from './codes.ts'
import { authorizePath } from './consent.ts'
import { type CookieJar, sessionCookie } from './cookies.ts'
import { revokeStep } from './duty-steps.ts'
import { findResource, type IssuerHouse, report } from './house.ts'
import { createId, key } from './ids.ts'
import { mayRevokeReplaced, withKeptRefreshToken } from './kept-tokens.ts'
import { redirectError, redirectUriPage, unknownClientPage } from './refusals.ts'
import { createSession } from './sessions.ts'
import { factsOfSignIn, judgeSignIn, membershipsUnanswered } from './sign-in-facts.ts'
import {
  type Answered,
  auditRefusal,
  dropCookie,
  mistakePage,
  notAllowed,
  upstreamError,
} from './sign-in-refusals.ts'
import { originName } from './signals.ts'
import { findLiving } from './tombstones.ts'
import { backedRequest, furtherScopes } from './upstream-scopes.ts'

export async function continueSignIn(house: IssuerHouse, answered: Answered): Promise<Response> {
  const { parameters, entry, transaction } = answered
  const error = parameters.get('error')
  if (error !== undefined) return upstreamError(house, answered, error)
  const code = parameters.get('code')
  if (code === undefined) return upstreamError(house, answered, 'code_missing')
  let arrival: SignIn
  try {
    arrival = await exchange(house, answered, code)
  } catch (cause) {
    if (cause instanceof SetUpError) return mistakePage(house, answered, cause.mistake)
    if (cause instanceof OAuthError) return upstreamError(house, answered, cause.reason)
    if (!(cause instanceof UpstreamError)) throw cause
    return providerFailedPage(house, answered.jar, transaction, entry, cause, [
      dropCookie(answered),
    ])
  }
  return admit(house, answered, arrival)
}

async function exchange(house: IssuerHouse, answered: Answered, code: string): Promise<SignIn> {
  const { entry, attempt, parameters, stateDigest } = answered
  const verifier = openVerifier(house, stateDigest, attempt.verifierSealed)
  if (verifier === undefined)
    throw new OAuthError('server_error', 'sign-in could not be finished', {
      reason: 'verifier_unreadable',
    })
  const iss = parameters.get('iss')
  return withDeadline(
    house.runtime,
    house.config.limits.tokenCallTimeoutMs,
    { operation: 'token', origin: entry.provider.issuer },
    entry.provider.exchange(entry.context, {
      code,
      verifier,
      nonce: nonceOf(house, verifier),
      scopes: furtherScopes(house, answered.transaction.request, entry.provider),
      ...(iss === undefined ? {} : { iss }),
    }),
  )
}

/** `allow`, disabled users, client still valid, and the account that the page had shown. */
async function admit(house: IssuerHouse, answered: Answered, arrival: SignIn): Promise<Response> {
  const { transaction, entry } = answered
  const { request, flowId } = transaction
  const { identity } = arrival
  const userKey = userKeyOf(house.runtime, identity)
  const existing = await findLiving(house, userKey)
  const resource = request === undefined ? undefined : findResource(house, request.resource)
  if (existing !== undefined && existing.value.state !== 'active')
    return notAllowed(house, answered, 'user_disabled', existing.value.userId)
  const facts = await factsOfSignIn(house, entry, arrival)
  const verdict = judgeSignIn(house, facts, resource)
  if (verdict === 'out') return notAllowed(house, answered, 'not_allowed', existing?.value.userId)
  if (verdict === 'unknown') {
    const cause = membershipsUnanswered(entry.provider)
    const { jar } = answered
    return providerFailedPage(house, jar, transaction, entry, cause, [dropCookie(answered)])
  }
  let client: Client | undefined
  if (request !== undefined) {
    client = await house.clients.find(request.clientId)
    if (client === undefined) return unknownClientPage(house, flowId)
    if (!matchRedirectUri(client, request.redirectUri).matched)
      return redirectUriPage(house, client, request.redirectUri, flowId)
  }
  const unmet = authenticationUnmet(house, answered, arrival)
  if (request !== undefined && unmet !== undefined) {
    await auditRefusal(house, answered, unmet, existing?.value.userId)
    const error = { error: 'unmet_authentication_requirements', reason: unmet, flowId }
    return redirectError(house, request, error, [dropCookie(answered)])
  }
  const shown = transaction.shownUserId
  const switched = shown !== undefined && shown !== existing?.value.userId
  const backed =
    request === undefined
      ? undefined
      : backedRequest(house, request, entry.provider, givenScopes(house, answered, arrival))
  if (backed?.scopes.length === 0 && !switched) {
    const error = { error: 'access_denied', reason: 'upstream_scope_missing', flowId }
    return redirectError(house, backed, error, [dropCookie(answered)])
  }
  const target =
    backed === undefined || client === undefined || switched
      ? undefined
      : { request: backed, client }
  return store(house, answered, { arrival, userKey, target, switched, names: facts.names })
}

/** RFC 6749 section 5.1: an answer without `scope` gave what was asked for. */
function givenScopes(
  house: IssuerHouse,
  { entry: { provider }, transaction }: Answered,
  { tokens }: SignIn,
): readonly string[] {
  return (
    tokens.scopes ?? [...provider.scopes, ...furtherScopes(house, transaction.request, provider)]
  )
}

/** Providers' clocks differ from ours by at most this. */
const AUTH_TIME_SKEW_SECONDS = 60

/**
 * RFC 9470 section 5: what the client needs and the provider did not do. A provider without OpenID
 * cannot say when it asked the person last; there the moment of this sign-in counts.
 */
function authenticationUnmet(
  house: IssuerHouse,
  { transaction, attempt }: Answered,
  arrival: SignIn,
): 'acr_unmet' | 'max_age_unmet' | undefined {
  const { acrValues, maxAgeSeconds } = transaction.request ?? {}
  if (acrValues !== undefined && !acrValues.some((value) => value === arrival.acr))
    return 'acr_unmet'
  if (maxAgeSeconds === undefined) return undefined
  const { authTimeSeconds } = arrival
  if (authTimeSeconds === undefined)
    return arrival.tokens.idToken === undefined ? undefined : 'max_age_unmet'
  const startedSeconds = Math.floor((attempt.expiresAtMs - ATTEMPT_TTL_MS) / 1000)
  const oldestSeconds = Math.min(
    startedSeconds,
    Math.floor(house.runtime.nowMs() / 1000) - maxAgeSeconds,
  )
  return authTimeSeconds < oldestSeconds - AUTH_TIME_SKEW_SECONDS ? 'max_age_unmet' : undefined
}

interface Admitted {
  readonly arrival: SignIn
  readonly userKey: string
  /** What to grant; absent for a first-party sign-in and where the Allow is void (A27). */
  readonly target:
    | { readonly request: NonNullable<Values['transaction']['request']>; readonly client: Client }
    | undefined
  readonly switched: boolean
  /** Organizations and teams, where rules ask about them. */
  readonly names: readonly string[] | undefined
}

async function store(
  house: IssuerHouse,
  answered: Answered,
  admitted: Admitted,
): Promise<Response> {
  for (let round = 0; round < COMMIT_ATTEMPTS_MAX; round += 1) {
    const prepared = await prepare(house, answered, admitted)
    if (prepared === undefined) return notAllowed(house, answered, 'user_disabled')
    const { won } = await house.store.commit(prepared.steps)
    if (won) return finish(house, answered, admitted, prepared)
  }
  // Somebody kept writing the same rows: the person may try again, nothing was stored.
  const { transaction, entry, jar } = answered
  const busy = new UpstreamError('ERR_UPSTREAM_RESET', {
    operation: 'commit',
    origin: house.config.issuer,
  })
  return providerFailedPage(house, jar, transaction, entry, busy, [dropCookie(answered)])
}

interface Prepared {
  readonly steps: readonly Step[]
  readonly userId: string
  readonly vaultId: string
  readonly cookie: string
  readonly issued: IssuedCode | undefined
}

/** One commit, the user's row first: the rest depends on it. */
async function prepare(
  house: IssuerHouse,
  answered: Answered,
  admitted: Admitted,
): Promise<Prepared | undefined> {
  const { arrival, userKey, target } = admitted
  const { provider } = answered.entry
  const row = await house.store.get('user', key(userKey))
  // The row of somebody who was deleted: whoever signs in now is a new person.
  const user = row === undefined ? undefined : await findLiving(house, userKey, row)
  if (user !== undefined && user.value.state !== 'active') return undefined
  const userId = user?.value.userId ?? createId(house.runtime, 'usr')
  const vault = await findVault(house, user, provider.issuer, arrival.identity.subject)
  const vaultId = vault?.key.id ?? createId(house.runtime, 'vlt')
  const kept = await withKeptRefreshToken(house, arrival, vault)
  const session = createSession(house, answered.jar, {
    userId,
    userKey,
    provider: provider.id,
    issuer: provider.issuer,
    vaultId,
    ...(arrival.providerSid === undefined ? {} : { providerSid: arrival.providerSid }),
    ...(arrival.acr === undefined ? {} : { acr: arrival.acr }),
    ...(arrival.authTimeSeconds === undefined ? {} : { authTimeSeconds: arrival.authTimeSeconds }),
  })
  const steps: Step[] = [
    userStep(house, answered, admitted, { row, user, userId }),
    vaultStep(house, answered, { ...admitted, arrival: kept }, { userId, vaultId, before: vault }),
    { verb: 'create', kind: 'session', key: key(session.digest), value: session.value },
    auditStep(house, 'signin.completed', { userId }),
    ...(mayRevokeReplaced(provider, arrival, kept) ? replacedSteps(house, vault) : []),
    ...originSteps(house, answered, arrival, { userId, digest: session.digest }),
  ]
  const subject = {
    userId,
    userKey,
    vaultId,
    sessionDigest: session.digest,
    authTimeSeconds: session.value.authTimeSeconds,
    ...(arrival.acr === undefined ? {} : { acr: arrival.acr }),
  }
  const issued =
    target === undefined
      ? undefined
      : await codeSteps(house, subject, target.request, target.client, {
          approve: true,
          flowId: answered.transaction.flowId,
        })
  return {
    steps: [...steps, ...(issued?.steps ?? [])],
    userId,
    vaultId,
    cookie: session.cookie,
    issued,
  }
}

/** Vault records of one user that are looked through: one per provider, and some ended ones. */
const VAULTS_OF_USER_MAX = 100

/**
 * A living record of this person at this provider takes the new tokens, for all grants that depend
 * on it. One that ended, or that the provider has just refused, stays dead: the sign-in gets a new one.
 */
async function findVault(
  house: IssuerHouse,
  user: Versioned<'user'> | undefined,
  issuer: string,
  subject: string,
): Promise<Versioned<'vault'> | undefined> {
  if (user === undefined) return undefined
  const index = { name: 'userId', value: user.value.userId }
  const rows = await house.store.list('vault', TENANT, index, { max: VAULTS_OF_USER_MAX })
  return rows.find(({ key: { id }, value }) => {
    const proof = house.proofs.state(id)
    const isLiving = value.state === 'active' && proof !== 'dead' && proof !== 'suspect'
    return isLiving && value.issuer === issuer && value.subject === subject
  })
}

function userStep(
  house: IssuerHouse,
  answered: Answered,
  { arrival, userKey }: Admitted,
  before: {
    readonly row: Versioned<'user'> | undefined
    readonly user: Versioned<'user'> | undefined
    readonly userId: string
  },
): Step {
  const { row, user, userId } = before
  const nowMs = house.runtime.nowMs()
  const { identity } = arrival
  const value: Values['user'] = {
    userId,
    issuer: identity.issuer,
    subject: identity.subject,
    provider: answered.entry.provider.id,
    profile: identity.profile,
    groups: identity.groups,
    ...(identity.roles === undefined ? {} : { roles: identity.roles }),
    ...(identity.tenant === undefined ? {} : { tenantId: identity.tenant }),
    state: 'active',
    createdAtMs: user?.value.createdAtMs ?? nowMs,
    lastSignInAtMs: nowMs,
  }
  return row === undefined
    ? { verb: 'create', kind: 'user', key: key(userKey), value }
    : { verb: 'put', kind: 'user', key: row.key, ifVersion: row.version, value }
}

function vaultStep(
  house: IssuerHouse,
  answered: Answered,
  { arrival, userKey }: Admitted,
  ids: {
    readonly userId: string
    readonly vaultId: string
    readonly before: Versioned<'vault'> | undefined
  },
): Step {
  const { provider } = answered.entry
  const { tokens, identity } = arrival
  const { before } = ids
  const nowMs = house.runtime.nowMs()
  const value: Values['vault'] = {
    userId: ids.userId,
    userKey,
    provider: provider.id,
    // The provider's own issuer string: it finds the provider again when it is renamed here.
    issuer: provider.issuer,
    subject: identity.subject,
    tokenOrigin: new URL(provider.issuer).origin,
    ...house.vault.sealTokens(ids.vaultId, tokens),
    scopes: givenScopes(house, answered, arrival),
    state: 'active',
    ...(tokens.expiresAtMs === undefined ? {} : { accessExpiresAtMs: tokens.expiresAtMs }),
    hasRefreshToken: tokens.refreshToken !== undefined,
    createdAtMs: before?.value.createdAtMs ?? nowMs,
    refreshedAtMs: nowMs,
  }
  return before === undefined
    ? { verb: 'create', kind: 'vault', key: key(ids.vaultId), value }
    : { verb: 'put', kind: 'vault', key: before.key, ifVersion: before.version, value }
}

function finish(
  house: IssuerHouse,
  answered: Answered,
  admitted: Admitted,
  prepared: Prepared,
): Response {
  const { transaction, entry } = answered
  const { target, switched, names } = admitted
  house.memberships?.learned(admitted.userKey, entry.provider.id, {
    identity: admitted.arrival.identity,
    ...(names === undefined ? {} : { names }),
  })
  house.proofs.proved(prepared.vaultId, {
    provider: entry.provider.id,
    ...admitted.arrival.proof,
  })
  report(house, {
    type: 'signin.completed',
    flowId: transaction.flowId,
    userId: prepared.userId,
    provider: entry.provider.id,
    ...signInReason(switched, admitted.arrival),
    ...(target === undefined ? {} : { clientId: target.client.clientId }),
    ...(prepared.issued === undefined ? {} : { grantId: prepared.issued.grantId }),
  })
  house.duties?.poke()
  endReplacedSession(house, answered.jar)
  const cookies = [prepared.cookie, dropCookie(answered)]
  if (target !== undefined && prepared.issued !== undefined) {
    report(house, {
      type: 'consent.given',
      flowId: transaction.flowId,
      userId: prepared.userId,
      clientId: target.client.clientId,
      grantId: prepared.issued.grantId,
      ...elevationFacts(prepared.issued),
    })
    house.clients.markUsed(target.client)
    return codeAnswer(house, target.request, prepared.issued, cookies)
  }
  // A27: another account than the page had shown: the page again, with this one.
  if (transaction.request !== undefined)
    return redirectAnswer(authorizePath(house, transaction.request, 'consent'), cookies)
  return redirectAnswer(transaction.returnTo ?? house.paths.home, cookies)
}

/** What an operator should know of a sign-in that worked: we were given less than we asked for. */
function signInReason(switched: boolean, { missingScopes }: SignIn): { reason?: string } {
  if (switched) return { reason: 'account_switched' }
  return missingScopes === undefined ? {} : { reason: 'provider_scopes_missing' }
}

/** The tokens that the new ones replace are of no use to anybody: they end at the provider (REV-08). */
function replacedSteps(
  { runtime }: IssuerHouse,
  before: Versioned<'vault'> | undefined,
): readonly Step[] {
  return before === undefined
    ? []
    : [revokeStep(runtime, before.key.id, before.value, 'replaced_by_sign_in')]
}

/** Which session of the provider this came from: grants outlive ours, and it may end there (REV-10). */
function originSteps(
  { runtime, config }: IssuerHouse,
  { entry }: Answered,
  { providerSid }: SignIn,
  { userId, digest }: { readonly userId: string; readonly digest: string },
): readonly Step[] {
  if (providerSid === undefined) return []
  const lifeMs = config.limits.refreshTokenAbsoluteSeconds * 1_000
  const value = {
    name: originName(runtime, entry.provider.issuer, providerSid),
    userId,
    expiresAtMs: Math.trunc(runtime.nowMs()) + lifeMs,
  }
  return [{ verb: 'create', kind: 'origin', key: key(digest), value }]
}

/** The session that this browser had before ends with the new one (A13); nobody waits for it. */
function endReplacedSession(house: IssuerHouse, jar: CookieJar): void {
  const replaced = sessionCookie.read(jar)
  if (replaced === undefined) return
  house.runtime.waitUntil(house.store.remove('session', key(house.runtime.sha256(replaced))))
}
