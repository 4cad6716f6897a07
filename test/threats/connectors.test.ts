/**
 * Connectors' servers that are slow, dead, lying or swapped (threats.md sections 3.2, 3.5 and 6): what is
 * asked of them, what is believed, what a person with a warm connector feels. On a fake clock.
 */
import { describe, expect, it } from 'vitest'
import type { ConnectorState } from '../../src/connectors/lifecycle/connector-status.ts'
import { FetchFailure } from '../../src/net/failure.ts'
import {
  AUTH,
  createOutboundWorld,
  NOTES,
  type OutboundNode,
  type RemoteWorld,
  reply,
} from '../kit/outbound-world.ts'

const EVIL = 'https://evil.example'
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const WAIT = { deadlineMs: 5_000 }

async function warm() {
  const world = createOutboundWorld()
  const node = await world.node()
  expect(node.lifecycle.status('notes')?.state).toBe('ready')
  return { ...world, ...node }
}

const stateOf = ({ lifecycle }: Pick<OutboundNode, 'lifecycle'>): ConnectorState | undefined =>
  lifecycle.status('notes')?.state

/** A warm click: nothing is waited for and nobody is asked. */
async function expectWarmClick(node: OutboundNode, remote: RemoteWorld): Promise<void> {
  const before = remote.exchanges.length
  expect((await node.lifecycle.prepare('notes', WAIT)).ok).toBe(true)
  expect(remote.exchanges.length).toBe(before)
}

describe('a connector whose servers fail', () => {
  const faults: readonly (readonly [string, RemoteWorld['fault']])[] = [
    ['F2: hang', () => 'hang'],
    ['F3: answer 500', () => reply(500, {})],
    ['F3: answer 502', () => reply(502, {})],
    ['F3: answer 503', () => reply(503, {})],
    ['F5: answer with an empty body', () => reply(200, '')],
    ['F5: answer with half a document', () => reply(200, '{"resource": "https://notes')],
    ['F5: answer with an error object and 200', () => reply(200, { error: 'server_error' })],
    ['F5: answer with a page', () => reply(200, '<html>', { 'content-type': 'text/html' })],
    ['F6: reset the connection', () => 'reset'],
    ['F6: fail at TLS', fails('ERR_UPSTREAM_TLS', 'self-signed')],
    ['F6: are not in the DNS', fails('ERR_UPSTREAM_DNS', 'not-found')],
  ]

  it.each(faults)(
    '%s: a warm click feels nothing, for hours, and recovery is noticed',
    async (_, fault) => {
      const world = await warm()
      const { remote, pass } = world
      remote.fault = fault
      await pass(3 * HOUR_MS)
      await expectWarmClick(world, remote)
      expect(stateOf(world)).toBe('degraded')
      expect(world.lifecycle.status('notes')?.problems).toHaveLength(1)
      remote.fault = () => undefined
      await pass(HOUR_MS)
      expect(stateOf(world)).toBe('ready')
      expect(world.told().filter((line) => line.startsWith('connector.quarantined'))).toEqual([])
    },
  )

  it.each(faults)(
    '%s: a cold click is answered by its deadline with the side of the fault',
    async (_, fault) => {
      const { node, remote, pass } = createOutboundWorld()
      remote.fault = fault
      const { lifecycle } = await node()
      const asking = lifecycle.prepare('notes', { deadlineMs: 2_000, retry: true })
      await pass(2_000)
      const prepared = await asking
      expect(prepared.ok).toBe(false)
      if (!prepared.ok) expect(prepared.problems[0]?.text).toBeTruthy()
      expect(lifecycle.binding('notes')).toBeUndefined()
    },
  )

  it('F1: slow servers (1, 5, 30 s) are waited for by nobody who has a warm connector', async () => {
    const world = await warm()
    for (const delayMs of [1_000, 5_000, 30_000]) {
      world.remote.delayMs = delayMs
      await world.pass(2 * HOUR_MS)
      await expectWarmClick(world, world.remote)
    }
  })

  it('F4: a 429 with Retry-After is obeyed, also by a person who asks again', async () => {
    const { node, remote, pass } = createOutboundWorld()
    remote.fault = () => reply(429, {}, { 'retry-after': '120' })
    const { lifecycle } = await node()
    const asked = remote.exchanges.length
    expect(asked).toBe(1)
    remote.fault = () => undefined
    for (let second = 0; second < 100; second += 10) {
      await lifecycle.prepare('notes', { ...WAIT, retry: true })
      await pass(10_000)
    }
    expect(remote.exchanges.length).toBe(asked)
    await pass(3 * MINUTE_MS)
    expect(lifecycle.status('notes')?.state).toBe('ready')
  })

  it('F8: a server that comes and goes every 10 s is asked a bounded number of times', async () => {
    const { node, remote, pass } = createOutboundWorld()
    remote.isUp = false
    remote.fault = ({ pathname }) =>
      pathname.includes('oauth-authorization') ? reply(503, {}) : undefined
    await node()
    const before = remote.exchanges.length
    for (let turn = 0; turn < 60; turn += 1) {
      remote.isUp = turn % 2 === 0
      await pass(10_000)
    }
    // Ten minutes, one look a minute, at most four exchanges each.
    expect(remote.exchanges.length - before).toBeLessThanOrEqual(50)
  })

  it('F9: 200 connectors of one server recover without a herd', async () => {
    const { node, remote, pass } = createOutboundWorld()
    remote.isUp = false
    const { lifecycle } = await node({ further: 200 })
    await pass(10 * MINUTE_MS)
    remote.isUp = true
    remote.delayMs = 100
    remote.inFlightMax = 0
    await pass(10 * MINUTE_MS)
    const states = lifecycle.list().map(({ state }) => state)
    expect(states.filter((state) => state !== 'ready')).toEqual([])
    expect(remote.inFlightMax).toBeLessThanOrEqual(20)
  })

  it('F11: a server that forgot us is asked for one other client, not for one a minute', async () => {
    const world = await warm()
    const { remote, lifecycle, pass } = world
    for (let minute = 0; minute < 10; minute += 1) {
      lifecycle.report('notes', { kind: 'invalid_client' })
      await pass(MINUTE_MS)
    }
    expect(remote.registered.length).toBeLessThanOrEqual(2)
  })

  it('F12: a day of a warm connector costs its servers one look an hour', async () => {
    const { remote, pass } = await warm()
    const before = remote.count('oauth-authorization-server')
    await pass(24 * HOUR_MS)
    expect(remote.count('oauth-authorization-server') - before).toBeLessThanOrEqual(30)
    expect(remote.registered).toHaveLength(1)
  })
})

describe('a connector whose servers lie', () => {
  const poisons: readonly (readonly [string, Partial<RemoteWorld>])[] = [
    ['another issuer in the document', { server: { issuer: EVIL } }],
    ['an issuer with a slash more', { server: { issuer: `${AUTH}/` } }],
    ['a resource of another host', { resource: { resource: `${EVIL}/mcp` } }],
    ['a resource of a longer path', { resource: { resource: `${NOTES}/mcp/more` } }],
    ['no authorization server', { resource: { authorization_servers: [] } }],
    [
      'a token endpoint without https',
      { server: { token_endpoint: 'http://auth.notes.example/t' } },
    ],
    ['a token endpoint that is a script', { server: { token_endpoint: 'javascript:alert(1)' } }],
    ['no PKCE', { server: { code_challenge_methods_supported: ['plain'] } }],
    ['no code', { server: { response_types_supported: ['token'] } }],
    ['a token endpoint elsewhere', { server: { token_endpoint: `${EVIL}/t` } }],
    ['a registration endpoint elsewhere', { server: { registration_endpoint: `${EVIL}/r` } }],
    ['another authorization server', { issuer: EVIL }],
  ]

  it.each(poisons)(
    'C3: %s is not believed, cold or warm, here or on another node',
    async (_, lie) => {
      const cold = createOutboundWorld()
      Object.assign(cold.remote, lie)
      const first = await cold.node()
      const isSwap = lie.issuer !== undefined
      if (!isSwap) {
        expect(first.lifecycle.binding('notes')).toBeUndefined()
        expect(cold.remote.registered).toHaveLength(0)
      }
      const world = await warm()
      Object.assign(world.remote, lie)
      await world.pass(2 * HOUR_MS)
      const bound = world.lifecycle.binding('notes')
      expect([undefined, AUTH]).toContain(bound?.issuer)
      expect([undefined, `${AUTH}/token`]).toContain(bound?.server.token_endpoint)
      const other = await world.node()
      expect([undefined, AUTH]).toContain(other.lifecycle.binding('notes')?.issuer)
      expect(world.remote.count(`POST ${EVIL}`)).toBe(0)
    },
  )

  it('O4: a swap that is taken back at once leaves nothing behind', async () => {
    const world = await warm()
    const { remote, lifecycle, pass } = world
    remote.server = { token_endpoint: `${EVIL}/token` }
    await lifecycle.discover('notes')
    expect(stateOf(world)).toBe('quarantined')
    await pass(1_000)
    remote.server = {}
    await lifecycle.discover('notes')
    expect(stateOf(world)).toBe('ready')
    expect(lifecycle.binding('notes')?.server.token_endpoint).toBe(`${AUTH}/token`)
    expect(remote.count(`POST ${EVIL}`)).toBe(0)
  })

  it('O8 C8: a hundred clicks on a cold connector make one chain and one registration', async () => {
    const { node, remote, pass } = createOutboundWorld()
    remote.isUp = false
    const { lifecycle } = await node()
    await pass(1_000)
    remote.isUp = true
    remote.delayMs = 50
    const before = remote.count('oauth-authorization-server')
    const clicks = Array.from({ length: 100 }, () =>
      lifecycle.prepare('notes', { ...WAIT, retry: true }),
    )
    await pass(2_000)
    expect((await Promise.all(clicks)).every(({ ok }) => ok)).toBe(true)
    expect(remote.count('oauth-authorization-server') - before).toBe(1)
    expect(remote.registered).toHaveLength(1)
  })

  it('C9: who leaves hurts nobody who waits for the same look', async () => {
    const { node, remote, pass } = createOutboundWorld()
    remote.delayMs = 300
    const { lifecycle } = await node()
    const impatient = lifecycle.prepare('notes', { deadlineMs: 10 })
    const patient = lifecycle.prepare('notes', WAIT)
    await pass(3_000)
    expect((await patient).ok).toBe(true)
    await impatient
  })
})

function fails(code: 'ERR_UPSTREAM_TLS' | 'ERR_UPSTREAM_DNS', reason: string) {
  return () => {
    throw new FetchFailure(code, reason)
  }
}
