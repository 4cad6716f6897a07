/**
 * The gateway in front of a server that knows its own tokens: who presents which is in a map, refusals
 * carry its challenges, and every byte that went either way is kept for a search.
 */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { afterEach } from 'vitest'
import { type GatewayOptions, startGateway, type TestGateway, type TokenSpec } from './gateway.ts'
import { startServer, type TestServer } from './http.ts'
import { createKeptTokens, type KeptTokens } from './kept-tokens.ts'

export interface Told {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly bytes: Buffer
  /** Of a body that is an object, or of the one event of a stream. */
  readonly json: RpcAnswer
}

type Some<T> = readonly [T, ...T[]]

/** An answer under test: every member may be missing, and then its expectation fails. */
export interface RpcAnswer {
  readonly id: unknown
  readonly person: unknown
  readonly error: {
    readonly code: number
    readonly message: string
    readonly data: {
      readonly url: string
      readonly elicitations: Some<{ readonly url: string; readonly elicitationId: string }>
    }
  }
  readonly result: {
    readonly resultType: string
    readonly isError: boolean
    readonly content: Some<{ readonly type: string; readonly text: string }>
    readonly requestState: string
    readonly inputRequests: { readonly connect: { readonly params: { readonly url: string } } }
    readonly protocolVersion: string
    readonly supportedVersions: readonly string[]
  }
}

export interface ConnectionHouse {
  readonly server: TestServer
  readonly house: TestGateway
  readonly tokens: KeptTokens
  /** Access token -> person; any other is refused. */
  readonly people: Map<string, string>
  /** Scopes that the server wants for a call; `undefined`: any. */
  wanted: string | undefined
  /** Whole value of `WWW-Authenticate` in refusals. */
  challenge: string
  /** Connects a person of the house; the server knows the token from now on. */
  connect(
    user: string,
    more?: { scopes?: string[]; asleep?: boolean; accessToken?: string },
  ): string
  /** The token that `send` presents. */
  ourToken(spec?: TokenSpec): string
  /** One request with this user's token of ours. */
  send(body: unknown, options?: SendOptions): Promise<Told>
  close(): Promise<void>
}

export interface SendOptions extends TokenSpec {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  /** Called with what has come so far. */
  readonly onData?: (bytes: number) => void
}

export const MODERN = { 'mcp-protocol-version': '2026-07-28' }
export const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities'

/** A call of the current revision from a client that can open URLs. */
export function modernCall(
  params: object = {},
  capabilities: object = { elicitation: { url: {} } },
) {
  return {
    jsonrpc: '2.0',
    id: 7,
    method: 'tools/call',
    params: { name: 'whoami', arguments: {}, _meta: { [CAPABILITIES]: capabilities }, ...params },
  }
}

/** Starts houses on this carrier for the tests of a `describe`, and closes each after its test. */
export function useConnectionHouses(
  carrier: GatewayOptions['carrier'],
): (options?: Parameters<typeof startConnectionHouse>[0]) => Promise<ConnectionHouse> {
  const closing: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })
  return async (options = {}) => {
    const world = await startConnectionHouse({ ...(carrier && { carrier }), ...options })
    closing.push(() => world.close())
    return world
  }
}

export async function startConnectionHouse(
  options: Partial<GatewayOptions> & { connector?: object } = {},
): Promise<ConnectionHouse> {
  const people = new Map<string, string>()
  const tokens = createKeptTokens()
  const server = await startServer((request, response, seen) => {
    const accessToken = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
    const person = people.get(accessToken)
    const isShort = person !== undefined && world.wanted !== undefined
    if (person === undefined || isShort) {
      const error = isShort
        ? `error="insufficient_scope", scope="${world.wanted}"`
        : 'error="invalid_token"'
      const value = world.challenge === '' ? `Bearer ${error}` : world.challenge
      response.writeHead(isShort ? 403 : 401, { 'www-authenticate': value, 'set-cookie': 'seen=1' })
      response.end('{"error":"refused"}')
      return
    }
    const { id, method } = seen.body === '' ? { id: null, method: '' } : JSON.parse(seen.body)
    const sessionId = method === 'initialize' ? { 'mcp-session-id': `up-${person}` } : {}
    response.writeHead(200, {
      'content-type': 'application/json',
      'set-cookie': 'seen=1',
      ...sessionId,
    })
    const text = JSON.stringify({ person })
    response.end(
      JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text }] } }),
    )
  })
  const { connector = {}, ...rest } = options
  const url = `${server.origin}/mcp`
  const house = await startGateway({
    connectors: [{ name: 'notes', title: 'Notes', url, auth: 'oauth', ...connector }],
    tokens,
    ...rest,
  })
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  const ours = new Map<string, string>()
  const tokenOf = (spec: TokenSpec): string => {
    const key = JSON.stringify(spec)
    const known = ours.get(key) ?? house.token(spec)
    ours.set(key, known)
    return known
  }
  const world: ConnectionHouse = {
    server,
    house,
    tokens,
    people,
    wanted: undefined,
    challenge: '',
    ourToken: (spec = {}) => tokenOf(spec),
    connect(user, { accessToken = `at_${user}_${people.size}`, ...more } = {}) {
      people.set(accessToken, user)
      tokens.connect(`usr_${user}`, 'notes', accessToken, server.origin, more)
      return accessToken
    },
    send(
      body,
      { method = 'POST', path = '/mcp/notes', headers = {}, signal, onData, ...spec } = {},
    ) {
      const text = textOf(body)
      const bearer = headers.authorization ?? `Bearer ${tokenOf(spec)}`
      return exchange(
        { agent, port: house.port, method, path, text, signal, onData },
        {
          host: new URL(house.issuer).host,
          ...(text.length === 0 ? {} : { 'content-type': 'application/json' }),
          ...headers,
          authorization: bearer,
        },
      )
    },
    async close() {
      agent.destroy()
      await house.close()
      await server.close()
    },
  }
  return world
}

interface Line {
  readonly agent: Agent
  readonly port: number
  readonly method: string
  readonly path: string
  readonly text: string | Uint8Array
  readonly signal: AbortSignal | undefined
  readonly onData: ((bytes: number) => void) | undefined
}

function exchange(line: Line, headers: Readonly<Record<string, string>>): Promise<Told> {
  const { text, signal, onData, ...rest } = line
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      {
        host: '127.0.0.1',
        ...rest,
        headers: { ...headers, 'content-length': String(Buffer.byteLength(text)) },
        ...(signal === undefined ? {} : { signal }),
      },
      (answer) => {
        const chunks: Buffer[] = []
        let received = 0
        answer.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          received += chunk.length
          onData?.(received)
        })
        answer.on('error', reject)
        answer.on('end', () => {
          const bytes = Buffer.concat(chunks)
          const body = bytes.toString()
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text: body,
            bytes,
            json: parsed(body),
          })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(text)
  })
}

function textOf(body: unknown): string | Uint8Array {
  if (typeof body === 'string' || body instanceof Uint8Array) return body
  return body === undefined ? '' : JSON.stringify(body)
}

/** `null` for what is no JSON: looking into it is the failure. */
function parsed(body: string): RpcAnswer {
  try {
    return JSON.parse(body)
  } catch {
    return JSON.parse('null')
  }
}
