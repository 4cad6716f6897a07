/**
 * Token exchange at `POST /token` (RFC 8693; flows.md section 12): a server of ours turns the token
 * that it was called with into one for another server, or into the person's token at a provider.
 *
 * Only as its policy says; never more scope, never a longer life, `act` says who acts (EXT-07).
 */
import type { ExchangePolicy } from '../config/token-policies.ts'
import { OAuthError } from '../errors.ts'
import type { AccessTokenClaims, Actor } from '../oauth/access-token.ts'
import type { Client } from '../oauth/client.ts'
import { isMachine } from '../oauth/machine.ts'
import { parseScope } from '../oauth/scope.ts'
import type { ExchangeRequest, TokenAnswer } from '../oauth/token-request.ts'
import { canonicalResource } from '../oauth/urls.ts'
import type { Grant } from '../records.ts'
import type { HandedOut } from '../vault/hand-out.ts'
import { about, issueAccessToken } from './access-tokens.ts'
import { auditStep } from './audit.ts'
import type { ProvedKey } from './dpop.ts'
import { findResource, type IssuerHouse, mayUse, type Resource, report } from './house.ts'
import { key } from './ids.ts'
import { judgePresented, markedPresented } from './presented-token.ts'
import { grantableScopes, requireOneResource } from './standing-grants.ts'
import { findLiving } from './tombstones.ts'

const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
const JWT = 'urn:ietf:params:oauth:token-type:jwt'
/** Servers in a row that may act for each other. */
const ACTORS_MAX = 4
const RETRY_AFTER_SECONDS = 2

interface Subject {
  readonly claims: AccessTokenClaims
  readonly grant: Grant
}

/**
 * @throws {OAuthError} `unauthorized_client` without a policy, `invalid_target` beyond it,
 * `invalid_request` for the subject token, 503 while its state is not known.
 */
export async function exchangeToken(
  house: IssuerHouse,
  client: Client,
  request: ExchangeRequest,
  proved: ProvedKey | undefined,
): Promise<TokenAnswer> {
  const policy = policyOf(house, client)
  if (request.subjectTokenType !== ACCESS_TOKEN && request.subjectTokenType !== JWT) {
    throw invalid('subject_token_type is not supported', 'subject_token_type')
  }
  const wanted = request.requestedTokenType ?? ACCESS_TOKEN
  if (wanted !== ACCESS_TOKEN && wanted !== JWT) {
    throw invalid('requested_token_type is not supported', 'requested_token_type')
  }
  const subject = await requireSubject(house, request.subjectToken, policy)
  const { audience } = request
  if (audience !== undefined && canonicalResource(audience) === undefined) {
    return handOut(house, client, policy, subject, audience)
  }
  return delegate(house, client, policy, subject, { request, proved })
}

/** Only static clients with a credential and a policy (EXT-07). */
function policyOf(house: IssuerHouse, client: Client): ExchangePolicy {
  const entry = house.config.clients.find(({ clientId }) => clientId === client.clientId)
  if (client.kind === 'static' && client.authMethod !== 'none' && entry?.exchange !== undefined)
    return entry.exchange
  throw new OAuthError('unauthorized_client', 'this client may not exchange tokens')
}

/** A live token of ours for the caller's own resource: as strict as a call with it would be. */
async function requireSubject(
  house: IssuerHouse,
  token: string,
  policy: ExchangePolicy,
): Promise<Subject> {
  const { store, proofs } = house
  const judged = judgePresented(house, token)
  if (!judged.ok) throw invalidSubject(judged.reason)
  const { claims } = judged
  if (claims.aud !== canonicalResource(policy.resource)) throw invalidSubject('audience')
  const marked = markedPresented(house, token, judged)
  if (marked === 'view-too-old') throw notNow('view_too_old')
  if (marked) throw invalidSubject('revoked')
  const grant = await store.grants.find(key(claims.gid))
  if (grant?.state !== 'active' || grant.userId !== claims.sub) throw invalidSubject('grant_ended')
  const proof = grant.vaultId === '' ? 'fresh' : proofs.state(grant.vaultId)
  if (proof === 'dead') throw invalidSubject('upstream_dead')
  if (proof === 'suspect') throw notNow('proof_suspect')
  await requireAllowed(house, grant, findResource(house, claims.aud))
  return { claims, grant }
}

/** The person is here, and may use this. A client that acts for itself was admitted by its resources. */
async function requireAllowed(
  house: IssuerHouse,
  grant: Grant,
  resource: Resource | undefined,
): Promise<void> {
  if (isMachine(grant.userId)) return
  const user = await findLiving(house, grant.userKey)
  if (user?.value.state !== 'active' || user.value.userId !== grant.userId)
    throw invalidSubject('user_disabled')
  if (resource === undefined || !mayUse(house, user.value, resource))
    throw invalidSubject('not_allowed')
}

/** A token for another resource of this house, under the same grant. */
async function delegate(
  house: IssuerHouse,
  client: Client,
  policy: ExchangePolicy,
  { claims, grant }: Subject,
  {
    request,
    proved,
  }: { readonly request: ExchangeRequest; readonly proved: ProvedKey | undefined },
): Promise<TokenAnswer> {
  const { runtime, store } = house
  const named = request.audience === undefined ? [] : [request.audience]
  const target = requireOneResource(house, house.resources, [...request.resources, ...named])
  if (!policy.resources.some((entry) => canonicalResource(entry) === target.resource)) {
    throw new OAuthError('invalid_target', 'this client may not ask for this resource', {
      reason: 'exchange_target',
    })
  }
  await requireAllowed(house, grant, target)
  const had = parseScope(claims.scope).filter((scope) => policy.scopes?.includes(scope) !== false)
  const scopes = grantableScopes(house, target, request.scope, had)
  const act = actorOf(client, claims)
  await proved?.spend()
  await store.commit([
    auditStep(house, 'token.exchanged', {
      userId: grant.userId,
      clientId: client.clientId,
      detail: target.resource,
    }),
  ])
  report(house, {
    type: 'token.issued',
    ...about(grant),
    reason: 'token_exchange',
    actor: client.clientId,
    resource: target.resource,
  })
  const exchanged = { resource: target.resource, act, expiresAtSeconds: claims.exp }
  const issuedAtSeconds = Math.floor(runtime.nowMs() / 1000)
  return {
    ...issueAccessToken(house, grant, { scopes, issuedAtSeconds, jkt: proved?.jkt, exchanged }),
    scopes,
    issuedTokenType: request.requestedTokenType ?? ACCESS_TOKEN,
  }
}

/** RFC 8693 section 4.1: the newest actor outside, those before it inside. */
function actorOf(client: Client, claims: AccessTokenClaims): Actor {
  let depth = 1
  for (let actor = claims.act; actor !== undefined; actor = actor.act) depth += 1
  if (depth > ACTORS_MAX) throw invalidSubject('actors_too_many')
  return { sub: client.clientId, ...(claims.act === undefined ? {} : { act: claims.act }) }
}

/** The person's own token at a provider, out of the vault: each one is an audit row before the answer. */
async function handOut(
  house: IssuerHouse,
  client: Client,
  policy: ExchangePolicy,
  { grant }: Subject,
  provider: string,
): Promise<TokenAnswer> {
  if (!policy.providers.includes(provider) || house.handOut === undefined) {
    throw new OAuthError('invalid_target', 'this client may not ask for this provider', {
      reason: 'exchange_provider',
    })
  }
  const found: HandedOut =
    grant.vaultId === '' ? { outcome: 'none' } : await house.handOut(grant.vaultId, provider)
  if (found.outcome === 'none') throw invalidSubject('not_at_provider')
  if (found.outcome === 'unknown') throw notNow('upstream_unknown')
  await house.store.commit([
    auditStep(house, 'token.handed_out', {
      userId: grant.userId,
      clientId: client.clientId,
      detail: provider,
    }),
  ])
  report(house, {
    type: 'token.issued',
    ...about(grant),
    reason: 'handed_out',
    actor: client.clientId,
    provider,
  })
  const nowMs = house.runtime.nowMs()
  return {
    accessToken: found.accessToken,
    ...(found.expiresAtMs === undefined
      ? {}
      : { expiresInSeconds: Math.max(0, Math.floor((found.expiresAtMs - nowMs) / 1000)) }),
    scopes: found.scopes,
    issuedTokenType: ACCESS_TOKEN,
  }
}

/** RFC 8693 section 2.2.2: an invalid subject token is `invalid_request`; ours says no more (I11). */
function invalidSubject(reason: string): OAuthError {
  return new OAuthError('invalid_request', 'the subject token is not valid here', {
    reason: `subject_${reason}`,
  })
}

function invalid(description: string, reason: string): OAuthError {
  return new OAuthError('invalid_request', description, { reason })
}

function notNow(reason: string): OAuthError {
  return new OAuthError('temporarily_unavailable', 'try again', {
    status: 503,
    reason,
    headers: { 'retry-after': String(RETRY_AFTER_SECONDS) },
  })
}
