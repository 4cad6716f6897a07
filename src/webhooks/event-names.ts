/**
 * Which events a webhook may ask for, and by which patterns. Calls and exchanges are not among them:
 * there are thousands a second, and log, metrics and `onEvent` have them.
 */
import type { EventType } from '../ports.ts'

/**
 * Written in the commit of the change itself (`committed-events.ts`): told at least once, whatever
 * crashes. All others are queued behind by the node that saw them.
 */
export const COMMITTED_EVENTS = [
  'client.ended',
  'client.registered',
  'connection.active',
  'connection.confirmed',
  'connection.ended',
  'connector.created',
  'connector.degraded',
  'connector.discovered',
  'connector.quarantined',
  'connector.recovered',
  'consent.denied',
  'consent.given',
  'grant.ended',
  'key.rotated',
  'revocation.confirmed',
  'revocation.failed',
  'revocation.requested',
  'signin.completed',
  'user.offboarded',
  'webhook.disabled',
] as const satisfies readonly EventType[]

const QUEUED_EVENTS = [
  'breaker.closed',
  'breaker.opened',
  'connection.reconnect',
  'connection.refreshed',
  'connection.refused',
  'connection.started',
  'provider.incident',
  'provider.recovered',
  'provider.unreachable',
  'signal.received',
  'signin.refused',
  'signin.started',
  'token.issued',
  'token.refused',
  'token.replayed',
] as const satisfies readonly EventType[]

export type WebhookEventType = (typeof COMMITTED_EVENTS)[number] | (typeof QUEUED_EVENTS)[number]

const QUEUED: ReadonlySet<string> = new Set(QUEUED_EVENTS)
const ALL: readonly string[] = [...COMMITTED_EVENTS, ...QUEUED_EVENTS]

/** Seen by `Emit` only, so queued behind. */
export function isQueuedEvent(type: EventType): type is WebhookEventType {
  return QUEUED.has(type)
}

/** Whether some event has this name, or a name that the pattern matches: `connection.*`, `*`. */
export function isEventPattern(pattern: string): boolean {
  return ALL.some((type) => matches(pattern, type))
}

export function matchesAny(patterns: readonly string[], type: string): boolean {
  return patterns.some((pattern) => matches(pattern, type))
}

function matches(pattern: string, type: string): boolean {
  if (pattern === '*' || pattern === type) return true
  return pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1))
}
