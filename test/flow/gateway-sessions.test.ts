/** `Mcp-Session-Id` through the gateway: sealed to its owner for legacy revisions, absent for modern ones. */
import { afterEach, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from '../kit/gateway.ts'
import { raw, request, startServer, type TestServer } from '../kit/http.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** A server of the legacy revisions: `initialize` opens a session, DELETE ends it. */
async function start(): Promise<{ server: TestServer; house: TestGateway }> {
  const live = new Set<string>()
  const server = await startServer((incoming, response, { body }) => {
    const id = incoming.headers['mcp-session-id']
    if (body.includes('initialize')) {
      const opened = `up-${live.size + 1}`
      live.add(opened)
      response.writeHead(200, { 'mcp-session-id': opened, 'content-length': 2 }).end('{}')
    } else if (typeof id !== 'string' || !live.has(id)) {
      response.writeHead(typeof id === 'string' ? 404 : 400, { 'content-length': 0 }).end()
    } else {
      if (incoming.method === 'DELETE') live.delete(id)
      response.writeHead(200, { 'mcp-session-id': id, 'content-length': 2 }).end('{}')
    }
  })
  const house = await startGateway({
    connectors: [
      { name: 'notes', url: `${server.origin}/mcp` },
      { name: 'other', url: `${server.origin}/mcp` },
    ],
  })
  closing.push(
    () => server.close(),
    () => house.close(),
  )
  return { server, house }
}

const INITIALIZE = '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}'
const LIST = '{"jsonrpc":"2.0","id":2,"method":"tools/list"}'

function send(
  house: TestGateway,
  token: string,
  more: string[],
  options: { body?: string; method?: string; connector?: string } = {},
) {
  const { body = LIST, method = 'POST', connector = 'notes' } = options
  const lines = [
    house.host,
    `Authorization: Bearer ${token}`,
    'Content-Type: application/json',
    ...more,
  ]
  return raw(house.port, request(method, `/mcp/${connector}`, lines, method === 'POST' ? body : ''))
}

async function open(house: TestGateway, token: string): Promise<string> {
  const answer = await send(house, token, [], { body: INITIALIZE })
  return answer.headers['mcp-session-id'] ?? ''
}

describe('GW-13: sessions of legacy revisions', () => {
  it.each(['2025-03-26', '2025-06-18', '2025-11-25', undefined])(
    'live as one of ours in %s',
    async (version) => {
      const { server, house } = await start()
      const token = house.token()
      const id = await open(house, token)
      expect(id).toMatch(/^[\x21-\x7e]+$/)
      expect(id).not.toContain('up-1')
      const revision = version === undefined ? [] : [`MCP-Protocol-Version: ${version}`]
      const answer = await send(house, token, [`Mcp-Session-Id: ${id}`, ...revision])
      expect(answer.status).toBe(200)
      expect(answer.headers['mcp-session-id']).toBe(id)
      expect(server.seen.at(-1)?.headers['mcp-session-id']).toBe('up-1')
    },
  )

  it('G9, G11: never work for another user, client or connector', async () => {
    const { server, house } = await start()
    const ada = house.token()
    const id = await open(house, ada)
    const before = server.seen.length
    const line = [`Mcp-Session-Id: ${id}`]
    expect((await send(house, house.token({ user: 'bob' }), line)).status).toBe(404)
    expect((await send(house, house.token({ client: 'cli_2' }), line)).status).toBe(404)
    expect(
      (await send(house, house.token({ connector: 'other' }), line, { connector: 'other' })).status,
    ).toBe(404)
    expect(
      (await send(house, house.token({ user: 'bob' }), line, { method: 'DELETE' })).status,
    ).toBe(404)
    expect((await send(house, house.token({ user: 'bob' }), line, { method: 'GET' })).status).toBe(
      404,
    )
    expect(server.seen).toHaveLength(before)
    expect((await send(house, ada, line)).status).toBe(200)
  })

  it('G9: follow a new token of the same user and client', async () => {
    const { house } = await start()
    const id = await open(house, house.token())
    expect(
      (await send(house, house.token({ lifeSeconds: 60 }), [`Mcp-Session-Id: ${id}`])).status,
    ).toBe(200)
  })

  it('G9, J7: guessed, cut and changed ids are 404 and go nowhere', async () => {
    const { server, house } = await start()
    const token = house.token()
    const id = await open(house, token)
    const before = server.seen.length
    const wrong = [
      'up-1',
      id.slice(0, -1),
      `${id}A`,
      `${id.slice(0, 20)}x${id.slice(21)}`,
      'psid_',
      'x'.repeat(5_000),
    ]
    for (const guess of wrong) {
      const answer = await send(house, token, [`Mcp-Session-Id: ${guess}`])
      expect([guess, answer.status]).toEqual([guess, 404])
      expect(JSON.parse(answer.body)).toMatchObject({ jsonrpc: '2.0', id: null })
    }
    expect(server.seen).toHaveLength(before)
  })

  it('DELETE goes to the server, whose 404 afterwards is ours', async () => {
    const { house } = await start()
    const token = house.token()
    const line = [`Mcp-Session-Id: ${await open(house, token)}`]
    expect((await send(house, token, line, { method: 'DELETE' })).status).toBe(200)
    expect((await send(house, token, line)).status).toBe(404)
  })

  it("GW-14, X4: a resume id goes on only inside the caller's own session", async () => {
    const { server, house } = await start()
    const token = house.token()
    const id = await open(house, token)
    await send(house, token, [`Mcp-Session-Id: ${id}`, 'Last-Event-ID: 7'], { method: 'GET' })
    expect(server.seen.at(-1)?.headers['last-event-id']).toBe('7')
    await send(house, token, ['Last-Event-ID: 7'], { method: 'GET' })
    expect(server.seen.at(-1)?.headers['last-event-id']).toBeUndefined()
  })
})

describe('GW-01, GW-03: 2026-07-28 has no sessions', () => {
  it('a session or resume header is ignored, and none is shown', async () => {
    const { server, house } = await start()
    const token = house.token()
    const id = await open(house, token)
    const modern = ['MCP-Protocol-Version: 2026-07-28', 'Mcp-Method: tools/list']
    for (const line of [`Mcp-Session-Id: ${id}`, 'Mcp-Session-Id: up-1', 'Last-Event-ID: 9']) {
      await send(house, token, [...modern, line])
      expect(server.seen.at(-1)?.headers['mcp-session-id']).toBeUndefined()
      expect(server.seen.at(-1)?.headers['last-event-id']).toBeUndefined()
      expect(server.seen.at(-1)?.headers['mcp-method']).toBe('tools/list')
    }
    const answer = await send(house, token, modern, { body: INITIALIZE })
    expect(answer.status).toBe(200)
    expect(answer.headers['mcp-session-id']).toBeUndefined()
  })

  it('GW-06, GW-29: unknown headers and members survive unchanged', async () => {
    const { server, house } = await start()
    const body =
      '{"jsonrpc":"2.0","id":12345678901234567890,"method":"x/y","_meta":{"a/b":1},"new":[1,{"z":null}]}'
    await send(
      house,
      house.token(),
      [
        'MCP-Protocol-Version: 2026-07-28',
        'Mcp-Method: x/y',
        'Mcp-Param-Region: eu',
        'traceparent: 00-a-b-01',
      ],
      { body },
    )
    expect(server.seen.at(-1)).toMatchObject({
      body,
      headers: { 'mcp-param-region': 'eu', 'mcp-method': 'x/y', traceparent: '00-a-b-01' },
    })
  })
})
