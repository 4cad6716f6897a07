/**
 * Tokens of linked accounts on Workers, where no timer is: the cron trigger refreshes those in use before
 * they end. Real workerd, D1 and Durable Object; time passes by moving back what the rows say.
 */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { createProduct, type Product } from '../kit/product.ts'
import { type RunningWorker, startWorker } from './start-worker.ts'

const ISSUER = 'https://auth.example'
const ADMIN_KEY = randomBytes(32).toString('base64url')
const MINUTE_MS = 60_000
const TIMES = ['createdAtMs', 'refreshedAtMs', 'accessExpiresAtMs']
const ISOLATES = 3

let remote: RemoteServer
let worker: RunningWorker
let product: Product
let key: string
beforeAll(async () => {
  remote = await startRemoteServer()
  const config = {
    issuer: ISSUER,
    allow: 'anyone',
    adminApiKey: ADMIN_KEY,
    sealingKey: randomBytes(32).toString('base64url'),
    connectors: { linked: { url: remote.url, auth: 'oauth' } },
    apps: {
      shop: { origins: ['https://shop.example'], returnUrls: ['https://shop.example/done'] },
    },
    log: { level: 'warn' },
  }
  worker = await startWorker({
    entry: new URL('../engines/house.worker.ts', import.meta.url),
    origin: ISSUER,
    isolates: ISOLATES,
    bindings: { TEST_CONFIG: JSON.stringify(config) },
    options: {
      d1Databases: { POSTERN_DB: 'postern' },
      kvNamespaces: { POSTERN_KV: 'postern' },
      durableObjects: { POSTERN_LOCK: 'PosternLock' },
    },
  })
  product = createProduct({
    ...{ issuer: ISSUER, send: worker.fetch, adminKey: ADMIN_KEY, app: 'shop' },
    ...{ origin: 'https://shop.example', returnUrl: 'https://shop.example/done' },
  })
  key = await product.tokensKey()
})
afterAll(async () => {
  await worker?.dispose()
  await remote?.close()
})

/** As if it had happened so much earlier. */
async function age(ms: number): Promise<void> {
  await worker.runSql('POSTERN_DB', [
    ...TIMES.map(
      (name) =>
        `UPDATE records SET data = json_set(data, '$.${name}', json_extract(data, '$.${name}') - ${ms}) WHERE kind = 'vault' AND json_extract(data, '$.${name}') IS NOT NULL`,
    ),
    `UPDATE records SET id = printf('%015d', CAST(substr(id, 1, 15) AS INTEGER) - ${ms}) || substr(id, 16) WHERE kind = 'renewal'`,
  ])
}

/** What a program of the product gets, by one isolate. */
async function takeToken(user: string, isolate = 0): Promise<string> {
  const answer = await worker.fetchAt(isolate, '/api/v1/tokens', {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ user, connector: 'linked' }),
  })
  const body = (await answer.json()) as { readonly accessToken: string }
  expect([answer.status, body]).toMatchObject([200, { accessToken: expect.any(String) }])
  return body.accessToken
}

const refreshes = (): number =>
  remote.tokenCalls.filter(([grantType]) => grantType === 'refresh_token').length

describe('the cron trigger', () => {
  it('VAL-13, R2: refreshes what is in use, once for all isolates, and nothing that nobody uses', async () => {
    const { id: used } = await product.connect('ada', 'linked')
    const { id: unused } = await product.connect('grace', 'linked')
    const first = await takeToken('ada')
    await worker.runScheduled()
    expect(refreshes()).toBe(0)
    await age(50 * MINUTE_MS)
    const runs = Array.from({ length: ISOLATES }, (_, isolate) => worker.runScheduled(isolate))
    for (const { outcome } of await Promise.all(runs)) expect(outcome).toBe('ok')
    expect(refreshes()).toBe(1)
    const [renewed, left] = await Promise.all(
      [used, unused].map(async (id) => (await product.api('GET', `/connections/${id}`)).body),
    )
    expect(renewed).toMatchObject({ state: 'active', refreshedAt: expect.any(String) })
    expect(left).not.toHaveProperty('refreshedAt')
    const second = await takeToken('ada', ISOLATES - 1)
    expect(second).not.toBe(first)
    expect(remote.isLive(second)).toBe(true)
    await worker.runScheduled()
    expect(refreshes()).toBe(1)
  })

  it('K10: goes on with what an isolate noted that is gone, for as long as it is used', async () => {
    await age(50 * MINUTE_MS)
    await worker.runScheduled(1)
    expect(refreshes()).toBe(2)
    // Three hours after the last use.
    await worker.runSql('POSTERN_DB', [
      `UPDATE records SET data = json_set(data, '$.usedAtMs', json_extract(data, '$.usedAtMs') - ${180 * MINUTE_MS}) WHERE kind = 'renewal'`,
    ])
    await age(50 * MINUTE_MS)
    await worker.runScheduled(1)
    expect(refreshes()).toBe(2)
  })
})
