/** Official clients of both eras at a connector whose account is not connected (GW-25). */
import {
  Client,
  StreamableHTTPClientTransport,
  UrlElicitationRequiredError,
} from '@modelcontextprotocol/client'
import { afterEach, describe, expect, it } from 'vitest'
import { startNotesServer } from '../../demo/servers/notes.ts'
import { startConnectionHouse } from '../kit/connection-house.ts'
import { startGateway, type TestGateway } from '../kit/gateway.ts'
import { until } from '../kit/http.ts'
import { createKeptTokens } from '../kit/kept-tokens.ts'

describe.each(['node', 'fetch'] as const)('official clients, carrier %s', (carrier) => {
  const closing: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  it('GW-25: the official client of 2026-07-28 is asked once, and its call ends well', async () => {
    const { world, client } = await startOfficial('auto')
    expect(client.getNegotiatedProtocolVersion()).toBe('2026-07-28')
    world.tokens.disconnect('usr_ada', 'notes')
    const opened: string[] = []
    client.setRequestHandler('elicitation/create', async ({ params }) => {
      opened.push('url' in params ? params.url : '')
      world.tokens.connect('usr_ada', 'notes', 'at_again', world.origin)
      world.house.connections?.connected('usr_ada', 'notes')
      return { action: 'accept' }
    })
    const result = await client.callTool({ name: 'whoami', arguments: {} })
    expect(result.content).toEqual([{ type: 'text', text: '{"sub":"anonymous"}' }])
    expect(opened).toEqual([expect.stringContaining('/connect/notes?link=')])
  })

  it('GW-25: the official client of 2025-11-25 gets its own error, and is told when it is done', async () => {
    const { world, client } = await startOfficial('legacy')
    const told: unknown[] = []
    client.setNotificationHandler('notifications/elicitation/complete', ({ params }) => {
      told.push(params.elicitationId)
    })
    await until(() => world.house.carrier.openStreams === (carrier === 'node' ? 1 : 0))
    world.tokens.disconnect('usr_ada', 'notes')
    const failure = await client.callTool({ name: 'whoami', arguments: {} }).catch((error) => error)
    expect(failure).toBeInstanceOf(UrlElicitationRequiredError)
    const [elicitation] = failure.elicitations
    expect(elicitation).toMatchObject({
      mode: 'url',
      url: expect.stringContaining('/connect/notes?link='),
    })
    world.tokens.connect('usr_ada', 'notes', 'at_again', world.origin)
    world.house.connections?.connected('usr_ada', 'notes')
    // Streams of the other carrier belong to their requests: nobody can write to them.
    if (carrier === 'node') {
      await until(() => told.length > 0)
      expect(told).toEqual([elicitation.elicitationId])
    }
    expect((await client.callTool({ name: 'whoami', arguments: {} })).isError).not.toBe(true)
  })

  it.each(['auto', 'legacy'] as const)(
    'GW-25: an official client (%s) that starts without a connection fails with the link in its message',
    async (mode) => {
      const world = await startConnectionHouse({
        carrier,
        issuer: 'http://127.0.0.1:1',
        development: true,
      })
      closing.push(() => world.close())
      const client = new Client(
        { name: 'official', version: '1' },
        { versionNegotiation: { mode }, capabilities: {} },
      )
      const failure = await client.connect(transportTo(world.house)).catch((error: Error) => error)
      expect(String(failure)).toContain('http://127.0.0.1:1/connect/notes?link=')
      expect(world.server.seen).toHaveLength(0)
    },
  )

  const startOfficial = async (mode: 'auto' | 'legacy') => {
    const notes = await startNotesServer({ sessions: true })
    const tokens = createKeptTokens()
    const { origin } = new URL(notes.url)
    tokens.connect('usr_ada', 'notes', 'at_1', origin)
    const house = await startGateway({
      carrier,
      issuer: 'http://127.0.0.1:1',
      development: true,
      connectors: [{ name: 'notes', url: notes.url, auth: 'oauth' }],
      tokens,
    })
    const client = new Client(
      { name: 'official', version: '1' },
      { versionNegotiation: { mode }, capabilities: { elicitation: { url: {} } } },
    )
    closing.push(
      () => notes.close(),
      () => house.close(),
      () => client.close(),
    )
    await client.connect(transportTo(house))
    return { world: { house, tokens, origin }, client }
  }
})

function transportTo(house: TestGateway): StreamableHTTPClientTransport {
  return new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${house.port}/mcp/notes`), {
    requestInit: { headers: { authorization: `Bearer ${house.token()}` } },
  })
}
