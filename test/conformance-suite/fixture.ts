/**
 * A real MCP server with everything the official suite asks a server for, on the official server
 * package: revisions up to 2025-11-25 with sessions, 2026-07-28 without, at one endpoint.
 *
 * Which names and answers each scenario wants is written in the suite (`conformance list`). The
 * server has no authentication: it is the one side of "directly and through Postern".
 */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  localhostHostValidation,
  localhostOriginValidation,
  NodeStreamableHTTPServerTransport,
  toNodeHandler,
} from '@modelcontextprotocol/node'
import {
  classifyInboundRequest,
  createMcpHandler,
  createRequestStateCodec,
  type EventStore,
  isInitializeRequest,
  McpServer,
  type RequestStateCodec,
} from '@modelcontextprotocol/server'
import { registerContent } from './fixture-content.ts'
import { registerInputTools } from './fixture-input.ts'
import { registerTools } from './fixture-tools.ts'

const RETRY_INTERVAL_MS = 5_000
const BODY_MAX_BYTES = 4_194_304

export interface Fixture {
  readonly url: string
  /** Requests that reached the server, whoever sent them. */
  requests(): number
  close(): Promise<void>
}

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>
type Sessions = Map<string, NodeStreamableHTTPServerTransport>

export async function startFixture(): Promise<Fixture> {
  let requests = 0
  const sessions: Sessions = new Map()
  const handle = createHandler(sessions)
  const server = createServer((request, response) => {
    requests++
    handle(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy()
      else refuse(response, 500, error instanceof Error ? error.message : 'failed')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    requests: () => requests,
    async close() {
      for (const transport of sessions.values()) await transport.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Newer requests go to the stateless handler, older ones to the session they name or open. */
function createHandler(sessions: Sessions): Handler {
  const codec = createRequestStateCodec<Record<string, unknown>>({
    key: crypto.getRandomValues(new Uint8Array(32)),
  })
  const build = (): McpServer => {
    const server = newServer(codec)
    registerTools(server, {
      toolsChanged: () => modern.notify.toolsChanged(),
      promptsChanged: () => modern.notify.promptsChanged(),
      closeStream: (sessionId, requestId) => sessions.get(sessionId)?.closeSSEStream(requestId),
    })
    registerInputTools(server, (state) => codec.mint(state))
    registerContent(server)
    return server
  }
  const modern = createMcpHandler(build)
  const handleModern = toNodeHandler(modern)
  const isLocalHost = localhostHostValidation()
  const isLocalOrigin = localhostOriginValidation()
  return async (request, response) => {
    if (!isLocalHost(request, response) || !isLocalOrigin(request, response)) return
    if (request.url !== '/mcp') return refuse(response, 404, 'Not found')
    const body = request.method === 'POST' ? await readJson(request) : undefined
    if (request.method === 'POST' && isModern(request, body)) {
      return await handleModern(request, response, body)
    }
    const sessionId = single(request.headers['mcp-session-id'])
    if (sessionId !== undefined) {
      const transport = sessions.get(sessionId)
      if (transport === undefined) return refuse(response, 404, 'Session not found')
      return await transport.handleRequest(request, response, body)
    }
    if (!isInitializeRequest(body)) return refuse(response, 400, 'Session id required')
    const transport = openSession(sessions)
    await build().connect(transport)
    await transport.handleRequest(request, response, body)
  }
}

function newServer(codec: RequestStateCodec<Record<string, unknown>>): McpServer {
  return new McpServer(
    { name: 'postern-conformance-fixture', version: '1.0.0' },
    {
      capabilities: {
        tools: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        prompts: { listChanged: true },
        logging: {},
        completions: {},
      },
      requestState: { verify: codec.verify },
    },
  )
}

function openSession(sessions: Sessions): NodeStreamableHTTPServerTransport {
  const transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: () => randomUUID(),
    eventStore: memoryEventStore(),
    retryInterval: RETRY_INTERVAL_MS,
    onsessioninitialized: (id) => {
      sessions.set(id, transport)
    },
  })
  transport.onclose = () => {
    if (transport.sessionId !== undefined) sessions.delete(transport.sessionId)
  }
  return transport
}

/** Events of one session in order of arrival; an id is `<stream>#<position>`. */
function memoryEventStore(): EventStore {
  const events: { streamId: string; message: Parameters<EventStore['storeEvent']>[1] }[] = []
  return {
    async storeEvent(streamId, message) {
      events.push({ streamId, message })
      return `${streamId}#${events.length - 1}`
    },
    async replayEventsAfter(lastEventId, { send }) {
      const cut = lastEventId.lastIndexOf('#')
      const streamId = lastEventId.slice(0, cut)
      for (let index = Number(lastEventId.slice(cut + 1)) + 1; index < events.length; index++) {
        const event = events[index]
        // A priming event has no message; it is not worth sending twice.
        if (event?.streamId !== streamId || Object.keys(event.message).length === 0) continue
        await send(`${streamId}#${index}`, event.message)
      }
      return streamId
    },
  }
}

function isModern(request: IncomingMessage, body: unknown): boolean {
  return (
    classifyInboundRequest({
      httpMethod: 'POST',
      protocolVersionHeader: single(request.headers['mcp-protocol-version']),
      mcpMethodHeader: single(request.headers['mcp-method']),
      body,
    }).kind !== 'legacy'
  )
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > BODY_MAX_BYTES) throw new Error('body too large')
    chunks.push(chunk)
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32_000, message }, id: null }))
}
