/**
 * `Mcp-Session-Id` of the legacy revisions (2025-03-26 to 2025-11-25) as our clients see it.
 *
 * Ours seals the server's identifier to tenant, user, client and connector; it is visible ASCII, is
 * opened once and then remembered by digest, and opens for nobody else (GW-13, G9). It never
 * authenticates: the token does. The server's own identifier is never shown.
 */
import type { ConnectorConfig } from '../config.ts'
import type { Session } from '../issuer/authenticate.ts'
import type { Runtime } from '../ports.ts'

export interface SessionIds {
  /** The server's identifier behind ours; `undefined` when it is not this caller's. */
  open(presented: string, session: Session, connector: ConnectorConfig): string | undefined
  /** @param opensUrls The client said at `initialize` that it can open a URL for its user. */
  seal(
    upstreamId: string,
    session: Session,
    connector: ConnectorConfig,
    opensUrls?: boolean,
  ): string
  /** What `seal` was told of the client of this session; false for what is not this caller's. */
  opensUrls(presented: string, session: Session, connector: ConnectorConfig): boolean
}

export interface SessionIdDeps {
  readonly runtime: Runtime
  /** 32 bytes, the same on every node. */
  readonly key: () => Uint8Array
}

const PREFIX = 'psid_'
const OPENED_MAX = 20_000
const PRESENTED_MAX_CHARS = 4_096
/** The legacy revisions: visible ASCII. */
const VISIBLE_ASCII = /^[\x21-\x7e]{1,1024}$/

/** What a server names is one; any other cannot be sealed. */
export function isSessionId(text: string): boolean {
  return VISIBLE_ASCII.test(text)
}

/** Behind the server's identifier, which holds no space: what the client can do. */
const OPENS_URLS = ' url'

interface Opened {
  readonly owner: string
  readonly upstreamId: string
  readonly opensUrls: boolean
}

export function createSessionIds({ runtime, key }: SessionIdDeps): SessionIds {
  const opened = new Map<string, Opened>()
  const remember = (digest: string, entry: Opened): void => {
    if (opened.size >= OPENED_MAX) {
      const oldest = opened.keys().next().value
      if (oldest !== undefined) opened.delete(oldest)
    }
    opened.set(digest, entry)
  }
  const find = (
    presented: string,
    session: Session,
    connector: ConnectorConfig,
  ): Opened | undefined => {
    if (presented.length > PRESENTED_MAX_CHARS || !presented.startsWith(PREFIX)) return undefined
    const owner = ownerText('session', session, connector)
    const digest = runtime.sha256(presented)
    const known = opened.get(digest)
    if (known !== undefined) return known.owner === owner ? known : undefined
    const text = runtime.open(key(), presented.slice(PREFIX.length), owner)
    if (text === undefined) return undefined
    const opensUrls = text.endsWith(OPENS_URLS)
    const upstreamId = opensUrls ? text.slice(0, -OPENS_URLS.length) : text
    const entry = { owner, upstreamId, opensUrls }
    remember(digest, entry)
    return entry
  }
  return {
    open: (presented, session, connector) => find(presented, session, connector)?.upstreamId,
    opensUrls: (presented, session, connector) =>
      find(presented, session, connector)?.opensUrls === true,
    seal(upstreamId, session, connector, opensUrls = false) {
      if (!isSessionId(upstreamId)) throw new TypeError('a session id of visible ASCII')
      const owner = ownerText('session', session, connector)
      const text = opensUrls ? upstreamId + OPENS_URLS : upstreamId
      const presented = PREFIX + runtime.seal(key(), text, owner)
      remember(runtime.sha256(presented), { owner, upstreamId, opensUrls })
      return presented
    },
  }
}

/** Length-prefixed, so that no two owners and no two purposes share a text. */
export function ownerText(
  purpose: 'session' | 'request-state',
  { tenant, userId, clientId }: Session,
  { name }: ConnectorConfig,
): string {
  return [`mcp-${purpose}`, tenant, userId, clientId, name]
    .map((part) => `${part.length}:${part}`)
    .join('')
}

const FIRST_STATELESS_REVISION = '2026-07-28'

/** True from 2026-07-28 on: no sessions, no resumption (GW-01, GW-03). */
export function isStateless(protocolVersion: string | undefined): boolean {
  return (
    protocolVersion !== undefined &&
    /^\d{4}-\d{2}-\d{2}$/.test(protocolVersion) &&
    protocolVersion >= FIRST_STATELESS_REVISION
  )
}
