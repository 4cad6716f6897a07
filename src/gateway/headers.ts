/**
 * One pass over a request's headers: what decides, what is forwarded, what never leaves here.
 *
 * Both carriers share the table. Hop-by-hop headers, credentials, cookies, forwarding claims and our
 * own namespace (with `_` for `-` as well) are dropped before anything of ours is added (G1, G2,
 * GW-22). A repeated header that decides, a framing other than `chunked`, or a `Connection` that
 * names what was decided on is a fault, and a fault is a 400.
 */
import type { PresentedProof } from './possession.ts'

/** Why a request cannot be read one way only; stable words for log and metric. */
export type HeadFault =
  | 'duplicate_header'
  | 'transfer_encoding'
  | 'content_length'
  | 'connection_names'
  | 'upgrade'

/** What a decision reads. One object per request, one shape. */
export interface Head {
  fault: HeadFault | undefined
  authorization: string | undefined
  /** Proof of the key that a token is bound to; never forwarded. */
  dpop: string | undefined
  host: string | undefined
  origin: string | undefined
  contentType: string | undefined
  contentLength: number | undefined
  contentEncoding: string | undefined
  chunked: boolean
  expect: boolean
  acceptEncoding: string | undefined
  sessionId: string | undefined
  protocolVersion: string | undefined
  mcpMethod: string | undefined
  mcpName: string | undefined
  lastEventId: string | undefined
  /** A browser asks first (CORS preflight). */
  preflight: string | undefined
  /** Found out by a load, for the decision after it: this caller has no connection there. */
  hasNoConnection: boolean
  /** Made of `dpop` where a token needs it. */
  presented: PresentedProof | undefined
}

const PASS = 0
const DROP = 1
const ACCEPT_ENCODING = 2
const CONNECTION = 3
const PREFLIGHT = 4
const UPGRADE = 5
const EXPECT = 6
/** From here on a second one is a fault. */
const AUTHORIZATION = 7
const HOST = 8
const ORIGIN = 9
const CONTENT_TYPE = 10
const CONTENT_LENGTH = 11
const TRANSFER_ENCODING = 12
const SESSION_ID = 13
const PROTOCOL_VERSION = 14
const MCP_METHOD = 15
const MCP_NAME = 16
const LAST_EVENT_ID = 17
const CONTENT_ENCODING = 18
const DPOP = 19

const ACTIONS: ReadonlyMap<string, number> = new Map([
  ['accept-encoding', ACCEPT_ENCODING],
  ['connection', CONNECTION],
  ['access-control-request-method', PREFLIGHT],
  ['access-control-request-headers', DROP],
  ['upgrade', UPGRADE],
  ['expect', EXPECT],
  ['authorization', AUTHORIZATION],
  ['dpop', DPOP],
  ['host', HOST],
  ['origin', ORIGIN],
  ['content-type', CONTENT_TYPE],
  ['content-length', CONTENT_LENGTH],
  ['transfer-encoding', TRANSFER_ENCODING],
  ['mcp-session-id', SESSION_ID],
  ['mcp-protocol-version', PROTOCOL_VERSION],
  ['mcp-method', MCP_METHOD],
  ['mcp-name', MCP_NAME],
  ['last-event-id', LAST_EVENT_ID],
  ['content-encoding', CONTENT_ENCODING],
  ...[
    'cookie',
    'cookie2',
    'forwarded',
    'keep-alive',
    'te',
    'trailer',
    'http2-settings',
    'x-real-ip',
    'x-client-ip',
    'true-client-ip',
    'x-cluster-client-ip',
    'client-ip',
    'x-http-method',
    'x-http-method-override',
    'x-method-override',
    'x-original-url',
    'x-rewrite-url',
    'x-original-host',
    'x-host',
    'x-forwarded',
    'x-accel-redirect',
    'x-sendfile',
    'x-remote-user',
    'remote-user',
    'x-authenticated-user',
    'cf-connecting-ip',
    'cf-connecting-ipv6',
    'cf-pseudo-ipv4',
    'fly-client-ip',
    'fastly-client-ip',
    'x-azure-clientip',
    'x-appengine-user-ip',
    'x-envoy-external-address',
    'x-nf-client-connection-ip',
    'x-original-forwarded-for',
    'x-vercel-forwarded-for',
  ].map((name): [string, number] => [name, DROP]),
])
/** The last ones: what a proxy in front says of a person, with tokens and assertions among it. */
const DROPPED_PREFIXES = [
  'x-postern',
  'x-forwarded-',
  'proxy-',
  'sec-websocket-',
  'x-auth-request-',
  'x-amzn-oidc-',
  'cf-access-',
  'x-goog-iap-',
  'x-goog-authenticated-user-',
  'x-ms-token-',
  'x-ms-client-principal',
]

/** Raw names are few; a flood of odd ones is classified anew each time and never kept. */
const MEMO_MAX = 512
const MEMO_NAME_MAX_CHARS = 64
const memo = new Map<string, number>()

function actionOf(rawName: string): number {
  const known = memo.get(rawName)
  if (known !== undefined) return known
  const action = classify(rawName.toLowerCase())
  if (memo.size < MEMO_MAX && rawName.length <= MEMO_NAME_MAX_CHARS) memo.set(rawName, action)
  return action
}

function classify(name: string): number {
  const action = ACTIONS.get(name)
  if (action !== undefined) return action
  // A server that reads `_` as `-` (CGI, WSGI) must not find one of ours under the other spelling.
  const plain = name.replaceAll('_', '-')
  if (DROPPED_PREFIXES.some((prefix) => plain.startsWith(prefix))) return DROP
  return plain !== name && (ACTIONS.has(plain) || plain.startsWith('mcp-')) ? DROP : PASS
}

export function emptyHead(): Head {
  return {
    fault: undefined,
    authorization: undefined,
    dpop: undefined,
    host: undefined,
    origin: undefined,
    contentType: undefined,
    contentLength: undefined,
    contentEncoding: undefined,
    chunked: false,
    expect: false,
    acceptEncoding: undefined,
    sessionId: undefined,
    protocolVersion: undefined,
    mcpMethod: undefined,
    mcpName: undefined,
    lastEventId: undefined,
    preflight: undefined,
    hasNoConnection: false,
    presented: undefined,
  }
}

/** Node's `rawHeaders`: every line as it came. Forwarded ones are appended to `out`, name and value. */
export function scanRaw(raw: readonly string[], out: string[]): Head {
  const head = emptyHead()
  let connection: string | undefined
  let seen = 0
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? ''
    const value = raw[index + 1] ?? ''
    const action = actionOf(name)
    if (action === PASS) {
      out.push(name, value)
      continue
    }
    if (action === DROP) continue
    if (action === CONNECTION) {
      connection = connection === undefined ? value : `${connection},${value}`
      continue
    }
    if (action >= AUTHORIZATION) {
      const bit = 1 << action
      if ((seen & bit) !== 0) head.fault ??= 'duplicate_header'
      seen |= bit
    }
    take(head, action, name, value, out)
  }
  if (connection !== undefined) readConnection(connection, head, out)
  return head
}

/**
 * A `Headers` object: names are lower case and repeats are joined by `, `, so a comma in a header
 * that has none by its grammar is a repeat.
 */
export function scanHeaders(headers: Headers, out: string[]): Head {
  const head = emptyHead()
  headers.forEach((value, name) => {
    const action = actionOf(name)
    if (action === PASS) out.push(name, value)
    else if (action === DROP || action === CONNECTION) return
    else {
      const repeated = action >= AUTHORIZATION && value.includes(action === MCP_NAME ? ', ' : ',')
      if (repeated && action !== CONTENT_ENCODING) head.fault ??= 'duplicate_header'
      take(head, action, name, value, out)
    }
  })
  const connection = headers.get('connection')
  if (connection !== null) readConnection(connection, head, out)
  return head
}

function take(head: Head, action: number, name: string, value: string, out: string[]): void {
  switch (action) {
    case AUTHORIZATION:
      head.authorization = value
      return
    case DPOP:
      head.dpop = value
      return
    case HOST:
      head.host = value
      return
    case ORIGIN:
      head.origin = value
      return
    case CONTENT_TYPE:
      head.contentType = value
      break
    case CONTENT_LENGTH:
      takeContentLength(head, value)
      return
    case CONTENT_ENCODING:
      head.contentEncoding = value
      break
    case TRANSFER_ENCODING:
      head.chunked = true
      if (value.toLowerCase() !== 'chunked') head.fault ??= 'transfer_encoding'
      return
    case ACCEPT_ENCODING:
      head.acceptEncoding = value
      return
    case SESSION_ID:
      head.sessionId = value
      return
    case PROTOCOL_VERSION:
      head.protocolVersion = value
      break
    case MCP_METHOD:
      head.mcpMethod = value
      break
    case MCP_NAME:
      head.mcpName = value
      break
    case LAST_EVENT_ID:
      head.lastEventId = value
      return
    case PREFLIGHT:
      head.preflight = value
      return
    case EXPECT:
      head.expect = true
      return
    case UPGRADE:
      // Others, such as `h2c` from Java's client, may be ignored (RFC 9110 section 7.8).
      if (/websocket/i.test(value)) head.fault ??= 'upgrade'
      return
    default:
  }
  out.push(name, value)
}

const CONTENT_LENGTH_MAX_DIGITS = 15

function takeContentLength(head: Head, value: string): void {
  if (/^\d+$/.test(value) && value.length <= CONTENT_LENGTH_MAX_DIGITS) {
    head.contentLength = Number(value)
  } else head.fault ??= 'content_length'
}

function readConnection(value: string, head: Head, out: string[]): void {
  if (value === 'keep-alive' || value === 'close') return
  for (const token of value.split(',')) {
    const name = token.trim().toLowerCase()
    if (name === '' || name === 'keep-alive' || name === 'close') continue
    const action = actionOf(name)
    if (action >= AUTHORIZATION && action !== TRANSFER_ENCODING) head.fault ??= 'connection_names'
    else if (action === PASS) removeHeader(out, name)
  }
}

/** Removes every pair with this lower-case name, also when it is spelled with `_`. */
export function removeHeader(out: string[], name: string): void {
  const plain = name.replaceAll('_', '-')
  let kept = 0
  for (let index = 0; index < out.length; index += 2) {
    const candidate = out[index] ?? ''
    if (
      candidate.length === plain.length &&
      candidate.toLowerCase().replaceAll('_', '-') === plain
    ) {
      continue
    }
    out[kept] = candidate
    out[kept + 1] = out[index + 1] ?? ''
    kept += 2
  }
  out.length = kept
}

/**
 * Answer headers that stay here: hop-by-hop, the upstream's cookies and challenges, our namespace, and
 * what a browser applies to all of our origin, whoever of it said so: a server behind must not have our
 * callbacks reported elsewhere, nor take our transport security away.
 */
const STAYS = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'set-cookie',
  'set-cookie2',
  'www-authenticate',
  'authentication-info',
  'alt-svc',
  'mcp-session-id',
  'clear-site-data',
  'x-accel-redirect',
  'x-accel-buffering',
  'x-sendfile',
  'service-worker-allowed',
  'strict-transport-security',
  'public-key-pins',
  'public-key-pins-report-only',
  'expect-ct',
  'nel',
  'report-to',
  'accept-ch',
  'use-as-dictionary',
  'sec-session-registration',
  'secure-session-registration',
  'set-login',
])

export interface ResponseFacts {
  /** Flat pairs for the client. */
  readonly headers: string[]
  readonly eventStream: boolean
  /** A comment may not be written into a coded stream. */
  readonly coded: boolean
  readonly contentLength: number | undefined
  /** The server's own session identifier: never shown. */
  readonly sessionId: string | undefined
}

/**
 * @param cors `true` when we write the CORS headers ourselves.
 * @param personal The answer is for one person: no shared cache may keep it (C10).
 * @param isMessage Of an MCP endpoint: no server sends our client, with its message, somewhere else (CLI-21).
 */
export function responseHeaders(
  from: Readonly<Record<string, string | readonly string[] | undefined>>,
  cors: boolean,
  personal: boolean,
  isMessage = false,
): ResponseFacts {
  const headers: string[] = []
  const named = namedByConnection(from.connection)
  for (const name in from) {
    const value = from[name]
    if (value === undefined || STAYS.has(name) || name.startsWith('x-postern')) continue
    if (named?.includes(name) === true) continue
    if (cors && name.startsWith('access-control-')) continue
    if (isMessage && (name === 'location' || name === 'refresh')) continue
    if (personal && (name === 'cache-control' || name === 'vary')) continue
    if (typeof value === 'string') headers.push(name, value)
    else for (const one of value) headers.push(name, one)
  }
  if (personal) {
    headers.push('cache-control', personalCaching(single(from['cache-control'])))
    headers.push('vary', varying(from.vary))
  }
  const type = single(from['content-type'])
  const eventStream = type !== undefined && /^text\/event-stream\b/i.test(type)
  if (eventStream) headers.push('x-accel-buffering', 'no')
  const length = single(from['content-length'])
  const coding = single(from['content-encoding'])
  return {
    headers,
    eventStream,
    coded: coding !== undefined && coding.toLowerCase() !== 'identity',
    contentLength: length === undefined ? undefined : Number(length),
    sessionId: single(from['mcp-session-id']),
  }
}

/** What the server said, for this person's own cache only; `no-store` where it said nothing. */
function personalCaching(value: string | undefined): string {
  if (value === undefined) return 'no-store'
  const kept = value
    .split(',')
    .map((directive) => directive.trim())
    .filter((directive) => !/^(public|private|s-maxage)\b/i.test(directive) && directive !== '')
  return ['private', ...kept].join(', ')
}

function varying(value: string | readonly string[] | undefined): string {
  const named = value === undefined ? '' : typeof value === 'string' ? value : value.join(', ')
  return named === '' ? 'Authorization' : `${named}, Authorization`
}

function namedByConnection(value: string | readonly string[] | undefined): string[] | undefined {
  const text = typeof value === 'string' ? value : value?.join(',')
  if (text === undefined || text === 'keep-alive' || text === 'close') return undefined
  return text.split(',').map((token) => token.trim().toLowerCase())
}

function single(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0]
}
