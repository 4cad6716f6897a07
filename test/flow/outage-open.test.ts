/** A house whose database cannot be opened answers, and opens with the first request after it can. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { createPostern } from '../../src/app.ts'
import { createWatchedPlatform } from '../kit/platform.ts'
import { createTestRuntime } from '../kit/runtime.ts'

const ISSUER = 'https://auth.example'

it.each([true, false])(
  'K5 K10: 503 on every route while the store cannot be opened, promises shared: %s',
  async (sharesPromises) => {
    const parent = await mkdtemp(join(tmpdir(), 'postern-open-'))
    const folder = join(parent, 'later')
    // A database that is a folder: opened by nobody.
    await mkdir(join(folder, 'postern.db'), { recursive: true })
    const platform = createWatchedPlatform(createTestRuntime({ sharesPromises }))
    const postern = createPostern(
      {
        issuer: ISSUER,
        databaseUrl: `sqlite:${join(folder, 'postern.db')}`,
        sealingKey: 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs',
        connectors: { notes: { url: 'https://notes.example/mcp' } },
        apps: { shop: { origins: ['https://shop.example'] } },
      },
      platform,
    )
    onTestFinished(async () => {
      await postern.close()
      await rm(parent, { recursive: true, force: true })
    })
    const ask = (path: string) => postern.fetch(new Request(ISSUER + path))
    const paths = ['/.well-known/jwks.json', '/healthz', '/mcp/notes', '/widget/connections', '/']
    for (const answer of await Promise.all(paths.map(ask))) {
      expect(answer.status).toBe(503)
      expect(answer.headers.get('retry-after')).toBe('2')
      expect(await answer.json()).toMatchObject({ error: 'temporarily_unavailable' })
    }
    const told = platform.events.filter(({ type }) => type === 'server.failed')
    expect(told).toHaveLength(paths.length)
    expect(told[0]).toMatchObject({ status: 503, requestId: expect.stringMatching(/^req_/) })
    await rm(folder, { recursive: true })
    expect((await ask('/.well-known/jwks.json')).status).toBe(200)
    expect((await ask('/healthz')).status).toBe(200)
  },
)
