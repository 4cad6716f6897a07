/** One flight for all isolates: D1, KV and the lock in real workerd, a thousand who ask at once. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { type RunningWorker, startWorker } from './start-worker.ts'

const ISOLATES = 4
const CALLERS = 1_000
const SLOW_MS = 400

let remote: RemoteServer
let worker: RunningWorker
beforeAll(async () => {
  remote = await startRemoteServer()
  worker = await startWorker({
    entry: new URL('house.worker.ts', import.meta.url),
    isolates: ISOLATES,
    origin: 'https://auth.example',
    options: {
      d1Databases: { POSTERN_DB: 'postern' },
      kvNamespaces: { POSTERN_KV: 'postern' },
      durableObjects: { POSTERN_LOCK: 'PosternLock' },
    },
    bindings: {
      TEST_ISSUER: 'https://auth.example',
      TEST_PROVIDER: 'https://id.example',
      TEST_SERVER: 'https://notes.example/mcp',
      TEST_REMOTE: remote.url,
      TEST_ADMIN_KEY: randomBytes(32).toString('base64url'),
      POSTERN_SEALING_KEY: randomBytes(32).toString('base64url'),
      POSTERN_OIDC_CLIENT_ID: 'postern',
      POSTERN_OIDC_CLIENT_SECRET: 'secret-of-the-provider',
    },
  })
})
afterAll(async () => {
  await worker?.dispose()
  await remote?.close()
})

const found = () => worker.outboundExchanges.filter(({ url }) => url.startsWith(remote.origin))
const ask = async (index: number): Promise<string> => {
  const answer = await worker.fetchAt(
    index % ISOLATES,
    `/discover?url=${encodeURIComponent(remote.url)}`,
  )
  const text = await answer.text()
  return answer.status === 200
    ? (JSON.parse(text) as { authorizationServer: { issuer: string } }).authorizationServer.issuer
    : text
}

describe('a thousand cold initiations over several isolates', () => {
  it('C8, K10: each isolate opens on requests that come together', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 * ISOLATES }, (_, index) =>
        worker.fetchAt(index % ISOLATES, '/.well-known/jwks.json').then((answer) => answer.text()),
      ),
    )
    expect(new Set(answers).size).toBe(1)
  })

  it('C8, P7: make one chain of exchanges', async () => {
    remote.slow(SLOW_MS)
    const before = found().length
    const issuers = await Promise.all(Array.from({ length: CALLERS }, (_, index) => ask(index)))
    expect(new Set(issuers)).toEqual(new Set([remote.issuer]))
    expect(found().length - before).toBe(3)
  })
})
