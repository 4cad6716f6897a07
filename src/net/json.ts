/**
 * Strict JSON for documents that strangers wrote (RFC 8259): bounded depth, no duplicate members,
 * no number beyond a double, no text that is not well-formed Unicode, nothing after the value.
 *
 * Objects have no prototype, so `__proto__` and `constructor` are members like any other. The size
 * is bounded by whoever read the text.
 */

/** Nesting of arrays and objects in documents from outside (threats.md section 2). */
export const JSON_DEPTH_MAX = 16

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
/** What a string may contain up to its next quote or escape: no control character (section 7). */
const PLAIN = /[^"\\\u0000-\u001f]*/y
const SPACE = /[ \t\n\r]*/y
const LITERALS: readonly (readonly [string, boolean | null])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
]

/**
 * Parses one JSON text.
 *
 * @param options.maxDepth Deepest nesting accepted, default 16.
 * @throws {SyntaxError} with a position and never a piece of the text.
 */
export function parseJson(text: string, options: { maxDepth?: number } = {}): unknown {
  const reader = new Reader(text, options.maxDepth ?? JSON_DEPTH_MAX)
  return reader.document()
}

class Reader {
  readonly #text: string
  readonly #maxDepth: number
  #position = 0

  constructor(text: string, maxDepth: number) {
    this.#text = text
    this.#maxDepth = maxDepth
  }

  document(): unknown {
    const value = this.#value(0)
    if (this.#position !== this.#text.length) throw this.#refuse('data after the value')
    return value
  }

  #value(depth: number): unknown {
    this.#match(SPACE)
    const value = this.#bare(depth)
    this.#match(SPACE)
    return value
  }

  #bare(depth: number): unknown {
    const first = this.#text[this.#position]
    if (first === '{') return this.#object(depth + 1)
    if (first === '[') return this.#array(depth + 1)
    if (first === '"') return this.#string()
    for (const [word, value] of LITERALS) {
      if (this.#text.startsWith(word, this.#position)) {
        this.#position += word.length
        return value
      }
    }
    return this.#number()
  }

  #object(depth: number): Record<string, unknown> {
    this.#enter(depth)
    const object: Record<string, unknown> = Object.create(null)
    if (this.#closes('}')) return object
    do {
      this.#match(SPACE)
      if (this.#text[this.#position] !== '"') throw this.#refuse('a member name expected')
      const name = this.#string()
      if (name in object) throw this.#refuse('a duplicate member')
      this.#match(SPACE)
      if (!this.#take(':')) throw this.#refuse('a colon expected')
      object[name] = this.#value(depth)
    } while (this.#take(','))
    if (!this.#take('}')) throw this.#refuse('the end of an object expected')
    return object
  }

  #array(depth: number): unknown[] {
    this.#enter(depth)
    const array: unknown[] = []
    if (this.#closes(']')) return array
    do array.push(this.#value(depth))
    while (this.#take(','))
    if (!this.#take(']')) throw this.#refuse('the end of an array expected')
    return array
  }

  #string(): string {
    this.#position++
    let value = ''
    for (;;) {
      value += this.#match(PLAIN)
      if (this.#take('"')) break
      if (!this.#take('\\')) throw this.#refuse('a control character or an open string')
      value += this.#escape()
    }
    if (!value.isWellFormed()) throw this.#refuse('half a character')
    return value
  }

  #escape(): string {
    const letter = this.#text[this.#position] ?? ''
    this.#position++
    const plain = Object.hasOwn(ESCAPES, letter) ? ESCAPES[letter] : undefined
    if (plain !== undefined) return plain
    const digits = this.#text.slice(this.#position, this.#position + 4)
    if (letter !== 'u' || !/^[0-9a-f]{4}$/i.test(digits)) throw this.#refuse('an unknown escape')
    // No column of a store and no header can hold it.
    if (digits === '0000') throw this.#refuse('a NUL character')
    this.#position += 4
    return String.fromCharCode(Number.parseInt(digits, 16))
  }

  #number(): number {
    const digits = this.#match(NUMBER)
    if (digits === '') throw this.#refuse('a value expected')
    const value = Number(digits)
    if (!Number.isFinite(value)) throw this.#refuse('a number out of range')
    return value
  }

  #enter(depth: number): void {
    if (depth > this.#maxDepth) throw this.#refuse('nested too deeply')
    this.#position++
  }

  #closes(end: string): boolean {
    this.#match(SPACE)
    return this.#take(end)
  }

  #take(character: string): boolean {
    if (this.#text[this.#position] !== character) return false
    this.#position++
    return true
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#position
    const found = pattern.exec(this.#text)?.[0] ?? ''
    this.#position += found.length
    return found
  }

  #refuse(reason: string): SyntaxError {
    return new SyntaxError(`JSON refused at ${this.#position}: ${reason}`)
  }
}
