/**
 * `postern connectors` and what `serve` tells of connectors, as processes of their own on one file.
 * @see api.md section 5
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { openSqliteForReading } from '../../src/adapters/sqlite-reader.ts'
import { createPostern } from '../../src/app.ts'
import { TENANT } from '../../src/records.ts'
import { startCli } from '../kit/cli.ts'
import { createWatchedPlatform } from '../kit/platform.ts'
import { freePort, servePostern } from '../kit/postern.ts'
import { createTestRuntime } from '../kit/runtime.ts'

const SEALING_KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'
const ISSUER = 'http://127.0.0.1:8414'
const NODE_PATIENCE_MS = 20_000
const NODE_PAUSE_MS = 50

async function openWorld() {
  const folder = await mkdtemp(join(tmpdir(), 'postern-connectors-'))
  const [remote, other] = [await startRemoteServer(), await startRemoteServer()]
  onTestFinished(async () => {
    await Promise.all([remote.close(), other.close()])
    await rm(folder, { recursive: true, force: true })
  })
  const config = {
    issuer: ISSUER,
    databaseUrl: `sqlite:${join(folder, 'postern.db')}`,
    sealingKey: SEALING_KEY,
    egress: { allowHosts: [other.origin] },
    connectors: {
      notes: { url: remote.url, auth: 'oauth' as const },
      plain: { url: 'http://127.0.0.1:9/mcp' },
    },
  }
  const run = (...command: string[]) => startCli(['connectors', ...command], config)
  return { remote, other, config, run }
}

/** One endpoint of the authorization server moves to another origin. */
function split(remote: RemoteServer, other: RemoteServer): void {
  remote.settings.editServer = (document) => ({
    ...document,
    registration_endpoint: `${other.origin}/register`,
  })
}

describe('postern connectors', { timeout: 60_000 }, () => {
  it('list: what the store knows, and asks nobody', async () => {
    const { remote, run } = await openWorld()
    const first = await run('list', '--json')
    expect([first.code, first.stderr]).toEqual([0, ''])
    expect(JSON.parse(first.stdout)).toMatchObject({
      connectors: [
        { name: 'notes', state: 'unreachable', problems: [{ party: 'here' }] },
        { name: 'plain', auth: 'identity', state: 'ready' },
      ],
    })
    expect(remote.total()).toBe(0)
    await run('discover', 'notes')
    remote.forget()
    const { stdout } = await run('list')
    expect(stdout).toMatch(/^ {2}notes +ready +oauth +http:\/\/127\.0\.0\.1/m)
    expect(remote.total()).toBe(0)
  })

  it('discover: asks now; 0 when all is well, 1 for a fault on its side, 3 when nothing answers', async () => {
    const { remote, run } = await openWorld()
    const good = await run('discover', 'notes', '--json')
    expect([good.code, good.stderr]).toEqual([0, ''])
    expect(JSON.parse(good.stdout)).toMatchObject({
      name: 'notes',
      state: 'ready',
      discovery: { issuer: remote.issuer, source: 'challenge' },
    })
    remote.settings.editServer = (document) => ({ ...document, issuer: `${remote.issuer}/` })
    const bad = await run('discover', 'notes')
    expect(bad.code).toBe(1)
    expect(bad.stdout).toContain('fault at the authorization server: ')
    expect(bad.stdout).toContain('DSC-07')
    await remote.kill()
    expect((await run('discover', 'notes')).code).toBe(3)
    const unknown = await run('discover', 'nots')
    expect([unknown.code, unknown.stderr]).toEqual([1, 'there is no connector nots\n'])
  })

  it('O3: approve: asks first, takes what was refused and nothing else, and a running house follows', async () => {
    const { remote, other, config, run } = await openWorld()
    split(remote, other)
    const house = createPostern(config, createWatchedPlatform(undefined))
    onTestFinished(() => house.close())
    const state = async () => (await house.connectors.find('notes'))?.state
    await house.connectors.discover('notes')
    expect(await state()).toBe('quarantined')
    expect(other.total()).toBe(0)

    expect((await run('approve', 'notes', other.origin)).stderr).toContain('Add --yes.')
    const wrong = await run('approve', 'notes', remote.origin, '--yes')
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toContain(other.origin)
    const done = await run('approve', 'notes', other.origin, '--yes', '--json')
    expect([done.code, done.stderr]).toEqual([0, ''])
    expect(JSON.parse(done.stdout)).toMatchObject({ state: 'ready' })
    expect(other.total('POST /register')).toBeGreaterThan(0)
    await until(async () => (await state()) === 'ready')
    expect(await state()).toBe('ready')
  })
})

describe('postern serve', { timeout: 60_000 }, () => {
  it('is ready first, then tells what was found and what is wrong on which side', async () => {
    const { remote, other, config } = await openWorld()
    split(remote, other)
    const port = await freePort()
    const listen = { port, metricsPort: 0 }
    const connectors = { ...config.connectors, dead: { url: other.url, auth: 'oauth' } }
    other.hang()
    const issuer = `http://127.0.0.1:${port}`
    const served = await servePostern({ ...config, issuer, listen, connectors })
    onTestFinished(() => served.close())
    const at = served.lines.findIndex((line) => line.startsWith('ready '))
    expect(served.lines.slice(0, at).join('\n')).toMatch(/dead .* oauth {3}looking$/m)
    const told = () => served.lines.slice(at + 1)
    await until(async () => told().some((line) => line.startsWith('  dead ')))
    const later = told().join('\n')
    expect(later).toMatch(/^ {2}notes +quarantined +oauth/m)
    expect(later).toMatch(
      new RegExp(`^    fault at the authorization server: .*${other.origin}.*   O3`, 'm'),
    )
    expect(later).toMatch(/^ {2}dead +unreachable +oauth/m)
    expect(later).toMatch(/^ {4}fault at the server: .* {3}DSC-13/m)
  })

  it('add, remove: a connector that is not in the file, found at once, and gone again', async () => {
    const { remote, other, config, run } = await openWorld()
    const added = await run('add', 'tasks', `${other.origin}/mcp`, '--auth', 'oauth', '--json')
    expect([added.code, added.stderr]).toEqual([0, ''])
    expect(JSON.parse(added.stdout)).toMatchObject({
      name: 'tasks',
      madeBy: 'api',
      state: 'ready',
      discovery: { issuer: other.issuer },
    })
    expect(other.registrations()).toBe(1)
    expect((await run('list')).stdout).toMatch(/^ {2}tasks +ready +oauth/m)
    const inFile = await run('add', 'notes', `${other.origin}/mcp`)
    expect([inFile.code, inFile.stderr]).toEqual([1, expect.stringContaining('configuration file')])
    const near = await run('add', 'near', remote.url)
    expect([near.code, near.stderr]).toEqual([2, expect.stringContaining('connectors.near.url')])
    expect((await run('remove', 'notes', '--yes')).code).toBe(1)
    expect((await run('remove', 'tasks', '--yes')).stdout).toContain('removed   tasks')
    expect((await run('list')).stdout).not.toContain('tasks')
    expect((await run('remove', 'tasks', '--yes')).code).toBe(1)
    const file = config.databaseUrl.slice('sqlite:'.length)
    const store = openSqliteForReading(file, createTestRuntime())
    const rows = await store.list('audit', TENANT, undefined, { max: 100 })
    const byCommand = rows.filter(({ value }) => value.actor !== undefined)
    expect(
      byCommand.map(({ value: { event, actor, connector } }) => [event, actor, connector]),
    ).toEqual([
      ['connector.created', 'cli', 'tasks'],
      ['connector.removed', 'cli', 'tasks'],
    ])
    await store.close()
  })
})

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + NODE_PATIENCE_MS
  while (!(await isSo()) && performance.now() < untilMs)
    await new Promise((resolve) => setTimeout(resolve, NODE_PAUSE_MS))
}
