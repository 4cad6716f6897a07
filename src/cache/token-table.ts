/**
 * Remembered verified tokens by digest: bounded, swept by expiry, small.
 *
 * Up to `PLAIN_MAX` a plain map of objects. Beyond, values move a few at a time into packed bytes
 * (`packed-table.ts`), where a million costs the collector nothing; the map stays as the hot part.
 * Forgetting is always safe: a forgotten token is verified again. Never answers past its expiry.
 */
import type { Runtime } from '../ports.ts'
import { createPackedTable, type PackedTable, type Remembered } from './packed-table.ts'

/** Objects up to here: faster, and small enough for the collector. */
const PLAIN_MAX = 100_000
/** Objects kept beside the packed table for tokens in use. */
const HOT_MAX = 4_096
/** Objects moved per insertion, so that no request pays for the change of form. */
const MOVES_MAX = 4
const SWEEP_MAX = 10_000

export interface TokenTable<V> {
  /** Never inserts. */
  get(digest: string): V | undefined
  /** `expiresAtMs` is wall time; default the value's own. */
  set(digest: string, value: V, expiresAtMs?: number): void
  delete(digest: string): void
  /** Forgets what has expired, at most 10 000 looked at per call. Answers the number forgotten. */
  sweep(): number
  size(): number
  clear(): void
}

export interface TokenTableOptions<V> {
  /** `rememberedTokensMax`: beyond, an older token is forgotten for each new one. */
  readonly max: number
  readonly runtime: Pick<Runtime, 'nowMs' | 'monotonicMs'>
  /** Members with few different values (tenant, resource, scopes): kept once for all tokens. */
  readonly shared: readonly (keyof V & string)[]
  /** For tests: default 100 000. */
  readonly plainMax?: number
}

/** Values are plain data: what JSON keeps is what comes back. */
export function createTokenTable<V extends { readonly expiresAtMs: number }>(
  options: TokenTableOptions<V>,
): TokenTable<V> {
  return new Table(options)
}

class Table<V extends { readonly expiresAtMs: number }> implements TokenTable<V> {
  readonly #options: TokenTableOptions<V>
  readonly #runtime: Pick<Runtime, 'nowMs' | 'monotonicMs'>
  readonly #plainMax: number
  /** Not packed yet, oldest first. */
  readonly #plain = new Map<string, Remembered<V>>()
  /** Copies of packed tokens in use: a second call does not unpack again. */
  readonly #recent = new Map<string, Remembered<V>>()
  readonly #oldestPlain = oldestFirst(this.#plain)
  readonly #oldestRecent = oldestFirst(this.#recent)
  #packed: PackedTable<V> | undefined

  constructor(options: TokenTableOptions<V>) {
    this.#options = options
    this.#runtime = options.runtime
    this.#plainMax = Math.min(options.max, options.plainMax ?? PLAIN_MAX)
  }

  get(digest: string): V | undefined {
    const found = this.#plain.get(digest) ?? this.#recent.get(digest) ?? this.#unpack(digest)
    if (found === undefined) return undefined
    if (this.#runtime.monotonicMs() < found.expiresMs) return found.value
    this.delete(digest)
    return undefined
  }

  set(digest: string, value: V, expiresAtMs: number = value.expiresAtMs): void {
    // Lives on the monotonic clock: a wall clock set back revives nothing (C6).
    const leftMs = expiresAtMs - this.#runtime.nowMs()
    if (leftMs <= 0) return
    this.delete(digest)
    if (this.size() >= this.#options.max) this.#forgetOne()
    this.#plain.set(digest, { value, expiresMs: this.#runtime.monotonicMs() + leftMs })
    this.#pack()
  }

  delete(digest: string): void {
    if (this.#plain.delete(digest)) return
    this.#recent.delete(digest)
    this.#packed?.delete(digest)
  }

  sweep(): number {
    const nowMs = this.#runtime.monotonicMs()
    let forgotten = 0
    let looked = 0
    for (const [digest, { expiresMs }] of this.#plain) {
      if (looked >= SWEEP_MAX) break
      looked++
      if (nowMs >= expiresMs && this.#plain.delete(digest)) forgotten++
    }
    return forgotten + (this.#packed?.sweep(nowMs, SWEEP_MAX) ?? 0)
  }

  size(): number {
    return this.#plain.size + (this.#packed?.size() ?? 0)
  }

  clear(): void {
    this.#plain.clear()
    this.#recent.clear()
    this.#packed = undefined
  }

  #unpack(digest: string): Remembered<V> | undefined {
    const found = this.#packed?.get(digest)
    if (found === undefined) return undefined
    this.#recent.set(digest, found)
    if (this.#recent.size > HOT_MAX) this.#oldestRecent()
    return found
  }

  /** Packs the oldest objects, a few at a time. */
  #pack(): void {
    if (this.#packed === undefined) {
      if (this.#plain.size <= this.#plainMax) return
      this.#packed = createPackedTable<V>(this.#options.shared)
    }
    const keptMax = Math.min(HOT_MAX, this.#plainMax)
    for (let moved = 0; moved < MOVES_MAX && this.#plain.size > keptMax; moved++) {
      const oldest = this.#oldestPlain()
      // What cannot be packed is forgotten, and verified again when it comes back.
      if (oldest !== undefined) this.#packed.set(oldest.digest, oldest.value, oldest.expiresMs)
    }
  }

  #forgetOne(): void {
    const forgotten = this.#packed?.forgetOne()
    if (forgotten === undefined) this.#oldestPlain()
    else this.#recent.delete(forgotten)
  }
}

/**
 * Removes the oldest entry per call. One iterator is kept: a new one would walk over the places of
 * all entries removed before it.
 */
function oldestFirst<V>(map: Map<string, Remembered<V>>) {
  let entries = map.entries()
  return (): (Remembered<V> & { digest: string }) | undefined => {
    let next = entries.next()
    if (next.done === true) {
      entries = map.entries()
      next = entries.next()
    }
    if (next.done === true) return undefined
    const [digest, remembered] = next.value
    map.delete(digest)
    return { ...remembered, digest }
  }
}
