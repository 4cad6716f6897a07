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
  seal(upstreamId: string, session: Session, connector: ConnectorConfig): string
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

interface Opened {
  readonly owner: string
  readonly upstreamId: string
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
  return {
    open(presented, session, connector) {
      if (presented.length > PRESENTED_MAX_CHARS || !presented.startsWith(PREFIX)) return undefined
      const owner = ownerOf(session, connector)
      const digest = runtime.sha256(presented)
      const known = opened.get(digest)
      if (known !== undefined) return known.owner === owner ? known.upstreamId : undefined
      const upstreamId = runtime.open(key(), presented.slice(PREFIX.length), owner)
      if (upstreamId !== undefined) remember(digest, { owner, upstreamId })
      return upstreamId
    },
    seal(upstreamId, session, connector) {
      if (!VISIBLE_ASCII.test(upstreamId)) throw new TypeError('a session id of visible ASCII')
      const owner = ownerOf(session, connector)
      const presented = PREFIX + runtime.seal(key(), upstreamId, owner)
      remember(runtime.sha256(presented), { owner, upstreamId })
      return presented
    },
  }
}

/** Length-prefixed, so that no two owners share a text. */
function ownerOf({ tenant, userId, clientId }: Session, { name }: ConnectorConfig): string {
  return ['mcp-session', tenant, userId, clientId, name]
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
