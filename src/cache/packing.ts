/**
 * Packs plain data into few bytes and back: what a remembered token says, a million times.
 *
 * Names of members, shared values and the front part of URLs are kept once in pools of bounded size;
 * identifiers in base64url are kept as the bytes they encode. What JSON keeps comes back equal.
 */

export interface Packing {
  /** The packed bytes, valid until the next call; `undefined` when the value is too big. */
  pack(value: object, digest: string): Uint8Array | undefined
  unpack(bytes: Uint8Array, digest: string): unknown
}

/** Largest packed value. */
export const PACKED_BYTES_MAX = 1_920
const POOL_MAX = 4_096
const DEPTH_MAX = 8

const NULL = 1
const TRUE = 2
const FALSE = 3
const INTEGER = 4
const JSON_NUMBER = 5
const TEXT = 6
const BASE64URL = 7
const SHARED = 8
const OBJECT = 9
const ARRAY = 10
const DIGEST = 11
const URL_TEXT = 12
const ID = 13

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const SEXTETS = new Int8Array(128).fill(-1)
for (let index = 0; index < 64; index++) SEXTETS[ALPHABET.charCodeAt(index)] = index
const BASE64URL_MIN_LENGTH = 8
/** An identifier of ours: a prefix and 130 bits in Crockford's base 32. */
const ID_FORM = /^[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}$/
const ID_ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const ID_PREFIX_LENGTH = 4
const ID_CHARACTERS = 26
const QUINTETS = new Int8Array(128).fill(-1)
for (let index = 0; index < 32; index++) QUINTETS[ID_ALPHABET.charCodeAt(index)] = index

class TooBig extends Error {}

/** @param shared Top-level members whose values are kept once. */
export function createPacking(shared: readonly string[]): Packing {
  const writer = new Writer(shared)
  return {
    pack(value, digest) {
      try {
        return writer.run(value, digest)
      } catch (error) {
        if (error instanceof TooBig) return undefined
        throw error
      }
    },
    unpack: (bytes, digest) => new PackedReader(bytes, digest, writer.pools).value(),
  }
}

/** Values by number, each once. */
class Pool<V> {
  readonly values: V[] = []
  readonly #numbers = new Map<string, number>()
  numberOf(name: string, make: () => V): number | undefined {
    const known = this.#numbers.get(name)
    if (known !== undefined || this.values.length >= POOL_MAX) return known
    this.#numbers.set(name, this.values.length)
    return this.values.push(make()) - 1
  }
}

interface Pools {
  readonly shapes: Pool<readonly string[]>
  readonly shared: Pool<unknown>
  readonly fronts: Pool<string>
}

class Writer {
  readonly pools: Pools = { shapes: new Pool(), shared: new Pool(), fronts: new Pool() }
  readonly #sharedNames: ReadonlySet<string>
  readonly #bytes = new Uint8Array(PACKED_BYTES_MAX)
  readonly #encoder = new TextEncoder()
  #at = 0
  #digest = ''

  constructor(shared: readonly string[]) {
    this.#sharedNames = new Set(shared)
  }

  run(value: object, digest: string): Uint8Array {
    this.#at = 0
    this.#digest = digest
    this.#object(value, 0)
    return this.#bytes.subarray(0, this.#at)
  }

  #value(value: unknown, depth: number): void {
    if (depth > DEPTH_MAX) throw new TooBig()
    if (value === null) this.#byte(NULL)
    else if (value === true) this.#byte(TRUE)
    else if (value === false) this.#byte(FALSE)
    else if (typeof value === 'number') this.#number(value)
    else if (typeof value === 'string') this.#string(value)
    else if (Array.isArray(value)) this.#array(value, depth)
    else if (typeof value === 'object') this.#object(value, depth)
    else throw new TypeError(`a ${typeof value} cannot be packed`)
  }

  #object(value: object, depth: number): void {
    const members = Object.entries(value).filter(([, member]) => member !== undefined)
    const names = members.map(([name]) => name)
    const shape = this.pools.shapes.numberOf(JSON.stringify(names), () => names)
    if (shape === undefined) throw new TooBig()
    this.#byte(OBJECT)
    this.#integer(shape)
    for (const [name, member] of members) {
      if (depth > 0 || !this.#sharedNames.has(name) || !this.#share(member))
        this.#value(member, depth + 1)
    }
  }

  #share(member: unknown): boolean {
    const text = JSON.stringify(member)
    // The value that the text stands for: `-0` and `0` are one text, and must be one value.
    const number = this.pools.shared.numberOf(text, () => JSON.parse(text) as unknown)
    if (number === undefined) return false
    this.#byte(SHARED)
    this.#integer(number)
    return true
  }

  #array(value: readonly unknown[], depth: number): void {
    this.#byte(ARRAY)
    this.#integer(value.length)
    for (const item of value) this.#value(item, depth + 1)
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0)) {
      this.#byte(INTEGER)
      this.#integer(value)
      return
    }
    this.#byte(JSON_NUMBER)
    this.#text(JSON.stringify(value))
  }

  #string(value: string): void {
    if (value === this.#digest) {
      this.#byte(DIGEST)
      return
    }
    if (this.#id(value) || this.#base64url(value)) return
    const slash = value.startsWith('https://') ? value.lastIndexOf('/') + 1 : 0
    const front = slash > 8 ? this.#front(value.slice(0, slash)) : undefined
    if (front === undefined) {
      this.#byte(TEXT)
      this.#text(value)
      return
    }
    this.#byte(URL_TEXT)
    this.#integer(front)
    this.#text(value.slice(slash))
  }

  #front(text: string): number | undefined {
    return this.pools.fronts.numberOf(text, () => text)
  }

  #id(text: string): boolean {
    if (text.length !== ID_PREFIX_LENGTH + ID_CHARACTERS || !ID_FORM.test(text)) return false
    const prefix = this.#front(text.slice(0, ID_PREFIX_LENGTH))
    if (prefix === undefined) return false
    this.#byte(ID)
    this.#integer(prefix)
    this.#bits(text, ID_PREFIX_LENGTH, QUINTETS, 5)
    return true
  }

  /** Six bits a character for text of that alphabet: identifiers, digests. */
  #base64url(text: string): boolean {
    if (text.length < BASE64URL_MIN_LENGTH) return false
    for (let index = 0; index < text.length; index++) {
      if ((SEXTETS[text.charCodeAt(index)] ?? -1) < 0) return false
    }
    this.#byte(BASE64URL)
    this.#integer(text.length)
    this.#bits(text, 0, SEXTETS, 6)
    return true
  }

  #bits(text: string, from: number, values: Int8Array, width: number): void {
    let bits = 0
    let held = 0
    for (let index = from; index < text.length; index++) {
      held = ((held << width) | (values[text.charCodeAt(index)] ?? 0)) & 0xffff
      bits += width
      if (bits < 8) continue
      bits -= 8
      this.#byte((held >> bits) & 0xff)
    }
    if (bits > 0) this.#byte((held << (8 - bits)) & 0xff)
  }

  #text(text: string): void {
    const encoded = this.#encoder.encode(text)
    this.#integer(encoded.length)
    if (this.#at + encoded.length > PACKED_BYTES_MAX) throw new TooBig()
    this.#bytes.set(encoded, this.#at)
    this.#at += encoded.length
  }

  #integer(value: number): void {
    let left = value
    while (left >= 128) {
      this.#byte((left % 128) + 128)
      left = Math.floor(left / 128)
    }
    this.#byte(left)
  }

  #byte(value: number): void {
    if (this.#at >= PACKED_BYTES_MAX) throw new TooBig()
    this.#bytes[this.#at] = value
    this.#at++
  }
}

const DECODER = new TextDecoder()

class PackedReader {
  readonly #bytes: Uint8Array
  readonly #digest: string
  readonly #pools: Pools
  #at = 0

  constructor(bytes: Uint8Array, digest: string, pools: Pools) {
    this.#bytes = bytes
    this.#digest = digest
    this.#pools = pools
  }

  value(): unknown {
    const tag = this.#byte()
    if (tag === OBJECT) return this.#object()
    if (tag === ID)
      return `${this.#pools.fronts.values[this.#integer()]}${this.#bits(ID_CHARACTERS, ID_ALPHABET, 5)}`
    if (tag === BASE64URL) return this.#bits(this.#integer(), ALPHABET, 6)
    if (tag === TEXT) return this.#text()
    if (tag === SHARED) return this.#pools.shared.values[this.#integer()]
    if (tag === INTEGER) return this.#integer()
    if (tag === DIGEST) return this.#digest
    if (tag === URL_TEXT) return `${this.#pools.fronts.values[this.#integer()]}${this.#text()}`
    if (tag === ARRAY) return Array.from({ length: this.#integer() }, () => this.value())
    if (tag === JSON_NUMBER) return JSON.parse(this.#text())
    if (tag === NULL) return null
    if (tag === TRUE || tag === FALSE) return tag === TRUE
    throw new TypeError('not packed data')
  }

  #object(): Record<string, unknown> {
    const object: Record<string, unknown> = {}
    for (const name of this.#pools.shapes.values[this.#integer()] ?? []) {
      // A member of this name is data here, as it is to JSON.parse, never a prototype.
      if (name === '__proto__') define(object, name, this.value())
      else object[name] = this.value()
    }
    return object
  }

  #text(): string {
    const length = this.#integer()
    const start = this.#at
    this.#at += length
    if (length <= SHORT_MAX) {
      const short = asciiText(this.#bytes, start, length)
      if (short !== undefined) return short
    }
    return DECODER.decode(this.#bytes.subarray(start, this.#at))
  }

  /** One string made at once: joining characters would leave ropes behind. */
  #bits(length: number, alphabet: string, width: number): string {
    const codes = new Array<number>(length)
    const mask = (1 << width) - 1
    let bits = 0
    let held = 0
    for (let index = 0; index < length; index++) {
      if (bits < width) {
        held = ((held << 8) | this.#byte()) & 0xffff
        bits += 8
      }
      bits -= width
      codes[index] = alphabet.charCodeAt((held >> bits) & mask)
    }
    return String.fromCharCode.apply(undefined, codes)
  }

  #integer(): number {
    let value = 0
    let weight = 1
    for (;;) {
      const byte = this.#byte()
      value += (byte & 127) * weight
      if (byte < 128) return value
      weight *= 128
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at] ?? 0
    this.#at++
    return byte
  }
}

/** Shorter text is read here: the decoder costs more than it. */
const SHORT_MAX = 64

function asciiText(bytes: Uint8Array, start: number, length: number): string | undefined {
  const codes = new Array<number>(length)
  for (let index = 0; index < length; index++) {
    const code = bytes[start + index] ?? 0
    if (code > 127) return undefined
    codes[index] = code
  }
  return String.fromCharCode.apply(undefined, codes)
}

function define(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  })
}
