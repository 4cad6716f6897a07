/**
 * A hash table of packed values by SHA-256 digest, all of it in typed arrays.
 *
 * Grows in small steps: 1,024 shards double on their own, records live in pages of their size class,
 * so no insertion pays for a re-hash of everything, and the collector has nothing to walk through.
 * Keys are whole digests, never a part of one (C1).
 */
import { createPacking, PACKED_BYTES_MAX } from './packing.ts'

/** A value and its end on the monotonic clock. */
export interface Remembered<V> {
  readonly value: V
  readonly expiresMs: number
}

export interface PackedTable<V> {
  get(digest: string): Remembered<V> | undefined
  /** False when the value is too big or the digest is none; nothing is kept then. */
  set(digest: string, value: V, expiresMs: number): boolean
  delete(digest: string): boolean
  /** Forgets expired records, going on where the last sweep stopped. */
  sweep(nowMs: number, lookedAtMax: number): number
  /** Forgets some record; answers its digest. */
  forgetOne(): string | undefined
  size(): number
}

const SHARDS = 1_024
const SHARD_SLOTS_MIN = 8
const LOAD_MAX = 0.8
const DIGEST_WORDS = 8
const DIGEST_LENGTH = 43
/** Digest, expiry as two words, payload length. */
const HEADER_WORDS = DIGEST_WORDS + 3
const HEADER_BYTES = HEADER_WORDS * 4
const CLASS_BYTES = 8
const CLASSES = Math.ceil((HEADER_BYTES + PACKED_BYTES_MAX) / CLASS_BYTES) + 1
const PAGE_BYTES = 65_536
const INDEX_BITS = 24
const INDEX_MASK = 2 ** INDEX_BITS - 1
const WORD = 2 ** 32

interface Page {
  readonly bytes: Uint8Array
  readonly words: Uint32Array
}
interface Shard {
  /** Reference of a record, 0 when free. */
  slots: Uint32Array
  used: number
}

export function createPackedTable<V extends object>(shared: readonly string[]): PackedTable<V> {
  return new Packed<V>(shared)
}

class Packed<V extends object> implements PackedTable<V> {
  readonly #packing
  readonly #records = new Records()
  readonly #shards: Shard[] = Array.from({ length: SHARDS }, () => ({
    slots: new Uint32Array(SHARD_SLOTS_MIN),
    used: 0,
  }))
  readonly #key = new Uint32Array(DIGEST_WORDS)
  #size = 0
  #hand = 0

  constructor(shared: readonly string[]) {
    this.#packing = createPacking(shared)
  }

  get(digest: string): Remembered<V> | undefined {
    const found = this.#find(digest)
    if (found === undefined) return undefined
    const { page, at } = this.#records.locate(found.shard.slots[found.slot] ?? 0)
    const start = (at + HEADER_WORDS) * 4
    const payload = page.bytes.subarray(start, start + (page.words[at + DIGEST_WORDS + 2] ?? 0))
    // The shape is that of `set`; only this table writes these bytes.
    const value = this.#packing.unpack(payload, digest) as V
    return { value, expiresMs: expiryOf(page, at) }
  }

  set(digest: string, value: V, expiresMs: number): boolean {
    this.delete(digest)
    if (!readDigest(digest, this.#key)) return false
    const payload = this.#packing.pack(value, digest)
    if (payload === undefined) return false
    const reference = this.#records.allocate(HEADER_BYTES + payload.length)
    if (reference === 0) return false
    const { page, at } = this.#records.locate(reference)
    page.words.set(this.#key, at)
    page.words[at + DIGEST_WORDS] = Math.floor(expiresMs / WORD)
    page.words[at + DIGEST_WORDS + 1] = Math.floor(expiresMs) % WORD
    page.words[at + DIGEST_WORDS + 2] = payload.length
    page.bytes.set(payload, (at + HEADER_WORDS) * 4)
    this.#insert(reference)
    this.#size++
    return true
  }

  delete(digest: string): boolean {
    const found = this.#find(digest)
    if (found === undefined) return false
    this.#remove(found.shard, found.slot)
    return true
  }

  sweep(nowMs: number, lookedAtMax: number): number {
    let forgotten = 0
    for (let looked = 0, shards = 0; looked < lookedAtMax && shards < SHARDS; shards++) {
      const shard = this.#nextShard()
      // Backwards: a removal moves later records forward, which were looked at already.
      for (let slot = shard.slots.length - 1; slot >= 0; slot--) {
        const reference = shard.slots[slot] ?? 0
        if (reference === 0) continue
        looked++
        const { page, at } = this.#records.locate(reference)
        if (nowMs < expiryOf(page, at)) continue
        this.#remove(shard, slot)
        forgotten++
      }
    }
    return forgotten
  }

  forgetOne(): string | undefined {
    for (let shards = 0; shards < SHARDS && this.#size > 0; shards++) {
      const shard = this.#nextShard()
      const slot = shard.slots.findIndex((reference) => reference !== 0)
      if (slot < 0) continue
      const { page, at } = this.#records.locate(shard.slots[slot] ?? 0)
      const digest = writeDigest(page.words.subarray(at, at + DIGEST_WORDS))
      this.#remove(shard, slot)
      return digest
    }
    return undefined
  }

  size(): number {
    return this.#size
  }

  #nextShard(): Shard {
    this.#hand = (this.#hand + 1) % SHARDS
    return this.#shardAt(this.#hand)
  }

  #shardAt(index: number): Shard {
    const shard = this.#shards[index]
    if (shard === undefined) throw new TypeError('no such shard')
    return shard
  }

  #find(digest: string): { shard: Shard; slot: number } | undefined {
    if (this.#size === 0 || !readDigest(digest, this.#key)) return undefined
    const shard = this.#shardAt((this.#key[0] ?? 0) % SHARDS)
    const mask = shard.slots.length - 1
    for (let slot = (this.#key[1] ?? 0) & mask; ; slot = (slot + 1) & mask) {
      const reference = shard.slots[slot] ?? 0
      if (reference === 0) return undefined
      if (this.#records.holds(reference, this.#key)) return { shard, slot }
    }
  }

  #insert(reference: number): void {
    const { page, at } = this.#records.locate(reference)
    const shard = this.#shardAt((page.words[at] ?? 0) % SHARDS)
    if (shard.used + 1 > shard.slots.length * LOAD_MAX) this.#grow(shard)
    this.#place(shard.slots, reference)
    shard.used++
  }

  #place(slots: Uint32Array, reference: number): void {
    const mask = slots.length - 1
    let slot = this.#home(reference) & mask
    while (slots[slot] !== 0) slot = (slot + 1) & mask
    slots[slot] = reference
  }

  #home(reference: number): number {
    const { page, at } = this.#records.locate(reference)
    return page.words[at + 1] ?? 0
  }

  #grow(shard: Shard): void {
    const slots = new Uint32Array(shard.slots.length * 2)
    for (const reference of shard.slots) if (reference !== 0) this.#place(slots, reference)
    shard.slots = slots
  }

  /** Linear probing without gravestones: what was pushed on by this record moves back. */
  #remove(shard: Shard, removed: number): void {
    const { slots } = shard
    const mask = slots.length - 1
    this.#records.free(slots[removed] ?? 0)
    let hole = removed
    for (let slot = (hole + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const reference = slots[slot] ?? 0
      const home = this.#home(reference) & mask
      const mayMove = ((slot - home) & mask) >= ((slot - hole) & mask)
      if (!mayMove) continue
      slots[hole] = reference
      hole = slot
    }
    slots[hole] = 0
    shard.used--
    this.#size--
  }
}

/** Records in pages by size class; freed places are used again before a new page is taken. */
class Records {
  readonly #pages: Page[][] = Array.from({ length: CLASSES }, () => [])
  /** First free place per class plus one; each free place names the next in its first word. */
  readonly #free = new Float64Array(CLASSES)
  readonly #next = new Float64Array(CLASSES)

  /** A reference, or 0 when the class is full. */
  allocate(bytes: number): number {
    const sizeClass = Math.ceil(bytes / CLASS_BYTES)
    const free = this.#free[sizeClass] ?? 0
    if (free > 0) {
      const { page, at } = this.#place(sizeClass, free - 1)
      this.#free[sizeClass] = page.words[at] ?? 0
      return sizeClass * 2 ** INDEX_BITS + free - 1
    }
    const index = this.#next[sizeClass] ?? 0
    if (index > INDEX_MASK) return 0
    this.#next[sizeClass] = index + 1
    if (index % perPage(sizeClass) === 0) this.#pages[sizeClass]?.push(createPage(sizeClass))
    return sizeClass * 2 ** INDEX_BITS + index
  }

  free(reference: number): void {
    const sizeClass = reference >>> INDEX_BITS
    const { page, at } = this.locate(reference)
    page.words[at] = this.#free[sizeClass] ?? 0
    this.#free[sizeClass] = (reference & INDEX_MASK) + 1
  }

  /** The page and the index of the record's first word. */
  locate(reference: number): { page: Page; at: number } {
    return this.#place(reference >>> INDEX_BITS, reference & INDEX_MASK)
  }

  holds(reference: number, key: Uint32Array): boolean {
    const { page, at } = this.locate(reference)
    for (let word = 0; word < DIGEST_WORDS; word++) {
      if (page.words[at + word] !== key[word]) return false
    }
    return true
  }

  #place(sizeClass: number, index: number): { page: Page; at: number } {
    const records = perPage(sizeClass)
    const page = this.#pages[sizeClass]?.[Math.floor(index / records)]
    if (page === undefined) throw new TypeError('no such record')
    return { page, at: (index % records) * ((sizeClass * CLASS_BYTES) / 4) }
  }
}

function perPage(sizeClass: number): number {
  return Math.max(1, Math.floor(PAGE_BYTES / (sizeClass * CLASS_BYTES)))
}

function createPage(sizeClass: number): Page {
  const buffer = new ArrayBuffer(perPage(sizeClass) * sizeClass * CLASS_BYTES)
  return { bytes: new Uint8Array(buffer), words: new Uint32Array(buffer) }
}

function expiryOf(page: Page, at: number): number {
  return (page.words[at + DIGEST_WORDS] ?? 0) * WORD + (page.words[at + DIGEST_WORDS + 1] ?? 0)
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const SEXTETS = new Int8Array(128).fill(-1)
for (let index = 0; index < 64; index++) SEXTETS[ALPHABET.charCodeAt(index)] = index

/** base64url of 32 bytes into eight words; false for anything else. */
function readDigest(digest: string, words: Uint32Array): boolean {
  if (digest.length !== DIGEST_LENGTH) return false
  let held = 0
  let bits = 0
  let byte = 0
  let word = 0
  for (let index = 0; index < DIGEST_LENGTH; index++) {
    const sextet = SEXTETS[digest.charCodeAt(index)] ?? -1
    if (sextet < 0) return false
    held = ((held << 6) | sextet) & 0xffff
    bits += 6
    if (bits < 8) continue
    bits -= 8
    word = (word << 8) | ((held >> bits) & 0xff)
    byte++
    if (byte % 4 === 0) words[byte / 4 - 1] = word >>> 0
  }
  // The last two bits encode nothing; another spelling of the same bytes is not this digest.
  return (held & 3) === 0
}

function writeDigest(words: Uint32Array): string {
  let text = ''
  let held = 0
  let bits = 0
  for (let byte = 0; byte < 32; byte++) {
    held = ((held << 8) | (((words[byte >> 2] ?? 0) >>> (24 - (byte % 4) * 8)) & 0xff)) & 0xffff
    bits += 8
    while (bits >= 6) {
      bits -= 6
      text += ALPHABET[(held >> bits) & 63]
    }
  }
  return text + ALPHABET[(held << (6 - bits)) & 63]
}
