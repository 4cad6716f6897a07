/**
 * Enterprise-managed authorization at `POST /token`: an ID-JAG of a trusted issuer instead of a
 * browser (RFC 7523, EXT-01 to EXT-03). The person is the one who signs in at that issuer; every
 * refusal is one `invalid_grant`. No refresh token: the client asks its identity provider again.
 */
import type { JSONWebKeySet } from 'jose'
import type { AssertionIssuer } from '../config/token-policies.ts'
import { OAuthError } from '../errors.ts'
import { type Client, targetsOf } from '../oauth/client.ts'
import { claimedIssuer, type IdJagClaims, judgeIdJag } from '../oauth/id-jag.ts'
import { parseScope } from '../oauth/scope.ts'
import { JWT_SKEW_SECONDS } from '../oauth/signed-jwt.ts'
import type { AssertionRequest, TokenAnswer } from '../oauth/token-request.ts'
import { canonicalResource } from '../oauth/urls.ts'
import type { Step, Versioned } from '../ports.ts'
import type { Values } from '../records.ts'
import { about, issueAccessToken } from './access-tokens.ts'
import { userKeyOf } from './admission.ts'
import { auditStep } from './audit.ts'
import { COMMIT_ATTEMPTS_MAX } from './codes.ts'
import type { ProvedKey } from './dpop.ts'
import { type IssuerHouse, mayUse, type Resource, report } from './house.ts'
import { createId, key } from './ids.ts'
import { spend } from './spent.ts'
import { activeGrant, grantableScopes } from './standing-grants.ts'
import { findLiving } from './tombstones.ts'

/**
 * A grant that is active at once, without a page: the assertion's issuer has signed the person in.
 *
 * @throws {OAuthError} `invalid_grant` for the assertion, whatever is wrong with it (I11);
 * `unauthorized_client` for a public client; `invalid_scope`.
 */
export async function grantAssertion(
  house: IssuerHouse,
  client: Client,
  request: AssertionRequest,
  proved: ProvedKey | undefined,
): Promise<TokenAnswer> {
  const jkt = proved?.jkt
  if (client.authMethod === 'none') {
    throw new OAuthError('unauthorized_client', 'this client is not registered for this grant type')
  }
  const trusted = requireTrusted(house, client, request.assertion)
  const claims = await requireValid(house, client, trusted, request.assertion)
  if (claims.jkt !== undefined && claims.jkt !== jkt) throw invalidAssertion('other_key')
  const resource = requireResource(house, client, trusted, claims, request)
  const scopes = scopesOf(house, resource, trusted, claims, request)
  // Everything that can be refused is refused before the one write that consumes it.
  await readPerson(house, trusted, claims, resource)
  await proved?.spend()
  await spendOnce(house, trusted, claims)
  const { runtime } = house
  for (let round = 0; round < COMMIT_ATTEMPTS_MAX; round += 1) {
    const person = await readPerson(house, trusted, claims, resource)
    const grant = activeGrant(
      house,
      {
        userId: person.value.userId,
        userKey: person.key.id,
        clientId: client.clientId,
        resource: resource.resource,
        scopes,
        ...(jkt === undefined ? {} : { jkt }),
      },
      // When the person was asked last is not known unless it is said: no step-up passes then (PR-17).
      Math.min(claims.authTimeSeconds ?? 0, Math.floor(runtime.nowMs() / 1000)),
    )
    const audit = auditStep(house, 'token.issued', {
      userId: grant.userId,
      clientId: client.clientId,
      detail: 'id_jag',
    })
    const { won } = await house.store.commit([person.step, { verb: 'createGrant', grant }, audit])
    if (!won) continue
    report(house, { type: 'token.issued', reason: 'id_jag', ...about(grant) })
    const issuedAtSeconds = Math.floor(runtime.nowMs() / 1000)
    return { ...issueAccessToken(house, grant, { scopes, issuedAtSeconds, jkt }), scopes }
  }
  throw new OAuthError('temporarily_unavailable', 'try again', {
    status: 503,
    reason: 'assertion_contended',
  })
}

function requireTrusted(house: IssuerHouse, client: Client, assertion: string): AssertionIssuer {
  const issuer = claimedIssuer(assertion)
  const trusted = house.config.assertionIssuers?.find((entry) => entry.issuer === issuer)
  if (trusted === undefined) throw invalidAssertion('issuer')
  if (trusted.clientIds?.includes(client.clientId) === false) throw invalidAssertion('client')
  return trusted
}

async function requireValid(
  house: IssuerHouse,
  client: Client,
  trusted: AssertionIssuer,
  assertion: string,
): Promise<IdJagClaims> {
  const { assertionKeys, runtime, config } = house
  if (assertionKeys === undefined) throw invalidAssertion('issuer')
  const judge = (jwks: JSONWebKeySet) =>
    judgeIdJag(assertion, {
      jwks,
      issuer: trusted.issuer,
      audience: config.issuer,
      clientId: client.clientId,
      nowMs: runtime.nowMs(),
    })
  const first = await judge(await assertionKeys.keys(trusted))
  const judged =
    first.ok || first.reason !== 'unknown_key'
      ? first
      : await judge(await assertionKeys.askAgain(trusted))
  if (!judged.ok) throw invalidAssertion(judged.reason)
  return judged.claims
}

/** The assertion names it; a `resource` of the request may only repeat it. */
function requireResource(
  house: IssuerHouse,
  client: Client,
  trusted: AssertionIssuer,
  claims: IdJagClaims,
  request: AssertionRequest,
): Resource {
  const name = canonicalResource(claims.resource)
  const found = targetsOf(client, house.resources).find((entry) => entry.resource === name)
  const isTheirs = trusted.resources?.some((entry) => canonicalResource(entry) === name) !== false
  const isAsked = request.resources.every((entry) => canonicalResource(entry) === name)
  if (found === undefined || !isTheirs || !isAsked) throw invalidAssertion('resource')
  return found
}

/** At most what assertion, issuer's policy and resource have in common (EXT-03). */
function scopesOf(
  house: IssuerHouse,
  resource: Resource,
  trusted: AssertionIssuer,
  claims: IdJagClaims,
  request: AssertionRequest,
): readonly string[] {
  const offered = resource.scopes.filter((scope) => trusted.scopes?.includes(scope) !== false)
  const asserted =
    claims.scope === undefined
      ? offered
      : grantableScopes(house, { ...resource, scopes: offered }, claims.scope)
  if (request.scope === undefined) return asserted
  const wider = parseScope(request.scope).length > 0
  return wider ? grantableScopes(house, { ...resource, scopes: asserted }, request.scope) : asserted
}

/** Once, on any node, for as long as it lives (I8). */
async function spendOnce(
  house: IssuerHouse,
  trusted: AssertionIssuer,
  { jti, expiresAtSeconds }: IdJagClaims,
): Promise<void> {
  // It is taken this long after its end.
  const expiresAtMs = (expiresAtSeconds + JWT_SKEW_SECONDS) * 1000
  const isFirst = await spend(house, ['id-jag', trusted.issuer, jti], expiresAtMs)
  if (!isFirst) throw invalidAssertion('replayed')
}

/** The account of whoever signs in there with this subject; made when it is the first time. */
async function readPerson(
  house: IssuerHouse,
  trusted: AssertionIssuer,
  claims: IdJagClaims,
  resource: Resource,
): Promise<Omit<Versioned<'user'>, 'version'> & { readonly step: Step }> {
  const { runtime, store } = house
  const id = key(userKeyOf(runtime, { issuer: trusted.issuer, subject: claims.subject }))
  const row = await store.get('user', id)
  // Who was deleted comes back as a new person (flows.md section 11).
  const known = row === undefined ? undefined : await findLiving(house, id.id, row)
  if (known !== undefined && known.value.state !== 'active') throw invalidAssertion('user_disabled')
  const value = known?.value ?? newPerson(house, trusted, claims)
  if (!mayUse(house, value, resource)) throw invalidAssertion('not_allowed')
  if (row === undefined)
    return { key: id, value, step: { verb: 'create', kind: 'user', key: id, value } }
  // A write of the row as it was read: who is disabled meanwhile gets nothing.
  const step: Step = { verb: 'put', kind: 'user', key: id, ifVersion: row.version, value }
  return { key: id, value, step }
}

function newPerson(
  { runtime, providers }: IssuerHouse,
  trusted: AssertionIssuer,
  { subject, email, emailVerified, name }: IdJagClaims,
): Values['user'] {
  const nowMs = runtime.nowMs()
  const entry = providers.find(({ provider }) => provider.issuer === trusted.issuer)
  return {
    userId: createId(runtime, 'usr'),
    issuer: trusted.issuer,
    subject,
    // Without a provider of that issuer the issuer itself is the name: no id of a provider is a URL.
    provider: entry?.provider.id ?? trusted.issuer,
    profile: {
      ...(name === undefined ? {} : { name }),
      ...(email === undefined ? {} : { email, emailVerified }),
    },
    groups: [],
    state: 'active',
    createdAtMs: nowMs,
    lastSignInAtMs: nowMs,
  }
}

/** One answer for every failed check (EXT-02); which one it was is for the log. */
function invalidAssertion(reason: string): OAuthError {
  return new OAuthError('invalid_grant', 'the assertion is not valid here', {
    reason: `assertion_${reason}`,
  })
}
