/**
 * `ConnectionTokens` in a map, for tests of the gateway alone: what a person connected, what a refresh
 * brings, and a count of everything that was asked. No store, no exchange.
 */
import type {
  ConnectionTokens,
  HeldToken,
  UnknownToken,
} from '../../src/connectors/connections/connection-tokens.ts'

type Token = Extract<HeldToken, { state: 'token' }>

export interface KeptTokens extends ConnectionTokens {
  /** In memory at once; `asleep`: in the store only, so that the first call finds it cold. */
  connect(
    userId: string,
    connector: string,
    accessToken: string,
    resourceOrigin: string,
    more?: { scopes?: readonly string[]; asleep?: boolean },
  ): void
  disconnect(userId: string, connector: string, state?: 'missing' | 'reconnect'): void
  /** What `refused` brings for a token. Default: `reconnect`. */
  onRefused: (accessToken: string) => HeldToken | UnknownToken
  readonly asked: { loads: number; refused: string[] }
}

/** @param machine Tokens of connectors with `client_credentials`, by connector. */
export function createKeptTokens(machine: ReadonlyMap<string, Token> = new Map()): KeptTokens {
  const stored = new Map<string, HeldToken>()
  // As the real ones: only tokens are remembered, what is missing is looked for each time.
  const memory = new Map<string, Token>()
  const keyOf = (userId: string, connector: string): string => JSON.stringify([userId, connector])
  const find = (key: string): HeldToken => stored.get(key) ?? { state: 'missing' }
  let connections = 0
  const kept: KeptTokens = {
    asked: { loads: 0, refused: [] },
    onRefused: () => ({ state: 'reconnect' }),
    connect(userId, connector, accessToken, resourceOrigin, { scopes = [], asleep = false } = {}) {
      connections += 1
      const connectionId = `con_${connections}`
      const key = keyOf(userId, connector)
      const token: Token = { state: 'token', accessToken, scopes, connectionId, resourceOrigin }
      stored.set(key, token)
      if (asleep) memory.delete(key)
      else memory.set(key, token)
    },
    disconnect(userId, connector, state = 'missing') {
      stored.set(keyOf(userId, connector), { state })
      memory.delete(keyOf(userId, connector))
    },
    peek: (userId, connector) => memory.get(keyOf(userId, connector)) ?? { state: 'cold' },
    async load(userId, connector) {
      kept.asked.loads += 1
      const key = keyOf(userId, connector)
      const found = find(key)
      if (found.state === 'token') memory.set(key, found)
      return found
    },
    async refused(userId, connector, accessToken) {
      kept.asked.refused.push(accessToken)
      const next = kept.onRefused(accessToken)
      if (next.state === 'unknown') return next
      const key = keyOf(userId, connector)
      stored.set(key, next)
      if (next.state === 'token') memory.set(key, next)
      else memory.delete(key)
      return next
    },
    machine: (connector) => machine.get(connector) ?? { state: 'missing' },
    loadMachine: async (connector) => machine.get(connector) ?? { state: 'missing' },
    async refusedMachine(_connector, accessToken) {
      kept.asked.refused.push(accessToken)
      return kept.onRefused(accessToken)
    },
    renewDue: async () => 'dead',
    forget: () => memory.clear(),
    dropAll(connector) {
      for (const key of memory.keys())
        if (key.endsWith(`,${JSON.stringify(connector)}]`)) memory.delete(key)
    },
    drop: (userId, connector) => void memory.delete(keyOf(userId, connector)),
    close: () => undefined,
  }
  return kept
}
