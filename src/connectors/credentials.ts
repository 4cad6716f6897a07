/**
 * What a call carries to its server: nothing, a fixed header, a JWT of ours for this user, or this
 * user's own token at that server (with `client_credentials`: our own), from memory only.
 *
 * The JWT's audience is derived from the URL that is called, never configured (flows.md section 12);
 * it lives at most as long as the caller's token and is reused until 80 % of its life. Signing is
 * synchronous, so one caller makes it and all others find it. Hot: no `net/`, no `providers/`.
 */
import type { ClaimName, Config, ConnectorConfig } from '../config.ts'
import type { Session } from '../issuer/authenticate.ts'
import { encodeBase64url } from '../oauth/base64url.ts'
import { isMachine } from '../oauth/machine.ts'
import type { Runtime, SigningKey } from '../ports.ts'
import type { ConnectionTokens, HeldToken } from './connections/connection-tokens.ts'
import { needsConsent } from './directory.ts'
import type { IdentityConsents } from './made/identity-consent.ts'

/** Flat name, value, name, value: as `undici` and `http.ServerResponse` take headers. */
export interface Credential {
  readonly headers: readonly string[]
  /** The server's own token among the headers, for the case that it refuses it. */
  readonly accessToken?: string
}

export interface Credentials {
  /**
   * `cold`: `ConnectionTokens` must load first. `missing`: there is no usable connection of this user,
   * and nothing else is ever sent in its place (GW-23).
   */
  credential(session: Session, connector: ConnectorConfig): Credential | 'cold' | 'missing'
  /** The server refused this caller's JWT: make a new one next time. */
  forget(session: Session, connector: ConnectorConfig): void
}

export interface CredentialDeps {
  readonly config: Pick<Config, 'issuer' | 'limits'>
  readonly keys: {
    current(): { readonly kid: string; readonly key: SigningKey }
    /** What pairwise subjects are made with: the same on every node, for good. */
    pairwiseKey?(): Uint8Array
  }
  readonly runtime: Runtime
  /** Where some connector has `oauth` or `client_credentials`. */
  readonly tokens?: Pick<ConnectionTokens, 'peek' | 'machine'> | undefined
  /** Which servers of made connectors want our JWT. Absent: none of them gets one. */
  readonly consents?: Pick<IdentityConsents, 'state'>
}

/** JWTs kept per connector and generation; two generations live. About 1 KB each. */
const KEPT_MAX = 25_000
const REUSE_SHARE = 0.8
/** A token about to end still gets a JWT that survives the trip. */
const LIFE_MIN_SECONDS = 1

const NONE: Credential = { headers: [] }

interface Kept extends Credential {
  readonly renewAtMs: number
}
interface Memory {
  young: Map<string, Kept>
  old: Map<string, Kept>
  readonly audience: string
  readonly needsConsent: boolean
  readonly fixed?: Credential
  /** Whose token: made at the server, kept in `ConnectionTokens`. */
  readonly held?: 'person' | 'machine'
}

/** @param accessToken As the server gave it. */
export function heldCredential(accessToken: string): Credential {
  return { headers: ['authorization', `Bearer ${accessToken}`], accessToken }
}

export function createCredentials(deps: CredentialDeps): Credentials {
  const { config, keys, runtime, tokens } = deps
  const memories = new WeakMap<ConnectorConfig, Memory>()
  const memoryOf = (connector: ConnectorConfig): Memory => {
    const known = memories.get(connector)
    if (known !== undefined) return known
    const made = createMemory(connector)
    memories.set(connector, made)
    return made
  }
  const mint = (session: Session, connector: ConnectorConfig, audience: string): Kept => {
    const nowMs = runtime.nowMs()
    const iat = Math.floor(nowMs / 1000)
    const rest = Math.floor(session.expiresAtMs / 1000) - iat
    const life = Math.max(LIFE_MIN_SECONDS, Math.min(config.limits.identityTokenTtlSeconds, rest))
    const { kid, key } = keys.current()
    const claims = {
      ...releasedClaims(session, connector.claims),
      iss: config.issuer,
      aud: audience,
      sub: connector.made === true ? pairwise(session, connector) : subjectOf(session, connector),
      client_id: session.clientId,
      scope: session.scopes.join(' '),
      iat,
      exp: iat + life,
      jti: encodeBase64url(runtime.randomBytes(16)),
      act: { sub: config.issuer },
    }
    const input = `${encodeJson({ alg: 'ES256', typ: 'at+jwt', kid })}.${encodeJson(claims)}`
    return {
      headers: ['authorization', `Bearer ${input}.${runtime.sign(key, input)}`],
      renewAtMs: nowMs + life * 1000 * REUSE_SHARE,
    }
  }
  /** No two servers can find out that they know the same person. */
  const pairwise = ({ userId }: Session, { url }: ConnectorConfig): string => {
    if (isMachine(userId)) return userId
    const key = keys.pairwiseKey?.()
    if (key === undefined) throw new TypeError('a pairwise subject without its key')
    const parts = JSON.stringify(['pairwise-subject', url.host, userId])
    return `pair_${encodeBase64url(runtime.hmacSha256(key, parts))}`
  }
  return {
    credential(session, connector) {
      const memory = memoryOf(connector)
      if (memory.fixed !== undefined) return memory.fixed
      if (memory.held !== undefined) {
        // Not wired is not connected (I7).
        if (tokens === undefined) return 'missing'
        return memory.held === 'person'
          ? heldBy(tokens.peek(session.userId, connector.name), connector)
          : heldBy(tokens.machine(connector.name), connector)
      }
      if (memory.needsConsent) {
        const state = deps.consents?.state(connector) ?? 'refused'
        if (state !== 'given') return state === 'cold' ? 'cold' : 'missing'
      }
      const kept = memory.young.get(session.digest) ?? memory.old.get(session.digest)
      if (kept !== undefined && kept.renewAtMs > runtime.nowMs()) return kept
      const made = mint(session, connector, memory.audience)
      if (memory.young.size >= KEPT_MAX) {
        memory.old = memory.young
        memory.young = new Map()
      }
      memory.young.set(session.digest, made)
      return made
    },
    forget(session, connector) {
      const memory = memoryOf(connector)
      memory.young.delete(session.digest)
      memory.old.delete(session.digest)
    },
  }
}

function createMemory(connector: ConnectorConfig): Memory {
  const audience = connector.url.origin + connector.url.pathname
  const memory = {
    young: new Map<string, Kept>(),
    old: new Map<string, Kept>(),
    audience,
    needsConsent: needsConsent(connector),
  }
  if (connector.auth === 'identity') return memory
  if (connector.auth === 'oauth') return { ...memory, held: 'person' }
  if (connector.auth === 'client_credentials') return { ...memory, held: 'machine' }
  if (connector.auth === 'none' || connector.header === undefined) return { ...memory, fixed: NONE }
  const { name, value } = connector.header
  return { ...memory, fixed: { headers: [name, value.reveal()] } }
}

/** CLI-21: a token that was made for another origin is as good as none. */
function heldBy(held: HeldToken, { url }: ConnectorConfig): Credential | 'cold' | 'missing' {
  if (held.state === 'cold') return 'cold'
  if (held.state !== 'token' || held.resourceOrigin !== url.origin) return 'missing'
  return heldCredential(held.accessToken)
}

/** The provider's subject is how a migrated server finds its users again; absent: nobody. */
function subjectOf(session: Session, connector: ConnectorConfig): string {
  // A client that acts for itself has no provider behind it, and a form of subject of its own.
  if (connector.subject === 'postern' || isMachine(session.userId)) return session.userId
  if (session.subject === undefined) throw new TypeError('a session without its subject')
  return session.subject
}

function releasedClaims(
  { profile, groups }: Session,
  released: readonly ClaimName[],
): Readonly<Record<string, unknown>> {
  const values: Readonly<Record<ClaimName, unknown>> = {
    name: profile?.name,
    email: profile?.email,
    email_verified: profile?.emailVerified,
    login: profile?.login,
    preferred_username: profile?.login,
    picture: profile?.pictureUrl,
    avatar_url: profile?.pictureUrl,
    groups,
  }
  return Object.fromEntries(released.map((name) => [name, values[name]]))
}

const encoder = new TextEncoder()

function encodeJson(value: object): string {
  return encodeBase64url(encoder.encode(JSON.stringify(value)))
}
