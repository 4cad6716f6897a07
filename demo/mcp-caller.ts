/**
 * Calls one tool of an MCP server over one kept connection, as plainly as HTTP allows: the same bytes
 * for every lane, so that the time between them is the difference.
 *
 * MCP 2025-11-25 over Streamable HTTP. The time runs from the request to the last byte of the answer.
 */
import { randomUUID } from 'node:crypto'
import { Agent, request as send } from 'node:http'
import { CALL_HEADER } from './sockets.ts'

const PROTOCOL_VERSION = '2025-11-25'
const CALL_TIMEOUT_MS = 30_000

export interface ToolCall {
  readonly name: string
  readonly arguments: Readonly<Record<string, unknown>>
}

export interface CallResult {
  /** 0: no answer. */
  readonly status: number
  /** Its number at every socket it passed; absent when no session could be opened. */
  readonly call?: string
  readonly startedMs: number
  readonly durationMs: number
  /** What a refusal says: `invalid_token`, or the text of a JSON-RPC error. */
  readonly error?: string
  /** The tool's own text. */
  readonly text?: string
}

export interface McpCaller {
  /** Opens a session when there is none yet, unmeasured, then calls the tool. Never throws. */
  call(tool: ToolCall): Promise<CallResult>
  close(): void
}

export function createMcpCaller(url: string, accessToken?: () => string): McpCaller {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  let sessionId: string | undefined
  let isOpen = false
  let nextId = 1
  const post = (message: object, call?: string): Promise<Exchanged> =>
    exchange(agent, url, JSON.stringify(message), {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': PROTOCOL_VERSION,
      ...(sessionId === undefined ? {} : { 'mcp-session-id': sessionId }),
      ...(accessToken === undefined ? {} : { authorization: `Bearer ${accessToken()}` }),
      ...(call === undefined ? {} : { [CALL_HEADER]: call }),
    })
  const open = async (): Promise<CallResult | undefined> => {
    const answer = await post({
      jsonrpc: '2.0',
      id: nextId++,
      method: 'initialize',
      params: {
        protocolVersion: PROTOCOL_VERSION,
        capabilities: {},
        clientInfo: { name: 'demo', version: '1' },
      },
    })
    if (answer.status !== 200) return judge(answer)
    sessionId = answer.sessionId
    const initialized = await post({ jsonrpc: '2.0', method: 'notifications/initialized' })
    if (initialized.status >= 300 || initialized.status === 0) return judge(initialized)
    isOpen = true
    return undefined
  }
  return {
    async call(tool) {
      const failed = isOpen ? undefined : await open()
      if (failed !== undefined) return failed
      const id = nextId++
      const call = randomUUID()
      const answer = await post({ jsonrpc: '2.0', id, method: 'tools/call', params: tool }, call)
      // The server has forgotten the session: the next call opens another.
      if (answer.status === 404) {
        isOpen = false
        sessionId = undefined
      }
      return { ...judge(answer), call }
    },
    close: () => agent.destroy(),
  }
}

interface Exchanged {
  readonly status: number
  readonly startedMs: number
  readonly durationMs: number
  readonly sessionId?: string
  readonly text: string
}

function exchange(
  agent: Agent,
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
): Promise<Exchanged> {
  const startedMs = performance.now()
  return new Promise((resolve) => {
    const settle = (status: number, text: string, sessionId?: string): void =>
      resolve({
        status,
        startedMs,
        durationMs: performance.now() - startedMs,
        text,
        ...(sessionId === undefined ? {} : { sessionId }),
      })
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS)
    const length = { 'content-length': String(Buffer.byteLength(body)) }
    const outgoing = send(url, {
      method: 'POST',
      agent,
      headers: { ...headers, ...length },
      signal,
    })
    outgoing.on('error', (error) => settle(0, error.message))
    outgoing.on('response', (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('error', (error) => settle(0, error.message))
      answer.on('end', () => {
        const session = answer.headers['mcp-session-id']
        settle(
          answer.statusCode ?? 0,
          Buffer.concat(chunks).toString('utf8'),
          typeof session === 'string' ? session : undefined,
        )
      })
    })
    outgoing.end(body)
  })
}

function judge({ status, startedMs, durationMs, text }: Exchanged): CallResult {
  const times = { status, startedMs, durationMs }
  const message = readMessage(text)
  const error = errorOf(message)
  if (error !== undefined) return { ...times, error }
  if (status !== 200) return { ...times, error: status === 0 ? text : `status ${status}` }
  return { ...times, text: toolText(message) }
}

/** A JSON body, or the last event of a stream. */
function readMessage(text: string): Readonly<Record<string, unknown>> {
  const events = text.startsWith('{')
    ? [text]
    : [...text.matchAll(/^data: ?(\{.*)$/gm)].map(([, data]) => data)
  try {
    const value: unknown = JSON.parse(events.at(-1) ?? '{}')
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

function errorOf(message: Readonly<Record<string, unknown>>): string | undefined {
  const { error, result } = message
  if (typeof error === 'string') return error
  if (typeof error === 'object' && error !== null && 'message' in error)
    return String(error.message)
  const failed = typeof result === 'object' && result !== null && 'isError' in result
  return failed && result.isError === true ? 'the tool failed' : undefined
}

function toolText({ result }: Readonly<Record<string, unknown>>): string {
  const isObject = typeof result === 'object' && result !== null && 'content' in result
  const content: unknown = isObject ? result.content : undefined
  if (!Array.isArray(content)) return ''
  return content
    .map((block: unknown) =>
      typeof block === 'object' && block !== null && 'text' in block ? String(block.text) : '',
    )
    .join('')
}
