/**
 * A real MCP server on the official server package: notes, one notebook per person.
 *
 * Speaks every revision: 2026-07-28 without sessions, earlier ones without or with. With `identity` it
 * checks Postern's JWT against Postern's key set, which it keeps; without it everybody is `anonymous`.
 */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import {
  NodeStreamableHTTPServerTransport,
  toNodeHandler,
  toWebRequest,
} from '@modelcontextprotocol/node'
import {
  type AuthInfo,
  type CallToolResult,
  createMcpHandler,
  isInitializeRequest,
  isLegacyRequest,
  McpServer,
} from '@modelcontextprotocol/server'
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose'
import { z } from 'zod'
import { readBody } from '../doubles/faults.ts'

const COUNT_MAX = 1_000
const NOTES_MAX = 100

export interface NotesOptions {
  readonly port?: number
  /** Earlier revisions get a session of their own. Default false: each request stands alone. */
  readonly sessions?: boolean
  /** Whose JWT to believe. `required`: without one it is a 401. */
  readonly identity?: {
    readonly jwksUrl: string
    readonly issuer: string
    /** Default: this server's own URL. */
    readonly audience?: string
    readonly required?: boolean
  }
  /** Between two steps of `slow_count`. Default 100. */
  readonly stepMs?: number
}

export interface NotesServer {
  readonly url: string
  /** Requests that reached the server, whoever sent them. */
  requests(): number
  /** Live sessions of earlier revisions. */
  sessions(): number
  close(): Promise<void>
}

type Authenticated = IncomingMessage & { auth?: AuthInfo }

export async function startNotesServer(options: NotesOptions = {}): Promise<NotesServer> {
  let requests = 0
  const notebooks = new Map<string, string[]>()
  const sessions = new Map<string, NodeStreamableHTTPServerTransport>()
  const build = (): McpServer => buildNotesServer(notebooks, options.stepMs ?? 100)
  const modern = toNodeHandler(createMcpHandler(build))
  const server = createServer((request, response) => {
    requests++
    answer(request, response).catch(() => {
      if (response.headersSent) response.destroy()
      else refuse(response, 500, 'failed')
    })
  })
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`
  const authenticate = createAuthenticate(options.identity, url)

  const answer = async (request: Authenticated, response: ServerResponse): Promise<void> => {
    if (request.url !== '/mcp') return refuse(response, 404, 'Not found')
    const auth = await authenticate(request)
    if (auth === 'refused') {
      response.setHeader('www-authenticate', 'Bearer error="invalid_token"')
      return refuse(response, 401, 'invalid token')
    }
    if (auth !== undefined) request.auth = auth
    if (options.sessions !== true) return await modern(request, response)
    const body: unknown =
      request.method === 'POST' ? JSON.parse(await readBody(request)) : undefined
    // Only earlier revisions have sessions; the package decides which one a request is of.
    if (
      request.method === 'POST' &&
      !(await isLegacyRequest(await toWebRequest(request, body), body))
    ) {
      return await modern(request, response, body)
    }
    return await answerInSession(request, response, body)
  }
  const answerInSession = async (
    request: Authenticated,
    response: ServerResponse,
    body: unknown,
  ): Promise<void> => {
    const id = request.headers['mcp-session-id']
    const known = typeof id === 'string' ? sessions.get(id) : undefined
    if (known !== undefined) return await known.handleRequest(request, response, body)
    if (id !== undefined) return refuse(response, 404, 'Session not found')
    if (!isInitializeRequest(body)) return refuse(response, 400, 'Session id required')
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (created) => void sessions.set(created, transport),
    })
    transport.onclose = () => void sessions.delete(transport.sessionId ?? '')
    await build().connect(transport)
    await transport.handleRequest(request, response, body)
  }
  return {
    url,
    requests: () => requests,
    sessions: () => sessions.size,
    async close() {
      for (const transport of [...sessions.values()]) await transport.close()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}

type Authenticate = (request: IncomingMessage) => Promise<AuthInfo | undefined | 'refused'>

/** The key set is fetched once and kept by the library: no call per request. */
function createAuthenticate(identity: NotesOptions['identity'], url: string): Authenticate {
  if (identity === undefined) return async () => undefined
  const keys = createRemoteJWKSet(new URL(identity.jwksUrl))
  return async (request) => {
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    if (token === undefined) return identity.required === true ? 'refused' : undefined
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer: identity.issuer,
        audience: identity.audience ?? url,
        algorithms: ['ES256'],
      })
      return authInfoOf(token, payload)
    } catch {
      return 'refused'
    }
  }
}

function authInfoOf(token: string, claims: JWTPayload): AuthInfo {
  const scopes = typeof claims['scope'] === 'string' ? claims['scope'].split(' ') : []
  const clientId = typeof claims['client_id'] === 'string' ? claims['client_id'] : ''
  return {
    token,
    clientId,
    scopes,
    ...(claims.exp === undefined ? {} : { expiresAt: claims.exp }),
    extra: { claims },
  }
}

export function buildNotesServer(notebooks: Map<string, string[]>, stepMs: number): McpServer {
  const server = new McpServer({ name: 'notes', version: '1.0.0' }, { capabilities: { tools: {} } })
  server.registerTool('whoami', { description: 'Who the server thinks you are' }, async (context) =>
    text(JSON.stringify(claimsOf(context.http?.authInfo) ?? { sub: 'anonymous' })),
  )
  server.registerTool(
    'add_note',
    {
      description: 'Adds a note to your notebook',
      inputSchema: z.object({ text: z.string().min(1).max(2_000) }),
    },
    async (input, context) => {
      const person = personOf(context.http?.authInfo)
      const notes = [...(notebooks.get(person) ?? []), input.text].slice(-NOTES_MAX)
      notebooks.set(person, notes)
      return text(`${notes.length} ${notes.length === 1 ? 'note' : 'notes'}`)
    },
  )
  server.registerTool('list_notes', { description: 'Your notebook' }, async (context) =>
    text(
      (notebooks.get(personOf(context.http?.authInfo)) ?? ['Your notebook is empty.']).join('\n'),
    ),
  )
  server.registerTool(
    'slow_count',
    {
      description: 'Counts, and says so as it goes',
      inputSchema: z.object({ to: z.number().int().min(1).max(COUNT_MAX) }),
    },
    async (input, { mcpReq }) => {
      const progressToken = mcpReq._meta?.progressToken
      for (let progress = 1; progress <= input.to && !mcpReq.signal.aborted; progress++) {
        await pause(stepMs)
        if (progressToken === undefined) continue
        const params = {
          progressToken,
          progress,
          total: input.to,
          message: `${progress} of ${input.to}`,
        }
        await mcpReq.notify({ method: 'notifications/progress', params })
      }
      return text(`counted to ${input.to}`)
    },
  )
  return server
}

function claimsOf(auth: AuthInfo | undefined): JWTPayload | undefined {
  const claims = auth?.extra?.['claims']
  return isClaims(claims) ? claims : undefined
}

function isClaims(value: unknown): value is JWTPayload {
  return typeof value === 'object' && value !== null
}

function personOf(auth: AuthInfo | undefined): string {
  return claimsOf(auth)?.sub ?? 'anonymous'
}

function text(content: string): CallToolResult {
  return { content: [{ type: 'text', text: content }] }
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32_000, message }, id: null }))
}
