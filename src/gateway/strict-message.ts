/**
 * Reads the one JSON-RPC message of a body as every server behind must read it, or refuses it.
 *
 * A decision that depends on a body is only worth something if the server cannot read another one out
 * of the same bytes (T15, GW-05). So: RFC 8259 to the letter in well-formed UTF-8, one message, no
 * name twice and none in another spelling where a decision looks, a bounded depth. One pass, no
 * recursion into what is not looked at, nothing built but the few texts that are returned.
 */
export interface StrictMessage {
  readonly kind: 'request' | 'notification' | 'response'
  readonly method?: string
  /** As the client wrote it; absent where an answer could not carry it back. */
  readonly id?: string
  /** Text members of `params`. */
  readonly name?: string
  readonly uri?: string
  readonly taskId?: string
  /** Of `params._meta`. */
  readonly protocolVersion?: string
}

/** `syntax`: not JSON. `batch`: an array. `shape`: JSON that is no message, or one with two readings. */
export type Unreadable = 'syntax' | 'batch' | 'shape'

const DEPTH_MAX = 256
/** Members of the message, of `params` and of `_meta`. */
const MEMBERS_MAX = 256
const ID_MAX_CHARS = 256
const METHOD_MAX_CHARS = 256
const PROTOCOL_VERSION = 'io.modelcontextprotocol/protocolVersion'

/** Names that decide. Servers that fold case would take `METHOD` for `method` (Go's encoding/json). */
const MESSAGE_NAMES = new Set(['jsonrpc', 'id', 'method', 'params', 'result', 'error'])
const PARAMS_NAMES = new Set(['name', 'uri', 'taskid', '_meta', 'arguments'])
const EXACT_NAMES = new Set([...MESSAGE_NAMES, ...PARAMS_NAMES, 'taskId'])

const QUOTE = 34
const PLUS = 43
const COMMA = 44
const MINUS = 45
const POINT = 46
const ZERO = 48
const NINE = 57
const COLON = 58
const UPPER_E = 69
const OPEN_BRACKET = 91
const BACKSLASH = 92
const CLOSE_BRACKET = 93
const LOWER_E = 101
const LOWER_N = 110
const LOWER_U = 117
const OPEN_BRACE = 123
const CLOSE_BRACE = 125

class NotJson extends Error {}
class NotOneMessage extends Error {}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** @returns The message, or why there is not exactly one. */
export function readStrictMessage(bytes: Uint8Array): StrictMessage | Unreadable {
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch {
    return 'syntax'
  }
  const reader = new Reader(text)
  try {
    return reader.message()
  } catch (error) {
    if (error instanceof NotJson) return 'syntax'
    if (error instanceof NotOneMessage) return 'shape'
    throw error
  }
}

interface Span {
  readonly from: number
  readonly to: number
}

class Reader {
  readonly #text: string
  #at = 0
  /** `{` or `[` of each open value below what is looked at. */
  readonly #open: number[] = []

  constructor(text: string) {
    this.#text = text
  }

  message(): StrictMessage | 'batch' {
    this.#space()
    if (this.#code() === OPEN_BRACKET) {
      this.#value()
      this.#end()
      return 'batch'
    }
    if (this.#code() !== OPEN_BRACE) {
      this.#value()
      this.#end()
      throw new NotOneMessage()
    }
    const spans = new Map<string, Span>()
    const params: ParamsTexts = {}
    this.#object(MESSAGE_NAMES, (name) => {
      const from = this.#at
      if (name === 'params' && this.#code() === OPEN_BRACE) this.#params(params)
      else this.#value()
      if (MESSAGE_NAMES.has(name)) spans.set(name, { from, to: this.#at })
    })
    this.#end()
    return this.#judge(spans, params)
  }

  #judge(spans: ReadonlyMap<string, Span>, params: ParamsTexts): StrictMessage {
    const of = (name: string): string | undefined => {
      const span = spans.get(name)
      return span === undefined ? undefined : this.#textOf(span)
    }
    if (of('jsonrpc') !== '2.0') throw new NotOneMessage()
    const isAnswer = spans.has('result') || spans.has('error')
    if (spans.has('method') === isAnswer) throw new NotOneMessage()
    const id = this.#id(spans.get('id'))
    if (isAnswer) return { kind: 'response', ...id }
    const method = of('method')
    if (method === undefined || method.length > METHOD_MAX_CHARS) throw new NotOneMessage()
    return { kind: spans.has('id') ? 'request' : 'notification', method, ...id, ...params }
  }

  #id(span: Span | undefined): { readonly id?: string } {
    if (span === undefined) return {}
    const first = this.#text.charCodeAt(span.from)
    const isText = first === QUOTE
    const isNumber = first === MINUS || (first >= ZERO && first <= NINE)
    const isNull = first === LOWER_N
    if (!isText && !isNumber && !isNull) throw new NotOneMessage()
    if (isNull || span.to - span.from > ID_MAX_CHARS) return {}
    return { id: this.#text.slice(span.from, span.to) }
  }

  #params(into: ParamsTexts): void {
    this.#object(PARAMS_NAMES, (name) => {
      const from = this.#at
      if (name === '_meta' && this.#code() === OPEN_BRACE) this.#meta(into)
      else this.#value()
      if (name !== 'name' && name !== 'uri' && name !== 'taskId') return
      const text = this.#textOf({ from, to: this.#at })
      if (text !== undefined) into[name] = text
    })
  }

  #meta(into: ParamsTexts): void {
    this.#object(NO_NAMES, (name) => {
      const from = this.#at
      this.#value()
      if (name !== PROTOCOL_VERSION) return
      const text = this.#textOf({ from, to: this.#at })
      if (text !== undefined) into.protocolVersion = text
    })
  }

  /** Members of one object that is looked into; `take` reads the value. */
  #object(deciding: ReadonlySet<string>, take: (name: string) => void): void {
    const seen = new Set<string>()
    this.#at += 1
    this.#space()
    if (this.#code() === CLOSE_BRACE) {
      this.#at += 1
      return
    }
    for (let members = 0; members < MEMBERS_MAX; members += 1) {
      const name = this.#name()
      const folded = fold(name)
      if (seen.has(folded) || (deciding.has(folded) && !EXACT_NAMES.has(name))) {
        throw new NotOneMessage()
      }
      seen.add(folded)
      take(name)
      this.#space()
      const next = this.#code()
      this.#at += 1
      if (next === CLOSE_BRACE) return
      if (next !== COMMA) throw new NotJson()
      this.#space()
    }
    throw new NotOneMessage()
  }

  /** A member's name, up to where its value begins. */
  #name(): string {
    const from = this.#at
    this.#string()
    const name = this.#textOf({ from, to: this.#at }) ?? ''
    this.#space()
    if (this.#code() !== COLON) throw new NotJson()
    this.#at += 1
    this.#space()
    return name
  }

  /** Any value, checked to the letter and passed over. */
  #value(): void {
    const open = this.#open
    open.length = 0
    for (;;) {
      if (!this.#opened()) this.#scalar()
      else if (open.length > DEPTH_MAX) throw new NotOneMessage()
      else if (!this.#isEmpty()) continue
      do {
        if (open.length === 0) return
        this.#space()
      } while (this.#closed())
    }
  }

  /** Goes into an object or array. */
  #opened(): boolean {
    const first = this.#code()
    if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return false
    this.#open.push(first)
    this.#at += 1
    this.#space()
    return true
  }

  /** Leaves what was just opened when nothing is in it; else stands at its first value. */
  #isEmpty(): boolean {
    const isObject = this.#open.at(-1) === OPEN_BRACE
    if (this.#code() === (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
      this.#at += 1
      this.#open.pop()
      return true
    }
    if (isObject) this.#name()
    return false
  }

  /** After a value: true when its parent ended with it; else stands at the next value. */
  #closed(): boolean {
    const isObject = this.#open.at(-1) === OPEN_BRACE
    const next = this.#code()
    this.#at += 1
    if (next === (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
      this.#open.pop()
      return true
    }
    if (next !== COMMA) throw new NotJson()
    this.#space()
    if (isObject) this.#name()
    return false
  }

  #scalar(): void {
    if (this.#code() === QUOTE) {
      this.#string()
      return
    }
    const literal = LITERALS.get(this.#code())
    if (literal === undefined) this.#number()
    else if (this.#text.startsWith(literal, this.#at)) this.#at += literal.length
    else throw new NotJson()
  }

  #number(): void {
    if (this.#code() === MINUS) this.#at += 1
    if (this.#code() === ZERO) this.#at += 1
    else this.#digits()
    if (this.#code() === POINT) {
      this.#at += 1
      this.#digits()
    }
    const exponent = this.#code()
    if (exponent !== LOWER_E && exponent !== UPPER_E) return
    this.#at += 1
    const sign = this.#code()
    if (sign === MINUS || sign === PLUS) this.#at += 1
    this.#digits()
  }

  #digits(): void {
    const from = this.#at
    for (;;) {
      const code = this.#code()
      if (!(code >= ZERO && code <= NINE)) break
      this.#at += 1
    }
    if (this.#at === from) throw new NotJson()
  }

  #string(): void {
    const text = this.#text
    if (text.charCodeAt(this.#at) !== QUOTE) throw new NotJson()
    for (let at = this.#at + 1; at < text.length; at += 1) {
      const code = text.charCodeAt(at)
      if (code === QUOTE) {
        this.#at = at + 1
        return
      }
      if (code < 32) throw new NotJson()
      if (code !== BACKSLASH) continue
      at += 1
      const escaped = text.charCodeAt(at)
      if (escaped === LOWER_U) {
        if (!HEXADECIMAL.test(text.slice(at + 1, at + 5))) throw new NotJson()
        at += 4
      } else if (!ESCAPED.has(escaped)) throw new NotJson()
    }
    throw new NotJson()
  }

  /** A string's value; `undefined` for every other value. The span was checked before. */
  #textOf({ from, to }: Span): string | undefined {
    if (this.#text.charCodeAt(from) !== QUOTE) return undefined
    const raw = this.#text.slice(from, to)
    return raw.includes('\\') ? String(JSON.parse(raw)) : raw.slice(1, -1)
  }

  #code(): number {
    return this.#text.charCodeAt(this.#at)
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return
      this.#at += 1
    }
  }

  #end(): void {
    this.#space()
    if (this.#at !== this.#text.length) throw new NotJson()
  }
}

interface ParamsTexts {
  name?: string
  uri?: string
  taskId?: string
  protocolVersion?: string
}

const NO_NAMES: ReadonlySet<string> = new Set()
const LITERALS: ReadonlyMap<number, string> = new Map(
  ['true', 'false', 'null'].map((text) => [text.charCodeAt(0), text]),
)
const ESCAPED: ReadonlySet<number> = new Set([...'"\\/bfnrt'].map((text) => text.charCodeAt(0)))
const HEXADECIMAL = /^[0-9a-fA-F]{4}$/

/** Case folded as servers do it: `ſ` is an `s` and the Kelvin sign a `k` there. */
function fold(name: string): string {
  return name.toUpperCase().toLowerCase()
}
