/**
 * One proxied exchange for a house that is mounted in somebody's server and answers by `Response`.
 * `serve` does not come here: its calls go through `carrier.ts`.
 */
import { Readable } from 'node:stream'
import type { Agent } from 'undici'
import { UpstreamError } from '../errors.ts'
import type { Send } from '../ports.ts'
import { loadUndici } from './undici.ts'

const CONNECT_TIMEOUT_MS = 2_000
const HEADER_MAX_BYTES = 16_384
const CLIENT_TTL_MS = 300_000

const AGENT_OPTIONS: Agent.Options = {
  allowH2: false,
  connections: null,
  headersTimeout: 0,
  bodyTimeout: 0,
  maxHeaderSize: HEADER_MAX_BYTES,
  clientTtl: CLIENT_TTL_MS,
  connect: { timeout: CONNECT_TIMEOUT_MS },
}

/** Failures before the first byte was sent: nothing has been processed. */
const NOT_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
  'EHOSTUNREACH',
])

export function createSend(): { send: Send; close(): Promise<void> } {
  let agent: Agent | undefined
  let isClosed = false
  const send: Send = async ({ url, method, headers, body, signal }) => {
    try {
      const undici = await loadUndici()
      // Closed while the library was being loaded: nothing would end an agent made now.
      if (isClosed) throw new Error('closed')
      agent ??= new undici.Agent(AGENT_OPTIONS)
      const answer = await undici.request(url, {
        dispatcher: agent,
        method: method as 'GET',
        headers: [...headers].flat(),
        body: body instanceof ReadableStream ? Readable.fromWeb(body as never) : body,
        signal,
      })
      const hasBody = ![204, 205, 304].includes(answer.statusCode)
      if (!hasBody) await answer.body.dump()
      return new Response(
        hasBody ? (Readable.toWeb(answer.body) as ReadableStream<Uint8Array>) : null,
        {
          status: answer.statusCode,
          headers: flatHeaders(answer.headers),
        },
      )
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
      throw new UpstreamError(NOT_SENT.has(code) ? 'ERR_UPSTREAM_CONNECT' : 'ERR_UPSTREAM_RESET', {
        operation: 'call',
        origin: new URL(url).origin,
        cause,
      })
    }
  }
  return {
    send,
    async close() {
      isClosed = true
      await agent?.destroy()
    },
  }
}

function flatHeaders(headers: Record<string, string | string[] | undefined>): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one): [string, string] => [name, one]),
  )
}
