/**
 * What happened, read from the steps of the commit that makes it so: audit rows and rows of connections.
 * So whoever changes something durable tells it, and nobody has to remember to (I12).
 */
import type { PosternEvent, Step } from '../ports.ts'
import { COMMITTED_EVENTS, type WebhookEventType } from './event-names.ts'

export interface Happening {
  readonly type: WebhookEventType
  readonly data: Readonly<Record<string, string | number | boolean>>
  /** Of the audit row, which then has the same; else a new one. */
  readonly eventId?: string
}

const COMMITTED: ReadonlySet<string> = new Set(COMMITTED_EVENTS)
/** Told by the row of the connection itself, which says more. */
const TOLD_BY_ROW: ReadonlySet<string> = new Set(['connection.active', 'connection.ended'])
/** One mark for many is `grant.ended` to those who are told. */
const RENAMED: Readonly<Record<string, WebhookEventType>> = { 'grants.ended': 'grant.ended' }
/** Nothing else of an event leaves the house: never a token, secret, URL or name of a person. */
const TOLD_MEMBERS = [
  'userId',
  'clientId',
  'connector',
  'connectionId',
  'grantId',
  'app',
  'provider',
  'flowId',
  'requestId',
  'reason',
  'scope',
  'status',
  'count',
  'webhookId',
] as const
const TEXT_MAX_CHARS = 500

export function toldMembers(
  event: Readonly<Record<string, string | number | boolean | undefined>>,
): Happening['data'] {
  const data: Record<string, string | number | boolean> = {}
  for (const name of TOLD_MEMBERS) {
    const value = event[name]
    if (value === undefined || value === '') continue
    data[name] = typeof value === 'string' ? value.slice(0, TEXT_MAX_CHARS) : value
  }
  return data
}

/** @param grantId Of the one grant that the commit ends. */
export function happeningsOf(steps: readonly Step[], grantId?: string): readonly Happening[] {
  const happened: Happening[] = []
  for (const step of steps) {
    const one = ofStep(step, grantId)
    if (one !== undefined) happened.push(one)
  }
  return happened
}

function ofStep(step: Step, grantId: string | undefined): Happening | undefined {
  if (step.verb !== 'create' && step.verb !== 'put') return undefined
  if (step.kind === 'connection') {
    const { state, userId, connector, connectionId, cause } = step.value
    const type = state === 'active' ? 'connection.active' : 'connection.ended'
    return { type, data: toldMembers({ userId, connector, connectionId, reason: cause }) }
  }
  if (step.kind !== 'audit' || step.verb !== 'create') return undefined
  const { event, detail, userId, clientId, connector, webhookId } = step.value
  const type = RENAMED[event] ?? event
  if (!isCommitted(type) || TOLD_BY_ROW.has(type)) return undefined
  const ofGrant = event === 'grant.ended' && grantId !== undefined ? { grantId } : {}
  const data = toldMembers({ userId, clientId, connector, webhookId, reason: detail, ...ofGrant })
  return { type, data, eventId: step.key.id }
}

function isCommitted(type: string): type is WebhookEventType {
  return COMMITTED.has(type)
}

/** An event that only `Emit` has seen. */
export function happeningOf(event: PosternEvent, type: WebhookEventType): Happening {
  return { type, data: toldMembers(event) }
}
