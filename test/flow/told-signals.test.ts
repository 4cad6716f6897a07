/**
 * Everything that is told when others say that somebody is gone: shared signals, logout tokens,
 * webhooks, and what an operator ends. Events, audit rows and what is left in the store.
 */
import { createHmac } from 'node:crypto'
import type { JWTPayload } from 'jose'
import { expect, it } from 'vitest'
import { openSqlite } from '../../src/adapters/sqlite.ts'
import {
  type Nodes,
  PROVIDER_CLIENT,
  PROVIDER_ISSUER,
  startNodes,
  WEBHOOK_SECRET,
} from '../kit/nodes.ts'
import { createStory, type Story } from '../kit/story.ts'

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'
const RISC = 'https://schemas.openid.net/secevent/risc/event-type/'
const LOGOUT = 'http://schemas.openid.net/event/backchannel-logout'
const AUDIENCE = 'https://auth.example/events/okta'
const CREDENTIAL = 'credential-of-the-transmitter-0123456789'

async function open(signals: object = {}): Promise<{ nodes: Nodes; story: Story }> {
  const nodes = await startNodes({
    config: {
      enable: ['shared-signals'],
      signals: { okta: { issuer: PROVIDER_ISSUER, audience: AUDIENCE, ...signals } },
    },
  })
  const path = nodes.config.databaseUrl.slice('sqlite:'.length)
  const { store } = await openSqlite({ path, runtime: nodes.runtime })
  const events = nodes.first.platform.events
  return { nodes, story: createStory({ events, store }) }
}

let count = 0

async function push(nodes: Nodes, changes: JWTPayload = {}, header = {}, headers = {}) {
  const { first, remote, runtime } = nodes
  count += 1
  const claims = {
    iss: PROVIDER_ISSUER,
    aud: AUDIENCE,
    iat: Math.floor(runtime.nowMs() / 1_000),
    jti: `event-${count}`,
    sub_id: { format: 'iss_sub', iss: PROVIDER_ISSUER, sub: 'ada' },
    events: { [CAEP]: { event_timestamp: 1_767_225_600 } },
    ...changes,
  }
  const set = await remote.sign(claims, { typ: 'secevent+jwt', ...header })
  const type = { 'content-type': 'application/secevent+jwt', ...headers }
  return first.post('/events/okta', set, type)
}

/** With what follows it in the background. */
async function told(nodes: Nodes, story: Story, title: string, answer: Response): Promise<void> {
  await nodes.settle()
  await story.tell(title, answer)
}

it('every answer to a shared signal', async () => {
  const { nodes, story } = await open()
  await nodes.first.signIn()
  const wrong: readonly [string, JWTPayload, object?, object?][] = [
    ['type', {}, {}, { 'content-type': 'application/jwt' }],
    ['typ', {}, { typ: 'JWT' }],
    ['key', {}, { kid: 'other' }],
    ['issuer', { iss: 'https://evil.example' }],
    ['audience', { aud: 'https://else.example' }],
    ['jti', { jti: undefined }],
    ['events', { events: {} }],
    ['old', { iat: 1_700_000_000 }],
    ['future', { iat: 1_900_000_000 }],
    ['nonce', { nonce: 'x' }],
    ['foreign', { sub_id: { format: 'iss_sub', iss: 'https://else.example', sub: 'ada' } }],
    ['email', { sub_id: { format: 'email', email: 'a@b.example' } }],
    ['nobody', { sub_id: { format: 'iss_sub', iss: PROVIDER_ISSUER, sub: 'nobody' } }],
    ['other event', { events: { 'https://example.com/other': {} } }],
    [
      'verification',
      { events: { 'https://schemas.openid.net/secevent/ssf/event-type/verification': {} } },
    ],
    ['session', { sub_id: { format: 'opaque', id: 'session-1' } }],
  ]
  for (const [name, changes, header, headers] of wrong)
    await told(nodes, story, name, await push(nodes, changes, header, headers))
  for (const event of ['account-disabled', 'account-purged', 'credential-compromise', 'x']) {
    await nodes.first.signIn()
    await told(nodes, story, event, await push(nodes, { events: { [RISC + event]: {} } }))
  }
  const headers = { 'content-type': 'application/secevent+jwt' }
  await told(nodes, story, 'nonsense', await nodes.first.post('/events/okta', 'nonsense', headers))
  await told(
    nodes,
    story,
    'huge',
    await nodes.first.post('/events/okta', 'x'.repeat(70_000), headers),
  )
  await nodes.settle()
  await story.addRows()
  expect(story.text).toMatchSnapshot()
}, 60_000)

it('the credential of a sender', async () => {
  const { nodes, story } = await open({ credential: CREDENTIAL })
  for (const authorization of ['', 'Bearer x', `Basic ${CREDENTIAL}`, `Bearer ${CREDENTIAL}`])
    await told(
      nodes,
      story,
      authorization.slice(0, 8),
      await push(nodes, {}, {}, { authorization }),
    )
  expect(story.text).toMatchSnapshot()
})

it('every answer to a logout token', async () => {
  const { nodes, story } = await open()
  const { first, remote, runtime } = nodes
  remote.person = { subject: 'ada', sid: 'session-1' }
  for (const [name, changes] of Object.entries<JWTPayload>({
    audience: { aud: 'x' },
    issuer: { iss: 'https://evil.example' },
    nonce: { nonce: 'x' },
    events: { events: {} },
    'no subject': { sub: undefined },
    'other session': { sid: 'session-2' },
    'other person': { sub: 'grace', sid: 'session-1' },
    session: { sub: undefined, sid: 'session-1' },
    both: { sid: 'session-1' },
    person: {},
    again: {},
  })) {
    await first.signIn()
    const iat = Math.floor(runtime.nowMs() / 1_000)
    const jti = name === 'again' ? 'logout-person' : `logout-${name}`
    const claims = { iss: PROVIDER_ISSUER, aud: PROVIDER_CLIENT, iat, exp: iat + 120, jti }
    const rest = { sub: 'ada', events: { [LOGOUT]: {} }, ...changes }
    const logout_token = await remote.sign({ ...claims, ...rest }, { typ: 'logout+jwt' })
    const answer = await first.post('/backchannel-logout/github', { logout_token })
    await told(nodes, story, name, answer)
  }
  const odd: Record<string, string>[] = [{}, { logout_token: 'x' }, { logout_token: '' }]
  for (const body of odd)
    await told(nodes, story, 'odd', await first.post('/backchannel-logout/github', body))
  await nodes.settle()
  await story.addRows()
  expect(story.text).toMatchSnapshot()
}, 60_000)

it('every answer to a webhook', async () => {
  const { nodes, story } = await open()
  const { first } = nodes
  const body = JSON.stringify({ action: 'revoked', sender: { id: 7, login: 'ada' } })
  const sign = (text: string, secret = WEBHOOK_SECRET) =>
    `sha256=${createHmac('sha256', secret).update(text).digest('hex')}`
  const right = {
    'content-type': 'application/json',
    'x-github-event': 'github_app_authorization',
    'x-github-delivery': 'd-1',
    'x-hub-signature-256': sign(body),
  }
  nodes.remote.person = { subject: '7' }
  const ada = await first.signIn()
  for (const [name, text, headers] of [
    ['unsigned', body, { ...right, 'x-hub-signature-256': '' }],
    ['other secret', body, { ...right, 'x-hub-signature-256': sign(body, 'other') }],
    ['odd signature', body, { ...right, 'x-hub-signature-256': 'sha256=zz' }],
    ['other event', body, { ...right, 'x-github-event': 'push' }],
    ['not JSON', 'x', { ...right, 'x-hub-signature-256': sign('x') }],
    ['no sender', '{}', { ...right, 'x-hub-signature-256': sign('{}') }],
    ['right', body, right],
    ['again', body, right],
    ['another', body, { ...right, 'x-github-delivery': 'd-2' }],
  ] as const) {
    await told(nodes, story, name, await first.post('/webhooks/github', text, headers))
    story.add('call', await first.call(ada.access_token))
  }
  await nodes.settle()
  await story.addRows()
  expect(story.text).toMatchSnapshot()
}, 60_000)

it('what an operator ends, and what waits at the provider', async () => {
  const { nodes, story } = await open()
  const { first, remote, runtime } = nodes
  const { operations } = first.house
  const ada = await first.signIn()
  remote.isUp = false
  const [person] = await operations.findPeople(ada.userId)
  story.add('people', person?.value)
  for (const text of ['ada@corp.example', 'ada', 'nobody'])
    story.add(text, (await operations.findPeople(text)).length)
  if (person !== undefined) story.add('proof', await operations.offboard(person))
  await told(nodes, story, 'after', await first.refresh(ada))
  await story.addRows()
  story.add('pending', await operations.pending())
  remote.isUp = true
  await nodes.elapse(120_000, 5_000)
  story.add('pending', await operations.pending())
  await first.signIn()
  for (const kind of ['tenant', 'client', 'user'] as const)
    await operations.revoke({ kind, id: kind === 'tenant' ? 'default' : ada.userId }, 'test')
  story.add('since', await operations.revokeSince(runtime.nowMs() - 1_000_000, 'test', () => {}))
  story.add('rotated', await operations.rotateKeys())
  story.add('rotated', await operations.rotateKeys({ emergency: true }))
  story.add('keys', operations.keys())
  // What is done behind is done before time goes on.
  await nodes.settle()
  await nodes.elapse(10_000, 5_000)
  await told(nodes, story, 'after', await first.refresh(ada))
  await story.addRows()
  expect(story.text).toMatchSnapshot()
}, 60_000)
