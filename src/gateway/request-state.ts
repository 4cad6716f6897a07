/**
 * `requestState` of our own questions (GW-19): sealed, so that a client can only bring it back, and
 * bound to user, client, connector, request and ten minutes. A server's own state is never looked into.
 */
import type { ConnectorConfig } from '../config.ts'
import type { Session } from '../issuer/authenticate.ts'
import type { Runtime } from '../ports.ts'
import { ownerText } from './session-id.ts'

export interface RequestState {
  /** The page that the person was asked to open. */
  readonly link: string
  /** Digest of the request: `digestOfRequest`. */
  readonly request: string
  /** 1 for the first question. */
  readonly round: number
  /** Digest of the token that the server refused; empty when there was none to send. */
  readonly refused: string
}

export interface RequestStates {
  seal(state: RequestState, session: Session, connector: ConnectorConfig): string
  /** `undefined`: not made here for this caller, or too old. */
  open(presented: string, session: Session, connector: ConnectorConfig): RequestState | undefined
}

export interface RequestStateDeps {
  readonly runtime: Pick<Runtime, 'seal' | 'open' | 'nowMs'>
  /** 32 bytes, the same on every node. */
  readonly key: () => Uint8Array
}

/** What tells our states from those of servers. */
export const STATE_PREFIX = 'prs1_'
const STATE_TTL_MS = 600_000
const STATE_MAX_CHARS = 16_384

export function createRequestStates({ runtime, key }: RequestStateDeps): RequestStates {
  return {
    seal(state, session, connector) {
      const text = JSON.stringify({ ...state, expiresAtMs: runtime.nowMs() + STATE_TTL_MS })
      return (
        STATE_PREFIX + runtime.seal(key(), text, ownerText('request-state', session, connector))
      )
    },
    open(presented, session, connector) {
      if (presented.length > STATE_MAX_CHARS || !presented.startsWith(STATE_PREFIX))
        return undefined
      const sealed = presented.slice(STATE_PREFIX.length)
      const text = runtime.open(key(), sealed, ownerText('request-state', session, connector))
      if (text === undefined) return undefined
      // Sealed by us with this key and purpose, so its shape is ours.
      const state = JSON.parse(text) as RequestState & { readonly expiresAtMs: number }
      return state.expiresAtMs > runtime.nowMs() ? state : undefined
    },
  }
}

/**
 * One text per request whatever the order of its members: method and parameters, without what may
 * differ between the question and the return.
 *
 * @param params As parsed; nested at most as deep as the message's bounds allow.
 */
export function requestText(method: string, params: Readonly<Record<string, unknown>>): string {
  const { _meta, requestState, inputResponses, ...rest } = params
  return JSON.stringify([method, rest], (_name, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).toSorted(([left], [right]) => (left < right ? -1 : 1))
      : value,
  )
}
