import { describe, expect, it } from 'vitest'
import { createRecordingEmit } from '../../test/kit/emit.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createBreakers } from '../cache/breaker.ts'
import type { Fetch, FetchRequest } from '../ports.ts'
import { createEgress, type EgressRequest } from './egress.ts'
import { FetchFailure } from './failure.ts'

const LIMITS = { timeoutMs: 3_000, maxBytes: 64 }

function house(port: Fetch) {
  const runtime = createTestRuntime()
  const emit = createRecordingEmit()
  const requests: FetchRequest[] = []
  const egress = createEgress({
    fetch: (request) => {
      requests.push(request)
      return port(request)
    },
    runtime,
    emit,
    approvedOrigins: new Set(['http://127.0.0.1:8000']),
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: 2_000,
    breakers: createBreakers({ runtime, emit }),
  })
  const ask = (detail: Partial<EgressRequest> = {}) =>
    egress.exchange({
      operation: 'discovery',
      method: 'GET',
      url: 'https://remote.test/a?secret=1',
      ...LIMITS,
      ...detail,
    })
  return { runtime, emit, requests, egress, ask }
}

function answers(
  status: number,
  text: string | null = '{}',
  headers: Record<string, string> = {},
): Fetch {
  return async () => ({ status, headers: new Headers(headers), body: new Response(text).body })
}
const hangs: Fetch = () => new Promise(() => undefined)
const fails =
  (failure: unknown): Fetch =>
  () =>
    Promise.reject(failure)

describe('createEgress', () => {
  it('returns every status but 3xx, with headers and text', async () => {
    for (const status of [200, 201, 304, 400, 401, 404, 429, 500]) {
      const { ask } = house(answers(status, status === 304 ? null : 'text', { etag: '"1"' }))
      await expect(ask()).resolves.toMatchObject({ status, text: status === 304 ? '' : 'text' })
    }
  })

  it.each([300, 301, 302, 303, 305, 307, 308])(
    'NET-03, S3: refuses %d and asks nobody else',
    async (status) => {
      const { ask, requests } = house(answers(status, null, { location: 'https://127.0.0.1/' }))
      await expect(ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_REDIRECT', status })
      await expect(ask({ method: 'POST', body: 'code=1' })).rejects.toMatchObject({
        code: 'ERR_UPSTREAM_REDIRECT',
      })
      expect(requests).toHaveLength(2)
      expect(requests.every((request) => request.signal.aborted)).toBe(true)
    },
  )

  it('NET-03: answers a redirect without its body to a caller that judges it, and goes nowhere', async () => {
    const location = 'http://169.254.169.254/'
    const { ask, requests } = house(answers(302, 'moved', { location }))
    const answer = await ask({ answersRedirects: true })
    expect(answer).toMatchObject({ status: 302, text: '' })
    expect(answer.headers.get('location')).toBe(location)
    expect(requests).toHaveLength(1)
  })

  it('NET-01, NET-02: what the file approves does not count for a URL that a stranger named', async () => {
    const { ask, requests } = house(answers(200))
    const url = 'http://127.0.0.1:8000/'
    await expect(ask({ url, publicOnly: true })).rejects.toMatchObject({ code: 'ERR_UPSTREAM_URL' })
    expect(requests).toHaveLength(0)
    await expect(ask({ url })).resolves.toMatchObject({ status: 200 })
  })

  it('S1, NET-01: refuses before the port is asked', async () => {
    const { ask, requests } = house(answers(200))
    await expect(ask({ url: 'http://remote.test/' })).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_URL',
    })
    await expect(ask({ url: 'https://[::ffff:10.0.0.1]/' })).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_ADDRESS',
    })
    await expect(ask({ url: 'nonsense' })).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_URL',
      origin: 'invalid',
    })
    expect(requests).toHaveLength(0)
  })

  it('tells the port which origins the configuration file approved', async () => {
    const { ask, requests } = house(answers(200))
    await ask()
    await ask({ url: 'http://127.0.0.1:8000/x' })
    expect(requests.map((request) => request.addresses)).toEqual(['public', 'approved'])
  })

  it('NET-05: sends no cookie, no ambient header, and asks for an answer without coding', async () => {
    const { ask, requests } = house(answers(200))
    await ask({
      headers: {
        Cookie: 'a=1',
        Host: 'evil.test',
        'Accept-Encoding': 'gzip',
        Authorization: 'Bearer x',
      },
    })
    expect(requests[0]?.headers).toEqual({
      accept: 'application/json',
      'user-agent': 'postern',
      'accept-encoding': 'identity',
      authorization: 'Bearer x',
    })
  })

  it.each(['a\r\nb', 'a\nb', 'a\u0000b', 'a\u2028b'])(
    'S11: refuses the header value %j',
    async (value) => {
      const { ask, requests } = house(answers(200))
      await expect(ask({ headers: { authorization: value } })).rejects.toMatchObject({
        code: 'ERR_UPSTREAM_URL',
      })
      expect(requests).toHaveLength(0)
    },
  )

  it('F2: ends an exchange at its total deadline, even when the port ignores the signal', async () => {
    const { ask, requests, runtime } = house(hangs)
    const asked = ask()
    runtime.advanceMs(LIMITS.timeoutMs)
    await expect(asked).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TIMEOUT', elapsedMs: 3_000 })
    expect(requests[0]?.signal.aborted).toBe(true)
    expect(runtime.timers()).toBe(0)
  })

  it('NET-04, F2: the deadline covers the body', async () => {
    const { ask, runtime } = house(async () => ({
      status: 200,
      headers: new Headers(),
      body: new ReadableStream(),
    }))
    const asked = ask()
    await runtime.settle()
    runtime.advanceMs(LIMITS.timeoutMs)
    await expect(asked).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TIMEOUT' })
  })

  it("rejects with the caller's reason when the caller gives up", async () => {
    const { ask, requests, emit } = house(hangs)
    const caller = new AbortController()
    const asked = ask({ signal: caller.signal })
    caller.abort(new Error('client left'))
    await expect(asked).rejects.toThrow('client left')
    expect(requests[0]?.signal.aborted).toBe(true)
    expect(emit.eventsOf('remote.called')[0]).toMatchObject({ outcome: 'aborted' })
  })

  it('NET-04: accepts a body at the cap and refuses one byte more, declared or not', async () => {
    await expect(house(answers(200, 'x'.repeat(64))).ask()).resolves.toMatchObject({ status: 200 })
    const { ask, requests } = house(answers(200, 'x'.repeat(65)))
    await expect(ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TOO_LARGE' })
    expect(requests[0]?.signal.aborted).toBe(true)
    const declared = house(answers(200, 'x', { 'content-length': '6400' }))
    await expect(declared.ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_TOO_LARGE' })
  })

  it.each(['gzip', 'br', 'gzip, gzip', 'x-unknown'])(
    'NET-04, S5: refuses an answer encoded as %s',
    async (coding) => {
      const { ask } = house(answers(200, 'x', { 'content-encoding': coding }))
      await expect(ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_BODY' })
    },
  )

  it('S6: refuses text that is not UTF-8', async () => {
    const body = (): ReadableStream<Uint8Array> | null =>
      new Response(new Uint8Array([0x7b, 0xff, 0xfe])).body
    const { ask } = house(async () => ({ status: 200, headers: new Headers(), body: body() }))
    await expect(ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_BODY' })
  })

  it('F6: keeps the code and the reason of the port', async () => {
    const { ask, emit } = house(fails(new FetchFailure('ERR_UPSTREAM_TLS', 'expired')))
    await expect(ask()).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_TLS',
      operation: 'discovery',
      origin: 'https://remote.test',
    })
    expect(emit.eventsOf('remote.called')[0]).toMatchObject({ outcome: 'tls', reason: 'expired' })
  })

  it('tells each exchange once, with the origin and without path, query or body', async () => {
    const { ask, emit } = house(answers(500, 'upstream secret'))
    await ask({ headers: { authorization: 'Bearer hidden' } })
    expect(emit.eventsOf('remote.called')).toEqual([
      {
        type: 'remote.called',
        operation: 'discovery',
        origin: 'https://remote.test',
        outcome: 'status-5xx',
        durationMs: 0,
        status: 500,
      },
    ])
    expect(
      emit.counted('postern_remote_calls_total', { operation: 'discovery', outcome: 'status-5xx' }),
    ).toBe(1)
    expect(emit.dump()).not.toMatch(/secret|hidden/)
  })

  it('F6: opens the breaker of the origin after five failures in a row and asks nobody', async () => {
    const { ask, requests, runtime } = house(
      fails(new FetchFailure('ERR_UPSTREAM_CONNECT', 'refused')),
    )
    for (let call = 0; call < 5; call++)
      await expect(ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_CONNECT' })
    await expect(ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_BREAKER' })
    await expect(ask({ url: 'https://other.test/' })).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_CONNECT',
    })
    expect(requests).toHaveLength(6)
    runtime.advanceMs(5_000)
    await expect(ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_CONNECT' })
    await expect(ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_BREAKER' })
  })

  it('a lying answer and a caller who leaves do not open the breaker', async () => {
    const { ask } = house(answers(302, null))
    for (let call = 0; call < 9; call++)
      await expect(ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_REDIRECT' })
  })

  it('F4: waits as long as Retry-After orders, for the origin when the limit is ours', async () => {
    const limited = house(answers(429, null, { 'retry-after': '20' }))
    await limited.ask()
    await expect(limited.ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_BREAKER' })
    limited.runtime.advanceMs(19_999)
    await expect(limited.ask()).rejects.toMatchObject({ code: 'ERR_UPSTREAM_BREAKER' })
    limited.runtime.advanceMs(5_000)
    await expect(limited.ask()).resolves.toMatchObject({ status: 429 })
    expect(limited.requests).toHaveLength(2)
  })

  it("F4: a 429 to one person's token holds nobody else", async () => {
    const { ask } = house(answers(429, null, { 'retry-after': '20' }))
    await ask({ operation: 'check' })
    await expect(ask({ operation: 'token' })).resolves.toMatchObject({ status: 429 })
  })
})
