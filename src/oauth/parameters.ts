/**
 * Parameters of an OAuth request, from a query string or a form body: each at most once.
 *
 * An empty value is the same as an absent one (RFC 6749 sections 3.1 and 3.2). Only `resource` may
 * repeat (RFC 8707 section 2). Broken encodings, NUL and repeats are `invalid_request`.
 */
import { OAuthError } from '../errors.ts'

export const PARAMETERS_MAX_BYTES = 65_536
export const PARAMETERS_MAX = 64

const NOTHING: readonly string[] = []

export class Parameters {
  readonly #values: ReadonlyMap<string, readonly string[]>

  private constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values
  }

  /** @throws {OAuthError} `invalid_request`; 413 when the text is over 64 KiB. */
  static parse(urlencoded: string): Parameters {
    if (urlencoded.length > PARAMETERS_MAX_BYTES) {
      throw new OAuthError('invalid_request', 'request is too large', {
        status: 413,
        reason: 'parameters_too_large',
      })
    }
    const values = new Map<string, string[]>()
    const pairs = urlencoded.split('&', PARAMETERS_MAX + 1)
    if (pairs.length > PARAMETERS_MAX) throw refuse('too many parameters', 'parameters_too_many')
    for (const pair of pairs) {
      if (pair === '') continue
      const equals = pair.indexOf('=')
      const name = decodeForm(equals < 0 ? pair : pair.slice(0, equals))
      const value = equals < 0 ? '' : decodeForm(pair.slice(equals + 1))
      const earlier = values.get(name)
      if (earlier === undefined) values.set(name, [value])
      else if (name === 'resource') earlier.push(value)
      else throw refuse('a parameter is repeated', 'parameter_repeated')
    }
    return new Parameters(values)
  }

  /** The value, or `undefined` when absent or empty. Of several `resource` values the first. */
  get(name: string): string | undefined {
    return this.all(name)[0]
  }

  /** Every value that is not empty, in the order received. */
  all(name: string): readonly string[] {
    return this.#values.get(name)?.filter((value) => value !== '') ?? NOTHING
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }
}

/**
 * Decodes one form-encoded part: `+` is a space, `%` sequences are UTF-8.
 *
 * @throws {OAuthError} `invalid_request` for broken sequences, NUL and lone surrogates.
 */
export function decodeForm(text: string): string {
  let decoded: string
  try {
    decoded = decodeURIComponent(text.replaceAll('+', ' '))
  } catch (cause) {
    throw refuse('a parameter is not form-encoded', 'parameter_encoding', cause)
  }
  if (decoded.includes('\0') || !decoded.isWellFormed()) {
    throw refuse('a parameter is not text', 'parameter_encoding')
  }
  return decoded
}

function refuse(description: string, reason: string, cause?: unknown): OAuthError {
  return new OAuthError('invalid_request', description, { reason, cause })
}
