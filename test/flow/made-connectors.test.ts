/**
 * Connectors made while the house is open: there at once, on every node, for calls, pages and tokens;
 * and gone at once with what was made through them.
 */
import { DatabaseSync } from 'node:sqlite'
import { decodeJwt } from 'jose'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { signInAsClient } from '../../demo/sign-in.ts'
import { createVisitor } from '../../demo/visitor.ts'
import { createPostern } from '../../src/app.ts'
import { isPosternError } from '../../src/errors.ts'
import { MARK_AHEAD_MS } from '../../src/issuer/endings.ts'
import { oidc } from '../../src/providers/index.ts'
import { connectAccount, createPerson } from '../kit/connect.ts'
import { until } from '../kit/http.ts'
import { openIdentityServer } from '../kit/identity-server.ts'
import { callTool, openPlane, type Plane } from '../kit/plane.ts'
import { createWatchedPlatform } from '../kit/platform.ts'

const REDIRECT_URI = 'http://127.0.0.1:9/callback'
const CLIENT = { clientId: 'postern', clientSecret: 'postern-client-secret' }
const SLOW_MS = 300
const HOUR_MS = 3_600_000
const SEALING_KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'

async function openRemote(): Promise<RemoteServer> {
  const remote = await startRemoteServer()
  onTestFinished(() => remote.close())
  return remote
}

/** A house whose file knows nothing of these servers but that they may be named. */
function openHouse(...remotes: readonly { readonly origin: string }[]): Promise<Plane<'openid'>> {
  return openPlane({
    provider: 'openid',
    clock: 'real',
    config: {
      sealingKey: SEALING_KEY,
      egress: { allowHosts: remotes.map(({ origin }) => origin) },
    },
  })
}

async function tokenFor(resource: string): Promise<string> {
  const visitor = createVisitor({ press: [/^allow/i, /^continue as ada/i, /^continue with/i] })
  const { accessToken } = await signInAsClient({ resource, redirectUri: REDIRECT_URI, visitor })
  return accessToken
}

async function linked(plane: Plane<'openid'>, connector: string): Promise<string> {
  const connected = await connectAccount({ issuer: plane.issuer, connector }, createPerson())
  expect(connected.isConnected, connected.text).toBe(true)
  return tokenFor(`${plane.issuer}/mcp/${connector}`)
}

const code = (error: unknown): unknown =>
  isPosternError(error) && 'code' in error ? error.code : error

describe('a connector made by the API', { timeout: 60_000 }, () => {
  it('CLI-01: is found, registered and usable at once, in a house that had none of its kind', async () => {
    const remote = await openRemote()
    const plane = await openHouse(remote)
    const { connectors } = plane.postern
    const made = await connectors.put('tasks', { url: remote.url, auth: 'oauth', title: 'Tasks' })
    expect(made).toMatchObject({
      name: 'tasks',
      madeBy: 'api',
      version: 1,
      state: 'ready',
      problems: [],
      resource: `${plane.issuer}/mcp/tasks`,
      definition: { url: remote.url, auth: 'oauth', title: 'Tasks' },
      discovery: { issuer: remote.issuer, state: 'fresh' },
    })
    expect(remote.registrations()).toBe(1)
    expect((await connectors.list()).map(({ name, madeBy }) => [name, madeBy])).toEqual([
      ['notes', 'file'],
      ['tasks', 'api'],
    ])
    const accessToken = await linked(plane, 'tasks')
    const answer = await callTool(`${plane.issuer}/mcp/tasks`, accessToken)
    expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('notebook')])
    expect(remote.presented.some((token) => remote.isLive(token))).toBe(true)
    expect(plane.events.filter(({ type }) => type === 'connector.created')).toMatchObject([
      { connector: 'tasks' },
    ])
  })

  it('P4: a warm call through it waits for nothing, writes nothing, and asks nobody else', async () => {
    const remote = await openRemote()
    const plane = await openHouse(remote)
    await plane.postern.connectors.put('tasks', { url: remote.url, auth: 'oauth' })
    const accessToken = await linked(plane, 'tasks')
    const call = () => callTool(`${plane.issuer}/mcp/tasks`, accessToken)
    await call()
    const waits = await plane.metric('postern_hot_path_waits_total')
    const remoteCalls = await plane.metric('postern_remote_calls_total')
    // What the sign-in left to be written behind is written meanwhile: then a batch without a write.
    await until(async () => {
      const writes = JSON.stringify(plane.writes)
      for (let made = 0; made < 50; made += 1) expect((await call()).status).toBe(200)
      return JSON.stringify(plane.writes) === writes
    }, 'fifty calls without a write')
    expect(await plane.metric('postern_hot_path_waits_total')).toBe(waits)
    expect(await plane.metric('postern_remote_calls_total')).toBe(remoteCalls)
  })

  it('survives a restart, and asks nobody to be usable again', async () => {
    const remote = await openRemote()
    const plane = await openHouse(remote)
    await plane.postern.connectors.put('tasks', { url: remote.url, auth: 'oauth' })
    const accessToken = await linked(plane, 'tasks')
    await plane.restart()
    remote.forget()
    expect((await callTool(`${plane.issuer}/mcp/tasks`, accessToken)).status).toBe(200)
    expect(remote.total()).toBe(1)
  })

  it('is read-only where the file has it, and takes no version but the last', async () => {
    const remote = await openRemote()
    const plane = await openHouse(remote)
    const { connectors } = plane.postern
    const input = { url: remote.url, auth: 'oauth' } as const
    for (const refused of [
      connectors.put('notes', input),
      connectors.update('notes', { title: 'Mine' }),
      connectors.remove('notes'),
    ])
      expect(await refused.catch(code)).toBe('ERR_CONNECTOR_IN_FILE')
    const { version } = await connectors.put('tasks', input)
    const next = await connectors.update('tasks', { title: 'T' }, { ifVersion: version ?? 0 })
    expect(next).toMatchObject({ version: 2, definition: { title: 'T' } })
    const late = connectors.update('tasks', { title: 'X' }, { ifVersion: version ?? 0 })
    expect(await late.catch(code)).toBe('ERR_CONNECTOR_CHANGED')
    const twice = connectors.put('other', { ...input, path: '/mcp/tasks' })
    expect(await twice.catch(code)).toBe('ERR_CONFIG_OVERLAP')
    expect(await connectors.update('nots', {}).catch(code)).toBe('ERR_CONFIG_VALUE')
    // RFC 7396: null takes a member away.
    const without = await connectors.update('tasks', { title: null })
    expect(without.definition).toEqual(input)
  })

  it('O5 CLI-21: an edited definition takes no token along: 0 bytes of it reach the new server', async () => {
    const [remote, other] = [await openRemote(), await openRemote()]
    const plane = await openHouse(remote, other)
    const { connectors } = plane.postern
    await connectors.put('tasks', { url: remote.url, auth: 'oauth' })
    const accessToken = await linked(plane, 'tasks')
    const call = () => callTool(`${plane.issuer}/mcp/tasks`, accessToken)
    expect((await call()).status).toBe(200)
    const moved = await connectors.update('tasks', { url: other.url })
    expect(moved).toMatchObject({ state: 'ready', discovery: { issuer: other.issuer } })
    for (let made = 0; made < 3; made += 1)
      expect((await call()).text).toContain(`${plane.issuer}/connect/tasks`)
    await plane.restart()
    expect((await call()).text).toContain(`${plane.issuer}/connect/tasks`)
    expect(other.presented).toEqual([])
    expect(other.tokenCalls).toEqual([])
    // Linked anew, it is used there.
    await linked(plane, 'tasks')
    expect((await call()).status).toBe(200)
    expect(other.presented.every((token) => other.isLive(token))).toBe(true)
  })

  it('O5: secrets go in and never out, and do not go along with another server or client', async () => {
    const [remote, other] = [await openRemote(), await openRemote()]
    const plane = await openHouse(remote, other)
    const { connectors } = plane.postern
    const canaries = ['canary-client-secret', 'canary-header-value']
    const client = { clientId: 'us', clientSecret: canaries[0] ?? '' }
    const made = await connectors.put('tasks', { url: remote.url, auth: 'oauth', client })
    const fixed = await connectors.put('fixed', {
      url: `${remote.origin}/fixed`,
      auth: 'header',
      header: { name: 'X-Key', value: canaries[1] ?? '' },
    })
    const kept = await connectors.update('tasks', { title: 'Tasks' })
    expect(kept.definition).toEqual({
      url: remote.url,
      auth: 'oauth',
      client: { clientId: 'us' },
      title: 'Tasks',
    })
    const told = JSON.stringify([made, fixed, kept, await connectors.list(), plane.events])
    const database = new DatabaseSync(plane.databasePath, { readOnly: true })
    onTestFinished(() => database.close())
    const rows = JSON.stringify(database.prepare('SELECT id, kind, data FROM records').all())
    for (const canary of canaries) {
      expect(told).not.toContain(canary)
      expect(rows).not.toContain(canary)
    }
    // The secret of another client or server is asked for anew: nothing of the old one is used.
    const machine = { auth: 'client_credentials' as const, client }
    await connectors.put('robot', { url: remote.url, ...machine, path: '/robot' })
    for (const patch of [{ url: other.url }, { client: { clientId: 'they' } }])
      expect(await connectors.update('robot', patch).catch(code)).toBe(
        'ERR_CONFIG_CONNECTOR_CLIENT',
      )
    expect(await connectors.update('fixed', { url: other.url }).catch(code)).toBe(
      'ERR_CONFIG_HEADER_VALUE',
    )
    expect(other.total()).toBe(0)
  })

  it('CLI-23: a removed one is gone at once, its calls end, and its tokens are revoked at its server', async () => {
    const remote = await openRemote()
    const plane = await openHouse(remote)
    const { connectors, connections } = plane.postern
    await connectors.put('tasks', { url: remote.url, auth: 'oauth' })
    const accessToken = await linked(plane, 'tasks')
    const resource = `${plane.issuer}/mcp/tasks`
    await callTool(resource, accessToken)
    const [held] = remote.presented.filter((token) => remote.isLive(token))
    await connectors.remove('tasks')
    expect((await callTool(resource, accessToken)).status).toBe(404)
    expect(await connectors.find('tasks')).toBeUndefined()
    expect((await (await fetch(`${plane.issuer}/mcp.json`)).text()).includes('tasks')).toBe(false)
    await until(() => !remote.isLive(held ?? ''), 'revocation at the server')
    await until(async () => {
      const { data } = await connections.list({ connector: 'tasks' })
      return data.every(({ state }) => state === 'ended')
    }, 'end of the connection')
    expect(await connectors.remove('tasks').catch(code)).toBe('ERR_CONFIG_VALUE')
    // Made anew it is another one: nobody is linked, and the old token is dead.
    await connectors.put('tasks', { url: remote.url, auth: 'oauth' })
    expect((await callTool(resource, accessToken)).status).toBe(401)
    expect(remote.registrations()).toBe(2)
  })

  it('CLI-23: a call that runs while its connector is removed ends as it began, and is the last', async () => {
    const remote = await openRemote()
    const plane = await openHouse(remote)
    await plane.postern.connectors.put('tasks', { url: remote.url, auth: 'oauth' })
    const accessToken = await linked(plane, 'tasks')
    const call = () => callTool(`${plane.issuer}/mcp/tasks`, accessToken)
    await call()
    remote.slow(SLOW_MS)
    const arrived = remote.presented.length
    const running = Array.from({ length: 5 }, call)
    await until(() => remote.total('POST /mcp') > 0, 'a call at the server')
    await plane.postern.connectors.remove('tasks')
    expect((await call()).status).toBe(404)
    const answers = await Promise.all(running)
    for (const { status } of answers) expect([200, 401, 404]).toContain(status)
    // Nothing of it goes out any more once the removal was answered.
    const sent = remote.presented.length
    expect(sent - arrived).toBeLessThanOrEqual(5)
    for (let made = 0; made < 3; made += 1) expect((await call()).status).toBe(404)
    expect(remote.presented.length).toBe(sent)
  })

  it('CLI-23 O15: what could not be revoked before a restart is revoked after it', async () => {
    const remote = await openRemote()
    const plane = await openPlane({
      provider: 'openid',
      config: { sealingKey: SEALING_KEY, egress: { allowHosts: [remote.origin] } },
    })
    const { during } = plane
    await during(plane.postern.connectors.put('tasks', { url: remote.url, auth: 'oauth' }))
    const accessToken = await during(linked(plane, 'tasks'))
    await during(callTool(`${plane.issuer}/mcp/tasks`, accessToken))
    const held = remote.presented.find((token) => remote.isLive(token)) ?? ''
    await remote.kill()
    await during(plane.postern.connectors.remove('tasks'))
    await plane.elapse(60_000)
    expect(remote.isLive(held)).toBe(true)
    await plane.restart()
    await remote.revive()
    await plane.elapse(HOUR_MS, 30_000)
    expect(remote.isLive(held)).toBe(false)
    await expect(plane.postern.connectors.find('tasks')).resolves.toBeUndefined()
  })
})

describe('where its bytes go', { timeout: 60_000 }, () => {
  it('I6 O3: never to what the file approved for others, whatever its server names', async () => {
    const remote = await openRemote()
    const plane = await openHouse(remote)
    const { origin } = new URL(plane.notes.url)
    const arrived = plane.notes.requests()
    remote.settings.editServer = (document) => ({ ...document, token_endpoint: `${origin}/token` })
    const { connectors } = plane.postern
    expect(await connectors.put('tasks', { url: remote.url, auth: 'oauth' })).toMatchObject({
      state: 'degraded',
      problems: [{ party: 'authorization-server', code: 'ERR_DISCOVERY_ENDPOINT' }],
    })
    remote.settings.editServer = (document) => document
    remote.settings.editResource = (document) => ({
      ...document,
      authorization_servers: [origin],
    })
    expect(await connectors.discover('tasks')).toMatchObject({ state: 'degraded' })
    expect(remote.registrations()).toBe(0)
    expect(plane.notes.requests()).toBe(arrived)
  })

  it.each(['disconnected', 'removed', 'made anew'] as const)(
    'O4 O5: tokens of before go to no endpoint that an edit has named, when %s',
    async (end) => {
      const [remote, trap] = [await openRemote(), await openIdentityServer()]
      const allowHosts = [remote.origin, trap.origin]
      const config = { sealingKey: SEALING_KEY, egress: { allowHosts } }
      const plane = await openPlane({ provider: 'openid', config })
      const { during } = plane
      const { connectors, connections } = plane.postern
      const own = { url: remote.url, auth: 'oauth' } as const
      await during(connectors.put('tasks', own))
      await during(linked(plane, 'tasks'))
      const [{ id = '' } = {}] = (await connections.list({ connector: 'tasks' })).data
      const edit = {
        pinnedIssuer: remote.issuer,
        client: { clientId: 'us', clientSecret: 'theirs' },
        endpoints: {
          authorization: `${trap.origin}/authorize`,
          token: `${trap.origin}/token`,
          revocation: `${trap.origin}/revoke`,
        },
      }
      if (end === 'made anew') {
        await remote.kill()
        await during(connectors.remove('tasks'))
        expect(await during(connectors.put('tasks', { ...own, ...edit }))).toMatchObject({
          state: 'ready',
        })
      } else {
        expect(await during(connectors.update('tasks', edit))).toMatchObject({ state: 'ready' })
        if (end === 'removed') await during(connectors.remove('tasks'))
        else await during(connections.disconnect(id))
      }
      await plane.elapse(10 * 60_000, 30_000)
      expect(trap.seen).toEqual([])
    },
  )

  it('I6: nowhere any more when the operator takes the allowance back', async () => {
    const [remote, server] = [await openRemote(), await openIdentityServer()]
    const plane = await openHouse(remote)
    const { connectors } = plane.postern
    // Made while the operator allowed it; the allow-list is another one now.
    const closed = createPostern(
      {
        issuer: plane.issuer,
        databaseUrl: `sqlite:${plane.databasePath}`,
        sealingKey: SEALING_KEY,
        connectors: { notes: { url: plane.notes.url } },
      },
      createWatchedPlatform(undefined),
    )
    onTestFinished(() => closed.close())
    await connectors.put('tasks', { url: remote.url, auth: 'oauth' })
    remote.forget()
    expect(await closed.connectors.find('tasks')).toMatchObject({
      state: 'degraded',
      problems: [{ party: 'here', code: 'ERR_CONFIG_VALUE' }],
    })
    expect(await closed.connectors.discover('tasks')).toMatchObject({ state: 'degraded' })
    const call = new Request(`${plane.issuer}/mcp/tasks`, { method: 'POST' })
    expect((await closed.fetch(call)).status).toBe(404)
    expect(await connectors.put('near', { url: server.url }).catch(code)).toBe('ERR_CONFIG_VALUE')
    expect([remote.total(), server.seen]).toEqual([0, []])
    // It can still be taken away.
    await closed.connectors.remove('tasks')
    expect(await closed.connectors.find('tasks')).toBeUndefined()
  })
})

describe('two nodes on one database', { timeout: 60_000 }, () => {
  it('REV-04 O5: what one node makes, changes and removes is so on the other', async () => {
    const [remote, other] = [await openRemote(), await openRemote()]
    const plane = await openHouse(remote, other)
    const second = createPostern(
      {
        issuer: plane.issuer,
        databaseUrl: `sqlite:${plane.databasePath}`,
        sealingKey: SEALING_KEY,
        providers: [
          oidc({ id: 'openid', title: 'OpenID', issuer: plane.provider.origin, ...CLIENT }),
        ],
        egress: { allowHosts: [remote.origin, other.origin] },
        connectors: { notes: { url: plane.notes.url } },
      },
      createWatchedPlatform(undefined),
    )
    await second.ready()
    onTestFinished(() => second.close())
    const there = (accessToken: string) =>
      second.fetch(
        new Request(`${plane.issuer}/mcp/tasks`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${accessToken}`,
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
          },
          body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }),
        }),
      )
    expect((await there('none')).status).toBe(404)
    await plane.postern.connectors.put('tasks', { url: remote.url, auth: 'oauth' })
    await until(async () => (await there('none')).status === 401, 'the connector on the other node')
    const accessToken = await linked(plane, 'tasks')
    await until(async () => (await there(accessToken)).status === 200, 'a call on the other node')
    // Linked at the old server: the other node does not take the token to the new one either.
    await plane.postern.connectors.update('tasks', { url: other.url })
    await until(
      async () => (await second.connectors.find('tasks'))?.url === other.url,
      'the change on the other node',
    )
    await there(accessToken)
    expect(other.presented).toEqual([])
    expect((await second.connectors.find('tasks'))?.version).toBe(2)
    await second.connectors.remove('tasks')
    await until(
      async () => (await callTool(`${plane.issuer}/mcp/tasks`, accessToken)).status === 404,
      'the removal on the first node',
    )
  })
})

describe('identity of our people', { timeout: 60_000 }, () => {
  it('A2 O5: nobody is told more, and no other server anything, than people have allowed', async () => {
    const [first, other] = [await openIdentityServer(), await openIdentityServer()]
    const allowHosts = [first.origin, other.origin]
    const config = { sealingKey: SEALING_KEY, egress: { allowHosts } }
    const plane = await openPlane({ provider: 'openid', config })
    const { during } = plane
    const { connectors } = plane.postern
    for (const server of [first, other])
      server.publish({ resource: server.url, authorization_servers: [plane.issuer] })
    await during(connectors.put('one', { url: first.url, claims: ['name'] }))
    const resource = `${plane.issuer}/mcp/one`
    const status = async (token: string) => (await during(callTool(resource, token))).status
    const seen = () => [first.seen.length, other.seen.length]
    for (const change of [{ claims: ['name', 'email'] }, { url: other.url }, { url: first.url }]) {
      const accessToken = await during(tokenFor(resource))
      expect(await status(accessToken)).toBe(200)
      const before = seen()
      await during(connectors.update('one', change))
      expect(await status(accessToken), JSON.stringify(change)).toBe(401)
      expect(seen()).toEqual(before)
      // What begins within the reach of the mark would end with it.
      await plane.elapse(MARK_AHEAD_MS + 1_000)
    }
    // Less of them, or another title, is nobody's concern.
    const accessToken = await during(tokenFor(resource))
    await during(connectors.update('one', { claims: ['name'], title: 'One' }))
    expect(await status(accessToken)).toBe(200)
    const { email, name } = decodeJwt((first.seen.at(-1) ?? '').slice(7))
    expect([email, name]).toEqual([undefined, 'Ada Lovelace'])
  })

  it('I6: goes only to a server that names its URL and our issuer, and is another one at each', async () => {
    const [first, second] = [await openIdentityServer(), await openIdentityServer()]
    const plane = await openHouse(first, second)
    const { connectors } = plane.postern
    const made = await connectors.put('one', { url: first.url, claims: ['email'] })
    expect(made).toMatchObject({ state: 'degraded', problems: [{ party: 'server' }] })
    const accessToken = await tokenFor(`${plane.issuer}/mcp/one`)
    const call = () => callTool(`${plane.issuer}/mcp/one`, accessToken)
    expect((await call()).status).toBe(502)
    for (const document of [
      { resource: first.url, authorization_servers: ['https://elsewhere.example'] },
      { resource: `${first.origin}/other`, authorization_servers: [plane.issuer] },
      { resource: first.origin, authorization_servers: [plane.issuer] },
    ]) {
      first.publish(document)
      expect(await connectors.discover('one')).toMatchObject({ state: 'degraded' })
      expect((await call()).status).toBe(502)
    }
    expect(first.seen).toEqual([])
    first.publish({ resource: first.url, authorization_servers: [plane.issuer] })
    expect(await connectors.discover('one')).toMatchObject({ state: 'ready', problems: [] })
    expect((await call()).status).toBe(200)
    second.publish({ resource: second.url, authorization_servers: [plane.issuer] })
    await connectors.put('two', { url: second.url })
    const other = await tokenFor(`${plane.issuer}/mcp/two`)
    expect((await callTool(`${plane.issuer}/mcp/two`, other)).status).toBe(200)
    const claims = [first, second].map(({ seen }) => decodeJwt((seen.at(-1) ?? '').slice(7)))
    expect(claims.map(({ aud, iss }) => [aud, iss])).toEqual([
      [first.url, plane.issuer],
      [second.url, plane.issuer],
    ])
    const subjects = new Set(claims.map(({ sub }) => sub))
    expect(subjects.size).toBe(2)
    for (const { sub } of claims) expect(sub).toMatch(/^pair_[\w-]{43}$/)
    // The same person is the same one there, also for another client and after a restart.
    await plane.restart()
    await callTool(`${plane.issuer}/mcp/one`, await tokenFor(`${plane.issuer}/mcp/one`))
    expect(decodeJwt((first.seen.at(-1) ?? '').slice(7)).sub).toBe(claims[0]?.sub)
  })
})
