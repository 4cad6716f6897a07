import { describe, expect, it } from 'vitest'
import { AUTH, createOutboundWorld, NOTES } from '../../../test/kit/outbound-world.ts'
import { CONNECTOR_POLL_MS } from './connector-rows.ts'

const EVIL = 'https://evil.example'
const WAIT = { deadlineMs: 5_000 }
const MINUTE_MS = 60_000

describe('a connector comes to life', () => {
  it('is found and registered behind the start, so that the first click asks nobody', async () => {
    const { node, remote } = createOutboundWorld()
    const { lifecycle, told } = await node()
    expect(lifecycle.status('notes')).toMatchObject({
      state: 'ready',
      discovery: { issuer: AUTH, state: 'fresh' },
      problems: [],
    })
    expect(told()).toEqual(['connector.created new', `connector.discovered ${AUTH}`])
    const before = remote.exchanges.length
    const prepared = await lifecycle.prepare('notes', WAIT)
    expect(prepared).toMatchObject({ ok: true, client: { clientId: 'client-1' } })
    expect(lifecycle.binding('notes')?.issuer).toBe(AUTH)
    expect(remote.exchanges.length).toBe(before)
  })

  it('never delays the start: a dead server is told of as unreachable, on its side', async () => {
    const { node, remote } = createOutboundWorld()
    remote.isUp = false
    const { lifecycle, told } = await node()
    expect(lifecycle.status('notes')).toMatchObject({
      state: 'unreachable',
      problems: [{ party: 'server' }],
    })
    expect(lifecycle.binding('notes')).toBeUndefined()
    expect(told()[0]).toBe('connector.created new')
    expect(told()[1]).toMatch(/^connector\.degraded /)
  })

  it('never delays the start: a server that hangs is waited for behind it, for a while', async () => {
    const { node, remote, pass } = createOutboundWorld()
    remote.delayMs = 600_000
    const { lifecycle } = await node()
    expect(lifecycle.status('notes')?.problems).toMatchObject([{ party: 'here' }])
    await pass(10_000)
    expect(lifecycle.status('notes')).toMatchObject({
      state: 'unreachable',
      problems: [{ party: 'server' }],
    })
  })

  it('is looked at again every minute while it cannot be used, and told as recovered', async () => {
    const { node, remote, pass } = createOutboundWorld()
    remote.isUp = false
    const { lifecycle, told } = await node()
    remote.isUp = true
    await pass(2 * MINUTE_MS)
    expect(lifecycle.status('notes')?.state).toBe('ready')
    expect(told().at(-1)).toBe('connector.recovered unreachable')
  })

  it('asks nobody after a restart', async () => {
    const { node, remote } = createOutboundWorld()
    await (await node()).close()
    const before = remote.exchanges.length
    remote.isUp = false
    const { lifecycle, told } = await node()
    expect((await lifecycle.prepare('notes', WAIT)).ok).toBe(true)
    expect(remote.exchanges.length).toBe(before)
    expect(told()).toEqual([])
  })

  it('comes to life for a machine, too: with the client that was made by hand', async () => {
    const { node, remote } = createOutboundWorld()
    const client = { clientId: 'robot', clientSecret: 'a-secret-that-was-made-by-hand-0123' }
    const { lifecycle } = await node({ connector: { auth: 'client_credentials', client } })
    const prepared = await lifecycle.prepare('notes', WAIT)
    expect(prepared).toMatchObject({ ok: true, client: { clientId: 'robot', how: 'static' } })
    expect(remote.registered).toHaveLength(0)
  })

  it('is renewed ahead of a click: after its hour the documents are asked for behind', async () => {
    const { node, remote, pass } = createOutboundWorld()
    const { lifecycle } = await node()
    await pass(62 * MINUTE_MS)
    expect(remote.count('oauth-authorization-server')).toBe(2)
    expect(lifecycle.status('notes')?.discovery?.ageSeconds).toBeLessThan(10 * 60)
  })

  it('keeps the last good documents when its server dies: still usable, degraded, told once', async () => {
    const { node, remote, pass } = createOutboundWorld()
    const { lifecycle, told } = await node()
    remote.isUp = false
    await pass(90 * MINUTE_MS)
    expect(lifecycle.status('notes')?.state).toBe('degraded')
    expect((await lifecycle.prepare('notes', WAIT)).ok).toBe(true)
    expect(told().filter((line) => line.startsWith('connector.degraded'))).toHaveLength(1)
    remote.isUp = true
    await pass(30 * MINUTE_MS)
    expect(lifecycle.status('notes')).toMatchObject({ state: 'ready', problems: [] })
  })

  it('DSC-18: a person who asks again is answered at once after a repair', async () => {
    const { node, remote } = createOutboundWorld()
    remote.isUp = false
    const { lifecycle } = await node()
    remote.isUp = true
    const prepared = await lifecycle.prepare('notes', { ...WAIT, retry: true })
    expect(prepared.ok).toBe(true)
  })

  it('a click on a cold connector waits for its own deadline and says what is wrong', async () => {
    const { node, remote, runtime, pass } = createOutboundWorld()
    remote.delayMs = 4_000
    const { lifecycle } = await node()
    const waiting = lifecycle.prepare('notes', { deadlineMs: 500 })
    await pass(600)
    expect(runtime.rejections).toEqual([])
    expect(await waiting).toMatchObject({ ok: false })
  })

  it('CLI-05: is degraded, and says whose fault it is, while it cannot register us', async () => {
    const { node, remote, pass } = createOutboundWorld()
    remote.registrationStatus = 400
    const { lifecycle } = await node()
    expect(lifecycle.status('notes')).toMatchObject({
      state: 'degraded',
      problems: [{ party: 'authorization-server' }],
    })
    // Accepted all the same: who has a connection already keeps it.
    expect(lifecycle.binding('notes')?.issuer).toBe(AUTH)
    expect((await lifecycle.prepare('notes', WAIT)).ok).toBe(false)
    const asked = remote.count('/register')
    await pass(10 * MINUTE_MS)
    expect(remote.count('/register') - asked).toBeLessThanOrEqual(10)
  })
})

describe('DSC-19: what makes a connector be looked at again', () => {
  const otherMetadata = `${NOTES}/.well-known/oauth-protected-resource/other`

  it.each([
    ['another resource_metadata in a 401', { kind: 'challenge', resourceMetadata: otherMetadata }],
    ['invalid_client', { kind: 'invalid_client' }],
    ['an endpoint that is gone', { kind: 'endpoint_gone' }],
    ['a token that no refresh helps', { kind: 'token_refused' }],
  ] as const)('soft: %s asks again behind, and keeps the last good copy', async (_, evidence) => {
    const { node, remote, pass } = createOutboundWorld()
    const { lifecycle } = await node()
    const before = remote.count('oauth-authorization-server')
    remote.isUp = false
    lifecycle.report('notes', evidence)
    await pass(1_000)
    expect(remote.exchanges.at(-1)).toContain(NOTES)
    expect(lifecycle.binding('notes')?.issuer).toBe(AUTH)
    remote.isUp = true
    await pass(2 * MINUTE_MS)
    expect(remote.count('oauth-authorization-server')).toBe(before + 1)
    expect(lifecycle.status('notes')?.state).toBe('ready')
  })

  it('soft: once per connector in 30 s, however much is reported', async () => {
    const { node, remote, pass } = createOutboundWorld()
    const { lifecycle } = await node()
    const before = remote.count('oauth-authorization-server')
    for (let second = 0; second < 90; second += 1) {
      lifecycle.report('notes', { kind: 'endpoint_gone' })
      lifecycle.report('notes', { kind: 'invalid_client' })
      await pass(1_000)
    }
    expect(remote.count('oauth-authorization-server') - before).toBe(3)
  })

  it.each([
    ['the usual place', `${NOTES}/.well-known/oauth-protected-resource/mcp`],
    ['the root of the host', `${NOTES}/.well-known/oauth-protected-resource`],
    ['O9: another origin', `${EVIL}/.well-known/oauth-protected-resource/mcp`],
    ['no URL', 'evil'],
  ])('a 401 that names %s is no news', async (_, resourceMetadata) => {
    const { node, remote, pass } = createOutboundWorld()
    const { lifecycle } = await node()
    const before = remote.exchanges.length
    lifecycle.report('notes', { kind: 'challenge', resourceMetadata })
    await pass(1_000)
    expect(remote.exchanges.length).toBe(before)
  })

  it('a 401 that is no news does not use up the look of a token that no refresh helps', async () => {
    const { node, remote, pass } = createOutboundWorld()
    const { lifecycle } = await node()
    const before = remote.count('oauth-authorization-server')
    const resourceMetadata = `${NOTES}/.well-known/oauth-protected-resource/mcp`
    lifecycle.report('notes', { kind: 'challenge', resourceMetadata })
    lifecycle.report('notes', { kind: 'token_refused' })
    await pass(1_000)
    expect(remote.count('oauth-authorization-server')).toBe(before + 1)
  })

  it('O8: a server that names another metadata each time is asked once in 30 s', async () => {
    const { node, remote, pass } = createOutboundWorld()
    const { lifecycle } = await node()
    const before = remote.count('oauth-authorization-server')
    for (let second = 0; second < 60; second += 1) {
      const resourceMetadata = `${otherMetadata}${second}`
      lifecycle.report('notes', { kind: 'challenge', resourceMetadata })
      await pass(1_000)
    }
    expect(remote.count('oauth-authorization-server') - before).toBeLessThanOrEqual(2)
  })

  it('hard: an administrator asks, and what a server takes back is gone', async () => {
    const { node, remote, pass } = createOutboundWorld()
    const { lifecycle } = await node()
    const before = remote.count('oauth-authorization-server')
    await lifecycle.discover('notes')
    expect(remote.count('oauth-authorization-server')).toBe(before + 1)
    await pass(1_000)
    remote.server = { issuer: 'https://other.example' }
    expect(await lifecycle.discover('notes')).toMatchObject({
      state: 'degraded',
      problems: [{ party: 'authorization-server' }],
    })
    expect(lifecycle.binding('notes')).toBeUndefined()
  })

  it('hard: another URL starts anew, and the registration of the old one is gone', async () => {
    const { node, remote, store } = createOutboundWorld()
    await (await node()).close()
    remote.resource = { resource: `${NOTES}/v2/mcp` }
    const { told } = await node({ connector: { url: `${NOTES}/v2/mcp` } })
    expect(told()).toEqual(['connector.created redefined', `connector.discovered ${AUTH}`])
    expect(remote.registered).toHaveLength(2)
    expect(await store.count('registration', 'default')).toBe(1)
  })

  it('O5: another client starts anew: what was registered is not used for it', async () => {
    const { node, remote, store } = createOutboundWorld()
    await (await node()).close()
    const client = { clientId: 'by-hand', clientSecret: 'a-secret-that-was-made-by-hand-0123' }
    const { lifecycle, told } = await node({ connector: { client } })
    expect(told()[0]).toBe('connector.created redefined')
    expect(await lifecycle.prepare('notes', WAIT)).toMatchObject({
      ok: true,
      client: { clientId: 'by-hand', how: 'static' },
    })
    expect(remote.registered).toHaveLength(1)
    expect(await store.count('registration', 'default')).toBe(0)
  })
})

describe('quarantine', () => {
  const drift = { token_endpoint: `${EVIL}/token` }

  it('O4: a token endpoint that moved is refused from the moment it is read, and told', async () => {
    const { node, remote, pass } = createOutboundWorld()
    const { lifecycle, told } = await node()
    remote.server = drift
    await pass(62 * MINUTE_MS)
    expect(lifecycle.binding('notes')).toBeUndefined()
    expect(lifecycle.status('notes')).toMatchObject({ state: 'quarantined', refusedOrigin: EVIL })
    expect(told().filter((line) => line === `connector.quarantined ${EVIL}`)).toHaveLength(1)
    expect(remote.count(EVIL)).toBe(0)
    expect(await lifecycle.prepare('notes', WAIT)).toMatchObject({
      ok: false,
      state: 'quarantined',
      problems: [{ code: 'ERR_CONNECTOR_ORIGIN' }],
    })
  })

  it('O3: a registration endpoint on a foreign origin gets nothing before it is approved', async () => {
    const { node, remote } = createOutboundWorld()
    remote.server = { registration_endpoint: `${EVIL}/register` }
    const { lifecycle } = await node()
    expect(lifecycle.status('notes')?.state).toBe('quarantined')
    expect(remote.count(EVIL)).toBe(0)
    expect(await lifecycle.approve('notes', 'https://else.example')).toBeUndefined()
    expect(remote.count(EVIL)).toBe(0)
    expect(await lifecycle.approve('notes', EVIL)).toMatchObject({ state: 'ready' })
    expect(remote.count(`POST ${EVIL}/register`)).toBe(1)
  })

  it('I12: what is accepted, refused and approved is in the audit, in the commit of the row', async () => {
    const { node, remote, store } = createOutboundWorld()
    remote.server = { registration_endpoint: `${EVIL}/register` }
    const { lifecycle } = await node()
    await lifecycle.approve('notes', EVIL)
    const rows = await store.list('audit', 'default', undefined, { max: 20 })
    const told = rows.map(({ value }) => `${value.event} ${value.detail}`)
    expect(told).toEqual(
      expect.arrayContaining([
        'connector.created notes new',
        `connector.quarantined notes ${EVIL}`,
        `connector.recovered notes approved ${EVIL}`,
        `connector.discovered notes ${AUTH}`,
      ]),
    )
  })

  it('DSC-20: another issuer is asked about first; then it has a registration of its own', async () => {
    const { node, remote, store } = createOutboundWorld()
    const { lifecycle } = await node()
    remote.issuer = EVIL
    expect(await lifecycle.discover('notes')).toMatchObject({ state: 'quarantined' })
    expect(remote.count(`${EVIL}/register`)).toBe(0)
    expect(lifecycle.binding('notes')).toBeUndefined()
    expect(await store.count('registration', 'default')).toBe(1)
    expect(await lifecycle.approve('notes', EVIL)).toMatchObject({ state: 'ready' })
    expect(lifecycle.binding('notes')?.issuer).toBe(EVIL)
    expect(await lifecycle.prepare('notes', WAIT)).toMatchObject({
      client: { clientId: 'client-2' },
    })
    const [registered] = await store.list('registration', 'default', undefined, { max: 2 })
    expect(registered?.value.issuer).toBe(EVIL)
  })

  it('DSC-20: the old issuer, when it is back, finds its registration untouched', async () => {
    const { node, remote, pass } = createOutboundWorld()
    const { lifecycle } = await node()
    remote.issuer = EVIL
    await lifecycle.discover('notes')
    await pass(1_000)
    remote.issuer = AUTH
    expect(await lifecycle.discover('notes')).toMatchObject({ state: 'ready' })
    expect(await lifecycle.prepare('notes', WAIT)).toMatchObject({
      client: { clientId: 'client-1' },
    })
    expect(remote.registered).toHaveLength(1)
  })

  it('an approval is for what was shown: another issuer in between is asked about again', async () => {
    const { node, remote, pass } = createOutboundWorld()
    const { lifecycle } = await node()
    remote.issuer = EVIL
    await lifecycle.discover('notes')
    await pass(1_000)
    remote.issuer = 'https://worse.example'
    await lifecycle.discover('notes')
    expect(await lifecycle.approve('notes', EVIL)).toBeUndefined()
    expect(lifecycle.status('notes')?.refusedOrigin).toBe('https://worse.example')
  })

  it('DSC-10: credentials are stored: a server without metadata is refused, not guessed at', async () => {
    const { node, remote } = createOutboundWorld()
    const { lifecycle } = await node()
    remote.hasResourceMetadata = false
    const status = await lifecycle.discover('notes')
    expect(status?.state).not.toBe('ready')
    expect(lifecycle.binding('notes')).toBeUndefined()
    expect(remote.count(`${NOTES}/token`) + remote.count(`${NOTES}/register`)).toBe(0)
  })

  it('DSC-11: a server that was found by old rules may be found by them again', async () => {
    const { node, remote } = createOutboundWorld()
    remote.hasResourceMetadata = false
    const { lifecycle } = await node()
    expect(lifecycle.status('notes')).toMatchObject({
      state: 'ready',
      discovery: { source: 'legacy-metadata' },
    })
    expect(await lifecycle.discover('notes')).toMatchObject({ state: 'ready' })
  })
})

describe('two nodes on one store', () => {
  it('make one discovery and one registration between them', async () => {
    const { node, remote } = createOutboundWorld()
    const [one, two] = await Promise.all([node(), node()])
    const asked = [
      await one.lifecycle.prepare('notes', WAIT),
      await two.lifecycle.prepare('notes', WAIT),
    ]
    expect(asked).toMatchObject([
      { ok: true, client: { clientId: 'client-1' } },
      { ok: true, client: { clientId: 'client-1' } },
    ])
    expect(remote.count('oauth-authorization-server')).toBe(1)
    expect(remote.registered).toHaveLength(1)
    expect([...one.told(), ...two.told()]).toHaveLength(2)
  })

  it('O4: see a quarantine at once by the bus, and its end after an approval on the other', async () => {
    const { node, remote, pass } = createOutboundWorld()
    const [one, two] = [await node(), await node()]
    remote.server = { token_endpoint: `${EVIL}/token` }
    await one.lifecycle.discover('notes')
    await pass(0)
    expect(two.lifecycle.binding('notes')).toBeUndefined()
    expect(two.lifecycle.status('notes')?.state).toBe('quarantined')
    await two.lifecycle.approve('notes', EVIL)
    await pass(0)
    expect(one.lifecycle.status('notes')?.state).toBe('ready')
    expect(one.lifecycle.binding('notes')?.server.token_endpoint).toBe(`${EVIL}/token`)
  })

  it('without a bus the other node knows within the poll', async () => {
    const { node, remote, pass } = createOutboundWorld()
    const [one, two] = [await node({ isAlone: true }), await node({ isAlone: true })]
    remote.server = { token_endpoint: `${EVIL}/token` }
    await one.lifecycle.discover('notes')
    expect(two.lifecycle.binding('notes')).toBeDefined()
    await pass(CONNECTOR_POLL_MS)
    expect(two.lifecycle.binding('notes')).toBeUndefined()
  })

  it('a node with an older definition does not take it back', async () => {
    const { node, pass } = createOutboundWorld()
    const old = await node({ connector: { pinnedIssuer: AUTH } })
    await pass(1_000)
    const young = await node()
    await pass(5 * MINUTE_MS)
    expect(young.lifecycle.status('notes')?.state).toBe('ready')
    expect(young.told().filter((line) => line.startsWith('connector.created'))).toHaveLength(1)
    expect(old.lifecycle.binding('notes')).toBeUndefined()
  })
})
