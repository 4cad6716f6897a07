/**
 * Our access token in, the session behind it out: the hot path's authentication.
 *
 * Order: shape, digest look-up (which never inserts), and only on a miss the keyed tag in `jti`,
 * signature and claims; then the grant's details, once, from the store. Remembered until `exp` and
 * never past it. Audience, scope and revocation marks are not remembered: `gateway/decide.ts` asks
 * for them on every request. Imports neither `net/` nor `providers/`.
 */
import { within } from '../cache/deadline.ts'
import { type AccessTokenClaims, judgeShaped, looksLikeAccessToken } from '../oauth/access-token.ts'
import { isMachine } from '../oauth/machine.ts'
import { parseScope } from '../oauth/scope.ts'
import type { Emit, Runtime, Store, VerifyKey } from '../ports.ts'
import { type Grant, type Profile, TENANT, type Values } from '../records.ts'
import { findLiving } from './tombstones.ts'

/** A verified token of ours and what its grant says, without the token itself. */
export interface Session {
  /** SHA-256 of the whole token, base64url. */
  readonly digest: string
  readonly tenant: string
  readonly userId: string
  readonly clientId: string
  readonly grantId: string
  readonly resource: string
  readonly scopes: readonly string[]
  /** `kid` of the key that signed it. */
  readonly keyId: string
  readonly jti: string
  readonly issuedAtMs: number
  readonly expiresAtMs: number
  /** Empty: nothing has to be proved. */
  readonly vaultId: string
  readonly provider?: string
  readonly subject?: string
  readonly identityIssuer?: string
  readonly profile?: Profile
  readonly groups?: readonly string[]
  readonly roles?: readonly string[] | undefined
  readonly tenantId?: string | undefined
  readonly authTimeSeconds?: number
  /** How the person was authenticated, in the provider's words. */
  readonly acr?: string | undefined
  /** The key that the token is bound to (RFC 9449); absent: Bearer. */
  readonly jkt?: string | undefined
}

/** Remembered sessions by digest: `cache/token-table.ts`, or a plain `Map` around it. */
export interface RememberedTokens {
  get(digest: string): Session | undefined
  set(digest: string, session: Session): void
  delete(digest: string): void
}

/** `cold`: ask `load`, then judge again. `busy`: too many loads at once. The rest are refusals. */
export type TokenRefusal = 'shape' | 'token' | 'expired' | 'ended' | 'budget'
export type Judged = Session | 'cold' | 'busy' | 'unavailable' | TokenRefusal

export interface Authenticator {
  /** The session of a token seen before and not expired. Never inserts, never verifies. */
  remembered(token: string): Session | undefined
  /** As `remembered`, and on a miss everything that needs no store. */
  judge(token: string): Judged
  /** Loads the grant of a token that `judge` called `cold`. Never rejects: ask `judge` again. */
  load(token: string): Promise<void>
  /**
   * A token that this node has just signed, for a grant that is active in the store: remembered
   * behind the answer, so that its first call checks no signature and reads nothing.
   */
  adopt(token: string, claims: AccessTokenClaims, keyId: string): void
  /** Forgets one token, for instance when its grant ended here. */
  forget(digest: string): void
}

export interface AuthenticatorDeps {
  readonly runtime: Runtime
  readonly emit: Emit
  readonly store: Pick<Store, 'get'> & { readonly grants: Pick<Store['grants'], 'find'> }
  readonly issuer: string
  readonly keys: { verifyKeys(): ReadonlyMap<string, VerifyKey>; tagKey(): Uint8Array }
  readonly table: RememberedTokens
  /** Latest wait for the store. Default 2000. */
  readonly loadDeadlineMs?: number
}

const LOAD_DEADLINE_MS = 2_000
/** Verified tokens whose grant is being read. Beyond: 503 until some are done. */
const PENDING_MAX = 4_096
/** Verified, but their grant is gone. Small, of its own: a flood cannot evict good ones (C7). */
const REFUSED_MAX = 1_024
const REFUSED_MS = 10_000
/** Bad signatures under one `jti` in this time, before further ones are not even checked. */
const SIGNATURE_FAILURES_MAX = 3
const SIGNATURE_FAILURES_MS = 10_000
const FAILING_JTI_MAX = 1_024

interface Pending {
  readonly claims: AccessTokenClaims
  readonly keyId: string
  flight?: Promise<void>
}
interface Refused {
  readonly word: 'ended' | 'unavailable'
  readonly untilMs: number
}

export function createAuthenticator(deps: AuthenticatorDeps): Authenticator {
  const { runtime, table } = deps
  const pending = new Map<string, Pending>()
  const refused = new Map<string, Refused>()
  const failures = createFailureBudget(runtime)

  const find = (digest: string): Session | undefined => {
    const session = table.get(digest)
    if (session === undefined) return undefined
    if (session.expiresAtMs > runtime.nowMs()) return session
    table.delete(digest)
    return undefined
  }

  const judgeUnknown = (token: string, digest: string): Judged => {
    if (pending.has(digest)) return 'cold'
    const known = refused.get(digest)
    if (known !== undefined) {
      if (known.untilMs > runtime.monotonicMs()) return known.word
      refused.delete(digest)
    }
    let jti = ''
    const verdict = judgeShaped(token, {
      keys: deps.keys.verifyKeys(),
      tagKey: deps.keys.tagKey(),
      issuer: deps.issuer,
      nowSeconds: Math.floor(runtime.nowMs() / 1000),
      runtime,
      mayVerify: (claimed) => {
        jti = claimed
        return !failures.exhausted(claimed)
      },
    })
    if (!verdict.ok) {
      if (verdict.reason === 'signature') failures.add(jti)
      if (verdict.reason === 'budget') return 'budget'
      return verdict.reason === 'expired' ? 'expired' : 'token'
    }
    if (pending.size >= PENDING_MAX) return 'busy'
    pending.set(digest, { claims: verdict.claims, keyId: verdict.keyId })
    return 'cold'
  }

  const settle = async (digest: string, entry: Pending): Promise<void> => {
    let word: Refused['word'] = 'unavailable'
    try {
      const deadlineMs = deps.loadDeadlineMs ?? LOAD_DEADLINE_MS
      const session = await within(runtime, readSession(deps, digest, entry), deadlineMs, 'late')
      if (session === 'late') return
      if (session !== undefined) {
        table.set(digest, session)
        return
      }
      word = 'ended'
    } catch {
      // The store's failure is a refusal with 503, decided by the caller from `unavailable`.
    } finally {
      pending.delete(digest)
      if (table.get(digest) === undefined) {
        const lifeMs = word === 'ended' ? REFUSED_MS : UNAVAILABLE_MS
        remember(refused, digest, { word, untilMs: runtime.monotonicMs() + lifeMs }, REFUSED_MAX)
      }
    }
  }

  // What is not remembered is judged next: its digest is made once (P19).
  const missed = { token: '', digest: '' }
  const digestOf = (token: string): string =>
    token === missed.token ? missed.digest : runtime.sha256(token)

  return {
    remembered(token) {
      const digest = runtime.sha256(token)
      const session = find(digest)
      if (session === undefined) {
        missed.token = token
        missed.digest = digest
      }
      return session
    },
    judge(token) {
      if (!looksLikeAccessToken(token)) return 'shape'
      const digest = digestOf(token)
      return find(digest) ?? judgeUnknown(token, digest)
    },
    load(token) {
      const digest = runtime.sha256(token)
      const entry = pending.get(digest)
      if (entry === undefined) return Promise.resolve()
      if (!runtime.sharesPromises) return settle(digest, entry)
      entry.flight ??= settle(digest, entry)
      return entry.flight
    },
    adopt(token, claims, keyId) {
      if (pending.size >= PENDING_MAX) return
      const digest = runtime.sha256(token)
      const entry: Pending = { claims, keyId }
      pending.set(digest, entry)
      const flight = settle(digest, entry)
      if (runtime.sharesPromises) entry.flight = flight
      runtime.waitUntil(flight)
    },
    forget: (digest) => table.delete(digest),
  }
}

/** A dead store is asked again by the next call after this, not by every call meanwhile. */
const UNAVAILABLE_MS = 250

async function readSession(
  deps: AuthenticatorDeps,
  digest: string,
  { claims, keyId }: Pending,
): Promise<Session | undefined> {
  const { store } = deps
  const grant = await store.grants.find({ tenant: TENANT, id: claims.gid })
  if (grant === undefined || grant.state !== 'active') return undefined
  if (grant.userId !== claims.sub || grant.clientId !== claims.client_id) return undefined
  const isClient = isMachine(grant.userId)
  const [user, vault] = await Promise.all([
    isClient ? undefined : findLiving(deps, grant.userKey),
    grant.vaultId === '' ? undefined : store.get('vault', { tenant: TENANT, id: grant.vaultId }),
  ])
  if (!isClient) {
    if (user === undefined || user.value.state !== 'active') return undefined
    if (user.value.userId !== grant.userId) return undefined
  }
  if (grant.vaultId !== '' && (vault === undefined || vault.value.state === 'ended'))
    return undefined
  return toSession(digest, claims, keyId, grant, user?.value)
}

function toSession(
  digest: string,
  claims: AccessTokenClaims,
  keyId: string,
  grant: Grant,
  user: Values['user'] | undefined,
): Session {
  return {
    digest,
    tenant: grant.tenant,
    userId: grant.userId,
    clientId: grant.clientId,
    grantId: grant.id,
    resource: claims.aud,
    scopes: parseScope(claims.scope),
    keyId,
    jti: claims.jti,
    issuedAtMs: claims.iat * 1000,
    expiresAtMs: claims.exp * 1000,
    vaultId: grant.vaultId,
    provider: user?.provider,
    subject: user?.subject,
    identityIssuer: user?.issuer,
    profile: user?.profile,
    groups: user?.groups,
    roles: user?.roles,
    tenantId: user?.tenantId,
    authTimeSeconds: grant.authTimeSeconds,
    acr: grant.acr,
    jkt: claims.cnf?.jkt,
  }
}

/**
 * A valid tag is a copy from a real token, so bad signatures gather under few `jti`. After some of
 * them the 50 microseconds of a signature check are not spent on that `jti` for a while. The real
 * token is remembered and does not come here.
 */
function createFailureBudget(runtime: Runtime): {
  exhausted(jti: string): boolean
  add(jti: string): void
} {
  const byJti = new Map<string, { count: number; untilMs: number }>()
  return {
    exhausted(jti) {
      const entry = byJti.get(jti)
      if (entry === undefined) return false
      if (entry.untilMs > runtime.monotonicMs()) return entry.count >= SIGNATURE_FAILURES_MAX
      byJti.delete(jti)
      return false
    },
    add(jti) {
      const count = (byJti.get(jti)?.count ?? 0) + 1
      const untilMs = runtime.monotonicMs() + SIGNATURE_FAILURES_MS
      remember(byJti, jti, { count, untilMs }, FAILING_JTI_MAX)
    },
  }
}

/** Bounded insert: the oldest entry makes room. */
function remember<V>(map: Map<string, V>, key: string, value: V, entriesMax: number): void {
  map.delete(key)
  if (map.size >= entriesMax) {
    const oldest = map.keys().next().value
    if (oldest !== undefined) map.delete(oldest)
  }
  map.set(key, value)
}
