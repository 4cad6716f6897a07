/**
 * A configured secret that prints as `[redacted]` in text, JSON and inspection (V5). Only
 * `reveal()` gives the value, at the place that sends or compares it.
 */
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

export class Secret {
  readonly #value: string
  constructor(value: string) {
    this.#value = value
  }
  reveal(): string {
    return this.#value
  }
  toString(): string {
    return '[redacted]'
  }
  toJSON(): string {
    return '[redacted]'
  }
  [INSPECT](): string {
    return '[redacted]'
  }
}
