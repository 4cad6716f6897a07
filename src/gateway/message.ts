/**
 * Finds the top level of a JSON-RPC message in its bytes: `id` as it was written, `method`, and the
 * tool, prompt or resource it names. Never decides access: for records, for the id of an error
 * answer, and for "is this method read-only" before a retry, where all of the body is scanned.
 *
 * Bounded in bytes and depth, no recursion, no JSON.parse of what a client sent: parsing hides
 * repeated keys and rounds large ids (T15).
 */
export interface Message {
  /** The id's own text, quotes included; absent when there is none or when it is unclear. */
  id?: string
  method?: string | undefined
  /** `params.name`, else `params.uri`. */
  name?: string | undefined
  /** A top-level key came twice: nothing here may be trusted. */
  repeated: boolean
  /** All bytes were read, and they are one object. */
  complete: boolean
}

export const SCAN_MAX_BYTES = 16_384
const DEPTH_MAX = 256
const TEXT_MAX_BYTES = 256
/** RFC 8259 numbers and short strings: what an id can be. */
const ID =
  /^(?:-?(?:0|[1-9]\d{0,63})(?:\.\d{1,32})?(?:[eE][+-]?\d{1,4})?|"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,250}")$/

const QUOTE = 34
const COMMA = 44
const COLON = 58
const BACKSLASH = 92
const OPEN_BRACKET = 91
const CLOSE_BRACKET = 93
const OPEN_BRACE = 123
const CLOSE_BRACE = 125

/** @param all Read everything, as a retry needs; otherwise stop once id, method and name are known. */
export function scanMessage(bytes: Uint8Array, all = false): Message {
  const limit = all ? bytes.length : Math.min(bytes.length, SCAN_MAX_BYTES)
  const message: Message = { repeated: false, complete: false }
  let at = skipSpace(bytes, 0, limit)
  if (bytes[at] !== OPEN_BRACE) return message
  at += 1
  const seen = new Set<string>()
  for (let members = 0; members < limit; members += 1) {
    at = skipSpace(bytes, at, limit)
    if (bytes[at] === CLOSE_BRACE && at < limit) {
      message.complete = skipSpace(bytes, at + 1, bytes.length) === bytes.length
      return message
    }
    if (bytes[at] === COMMA && members > 0) at = skipSpace(bytes, at + 1, limit)
    const keyEnd = skipString(bytes, at, limit)
    const colon = keyEnd < 0 ? -1 : skipSpace(bytes, keyEnd, limit)
    if (colon < 0 || bytes[colon] !== COLON) return message
    const key = textOf(bytes, at, keyEnd) ?? ''
    const again = seen.has(key)
    if (again) {
      message.repeated = true
      if (key === 'id') delete message.id
    }
    const valueAt = skipSpace(bytes, colon + 1, limit)
    if (key === 'params') {
      readName(bytes, valueAt, limit, message)
      // The usual order of keys: arguments, which may be long, need not be walked through.
      if (!all && isEnough(message)) return message
    }
    const valueEnd = skipValue(bytes, valueAt, limit)
    if (valueEnd < 0) return message
    readMember(bytes, key, valueAt, valueEnd, again, message)
    seen.add(key)
    at = valueEnd
    if (!all && isEnough(message)) return message
  }
  return message
}

function isEnough({ id, method, name }: Message): boolean {
  return id !== undefined && method !== undefined && (name !== undefined || !NAMED.has(method))
}
const NAMED = new Set(['tools/call', 'prompts/get', 'resources/read'])

function readMember(
  bytes: Uint8Array,
  key: string,
  from: number,
  to: number,
  repeated: boolean,
  message: Message,
): void {
  if (key === 'id' && !repeated) {
    const id = rawText(bytes, from, to)
    if (id !== undefined && ID.test(id)) message.id = id
  } else if (key === 'method') {
    const method = textOf(bytes, from, to)
    if (repeated || method === undefined) delete message.method
    else message.method = method
  }
}

/** `name` or `uri` among the first members of `params`. */
function readName(bytes: Uint8Array, from: number, limit: number, message: Message): void {
  if (bytes[from] !== OPEN_BRACE) return
  let at = from + 1
  for (let members = 0; members < limit - from; members += 1) {
    at = skipSpace(bytes, at, limit)
    if (bytes[at] === COMMA && members > 0) at = skipSpace(bytes, at + 1, limit)
    const keyEnd = skipString(bytes, at, limit)
    if (keyEnd < 0) return
    const key = textOf(bytes, at, keyEnd)
    const colon = skipSpace(bytes, keyEnd, limit)
    if (bytes[colon] !== COLON) return
    const valueAt = skipSpace(bytes, colon + 1, limit)
    const valueEnd = skipValue(bytes, valueAt, limit)
    if (valueEnd < 0) return
    if (key === 'name' || (key === 'uri' && message.name === undefined)) {
      const name = textOf(bytes, valueAt, valueEnd)
      if (name !== undefined) message.name = name
      if (key === 'name') return
    }
    at = valueEnd
  }
}

/**
 * The same message without some members of `params`; every other byte as it came.
 *
 * @returns `undefined` when it is not one whole message with one `params` object.
 */
export function withoutParams(
  bytes: Uint8Array,
  names: ReadonlySet<string>,
): Uint8Array | undefined {
  const { complete, repeated } = scanMessage(bytes, true)
  const at = complete && !repeated ? paramsAt(bytes) : -1
  const end = at < 0 ? -1 : skipValue(bytes, at, bytes.length)
  if (end < 0 || bytes[at] !== OPEN_BRACE) return undefined
  const parts = [bytes.subarray(0, at + 1)]
  for (const { key, from, to } of membersOf(bytes, at)) {
    if (key !== undefined && names.has(key)) continue
    if (parts.length > 1) parts.push(COMMA_BYTES)
    parts.push(bytes.subarray(from, to))
  }
  return joined([...parts, bytes.subarray(end - 1)])
}

const COMMA_BYTES = new Uint8Array([COMMA])

function paramsAt(bytes: Uint8Array): number {
  const start = skipSpace(bytes, 0, bytes.length)
  for (const { key, valueAt } of membersOf(bytes, start)) if (key === 'params') return valueAt
  return -1
}

interface Member {
  /** `undefined`: too long to be one that we look for. */
  readonly key: string | undefined
  readonly from: number
  readonly valueAt: number
  readonly to: number
}

/** Members of the object that starts at `open`; ends at what is none. */
function* membersOf(bytes: Uint8Array, open: number): Generator<Member> {
  const limit = bytes.length
  let from = skipSpace(bytes, open + 1, limit)
  while (bytes[from] === QUOTE) {
    const keyEnd = skipString(bytes, from, limit)
    const valueAt = skipSpace(bytes, skipSpace(bytes, keyEnd, limit) + 1, limit)
    const to = keyEnd < 0 ? -1 : skipValue(bytes, valueAt, limit)
    if (to < 0) return
    yield { key: textOf(bytes, from, keyEnd), from, valueAt, to }
    const next = skipSpace(bytes, to, limit)
    if (bytes[next] !== COMMA) return
    from = skipSpace(bytes, next + 1, limit)
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

function skipSpace(bytes: Uint8Array, from: number, limit: number): number {
  let at = from
  while (at < limit) {
    const byte = bytes[at]
    if (byte !== 32 && byte !== 10 && byte !== 13 && byte !== 9) break
    at += 1
  }
  return at
}

/** The index after the closing quote; -1 when it is not a whole string. */
function skipString(bytes: Uint8Array, from: number, limit: number): number {
  if (bytes[from] !== QUOTE) return -1
  for (let at = from + 1; at < limit; at += 1) {
    const byte = bytes[at]
    if (byte === BACKSLASH) at += 1
    else if (byte === QUOTE) return at + 1
  }
  return -1
}

/** The index after a value; -1 when it does not end before `limit` or nests too deep. */
function skipValue(bytes: Uint8Array, from: number, limit: number): number {
  const first = bytes[from]
  if (first === QUOTE) return skipString(bytes, from, limit)
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return skipScalar(bytes, from, limit)
  let depth = 0
  for (let at = from; at < limit; at += 1) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      at = skipString(bytes, at, limit) - 1
      if (at < 0) return -1
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1
      if (depth > DEPTH_MAX) return -1
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1
      if (depth === 0) return at + 1
    }
  }
  return -1
}

function skipScalar(bytes: Uint8Array, from: number, limit: number): number {
  for (let at = from; at < limit; at += 1) {
    const byte = bytes[at]
    if (byte === COMMA || byte === CLOSE_BRACE || byte === 32 || byte === 10 || byte === 13) {
      return at === from ? -1 : at
    }
  }
  return -1
}

function rawText(bytes: Uint8Array, from: number, to: number): string | undefined {
  if (to - from > TEXT_MAX_BYTES) return undefined
  for (let at = from; at < to; at += 1) {
    if ((bytes[at] ?? 0) > 126) return decode(bytes.subarray(from, to))
  }
  let text = ''
  for (let at = from; at < to; at += 1) text += String.fromCharCode(bytes[at] ?? 0)
  return text
}

const decoder = new TextDecoder('utf-8', { fatal: true })

function decode(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

/** A short string's value; `undefined` for anything else. */
function textOf(bytes: Uint8Array, from: number, to: number): string | undefined {
  if (bytes[from] !== QUOTE) return undefined
  const raw = rawText(bytes, from, to)
  if (raw === undefined) return undefined
  if (!raw.includes('\\')) return raw.slice(1, -1)
  try {
    const value: unknown = JSON.parse(raw)
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

/** Methods without an effect: the only ones that may be sent a second time (GW-26). */
const READ_ONLY = new Set([
  'ping',
  'server/discover',
  'tools/list',
  'prompts/list',
  'prompts/get',
  'resources/list',
  'resources/templates/list',
  'resources/read',
])

/** True when the whole body is one message, without a repeated key, of a read-only method. */
export function isReadOnly(bytes: Uint8Array): boolean {
  const { method, repeated, complete } = scanMessage(bytes, true)
  return complete && !repeated && method !== undefined && READ_ONLY.has(method)
}
