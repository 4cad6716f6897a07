/**
 * Signed-in browsers: a random cookie, its digest in the store, idle 12 h, absolute 7 days. Made only
 * by a finished sign-in, always with a new value (A13); ended by sign-out, never prolonged past 7 days.
 */
import type { Versioned } from '../ports.ts'
import { type AuthorizationRequest, TENANT, type Values } from '../records.ts'
import { type CookieJar, sessionCookie } from './cookies.ts'
import { findProvider, type IssuerHouse, type IssuerProvider, mayEnter } from './house.ts'
import { createId, createSecret, key } from './ids.ts'
import { findLiving } from './tombstones.ts'

const SESSION_ABSOLUTE_MS = 7 * 86_400_000
const GRANTS_LOOKED_AT_MAX = 100
/** A session in use is written again at most this often. */
const SESSION_TOUCH_MS = 600_000

export interface SignedIn {
  readonly digest: string
  readonly session: Versioned<'session'>
  readonly user: Versioned<'user'>
  readonly provider: IssuerProvider
  /** What the person gave at the provider. */
  readonly upstreamScopes: readonly string[]
}

/** Endings by the person or their apps: the sign-in at the provider was given up, not refused there. */
const RELEASES: ReadonlySet<string> = new Set(['ended_by_user', 'revoked_by_client'])

/**
 * The account behind a browser, or `undefined`: no cookie, ended, disabled, no longer allowed, upstream dead.
 *
 * @param own For pages that only show and end what is the person's own: there a sign-in that was given
 * up with its last app is still good enough. Nothing can be granted with it.
 */
export async function findSignedIn(
  house: IssuerHouse,
  jar: CookieJar,
  { own }: { readonly own?: boolean } = {},
): Promise<SignedIn | undefined> {
  const value = sessionCookie.read(jar)
  if (value === undefined) return undefined
  const { store, runtime, proofs } = house
  const digest = runtime.sha256(value)
  const session = await store.get('session', key(digest))
  if (session === undefined || session.value.expiresAtMs <= runtime.nowMs()) return undefined
  const provider = findProvider(house, session.value.provider)
  if (provider === undefined || provider.provider.issuer !== session.value.issuer) return undefined
  const [user, vault] = await Promise.all([
    findLiving(house, session.value.userKey),
    store.get('vault', key(session.value.vaultId)),
  ])
  if (user === undefined || user.value.state !== 'active' || !mayEnter(house, user.value))
    return undefined
  const isStanding =
    vault?.value.state === 'active' && proofs.state(session.value.vaultId) !== 'dead'
  const isReleased =
    own === true && vault?.value.state === 'ended' && RELEASES.has(vault.value.cause ?? '')
  if (!isStanding && !isReleased) return undefined
  return { digest, session, user, provider, upstreamScopes: vault.value.scopes }
}

/**
 * Was this person authenticated recently enough, and well enough, for a client that said `max_age`,
 * `acr_values` or `prompt=login` (AZ-18, RFC 9470 section 4).
 */
export function isRecentEnough(
  house: IssuerHouse,
  signedIn: SignedIn,
  request: Pick<AuthorizationRequest, 'maxAgeSeconds' | 'acrValues' | 'prompt'>,
): boolean {
  if (promptWords(request.prompt).some((word) => word === 'login' || word === 'select_account'))
    return false
  const { acr } = signedIn.session.value
  if (request.acrValues !== undefined && !request.acrValues.some((value) => value === acr))
    return false
  if (request.maxAgeSeconds === undefined) return true
  // OpenID Connect Core section 3.1.2.1: the same as `prompt=login`.
  if (request.maxAgeSeconds === 0) return false
  const ageSeconds =
    Math.floor(house.runtime.nowMs() / 1000) - signedIn.session.value.authTimeSeconds
  return ageSeconds <= request.maxAgeSeconds
}

export function promptWords(prompt: string | undefined): readonly string[] {
  return (prompt ?? '').split(' ').filter((word) => word !== '')
}

type SessionFacts = Pick<
  Values['session'],
  'userId' | 'userKey' | 'provider' | 'issuer' | 'providerSid' | 'vaultId' | 'acr'
> & {
  /** As the provider says; default now. */
  readonly authTimeSeconds?: number
}

/** A new session and the cookie that names it. The caller commits the row with the rest of the sign-in. */
export function createSession(
  house: IssuerHouse,
  jar: CookieJar,
  facts: SessionFacts,
): { readonly digest: string; readonly value: Values['session']; readonly cookie: string } {
  const { runtime, config } = house
  const secret = createSecret(runtime)
  const nowMs = runtime.nowMs()
  const nowSeconds = Math.floor(nowMs / 1000)
  return {
    digest: runtime.sha256(secret),
    value: {
      ...facts,
      sessionId: createId(runtime, 'ses'),
      // A provider whose clock runs ahead makes nobody authenticated in the future.
      authTimeSeconds: Math.min(facts.authTimeSeconds ?? nowSeconds, nowSeconds),
      createdAtMs: nowMs,
      lastSeenAtMs: nowMs,
      expiresAtMs: nowMs + Math.min(config.limits.sessionIdleSeconds * 1000, SESSION_ABSOLUTE_MS),
    },
    cookie: sessionCookie.set(jar, secret, SESSION_ABSOLUTE_MS / 1000),
  }
}

/** Moves the idle end of a session in use, after the answer; losing a race costs nothing. */
export function touchSession(house: IssuerHouse, signedIn: SignedIn): void {
  const { runtime, store, config } = house
  const { key: sessionKey, version, value } = signedIn.session
  const nowMs = runtime.nowMs()
  if (nowMs - value.lastSeenAtMs < SESSION_TOUCH_MS) return
  const expiresAtMs = Math.min(
    nowMs + config.limits.sessionIdleSeconds * 1000,
    value.createdAtMs + SESSION_ABSOLUTE_MS,
  )
  runtime.waitUntil(
    store.put('session', sessionKey, version, { ...value, lastSeenAtMs: nowMs, expiresAtMs }),
  )
}

/** Ends a browser's session; the proof of its sign-in is forgotten where no app depends on it. */
export async function endSession(house: IssuerHouse, digest: string): Promise<void> {
  const { store, proofs } = house
  const session = await store.get('session', key(digest))
  await store.remove('session', key(digest))
  if (session === undefined) return
  const { vaultId } = session.value
  const index = { name: 'vaultId', value: vaultId } as const
  const grants = await store.grants.list(TENANT, index, { max: GRANTS_LOOKED_AT_MAX })
  const isUsed = grants.some(({ state }) => state !== 'ended')
  // With more grants than are looked at the proof is kept: it ends by itself when nobody calls.
  if (!isUsed && grants.length < GRANTS_LOOKED_AT_MAX) proofs.forget?.(vaultId)
}

export function accountLabel(user: Values['user']): string {
  return user.profile.name ?? user.profile.login ?? user.profile.email ?? user.subject
}

/** The second line under the label: what tells two accounts of one person apart. */
export function accountDetail(user: Values['user']): string | undefined {
  const label = accountLabel(user)
  return [user.profile.email, user.profile.login].find(
    (text) => text !== undefined && text !== label,
  )
}
