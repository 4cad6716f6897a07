/** What a program of the operator sees of connectors: `postern.connectors`, `.connections`, `.discover`. */
import { describe, expect, it, onTestFinished } from 'vitest'
import { startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { createPostern } from '../../src/app.ts'
import type { PosternConfig } from '../../src/config.ts'
import { isPosternError } from '../../src/errors.ts'
import { createWatchedPlatform } from '../kit/platform.ts'

const ISSUER = 'http://127.0.0.1:8414'
const TRIES_MAX = 1_000

async function openHouse(config: Partial<PosternConfig> = {}) {
  const remote = await startRemoteServer()
  const connectors = {
    notes: { url: remote.url, auth: 'oauth' },
    plain: { url: 'http://127.0.0.1:9/mcp' },
    off: { url: 'http://127.0.0.1:9/off', enabled: false },
  } as const
  const postern = createPostern(
    { issuer: ISSUER, databaseUrl: 'memory:', connectors, ...config },
    createWatchedPlatform(undefined),
  )
  onTestFinished(async () => {
    await postern.close()
    await remote.close()
  })
  return { postern, remote }
}

const code = (error: unknown): unknown =>
  isPosternError(error) && 'code' in error ? error.code : error

describe('postern.connectors', () => {
  it('lists every connector with its state, and finds one by name', async () => {
    const { postern, remote } = await openHouse()
    await postern.connectors.discover('notes')
    expect(await postern.connectors.list()).toMatchObject([
      {
        name: 'notes',
        auth: 'oauth',
        state: 'ready',
        discovery: { issuer: remote.issuer, state: 'fresh', source: 'challenge' },
        problems: [],
      },
      { name: 'plain', auth: 'identity', state: 'ready', problems: [] },
      { name: 'off', state: 'disabled' },
    ])
    expect(await postern.connectors.find('nots')).toBeUndefined()
  })

  it('asks the servers of a connector anew, and says what is wrong on which side', async () => {
    const { postern, remote } = await openHouse()
    await postern.connectors.discover('notes')
    remote.settings.editServer = (document) => ({ ...document, issuer: `${remote.issuer}/` })
    const status = await postern.connectors.discover('notes')
    expect(status).toMatchObject({
      state: 'degraded',
      problems: [{ party: 'authorization-server', requirement: expect.stringContaining('DSC-07') }],
    })
    await expect(postern.connectors.discover('nots').catch(code)).resolves.toBe('ERR_CONFIG_VALUE')
  })

  it('O3: approves what was refused, by its name and by no other', async () => {
    const other = await startRemoteServer()
    onTestFinished(() => other.close())
    const { postern, remote } = await openHouse({ egress: { allowHosts: [other.origin] } })
    remote.settings.editServer = (document) => ({
      ...document,
      registration_endpoint: `${other.origin}/register`,
    })
    const refused = await postern.connectors.discover('notes')
    expect(refused).toMatchObject({ state: 'quarantined', refusedOrigin: other.origin })
    const wrong = postern.connectors.approve('notes', remote.origin)
    expect(await wrong.catch(code)).toBe('ERR_CONNECTOR_ORIGIN')
    expect(other.total()).toBe(0)
    expect(await postern.connectors.approve('notes', other.origin)).toMatchObject({
      state: 'ready',
    })
    expect(other.total('POST /register')).toBe(1)
  })
})

describe('postern.discover', () => {
  it('gives what a server publishes, from memory the second time', async () => {
    const { postern, remote } = await openHouse({ connectors: {} })
    await expect(postern.discover(remote.url).catch(code)).resolves.toBe('ERR_UPSTREAM_URL')
    const allowed = await openHouse({ connectors: {}, egress: { allowHosts: [remote.origin] } })
    const found = await allowed.postern.discover(remote.url)
    expect(found).toMatchObject({
      resource: { resource: remote.url },
      authorizationServer: { issuer: remote.issuer },
      state: 'fresh',
    })
    const before = remote.total()
    await allowed.postern.discover(remote.url)
    expect(remote.total()).toBe(before)
    // What was fetched in this very millisecond is as new as can be.
    for (let tries = 0; tries < TRIES_MAX && remote.total() === before; tries += 1)
      await allowed.postern.discover(remote.url, { refresh: true })
    expect(remote.total()).toBeGreaterThan(before)
  })

  it('shares the documents of a connector', async () => {
    const { postern, remote } = await openHouse()
    await postern.connectors.discover('notes')
    const before = remote.total()
    expect((await postern.discover(remote.url)).authorizationServer.issuer).toBe(remote.issuer)
    expect(remote.total()).toBe(before)
  })
})

describe('postern.connections', () => {
  it('is empty where nobody has connected, and ends nothing that is not there', async () => {
    const { postern } = await openHouse()
    expect(await postern.connections.list({ connector: 'notes' })).toEqual({ data: [] })
    expect(await postern.connections.list({ user: 'u-1' })).toEqual({ data: [] })
    expect(await postern.connections.disconnect('con_none')).toBeUndefined()
    await expect(postern.connections.list({ limit: 201 })).rejects.toThrow('limit is 1 to 200')
  })
})
