/** A call carries this user's own token of the server behind, through both carriers (GW-23, GW-24, CLI-09). */
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  type ConnectionHouse,
  MODERN,
  modernCall,
  useConnectionHouses,
} from '../kit/connection-house.ts'
import { startServer } from '../kit/http.ts'

const LEGACY_CALL = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'whoami' } }

describe.each(['node', 'fetch'] as const)('calls with a connection, carrier %s', (carrier) => {
  const start = useConnectionHouses(carrier)
  const presented = (world: ConnectionHouse): (string | undefined)[] =>
    world.server.seen.map(({ headers }) => headers.authorization)

  it('GW-23, O7: exactly one token goes out, the one of this user, and ours never does', async () => {
    const world = await start()
    const ada = world.connect('ada')
    world.connect('bob')
    const answer = await world.send(LEGACY_CALL)
    expect(answer.status).toBe(200)
    expect(answer.json).toMatchObject({
      id: 1,
      result: { content: [{ text: '{"person":"ada"}' }] },
    })
    expect(presented(world)).toEqual([`Bearer ${ada}`])
    expect(JSON.stringify(world.server.seen[0]?.rawHeaders).match(/Bearer /g)).toHaveLength(1)
    expect(answer.headers['set-cookie']).toBeUndefined()
  })

  it('GW-23: no fall-back: other users, other connectors and our own token never take its place', async () => {
    const world = await start()
    world.connect('bob')
    world.tokens.connect('usr_ada', 'other', 'at_other', world.server.origin)
    const before = world.server.connections
    for (const user of ['ada', 'eve']) {
      const answer = await world.send(LEGACY_CALL, { user })
      expect(answer.json.result).toMatchObject({ isError: true })
    }
    expect([world.server.seen.length, world.server.connections]).toEqual([0, before])
    // Another client of the same person is the same person.
    expect(
      (await world.send(LEGACY_CALL, { user: 'bob', client: 'cli_2' })).json.result.content,
    ).toEqual([{ type: 'text', text: '{"person":"bob"}' }])
  })

  it('a token that sleeps in the store is loaded once, then found in memory', async () => {
    const world = await start()
    world.connect('ada', { asleep: true })
    expect((await world.send(LEGACY_CALL)).status).toBe(200)
    expect((await world.send(LEGACY_CALL)).status).toBe(200)
    expect(world.tokens.asked.loads).toBe(1)
  })

  it('I7: a store that cannot say is 503, never a call and never a link', async () => {
    const world = await start()
    world.tokens.load = async () => ({ state: 'unknown' })
    const answer = await world.send(LEGACY_CALL)
    expect(answer.status).toBe(503)
    expect(answer.headers['retry-after']).toBeDefined()
    expect(answer.text).not.toContain('link=')
    world.tokens.load = () => Promise.reject(new Error('store'))
    expect((await world.send(LEGACY_CALL)).status).toBe(503)
    expect(world.server.seen).toHaveLength(0)
  })

  it('CLI-21: a token of another origin, or a path beyond its resource, is never sent', async () => {
    const world = await start({
      connector: { routes: { protected: ['/api/*', '/mcp/files/*'], public: [] } },
    })
    world.tokens.connect('usr_eve', 'notes', 'at_elsewhere', 'https://elsewhere.example')
    expect((await world.send(LEGACY_CALL, { user: 'eve' })).json.result.isError).toBe(true)
    expect(world.server.seen).toHaveLength(0)
    const ada = world.connect('ada')
    expect((await world.send(undefined, { method: 'GET', path: '/api/users' })).status).toBe(404)
    expect(world.server.seen).toHaveLength(0)
    expect((await world.send(undefined, { method: 'GET', path: '/mcp/files/1' })).status).toBe(200)
    expect(presented(world)).toEqual([`Bearer ${ada}`])
  })

  it('CLI-21: a redirect of the server is not followed, so its target never sees the token', async () => {
    const world = await start()
    const other = await startServer()
    onTestFinished(() => other.close())
    world.connect('ada')
    for (const status of [301, 302, 307, 308]) {
      world.server.respond((_request, response) => {
        response.writeHead(status, { location: `${other.origin}/mcp` }).end()
      })
      // Nor is our client sent there, with its message and perhaps its token.
      const answer = await world.send(LEGACY_CALL)
      expect([answer.status, answer.headers.location]).toEqual([status, undefined])
    }
    expect(other.connections).toBe(0)
    expect(world.server.seen).toHaveLength(4)
  })

  it('GW-24: a 401 costs one refresh and one more call, and its challenge stays here', async () => {
    const world = await start()
    const old = world.connect('ada')
    world.people.delete(old)
    world.people.set('at_new', 'ada')
    world.challenge = 'Bearer resource_metadata="https://evil.example/rm", error="invalid_token"'
    world.tokens.onRefused = () => ({
      state: 'token',
      accessToken: 'at_new',
      scopes: [],
      connectionId: 'con_1',
      resourceOrigin: world.server.origin,
    })
    const answer = await world.send(LEGACY_CALL)
    expect(answer.json).toMatchObject({
      id: 1,
      result: { content: [{ text: '{"person":"ada"}' }] },
    })
    expect(presented(world)).toEqual([`Bearer ${old}`, 'Bearer at_new'])
    expect(world.server.seen.map(({ body }) => body)).toEqual(
      [1, 2].map(() => JSON.stringify(LEGACY_CALL)),
    )
    expect(world.tokens.asked.refused).toEqual([old])
    expect(answer.headers['www-authenticate']).toBeUndefined()
    expect(JSON.stringify([answer.headers, answer.text])).not.toContain('evil.example')
    // DSC-19: evidence for the connector's lifecycle, nothing more.
    expect(world.house.reports).toEqual([
      ['notes', { kind: 'challenge', resourceMetadata: 'https://evil.example/rm' }],
    ])
  })

  it('GW-24, O8: a second 401 asks the person, and never refreshes again for this call', async () => {
    const world = await start()
    world.tokens.connect('usr_ada', 'notes', 'at_1', world.server.origin)
    world.tokens.onRefused = () => ({
      state: 'token',
      accessToken: 'at_2',
      scopes: [],
      connectionId: 'con_1',
      resourceOrigin: world.server.origin,
    })
    const answer = await world.send(LEGACY_CALL)
    expect(answer.status).toBe(200)
    expect(answer.json.result).toMatchObject({ isError: true })
    expect(answer.text).toContain('/connect/notes?link=')
    expect(answer.headers['www-authenticate']).toBeUndefined()
    expect(presented(world)).toEqual(['Bearer at_1', 'Bearer at_2'])
    expect(world.tokens.asked.refused).toEqual(['at_1'])
  })

  it('GW-24: what has no body is asked again as well, with the new token', async () => {
    const world = await start()
    for (const method of ['GET', 'DELETE']) {
      const old = world.connect('ada')
      world.people.delete(old)
      world.people.set(`at_${method}`, 'ada')
      world.tokens.onRefused = () => ({
        state: 'token',
        accessToken: `at_${method}`,
        scopes: [],
        connectionId: 'con_1',
        resourceOrigin: world.server.origin,
      })
      const before = world.server.seen.length
      expect((await world.send(undefined, { method })).status).toBe(200)
      expect(world.server.seen.slice(before).map((seen) => seen.method)).toEqual([method, method])
    }
  })

  it('GW-24: a refresh that cannot be judged now is 503, and one that failed is a link', async () => {
    const world = await start()
    world.tokens.connect('usr_ada', 'notes', 'at_1', world.server.origin)
    world.tokens.onRefused = () => ({ state: 'unknown' })
    expect((await world.send(LEGACY_CALL)).status).toBe(503)
    world.tokens.onRefused = () => ({ state: 'reconnect' })
    const answer = await world.send({ ...LEGACY_CALL, id: 'x"1' })
    expect(answer.json).toMatchObject({ id: 'x"1', result: { isError: true } })
    expect(world.server.seen).toHaveLength(2)
    expect((await world.send(LEGACY_CALL)).json.result.isError).toBe(true)
    expect(world.server.seen, 'a known reconnect asks nobody').toHaveLength(2)
  })

  it('GW-26: a call that is not kept in memory is not made a second time', async () => {
    const world = await start()
    const old = world.connect('ada')
    world.people.delete(old)
    world.tokens.onRefused = () => ({
      state: 'token',
      accessToken: 'at_new',
      scopes: [],
      connectionId: 'con_1',
      resourceOrigin: world.server.origin,
    })
    const big = {
      ...LEGACY_CALL,
      params: { name: 'add', arguments: { text: 'x'.repeat(100_000) } },
    }
    const answer = await world.send(big)
    expect(answer.status).toBe(502)
    expect(world.server.seen).toHaveLength(1)
  })

  it('CLI-09, GW-24: a 403 for scopes asks the person for the union, a few times per operation', async () => {
    const world = await start()
    world.wanted = 'notes:write notes:share'
    world.connect('ada', { scopes: ['notes:read', 'notes:write'] })
    const scopesAsked = async (): Promise<readonly string[] | undefined> => {
      const answer = await world.send(modernCall(), { headers: MODERN })
      expect(answer.headers['www-authenticate']).toBeUndefined()
      const url = answer.json.result.inputRequests?.connect.params.url
      if (url === undefined) return undefined
      const link = world.house.readLink(url)
      return typeof link === 'object' ? link.scopes : undefined
    }
    const union = ['notes:read', 'notes:write', 'notes:share']
    // Asking again without a new consent is no try.
    for (let asked = 0; asked < 5; asked += 1) expect(await scopesAsked()).toEqual(union)
    for (const accessToken of ['at_b', 'at_c']) {
      world.people.set(accessToken, 'ada')
      const held = world.tokens.peek('usr_ada', 'notes')
      // Each consent makes another connection.
      const connectionId = `con_${accessToken}`
      world.tokens.peek = () =>
        held.state === 'token' ? { ...held, accessToken, connectionId } : held
      expect(await scopesAsked()).toEqual(accessToken === 'at_c' ? undefined : union)
    }
    const last = await world.send(modernCall(), { headers: MODERN })
    expect(last.json.result).toMatchObject({ isError: true })
    expect(last.text).not.toContain('link=')
    expect(world.tokens.asked.refused, 'no refresh for a scope').toEqual([])
  })

  it('a 403 that is no question of scopes passes, without its challenge', async () => {
    const world = await start()
    world.wanted = 'x'
    world.challenge = 'Bearer error="access_denied", realm="r"'
    world.connect('ada')
    const answer = await world.send(LEGACY_CALL)
    expect([answer.status, answer.text]).toEqual([403, '{"error":"refused"}'])
    expect(answer.headers['www-authenticate']).toBeUndefined()
    expect(answer.headers['set-cookie']).toBeUndefined()
  })

  it('GW-31: one record for each, with its reason, and no token in any', async () => {
    const world = await start()
    world.connect('ada')
    await world.send(LEGACY_CALL)
    await world.send(LEGACY_CALL, { user: 'eve' })
    const records = world.house.emit.events.filter(({ type }) => type.startsWith('call.'))
    expect(records).toMatchObject([
      { type: 'call.forwarded', connector: 'notes', status: 200, method: 'tools/call' },
      { type: 'call.forwarded', connector: 'notes', reason: 'connection_missing', name: 'whoami' },
    ])
    expect(JSON.stringify(records)).not.toMatch(/at_ada|link=|eyJ/)
  })
})
