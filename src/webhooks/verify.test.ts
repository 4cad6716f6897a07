import { Webhook } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { makeSecret, secretBytes, signatureHeaders } from './signature.ts'
import { verifyWebhook } from './verify.ts'

const runtime = createTestRuntime()
const SECRET = makeSecret(runtime)
const OTHER = makeSecret(runtime)
const BODY = JSON.stringify({
  id: 'evt_1',
  type: 'connection.active',
  createdAt: '2026-11-21T10:00:00.000Z',
  data: { userId: 'usr_1', connector: 'notes' },
})

function keyOf(secret: string): Uint8Array {
  const bytes = secretBytes(secret)
  if (bytes === undefined) throw new Error('no secret')
  return bytes
}

function signed(
  options: { id?: string; awaySeconds?: number; body?: string; secret?: string } = {},
) {
  const { id = 'evt_1', awaySeconds = 0, body = BODY, secret = SECRET } = options
  const timestampSeconds = Math.floor(Date.now() / 1000) + awaySeconds
  return signatureHeaders(runtime, keyOf(secret), { id, timestampSeconds, body })
}

function requestOf(
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array<ArrayBuffer> = BODY,
) {
  return new Request('https://app.example/hook', { method: 'POST', headers, body })
}

describe('Standard Webhooks, both ways', () => {
  it('signs what the library of the standard verifies', () => {
    expect(new Webhook(SECRET).verify(BODY, signed())).toMatchObject({ id: 'evt_1' })
    expect(() => new Webhook(OTHER).verify(BODY, signed())).toThrow('No matching signature')
  })

  it('verifies what the library of the standard signs', async () => {
    const at = new Date()
    const headers = {
      'webhook-id': 'evt_1',
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(SECRET).sign('evt_1', at, BODY),
    }
    expect(await verifyWebhook(requestOf(headers), SECRET)).toEqual({
      id: 'evt_1',
      type: 'connection.active',
      createdAt: '2026-11-21T10:00:00.000Z',
      userId: 'usr_1',
      connector: 'notes',
    })
  })
})

describe('verifyWebhook', () => {
  it('takes any of several signatures, and any of several secrets', async () => {
    const right = signed()
    const wrong = signed({ secret: OTHER })['webhook-signature'] ?? ''
    const several = `v2,aaaa ${wrong} ${right['webhook-signature']}`
    const request = requestOf({ ...right, 'webhook-signature': several })
    expect(await verifyWebhook(request, SECRET)).toMatchObject({ id: 'evt_1' })
    expect(await verifyWebhook(requestOf(signed()), [OTHER, SECRET])).toMatchObject({ id: 'evt_1' })
  })

  const refused: readonly [string, () => Request, string][] = [
    ['another secret', () => requestOf(signed({ secret: OTHER })), 'signature'],
    ['a changed body', () => requestOf(signed(), BODY.replace('usr_1', 'usr_2')), 'signature'],
    ['another id', () => requestOf({ ...signed(), 'webhook-id': 'evt_2' }), 'signature'],
    ['an id that its body does not say', () => requestOf(signed({ id: 'evt_2' })), 'body'],
    ['a time 301 s ago', () => requestOf(signed({ awaySeconds: -302 })), 'timestamp'],
    ['a time 301 s ahead', () => requestOf(signed({ awaySeconds: 302 })), 'timestamp'],
    ['no headers', () => requestOf({}), 'headers'],
    [
      'a signature of another scheme',
      () => requestOf({ ...signed(), 'webhook-signature': 'v1a,AAAA' }),
      'headers',
    ],
    ['what is no event', () => requestOf(signed({ body: '[]' }), '[]'), 'body'],
    ['what is no JSON', () => requestOf(signed({ body: '{' }), '{'), 'body'],
    ['too much', () => requestOf(signed(), `${BODY}${' '.repeat(262_144)}`), 'body'],
    ['what is no UTF-8', () => requestOf(signed(), new Uint8Array([0xff, 0xfe])), 'body'],
  ]
  it.each(refused)('refuses %s', async (_what, request, reason) => {
    await expect(verifyWebhook(request(), SECRET)).rejects.toMatchObject({
      code: 'ERR_WEBHOOK_SIGNATURE',
      reason,
    })
  })

  it('says that a secret is none, and never shows it', async () => {
    const failure = await verifyWebhook(requestOf(signed()), 'whsec_c2hvcnQ=').catch(
      (error: unknown) => error,
    )
    expect(failure).toBeInstanceOf(TypeError)
    expect(String(failure)).not.toContain('c2hvcnQ')
  })
})
