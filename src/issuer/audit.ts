/**
 * Audit rows: what was changed, for whom, by which client, kept `auditTtlDays`. A step, so that it is
 * written in the commit of the change itself or not at all (I12). Never a token, code or secret.
 */
import type { EventType, Step } from '../ports.ts'
import type { Values } from '../records.ts'
import type { IssuerHouse } from './house.ts'
import { createTimedId, key } from './ids.ts'

const DAY_MS = 86_400_000

/**
 * Names of the log (api.md section 7), and those that the log tells otherwise: `grants.ended` is one mark
 * for many, told as `grant.ended`; `token.exchanged` and `token.handed_out` are told as `token.issued`
 * with their reason; `signin.ended` is an end with nothing to revoke at the provider; what an operator
 * changes, by the API or a command, is told as `api.called` or not at all.
 */
export type AuditEvent =
  | EventType
  | 'grants.ended'
  | 'signin.ended'
  | 'token.exchanged'
  | 'token.handed_out'
  | 'connector.changed'
  | 'connector.removed'
  | 'api_key.created'
  | 'api_key.ended'
  | 'webhook.created'
  | 'webhook.removed'
  | 'webhook.enabled'
  | 'cache.forgotten'

export interface AuditFacts {
  /** Who did it, where that is not the person themselves: id of an API key. */
  readonly actor?: string
  readonly userId?: string
  readonly clientId?: string
  readonly connector?: string
  readonly webhookId?: string
  readonly detail?: string
}

/**
 * @param who Whom it is about; `detail` is the reason or the flow, in words that name nobody.
 */
export function auditStep(
  house: Pick<IssuerHouse, 'runtime' | 'config'>,
  event: AuditEvent,
  who: AuditFacts,
): Step {
  const nowMs = house.runtime.nowMs()
  const value: Values['audit'] = {
    event,
    atMs: nowMs,
    ...(who.userId === undefined ? {} : { userId: who.userId }),
    ...(who.clientId === undefined ? {} : { clientId: who.clientId }),
    ...(who.actor === undefined ? {} : { actor: who.actor }),
    ...(who.connector === undefined ? {} : { connector: who.connector }),
    ...(who.webhookId === undefined ? {} : { webhookId: who.webhookId }),
    detail: who.detail ?? '',
    expiresAtMs: nowMs + house.config.limits.auditTtlDays * DAY_MS,
  }
  return {
    verb: 'create',
    kind: 'audit',
    key: key(createTimedId(house.runtime, 'evt', nowMs)),
    value,
  }
}
