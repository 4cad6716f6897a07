/**
 * What a client is told when a person has to connect an account first (GW-25, flows.md section 8).
 * Pure: the request's message and what its client can do in, the answer out.
 *
 * - 2026-07-28, `elicitation.url` declared, a method that may ask (`tools/call`, `prompts/get`,
 *   `resources/read`): `input_required` with one question and our sealed `requestState`. A request that
 *   already answers a question of the server gets the text instead: its own state has no room beside ours.
 * - 2025-11-25, URL elicitation declared at `initialize`: error -32042, for every method.
 * - other `tools/call`: a result with `isError` and the link as text, which the model shows.
 * - everything else, `initialize` and `server/discover` included: a JSON-RPC error with the link in its
 *   message and in `data.url`. Nobody but the server can answer those, and a 401 would send the client
 *   to sign in here, where it is signed in: its host shows the message of the failed start instead.
 * - what has no id: 400 for messages, 403 for GET, DELETE and plain routes; nothing was delivered.
 */
import { type Answer, JSON_HEADERS, refuse } from './answers.ts'
import type { Head } from './headers.ts'
import { scanMessage } from './message.ts'
import { STATE_PREFIX } from './request-state.ts'
import { isStateless } from './session-id.ts'

type Json = Readonly<Record<string, unknown>>

/** How this client can be told. */
export type AnswerForm = 'input_required' | 'url_elicitation' | 'tool_result' | 'error' | 'no_id'

/** A client's message as far as an answer needs it. Decides no access. */
export interface AskedMessage {
  /** As the client wrote it. */
  readonly id: string | undefined
  readonly method: string | undefined
  readonly name: string | undefined
  readonly form: AnswerForm
  /** False for GET, DELETE and plain routes. */
  readonly isMessage: boolean
  readonly isModern: boolean
  /** Of a message that was read whole. */
  readonly params: Json | undefined
  /** `requestState` of ours that came back. */
  readonly state: string | undefined
  /** The person's answer to our question: `accept`, `decline`, `cancel`. */
  readonly action: string | undefined
}

export interface ReadOptions {
  readonly head: Head
  /** Route kind `mcp` and method POST; anything else has no message. */
  readonly isMessage: boolean
  /** First bytes of a longer body; nothing but the id is taken from them. */
  readonly isPartial: boolean
  /** What the client said at `initialize` of this session. */
  readonly opensUrls: boolean
}

/** The key of our one question. */
const QUESTION = 'connect'
/** What a return adds to a request must still be read whole. */
const ASKED_MAX_BYTES = 57_344
const FIRST_URL_REVISION = '2025-11-25'
const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities'
const MAY_ASK = new Set(['tools/call', 'prompts/get', 'resources/read'])
/** Members of `params` that only a return has. */
export const RETURNED_PARAMS = new Set(['requestState', 'inputResponses'])

const NO_MESSAGE: AskedMessage = {
  id: undefined,
  method: undefined,
  name: undefined,
  form: 'no_id',
  isMessage: false,
  isModern: false,
  params: undefined,
  state: undefined,
  action: undefined,
}

export function readAsked(bytes: Uint8Array, options: ReadOptions): AskedMessage {
  const { head, isMessage, isPartial, opensUrls } = options
  if (!isMessage) return NO_MESSAGE
  const found = scanMessage(bytes, true)
  const isWhole = !isPartial && found.complete && !found.repeated
  const message = isWhole ? parsed(bytes) : undefined
  const params = objectIn(message, 'params')
  const isModern = isStateless(head.protocolVersion)
  const { id, method, name } = found
  const presented = params?.requestState
  const isOurs = typeof presented === 'string' && presented.startsWith(STATE_PREFIX)
  const action = isOurs ? objectIn(objectIn(params, 'inputResponses'), QUESTION)?.action : undefined
  const facts = { method, params, isModern, isOurs, bytes: bytes.length }
  const isUrl = isModern ? mayAsk(facts) : mayElicit(facts, head, opensUrls)
  return {
    id,
    method,
    name,
    form: formOf(id, method, isWhole, isUrl, isModern),
    isMessage,
    isModern,
    params,
    state: isOurs ? presented : undefined,
    action: typeof action === 'string' ? action : undefined,
  }
}

interface Facts {
  readonly method: string | undefined
  readonly params: Json | undefined
  readonly isOurs: boolean
  readonly bytes: number
}

function formOf(
  id: string | undefined,
  method: string | undefined,
  isWhole: boolean,
  isUrl: boolean,
  isModern: boolean,
): AnswerForm {
  // Of a part of a message it is not known whether an id follows: an error with `null` is heard.
  if (isWhole && (id === undefined || method === undefined)) return 'no_id'
  if (id !== undefined && isUrl) return isModern ? 'input_required' : 'url_elicitation'
  return id !== undefined && method === 'tools/call' ? 'tool_result' : 'error'
}

function mayAsk({ method, params, isOurs, bytes }: Facts): boolean {
  if (method === undefined || !MAY_ASK.has(method) || bytes > ASKED_MAX_BYTES) return false
  const isReturn = params?.requestState !== undefined || params?.inputResponses !== undefined
  if (isReturn && !isOurs) return false
  return declaresUrl(objectIn(objectIn(params, '_meta'), CAPABILITIES))
}

/** The version of `initialize` is in its parameters, that of everything after it in a header. */
function mayElicit({ method, params }: Facts, head: Head, opensUrls: boolean): boolean {
  const isInitialize = method === 'initialize'
  const revision = isInitialize ? params?.protocolVersion : head.protocolVersion
  if (typeof revision !== 'string' || revision < FIRST_URL_REVISION) return false
  return isInitialize ? declaresUrl(objectIn(params, 'capabilities')) : opensUrls
}

/** An `initialize` whose client can open URLs: kept with the session that comes of it. */
export function opensUrlsLater(bytes: Uint8Array, head: Head): boolean {
  if (isStateless(head.protocolVersion) || scanMessage(bytes).method !== 'initialize') return false
  const { complete, repeated } = scanMessage(bytes, true)
  return (
    complete &&
    !repeated &&
    declaresUrl(objectIn(objectIn(parsed(bytes), 'params'), 'capabilities'))
  )
}

function declaresUrl(capabilities: Json | undefined): boolean {
  return objectIn(objectIn(capabilities, 'elicitation'), 'url') !== undefined
}

export interface Asking {
  /** As people know the server. */
  readonly title: string
  /** Absent where no person can help. */
  readonly link: string | undefined
  /** Why, as a sentence for a person. */
  readonly why: string
  readonly reason: 'connection_missing' | 'connection_scope' | 'connection_given_up'
  /** Sealed; for `input_required`. */
  readonly requestState?: string
  /** For `url_elicitation`. */
  readonly elicitationId?: string
}

/** @returns The answer; nothing in it but the link is new to the client. */
export function reconnectAnswer(message: AskedMessage, asking: Asking): Answer {
  const { title, link, why } = asking
  const text = link === undefined ? why : `${why} Open this link to connect ${title}: ${link}`
  const asked = link === undefined ? 'text' : message.form
  switch (asked) {
    case 'input_required':
      return result(message, asking, {
        resultType: 'input_required',
        inputRequests: {
          [QUESTION]: { method: 'elicitation/create', params: question(why, link) },
        },
        requestState: asking.requestState,
      })
    case 'url_elicitation': {
      const { elicitationId } = asking
      const elicitations = [{ ...question(why, link), elicitationId }]
      return error(message, asking, URL_ELICITATION_REQUIRED, why, { elicitations })
    }
    case 'no_id':
      return unheard(message, asking, text)
    default:
      if (message.form === 'no_id') return unheard(message, asking, text)
      if (message.method === 'tools/call' && message.id !== undefined) {
        const complete = message.isModern ? { resultType: 'complete' } : {}
        const content = [{ type: 'text', text }]
        return result(message, asking, { ...complete, content, isError: true })
      }
      return error(message, asking, INTERNAL_ERROR, text, {
        reason: asking.reason,
        ...(link === undefined ? {} : { url: link }),
      })
  }
}

/** A `requestState` that is not this caller's, not of this request, or too old. */
export function badStateAnswer({ id }: AskedMessage): Answer {
  const message = 'requestState is not valid here'
  return {
    status: 400,
    reason: 'request_state',
    headers: JSON_HEADERS,
    body: envelope(id, 'error', { code: INVALID_PARAMS, message }),
  }
}

/** Declared in 2025-11-25 only (GW-29). */
const URL_ELICITATION_REQUIRED = -32_042
const INTERNAL_ERROR = -32_603
const INVALID_PARAMS = -32_602

function question(message: string, url: string | undefined): Json {
  return { mode: 'url', message, url }
}

function result({ id }: AskedMessage, { reason }: Asking, value: Json): Answer {
  return { status: 200, reason, headers: JSON_HEADERS, body: envelope(id, 'result', value) }
}

function error(
  { id }: AskedMessage,
  { reason }: Asking,
  code: number,
  message: string,
  data: Json,
): Answer {
  return {
    status: 200,
    reason,
    headers: JSON_HEADERS,
    body: envelope(id, 'error', { code, message, data }),
  }
}

/** A notification or a response: JSON-RPC has no answer to it, HTTP has. */
function unheard({ isMessage }: AskedMessage, asking: Asking, text: string): Answer {
  return refuse(isMessage ? 400 : 403, asking.reason, 'connection_required', text)
}

function envelope(id: string | undefined, kind: 'result' | 'error', value: Json): string {
  return `{"jsonrpc":"2.0","id":${id ?? 'null'},"${kind}":${JSON.stringify(value)}}`
}

const decoder = new TextDecoder('utf-8', { fatal: true })

/** Only of what the scanner found whole, unrepeated and of bounded depth. */
function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes)) as unknown
  } catch {
    return undefined
  }
}

function objectIn(value: unknown, name: string): Json | undefined {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  const member: unknown = Reflect.get(value, name)
  return typeof member === 'object' && member !== null && !Array.isArray(member)
    ? (member as Json)
    : undefined
}
