/**
 * `postern api-keys`, `clients` and `webhooks`, as processes of their own, on the store of a house.
 * @see api.md section 5
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startCli } from '../kit/cli.ts'
import { RESOURCE, startNodes } from '../kit/nodes.ts'

const SEALING_KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

async function commands(more: object = {}) {
  const nodes = await startNodes()
  const config = {
    issuer: 'https://auth.example',
    databaseUrl: nodes.config.databaseUrl,
    sealingKey: SEALING_KEY,
    resources: [RESOURCE],
    ...more,
  }
  return (...command: string[]) => startCli(command, config)
}

describe('postern api-keys', { timeout: 120_000 }, () => {
  it('M2: makes, shows and ends keys; a key is shown once, the last that manages stays', async () => {
    const run = await commands()
    const made = await run('api-keys', 'create', '--role', 'manage', '--name', 'ops', '--json')
    expect(made.code, made.stderr).toBe(0)
    const { id, key } = JSON.parse(made.stdout) as { id: string; key: string }
    expect(key).toMatch(/^ptk_/)
    const listed = await run('api-keys', 'list', '--json')
    expect(JSON.parse(listed.stdout)).toMatchObject({ apiKeys: [{ id, role: 'manage' }] })
    expect(listed.stdout).not.toContain(key)
    expect(listed.stdout).not.toContain('digest')
    const last = await run('api-keys', 'remove', id, '--yes')
    expect([last.code, last.stderr]).toEqual([1, expect.stringContaining('last key that manages')])
    await run('api-keys', 'create', '--role', 'manage')
    expect((await run('api-keys', 'remove', id, '--yes')).code).toBe(0)
    expect((await run('api-keys', 'create', '--role', 'king')).code).toBe(2)
  })
})

describe('postern clients', { timeout: 120_000 }, () => {
  it('adds, shows and removes clients, and leaves those of the file alone', async () => {
    const clients = { racer: { name: 'Racer', redirectUris: ['https://racer.example/cb'] } }
    const run = await commands({ clients })
    const added = await run('clients', 'add', 'Report', 'https://r.example/cb', '--confidential')
    expect(added.code, added.stderr).toBe(0)
    const [line = '', secret = ''] = added.stdout.split('\n')
    const [id = ''] = line.split(' ')
    const listed = await run('clients', 'list', '--json')
    const rows = listed.stdout
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text) as object)
    expect(rows).toMatchObject([
      { id: 'racer', source: 'file' },
      { id, source: 'operator' },
    ])
    expect(secret.length).toBeGreaterThan(40)
    expect(listed.stdout).not.toContain(secret)
    expect((await run('clients', 'remove', id, '--yes')).code).toBe(0)
    expect((await run('clients', 'remove', 'racer', '--yes')).code).toBe(1)
    expect((await run('clients', 'add', 'Bad', 'javascript:alert(1)')).code).toBe(2)
  })
})

describe('postern webhooks', { timeout: 120_000 }, () => {
  it('shows webhooks and sends a test to one', async () => {
    let status = 204
    const server = createServer((_request, response) => response.writeHead(status).end())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
    const run = await commands({ webhooks: [{ url, events: ['*'], secret: SECRET }] })
    const listed = await run('webhooks', 'list', '--json')
    expect(JSON.parse(listed.stdout)).toMatchObject({ webhooks: [{ url, source: 'file' }] })
    expect(listed.stdout).not.toContain(SECRET.slice(6))
    const taken = await run('webhooks', 'test', url, '--json')
    expect([taken.code, taken.stderr]).toEqual([0, ''])
    expect(JSON.parse(taken.stdout)).toMatchObject({ done: true, status: 204 })
    status = 500
    const refused = await run('webhooks', 'test', url)
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('status_500')])
    expect((await run('webhooks', 'test', 'https://nobody.example/')).code).toBe(1)
  })
})
