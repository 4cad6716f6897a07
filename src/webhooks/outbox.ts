/**
 * Turns what happens into deliveries: in the commit that makes it happen where there is one, else queued
 * behind. Nobody waits for a receiver here, and nothing goes out: that is `deliveries.ts`.
 *
 * Promises: an event of COMMITTED_EVENTS has its deliveries when the commit has happened, and none when
 * it has not. The others may be lost with the process, or dropped and counted when the queue is full.
 */
import { COMMIT_STEPS_MAX } from '../adapters/sql.ts'
import { createId, dueKey } from '../issuer/ids.ts'
import type { Emit, GrantStore, PosternEvent, Runtime, Step, Store } from '../ports.ts'
import { TENANT } from '../records.ts'
import { type Happening, happeningOf, happeningsOf } from './committed-events.ts'
import type { Endpoints } from './endpoints.ts'
import { isQueuedEvent } from './event-names.ts'

export interface Outbox {
  /** What the house writes with. */
  readonly store: Store
  /** What the house reports with. */
  readonly emit: Emit
  /** Resolves when what is queued has been written. */
  flushed(): Promise<void>
}

export interface OutboxDeps {
  readonly store: Store
  readonly emit: Emit
  readonly runtime: Runtime
  readonly endpoints: Pick<Endpoints, 'subscribed'>
  /** There are deliveries for these. */
  poke(webhookIds: readonly string[]): void
}

/** Deliveries that wait in all: a receiver that is dead for a day must not fill the disk. */
const DELIVERIES_MAX = 100_000
const COUNTED_FOR_MS = 30_000
const QUEUE_MAX = 5_000
/** The schedule of retries takes 27.6 h; the rest is slack for a house that stood still. */
const DELIVERY_LIFE_MS = 3 * 86_400_000

interface Queued {
  readonly webhookId: string
  readonly step: Step
}

export function createOutbox(deps: OutboxDeps): Outbox {
  const { store, emit, runtime, endpoints } = deps
  const queue: Queued[] = []
  let flushing: Promise<void> | undefined
  const isFull = createFullness(deps)

  const drop = (by: number): void => {
    if (by > 0) emit.count('postern_events_dropped_total', undefined, by)
  }
  const deliveriesOf = (happened: readonly Happening[]): Queued[] => {
    const made: Queued[] = []
    for (const one of happened) {
      const ids = endpoints.subscribed(one.type)
      if (ids.length === 0) continue
      const eventId = one.eventId ?? createId(runtime, 'evt')
      for (const webhookId of ids)
        made.push({ webhookId, step: deliveryStep(runtime, webhookId, { ...one, eventId }) })
    }
    if (made.length === 0 || !isFull()) return made
    drop(made.length)
    return []
  }
  const enqueue = (made: readonly Queued[]): void => {
    const room = Math.max(0, QUEUE_MAX - queue.length)
    queue.push(...made.slice(0, room))
    drop(made.length - room)
    if (queue.length > 0) flush()
  }
  const flush = (): void => {
    if (flushing !== undefined && runtime.sharesPromises) return
    flushing = writeQueue(store, queue, deps.poke, drop).finally(() => {
      flushing = undefined
    })
    runtime.waitUntil(flushing)
  }
  /** The steps that a commit takes along; what does not fit into it is queued behind it. */
  const along = (steps: readonly Step[], room: number, grantId?: string) => {
    const made = deliveriesOf(happeningsOf(steps, grantId))
    const taken = made.slice(0, Math.max(0, room))
    const rest = made.slice(taken.length)
    return {
      steps: taken.map(({ step }) => step),
      happened(): void {
        if (taken.length > 0) deps.poke([...new Set(taken.map(({ webhookId }) => webhookId))])
        if (rest.length > 0) enqueue(rest)
      },
    }
  }
  return {
    store: tellingStore(store, along),
    emit: {
      ...emit,
      event(event: PosternEvent) {
        emit.event(event)
        if (!isQueuedEvent(event.type)) return
        const made = deliveriesOf([happeningOf(event, event.type)])
        if (made.length > 0) enqueue(made)
      },
    },
    flushed: async () => flushing,
  }
}

function deliveryStep(
  runtime: Runtime,
  webhookId: string,
  { type, data, eventId }: Happening & { readonly eventId: string },
): Step {
  const nowMs = Math.trunc(runtime.nowMs())
  return {
    verb: 'create',
    kind: 'delivery',
    key: dueKey(runtime, 'dlv', nowMs),
    value: {
      webhookId,
      eventId,
      type,
      data,
      attempts: 0,
      createdAtMs: nowMs,
      dueAtMs: nowMs,
      expiresAtMs: nowMs + DELIVERY_LIFE_MS,
    },
  }
}

/** Answers from the last count; counts again behind. */
function createFullness({ store, runtime, emit }: OutboxDeps): () => boolean {
  let countedAtMs = Number.NEGATIVE_INFINITY
  let isFull = false
  return () => {
    const nowMs = runtime.monotonicMs()
    if (nowMs - countedAtMs >= COUNTED_FOR_MS) {
      countedAtMs = nowMs
      runtime.waitUntil(
        store.count('delivery', TENANT).then(
          (count) => {
            isFull = count >= DELIVERIES_MAX
          },
          () => emit.event({ type: 'server.failed', reason: 'webhook_count' }),
        ),
      )
    }
    return isFull
  }
}

async function writeQueue(
  store: Store,
  queue: Queued[],
  poke: OutboxDeps['poke'],
  drop: (by: number) => void,
): Promise<void> {
  while (queue.length > 0) {
    const batch = queue.splice(0, COMMIT_STEPS_MAX)
    try {
      await store.commit(batch.map(({ step }) => step))
      poke([...new Set(batch.map(({ webhookId }) => webhookId))])
    } catch {
      // The store does not take writes now: what only this process knew is lost, and said so.
      drop(batch.length)
    }
  }
}

type Along = (
  steps: readonly Step[],
  room: number,
  grantId?: string,
) => { readonly steps: readonly Step[]; happened(): void }

/** Steps that the engine writes besides: the grant, its mark, the clock. */
const GRANT_STEPS = 4

function tellingStore(store: Store, along: Along): Store {
  return {
    get: (kind, key) => store.get(kind, key),
    create: (kind, key, value) => store.create(kind, key, value),
    put: (kind, key, ifVersion, value) => store.put(kind, key, ifVersion, value),
    consume: (kind, key, attempt, nowMs) => store.consume(kind, key, attempt, nowMs),
    remove: (kind, key) => store.remove(kind, key),
    list: (kind, tenant, index, page) => store.list(kind, tenant, index, page),
    count: (kind, tenant) => store.count(kind, tenant),
    async commit(steps) {
      const more = along(steps, COMMIT_STEPS_MAX - steps.length)
      const answer = await store.commit([...steps, ...more.steps])
      if (answer.won) more.happened()
      return answer
    },
    sweep: (nowMs, max) => store.sweep(nowMs, max),
    grants: tellingGrants(store.grants, along),
    close: () => store.close(),
  }
}

function tellingGrants(grants: GrantStore, along: Along): GrantStore {
  const roomBeside = (steps: readonly Step[]) => COMMIT_STEPS_MAX - GRANT_STEPS - steps.length
  return {
    find: (key) => grants.find(key),
    list: (tenant, index, page) => grants.list(tenant, index, page),
    redeem: (...asked) => grants.redeem(...asked),
    async rotate(key, presentedDigest, candidate, at) {
      const also = at.alsoWhenReused ?? []
      const more = along(also, roomBeside(also), key.id)
      const alsoWhenReused = [...also, ...more.steps]
      const answer = await grants.rotate(key, presentedDigest, candidate, { ...at, alsoWhenReused })
      if (answer.outcome === 'reused') more.happened()
      return answer
    },
    async end(key, cause, nowMs, markExpiresAtMs, also = []) {
      const more = along(also, roomBeside(also), key.id)
      const ended = await grants.end(key, cause, nowMs, markExpiresAtMs, [...also, ...more.steps])
      if (ended) more.happened()
      return ended
    },
    async revoke(marks, also = []) {
      const marked = Array.isArray(marks) ? marks.length : 1
      const more = along(also, roomBeside(also) - marked)
      const answer = await grants.revoke(marks, [...also, ...more.steps])
      more.happened()
      return answer
    },
    revocationsSince: (sequence, max) => grants.revocationsSince(sequence, max),
  }
}
