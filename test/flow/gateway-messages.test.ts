/**
 * What belongs to the server behind is kept by the gateway: each row is asked of the official server
 * package directly and through both carriers with a user's own token, and the answers are the same.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type NotesServer, startNotesServer } from '../../demo/servers/notes.ts'
import { type Fixture, startFixture } from '../conformance-suite/fixture.ts'
import type { RpcAnswer } from '../kit/connection-house.ts'
import { startGateway, type TestGateway } from '../kit/gateway.ts'
import { dial, request, until } from '../kit/http.ts'
import { createKeptTokens } from '../kit/kept-tokens.ts'

const META = 'io.modelcontextprotocol/'
const VERSION = '2026-07-28'
const ACCEPT = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' }

type Headers = Readonly<Record<string, string>>
interface Told {
  readonly status: number
  readonly json: RpcAnswer | undefined
}

const meta = (capabilities: object = {}, version = VERSION) => ({
  [`${META}protocolVersion`]: version,
  [`${META}clientInfo`]: { name: 'c', version: '1' },
  [`${META}clientCapabilities`]: capabilities,
})
const modern = (method: string, params: object = {}, id: unknown = 1) => ({
  jsonrpc: '2.0',
  ...(id === undefined ? {} : { id }),
  method,
  params: { _meta: meta(), ...params },
})
const headersOf = (method: string, more: Headers = {}): Headers => ({
  'mcp-protocol-version': VERSION,
  'mcp-method': method,
  ...more,
})
const initialize = (protocolVersion: string) => ({
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion, capabilities: {}, clientInfo: { name: 'c', version: '1' } },
})
const LIST = 'tools/list'

/** [name, status, JSON-RPC code, headers, body] */
type Row = readonly [string, number, number | undefined, Headers, unknown]
const MESSAGES: readonly Row[] = [
  ['one request', 200, undefined, headersOf(LIST), modern(LIST)],
  [
    'a notification is accepted without a body',
    202,
    undefined,
    { 'mcp-protocol-version': '2025-11-25' },
    { jsonrpc: '2.0', method: 'notifications/initialized' },
  ],
  ['a batch of the current revision', 400, -32_600, headersOf(LIST), [modern(LIST)]],
  [
    'a response of a modern client',
    400,
    -32_000,
    headersOf(LIST),
    { jsonrpc: '2.0', id: 1, result: {} },
  ],
  ['what is not JSON', 400, -32_700, headersOf(LIST), '{"jsonrpc":'],
  [
    'a version that is not supported',
    400,
    -32_022,
    { ...headersOf(LIST), 'mcp-protocol-version': '2099-01-01' },
    modern(LIST, { _meta: meta({}, '2099-01-01') }),
  ],
  ['no _meta', 400, -32_602, headersOf(LIST), { jsonrpc: '2.0', id: 1, method: LIST, params: {} }],
  ['an unknown method', 404, -32_601, headersOf('x/y'), modern('x/y')],
  ['headers and body that do not agree', 400, -32_020, headersOf('prompts/list'), modern(LIST)],
  [
    'server/discover, before anything else',
    200,
    undefined,
    headersOf('server/discover'),
    modern('server/discover'),
  ],
  ['GW-09: initialize of 2025-03-26', 200, undefined, {}, initialize('2025-03-26')],
  ['GW-09: initialize of 2025-11-25', 200, undefined, {}, initialize('2025-11-25')],
  [
    'GW-09: initialize of a version that nobody knows',
    200,
    undefined,
    {},
    initialize('1999-01-01'),
  ],
]

async function ask(url: string, headers: Headers, body: unknown): Promise<Told> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const answer = await fetch(url, {
    method: 'POST',
    headers: { ...ACCEPT, ...headers },
    body: text,
  })
  const raw = await answer.text()
  const data = /^data: (\{.*)$/m.exec(raw)?.[1] ?? raw
  return { status: answer.status, json: data === '' ? undefined : JSON.parse(data) }
}

describe.each(['node', 'fetch'] as const)('messages keep their meaning, carrier %s', (carrier) => {
  let fixture: Fixture
  let notes: NotesServer
  let house: TestGateway
  let through: string
  const bearer = (connector = 'fixture', user = 'ada'): Headers => ({
    authorization: `Bearer ${house.token({ user, connector, lifeSeconds: 3_600 })}`,
  })

  beforeAll(async () => {
    fixture = await startFixture()
    notes = await startNotesServer()
    const tokens = createKeptTokens()
    for (const user of ['ada', 'bob']) {
      tokens.connect(`usr_${user}`, 'fixture', `at_${user}`, new URL(fixture.url).origin)
      tokens.connect(`usr_${user}`, 'notes', `at_${user}`, new URL(notes.url).origin)
    }
    house = await startGateway({
      carrier,
      issuer: 'http://127.0.0.1:1',
      development: true,
      connectors: [
        { name: 'fixture', url: fixture.url, auth: 'oauth' },
        { name: 'notes', url: notes.url, auth: 'oauth' },
      ],
      tokens,
      tickMs: 20,
    })
    through = `http://127.0.0.1:${house.port}/mcp`
  })
  afterAll(async () => {
    await house.close()
    await fixture.close()
    await notes.close()
  })

  it.each<Row>(MESSAGES)(
    'GW-02, GW-04, GW-07, GW-08: %s',
    async (_name, status, code, headers, body) => {
      const direct = await ask(notes.url, headers, body)
      expect([direct.status, direct.json?.error?.code]).toEqual([status, code])
      const before = notes.requests()
      expect(await ask(`${through}/notes`, { ...headers, ...bearer('notes') }, body)).toEqual(
        direct,
      )
      expect(notes.requests() - before, 'it was the server that answered').toBe(1)
    },
  )

  it("GW-07: a capability that the client did not declare is the server's to miss", async () => {
    const params = { name: 'test_missing_capability', arguments: {} }
    const call = [
      headersOf('tools/call', { 'mcp-name': params.name }),
      modern('tools/call', params),
    ] as const
    const direct = await ask(fixture.url, ...call)
    expect([direct.status, direct.json?.error.code]).toEqual([400, -32_021])
    expect(await ask(`${through}/fixture`, { ...call[0], ...bearer() }, call[1])).toEqual(direct)
  })

  it('GW-09: four versions of clients at one endpoint, each with its own era', async () => {
    for (const version of ['2025-03-26', '2025-06-18', '2025-11-25']) {
      const answer = await ask(`${through}/fixture`, bearer(), initialize(version))
      expect(answer.json?.result.protocolVersion).toBe(version)
    }
    const discovered = await ask(
      `${through}/fixture`,
      { ...headersOf('server/discover'), ...bearer() },
      modern('server/discover'),
    )
    expect(discovered.json?.result.supportedVersions).toContain(VERSION)
  })

  it('GW-20: nothing is kept here: each call of each person is answered by the server', async () => {
    const before = fixture.requests()
    for (const user of ['ada', 'ada', 'bob', 'ada']) {
      const answer = await ask(
        `${through}/fixture`,
        { ...headersOf(LIST), ...bearer('fixture', user) },
        modern(LIST),
      )
      expect(answer.json?.result).toMatchObject({
        ttlMs: expect.any(Number),
        cacheScope: expect.any(String),
      })
    }
    expect(fixture.requests() - before).toBe(4)
  })

  it('GW-18: a subscription is acknowledged first, names the id of its client, and ends with its token', async () => {
    const id = 'my own id'
    const method = 'subscriptions/listen'
    const body = JSON.stringify(modern(method, { notifications: { toolsListChanged: true } }, id))
    const lines = Object.entries({ ...ACCEPT, ...headersOf(method), ...bearer('fixture', 'bob') })
    const line = dial(
      house.port,
      request(
        'POST',
        '/mcp/fixture',
        ['Host: 127.0.0.1', ...lines.map((pair) => pair.join(': '))],
        body,
      ),
    )
    await until(() => line.text.includes('data: '), 'the acknowledgement')
    const first = JSON.parse(/^data: (.*)$/m.exec(line.text)?.[1] ?? '{}')
    expect(first).toMatchObject({
      method: 'notifications/subscriptions/acknowledged',
      params: { _meta: { [`${META}subscriptionId`]: id } },
    })
    // On the second carrier the next event finds out; there is no timer between requests.
    if (carrier === 'node') {
      house.revoked.add('grt_bob_cli_1_fixture')
      house.carrier.recheck()
      await until(() => line.closed || line.text.endsWith('0\r\n\r\n'), 'the end of the stream')
    }
    line.socket.destroy()
  })
})
