/** One flight for all isolates: D1, KV and the lock in real workerd, a thousand who ask at once. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RemoteServer, startRemoteServer } from '../../demo/doubles/remote-server.ts'
import { type RunningWorker, startWorker } from './start-worker.ts'

const ISOLATES = 4
const CALLERS = 1_000
const SLOW_MS = 400

interface Cold {
  readonly remote: RemoteServer
  readonly worker: RunningWorker
  /** Exchanges with the remote server. */
  found(): number
  close(): Promise<void>
}

async function openCold(): Promise<Cold> {
  const remote = await startRemoteServer()
  const worker = await startWorker({
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
      // One machine plays the whole platform: how long they wait says nothing, what is asked does.
      TEST_PATIENCE_MS: '60000',
      TEST_ADMIN_KEY: randomBytes(32).toString('base64url'),
      POSTERN_SEALING_KEY: randomBytes(32).toString('base64url'),
      POSTERN_OIDC_CLIENT_ID: 'postern',
      POSTERN_OIDC_CLIENT_SECRET: 'secret-of-the-provider',
    },
  })
  return {
    remote,
    worker,
    found: () => worker.outboundExchanges.filter(({ url }) => url.startsWith(remote.origin)).length,
    async close() {
      await worker.dispose()
      await remote.close()
    },
  }
}

/** Isolates that have answered somebody, and asked nobody. */
async function wake({ worker }: Cold): Promise<void> {
  for (let isolate = 0; isolate < ISOLATES; isolate += 1)
    await (await worker.fetchAt(isolate, '/.well-known/jwks.json')).text()
}

function thousand<T>(start: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: CALLERS }, (_, index) => start(index)))
}

/** A person presses "Connect" in a product: where the browser is sent. */
async function click({ worker }: Cold, index: number): Promise<URL | string> {
  const query = new URLSearchParams({ app: 'shop', returnUrl: 'https://shop.example/done' })
  const answer = await worker.fetchAt(index % ISOLATES, `/connect/remote?${query}`, {
    headers: { 'x-product-user': `u-${index}`, accept: 'text/html' },
  })
  const location = answer.headers.get('location')
  return location === null ? `${answer.status} ${await answer.text()}` : new URL(location)
}

async function ask({ worker, remote }: Cold, index: number): Promise<string> {
  const url = encodeURIComponent(remote.url)
  const answer = await worker.fetchAt(index % ISOLATES, `/discover?url=${url}`)
  const text = await answer.text()
  return answer.status === 200
    ? (JSON.parse(text) as { authorizationServer: { issuer: string } }).authorizationServer.issuer
    : text
}

describe('a thousand cold initiations over several isolates', () => {
  let cold: Cold
  beforeAll(async () => {
    cold = await openCold()
  })
  afterAll(() => cold?.close())

  it('C8, K10: each isolate opens on requests that come together', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 * ISOLATES }, (_, index) =>
        cold.worker
          .fetchAt(index % ISOLATES, '/.well-known/jwks.json')
          .then((answer) => answer.text()),
      ),
    )
    expect(new Set(answers).size).toBe(1)
  })

  it('C8, P7: make one chain of exchanges', async () => {
    cold.remote.slow(SLOW_MS)
    const before = cold.found()
    const issuers = await thousand((index) => ask(cold, index))
    expect(new Set(issuers)).toEqual(new Set([cold.remote.issuer]))
    expect(cold.found() - before).toBe(3)
  })
})

describe('a thousand cold clicks on "connect" over several isolates', { timeout: 120_000 }, () => {
  it('C8, P7: make the exchanges of one click and register one client', async () => {
    const one = await openCold()
    await wake(one)
    const alone = await click(one, 0)
    expect(alone).toBeInstanceOf(URL)
    const exchanges = one.found()
    await one.close()

    const many = await openCold()
    try {
      await wake(many)
      many.remote.slow(SLOW_MS)
      const sent = await thousand((index) => click(many, index))
      expect(sent.filter((place) => typeof place === 'string').slice(0, 3)).toEqual([])
      const links = sent.filter((place) => place instanceof URL)
      expect(new Set(links.map(({ origin }) => origin))).toEqual(new Set([many.remote.origin]))
      const each = (name: string) => new Set(links.map((link) => link.searchParams.get(name)))
      expect([each('client_id').size, each('state').size]).toEqual([1, CALLERS])
      expect([many.found(), many.remote.registrations()]).toEqual([exchanges, 1])
    } finally {
      await many.close()
    }
  })
})
