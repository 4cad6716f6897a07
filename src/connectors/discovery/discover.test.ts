/** `createDiscover` as a program without a house uses it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type RemoteServer, startRemoteServer } from '../../../demo/doubles/remote-server.ts'
import { createRecordingEmit } from '../../../test/kit/emit.ts'
import { until } from '../../../test/kit/http.ts'
import { createTestRuntime, type TestRuntime } from '../../../test/kit/runtime.ts'
import { UpstreamError } from '../../errors.ts'
import { createNodeFetch } from '../../node/fetch.ts'
import { createDiscover as createOnNode } from '../../node/index.ts'
import type { Cache } from '../../ports.ts'
import { createDiscover, type DiscoverOptions } from './discover.ts'

const HOUR_MS = 3_600_000

let remote: RemoteServer
let runtime: TestRuntime
let ends: AbortController
beforeEach(async () => {
  remote = await startRemoteServer()
  runtime = createTestRuntime()
  ends = new AbortController()
})
afterEach(async () => {
  ends.abort()
  await remote.close()
})

/** One process or isolate. */
function program(options: DiscoverOptions = {}) {
  const emit = createRecordingEmit()
  const platform = { runtime, emit, openFetch: () => createNodeFetch({}) }
  const approvedOrigins = [remote.origin]
  return createDiscover({ platform, approvedOrigins, signal: ends.signal, ...options })
}

function memoryCache(): Cache & { readonly rows: Map<string, string> } {
  const rows = new Map<string, string>()
  return {
    rows,
    stalenessSeconds: 60,
    get: async (key) => rows.get(key),
    set: async (key, value) => void rows.set(key, value),
    delete: async (key) => void rows.delete(key),
  }
}

async function errorOf(work: Promise<unknown>): Promise<UpstreamError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof UpstreamError) return error
  throw new Error('not an UpstreamError', { cause: error })
}

describe('createDiscover', () => {
  it('K5: finds for itself where its cache says nothing', async () => {
    const never = <T>() => new Promise<T>(() => undefined)
    const cache = { ...memoryCache(), get: never<undefined>, set: never<void> }
    const finding = program({ cache })(remote.url)
    await runtime.elapseMs(500)
    expect(await finding).toMatchObject({ state: 'fresh' })
  })

  it('finds the authorization server, then answers from memory', async () => {
    const discover = program()
    const found = await discover(remote.url)
    expect(found).toMatchObject({ state: 'fresh', ageSeconds: 0, source: 'challenge' })
    expect(found.resource.resource).toBe(remote.url)
    expect(found.authorizationServer.token_endpoint).toBe(`${remote.issuer}/token`)
    expect(remote.total()).toBe(3)
    runtime.advanceMs(HOUR_MS / 2)
    expect(await discover(remote.url)).toMatchObject({ state: 'fresh', ageSeconds: 1_800 })
    expect(remote.total()).toBe(3)
  })

  it('works from one import on Node', async () => {
    const discover = createOnNode({ approvedOrigins: [remote.origin], signal: ends.signal })
    const { authorizationServer } = await discover(remote.url)
    expect(authorizationServer.issuer).toBe(remote.issuer)
  })

  it('DSC-16: a dead server is answered with the last good copy, in another process by the cache', async () => {
    const cache = memoryCache()
    const first = await program({ cache })(remote.url)
    await until(() => cache.rows.size === 1)
    await remote.kill()
    runtime.advanceMs(2 * HOUR_MS)
    const again = await program({ cache })(remote.url)
    expect(again).toMatchObject({ state: 'stale', ageSeconds: 7_200 })
    expect(again.authorizationServer).toEqual(first.authorizationServer)
    expect([...cache.rows.keys()][0]).toMatch(/^discovery:[\w-]{43}$/)
  })

  it('DSC-14: what the server said of its freshness holds in another process, too', async () => {
    const cache = memoryCache()
    remote.settings.cacheControl = 'max-age=7200'
    await program({ cache })(remote.url)
    await until(() => cache.rows.size === 1)
    runtime.advanceMs(1.5 * HOUR_MS)
    expect(await program({ cache })(remote.url)).toMatchObject({
      state: 'fresh',
      ageSeconds: 5_400,
    })
  })

  it('C3: a copy in the cache whose issuer, resource or shape does not hold is not believed', async () => {
    const cache = memoryCache()
    await program({ cache })(remote.url)
    await until(() => cache.rows.size === 1)
    const [key = '', text = ''] = [...cache.rows][0] ?? []
    const evil = text.replaceAll(remote.issuer, 'https://evil.example')
    const poisons = [
      evil,
      text.replace(`"issuer":"${remote.issuer}"`, '"issuer":"https://evil.example"'),
      text.replace('"S256"', '"plain"'),
      text.replace('"challenge"', '"configuration"'),
      text
        .replace('"challenge"', '"legacy-metadata"')
        .replace('"issuers":["', '"issuers":["https://evil.example","'),
      text.slice(0, -3),
      '{"value":{"resource":{},"server":{},"issuers":["x"],"source":"path"},"loadedAtMs":1}',
      '[]',
      '',
    ]
    for (const poison of poisons) {
      expect(poison).not.toBe(text)
      cache.rows.set(key, poison)
      remote.forget()
      expect((await program({ cache })(remote.url)).authorizationServer.issuer).toBe(remote.issuer)
      expect(remote.total(), poison).toBe(3)
    }
  })

  it('C11: sealed, nothing that somebody else wrote to the cache is believed, however right it looks', async () => {
    const cache = memoryCache()
    const sealingKey = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'
    const sealed = () => program({ cache, sealingKey })
    await sealed()(remote.url)
    await until(() => cache.rows.size === 1)
    const [name = ''] = [...cache.rows.keys()]
    expect(JSON.stringify([...cache.rows])).not.toContain(remote.issuer)
    remote.forget()
    expect(await sealed()(remote.url)).toMatchObject({ state: 'fresh' })
    expect(remote.total()).toBe(0)

    // A whole chain of another server, right in itself, as it lies in a cache that nobody seals.
    const plain = memoryCache()
    await program({ cache: plain })(remote.url)
    await until(() => plain.rows.size === 1)
    const evil =
      [...plain.rows.values()][0]?.replaceAll(remote.issuer, 'https://evil.example') ?? ''
    for (const forgery of [evil, [...plain.rows.values()][0] ?? '', 'text', '']) {
      cache.rows.set(name, forgery)
      remote.forget()
      const { authorizationServer } = await sealed()(remote.url)
      expect(authorizationServer.issuer).toBe(remote.issuer)
      expect(remote.total()).toBe(3)
    }
    expect(() => program({ cache, sealingKey: 'short' })).toThrow(RangeError)
  })

  it('goes on without a cache that fails', async () => {
    const fails = () => Promise.reject(new Error('down'))
    const cache: Cache = { stalenessSeconds: 0, get: fails, set: fails, delete: fails }
    const discover = program({ cache })
    expect((await discover(remote.url)).state).toBe('fresh')
    expect((await discover(remote.url, { refresh: true })).state).toBe('fresh')
  })

  it('DSC-18: refresh asks anew, also where a failure is remembered', async () => {
    const discover = program()
    remote.settings.editServer = (document) => ({ ...document, issuer: 'https://evil.example' })
    const error = await errorOf(discover(remote.url))
    expect(error.code).toBe('ERR_UPSTREAM_ISSUER')
    expect(error.cause).toMatchObject({
      party: 'authorization-server',
      code: 'ERR_DISCOVERY_ISSUER',
      requirement: expect.stringContaining('DSC-07'),
    })
    remote.settings.editServer = (document) => document
    expect((await errorOf(discover(remote.url))).code).toBe('ERR_UPSTREAM_ISSUER')
    expect((await discover(remote.url, { refresh: true })).state).toBe('fresh')
  })

  it('says by its code who was silent and what may not be asked', async () => {
    const discover = program()
    for (const url of [
      'not a url',
      'http://h.example/mcp',
      'https://127.0.0.1/mcp',
      'https://u:p@h.example/mcp',
    ])
      expect((await errorOf(discover(url))).code, url).toBe('ERR_UPSTREAM_URL')
    await remote.kill()
    expect((await errorOf(discover(remote.url))).code).toBe('ERR_UPSTREAM_CONNECT')
  })

  it('refuses a limit outside its range', () => {
    expect(() => program({ limits: { discoveryTimeoutMs: 0 } })).toThrow(
      'limits.discoveryTimeoutMs',
    )
  })
})
