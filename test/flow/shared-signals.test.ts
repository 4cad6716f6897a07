/**
 * Shared signals pushed to us: one test per error word, and what a believed event ends.
 * @see RFC 8935 section 2, requirements REV-11 and REV-12
 */
import type { JWTPayload } from 'jose'
import { describe, expect, it } from 'vitest'
import { type Node, PROVIDER_ISSUER, type Remote, startNodes } from '../kit/nodes.ts'

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'
const RISC = 'https://schemas.openid.net/secevent/risc/event-type/'
const VERIFICATION = 'https://schemas.openid.net/secevent/ssf/event-type/verification'
const AUDIENCE = 'https://auth.example/events/okta'
const CREDENTIAL = 'credential-of-the-transmitter-0123456789'
let events = 0

const start = (signals: object = {}) =>
  startNodes({
    nodes: 2,
    config: {
      enable: ['shared-signals'],
      signals: { okta: { issuer: PROVIDER_ISSUER, audience: AUDIENCE, ...signals } },
    },
  })

const about = (sub = 'ada', iss = PROVIDER_ISSUER) => ({ format: 'iss_sub', iss, sub })

function claims(node: Node, changes: JWTPayload = {}): JWTPayload {
  events += 1
  return {
    iss: PROVIDER_ISSUER,
    aud: AUDIENCE,
    iat: Math.floor(node.platform.runtime.nowMs() / 1_000),
    jti: `event-${events}`,
    sub_id: about(),
    events: { [CAEP]: { event_timestamp: 1_767_225_600 } },
    ...changes,
  }
}

async function push(
  node: Node,
  remote: Remote,
  changes: JWTPayload = {},
  rest: { header?: object; headers?: Record<string, string> } = {},
) {
  const set = await remote.sign(claims(node, changes), { typ: 'secevent+jwt', ...rest.header })
  const headers = { 'content-type': 'application/secevent+jwt', ...rest.headers }
  return node.post('/events/okta', set, headers)
}

async function errorOf(answer: Response): Promise<string> {
  expect([answer.status, answer.headers.get('content-type')]).toEqual([400, 'application/json'])
  const { err, description } = (await answer.json()) as { err: string; description: string }
  expect(description.length).toBeGreaterThan(0)
  return err
}

describe('POST /events/{receiver}', () => {
  it('REV-12 VAL-11: session-revoked: the next call is 401 on both nodes, no refresh is attempted', async () => {
    const nodes = await start()
    const { first, second, remote } = nodes
    const ada = await first.signIn()
    expect(await second.call(ada.access_token)).toBe(200)
    const answer = await push(first, remote)
    expect([answer.status, await answer.text()]).toEqual([202, ''])
    expect(await first.call(ada.access_token)).toBe(401)
    await nodes.elapse(2_500)
    expect(await second.call(ada.access_token)).toBe(401)
    const before = remote.refreshesAsked
    await nodes.elapse(600_000, 20_000)
    expect(remote.refreshesAsked).toBe(before)
    expect((await first.refresh(ada)).status).toBe(400)
  })

  it.each([
    [
      'account-disabled',
      { subject: { subject_type: 'iss-sub', iss: PROVIDER_ISSUER, sub: 'ada' } },
    ],
    ['account-purged', { subject: about() }],
    ['account-credential-change-required', {}],
    ['credential-compromise', { subject: { format: 'opaque', id: 'ada' } }],
  ])('REV-12: RISC %s ends what the subject has here', async (name, detail) => {
    const { first, remote } = await start()
    const ada = await first.signIn()
    const changes = { events: { [`${RISC}${name}`]: detail } }
    expect((await push(first, remote, changes)).status).toBe(202)
    expect(await first.call(ada.access_token)).toBe(401)
  })

  it('REV-12: a session alone ends that session; a person and a session end the person', async () => {
    const { first, remote } = await start()
    remote.person = { subject: 'ada', sid: 'session-1' }
    const ada = await first.signIn()
    const session = { format: 'opaque', id: 'session-1' }
    const complex = (rest: object) => ({ sub_id: { format: 'complex', ...rest } })
    expect((await push(first, remote, complex({ session: { ...session, id: 'no' } }))).status).toBe(
      202,
    )
    expect(await first.call(ada.access_token)).toBe(200)
    expect((await push(first, remote, complex({ session }))).status).toBe(202)
    expect(await first.call(ada.access_token)).toBe(401)
    const again = await first.signIn()
    expect((await push(first, remote, complex({ session, user: about() }))).status).toBe(202)
    expect(await first.call(again.access_token)).toBe(401)
  })

  it('REV-11: a repeated event is 202 and does nothing; so are verification and other events', async () => {
    const nodes = await start()
    const { first, remote } = nodes
    await first.signIn()
    const jti = 'the-same-event'
    expect((await push(first, remote, { jti })).status).toBe(202)
    await nodes.elapse(3_000)
    const ada = await first.signIn()
    expect((await push(first, remote, { jti })).status).toBe(202)
    const verification = {
      sub_id: { format: 'opaque', id: 'stream-1' },
      events: { [VERIFICATION]: { state: 's' } },
    }
    expect((await push(first, remote, verification)).status).toBe(202)
    const other = { events: { 'https://example.com/other-event': {} } }
    expect((await push(first, remote, other)).status).toBe(202)
    expect((await push(first, remote, { sub_id: about('nobody') })).status).toBe(202)
    expect(
      (await push(first, remote, { sub_id: { format: 'email', email: 'a@b.c' } })).status,
    ).toBe(202)
    expect(await first.call(ada.access_token)).toBe(200)
  })

  it('REV-11: invalid_request for another type of content, of token, or of claims', async () => {
    const { first, remote } = await start()
    const wrongContent = { headers: { 'content-type': 'application/jwt' } }
    expect(await errorOf(await push(first, remote, {}, wrongContent))).toBe('invalid_request')
    expect(await errorOf(await push(first, remote, {}, { header: { typ: 'JWT' } }))).toBe(
      'invalid_request',
    )
    expect(await errorOf(await push(first, remote, { jti: undefined }))).toBe('invalid_request')
    expect(await errorOf(await push(first, remote, { events: {} }))).toBe('invalid_request')
    expect(await errorOf(await push(first, remote, { iat: 1_700_000_000 }))).toBe('invalid_request')
    const headers = { 'content-type': 'application/secevent+jwt' }
    expect(await errorOf(await first.post('/events/okta', 'nonsense', headers))).toBe(
      'invalid_request',
    )
  })

  it('REV-11: invalid_key, invalid_issuer and invalid_audience', async () => {
    const { first, remote } = await start()
    const ada = await first.signIn()
    expect(await errorOf(await push(first, remote, {}, { header: { kid: 'other' } }))).toBe(
      'invalid_key',
    )
    expect(await errorOf(await push(first, remote, { iss: 'https://evil.example' }))).toBe(
      'invalid_issuer',
    )
    expect(await errorOf(await push(first, remote, { aud: 'https://else.example' }))).toBe(
      'invalid_audience',
    )
    expect(await first.call(ada.access_token)).toBe(200)
  })

  it('REV-11: authentication_failed without the credential that was agreed on', async () => {
    const { first, remote } = await start({ credential: CREDENTIAL })
    const ada = await first.signIn()
    expect(await errorOf(await push(first, remote))).toBe('authentication_failed')
    const wrong = { headers: { authorization: 'Bearer something-else-of-the-same-length-01234' } }
    expect(await errorOf(await push(first, remote, {}, wrong))).toBe('authentication_failed')
    expect(await first.call(ada.access_token)).toBe(200)
    const right = { headers: { authorization: `Bearer ${CREDENTIAL}` } }
    expect((await push(first, remote, {}, right)).status).toBe(202)
    expect(await first.call(ada.access_token)).toBe(401)
  })

  it('REV-11: access_denied when a sender speaks about the people of somebody else', async () => {
    const { first, remote } = await start()
    const ada = await first.signIn()
    const foreign = { sub_id: about('ada', 'https://other.example') }
    expect(await errorOf(await push(first, remote, foreign))).toBe('access_denied')
    expect(await first.call(ada.access_token)).toBe(200)
  })

  it('REV-11: is served only when enabled, for known receivers, by POST', async () => {
    const { first, remote } = await start()
    const set = await remote.sign(claims(first), { typ: 'secevent+jwt' })
    const headers = { 'content-type': 'application/secevent+jwt' }
    expect((await first.post('/events/unknown', set, headers)).status).toBe(404)
    const got = await first.fetch(new Request('https://auth.example/events/okta'))
    expect(got.status).toBe(405)
    const off = await startNodes({
      config: { signals: { okta: { issuer: PROVIDER_ISSUER, audience: AUDIENCE } } },
    })
    expect((await off.first.post('/events/okta', set, headers)).status).toBe(404)
  })

  it('I12: tells what it ended, and what it refused, without the token', async () => {
    const { first, remote } = await start()
    await first.signIn()
    await push(first, remote)
    await push(first, remote, { aud: 'https://else.example' })
    const told = first.platform.events.map(({ type, reason }) => `${type} ${reason}`)
    expect(told).toContain('signal.received event_session-revoked')
    expect(told).toContain('token.refused event_audience')
    expect(JSON.stringify(first.platform.events)).not.toContain('eyJ')
  })
})
