/** Bad input at the doors of resources: gateway, `protect()`, introspection, revocation (threats.md section 4). */
import { describe, expect, it } from 'vitest'
import { checkFamily, countOf } from '../kit/family.ts'
import {
  CREDENTIAL,
  type FamilyHouse,
  ISSUER,
  MACHINE,
  openFamilyHouse,
  PROTECTED,
} from '../kit/family-house.ts'
import { hostileJson } from '../kit/hostile.ts'
import { checkTokenDoor, type TokenDoor } from '../kit/hostile-tokens.ts'

const MCP = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
const PING = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
/** A header holds no other text, and what stands around it is cut off by whoever reads it. */
const inHeader = (token: string): boolean => /^[\x21-\x7e]+$/.test(token) && token.length < 12_000

/** Wrong claims under our own key: test/threats/tokens.test.ts, which has that key. */
function doorOf(
  house: FamilyHouse,
  name: string,
  good: string,
  present: TokenDoor['present'],
  carries: TokenDoor['carries'] = inHeader,
): TokenDoor {
  const { jwk } = house.world
  const own = { good: async () => good, sign: house.world.sign, wrongHeaders: [] }
  const claims = JSON.parse(Buffer.from(good.split('.')[1] ?? '', 'base64url').toString()) as object
  // Signed by somebody whom we know as a provider, which is nothing here.
  return { ...own, name, jwk, wrongClaims: [{ ...claims }], present, carries }
}

describe('B11: access tokens', () => {
  it('J1 J2 J3 B11: no hostile token opens the gateway', async () => {
    const house = await openFamilyHouse()
    const { access_token } = await house.tokens()
    const present: TokenDoor['present'] = async (token) => {
      const before = house.world.reached.length
      const seen = await house.post('/mcp/notes', PING, {
        ...MCP,
        authorization: `Bearer ${token}`,
      })
      const isTaken = seen.status === 200
      if (!isTaken) {
        expect([400, 401]).toContain(seen.status)
        // 400: a header that may be two (PR-13); that is no challenge.
        const challenge = seen.headers.get('www-authenticate') ?? ''
        if (seen.status === 401) expect(challenge).toMatch(/^Bearer |^DPoP /)
      }
      expect(house.world.reached.length - before).toBe(isTaken ? 1 : 0)
      return isTaken
    }
    await checkTokenDoor(doorOf(house, 'gateway', access_token, present))
    await house.finish()
  })

  it('J1 J2 J3 B11: no hostile token passes protect(), inside or by introspection', async () => {
    const house = await openFamilyHouse()
    const { access_token } = await house.tokens(PROTECTED)
    const guard: TokenDoor['present'] = async (token) => {
      const status = await house.protect(`Bearer ${token}`)
      if (status !== 200) expect([400, 401]).toContain(status)
      return status === 200
    }
    await checkTokenDoor(doorOf(house, 'protect()', access_token, guard))
    const introspect: TokenDoor['present'] = async (token) => {
      const authorization = `Bearer ${CREDENTIAL}`
      const seen = await house.form('/introspect', { token }, { authorization })
      if (seen.status !== 200) {
        expect([400, 413]).toContain(seen.status)
        expect(seen.error).toBe('invalid_request')
        return false
      }
      if (seen.json()['active'] === true) return true
      // Of what is not active nothing is told (RFC 7662 section 2.2).
      expect(seen.json()).toEqual({ active: false })
      return false
    }
    await checkTokenDoor(doorOf(house, 'introspection', access_token, introspect, () => true))
    await house.finish()
  })

  it('REV-01 B11: no hostile token revokes anything, and /revoke says the same to each', async () => {
    const house = await openFamilyHouse()
    const { access_token } = await house.tokens()
    const secret = { client_id: MACHINE.clientId, client_secret: MACHINE.secret }
    const present: TokenDoor['present'] = async (token) => {
      if (token === access_token) return true
      const seen = await house.form('/revoke', { ...secret, token })
      if (seen.status !== 200) expect([400, 413]).toContain(seen.status)
      else expect(seen.text).toBe('{}')
      const authorization = `Bearer ${access_token}`
      const call = await house.post('/mcp/notes', PING, { ...MCP, authorization })
      return call.status !== 200
    }
    await checkTokenDoor(doorOf(house, 'revocation', access_token, present, () => true))
    await house.finish()
  })
})

describe('B9: bodies of calls', () => {
  const call = {
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'create_note', arguments: {} },
  }

  it('S6 B9 B21: with a scope table no hostile body reaches a tool that the token may not use', async () => {
    const house = await openFamilyHouse()
    const { access_token } = await house.tokens(`${ISSUER}/mcp/scoped`)
    const headers = { ...MCP, authorization: `Bearer ${access_token}` }
    const good = await house.post(
      '/mcp/scoped',
      JSON.stringify({ ...call, params: { name: 'list', arguments: {} } }),
      headers,
    )
    expect(good.status).toBe(200)
    const refused = await house.post('/mcp/scoped', JSON.stringify(call), headers)
    expect([refused.status, house.world.reached.length]).toEqual([403, 1])
    const tricks = [
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list","name":"create_note"}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_note","name":"list"}}',
      '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"create_note"}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list"},"params":{"name":"create_note"}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"\\u006eame":"create_note"}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\u0063reate_note"}}',
      '{"jsonrpc":"2.0","id":1,"method":"\\u0074ools/call","params":{"name":"create_note"}}',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Name":"list","name":"create_note"}}',
      '[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"create_note"}}]',
      '\ufeff{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_note"}}',
      '{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"create_note"}}',
      '{"__proto__":{"method":"ping"},"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_note"}}',
    ].map((text) => new TextEncoder().encode(text))
    const bodies = [...tricks, ...hostileJson(call, countOf(300))]
    await checkFamily('B9 scoped', bodies, async (bytes) => {
      const before = house.world.reached.length
      const seen = await house.post('/mcp/scoped', new Uint8Array(bytes), headers)
      expect([200, 202, 400, 403, 413]).toContain(seen.status)
      if (house.world.reached.length === before) return
      // What was sent on is what was judged: JSON that asks for nothing guarded, whoever reads it.
      const sent = house.world.reached.at(-1)?.body ?? ''
      const read = JSON.parse(sent) as { method?: unknown; params?: { name?: unknown } | null }
      const name = read.params?.name
      const isGuarded =
        read.method === 'tools/call' && typeof name === 'string' && name.startsWith('create_')
      expect(isGuarded).toBe(false)
      expect(
        sent.includes('create_note') && read.method === 'tools/call' && name === undefined,
      ).toBe(false)
    })
    await house.finish()
  })

  it('B9: without a table a body is sent on as it is, or refused, and breaks nothing', async () => {
    const house = await openFamilyHouse()
    const { access_token } = await house.tokens()
    const headers = { ...MCP, authorization: `Bearer ${access_token}` }
    await checkFamily('B9 plain', hostileJson(call, countOf(300)), async (bytes) => {
      const before = house.world.reached.length
      const seen = await house.post('/mcp/notes', new Uint8Array(bytes), headers)
      expect([200, 202, 400, 413]).toContain(seen.status)
      const sent = house.world.reached.at(-1)
      if (house.world.reached.length === before) return
      expect(sent?.body).toBe(await new Response(new Uint8Array(bytes)).text())
      expect(sent?.headers.get('authorization')).not.toContain(access_token)
    })
    await house.finish()
  })
})
