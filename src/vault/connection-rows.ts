/**
 * How the row of a connection and the vault record with its tokens belong together: one connection per
 * person and connector, and both end in one commit. Pure: keys and steps, no store.
 */
import type { Key, Runtime, Step, Versioned } from '../ports.ts'
import { TENANT, type Values } from '../records.ts'
import { ENDED_KEPT_MS } from './vault.ts'

const PREFIX = 'connector:'
/** User ids of an embedding product's own people: they have no row of their own here. */
export const APP_USER_PREFIX = 'app:'

/** Tokens wait so long for the word of the product whose person brought them. */
export const CONFIRMATION_TTL_MS = 300_000
/** Their row outlives it: a process that starts later still finds whose tokens to give back. */
export const WAITING_KEPT_MS = 86_400_000

/** What a vault record of a connection says as its provider. */
export function providerOfConnector(connector: string): string {
  return PREFIX + connector
}

/** Of a survey: accounts at every connector. No connector has this name. */
export const EVERY_CONNECTION = providerOfConnector('*')

/** The connector of a vault record; `undefined` for one of a sign-in. */
export function connectorOf(provider: string): string | undefined {
  return provider.startsWith(PREFIX) ? provider.slice(PREFIX.length) : undefined
}

export function connectionKey(
  runtime: Pick<Runtime, 'sha256'>,
  userId: string,
  connector: string,
): Key {
  return { tenant: TENANT, id: runtime.sha256(JSON.stringify(['connection', userId, connector])) }
}

/** Loses its commit when the connection was written meanwhile. */
export function endConnectionStep(
  row: Versioned<'connection'>,
  cause: string,
  nowMs: number,
): Step {
  const endedAtMs = Math.trunc(nowMs)
  const value: Values['connection'] = {
    ...row.value,
    state: 'ended',
    cause,
    endedAtMs,
    expiresAtMs: endedAtMs + ENDED_KEPT_MS,
  }
  return { verb: 'put', kind: 'connection', key: row.key, ifVersion: row.version, value }
}
