import { describe, expect, it } from 'vitest'
import type { FetchRequest } from '../ports.ts'
import { createWorkersFetch } from './fetch.ts'

function setUp(answer = () => new Response('ok')) {
  const calls: RequestInit[] = []
  const port = createWorkersFetch({
    zone: 'auth.example',
    fetch: async (_, init = {}) => {
      calls.push(init)
      return answer()
    },
  })
  const ask = (url: string, addresses: FetchRequest['addresses'] = 'public') =>
    port({
      method: 'GET',
      url: new URL(url),
      headers: {},
      signal: new AbortController().signal,
      connectTimeoutMs: 1,
      addresses,
    })
  return { ask, calls }
}

describe('createWorkersFetch', () => {
  it.each([
    'https://1.1.1.1/',
    'https://2130706433/',
    'https://[2606:4700::1]/',
    'https://localhost/',
    'https://a.localhost./',
    'https://intranet/',
    'https://x.internal/',
    'https://auth.example/',
    'https://api.auth.example./',
  ])('NET-07: refuses %s unless the configuration file names it', async (url) => {
    const { ask, calls } = setUp()
    await expect(ask(url)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_ADDRESS' })
    expect(calls).toHaveLength(0)
    await expect(ask(url, 'approved')).resolves.toMatchObject({ status: 200 })
  })

  it('NET-03: asks the platform not to follow redirects and hands out the 3xx', async () => {
    const { ask, calls } = setUp(
      () => new Response(null, { status: 302, headers: { location: 'https://other.test/' } }),
    )
    await expect(ask('https://remote.test/')).resolves.toMatchObject({ status: 302 })
    expect(calls[0]).toMatchObject({ redirect: 'manual' })
  })

  it('S5: drops the name of a coding that the platform has already undone', async () => {
    const { ask } = setUp(
      () => new Response('x', { headers: { 'content-encoding': 'gzip', 'content-length': '9' } }),
    )
    const { headers } = await ask('https://remote.test/')
    expect([headers.get('content-encoding'), headers.get('content-length')]).toEqual([null, null])
  })
})
