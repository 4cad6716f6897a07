/** D3, A16: whoever is refused again and again waits for it; whoever is answered well does not. */
import { afterEach, describe, expect, it } from 'vitest'
import { type Plane, startPlane } from '../kit/plane.ts'

/** A tenth of it is answered at once. */
const PER_SECOND = 30
const MAX = 3

let plane: Plane<'openid'> | undefined
afterEach(async () => {
  await plane?.close()
  plane = undefined
})

async function start(): Promise<Plane<'openid'>> {
  plane = await startPlane({
    provider: 'openid',
    limits: { refusalsPerSecondMax: PER_SECOND, registrationsPerMinuteMax: 1 },
  })
  return plane
}

/** Sends them together; `statuses` grows as answers arrive. */
function sendAll(count: number, send: () => Promise<Response>) {
  const statuses: number[] = []
  const all = Array.from({ length: count }, async () => {
    const { status } = await send()
    statuses.push(status)
  })
  return { statuses, done: Promise.all(all) }
}

describe('a flood that is refused', () => {
  it('D3: bad tokens beyond the budget wait a second, a good call beside them does not', async () => {
    const { elapse, resource, signIn } = await start()
    const { accessToken } = await signIn()
    await elapse(1_000)
    const post = (token: string) =>
      fetch(resource, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token}`,
          accept: 'application/json, text/event-stream',
          'content-type': 'application/json',
        },
        body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
      })
    const flood = sendAll(MAX + 4, () => post(`${accessToken.slice(0, -8)}AAAAAAAA`))
    await expect.poll(() => flood.statuses.length).toBe(MAX)
    expect((await post(accessToken)).status).toBe(200)
    expect(flood.statuses).toEqual([401, 401, 401])
    await elapse(1_000)
    await flood.done
    expect(flood.statuses).toEqual(Array.from({ length: MAX + 4 }, () => 401))
  })

  it('A16: registrations that are refused wait as well, and pages do not', async () => {
    const { elapse, issuer } = await start()
    const register = () =>
      fetch(`${issuer}/register`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"redirect_uris":["http://127.0.0.1:9/callback"]}',
      })
    expect((await register()).status).toBe(201)
    const flood = sendAll(MAX + 2, register)
    await expect.poll(() => flood.statuses.length).toBe(MAX)
    expect((await fetch(`${issuer}/.well-known/oauth-authorization-server`)).status).toBe(200)
    expect(flood.statuses).toEqual([429, 429, 429])
    await elapse(1_000)
    await flood.done
    expect(flood.statuses).toEqual(Array.from({ length: MAX + 2 }, () => 429))
  })
})
