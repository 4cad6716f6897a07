/**
 * A connector with a scope table, through both carriers: what a call needs, what refuses it, and that
 * nothing of a refused call ever reaches the server behind (flows.md section 3).
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createScopeTable } from '../../src/oauth/scope-table.ts'
import { startGateway, type TestGateway } from '../kit/gateway.ts'
import { type RawAnswer, raw, request, startServer, type TestServer } from '../kit/http.ts'

const NO_RULE = { tools: [], methods: [], implies: [], upstream: {} }
const SCOPES = createScopeTable([
  { ...NO_RULE, name: 'notes:read', tools: ['list_*'], methods: ['resources/read'] },
  {
    ...NO_RULE,
    name: 'notes:write',
    tools: ['create_*', 'delete_note'],
    methods: ['notifications/notes/*'],
    implies: ['notes:read'],
  },
  { ...NO_RULE, name: 'notes:admin', tools: ['delete_*'], implies: ['notes:write', 'mcp'] },
])
const BODY_MAX_BYTES = 200_000

const message = (method: string, params: object = {}, rest: object = { id: 1 }) =>
  JSON.stringify({ jsonrpc: '2.0', ...rest, method, params })
const tool = (name: string) => message('tools/call', { name, arguments: {} })

describe.each(['node', 'fetch'] as const)('scopes of a connector, carrier %s', (carrier) => {
  let server: TestServer
  let house: TestGateway

  beforeAll(async () => {
    server = await startServer()
    house = await startGateway({
      carrier,
      connectors: [
        {
          name: 'notes',
          url: `${server.origin}/mcp`,
          scopes: SCOPES,
          routes: { protected: ['/api/*'], public: [] },
        },
        { name: 'plain', url: `${server.origin}/plain` },
      ],
      limits: { requestBodyMaxBytes: BODY_MAX_BYTES },
    })
  })
  beforeEach(() => {
    server.seen.length = 0
  })
  afterAll(async () => {
    await house.close()
    await server.close()
  })

  const send = (
    scope: string,
    body: string,
    headers: readonly string[] = ['Content-Type: application/json'],
    target = '/mcp/notes',
  ): Promise<RawAnswer> => {
    const connector = target.startsWith('/mcp/plain') ? 'plain' : 'notes'
    const grant = `grt_${connector}_${scope.replaceAll(' ', '_')}`
    const authorization = `Authorization: Bearer ${house.token({ scope, connector, grant })}`
    return raw(house.port, request('POST', target, [house.host, authorization, ...headers], body))
  }
  const bodiless = (method: string, scope: string, target: string) => {
    const token = house.token({ scope, grant: `grt_notes_${scope.replaceAll(' ', '_')}` })
    return raw(house.port, request(method, target, [house.host, `Authorization: Bearer ${token}`]))
  }

  it('PR-10: 403 names what the token has and all that this call needs, in one challenge', async () => {
    const answer = await send('mcp', tool('delete_note'))
    expect(answer.status).toBe(403)
    expect(answer.headers['www-authenticate']).toBe(
      `Bearer resource_metadata="${house.issuer}/.well-known/oauth-protected-resource/mcp/notes", ` +
        'scope="mcp notes:write notes:admin", error="insufficient_scope"',
    )
    expect(JSON.parse(answer.body)).toMatchObject({ error: 'insufficient_scope' })
    expect(server.seen).toHaveLength(0)
    expect(house.emit.events.at(-1)).toMatchObject({ reason: 'scope' })
  })

  it('PR-10 PR-11: a call passes with every scope that matches it, a broader one, and no less', async () => {
    const rows: readonly (readonly [scope: string, body: string, status: number])[] = [
      ['mcp', tool('search'), 200],
      ['notes:read', tool('search'), 403],
      ['notes:read', tool('list_notes'), 200],
      ['mcp', tool('list_notes'), 403],
      ['notes:write', tool('list_notes'), 200],
      ['notes:write', tool('create_note'), 200],
      ['notes:read mcp', tool('create_note'), 403],
      ['notes:write', tool('delete_note'), 403],
      ['notes:admin', tool('delete_note'), 200],
      ['notes:admin', tool('search'), 200],
      ['notes:write', message('resources/read', { uri: 'note:1' }), 200],
      ['mcp', message('resources/read', { uri: 'note:1' }), 403],
      ['mcp', message('initialize'), 200],
      ['notes:write', message('initialize'), 403],
      ['mcp', message('tools/list'), 200],
      ['mcp', message('notifications/initialized', {}, {}), 200],
      ['mcp', message('notifications/notes/changed', {}, {}), 403],
      ['notes:write', message('notifications/notes/changed', {}, {}), 200],
      ['mcp', '{"jsonrpc":"2.0","id":1,"result":{"name":"create_note"}}', 200],
      ['notes:write', '{"jsonrpc":"2.0","id":1,"result":{}}', 403],
      ['unknown', tool('list_notes'), 403],
    ]
    for (const [scope, body, status] of rows) {
      server.seen.length = 0
      const answer = await send(scope, body)
      expect(answer.status, `${scope}: ${body}`).toBe(status)
      // Byte for byte: what was judged is what is sent.
      expect(server.seen.map((seen) => seen.body)).toEqual(status === 200 ? [body] : [])
    }
  })

  it('PR-10: event streams, the end of a session and further paths need `mcp`', async () => {
    for (const [method, target] of [
      ['GET', '/mcp/notes'],
      ['DELETE', '/mcp/notes'],
      ['GET', '/api/list'],
      ['DELETE', '/api/notes/1'],
    ] as const) {
      expect((await bodiless(method, 'notes:read', target)).status, `${method} ${target}`).toBe(403)
      expect(server.seen).toHaveLength(0)
      expect((await bodiless(method, 'mcp', target)).status, `${method} ${target}`).toBe(200)
      expect((await bodiless(method, 'notes:admin', target)).status).toBe(200)
      server.seen.length = 0
    }
  })

  it('VAL-07: a remembered token is judged anew by each call, before and after one that passed', async () => {
    for (let round = 0; round < 3; round += 1) {
      expect((await send('notes:read', tool('list_notes'))).status).toBe(200)
      expect((await send('notes:read', tool('create_note'))).status).toBe(403)
    }
    expect(server.seen).toHaveLength(3)
  })

  it('GW-04 GW-05: a header that names an allowed tool never speaks for a body that names another', async () => {
    const modern = (method: string, name?: string) => [
      'Content-Type: application/json',
      'MCP-Protocol-Version: 2026-07-28',
      `Mcp-Method: ${method}`,
      ...(name === undefined ? [] : [`Mcp-Name: ${name}`]),
    ]
    const create = tool('create_note')
    const encoded = Buffer.from('create_note').toString('base64')
    const rows: readonly (readonly [headers: readonly string[], body: string, status: number])[] = [
      [modern('tools/call', 'create_note'), create, 200],
      [modern('tools/call', `=?base64?${encoded}?=`), create, 200],
      [modern('tools/call', 'search'), create, 400],
      [modern('tools/call', 'Create_note'), create, 400],
      [modern('tools/call', '=?base64?/w==?='), create, 400],
      [modern('tools/list'), create, 400],
      [modern('TOOLS/CALL', 'create_note'), create, 400],
      [modern('tools/call'), create, 400],
      [['Content-Type: application/json', 'MCP-Protocol-Version: 2026-07-28'], create, 400],
      [modern('resources/read', 'note:1'), message('resources/read', { uri: 'note:1' }), 200],
      [modern('resources/read', 'note:2'), message('resources/read', { uri: 'note:1' }), 400],
      [modern('tools/list', 'search'), message('tools/list'), 400],
      // Without a revision that has these headers, the body alone decides, and a header may not differ.
      [['Content-Type: application/json', 'Mcp-Name: search'], create, 400],
      [
        modern('tools/call', 'create_note'),
        message('tools/call', {
          name: 'create_note',
          _meta: { 'io.modelcontextprotocol/protocolVersion': '2025-11-25' },
        }),
        400,
      ],
    ]
    for (const [headers, body, status] of rows) {
      server.seen.length = 0
      const answer = await send('notes:write mcp', body, headers)
      expect(answer.status, `${headers.join()} ${body}`).toBe(status)
      expect(server.seen).toHaveLength(status === 200 ? 1 : 0)
      if (status === 400) {
        expect(JSON.parse(answer.body)).toMatchObject({ id: 1, error: { code: -32020 } })
      }
    }
  })

  it('GW-05 T15: what could be read in two ways, and batches, are refused whole', async () => {
    const rows: readonly (readonly [body: string, code: number])[] = [
      [`[${tool('search')}]`, -32600],
      [`[${tool('search')},${tool('create_note')}]`, -32600],
      ['{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}', -32600],
      [
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","name":"create_note"}}',
        -32600,
      ],
      ['{"jsonrpc":"2.0","id":1,"method":"tools/list","METHOD":"tools/call"}', -32600],
      [message('tools/call', { arguments: {} }), -32600],
      [message('tools/call', { name: ['create_note'] }), -32600],
      ['{"jsonrpc":"2.0","id":1,"method":"tools/list"', -32700],
      ['\u00ef\u00bb\u00bf{"jsonrpc":"2.0","id":1,"method":"tools/list"}', -32700],
      ['', -32700],
    ]
    for (const [body, code] of rows) {
      const answer = await send('mcp', body)
      expect(answer.status, body).toBe(400)
      expect(JSON.parse(answer.body), body).toMatchObject({ error: { code } })
    }
    for (const headers of [
      [],
      ['Content-Type: text/plain'],
      ['Content-Type: application/json; charset=utf-16'],
      ['Content-Type: application/json', 'Content-Encoding: deflate'],
    ]) {
      expect((await send('mcp', tool('search'), headers)).status, headers.join()).toBe(415)
    }
    expect(server.seen).toHaveLength(0)
  })

  it('GW-05: a long body is judged whole before a byte of it goes on, within its limit', async () => {
    const long = (name: string, bytes: number) =>
      `{"jsonrpc":"2.0","id":1,"params":{"arguments":{"text":"${'x'.repeat(bytes)}"},"name":"${name}"},"method":"tools/call"}`
    expect((await send('mcp', long('create_note', 150_000))).status).toBe(403)
    expect(server.seen).toHaveLength(0)
    expect((await send('notes:write', long('create_note', 150_000))).status).toBe(200)
    expect(server.seen.at(-1)?.bodyBytes).toBeGreaterThan(150_000)
    server.seen.length = 0
    expect((await send('notes:write', long('create_note', 250_000))).status).toBe(413)
    const body = long('create_note', 150_000)
    const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
    const token = house.token({ scope: 'mcp', grant: 'grt_notes_mcp' })
    const answer = await raw(
      house.port,
      request(
        'POST',
        '/mcp/notes',
        [
          house.host,
          `Authorization: Bearer ${token}`,
          'Content-Type: application/json',
          'Transfer-Encoding: chunked',
        ],
        '',
      ) + chunked,
    )
    expect(answer.status).toBe(403)
    expect(server.seen).toHaveLength(0)
  })

  it('has no opinion about bodies of a connector without a table', async () => {
    for (const body of ['[]', 'no json', tool('create_note'), '']) {
      expect((await send('mcp', body, ['Content-Type: text/plain'], '/mcp/plain')).status).toBe(200)
    }
    expect(server.seen).toHaveLength(4)
    expect((await send('notes:write', tool('x'), undefined, '/mcp/plain')).status).toBe(403)
  })

  it('records the method and the tool of an inspected call', async () => {
    await send('notes:write', tool('create_note'))
    expect(house.emit.events.at(-1)).toMatchObject({
      type: 'call.forwarded',
      method: 'tools/call',
      name: 'create_note',
    })
  })
})
