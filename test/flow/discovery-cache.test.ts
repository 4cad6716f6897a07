/** Budgets, freshness, outages, herds and invalidation of discovery, in fake time. */
import { afterEach, describe, expect, it } from 'vitest'
import type { RemoteServerOptions } from '../../demo/doubles/remote-server.ts'
import type { DiscoveryLimits } from '../../src/connectors/discovery/discovery.ts'
import type { Fetch } from '../../src/ports.ts'
import { until } from '../kit/http.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import { type DiscoveryHouse, openHouse, openNode, targetOf } from './discovery-house.ts'

let house: DiscoveryHouse | undefined
afterEach(async () => {
  await house?.close()
  house = undefined
})
const open = async (
  options?: RemoteServerOptions & { readonly limits?: Partial<DiscoveryLimits> },
): Promise<DiscoveryHouse> => {
  house = await openHouse(options)
  return house
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const CHAIN = {
  'POST /mcp': 1,
  'GET /.well-known/oauth-protected-resource/mcp': 1,
  'GET /.well-known/oauth-authorization-server': 1,
}
const HANGS: Fetch = ({ signal }) =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })

describe('budgets', () => {
  it('DSC-13, P14: a black hole ends within the budget of the chain', async () => {
    const runtime = createTestRuntime()
    const node = await openNode({ runtime, approvedOrigins: ['http://hole.test'], fetch: HANGS })
    const target = targetOf('http://hole.test/mcp')
    const startedMs = runtime.monotonicMs()
    let endedMs = 0
    const read = node.engine.read(target, { deadlineMs: 60_000 }).finally(() => {
      endedMs = runtime.monotonicMs()
    })
    await runtime.elapseMs(10_000)
    expect(await read).toMatchObject({
      ok: false,
      state: 'unreachable',
      problem: { party: 'server', code: 'ERR_CONNECTOR_UNREACHABLE' },
    })
    expect(endedMs - startedMs).toBe(5_000)
    // The probe and one document, 3 s and what was left.
    expect(node.emit.eventsOf('remote.called').map(({ durationMs }) => durationMs)).toEqual([
      3_000, 2_000,
    ])
    await node.close()
  })

  it('DSC-13: a black hole behind a live server is named, and costs one exchange of it', async () => {
    const runtime = createTestRuntime()
    const server = new URL('http://notes.test/mcp')
    const document = JSON.stringify({
      resource: server.href,
      authorization_servers: ['http://auth.test'],
    })
    const fetch: Fetch = async (request) => {
      if (request.url.host === 'auth.test') return HANGS(request)
      const headers = new Headers({ 'content-type': 'application/json' })
      const isDocument = request.method === 'GET'
      const body = new Response(isDocument ? document : '{}').body
      return { status: isDocument ? 200 : 401, headers, body }
    }
    const approvedOrigins = [server.origin, 'http://auth.test']
    const node = await openNode({ runtime, approvedOrigins, fetch })
    const read = node.engine.read(targetOf(server.href), { deadlineMs: 5_000 })
    await runtime.elapseMs(3_000)
    expect(await read).toMatchObject({
      ok: false,
      state: 'unreachable',
      problem: { party: 'authorization-server', requirement: 'DSC-13' },
    })
    expect(node.emit.eventsOf('remote.called')).toHaveLength(3)
    await node.close()
  })

  it('DSC-13: answers that are slow one by one do not add up beyond the budget', async () => {
    const runtime = createTestRuntime()
    const slow: Fetch = async ({ signal }) => {
      await new Promise<void>((resolve) => void runtime.after(2_000, resolve))
      signal.throwIfAborted()
      return { status: 404, headers: new Headers(), body: null }
    }
    const node = await openNode({ runtime, approvedOrigins: ['http://slow.test'], fetch: slow })
    const startedMs = runtime.monotonicMs()
    let endedMs = 0
    const read = node.engine
      .read(targetOf('http://slow.test/mcp'), { deadlineMs: 5_000 })
      .finally(() => {
        endedMs = runtime.monotonicMs()
      })
    await runtime.elapseMs(20_000)
    expect(await read).toMatchObject({ ok: false, state: 'unreachable' })
    expect(endedMs - startedMs).toBe(5_000)
    expect(node.emit.eventsOf('remote.called')).toHaveLength(3)
    await node.close()
  })

  it('DSC-13: a caller with less time waits no longer, and the chain goes on behind', async () => {
    const { remote, engine, target, runtime } = await open()
    remote.slow(20)
    const read = engine.read(target, { deadlineMs: 100 })
    await runtime.elapseMs(100)
    expect(await read).toMatchObject({ ok: false, state: 'unreachable' })
    await until(() => engine.peek(target) !== undefined, 'the chain goes on')
  })

  it('DSC-13: a server that takes 500 ms for each answer is found, with one chain', async () => {
    const { remote, read, exchanges } = await open()
    remote.slow(500)
    expect((await read()).source).toBe('challenge')
    expect(exchanges()).toEqual(CHAIN)
  })
})

describe('freshness', () => {
  it.each([
    [undefined, 3_600],
    ['max-age=7200', 7_200],
    ['max-age=1', 300],
    ['max-age=999999', 86_400],
    ['no-store', 300],
    ['no-cache, max-age=7200', 300],
    ['public, s-maxage=900, max-age=7200', 900],
  ])(
    'DSC-14: Cache-Control %s is fresh for %d s, and a warm read asks nobody',
    async (value, seconds) => {
      const { read, engine, target, runtime, exchanges } = await open({
        settings: { cacheControl: value },
      })
      await read()
      exchanges()
      // Lives are shortened by up to a tenth.
      runtime.advanceMs(seconds * 900 - 1)
      expect(engine.peek(target)?.state).toBe('fresh')
      expect((await read()).state).toBe('fresh')
      expect(exchanges()).toEqual({})
      runtime.advanceMs(seconds * 100 + 1)
      expect(engine.peek(target)?.state).not.toBe('fresh')
    },
  )

  it('DSC-14: several connectors of one server share its documents, other rules do not', async () => {
    const { remote, read, exchanges } = await open()
    await read()
    exchanges()
    await read({ target: targetOf(remote.url, {}, { connector: 'other' }) })
    expect(exchanges()).toEqual({})
    await read({ target: targetOf(remote.url, { strictResource: true }) })
    expect(exchanges()).toEqual(CHAIN)
  })

  it('DSC-15: asks with If-None-Match, and a 304 renews what is known', async () => {
    const { remote, read, engine, target, runtime } = await open({ settings: { etag: true } })
    const first = await read()
    let bodies = 0
    remote.settings.editResource = (document) => {
      bodies += 1
      return document
    }
    runtime.advanceMs(HOUR_MS + 1)
    await until(() => engine.peek(target)?.state === 'fresh')
    const path = 'GET /.well-known/oauth-protected-resource/mcp'
    expect(remote.lastHeaders(path)?.['if-none-match']).toMatch(/^"/)
    expect(bodies).toBe(1)
    const renewed = engine.peek(target)
    expect(renewed?.resource).toEqual(first.resource)
    expect(renewed?.authorizationServer).toEqual(first.authorizationServer)
    expect(renewed?.ageSeconds).toBe(0)
  })

  it('DSC-15: asks with If-Modified-Since where that is what the server said', async () => {
    const { remote, read, engine, target, runtime } = await open()
    const path = 'GET /.well-known/oauth-protected-resource/mcp'
    const said = 'Wed, 21 Oct 2026 07:28:00 GMT'
    remote.answerWith(path, {
      status: 200,
      headers: { 'content-type': 'application/json', 'last-modified': said },
      body: JSON.stringify({ resource: remote.url, authorization_servers: [remote.issuer] }),
    })
    await read()
    remote.answerWith(path, { status: 304 })
    runtime.advanceMs(HOUR_MS + 1)
    await until(() => engine.peek(target)?.state === 'fresh')
    expect(remote.lastHeaders(path)?.['if-modified-since']).toBe(said)
  })

  it('P4: a connector that is kept warm is renewed ahead, and nobody ever waits', async () => {
    const { read, engine, target, runtime, exchanges } = await open()
    engine.keepWarm(target)
    await read()
    exchanges()
    await runtime.elapseMs(20 * HOUR_MS)
    await until(() => (engine.peek(target)?.ageSeconds ?? 1e9) < 20_000)
    expect(exchanges()['POST /mcp']).toBeGreaterThan(0)
  })
})

describe('outages', () => {
  it('DSC-16: a dead server is served from memory, for 24 h at once and 7 d in all', async () => {
    const { remote, read, refusal, engine, target, runtime } = await open()
    const first = await read()
    await remote.kill()
    runtime.advanceMs(2 * HOUR_MS)
    expect(engine.peek(target)).toMatchObject({ state: 'stale', resource: first.resource })
    await until(() => engine.peek(target)?.problem !== undefined)
    runtime.advanceMs(5 * DAY_MS)
    const late = await read()
    expect(late).toMatchObject({ state: 'stale', authorizationServer: first.authorizationServer })
    expect(late.problem).toMatchObject({ code: 'ERR_CONNECTOR_UNREACHABLE' })
    runtime.advanceMs(3 * DAY_MS)
    expect(await refusal()).toMatchObject({ code: 'ERR_CONNECTOR_UNREACHABLE' })
  })

  it('DSC-16: and also after a restart', async () => {
    const { remote, read, engine, runtime, again, target } = await open()
    const first = await read()
    await engine.close()
    await remote.kill()
    runtime.advanceMs(2 * HOUR_MS)
    const { engine: restarted } = await again()
    expect(restarted.peek(target)).toMatchObject({ state: 'stale', resource: first.resource })
    runtime.advanceMs(3 * DAY_MS)
    expect(await restarted.read(target, { deadlineMs: 5_000 })).toMatchObject({
      ok: true,
      discovered: { state: 'stale', authorizationServer: first.authorizationServer },
    })
  })

  it('DSC-18: a failure is remembered for 30 s, and a person who asks again is not told it', async () => {
    const { remote, read, refusal, runtime, exchanges } = await open()
    remote.fail(500)
    expect(await refusal()).toMatchObject({ party: 'server', code: 'ERR_CONNECTOR_UNREACHABLE' })
    await remote.revive()
    exchanges()
    expect(await refusal()).toMatchObject({ code: 'ERR_CONNECTOR_UNREACHABLE' })
    expect(exchanges()).toEqual({})
    expect((await read({ retry: true })).state).toBe('fresh')
    remote.settings.editServer = () => ({})
    await house?.engine.drop(house.target)
    expect(await refusal()).toMatchObject({ code: 'ERR_DISCOVERY_MEMBER' })
    remote.settings.editServer = (document) => document
    runtime.advanceMs(30_001)
    expect((await read()).state).toBe('fresh')
  })

  it('DSC-17: a failing server is asked a bounded number of times, and a retry does not pass the breaker', async () => {
    const { remote, refusal, read, runtime, exchanges, emit } = await open()
    remote.fail(500)
    for (let turn = 0; turn < 30; turn += 1) await refusal({ retry: true })
    expect(emit.eventsOf('breaker.opened')).toHaveLength(1)
    expect(Object.values(exchanges()).reduce((sum, count) => sum + count, 0)).toBeLessThan(10)
    const problem = await refusal({ retry: true })
    expect(problem).toMatchObject({ requirement: 'DSC-17' })
    await remote.revive()
    runtime.advanceMs(10_000)
    expect((await read({ retry: true })).state).toBe('fresh')
  })
})

describe('herds', () => {
  it('DSC-17, P13: 1,000 cold starts at once make one chain', async () => {
    const { remote, engine, target, exchanges } = await open()
    remote.slow(20)
    const reads = Array.from({ length: 1_000 }, () => engine.read(target, { deadlineMs: 5_000 }))
    const results = await Promise.all(reads)
    expect(results.every(({ ok }) => ok)).toBe(true)
    expect(exchanges()).toEqual(CHAIN)
  })

  it('DSC-17: two nodes make one chain, and the second takes what the first found', async () => {
    const { remote, engine, target, exchanges, again, runtime } = await open()
    const other = await again()
    remote.slow(20)
    const both = Promise.all([
      engine.read(target, { deadlineMs: 5_000 }),
      other.engine.read(target, { deadlineMs: 5_000 }),
    ])
    await until(() => engine.peek(target) !== undefined)
    await runtime.elapseMs(200)
    expect((await both).map(({ ok }) => ok)).toEqual([true, true])
    expect(exchanges()).toEqual(CHAIN)
  })
})

describe('invalidation', () => {
  it('DSC-19: soft asks again behind, once per connector in 30 s, and keeps the last good copy', async () => {
    const { remote, read, engine, target, runtime, exchanges } = await open()
    await read()
    exchanges()
    runtime.advanceMs(1_000)
    await remote.kill()
    engine.revalidate(target)
    expect(engine.peek(target)).toMatchObject({
      state: 'stale',
      resource: { resource: remote.url },
    })
    await until(() => engine.peek(target)?.problem !== undefined)
    await remote.revive()
    runtime.advanceMs(20_000)
    engine.revalidate(target)
    await until(() => engine.peek(target)?.state === 'fresh')
    expect(exchanges()).toEqual(CHAIN)
    runtime.advanceMs(1_000)
    engine.revalidate(target)
    engine.revalidate(target)
    await runtime.settle()
    expect(exchanges()).toEqual({})
  })

  it('DSC-19: hard forgets, here and in the store', async () => {
    const { read, engine, target, again, exchanges } = await open()
    await read()
    await engine.drop(target)
    expect(engine.peek(target)).toBeUndefined()
    const restarted = await again()
    expect(restarted.engine.peek(target)).toBeUndefined()
    exchanges()
    await read()
    expect(exchanges()).toEqual(CHAIN)
  })

  it('DSC-19: who asks anew in the very moment of a load gets an answer of its own; what is refused is gone', async () => {
    const { remote, read, engine, target, again, exchanges } = await open()
    await read()
    remote.settings.editResource = (document) => ({ ...document, authorization_servers: [] })
    exchanges()
    expect(await engine.renew(target, { deadlineMs: 5_000 })).toMatchObject({
      ok: false,
      state: 'refused',
    })
    expect(Object.keys(exchanges())).not.toEqual([])
    expect((await again()).engine.peek(target)).toBeUndefined()
  })

  it('DSC-19: a renewal that finds another issuer in the metadata drops the last good copy', async () => {
    const { remote, read, refusal, engine, target, runtime } = await open()
    await read()
    remote.settings.editServer = (document) => ({ ...document, issuer: 'https://evil.example' })
    runtime.advanceMs(HOUR_MS + 1)
    expect(engine.peek(target)?.state).toBe('stale')
    await until(() => engine.peek(target) === undefined)
    expect(await refusal()).toMatchObject({ code: 'ERR_DISCOVERY_ISSUER' })
  })

  it('DSC-16: an administrator who looks while nobody answers keeps the last good copy', async () => {
    const { remote, read, engine, target, runtime } = await open()
    const first = await read()
    runtime.advanceMs(1_000)
    await remote.kill()
    expect(await engine.renew(target, { deadlineMs: 5_000 })).toMatchObject({
      ok: true,
      discovered: { state: 'stale', problem: { code: 'ERR_CONNECTOR_UNREACHABLE' } },
    })
    expect(engine.peek(target)?.resource).toEqual(first.resource)
    await remote.revive()
    expect(await engine.renew(target, { deadlineMs: 5_000 })).toMatchObject({
      ok: true,
      discovered: { state: 'fresh', ageSeconds: 0 },
    })
  })
})
