/**
 * What a call to a connector with a scope table may do, judged by its whole body before any byte of it
 * goes on. The body decides, never a header; headers that say something else are refused (GW-04, GW-05).
 *
 * Pure, once per call, shared by both carriers. Batches are refused: they exist in one revision only,
 * and half of one cannot be let through.
 */
import { MCP_SCOPE } from '../oauth/scope.ts'
import { coversScopes, neededScopes } from '../oauth/scope-table.ts'
import { type Answer, insufficientScope, type MessageFault, messageAnswer } from './answers.ts'
import type { Forward, Reconnect, Refuse } from './decide.ts'
import type { Head } from './headers.ts'
import { isStateless } from './session-id.ts'
import { readStrictMessage, type StrictMessage } from './strict-message.ts'

/** Marks what must be read first, or refuses what has no body to judge. */
export function requireTable(
  method: string,
  forward: Forward | Reconnect,
): Forward | Reconnect | Refuse {
  const { route, session } = forward
  const table = route.connector.scopes
  if (table === undefined || session === undefined) return forward
  if (method === 'POST' && route.kind === 'mcp') return { ...forward, inspect: true }
  if (coversScopes(table, session.scopes, [MCP_SCOPE])) return forward
  return {
    kind: 'refuse',
    answer: insufficientScope(route, session.scopes, [MCP_SCOPE]),
    route,
    session,
  }
}

export type Inspection = { readonly answer: Answer } | { readonly message: StrictMessage }

/** @param body All of it; `null` when there is none. */
export function inspectBody(
  { route, session }: Pick<Forward, 'route' | 'session'>,
  head: Head,
  body: Uint8Array | null,
): Inspection {
  const table = route.connector.scopes
  // Marked by `requireTable`, so both are there; anything else is no yes (I7).
  if (table === undefined || session === undefined) return fault('message_shape')
  if (head.contentEncoding !== undefined || !isJson(head.contentType)) return fault('media_type')
  const message = readStrictMessage(body ?? EMPTY)
  if (typeof message === 'string') return fault(FAULTS[message])
  if (!agrees(head, message)) return fault('message_mismatch', message.id)
  const tool = message.method === 'tools/call' ? message.name : undefined
  if (message.method === 'tools/call' && tool === undefined)
    return fault('message_shape', message.id)
  const needed = neededScopes(table, { method: message.method, tool })
  if (coversScopes(table, session.scopes, needed)) return { message }
  return { answer: insufficientScope(route, session.scopes, needed) }
}

const EMPTY = new Uint8Array(0)
const FAULTS = { syntax: 'message_syntax', batch: 'message_batch', shape: 'message_shape' } as const

function fault(reason: MessageFault, id?: string): Inspection {
  return { answer: messageAnswer(reason, id) }
}

/** Another charset is other text out of the same bytes. */
function isJson(contentType: string | undefined): boolean {
  return /^application\/json(?:\s*;\s*charset="?utf-8"?)?\s*$/i.test(contentType ?? '')
}

/** Where `Mcp-Name` is taken from, and needed in the modern revisions. */
const NAMED: Readonly<Record<string, 'name' | 'uri' | 'taskId'>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
}

function agrees({ mcpMethod, mcpName, protocolVersion }: Head, message: StrictMessage): boolean {
  const { method } = message
  const isModern = isStateless(protocolVersion) && method !== undefined
  if (mcpMethod === undefined ? isModern : headerText(mcpMethod) !== method) return false
  const where = method === undefined || !Object.hasOwn(NAMED, method) ? undefined : NAMED[method]
  const named =
    where === undefined ? (message.name ?? message.uri ?? message.taskId) : message[where]
  const isNameNeeded = isModern && where !== undefined
  if (mcpName === undefined ? isNameNeeded : headerText(mcpName) !== named) return false
  return message.protocolVersion === undefined || message.protocolVersion === protocolVersion
}

/** `=?base64?...?=` is how a header carries text that a header cannot. */
function headerText(value: string): string | undefined {
  const coded = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/.exec(value)?.[1]
  if (coded === undefined) return value
  try {
    const bytes = Uint8Array.from(atob(coded), (character) => character.charCodeAt(0))
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
