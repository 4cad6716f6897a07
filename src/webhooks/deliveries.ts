/**
 * Sends what the outbox has written: one flight per endpoint, at most FLIGHTS_MAX at once, so that a slow
 * receiver delays nobody else. A delivery is claimed by compare-and-set before it goes out, and removed
 * only after a 2xx: told at least once, by one node at a time, in no promised order.
 *
 * Seven retries after the first try; then the endpoint is disabled, and that is an event too.
 */
import type { Egress } from '../net/egress.ts'
import type { Emit, Lock, Runtime, Step, Store, Versioned } from '../ports.ts'
import { TENANT } from '../records.ts'
import type { Sealing } from '../vault/sealing.ts'
import { createAfterwards } from './afterwards.ts'
import type { Endpoint, Endpoints } from './endpoints.ts'
import { createSender } from './sender.ts'

export interface DeliveriesDeps {
  readonly store: Store
  readonly lock: Lock
  readonly runtime: Runtime
  readonly emit: Emit
  readonly egress: Egress
  readonly sealing: Sealing
  readonly endpoints: Endpoints
  /** The audit row of an endpoint that is disabled, in the commit that does it. */
  disabledAudit(webhookId: string, reason: string): Step
}

export interface Deliveries {
  /** There is something for these. */
  poke(webhookIds: readonly string[]): void
  /** Everything that is due now; resolves when it was tried. Never rejects. */
  run(): Promise<void>
  start(): void
  /** Ends the rounds; what is under way is given back, and sent by who comes next. */
  stop(): Promise<void>
}

export type DeliveryRow = Versioned<'delivery'>

export const DELIVERIES_ROUND_MS = 30_000
const ROUND_JITTER_SHARE = 0.2
const FLIGHTS_MAX = 16
/** An endpoint gives its place to the next one after as many. */
const FLIGHT_DELIVERIES_MAX = 20
const LEASE_MS = 60_000
const LOCK_DEADLINE_MS = 300
/** Longer than one try may take. */
export const CLAIM_MS = 20_000
/** How far ahead rows are looked at, to know when the next is due. */
const PAGE_ROWS = FLIGHT_DELIVERIES_MAX

/** When an endpoint is to be looked at again: a wait, or nothing is left. */
type Next = number | undefined

export function createDeliveries(deps: DeliveriesDeps): Deliveries {
  const { runtime, emit, endpoints } = deps
  // Where a promise belongs to its request a signal does, too, and such a house is never stopped.
  const stopping = runtime.sharesPromises ? new AbortController() : undefined
  const flight = createFlight(deps, stopping?.signal)
  const waiting = new Set<string>()
  const flying = new Map<string, Promise<void>>()
  const timers = new Map<string, () => void>()
  let started = false
  let cancelRound = (): void => undefined

  const wakeAfter = (id: string, waitMs: number): void => {
    timers.get(id)?.()
    timers.set(
      id,
      runtime.after(waitMs, () => {
        timers.delete(id)
        waiting.add(id)
        pump()
      }),
    )
  }
  const failed = (): undefined => {
    emit.event({ type: 'server.failed', reason: 'webhooks' })
  }
  const fly = async (id: string): Promise<void> => {
    let next: Next
    try {
      next = await flight(id)
    } catch {
      emit.event({ type: 'server.failed', reason: 'webhooks' })
      next = DELIVERIES_ROUND_MS
    }
    flying.delete(id)
    if (next === 0) waiting.add(id)
    else if (next !== undefined && started) wakeAfter(id, next)
    if (started) pump()
  }
  const pump = (): void => {
    for (const id of waiting) {
      if (flying.size >= FLIGHTS_MAX) return
      if (flying.has(id)) continue
      waiting.delete(id)
      const under = fly(id)
      flying.set(id, under)
      runtime.waitUntil(under)
    }
  }
  const settle = async (): Promise<void> => {
    while (flying.size > 0) await Promise.all(flying.values())
  }
  const runAlone = async (): Promise<void> => {
    // Where a promise belongs to its request, nobody waits for another request's flight.
    for (const { id } of endpoints.list()) {
      for (let next: Next = 0; next === 0; ) next = await flight(id).catch(failed)
    }
  }
  const round = async (): Promise<void> => {
    try {
      await endpoints.load()
    } catch {
      emit.event({ type: 'server.failed', reason: 'webhooks' })
    }
    for (const { id } of endpoints.list()) waiting.add(id)
    pump()
  }
  const arm = (): void => {
    const share = 1 + ROUND_JITTER_SHARE * (2 * runtime.random() - 1)
    cancelRound = runtime.after(Math.round(DELIVERIES_ROUND_MS * share), () => {
      runtime.waitUntil(round())
      if (started) arm()
    })
  }
  return {
    poke(webhookIds) {
      if (!runtime.sharesPromises) {
        runtime.waitUntil(Promise.all(webhookIds.map((id) => flight(id).catch(failed))))
        return
      }
      if (!started) return
      for (const id of webhookIds) waiting.add(id)
      pump()
    },
    async run() {
      if (!runtime.sharesPromises) {
        await endpoints.load().catch(() => undefined)
        return runAlone()
      }
      await round()
      await settle()
    },
    start() {
      if (started) return
      started = true
      arm()
      runtime.waitUntil(round())
    },
    async stop() {
      started = false
      stopping?.abort()
      waiting.clear()
      cancelRound()
      for (const cancel of timers.values()) cancel()
      timers.clear()
      await settle()
    },
  }
}

/** One endpoint's turn: what is due, in order, until one fails or it gives its place to others. */
function createFlight(
  deps: DeliveriesDeps,
  stopped: AbortSignal | undefined,
): (id: string) => Promise<Next> {
  const { store, lock, runtime, endpoints } = deps
  const send = createSender({ ...deps, ...(stopped === undefined ? {} : { stopped }) })
  const after = createAfterwards(deps)
  const turn = async (endpoint: Endpoint): Promise<Next> => {
    const index = { name: 'name', value: endpoint.id }
    const rows = await store.list('delivery', TENANT, index, { max: PAGE_ROWS })
    let sentAll = rows.length === PAGE_ROWS
    let soonestMs: Next = rows.length < PAGE_ROWS ? undefined : DELIVERIES_ROUND_MS
    for (const row of rows) {
      const waitMs = waitOf(row, runtime.nowMs())
      if (waitMs > 0) {
        soonestMs = Math.min(soonestMs ?? waitMs, waitMs)
        sentAll = false
        continue
      }
      const claimed = await claim(store, runtime, row)
      // Another node was faster.
      if (claimed === undefined) continue
      const sent = await send(endpoint, claimed.value)
      if (sent.outcome === 'delivered') {
        await after.delivered(claimed)
        continue
      }
      if (sent.outcome === 'held') {
        await after.released(claimed)
        return sent.waitMs
      }
      await after.failed(endpoint, claimed, sent.reason)
      // Others may be due, each by its own time; first the other endpoints have their turn.
      return 0
    }
    return sentAll ? 0 : soonestMs
  }
  return async (id) => {
    const known = endpoints.find(id)
    const index = { name: 'name', value: id }
    const [first] = await store.list('delivery', TENANT, index, { max: 1 })
    if (first === undefined) return undefined
    const dueInMs = first.value.dueAtMs - runtime.nowMs()
    if (dueInMs > 0 && known?.state === 'active') return dueInMs
    const taken = await lock.acquire(`webhook:${id}`, LEASE_MS, LOCK_DEADLINE_MS)
    if (taken.state === 'held') return taken.retryAfterMs ?? CLAIM_MS
    try {
      const endpoint = await endpoints.refresh(id)
      if (endpoint === undefined || endpoint.state === 'disabled')
        return (await after.dropAll(id)) ? 0 : undefined
      return await turn(endpoint)
    } finally {
      if (taken.state === 'acquired') await taken.lease.release().catch(() => undefined)
    }
  }
}

/** 0: now. A claim that its node did not finish holds until it ends. */
function waitOf({ value }: DeliveryRow, nowMs: number): number {
  return Math.max(0, value.dueAtMs - nowMs, (value.claimedUntilMs ?? 0) - nowMs)
}

async function claim(
  store: Store,
  runtime: Runtime,
  row: DeliveryRow,
): Promise<DeliveryRow | undefined> {
  const claimedUntilMs = Math.trunc(runtime.nowMs()) + CLAIM_MS
  const value = { ...row.value, claimedUntilMs }
  const put = await store.put('delivery', row.key, row.version, value)
  return put.won ? { ...row, version: put.version, value } : undefined
}
