/**
 * Webhooks of a served house, to a receiver on a socket: what is sent, signed and never told; what a
 * receiver that is slow, dead or wrong costs; what a restart leaves.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { describe, expect, it, onTestFinished } from 'vitest'
import { verifyWebhook } from '../../src/index.ts'
import { TENANT } from '../../src/records.ts'
import { openApiHouse } from '../kit/api-house.ts'
import { createCanaries, watchCanaries } from '../kit/canaries.ts'
import { openPlane } from '../kit/plane.ts'
import { createTestRuntime } from '../kit/runtime.ts'

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

interface Got {
  readonly headers: Record<string, string>
  readonly text: string
  readonly event: { id: string; type: string; data: Record<string, unknown> }
}

async function startReceiver() {
  const got: Got[] = []
  const waiting = new Map<string, () => void>()
  const receiver = {
    ...{ status: 204, hangs: false, got, url: '' },
    types: () => got.map(typeOf),
    /** Resolves when it was told of such an event. */
    told: (type: string) =>
      new Promise<void>((resolve) => {
        if (got.some((one) => typeOf(one) === type)) resolve()
        else waiting.set(type, resolve)
      }),
  }
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (bytes: Buffer) => {
      text += bytes.toString()
    })
    request.on('end', () => {
      const headers = request.headers as Record<string, string>
      got.push({ headers, text, event: JSON.parse(text) as Got['event'] })
      waiting.get(JSON.parse(text).type)?.()
      if (receiver.hangs) return
      response.writeHead(receiver.status, { location: receiver.url }).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
  return receiver
}

function typeOf({ event }: Got): string {
  return event.type
}

const hookOf = (url: string, events = ['*']) => ({ url, events, secret: SECRET })

describe('webhooks of a served house', { timeout: 60_000 }, () => {
  it('V1: tell a whole sign-in, signed, and never a token, code or secret of it', async () => {
    const receiver = await startReceiver()
    const plane = await openPlane({
      ...{ provider: 'github', clock: 'fake' },
      config: { webhooks: [hookOf(receiver.url)] },
    })
    const canaries = watchCanaries(Number(new URL(plane.issuer).port), plane.provider.port)
    onTestFinished(() => canaries.close())
    const ada = await plane.signIn()
    await plane.elapse(5_000)
    expect(receiver.types()).toEqual(
      expect.arrayContaining(['client.registered', 'signin.completed', 'consent.given']),
    )
    const verifier = new Webhook(SECRET)
    for (const { headers, text } of receiver.got) {
      // Its own tolerance is by the machine's clock, which the fake one has left a few seconds behind.
      expect(verifier.verify(text, headers)).toMatchObject({ id: headers['webhook-id'] })
    }
    const [first] = receiver.got
    const request = new Request(receiver.url, {
      ...{ method: 'POST', headers: first?.headers ?? {}, body: first?.text ?? '' },
    })
    expect(await verifyWebhook(request, SECRET)).toMatchObject({ id: first?.event.id })
    canaries.add(ada.accessToken, ada.refreshToken, SECRET)
    expect(Object.values(canaries.kinds()).length).toBeGreaterThan(1)
    const told = receiver.got.map(({ text }) => text).join('\n')
    expect(canaries.find(Buffer.from(told))).toEqual([])
    expect(canaries.find(Buffer.from(JSON.stringify(plane.events)))).toEqual([])
    expect(told).not.toContain('@')
  })

  it('survive a restart, and are sent once a receiver that was dead is back', async () => {
    const receiver = await startReceiver()
    receiver.status = 503
    const plane = await openPlane({
      ...{ provider: 'github', clock: 'fake' },
      config: { webhooks: [hookOf(receiver.url, ['signin.completed'])] },
    })
    await plane.signIn()
    await plane.elapse(2_000)
    expect(receiver.types()).toEqual(['signin.completed'])
    await plane.stop()
    receiver.status = 204
    await plane.start()
    await plane.elapse(120_000)
    expect(receiver.types()).toEqual(['signin.completed', 'signin.completed'])
    expect(new Set(receiver.got.map(({ event }) => event.id)).size).toBe(1)
    expect(await plane.metric('postern_webhook_deliveries_total', { outcome: 'delivered' })).toBe(1)
    await plane.elapse(400_000, 10_000)
    expect(receiver.got).toHaveLength(2)
  })

  it('a receiver that hangs keeps no request and no other receiver waiting', async () => {
    const [slow, fast] = [await startReceiver(), await startReceiver()]
    slow.hangs = true
    const plane = await openPlane({
      ...{ provider: 'github', clock: 'real' },
      config: { webhooks: [hookOf(slow.url), hookOf(fast.url)] },
    })
    const ada = await plane.signIn()
    expect((await plane.call(ada)).status).toBe(200)
    await fast.told('signin.completed')
    expect(slow.got).toHaveLength(1)
  })

  it('S1: follow no redirect', async () => {
    const receiver = await startReceiver()
    receiver.status = 307
    const plane = await openPlane({
      ...{ provider: 'github', clock: 'fake' },
      config: { webhooks: [hookOf(receiver.url, ['signin.completed'])] },
    })
    await plane.signIn()
    await plane.elapse(2_000)
    expect(receiver.got).toHaveLength(1)
    expect(await plane.metric('postern_webhook_deliveries_total', { outcome: 'failed' })).toBe(1)
  })
})

describe('webhooks of the API', { timeout: 60_000 }, () => {
  it('S1: reach public https only, whatever the file approves for itself', async () => {
    const receiver = await startReceiver()
    const house = await openApiHouse({ config: { webhooks: [hookOf(receiver.url)] } })
    for (const url of [
      receiver.url,
      'http://app.example/hook',
      'https://10.0.0.1/hook',
      'https://[::1]/',
    ]) {
      const reply = await house.ask('POST', '/webhooks', { body: { url, events: ['*'] } })
      expect([url, reply.status]).toEqual([url, 422])
    }
    const events = ['connect.*', 'call.refused', '']
    for (const event of events) {
      const body = { url: 'https://app.example/hook', events: [event] }
      expect((await house.ask('POST', '/webhooks', { body })).status).toBe(422)
    }
  })

  it('V1: show a secret once and keep it sealed; those of the file are tested and not removed', async () => {
    const receiver = await startReceiver()
    const house = await openApiHouse({ config: { webhooks: [hookOf(receiver.url)] } })
    const body = { url: 'https://app.example/hook', events: ['connection.*'] }
    const made = await house.ask('POST', '/webhooks', { body })
    const { id, secret } = made.body as { id: string; secret: string }
    expect([made.status, secret]).toEqual([201, expect.stringMatching(/^whsec_/)])
    const listed = await house.ask('GET', '/webhooks')
    const { data } = listed.body as { data: { id: string; source: string }[] }
    const inFile = data.find(({ source }) => source === 'file')?.id ?? ''
    expect(data).toHaveLength(2)
    const canaries = createCanaries()
    canaries.add(secret, SECRET)
    expect(canaries.find(Buffer.from(listed.text))).toEqual([])
    const rows = await house.store.list('webhook', TENANT, undefined, { max: 10 })
    expect(canaries.find(Buffer.from(JSON.stringify([rows, house.platform.events])))).toEqual([])
    const tested = await house.ask('POST', `/webhooks/${inFile}/test`)
    expect(tested.body).toEqual({ delivered: true, status: 204 })
    expect(receiver.types()).toContain('webhook.test')
    const kept = await house.ask('DELETE', `/webhooks/${inFile}`)
    expect(kept.body).toMatchObject({ status: 409, code: 'ERR_WEBHOOK_IN_FILE' })
    expect((await house.ask('DELETE', `/webhooks/${id}`)).status).toBe(204)
    expect((await house.ask('GET', `/webhooks/${id}`)).status).toBe(404)
    const { body: audit } = await house.ask('GET', '/audit?event=webhook.*')
    expect(audit).toMatchObject({
      data: [
        { event: 'webhook.created', actor: 'admin', webhookId: id },
        { event: 'webhook.removed', actor: 'admin', webhookId: id },
      ],
    })
  })

  it('tell connections as they are made and end, with who they are of', async () => {
    const receiver = await startReceiver()
    const runtime = createTestRuntime({ startMs: Date.now() })
    const house = await openApiHouse({
      ...{ runtime, config: { webhooks: [hookOf(receiver.url, ['connection.*'])] } },
    })
    await house.link('ada', 3_600_000)
    const { body } = await house.ask('GET', '/connections')
    const [{ id }] = (body as { data: [{ id: string }] }).data
    expect((await house.ask('DELETE', `/connections/${id}`)).status).toBe(202)
    for (let tries = 0; tries < 50 && receiver.got.length === 0; tries += 1) {
      runtime.advanceMs(1_000)
      await house.platform.settle(() => false)
    }
    const ended = receiver.got.find(({ event }) => event.type === 'connection.ended')
    expect(ended?.event.data).toMatchObject({
      ...{ connectionId: id, connector: 'notes', userId: 'app:default:ada' },
    })
  })
})
