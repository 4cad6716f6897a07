/**
 * `POST /token`: redeems a code, rotates a refresh token, signs access tokens. Everything is checked
 * before one conditional write consumes anything; nothing here asks anybody outside (TOK-24).
 */
import { OAuthError, StoreError } from '../errors.ts'
import { type AccessTokenClaims, createJti, signAccessToken } from '../oauth/access-token.ts'
import type { Client } from '../oauth/client.ts'
import { parseCode } from '../oauth/code.ts'
import { matchesChallenge } from '../oauth/pkce.ts'
import {
  formatRefreshToken,
  openSuccessor,
  parseRefreshToken,
  sealSuccessor,
} from '../oauth/refresh-token.ts'
import { formatScope, narrowScopes } from '../oauth/scope.ts'
import {
  type AuthorizationCodeRequest,
  parseTokenRequest,
  type RefreshTokenRequest,
  requireGrantedResource,
  type TokenAnswer,
  tokenResponse,
} from '../oauth/token-request.ts'
import { type Grant, TENANT } from '../records.ts'
import { jsonAnswer } from './answers.ts'
import { authenticated, readFormRequest, refuseTooMany } from './client-authentication.ts'
import { announceEnd, endGrant, endingAudit, markExpiresAtMs } from './endings.ts'
import { findResource, type IssuerHouse, mayUse, report } from './house.ts'
import { key } from './ids.ts'
import { createRate, type Rate } from './rate.ts'

/** A rotated token is answered with the same successor this long, until the successor is used (A8). */
const REFRESH_GRACE_MS = 60_000
const REFRESH_RANDOM_BYTES = 32
const IDLE_ROUNDING_MAX_MS = 86_400_000
/** Failures of one client and grant (or one client and network) in a minute. */
const FAILURES_PER_MINUTE_MAX = 60
const PROOF_RETRY_AFTER_SECONDS = 1

export function createTokenEndpoint(house: IssuerHouse): (http: Request) => Promise<Response> {
  const failures = createRate(house.runtime, FAILURES_PER_MINUTE_MAX)
  return async (http) => {
    const request = parseTokenRequest(await readFormRequest(http))
    const client = await authenticated(house, http, request.client, failures)
    if (!client.grantTypes.includes(request.grantType)) {
      throw new OAuthError(
        'unauthorized_client',
        'this client is not registered for this grant type',
      )
    }
    const answer =
      request.grantType === 'authorization_code'
        ? await redeem(house, client, request)
        : await refresh(house, client, request, failures)
    house.clients.markUsed(client)
    return jsonAnswer(tokenResponse(answer))
  }
}

/** Checks client, redirect URI, verifier and resource first; then one UPDATE (TOK-08). */
async function redeem(
  house: IssuerHouse,
  client: Client,
  request: AuthorizationCodeRequest,
): Promise<TokenAnswer> {
  const { runtime, store, keys } = house
  const grantId = parseCode(request.code)?.grantId
  const grant = grantId === undefined ? undefined : await store.grants.find(key(grantId))
  const codeDigest = runtime.sha256(request.code)
  if (grant === undefined || !runtime.equal(grant.codeDigest, codeDigest))
    throw invalidGrant('code_unknown')
  if (grant.clientId !== client.clientId) throw invalidGrant('code_of_other_client')
  if (request.redirectUri !== undefined && request.redirectUri !== grant.redirectUri) {
    throw invalidGrant('redirect_uri_mismatch')
  }
  if (!matchesChallenge(request.codeVerifier, grant.codeChallenge, runtime))
    throw invalidGrant('verifier_mismatch')
  requireGrantedResource(request.resources, grant.resource)

  const nowMs = runtime.nowMs()
  const refreshToken = client.grantTypes.includes('refresh_token')
    ? formatRefreshToken({
        grantId: grant.id,
        generation: 0,
        random: runtime.randomBytes(REFRESH_RANDOM_BYTES),
        tagKey: keys.refreshTagKey(),
        runtime,
      })
    : undefined
  const refreshDigest = refreshToken === undefined ? undefined : runtime.sha256(refreshToken)
  const outcome = await store.grants.redeem(
    key(grant.id),
    codeDigest,
    refreshDigest,
    nowMs,
    idleEndMs(house, grant, nowMs),
  )
  if (outcome === 'reused') {
    // TOK-09: right client, right verifier, second use: what the first use issued ends.
    await endGrant(house, grant, 'code_reused')
    report(house, { type: 'token.replayed', level: 'warn', reason: 'code_reused', ...about(grant) })
    throw invalidGrant('code_reused')
  }
  if (outcome === 'dead') throw invalidGrant('code_expired')
  report(house, { type: 'token.issued', reason: 'authorization_code', ...about(grant) })
  const accessToken = sign(house, grant, grant.scopes, Math.floor(nowMs / 1000))
  return {
    ...accessToken,
    scopes: grant.scopes,
    ...(refreshToken === undefined ? {} : { refreshToken }),
  }
}

/** flows.md section 9. */
async function refresh(
  house: IssuerHouse,
  client: Client,
  request: RefreshTokenRequest,
  failures: Rate,
): Promise<TokenAnswer> {
  const { runtime, store, keys, config } = house
  const presented = parseRefreshToken(request.refreshToken, keys.refreshTagKey(), runtime)
  // Never issued by us: touches nothing, even when it names a real grant.
  if (presented === undefined) throw invalidGrant('refresh_unknown')
  const source = `${client.clientId} for ${presented.grantId}`
  refuseTooMany(failures.look(source))
  const grant = await store.grants.find(key(presented.grantId))
  const nowMs = runtime.nowMs()
  if (grant === undefined || grant.state !== 'active' || grant.expiresAtMs <= nowMs) {
    failures.take(source)
    throw invalidGrant('grant_ended')
  }
  if (grant.clientId !== client.clientId) {
    failures.take(source)
    throw invalidGrant('refresh_of_other_client')
  }
  requireGrantedResource(request.resources, grant.resource)
  const scopes = narrowScopes(request.scope, grant.scopes, config.scopeAliases)
  const digest = runtime.sha256(request.refreshToken)
  const isInFamilyHead = digest === grant.refreshCurrent || digest === grant.refreshPrevious
  // A replay of an older token ends the family whatever memory says about the sign-in.
  if (isInFamilyHead) await requireStanding(house, grant)
  const rotated = await rotate(house, grant, {
    token: request.refreshToken,
    generation: presented.generation,
    digest,
    nowMs,
  })
  report(house, { type: 'token.issued', reason: 'refresh_token', level: 'debug', ...about(grant) })
  return {
    ...sign(house, grant, scopes, rotated.issuedAtSeconds),
    scopes,
    refreshToken: rotated.refreshToken,
  }
}

interface Presented {
  readonly token: string
  readonly generation: number
  readonly digest: string
  readonly nowMs: number
}

/** One conditional write; a replay inside the window gets the same successor and the same `exp`. */
async function rotate(
  house: IssuerHouse,
  grant: Grant,
  presented: Presented,
): Promise<{ refreshToken: string; issuedAtSeconds: number }> {
  const { runtime, store, keys } = house
  const issuedAtSeconds = Math.floor(presented.nowMs / 1000)
  const refreshToken = formatRefreshToken({
    grantId: grant.id,
    generation: presented.generation + 1,
    random: runtime.randomBytes(REFRESH_RANDOM_BYTES),
    tagKey: keys.refreshTagKey(),
    runtime,
  })
  const owner = JSON.stringify([TENANT, grant.id, presented.generation])
  const sealedSuccessor = sealSuccessor(
    presented.token,
    `${issuedAtSeconds} ${refreshToken}`,
    owner,
    runtime,
  )
  const result = await store.grants.rotate(
    key(grant.id),
    presented.digest,
    { digest: runtime.sha256(refreshToken), sealedSuccessor },
    {
      nowMs: presented.nowMs,
      graceMs: REFRESH_GRACE_MS,
      idleExpiresAtMs: idleEndMs(house, grant, presented.nowMs),
      markExpiresAtMs: markExpiresAtMs(presented.nowMs),
      alsoWhenReused: [endingAudit(house, grant, 'reused')],
    },
  )
  if (result.outcome === 'rotated') return { refreshToken, issuedAtSeconds }
  if (result.outcome === 'replayed') {
    const opened = openSuccessor(presented.token, result.sealedSuccessor, owner, runtime)
    const [seconds = '', successor = ''] = opened?.split(' ') ?? []
    if (successor === '') throw invalidGrant('successor_unreadable')
    return { refreshToken: successor, issuedAtSeconds: Number(seconds) }
  }
  if (result.outcome === 'reused') {
    announceEnd(house, grant, 'refresh_reused', presented.nowMs)
    report(house, {
      type: 'token.replayed',
      level: 'warn',
      reason: 'refresh_reused',
      ...about(grant),
    })
    throw invalidGrant('refresh_reused')
  }
  if (result.outcome === 'busy') throw new StoreError('ERR_STORE_UNAVAILABLE', 'not-applied')
  throw invalidGrant('grant_ended')
}

/**
 * Is the person still allowed, is the sign-in still good at its provider: from the user's row and the
 * proof in memory. Beyond their bounds: 503, and the proof is renewed behind, for the next call.
 */
async function requireStanding(house: IssuerHouse, grant: Grant): Promise<void> {
  const { store, proofs } = house
  const [user, vault] = await Promise.all([
    store.get('user', key(grant.userKey)),
    store.get('vault', key(grant.vaultId)),
  ])
  const resource = findResource(house, grant.resource)
  if (user === undefined || user.value.state !== 'active') {
    await endGrant(house, grant, 'user_disabled')
    throw invalidGrant('user_disabled')
  }
  if (resource === undefined || !mayUse(house, user.value, resource))
    throw invalidGrant('not_allowed')
  const proof = proofs.state(grant.vaultId)
  if (proof === 'dead' || vault?.value.state !== 'active') {
    await endGrant(house, grant, 'upstream_dead')
    throw invalidGrant('upstream_dead')
  }
  if (proof === 'fresh') return
  proofs.renew(grant.vaultId)
  // A client that comes back after a night has a cold proof. A 503 here makes clients sign in again;
  // the token is safe to give, because every call with it asks for the proof (VAL-03).
  if (proof !== 'suspect') return
  throw new OAuthError('temporarily_unavailable', 'the sign-in is being checked, try again', {
    status: 503,
    reason: 'proof_suspect',
    headers: { 'retry-after': String(PROOF_RETRY_AFTER_SECONDS) },
  })
}

function sign(
  house: IssuerHouse,
  grant: Grant,
  scopes: readonly string[],
  issuedAtSeconds: number,
): { accessToken: string; expiresInSeconds: number } {
  const { runtime, keys, config } = house
  const exp = Math.min(
    issuedAtSeconds + config.limits.accessTokenTtlSeconds,
    Math.floor(grant.absoluteExpiresAtMs / 1000),
  )
  const claims: AccessTokenClaims = {
    iss: config.issuer,
    aud: grant.resource,
    sub: grant.userId,
    client_id: grant.clientId,
    iat: issuedAtSeconds,
    exp,
    jti: createJti(runtime, keys.tagKey(), { gid: grant.id, exp }),
    scope: formatScope(scopes),
    gid: grant.id,
  }
  const current = keys.current()
  const accessToken = signAccessToken(claims, current, runtime)
  house.adopt?.(accessToken, claims, current.kid)
  return { accessToken, expiresInSeconds: Math.max(1, exp - Math.floor(runtime.nowMs() / 1000)) }
}

/** Idle end, rounded up by at most a thirtieth (and a day), so that a rotation rarely moves an index. */
function idleEndMs(house: IssuerHouse, grant: Grant, nowMs: number): number {
  const idleMs = house.config.limits.refreshTokenIdleSeconds * 1000
  const step = Math.min(IDLE_ROUNDING_MAX_MS, Math.ceil(idleMs / 30))
  return Math.min(Math.ceil((nowMs + idleMs) / step) * step, grant.absoluteExpiresAtMs)
}

function about(grant: Grant): { grantId: string; userId: string; clientId: string } {
  return { grantId: grant.id, userId: grant.userId, clientId: grant.clientId }
}

/** One text for every reason: which part was wrong is for the log (I11). */
function invalidGrant(reason: string): OAuthError {
  return new OAuthError('invalid_grant', 'the code or refresh token is not valid here any more', {
    reason,
  })
}
