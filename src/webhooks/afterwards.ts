/**
 * What becomes of a delivery after a try: removed, given back, moved to its next time, or the end of its
 * endpoint. Each is one commit, so that a kill in between leaves a delivery that is sent again.
 */
import { dueKey, key } from '../issuer/ids.ts'
import type { Emit, Runtime, Step, Store } from '../ports.ts'
import { TENANT } from '../records.ts'
import type { DeliveryRow } from './deliveries.ts'
import type { Endpoint, Endpoints } from './endpoints.ts'

export interface AfterwardsDeps {
  readonly store: Store
  readonly runtime: Runtime
  readonly emit: Emit
  readonly endpoints: Pick<Endpoints, 'refresh'>
  disabledAudit(webhookId: string, reason: string): Step
}

export interface Afterwards {
  delivered(row: DeliveryRow): Promise<void>
  /** It was not asked: as before. */
  released(row: DeliveryRow): Promise<void>
  /** Later, by the schedule; after the last time its endpoint is disabled. */
  failed(endpoint: Endpoint, row: DeliveryRow, reason: string): Promise<void>
  /** Whether there are more than were dropped now. */
  dropAll(webhookId: string): Promise<boolean>
}

const SECOND_MS = 1_000
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
/** api.md section 3: waits before the second and each further try. */
export const RETRY_WAITS_MS: readonly number[] = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  10 * HOUR_MS,
]
const DROPPED_AT_ONCE = 200

export function createAfterwards(deps: AfterwardsDeps): Afterwards {
  const { store, runtime } = deps
  return {
    async delivered(row) {
      // Lost: somebody removed it meanwhile. It was told all the same.
      await store.commit([removal(row)])
    },
    async released(row) {
      const { claimedUntilMs: _, ...value } = row.value
      await store.put('delivery', row.key, row.version, value)
    },
    async failed(endpoint, row, reason) {
      const { claimedUntilMs: _, ...value } = row.value
      const waitMs = RETRY_WAITS_MS[value.attempts]
      if (waitMs === undefined) return disable(deps, endpoint, row, reason)
      const dueAtMs = Math.trunc(runtime.nowMs()) + waitMs
      const later = { ...value, attempts: value.attempts + 1, dueAtMs }
      await store.commit([
        { verb: 'put', kind: 'delivery', key: row.key, ifVersion: row.version, value },
        removal(row),
        { verb: 'create', kind: 'delivery', key: dueKey(runtime, 'dlv', dueAtMs), value: later },
      ])
    },
    async dropAll(webhookId) {
      const index = { name: 'name', value: webhookId }
      const rows = await store.list('delivery', TENANT, index, { max: DROPPED_AT_ONCE })
      for (const { key: at } of rows) await store.remove('delivery', at)
      return rows.length === DROPPED_AT_ONCE
    },
  }
}

function removal(row: DeliveryRow): Step {
  return { verb: 'remove', kind: 'delivery', key: row.key }
}

/** The row, the audit row and with it what the other endpoints are told, in one commit. */
async function disable(
  { store, runtime, emit, endpoints, disabledAudit }: AfterwardsDeps,
  { id }: Endpoint,
  row: DeliveryRow,
  reason: string,
): Promise<void> {
  const before = await store.get('webhook', key(id))
  const nowMs = Math.trunc(runtime.nowMs())
  const value = {
    createdAtMs: nowMs,
    ...before?.value,
    state: 'disabled' as const,
    cause: reason,
    disabledAtMs: nowMs,
  }
  const step: Step =
    before === undefined
      ? { verb: 'create', kind: 'webhook', key: key(id), value }
      : { verb: 'put', kind: 'webhook', key: key(id), ifVersion: before.version, value }
  const { won } = await store.commit([step, removal(row), disabledAudit(id, reason)])
  await endpoints.refresh(id)
  if (!won) return
  emit.event({ type: 'webhook.disabled', level: 'warn', tenant: TENANT, webhookId: id, reason })
}
