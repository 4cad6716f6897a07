/** How fresh and how strong a sign-in must be, per connector, through both carriers (RFC 9470). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway, type TokenSpec } from '../kit/gateway.ts'
import { raw, request, startServer, type TestServer } from '../kit/http.ts'

const CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'

describe.each(['node', 'fetch'] as const)('step-up, carrier %s', (carrier) => {
  let server: TestServer
  let house: TestGateway
  let nowSeconds: number

  beforeAll(async () => {
    server = await startServer()
    house = await startGateway({
      carrier,
      connectors: [
        { name: 'fresh', url: `${server.origin}/mcp`, stepUp: { maxAuthAgeSeconds: 300 } },
        { name: 'strong', url: `${server.origin}/mcp`, stepUp: { acrValues: ['phr', 'phrh'] } },
        {
          name: 'both',
          url: `${server.origin}/mcp`,
          stepUp: { maxAuthAgeSeconds: 60, acrValues: ['phr'] },
          routes: { protected: ['/api/*'], public: ['/health'] },
        },
        { name: 'plain', url: `${server.origin}/mcp` },
      ],
    })
    nowSeconds = Math.floor(house.runtime.nowMs() / 1000)
  })
  afterAll(async () => {
    await house.close()
    await server.close()
  })

  let grants = 0
  const token = (connector: string, signIn: TokenSpec['signIn'], scope = 'mcp') => {
    grants += 1
    return house.token({
      connector,
      scope,
      grant: `grt_${grants}`,
      ...(signIn === undefined ? {} : { signIn }),
    })
  }
  const call = (target: string, bearer: string, method = 'POST') =>
    raw(
      house.port,
      request(
        method,
        target,
        [house.host, `Authorization: Bearer ${bearer}`, 'Content-Type: application/json'],
        method === 'POST' ? CALL : '',
      ),
    )

  it('PR-17: an old sign-in gets the challenge with max_age, a fresh one passes', async () => {
    const old = token('fresh', { authTimeSeconds: nowSeconds - 3_600 })
    const before = server.seen.length
    const answer = await call('/mcp/fresh', old)
    expect(answer.status).toBe(401)
    expect(answer.headers['www-authenticate']).toBe(
      `Bearer resource_metadata="${house.issuer}/.well-known/oauth-protected-resource/mcp/fresh", ` +
        'scope="mcp", error="insufficient_user_authentication", max_age="300"',
    )
    expect(JSON.parse(answer.body)).toMatchObject({ error: 'insufficient_user_authentication' })
    expect(server.seen.length).toBe(before)
    expect(house.emit.events.at(-1)).toMatchObject({ reason: 'step_up' })
    const fresh = token('fresh', { authTimeSeconds: nowSeconds - 10 })
    expect((await call('/mcp/fresh', fresh)).status).toBe(200)
    // The same remembered token, once its sign-in is too old.
    house.advanceMs(295_000)
    expect((await call('/mcp/fresh', fresh)).status).toBe(401)
    house.advanceMs(-295_000)
    expect((await call('/mcp/fresh', token('fresh', undefined))).status).toBe(401)
    expect((await call('/mcp/plain', token('plain', undefined))).status).toBe(200)
  })

  it('PR-17: an acr that is not accepted, or none, gets the challenge with acr_values', async () => {
    const answer = await call('/mcp/strong', token('strong', { acr: 'pwd' }, 'mcp x'))
    expect(answer.status).toBe(401)
    expect(answer.headers['www-authenticate']).toBe(
      `Bearer resource_metadata="${house.issuer}/.well-known/oauth-protected-resource/mcp/strong", ` +
        'scope="mcp x", error="insufficient_user_authentication", acr_values="phr phrh"',
    )
    for (const acr of ['', 'PHR', 'phr phrh', 'ph'])
      expect((await call('/mcp/strong', token('strong', { acr }))).status, acr).toBe(401)
    expect((await call('/mcp/strong', token('strong', {}))).status).toBe(401)
    expect((await call('/mcp/strong', token('strong', { acr: 'phrh' }))).status).toBe(200)
  })

  it('PR-17: both rules hold together, on every method and protected path, and not on public ones', async () => {
    const authTimeSeconds = nowSeconds
    const good = token('both', { authTimeSeconds, acr: 'phr' })
    const weak = token('both', { authTimeSeconds, acr: 'pwd' })
    const old = token('both', { authTimeSeconds: nowSeconds - 120, acr: 'phr' })
    for (const [method, target] of [
      ['POST', '/mcp/both'],
      ['GET', '/mcp/both'],
      ['DELETE', '/mcp/both'],
      ['GET', '/api/x'],
    ] as const) {
      expect((await call(target, good, method)).status, `${method} ${target}`).toBe(200)
      for (const refused of [weak, old]) {
        const answer = await call(target, refused, method)
        expect(answer.status, `${method} ${target}`).toBe(401)
        expect(answer.headers['www-authenticate']).toContain('acr_values="phr", max_age="60"')
      }
    }
    expect((await call('/health', weak, 'GET')).status).toBe(200)
  })
})
