/**
 * Links that clients of 2025-11-25 were given, until their person has connected: then the session that
 * asked is told (`notifications/elicitation/complete`). Bounded, in memory, of this node only: a client
 * that is not told repeats its call as well.
 */
import { encodeBase64url } from '../oauth/base64url.ts'
import type { Runtime } from '../ports.ts'

export interface Completed {
  /** `Mcp-Session-Id` as the client knows it. */
  readonly sessionId: string
  readonly elicitationId: string
}

export interface Elicitations {
  /** @param sessionId Absent: nobody could be told. @returns The `elicitationId`. */
  asked(userId: string, connector: string, sessionId: string | undefined): string
  /** Each once. */
  completed(userId: string, connector: string): readonly Completed[]
}

const OPEN_MAX = 10_000
const OPEN_PER_PERSON_MAX = 16
const ID_BYTES = 16

export function createElicitations({ randomBytes }: Pick<Runtime, 'randomBytes'>): Elicitations {
  const open = new Map<string, Completed[]>()
  return {
    asked(userId, connector, sessionId) {
      const elicitationId = encodeBase64url(randomBytes(ID_BYTES))
      if (sessionId === undefined) return elicitationId
      const key = JSON.stringify([userId, connector])
      const known = open.get(key) ?? []
      open.delete(key)
      const oldest = open.size < OPEN_MAX ? undefined : open.keys().next().value
      if (oldest !== undefined) open.delete(oldest)
      open.set(key, [...known, { sessionId, elicitationId }].slice(-OPEN_PER_PERSON_MAX))
      return elicitationId
    },
    completed(userId, connector) {
      const key = JSON.stringify([userId, connector])
      const known = open.get(key) ?? []
      open.delete(key)
      return known
    },
  }
}

/** As one event of a stream; may be written between two events only. */
export function completionEvent({ elicitationId }: Completed): string {
  const method = 'notifications/elicitation/complete'
  const message = JSON.stringify({ jsonrpc: '2.0', method, params: { elicitationId } })
  return `event: message\ndata: ${message}\n\n`
}
