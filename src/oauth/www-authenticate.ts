/**
 * `WWW-Authenticate` of somebody else's server, read by the grammar of RFC 9110 section 11.6.1: several
 * challenges in a field, several fields, quoted strings with escapes, token68, names in any case.
 *
 * By a hand-written reader that moves forward only, so that a hostile field costs linear time. What
 * breaks the grammar, or names a parameter twice, is malformed as a whole: nothing of it is believed.
 */

/** Of all fields together. */
const FIELD_MAX_CHARS = 16_384
const CHALLENGES_MAX = 32
const PARAMETERS_MAX = 64

/** One challenge: parameters, or a token68, or neither. */
export interface AuthChallenge {
  /** Lower case. */
  readonly scheme: string
  readonly token68?: string
  /** Names in lower case, values without quotes and escapes. */
  readonly parameters: ReadonlyMap<string, string>
}

/** @returns `undefined` when any of the fields is malformed; no fields are no challenges. */
export function parseChallenges(values: readonly string[]): readonly AuthChallenge[] | undefined {
  // RFC 9110 section 5.3: several fields are one list.
  const field = values.join(', ')
  if (field.length > FIELD_MAX_CHARS) return undefined
  return new Reader(field).challenges()
}

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*/y
const SPACES = / +/y
const OPTIONAL_SPACE = /[ \t]*/y
/** Up to the next quote or backslash: qdtext of RFC 9110 section 5.6.4. */
const QUOTED = /[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]*/y
const ESCAPED = /[\t \x21-\x7e\x80-\xff]/y

class Reader {
  readonly #text: string
  #position = 0

  constructor(text: string) {
    this.#text = text
  }

  challenges(): readonly AuthChallenge[] | undefined {
    const found: AuthChallenge[] = []
    for (;;) {
      this.#skipCommas()
      if (this.#isEnd()) return found
      const challenge = this.#challenge()
      if (challenge === undefined || found.length === CHALLENGES_MAX) return undefined
      found.push(challenge)
    }
  }

  #challenge(): AuthChallenge | undefined {
    const scheme = this.#match(TOKEN)?.toLowerCase()
    if (scheme === undefined) return undefined
    const parameters = new Map<string, string>()
    // `Basic` alone, at the end or before a comma.
    if (this.#match(SPACES) === undefined || this.#isAtComma()) {
      return this.#isItemEnd() ? { scheme, parameters } : undefined
    }
    const token68 = this.#token68()
    if (token68 !== undefined) return { scheme, token68, parameters }
    return this.#parameters(parameters) ? { scheme, parameters } : undefined
  }

  /** Only when it is all of the item: `a=b` is a parameter, `a==` is not. */
  #token68(): string | undefined {
    const start = this.#position
    const text = this.#match(TOKEN68)
    if (text !== undefined && this.#isItemEnd()) return text
    this.#position = start
    return undefined
  }

  /** At least one, as long as what follows a comma is `name=`: else the next challenge begins there. */
  #parameters(parameters: Map<string, string>): boolean {
    for (;;) {
      const name = this.#parameterName()
      const value = name === undefined ? undefined : this.#value()
      if (name === undefined || value === undefined) return false
      if (parameters.has(name) || parameters.size === PARAMETERS_MAX) return false
      parameters.set(name, value)
      if (!this.#isItemEnd()) return false
      const end = this.#position
      this.#skipCommas()
      if (this.#isEnd() || !this.#isParameterNext()) {
        this.#position = this.#isEnd() ? this.#position : end
        return true
      }
    }
  }

  #parameterName(): string | undefined {
    const name = this.#match(TOKEN)
    this.#match(OPTIONAL_SPACE)
    if (name === undefined || !this.#take('=')) return undefined
    this.#match(OPTIONAL_SPACE)
    return name.toLowerCase()
  }

  #value(): string | undefined {
    return this.#take('"') ? this.#quoted() : this.#match(TOKEN)
  }

  #quoted(): string | undefined {
    let value = ''
    for (;;) {
      value += this.#match(QUOTED) ?? ''
      if (this.#take('"')) return value
      const escaped = this.#take('\\') ? this.#match(ESCAPED) : undefined
      if (escaped === undefined) return undefined
      value += escaped
    }
  }

  /** `name =` and not a second `=`: that would be the token68 of a scheme without a space. */
  #isParameterNext(): boolean {
    const start = this.#position
    const isName = this.#parameterName() !== undefined
    this.#position = start
    return isName
  }

  #skipCommas(): void {
    do this.#match(OPTIONAL_SPACE)
    while (this.#take(','))
  }

  #isAtComma(): boolean {
    return this.#text[this.#position] === ','
  }

  /** The item is over: only space up to a comma or the end. Moves over the space. */
  #isItemEnd(): boolean {
    this.#match(OPTIONAL_SPACE)
    return this.#isEnd() || this.#isAtComma()
  }

  #isEnd(): boolean {
    return this.#position === this.#text.length
  }

  #take(character: string): boolean {
    if (this.#text[this.#position] !== character) return false
    this.#position += 1
    return true
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position
    const found = pattern.exec(this.#text)?.[0]
    if (found === undefined) return undefined
    this.#position += found.length
    return found
  }
}
