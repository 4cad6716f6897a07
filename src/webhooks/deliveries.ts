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
  return deps.runtime.sharesPromises ? new Queue(deps) : createUnqueued(deps)
}

function tellFailure({ emit }: DeliveriesDeps): void {
  emit.event({ type: 'server.failed', reason: 'webhooks' })
}

/** Where a promise belongs to its request nobody waits for another request's flight, and nobody stops. */
function createUnqueued(deps: DeliveriesDeps): Deliveries {
  const { runtime, endpoints } = deps
  const flight = createFlight(deps, undefined)
  const fly = (id: string): Promise<Next> =>
    flight(id).catch((): Next => {
      tellFailure(deps)
      return undefined
    })
  return {
    poke: (webhookIds) => runtime.waitUntil(Promise.all(webhookIds.map(fly))),
    async run() {
      await endpoints.load().catch(() => undefined)
      for (const { id } of endpoints.list())
        for (let next: Next = 0; next === 0; ) next = await fly(id)
    },
    start: () => undefined,
    stop: async () => undefined,
  }
}

class Queue implements Deliveries {
  readonly #deps: DeliveriesDeps
  readonly #stopping = new AbortController()
  readonly #flight: (id: string) => Promise<Next>
  readonly #waiting = new Set<string>()
  readonly #flying = new Map<string, Promise<void>>()
  readonly #timers = new Map<string, () => void>()
  #isStarted = false
  #cancelRound = (): void => undefined

  constructor(deps: DeliveriesDeps) {
    this.#deps = deps
    this.#flight = createFlight(deps, this.#stopping.signal)
  }

  poke(webhookIds: readonly string[]): void {
    if (!this.#isStarted) return
    for (const id of webhookIds) this.#waiting.add(id)
    this.#pump()
  }

  async run(): Promise<void> {
    await this.#round()
    await this.#settle()
  }

  start(): void {
    if (this.#isStarted) return
    this.#isStarted = true
    this.#arm()
    this.#deps.runtime.waitUntil(this.#round())
  }

  async stop(): Promise<void> {
    this.#isStarted = false
    this.#stopping.abort()
    this.#waiting.clear()
    this.#cancelRound()
    for (const cancel of this.#timers.values()) cancel()
    this.#timers.clear()
    await this.#settle()
  }

  #pump(): void {
    for (const id of this.#waiting) {
      if (this.#flying.size >= FLIGHTS_MAX) return
      if (this.#flying.has(id)) continue
      this.#waiting.delete(id)
      const under = this.#fly(id)
      this.#flying.set(id, under)
      this.#deps.runtime.waitUntil(under)
    }
  }

  async #fly(id: string): Promise<void> {
    let next: Next
    try {
      next = await this.#flight(id)
    } catch {
      tellFailure(this.#deps)
      next = DELIVERIES_ROUND_MS
    }
    this.#flying.delete(id)
    if (next === 0) this.#waiting.add(id)
    else if (next !== undefined && this.#isStarted) this.#wakeAfter(id, next)
    if (this.#isStarted) this.#pump()
  }

  #wakeAfter(id: string, waitMs: number): void {
    this.#timers.get(id)?.()
    const cancel = this.#deps.runtime.after(waitMs, () => {
      this.#timers.delete(id)
      this.#waiting.add(id)
      this.#pump()
    })
    this.#timers.set(id, cancel)
  }

  async #settle(): Promise<void> {
    while (this.#flying.size > 0) await Promise.all(this.#flying.values())
  }

  async #round(): Promise<void> {
    const { endpoints } = this.#deps
    try {
      await endpoints.load()
    } catch {
      tellFailure(this.#deps)
    }
    for (const { id } of endpoints.list()) this.#waiting.add(id)
    this.#pump()
  }

  #arm(): void {
    const { runtime } = this.#deps
    const share = 1 + ROUND_JITTER_SHARE * (2 * runtime.random() - 1)
    this.#cancelRound = runtime.after(Math.round(DELIVERIES_ROUND_MS * share), () => {
      runtime.waitUntil(this.#round())
      if (this.#isStarted) this.#arm()
    })
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
