/**
 * A provider says that somebody signed out there: back-channel logout, and GitHub's webhook.
 * @see flows.md section 10, requirements REV-10 and REV-13
 */
import { createHmac } from 'node:crypto'
import type { JWTPayload } from 'jose'
import { describe, expect, it } from 'vitest'
import {
  type Node,
  PROVIDER_CLIENT,
  PROVIDER_ISSUER,
  type Remote,
  startNodes,
  WEBHOOK_SECRET,
} from '../kit/nodes.ts'

const LOGOUT = '/backchannel-logout/github'
const EVENT = { 'http://schemas.openid.net/event/backchannel-logout': {} }
let tokens = 0

function claims(node: Node, changes: JWTPayload = {}): JWTPayload {
  tokens += 1
  const iat = Math.floor(node.platform.runtime.nowMs() / 1_000)
  return {
    iss: PROVIDER_ISSUER,
    aud: PROVIDER_CLIENT,
    iat,
    exp: iat + 120,
    jti: `logout-${tokens}`,
    sub: 'ada',
    events: EVENT,
    ...changes,
  }
}

async function send(node: Node, remote: Remote, changes?: JWTPayload, header?: object) {
  const token = await remote.sign(claims(node, changes), { typ: 'logout+jwt', ...header })
  return node.post(LOGOUT, { logout_token: token })
}

describe('POST /backchannel-logout/{provider}', () => {
  it('REV-10 REV-04: ends everything of the person, here at once, elsewhere within the poll', async () => {
    const nodes = await startNodes({ nodes: 2 })
    const { first, second, remote } = nodes
    const ada = await first.signIn()
    remote.person = { subject: 'grace' }
    const grace = await first.signIn()
    expect(await second.call(ada.access_token)).toBe(200)
    const answer = await send(first, remote)
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store'])
    expect(await first.call(ada.access_token)).toBe(401)
    expect((await first.refresh(ada)).status).toBe(400)
    await nodes.elapse(2_500)
    expect(await second.call(ada.access_token)).toBe(401)
    expect(await second.call(grace.access_token)).toBe(200)
    // The browser is signed out as well: its session is gone.
    const home = await ada.visitor.get('/')
    expect(await home.text()).not.toContain('Sign out')
  })

  it('REV-10: a token with `sid` ends that session and the grants born in it, after ours is gone too', async () => {
    const nodes = await startNodes()
    const { first, remote } = nodes
    remote.person = { subject: 'ada', sid: 'session-1' }
    const one = await first.signIn()
    remote.person = { subject: 'ada', sid: 'session-2' }
    const two = await first.signIn()
    // Ours ends after hours, the grants live for weeks.
    await nodes.elapse(13 * 3_600_000, 600_000)
    expect((await first.refresh(two)).status).toBe(200)
    expect((await send(first, remote, { sid: 'session-1' })).status).toBe(200)
    expect((await first.refresh(one)).status).toBe(400)
    const renewed = await send(first, remote, { sid: 'session-unknown' })
    expect(renewed.status).toBe(200)
    expect((await send(first, remote, { sub: undefined, sid: 'session-2' })).status).toBe(200)
    const again = await first.refresh(two)
    expect(again.status).toBe(400)
  }, 30_000)

  it('REV-10: `sid` of another person than `sub` ends nothing', async () => {
    const { first, remote } = await startNodes()
    remote.person = { subject: 'ada', sid: 'session-1' }
    const ada = await first.signIn()
    expect((await send(first, remote, { sub: 'grace', sid: 'session-1' })).status).toBe(200)
    expect(await first.call(ada.access_token)).toBe(200)
  })

  it('REV-10: is believed once; a repeated token is refused and a new sign-in stays', async () => {
    const { first, remote } = await startNodes()
    await first.signIn()
    const token = await remote.sign(claims(first), { typ: 'logout+jwt' })
    expect((await first.post(LOGOUT, { logout_token: token })).status).toBe(200)
    first.platform.runtime.nowMs()
    const ada = await first.signIn()
    const answer = await first.post(LOGOUT, { logout_token: token })
    expect(answer.status).toBe(400)
    expect((await first.refresh(ada)).status).toBe(200)
  })

  const WRONG: readonly [string, JWTPayload, object?][] = [
    ['another issuer', { iss: 'https://evil.example' }],
    ['another audience', { aud: 'somebody-else' }],
    ['no audience', { aud: undefined }],
    ['a nonce', { nonce: 'n' }],
    ['no events', { events: undefined }],
    ['another event', { events: { 'https://example/other': {} } }],
    ['neither sub nor sid', { sub: undefined }],
    ['no jti', { jti: undefined }],
    ['no iat', { iat: undefined }],
    ['no exp', { exp: undefined }],
    ['an exp of yesterday', { iat: 1_700_000_000, exp: 1_700_000_100 }],
    ['an iat of tomorrow', { iat: 1_999_000_000, exp: 1_999_000_100 }],
    ['an unknown key', {}, { kid: 'other-key' }],
    ['the type of an access token', {}, { typ: 'at+jwt' }],
  ]
  it.each(WRONG)(
    'REV-10 J3: 400 with a JSON error for %s, and nothing ends',
    async (_what, changes, header) => {
      const { first, remote } = await startNodes()
      const ada = await first.signIn()
      const answer = await send(first, remote, changes, header)
      expect([answer.status, answer.headers.get('cache-control')]).toEqual([400, 'no-store'])
      expect(await answer.json()).toMatchObject({ error: 'invalid_request' })
      expect(await first.call(ada.access_token)).toBe(200)
    },
  )

  it('REV-10 J1: refuses `none`, a foreign signature, a body without a token, and other methods', async () => {
    const { first, remote } = await startNodes()
    const ada = await first.signIn()
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const unsigned = `${part({ alg: 'none', typ: 'logout+jwt' })}.${part(claims(first))}.`
    const good = await remote.sign(claims(first), { typ: 'logout+jwt' })
    const [head = '', , tail = ''] = good.split('.')
    const changed = `${head}.${part(claims(first))}.${tail}`
    for (const token of [unsigned, changed, 'nonsense', '']) {
      expect((await first.post(LOGOUT, { logout_token: token })).status).toBe(400)
    }
    expect((await first.post(LOGOUT, {})).status).toBe(400)
    const got = await first.fetch(new Request(`https://auth.example${LOGOUT}`))
    expect(got.status).toBe(405)
    expect(await first.call(ada.access_token)).toBe(200)
  })

  it('REV-10: unknown keys ask the provider once per cool-down, however many come', async () => {
    const nodes = await startNodes()
    const { first, remote } = nodes
    await nodes.settle()
    const before = remote.exchanges.length
    for (let count = 0; count < 20; count += 1) {
      expect((await send(first, remote, {}, { kid: `key-${count}` })).status).toBe(400)
    }
    expect(remote.exchanges.length - before).toBeLessThanOrEqual(1)
  })

  it('I12: what was ended is in the audit of that commit, and the event is told', async () => {
    const { first, remote } = await startNodes()
    await first.signIn()
    await send(first, remote)
    const told = first.platform.events.filter(({ type }) => type === 'signal.received')
    expect(told).toMatchObject([{ reason: 'backchannel_logout', users: 1, sessions: 1, vaults: 1 }])
  })
})

describe('POST /webhooks/{provider}', () => {
  const HOOK = '/webhooks/github'
  const revoked = (id: number | string = 42) =>
    JSON.stringify({ action: 'revoked', sender: { login: 'ada', id } })
  const signed = (body: string, secret = WEBHOOK_SECRET) => ({
    'content-type': 'application/json',
    'x-github-event': 'github_app_authorization',
    'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
  })

  it('REV-13 PRV-10 REV-04: a signed event ends the person at once, and asks GitHub for nothing', async () => {
    const nodes = await startNodes({ nodes: 2 })
    const { first, second, remote } = nodes
    remote.person = { subject: '42' }
    const ada = await first.signIn()
    remote.person = { subject: '43' }
    const grace = await first.signIn()
    expect(await second.call(ada.access_token)).toBe(200)
    const body = revoked()
    expect((await first.post(HOOK, body, signed(body))).status).toBe(204)
    expect(await first.call(ada.access_token)).toBe(401)
    expect((await first.refresh(ada)).status).toBe(400)
    await nodes.elapse(2_500)
    expect(await second.call(ada.access_token)).toBe(401)
    expect(await second.call(grace.access_token)).toBe(200)
    expect(remote.revocationsAsked).toBe(0)
  })

  it('REV-13: unsigned, wrongly signed, changed or too large: refused, and nothing ends', async () => {
    const { first, remote } = await startNodes()
    remote.person = { subject: '42' }
    const ada = await first.signIn()
    const body = revoked()
    const { 'x-hub-signature-256': _, ...unsigned } = signed(body)
    expect((await first.post(HOOK, body, unsigned)).status).toBe(401)
    expect((await first.post(HOOK, body, signed(body, 'another secret'))).status).toBe(401)
    expect((await first.post(HOOK, `${body} `, signed(body))).status).toBe(401)
    const large = JSON.stringify({ action: 'revoked', filler: 'x'.repeat(70_000) })
    expect((await first.post(HOOK, large, signed(large))).status).toBe(413)
    const odd = revoked('42')
    expect((await first.post(HOOK, odd, signed(odd))).status).toBe(400)
    expect(await first.call(ada.access_token)).toBe(200)
  })

  it('REV-13: other events are 204 and change nothing; a delivery that comes again ends nothing new', async () => {
    const nodes = await startNodes()
    const { first, remote } = nodes
    remote.person = { subject: '42' }
    const ada = await first.signIn()
    const ping = '{"zen":"Design for failure."}'
    const asPing = { ...signed(ping), 'x-github-event': 'ping' }
    expect((await first.post(HOOK, ping, asPing)).status).toBe(204)
    const other = JSON.stringify({ action: 'granted', sender: { id: 42 } })
    expect((await first.post(HOOK, other, signed(other))).status).toBe(204)
    expect(await first.call(ada.access_token)).toBe(200)
    const body = revoked()
    const headers = { ...signed(body), 'x-github-delivery': 'delivery-1' }
    expect((await first.post(HOOK, body, headers)).status).toBe(204)
    await nodes.elapse(3_000)
    const again = await first.signIn()
    expect((await first.post(HOOK, body, headers)).status).toBe(204)
    expect(await first.call(again.access_token)).toBe(200)
  })

  it('REV-13: without a secret there is no such address', async () => {
    const { first } = await startNodes({ provider: { webhookSecret: undefined } as never })
    expect((await first.post(HOOK, revoked(), signed(revoked()))).status).toBe(404)
  })
})
