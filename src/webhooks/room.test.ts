/**
 * Events to deliveries to receivers, on the memory store with fake time: what is promised, and what a
 * receiver that is dead, slow, wrong or elsewhere does to the others.
 */
import { describe, expect, it } from 'vitest'
// The room loads them when it needs them; fake time does not wait for an import.
import './administration.ts'
import './deliveries.ts'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime, type TestRuntime } from '../../test/kit/runtime.ts'
import { createMemoryLock } from '../adapters/memory.ts'
import { createMemoryStore } from '../adapters/memory-store.ts'
import { type Config, parseConfig } from '../config.ts'
import { auditStep } from '../issuer/audit.ts'
import { openEgress } from '../net/configured-egress.ts'
import type { Fetch, FetchRequest, Lock, Platform, Runtime, Store } from '../ports.ts'
import { TENANT } from '../records.ts'
import { createSealing } from '../vault/sealing.ts'
import { openWebhooks, type Webhooks } from './room.ts'
import { makeSecret, secretBytes, signatureHeaders } from './signature.ts'

const A = 'http://127.0.0.1:9001/hook'
const B = 'http://127.0.0.1:9002/hook'
const SECRET = makeSecret(createTestRuntime())
const HOUR_MS = 3_600_000
/** Of the schedule: each wait, and when that try is, from the first. */
const WAITS_MS = [5_000, 300_000, 1_800_000, 2 * HOUR_MS, 5 * HOUR_MS, 10 * HOUR_MS, 10 * HOUR_MS]

interface Received {
  readonly url: string
  readonly atMs: number
  readonly body: { id: string; type: string; createdAt: string; data: Record<string, unknown> }
  readonly request: FetchRequest
}

type Answer = number | 'hang' | 'dead'

interface Ground {
  readonly runtime: TestRuntime
  readonly store: Store
  readonly lock: Lock
  readonly config: Config
  readonly received: Received[]
  answer: (url: string, received: Received) => Answer
}

function createGround(webhooks: readonly { url: string; events: readonly string[] }[]): Ground {
  const runtime = createTestRuntime()
  const config = parseConfig(
    { webhooks: webhooks.map((entry) => ({ ...entry, secret: SECRET })) },
    { environment: {} },
  )
  return {
    runtime,
    config,
    store: createMemoryStore(),
    lock: createMemoryLock(runtime),
    received: [],
    answer: () => 200,
  }
}

/** @param runtime Of this node: one whose timers never fire is one that was killed. */
async function openNode(ground: Ground, runtime: Runtime = ground.runtime) {
  const { store, lock, config } = ground
  const emit = createRecordingEmit()
  const fetch: Fetch = (request) => {
    const body = JSON.parse(request.body ?? '')
    const received = { url: request.url.href, atMs: runtime.monotonicMs(), body, request }
    ground.received.push(received)
    const answer = ground.answer(received.url, received)
    if (answer === 'dead') return Promise.reject(new Error('connection refused'))
    if (answer === 'hang') return new Promise(() => undefined)
    return Promise.resolve({ status: answer, headers: new Headers(), body: null })
  }
  const platform = { name: 'test', runtime, emit, lock, environment: {} } as unknown as Platform
  const webhooks = openWebhooks(config, platform, store)
  await webhooks.load()
  const sealing = createSealing([new Uint8Array(32).fill(7)], runtime)
  webhooks.begin({ sealing, egress: openEgress(config, { runtime, emit }, fetch) })
  return { webhooks, emit }
}

/** As a room of the house does: one commit with its audit row. */
async function happen(
  { runtime, config }: Ground,
  webhooks: Webhooks,
  event: 'client.registered' | 'user.offboarded' = 'client.registered',
): Promise<string> {
  const step = auditStep({ runtime, config }, event, { clientId: 'cli_1', detail: 'why' })
  await webhooks.store.commit([step])
  return step.verb === 'create' ? step.key.id : ''
}

async function waiting(ground: Ground): Promise<number> {
  return ground.store.count('delivery', TENANT)
}

describe('a delivery', () => {
  it('is made in the commit of the change, signed, and removed after a 2xx', async () => {
    const ground = createGround([{ url: A, events: ['client.*'] }])
    const { webhooks, emit } = await openNode(ground)
    const eventId = await happen(ground, webhooks)
    expect(await waiting(ground)).toBe(1)
    await ground.runtime.elapseMs(1_000)
    const [told] = ground.received
    expect(told?.body).toEqual({
      id: eventId,
      type: 'client.registered',
      createdAt: '2026-01-01T00:00:00.000Z',
      data: { clientId: 'cli_1', reason: 'why' },
    })
    const { headers = {}, body = '' } = told?.request ?? {}
    const key = secretBytes(SECRET) ?? new Uint8Array()
    const timestampSeconds = Number(headers['webhook-timestamp'])
    expect(headers).toMatchObject(
      signatureHeaders(ground.runtime, key, { id: eventId, timestampSeconds, body }),
    )
    expect(await waiting(ground)).toBe(0)
    expect(emit.counted('postern_webhook_deliveries_total', { outcome: 'delivered' })).toBe(1)
  })

  it('is not made when the commit is lost', async () => {
    const ground = createGround([{ url: A, events: ['*'] }])
    const { webhooks } = await openNode(ground)
    const audit = auditStep(ground, 'client.registered', { clientId: 'cli_1' })
    const key = { tenant: TENANT, id: 'absent' }
    const { won } = await webhooks.store.commit([{ verb: 'remove', kind: 'client', key }, audit])
    expect([won, await waiting(ground)]).toEqual([false, 0])
  })

  it('goes to those that ask for the event and to nobody else', async () => {
    const ground = createGround([
      { url: A, events: ['user.offboarded'] },
      { url: B, events: ['connection.*', 'client.registered'] },
    ])
    const { webhooks } = await openNode(ground)
    await happen(ground, webhooks)
    await ground.runtime.elapseMs(1_000)
    expect(ground.received.map(({ url }) => url)).toEqual([B])
  })

  it('is made of what only the log sees, behind it', async () => {
    const asked = createGround([{ url: A, events: ['provider.unreachable'] }])
    const { webhooks } = await openNode(asked)
    const { emit } = webhooks.platform
    emit.event({ type: 'provider.unreachable', provider: 'github', secret: 'never-told' })
    emit.event({ type: 'call.refused', reason: 'token_expired' })
    await asked.runtime.elapseMs(1_000)
    expect(asked.received.map(({ body }) => [body.type, body.data])).toEqual([
      ['provider.unreachable', { provider: 'github' }],
    ])
  })
})

describe('more than there is room for', () => {
  it('goes to every one of more webhooks than a commit has steps', async () => {
    const urls = Array.from({ length: 30 }, (_, index) => `http://127.0.0.1:${9_100 + index}/`)
    const ground = createGround(urls.map((url) => ({ url, events: ['client.*'] })))
    const { webhooks } = await openNode(ground)
    await happen(ground, webhooks)
    await ground.runtime.elapseMs(2_000)
    expect(ground.received.map(({ url }) => url).sort()).toEqual([...urls].sort())
    expect(new Set(ground.received.map(({ body }) => body.id)).size).toBe(1)
  })

  it('is dropped and counted, when the store does not take what only the log saw', async () => {
    const ground = createGround([{ url: A, events: ['breaker.opened'] }])
    const full = { ...ground.store, commit: () => Promise.reject(new Error('full')) }
    const { webhooks, emit } = await openNode({ ...ground, store: full })
    for (let index = 0; index < 7; index += 1)
      webhooks.platform.emit.event({ type: 'breaker.opened', provider: 'github' })
    await ground.runtime.elapseMs(2_000)
    expect(emit.counted('postern_events_dropped_total')).toBe(7)
    expect(ground.received).toEqual([])
  })

  it('gives back what is under way when the house closes', async () => {
    const ground = createGround([{ url: A, events: ['client.*'] }])
    ground.answer = () => 'hang'
    const { webhooks } = await openNode(ground)
    await happen(ground, webhooks)
    await ground.runtime.elapseMs(1_000)
    await webhooks.stop()
    const [row] = await ground.store.list('delivery', TENANT, undefined, { max: 2 })
    expect([row?.value.attempts, row?.value.claimedUntilMs]).toEqual([0, undefined])
    ground.answer = () => 200
    await openNode(ground)
    await ground.runtime.elapseMs(5_000)
    expect(ground.received).toHaveLength(2)
  })
})

describe('a platform without timers', () => {
  it('sends behind the request, and what is due with the cron', async () => {
    const ground = createGround([{ url: A, events: ['client.*'] }])
    ground.answer = () => 500
    const { webhooks } = await openNode(ground, { ...ground.runtime, sharesPromises: false })
    await happen(ground, webhooks)
    await ground.runtime.settle()
    expect(ground.received).toHaveLength(1)
    ground.answer = () => 200
    await webhooks.runDue()
    expect(ground.received).toHaveLength(1)
    ground.runtime.advanceMs(60_000)
    await webhooks.runDue()
    expect([ground.received.length, await waiting(ground)]).toEqual([2, 0])
  })
})

describe('a receiver that does not take it', () => {
  it('is asked again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h, then disabled', async () => {
    const ground = createGround([
      { url: A, events: ['client.*'] },
      { url: B, events: ['webhook.disabled'] },
    ])
    ground.answer = (url) => (url === A ? 500 : 200)
    const { webhooks, emit } = await openNode(ground)
    const eventId = await happen(ground, webhooks)
    await ground.runtime.elapseMs(WAITS_MS.reduce((sum, wait) => sum + wait, 0) + 3_600_000)
    const tries = ground.received.filter(({ url }) => url === A)
    const waits = tries.slice(1).map(({ atMs }, index) => atMs - (tries[index]?.atMs ?? 0))
    expect(waits).toEqual(WAITS_MS)
    expect(new Set(tries.map(({ body }) => body.id))).toEqual(new Set([eventId]))
    const [told] = ground.received.filter(({ url }) => url === B)
    const [first] = await (await webhooks.administration()).list()
    const disabled = (await (await webhooks.administration()).list()).find(({ url }) => url === A)
    expect(first).toBeDefined()
    expect(disabled).toMatchObject({ state: 'disabled', cause: 'status_500' })
    expect(told?.body).toMatchObject({
      type: 'webhook.disabled',
      data: { webhookId: disabled?.id, reason: 'status_500' },
    })
    expect(emit.events.map(({ type }) => type)).toContain('webhook.disabled')
    await happen(ground, webhooks)
    await ground.runtime.elapseMs(60_000)
    expect(ground.received.filter(({ url }) => url === A)).toHaveLength(8)
    expect(await waiting(ground)).toBe(0)
  })

  it('is active again when a test reaches it', async () => {
    const ground = createGround([{ url: A, events: ['client.*'] }])
    ground.answer = () => 404
    const { webhooks } = await openNode(ground)
    await happen(ground, webhooks)
    await ground.runtime.elapseMs(WAITS_MS.reduce((sum, wait) => sum + wait, 0) + 60_000)
    const administration = await webhooks.administration()
    const id = (await administration.list())[0]?.id ?? ''
    expect(await administration.test(id)).toEqual({
      outcome: 'failed',
      reason: 'status_404',
      status: 404,
    })
    ground.answer = () => 204
    expect(await administration.test(id)).toEqual({ outcome: 'delivered', status: 204 })
    await happen(ground, webhooks)
    await ground.runtime.elapseMs(1_000)
    expect(ground.received.at(-1)?.body.type).toBe('client.registered')
  })

  it.each<readonly [string, Answer, string]>([
    ['answers 301', 301, 'redirect'],
    ['answers 404', 404, 'status_404'],
    ['refuses the connection', 'dead', 'connect'],
    ['hangs', 'hang', 'timeout'],
  ])('has failed when it %s', async (_what, answer, reason) => {
    const ground = createGround([{ url: A, events: ['client.*'] }])
    ground.answer = () => answer
    const { webhooks } = await openNode(ground)
    const administration = await webhooks.administration()
    const id = (await administration.list())[0]?.id ?? ''
    const tested = administration.test(id)
    await ground.runtime.elapseMs(10_000)
    expect(await tested).toMatchObject({ outcome: 'failed', reason })
  })

  it('delays nobody else while it hangs', async () => {
    const ground = createGround([
      { url: A, events: ['client.*'] },
      { url: B, events: ['client.*'] },
    ])
    ground.answer = (url) => (url === A ? 'hang' : 200)
    const { webhooks } = await openNode(ground)
    for (let index = 0; index < 5; index += 1) await happen(ground, webhooks)
    await ground.runtime.elapseMs(1_000)
    expect(ground.received.filter(({ url }) => url === B)).toHaveLength(5)
    // One flight: the second one waits for the first.
    expect(ground.received.filter(({ url }) => url === A)).toHaveLength(1)
  })
})

describe('several nodes', () => {
  it('send each delivery once', async () => {
    const ground = createGround([{ url: A, events: ['client.*'] }])
    const [one, two] = [await openNode(ground), await openNode(ground)]
    for (let index = 0; index < 10; index += 1) {
      await happen(ground, one.webhooks)
      await happen(ground, two.webhooks)
    }
    await ground.runtime.elapseMs(120_000)
    const ids = ground.received.map(({ body }) => body.id)
    expect([ids.length, new Set(ids).size]).toEqual([20, 20])
  })

  it('send it again when the one that sent it was killed before it knew the answer', async () => {
    const ground = createGround([{ url: A, events: ['client.*'] }])
    ground.answer = () => 'hang'
    const first = await openNode(ground, { ...ground.runtime, after: () => () => undefined })
    const eventId = await happen(ground, first.webhooks)
    await ground.runtime.settle()
    expect(ground.received).toHaveLength(1)
    ground.answer = () => 200
    await openNode(ground)
    // Its claim and its lease are in the way until they end.
    await ground.runtime.elapseMs(15_000)
    expect(ground.received).toHaveLength(1)
    await ground.runtime.elapseMs(120_000)
    expect(ground.received.map(({ body }) => body.id)).toEqual([eventId, eventId])
    expect(await waiting(ground)).toBe(0)
  })
})
