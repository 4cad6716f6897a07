/**
 * The refresh token grant at `POST /token` (flows.md section 9): one conditional write rotates, a
 * replay inside the window gets the same successor, an older token ends the family. Nothing here
 * asks anybody outside (TOK-24).
 */
import { OAuthError, StoreError } from '../errors.ts'
import { type Client, scopesLeft } from '../oauth/client.ts'
import {
  formatRefreshToken,
  openSuccessor,
  parseRefreshToken,
  sealSuccessor,
} from '../oauth/refresh-token.ts'
import { narrowScopes } from '../oauth/scope.ts'
import {
  type RefreshTokenRequest,
  requireGrantedResource,
  type TokenAnswer,
} from '../oauth/token-request.ts'
import { type Grant, TENANT } from '../records.ts'
import { about, issueAccessToken } from './access-tokens.ts'
import { refuseTooMany } from './client-authentication.ts'
import { type ProvedKey, requireBoundKey } from './dpop.ts'
import { announceEnd, endGrant, endingSteps, markExpiresAtMs } from './endings.ts'
import { findResource, type IssuerHouse, judgeUse, report } from './house.ts'
import { key } from './ids.ts'
import type { Rate } from './rate.ts'
import { membershipsTooOld } from './sign-in-facts.ts'
import { findLiving } from './tombstones.ts'

/** A rotated token is answered with the same successor this long, until the successor is used (A8). */
const REFRESH_GRACE_MS = 60_000
const REFRESH_RANDOM_BYTES = 32
const IDLE_ROUNDING_MAX_MS = 86_400_000
const PROOF_RETRY_AFTER_SECONDS = 1

/** flows.md section 9. */
export async function refresh(
  house: IssuerHouse,
  client: Client,
  request: RefreshTokenRequest,
  { failures, proved }: { readonly failures: Rate; readonly proved: ProvedKey | undefined },
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
  requireBoundKey(grant, client, proved)
  requireGrantedResource(request.resources, grant.resource)
  const asked = narrowScopes(request.scope, grant.scopes, config.scopeAliases)
  const scopes = scopesLeft(client, grant.resource, asked)
  const digest = runtime.sha256(request.refreshToken)
  const head = [grant.refreshCurrent, grant.refreshPrevious]
  const isInFamilyHead = head.some((known) => runtime.equal(known ?? '', digest))
  // A replay of an older token ends the family whatever memory says about the sign-in.
  if (isInFamilyHead) await requireStanding(house, grant)
  await proved?.spend()
  const rotated = await rotate(house, grant, {
    token: request.refreshToken,
    generation: presented.generation,
    digest,
    nowMs,
    jkt: grant.jkt === undefined ? proved?.jkt : undefined,
  })
  report(house, { type: 'token.issued', reason: 'refresh_token', level: 'debug', ...about(grant) })
  return {
    ...issueAccessToken(house, grant, {
      scopes,
      issuedAtSeconds: rotated.issuedAtSeconds,
      jkt: proved?.jkt,
    }),
    scopes,
    refreshToken: rotated.refreshToken,
  }
}

interface Presented {
  readonly token: string
  readonly generation: number
  readonly digest: string
  readonly nowMs: number
  /** Binds a grant that was not bound before. */
  readonly jkt: string | undefined
}

/** One conditional write; a replay inside the window gets the same successor and the same `exp`. */
async function rotate(
  house: IssuerHouse,
  grant: Grant,
  presented: Presented,
): Promise<{ refreshToken: string; issuedAtSeconds: number }> {
  const { runtime, store } = house
  const issuedAtSeconds = Math.floor(presented.nowMs / 1000)
  const refreshToken = createRefreshToken(house, grant.id, presented.generation + 1)
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
    {
      digest: runtime.sha256(refreshToken),
      sealedSuccessor,
      ...(presented.jkt === undefined ? {} : { jkt: presented.jkt }),
    },
    {
      nowMs: presented.nowMs,
      graceMs: REFRESH_GRACE_MS,
      idleExpiresAtMs: idleEndMs(house, grant, presented.nowMs),
      markExpiresAtMs: markExpiresAtMs(presented.nowMs),
      alsoWhenReused: endingSteps(house, grant, 'reused'),
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
    findLiving(house, grant.userKey),
    store.get('vault', key(grant.vaultId)),
  ])
  const resource = findResource(house, grant.resource)
  if (user === undefined || user.value.state !== 'active') {
    await endGrant(house, grant, 'user_disabled')
    throw invalidGrant('user_disabled')
  }
  // A row that was damaged must not become a token that names somebody else (K16).
  if (user.value.userId !== grant.userId) throw invalidGrant('user_changed')
  const verdict = judgeUse(house, user.value, resource)
  if (resource === undefined || verdict === 'out') throw invalidGrant('not_allowed')
  const proof = proofs.state(grant.vaultId)
  if (proof === 'dead' || vault?.value.state !== 'active') {
    await endGrant(house, grant, 'upstream_dead')
    throw invalidGrant('upstream_dead')
  }
  if (proof !== 'fresh') proofs.renew(grant.vaultId)
  if (verdict === 'unknown') throw membershipsTooOld()
  if (proof === 'fresh') return
  // A client that comes back after a night has a cold proof. A 503 here makes clients sign in again;
  // the token is safe to give, because every call with it asks for the proof (VAL-03).
  if (proof !== 'suspect') return
  throw new OAuthError('temporarily_unavailable', 'the sign-in is being checked, try again', {
    status: 503,
    reason: 'proof_suspect',
    headers: { 'retry-after': String(PROOF_RETRY_AFTER_SECONDS) },
  })
}

export function createRefreshToken(
  { runtime, keys }: IssuerHouse,
  grantId: string,
  generation: number,
): string {
  return formatRefreshToken({
    grantId,
    generation,
    random: runtime.randomBytes(REFRESH_RANDOM_BYTES),
    tagKey: keys.refreshTagKey(),
    runtime,
  })
}

/** Idle end, rounded up by at most a thirtieth (and a day), so that a rotation rarely moves an index. */
export function idleEndMs(house: IssuerHouse, grant: Grant, nowMs: number): number {
  const idleMs = house.config.limits.refreshTokenIdleSeconds * 1000
  const step = Math.min(IDLE_ROUNDING_MAX_MS, Math.ceil(idleMs / 30))
  return Math.min(Math.ceil((nowMs + idleMs) / step) * step, grant.absoluteExpiresAtMs)
}

/** One text for every reason: which part was wrong is for the log (I11). */
export function invalidGrant(reason: string): OAuthError {
  return new OAuthError('invalid_grant', 'the code or refresh token is not valid here any more', {
    reason,
  })
}
