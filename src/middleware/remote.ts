/**
 * `protect()` in another process than the issuer's: tokens are checked here against the issuer's
 * keys, and revocations come by long poll with a credential. Warm: no exchange, no wait.
 *
 * The audience is the exact resource; scopes and marks are checked on every call. A revocation view
 * older than 30 s, or no keys, is a 503, never a yes (I7). Without a credential a revocation is felt
 * when the token ends, and that is said once at start.
 * @see flows.md section 2, requirements REV-04, VAL-14
 */
import { ConfigError } from '../errors.ts'
import {
  insufficient,
  malformed,
  resourceOf,
  unauthorized,
  unavailable,
  unproved,
} from '../gateway/guard.ts'
import { createPossession, type Possession, type PresentedProof } from '../gateway/possession.ts'
import { createPollOnUse } from '../issuer/poll-on-use.ts'
import { createRevocationView, type Markable } from '../issuer/revocation.ts'
import { createEgress } from '../net/egress.ts'
import {
  type AccessTokenClaims,
  judgeAccessToken,
  looksLikeAccessToken,
} from '../oauth/access-token.ts'
import { readBearer, readDpop } from '../oauth/challenge.ts'
import { parseScope } from '../oauth/scope.ts'
import { canonicalResource, isLoopbackHost, parseUrl } from '../oauth/urls.ts'
import type { Fetch, FetchSettings, Platform, Runtime } from '../ports.ts'
import { TENANT } from '../records.ts'
import {
  authInfoOf,
  type Guard,
  type GuardAnswer,
  type Principal,
  type ProtectOptions,
} from './guard.ts'
import { createRemoteKeys, type RemoteKeys } from './remote-keys.ts'
import { createRemoteMarks } from './remote-marks.ts'

/** The part of a platform that a remote guard needs. */
export interface RemotePlatform extends Pick<Platform, 'runtime' | 'emit'> {
  openFetch(settings: FetchSettings): { fetch: Fetch; close(): Promise<void> }
}

/** A house in another process. Make it once and give the same object to `mount` and `protect`. */
export interface RemoteHouse {
  /** The issuer's public URL, as its metadata says it. Standing here approves its origin. */
  readonly issuer: string
  /** Public URL of the server that is protected: an entry of `resources` at the issuer. */
  readonly resource: string
  /** The `credential` of that entry. Absent: a revocation is felt when the token ends. */
  readonly credential?: string
  /** `node()` or `workers(env)`. Default in `postern/node` and `postern/express`: Node. */
  readonly platform?: RemotePlatform
  /** Ends the polling, for a graceful stop. */
  readonly signal?: AbortSignal
}

/** Verified tokens remembered; the oldest makes room. */
const REMEMBERED_MAX = 100_000
/** The view may be this old (design.md section 1). */
const VIEW_MAX_AGE_SECONDS = 30
const VIEW_WAIT_MS = 2_000
const CONNECT_TIMEOUT_MS = 2_000

interface Remembered extends Markable {
  readonly jkt: string | undefined
  readonly principal: Principal
  readonly expiresAtMs: number
}
/** What a call may wait for: the first keys, a new key, the first marks. Once each. */
type Need = 'keys' | 'key' | 'marks'
interface Wait {
  readonly wait: Need
  readonly work: () => Promise<unknown>
}
type Verdict = GuardAnswer | Wait

interface Marks {
  marked(session: Markable): boolean | 'view-too-old'
  /** To wait for before the view is asked: nothing polls by itself, or its first answer is under way. */
  pending(): Promise<unknown> | undefined
}

/** What a request shows of itself. */
interface Shown {
  readonly authorization: string | undefined
  readonly proof: PresentedProof | undefined
}

interface Room {
  readonly issuer: string
  readonly resource: string
  readonly runtime: Runtime
  readonly keys: RemoteKeys
  /** No nonce: the house's key that makes one is not here. A proof's age and use are what counts. */
  readonly possession: Possession
  readonly marks: Marks | undefined
  readonly remembered: Map<string, Remembered>
  /** Ids of keys that the issuer withdrew: a mark says only what they signed before. */
  readonly withdrawn: Set<string>
}

/** @throws {ConfigError} for an issuer, resource or credential that cannot be right. */
export function createRemoteGuard(house: RemoteHouse, platform: RemotePlatform): Guard {
  const { emit } = platform
  const room = openRoom(house, platform)
  const counted = (answer: GuardAnswer): GuardAnswer => {
    if (!answer.ok) emit.count('postern_auth_refusals_total', { reason: answer.refusal.reason })
    return answer
  }
  const settle = async (
    shown: Shown,
    options: ProtectOptions,
    first: Wait,
  ): Promise<GuardAnswer> => {
    const waited = new Set<Need>()
    let verdict: Verdict = first
    while ('wait' in verdict && !waited.has(verdict.wait)) {
      emit.count('postern_hot_path_waits_total', { reason: verdict.wait })
      waited.add(verdict.wait)
      await verdict.work()
      verdict = judge(room, shown, options, waited)
    }
    return counted('wait' in verdict ? unavailable(`${verdict.wait}_unavailable`) : verdict)
  }
  return {
    authenticate(authorization, options, _memory, proof) {
      resourceOf([room.resource], options)
      const shown = { authorization, proof }
      const verdict = judge(room, shown, options, NOTHING_YET)
      return 'wait' in verdict ? settle(shown, options, verdict) : counted(verdict)
    },
  }
}

function openRoom(house: RemoteHouse, platform: RemotePlatform): Room {
  const { issuer, resource } = readRemoteHouse(house)
  const { runtime, emit } = platform
  const { credential, signal } = house
  const outbound = platform.openFetch({})
  const egress = createEgress({
    fetch: outbound.fetch,
    runtime,
    emit,
    approvedOrigins: new Set([new URL(issuer).origin]),
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  })
  const keys = createRemoteKeys({ issuer, egress, runtime, emit })
  const withdrawn = new Set<string>()
  const possession = createPossession({ runtime })
  const remembered = new Map()
  const shared = { issuer, resource, runtime, keys, possession, withdrawn, remembered }
  // Where promises are not shared nothing may go on between two requests: calls ask by themselves.
  if (runtime.sharesPromises) keys.start()
  if (credential === undefined) {
    const reason = 'revocation_only_by_token_end'
    emit.event({ type: 'server.warning', level: 'warn', reason, resource, fix: 'credential' })
    endWith(signal, platform, () => Promise.all([keys.close(), outbound.close()]))
    return { ...shared, marks: undefined }
  }
  const source = createRemoteMarks({ issuer, credential, egress, runtime, emit, signal })
  const view = createRevocationView({
    ...source,
    runtime,
    emit,
    maxAgeSeconds: VIEW_MAX_AGE_SECONDS,
  })
  view.onMark((mark) => {
    if (mark.kind !== 'key') return
    withdrawn.add(mark.id)
    keys.revalidate()
  })
  if (runtime.sharesPromises) runtime.waitUntil(view.start())
  endWith(signal, platform, () => {
    view.stop()
    return Promise.all([keys.close(), outbound.close()])
  })
  return { ...shared, marks: marksOf(view, runtime) }
}

function endWith(
  signal: AbortSignal | undefined,
  { runtime }: RemotePlatform,
  end: () => Promise<unknown>,
): void {
  signal?.addEventListener('abort', () => runtime.waitUntil(end()), { once: true })
}

const NOTHING_YET: ReadonlySet<Need> = new Set()

function marksOf(view: ReturnType<typeof createRevocationView>, runtime: Runtime): Marks {
  const pollOnUse = createPollOnUse(view, runtime, VIEW_MAX_AGE_SECONDS)
  const firstAnswer = () =>
    view.ageMs() === Number.POSITIVE_INFINITY ? view.ensureFresh(VIEW_WAIT_MS) : undefined
  return {
    marked: (session) => view.marked(session),
    pending: runtime.sharesPromises ? firstAnswer : pollOnUse,
  }
}

function judge(
  room: Room,
  { authorization, proof }: Shown,
  options: ProtectOptions,
  waited: ReadonlySet<Need>,
): Verdict {
  const { resource } = room
  const bearer = readBearer(authorization)
  if (bearer.kind === 'malformed') return malformed(resource)
  const token =
    bearer.kind === 'bearer'
      ? bearer.token
      : proof === undefined
        ? undefined
        : readDpop(authorization)
  if (token === undefined) return unauthorized(resource, 'token_missing')
  const session = find(room, token)
  if ('ok' in session || 'wait' in session) return session
  if (session.jkt !== undefined || bearer.kind !== 'bearer') {
    const reason =
      bearer.kind === 'bearer' || proof === undefined
        ? 'token_bound'
        : room.possession.judge(session, token, resource, proof)
    if (reason !== undefined) return unproved(resource, reason, undefined)
  }
  if (session.resource !== resource) return unauthorized(resource, 'audience')
  if (room.marks !== undefined) {
    const pending = waited.has('marks') ? undefined : room.marks.pending()
    if (pending !== undefined) return { wait: 'marks', work: () => pending }
    const marked = room.marks.marked(session)
    if (marked === 'view-too-old') return unavailable('view_too_old')
    if (marked || room.withdrawn.has(session.keyId)) return unauthorized(resource, 'revoked')
  }
  const { principal } = session
  if (!(options.scopes ?? []).every((scope) => principal.scopes.includes(scope))) {
    return insufficient(resource, principal, options)
  }
  return { ok: true, principal, authInfo: authInfoOf(token, principal) }
}

/** The session of a token, remembered until it ends; a refusal; or what to wait for. */
function find(room: Room, token: string): Remembered | Verdict {
  const { runtime, resource, keys, remembered } = room
  if (!looksLikeAccessToken(token)) return unauthorized(resource, 'token_invalid')
  const digest = runtime.sha256(token)
  const known = remembered.get(digest)
  if (known !== undefined) {
    if (known.expiresAtMs > runtime.nowMs()) return known
    remembered.delete(digest)
    return unauthorized(resource, 'token_expired')
  }
  const set = keys.known()
  if (set === undefined) return { wait: 'keys', work: () => keys.load() }
  const nowSeconds = Math.floor(runtime.nowMs() / 1000)
  const verdict = judgeAccessToken(token, {
    keys: set,
    tagKey: undefined,
    issuer: room.issuer,
    nowSeconds,
    runtime,
  })
  if (!verdict.ok) {
    if (verdict.reason === 'unknown_key') return unknownKey(room)
    return unauthorized(resource, verdict.reason === 'expired' ? 'token_expired' : 'token_invalid')
  }
  const session = sessionOf(digest, verdict.claims, verdict.keyId)
  remember(remembered, session)
  return session
}

function sessionOf(digest: string, claims: AccessTokenClaims, keyId: string): Remembered {
  const principal: Principal = {
    userId: claims.sub,
    tenant: TENANT,
    clientId: claims.client_id,
    grantId: claims.gid,
    resource: claims.aud,
    scopes: parseScope(claims.scope),
    expiresAtSeconds: claims.exp,
  }
  const { userId, tenant, clientId, grantId, resource } = principal
  return {
    digest,
    tenant,
    userId,
    clientId,
    grantId,
    resource,
    keyId,
    jkt: claims.cnf?.jkt,
    jti: claims.jti,
    issuedAtMs: claims.iat * 1000,
    expiresAtMs: claims.exp * 1000,
    principal,
  }
}

function unknownKey({ keys, resource }: Room): Verdict {
  const meaning = keys.unknownKey()
  if (meaning === 'ask') return { wait: 'key', work: () => keys.askAgain() }
  return meaning === 'refuse'
    ? unauthorized(resource, 'token_invalid')
    : unavailable('keys_unavailable')
}

function remember(remembered: Map<string, Remembered>, session: Remembered): void {
  if (remembered.size >= REMEMBERED_MAX) {
    const oldest = remembered.keys().next().value
    if (oldest !== undefined) remembered.delete(oldest)
  }
  remembered.set(session.digest, session)
}

const CREDENTIAL_CHARS_MIN = 32

/** Issuer and resource as they are compared. @throws {ConfigError} */
export function readRemoteHouse(house: RemoteHouse): { issuer: string; resource: string } {
  const issuerUrl = parseUrl(house.issuer)
  const isHttpLoopback = issuerUrl?.protocol === 'http:' && isLoopbackHost(issuerUrl.hostname)
  if (issuerUrl === undefined || (issuerUrl.protocol !== 'https:' && !isHttpLoopback)) {
    throw new ConfigError(
      'ERR_CONFIG_ISSUER',
      `issuer must be https unless its host is localhost, 127.0.0.1 or [::1]; got ${house.issuer}`,
      'Use the public https URL of the issuer.',
    )
  }
  const resource = canonicalResource(house.resource)
  if (resource === undefined) {
    throw new ConfigError(
      'ERR_CONFIG_VALUE',
      'resource must be an absolute http or https URL without a fragment.',
      'Use the URL that stands in `resources` at the issuer.',
    )
  }
  if (house.credential !== undefined && house.credential.length < CREDENTIAL_CHARS_MIN) {
    throw new ConfigError(
      'ERR_CONFIG_VALUE',
      'credential must be at least 32 characters.',
      'Use the credential that stands in `resources` at the issuer.',
    )
  }
  return { issuer: house.issuer.replace(/\/$/, ''), resource }
}
