/**
 * Operations: a row that says what was asked, written with its audit row before the answer; the work
 * behind it. One node at a time by a claim in the row; who was killed is followed by whoever looks next.
 * Everything here may be done twice, and a revocation is done in the commit that says so.
 */
import { auditStep } from '../issuer/audit.ts'
import type { EndingHouse } from '../issuer/endings.ts'
import { createId, key } from '../issuer/ids.ts'
import { connectorThing, type Selected } from '../issuer/mass-endings.ts'
import type { Operations } from '../operations.ts'
import type { Step, Versioned } from '../ports.ts'
import { TENANT, type Values } from '../records.ts'

type Row = Versioned<'operation'>
type Asked = Pick<Values['operation'], 'type' | 'by' | 'of'>
export type WorkingHouse = Pick<EndingHouse, 'store' | 'runtime' | 'emit' | 'config'> & {
  readonly operations: Pick<Operations, 'revoke' | 'offboard' | 'pending'>
}

const LIFE_MS = 7 * 86_400_000
/** Longer than one operation takes; a node that was killed is followed after it. */
const CLAIM_MS = 60_000
const ATTEMPTS_MAX = 10
const LOOKED_MAX = 100
const CAUSE = 'revoked_by_operator'

/** @param userId Of the person that it is about, for its audit row. */
export async function startOperation(
  house: WorkingHouse,
  asked: Asked,
  actor: string,
  userId?: string,
): Promise<Pick<Row, 'key' | 'value'>> {
  const { store, runtime } = house
  const nowMs = Math.trunc(runtime.nowMs())
  const at = key(createId(runtime, 'opn'))
  const value: Values['operation'] = {
    ...asked,
    actor,
    state: 'running',
    done: 0,
    total: 1,
    attempts: 0,
    createdAtMs: nowMs,
    expiresAtMs: nowMs + LIFE_MS,
  }
  const detail = asked.type === 'offboard' ? 'offboard' : `${asked.by} ${asked.of}`
  await store.commit([
    { verb: 'create', kind: 'operation', key: at, value },
    auditStep(house, 'revocation.requested', {
      ...{ actor, detail },
      ...(userId === undefined ? {} : { userId }),
    }),
  ])
  runtime.waitUntil(work(house, { key: at, version: 1, value }))
  return { key: at, value }
}

/** Goes on with what nobody is at. Never rejects. */
export async function resumeOperations(house: WorkingHouse): Promise<void> {
  const { store, runtime, emit } = house
  const index = { name: 'purpose', value: 'running' }
  try {
    const rows = await store.list('operation', TENANT, index, { max: LOOKED_MAX })
    for (const row of rows) {
      const { claimedUntilMs = row.value.createdAtMs + CLAIM_MS } = row.value
      if (claimedUntilMs <= runtime.nowMs()) await work(house, row)
    }
  } catch {
    emit.event({ type: 'server.failed', reason: 'operations' })
  }
}

async function work(house: WorkingHouse, row: Row): Promise<void> {
  const { store, runtime, emit } = house
  const value = {
    ...row.value,
    attempts: row.value.attempts + 1,
    claimedUntilMs: Math.trunc(runtime.nowMs()) + CLAIM_MS,
  }
  const put = await store.put('operation', row.key, row.version, value)
  // Another node is at it.
  if (!put.won) return
  const claimed = { key: row.key, version: put.version, value }
  try {
    await (value.type === 'offboard' ? offboard(house, claimed) : revoke(house, claimed))
  } catch {
    emit.event({ type: 'server.failed', reason: 'operation' })
    if (value.attempts >= ATTEMPTS_MAX) await store.commit([finish(house, claimed, 'failed', {})])
  }
}

async function offboard(house: WorkingHouse, row: Row): Promise<void> {
  const { store, operations } = house
  const person = await store.get('user', key(row.value.of))
  if (person === undefined) {
    // A run that was cut off had come to the end.
    await store.commit([finish(house, row, 'done', { deleted: true })])
    return
  }
  const { pseudonym, done, pending } = await operations.offboard(person)
  const result = {
    deleted: true,
    pseudonym,
    sessions: done.sessions,
    connections: done.connections,
    approvals: done.approvals,
    auditRows: done.auditRows,
    pendingUpstream: pending.upstreamRevocations,
  }
  await store.commit([finish(house, row, 'done', result)])
}

async function revoke(house: WorkingHouse, row: Row): Promise<void> {
  const selected = selectedBy(house, row.value)
  const result = { by: row.value.by, ended: selected !== undefined }
  const done = finish(house, row, selected === undefined ? 'failed' : 'done', result)
  if (selected === undefined) await house.store.commit([done])
  else await house.operations.revoke(selected, CAUSE, [done])
}

/** `undefined`: a connector that is gone meanwhile. */
function selectedBy({ config }: WorkingHouse, { by, of }: Asked): Selected | undefined {
  switch (by) {
    case 'connector':
      return connectorThing(config.connectors, of)
    case 'user':
    case 'client':
      return { kind: by, id: of }
    case 'issuedBefore':
      return { kind: by, beforeMs: Number(of) }
    case 'tenant':
    case 'all':
      return { kind: 'tenant', id: TENANT }
  }
}

/** Loses its commit when another node has taken the row over. */
function finish(
  { runtime }: WorkingHouse,
  { key: at, version, value }: Row,
  state: 'done' | 'failed',
  result: NonNullable<Values['operation']['result']>,
): Step {
  const { claimedUntilMs: _, ...kept } = value
  const finishedAtMs = Math.trunc(runtime.nowMs())
  const done = state === 'done' ? value.total : value.done
  // A deleted person is not named by what deleted them.
  const of = value.type === 'offboard' ? '' : value.of
  const finished: Values['operation'] = { ...kept, of, state, done, result, finishedAtMs }
  return { verb: 'put', kind: 'operation', key: at, ifVersion: version, value: finished }
}
