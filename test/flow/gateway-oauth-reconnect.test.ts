/** What each client is told when a person has to connect first, and how the call goes on (GW-25, flows.md section 8). */
import type { Server } from 'node:http'
import { describe, expect, it } from 'vitest'
import { createScopeTable } from '../../src/oauth/scope-table.ts'
import {
  CAPABILITIES,
  MODERN,
  modernCall,
  type Told,
  useConnectionHouses,
} from '../kit/connection-house.ts'
import { until } from '../kit/http.ts'

const WRITE_SCOPE = createScopeTable([
  { name: 'write', tools: ['add_*'], methods: [], implies: [], upstream: {} },
])
const LEGACY = { 'mcp-protocol-version': '2025-11-25' }
const CALL = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'whoami' } }
const initialize = (
  capabilities: object = { elicitation: { url: {} } },
  protocolVersion = '2025-11-25',
) => ({
  jsonrpc: '2.0',
  id: 'i',
  method: 'initialize',
  params: { protocolVersion, capabilities, clientInfo: { name: 'c', version: '1' } },
})

describe.each(['node', 'fetch'] as const)('reconnect answers, carrier %s', (carrier) => {
  const start = useConnectionHouses(carrier)
  const question = (answer: Told): { url: string; state: string } => ({
    url: answer.json.result.inputRequests.connect.params.url,
    state: answer.json.result.requestState,
  })
  const answered = (state: string, action = 'accept', more: object = {}) =>
    modernCall({ requestState: state, inputResponses: { connect: { action } }, ...more })
  const modern = { headers: MODERN }

  it('GW-25: a modern client that can open URLs gets one question, and nothing is sent', async () => {
    const world = await start()
    const answer = await world.send(modernCall(), modern)
    expect(answer.status).toBe(200)
    expect(answer.headers['www-authenticate']).toBeUndefined()
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(answer.json).toEqual({
      jsonrpc: '2.0',
      id: 7,
      result: {
        resultType: 'input_required',
        inputRequests: {
          connect: {
            method: 'elicitation/create',
            params: {
              mode: 'url',
              message: 'Notes needs an account of yours that is connected.',
              url: expect.stringMatching(
                /^https:\/\/auth\.example\.com\/connect\/notes\?link=[\w-]+$/,
              ),
            },
          },
        },
        requestState: expect.stringMatching(/^prs1_[\w-]+$/),
      },
    })
    expect(world.server.seen).toHaveLength(0)
  })

  it('GW-25: a caller without a token of ours gets a 401 and no link, whatever it can open', async () => {
    const world = await start()
    for (const authorization of ['Bearer x', 'Basic YTpi']) {
      const answer = await world.send(modernCall(), { headers: { ...MODERN, authorization } })
      expect(answer.status).toBe(401)
      expect(answer.headers['www-authenticate']).toContain(
        'resource_metadata="https://auth.example.com/',
      )
      expect(answer.text).not.toContain('link=')
    }
  })

  it('GW-25, CLI-13: a link says nothing of a person, and a token stands nowhere', async () => {
    const world = await start()
    const answer = await world.send(modernCall(), modern)
    const { url, state } = question(answer)
    expect(world.house.readLink(url)).toMatchObject({
      userId: 'usr_ada',
      clientId: 'cli_1',
      connector: 'notes',
      scopes: [],
    })
    const opened = [url, state].map((text) =>
      Buffer.from(text.replace(/^.*(?:=|prs1_)/, ''), 'base64url').toString('latin1'),
    )
    for (const secret of ['usr_ada', 'ada@example.com', 'cli_1', 'Bearer', world.ourToken()]) {
      expect([answer.text, ...opened].join('\n')).not.toContain(secret)
    }
  })

  it('GW-25: prompts and resources may ask as well; other methods, and clients that cannot, get the link', async () => {
    const world = await start()
    for (const [method, params] of [
      ['prompts/get', { name: 'p' }],
      ['resources/read', { uri: 'x:y' }],
    ] as const) {
      const answer = await world.send({ ...modernCall(params), method }, modern)
      expect(answer.json.result.resultType).toBe('input_required')
    }
    for (const method of [
      'server/discover',
      'tools/list',
      'subscriptions/listen',
      'completion/complete',
    ]) {
      const answer = await world.send({ ...modernCall(), method }, modern)
      expect(answer.status).toBe(200)
      expect(answer.json).toMatchObject({
        id: 7,
        error: { code: -32_603, data: { reason: 'connection_missing' } },
      })
      expect(answer.json.error.message).toContain(answer.json.error.data.url)
    }
    for (const capabilities of [
      {},
      { elicitation: {} },
      { elicitation: { form: {} } },
      { elicitation: { url: 1 } },
    ]) {
      const answer = await world.send(modernCall({}, capabilities), modern)
      expect(answer.json.result).toEqual({
        resultType: 'complete',
        isError: true,
        content: [{ type: 'text', text: expect.stringContaining('/connect/notes?link=') }],
      })
    }
    expect(world.server.seen).toHaveLength(0)
  })

  it('GW-25: 2025-11-25 with URL elicitation gets -32042 for every method, initialize included', async () => {
    const world = await start()
    const first = await world.send(initialize())
    expect(first.json).toMatchObject({ id: 'i', error: { code: -32_042 } })
    const [elicitation] = first.json.error.data.elicitations
    expect(elicitation).toEqual({
      mode: 'url',
      elicitationId: expect.stringMatching(/^[\w-]{22}$/),
      message: expect.any(String),
      url: expect.stringContaining('/connect/notes?link='),
    })
    world.connect('ada')
    const session = (await world.send(initialize())).headers['mcp-session-id'] as string
    expect(session).toMatch(/^psid_/)
    world.tokens.disconnect('usr_ada', 'notes')
    const headers = { ...LEGACY, 'mcp-session-id': session }
    for (const method of ['tools/call', 'tools/list', 'ping']) {
      const answer = await world.send({ ...CALL, method }, { headers })
      expect([answer.status, answer.json.error.code]).toEqual([200, -32_042])
    }
    // GW-29: never to a modern client, whatever session it names.
    const modernOne = await world.send(modernCall({}, {}), {
      headers: { ...MODERN, 'mcp-session-id': session },
    })
    expect(modernOne.text).not.toContain('32042')
  })

  it('GW-25: older and poorer legacy clients get the link as text, or as an error', async () => {
    const world = await start()
    const told = await world.send(CALL)
    expect(told.json.result).toEqual({
      isError: true,
      content: [{ type: 'text', text: expect.stringContaining('/connect/notes?link=') }],
    })
    for (const body of [
      initialize({}),
      initialize({ elicitation: { url: {} } }, '2025-06-18'),
      { ...CALL, method: 'tools/list' },
    ]) {
      const answer = await world.send(body)
      expect(answer.json.error).toMatchObject({ code: -32_603 })
      expect(answer.json.error.message).toContain('/connect/notes?link=')
    }
    world.connect('ada')
    const session = (await world.send(initialize({}))).headers['mcp-session-id'] as string
    world.tokens.disconnect('usr_ada', 'notes')
    const answer = await world.send(CALL, { headers: { ...LEGACY, 'mcp-session-id': session } })
    expect(answer.json.result.isError).toBe(true)
    // The session of one person says nothing about another's client.
    const bob = await world.send(CALL, {
      user: 'bob',
      headers: { ...LEGACY, 'mcp-session-id': session },
    })
    expect(bob.status).toBe(404)
  })

  it('GW-25: what has no id is refused by HTTP, and nothing of it is sent', async () => {
    const world = await start()
    const rows: [unknown, string, number][] = [
      [{ jsonrpc: '2.0', method: 'notifications/initialized' }, 'POST', 400],
      [{ jsonrpc: '2.0', id: 1, result: {} }, 'POST', 400],
      [undefined, 'GET', 403],
      [undefined, 'DELETE', 403],
    ]
    for (const [body, method, status] of rows) {
      const answer = await world.send(body, { method })
      expect([method, answer.status, answer.json.error]).toEqual([
        method,
        status,
        'connection_required',
      ])
      expect(answer.headers['www-authenticate']).toBeUndefined()
    }
    expect(world.server.seen).toHaveLength(0)
  })

  it('GW-25: an id comes back byte for byte, and of a long body only its start is read', async () => {
    const world = await start()
    for (const id of ['12345678901234567890', '"a\\u0041"', '-0']) {
      const answer = await world.send(`{"jsonrpc":"2.0","id":${id},"method":"tools/list"}`)
      expect(answer.text.startsWith(`{"jsonrpc":"2.0","id":${id},`)).toBe(true)
    }
    const long = { ...CALL, params: { name: 'add', arguments: { text: 'x'.repeat(200_000) } } }
    const answer = await world.send(long)
    expect(answer.json).toMatchObject({ id: 1, result: { isError: true } })
    for (const body of [
      '{',
      '[]',
      '{"id":1,"id":2,"method":"tools/call"}',
      '\u0000',
      `{"a":${'['.repeat(9_000)}`,
    ]) {
      const broken = await world.send(body)
      expect([400, 200]).toContain(broken.status)
      expect(broken.text).toContain('link=')
    }
    expect(world.server.seen).toHaveLength(0)
  })

  it('GW-19, GW-25: the call is made once, as it was, when the person is done', async () => {
    const world = await start()
    const { state } = question(
      await world.send(modernCall({ arguments: { a: [1, { b: 2 }] } }), modern),
    )
    const accessToken = world.connect('ada')
    const call = answered(state, 'accept', { arguments: { a: [1, { b: 2 }] } })
    const answer = await world.send(call, modern)
    expect(answer.json.result.content).toEqual([{ type: 'text', text: '{"person":"ada"}' }])
    expect(world.server.seen).toHaveLength(1)
    const [sent] = world.server.seen
    const {
      requestState: _,
      inputResponses: __,
      ...params
    } = call.params as Record<string, unknown>
    expect(JSON.parse(sent?.body ?? '')).toEqual({ ...call, params })
    expect(sent?.headers.authorization).toBe(`Bearer ${accessToken}`)
    expect(sent?.body).not.toContain('prs1_')
  })

  it('GW-25: an accept before the person is done waits, and goes on at once when this node connects', async () => {
    const world = await start()
    const { state } = question(await world.send(modernCall(), modern))
    const waiting = world.send(answered(state), modern)
    await until(() => world.tokens.asked.loads >= 3)
    expect(world.server.seen).toHaveLength(0)
    world.connect('ada', { asleep: true })
    world.house.connections?.connected('usr_bob', 'notes')
    world.house.connections?.connected('usr_ada', 'other')
    world.house.connections?.connected('usr_ada', 'notes')
    expect((await waiting).json.result.content[0].text).toBe('{"person":"ada"}')
    expect(world.server.seen).toHaveLength(1)
  })

  it('GW-15, GW-25: for a client that left while it waited no call is made', async () => {
    const world = await start()
    const { state } = question(await world.send(modernCall(), modern))
    const leaving = new AbortController()
    const left = world
      .send(answered(state), { ...modern, signal: leaving.signal })
      .catch(() => 'left')
    await until(() => world.tokens.asked.loads >= 3)
    leaving.abort()
    expect(await left).toBe('left')
    await until(async () => (await connectionsOf(world.house.server)) === 0, 'the house sees it')
    const records = () => world.house.emit.events.filter(({ type }) => type === 'call.forwarded')
    world.connect('ada', { asleep: true })
    world.house.connections?.connected('usr_ada', 'notes')
    await until(() => records().length >= 2)
    expect(world.server.seen).toHaveLength(0)
  })

  it('GW-25, T5: a process that ends lets nobody wait: the question is asked again', async () => {
    if (carrier === 'fetch') return
    const world = await start()
    const { state } = question(await world.send(modernCall(), modern))
    const waiting = world.send(answered(state), modern)
    await until(() => world.tokens.asked.loads >= 3)
    const drained = world.house.carrier.drain(10_000)
    expect((await waiting).json.result.resultType).toBe('input_required')
    await drained
  })

  it('GW-25: decline and cancel end it, also when a connection is there', async () => {
    const world = await start()
    const { state } = question(await world.send(modernCall(), modern))
    for (const action of ['decline', 'cancel']) {
      const answer = await world.send(answered(state, action), modern)
      expect(answer.json.result).toMatchObject({ resultType: 'complete', isError: true })
      expect(answer.text).not.toContain('link=')
    }
    world.connect('ada')
    expect((await world.send(answered(state, 'decline'), modern)).json.result.isError).toBe(true)
    expect(world.server.seen).toHaveLength(0)
  })

  it('GW-25: asked at most three times, then told with the link', async () => {
    const world = await start()
    let { state, url } = question(await world.send(modernCall(), modern))
    for (const _round of [2, 3]) {
      // No answer to the question: it is asked again at once.
      const again = await world.send(modernCall({ requestState: state }), modern)
      const next = question(again)
      expect(next.url).toBe(url)
      state = next.state
      url = next.url
    }
    const last = await world.send(modernCall({ requestState: state, inputResponses: {} }), modern)
    expect(last.json.result).toMatchObject({ resultType: 'complete', isError: true })
    expect(last.text).toContain(url)
    expect(world.server.seen).toHaveLength(0)
  })

  it('GW-19: a state that is changed, foreign, old or of another request is refused, and nothing is sent', async () => {
    const world = await start()
    const { state } = question(await world.send(modernCall(), modern))
    const bob = question(await world.send(modernCall(), { ...modern, user: 'bob' }))
    const other = question(await world.send(modernCall(), { ...modern, client: 'cli_2' }))
    world.connect('ada')
    const at = state.length - 10
    const bad = [
      bob.state,
      other.state,
      `${state.slice(0, at)}${state[at] === 'A' ? 'B' : 'A'}${state.slice(at + 1)}`,
      `${state}A`,
      'prs1_',
      `prs1_${'x'.repeat(20_000)}`,
    ]
    for (const presented of bad) {
      const answer = await world.send(answered(presented), modern)
      expect([answer.status, answer.json.id, answer.json.error.code]).toEqual([400, 7, -32_602])
    }
    const otherRequests = [
      answered(state, 'accept', { name: 'delete_all' }),
      answered(state, 'accept', { arguments: { a: 1 } }),
      { ...answered(state), method: 'prompts/get' },
    ]
    for (const body of otherRequests) expect((await world.send(body, modern)).status).toBe(400)
    world.house.advanceMs(600_000)
    const late = await world.send(answered(state), { ...modern, lifeSeconds: 3_600 })
    expect(late.json.error).toMatchObject({ code: -32_602 })
    expect(world.server.seen).toHaveLength(0)
  })

  it("GW-19: a server's own requestState and questions pass as they are, whatever they contain", async () => {
    const world = await start()
    world.connect('ada')
    const own = modernCall({
      requestState: 'server"state prs1_',
      inputResponses: { q: { action: 'accept' } },
      arguments: { text: 'say "prs1_x" and requestState' },
    })
    await world.send(own, modern)
    expect(world.server.seen[0]?.body).toBe(JSON.stringify(own))
    // In the middle of the server's question the connection is lost: its state has no room beside ours.
    world.tokens.disconnect('usr_ada', 'notes')
    const answer = await world.send(own, modern)
    expect(answer.json.result).toMatchObject({ resultType: 'complete', isError: true })
    expect(answer.text).toContain('link=')
  })

  it('GW-24, GW-25: after a refused token the return waits for another one', async () => {
    const world = await start()
    const old = world.connect('ada')
    world.people.delete(old)
    const { state } = question(await world.send(modernCall(), modern))
    expect(world.server.seen).toHaveLength(1)
    world.tokens.connect('usr_ada', 'notes', old, world.server.origin)
    const early = new AbortController()
    const waiting = world.send(answered(state), { ...modern, signal: early.signal })
    const outcome = waiting.catch(() => 'left')
    await until(() => world.tokens.asked.loads >= 1)
    expect(world.server.seen, 'the refused token is not tried again').toHaveLength(1)
    early.abort()
    expect(await outcome).toBe('left')
    world.connect('ada', { accessToken: 'at_second' })
    expect((await world.send(answered(state), modern)).json.result.content[0].text).toBe(
      '{"person":"ada"}',
    )
    expect(world.server.seen).toHaveLength(2)
  })

  it('GW-28: what a client says of itself changes the form of an answer and no decision', async () => {
    const world = await start()
    world.connect('ada')
    for (const clientInfo of [
      { name: 'admin', version: '1' },
      { name: 'usr_bob', version: '0', admin: true },
    ]) {
      const meta = {
        [CAPABILITIES]: { elicitation: { url: {} } },
        'io.modelcontextprotocol/clientInfo': clientInfo,
      }
      const asAda = await world.send(
        modernCall({ _meta: meta, annotations: { readOnlyHint: true } }),
        modern,
      )
      expect(asAda.json.result.content[0].text).toBe('{"person":"ada"}')
      const asBob = await world.send(modernCall({ _meta: meta }), { ...modern, user: 'bob' })
      expect(asBob.json.result.resultType).toBe('input_required')
    }
    expect(world.server.seen).toHaveLength(2)
  })

  it('a connector with a scope table judges the body before it asks', async () => {
    const world = await start({
      connector: {
        scopes: WRITE_SCOPE,
      },
    })
    const refused = await world.send(
      { ...modernCall(), params: { ...modernCall().params, name: 'add_note' } },
      { headers: { ...MODERN, 'mcp-method': 'tools/call', 'mcp-name': 'add_note' } },
    )
    expect(refused.status).toBe(403)
    expect(refused.text).not.toContain('link=')
    const headers = { ...MODERN, 'mcp-method': 'tools/call', 'mcp-name': 'whoami' }
    const { state } = question(await world.send(modernCall(), { headers }))
    world.connect('ada')
    expect((await world.send(answered(state), { headers })).json.result.content[0].text).toBe(
      '{"person":"ada"}',
    )
    expect(JSON.parse(world.server.seen[0]?.body ?? '').params).not.toHaveProperty('requestState')
  })
})

function connectionsOf(server: Server): Promise<number> {
  return new Promise((resolve) => server.getConnections((_error, count) => resolve(count)))
}
