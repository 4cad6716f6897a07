/**
 * A map bounded in entries and bytes that a flood of new keys cannot empty.
 *
 * A key seen once waits in probation, a quarter of the room; the second read moves it to the main
 * part, so keys that are never asked for again only push out each other. Held keys are not evicted;
 * they may fill half of the room.
 */
import { LRUCache } from 'lru-cache'

const PROBATION_SHARE = 1 / 4
const HELD_SHARE = 1 / 2

interface Slot<E> {
  readonly entry: E
  readonly bytes: number
}

export interface BoundedStore<E> {
  /** Counts as use. */
  get(key: string): E | undefined
  peek(key: string): E | undefined
  set(key: string, entry: E, bytes: number): void
  delete(key: string): boolean
  /** False when the key is absent or half of the room is held already. */
  hold(key: string): boolean
  release(key: string): void
  size(): { entries: number; bytes: number }
}

export function createBoundedStore<E>(limits: {
  entriesMax: number
  bytesMax: number
}): BoundedStore<E> {
  return new Segments<E>(limits.entriesMax, limits.bytesMax)
}

class Segments<E> implements BoundedStore<E> {
  readonly #entriesMax: number
  readonly #bytesMax: number
  readonly #probation: LRUCache<string, Slot<E>>
  readonly #main: LRUCache<string, Slot<E>>
  readonly #held = new Map<string, Slot<E>>()
  #bytes = 0

  constructor(entriesMax: number, bytesMax: number) {
    this.#entriesMax = entriesMax
    this.#bytesMax = bytesMax
    // Sized by count and not by `max`: that would reserve the whole room at start.
    this.#probation = new LRUCache({ maxSize: entriesMax + 1, sizeCalculation: () => 1 })
    this.#main = new LRUCache({ maxSize: entriesMax + 1, sizeCalculation: () => 1 })
  }

  get(key: string): E | undefined {
    const slot = this.#held.get(key) ?? this.#main.get(key)
    if (slot !== undefined) return slot.entry
    const seenOnce = this.#probation.peek(key)
    if (seenOnce === undefined) return undefined
    this.#probation.delete(key)
    this.#main.set(key, seenOnce)
    return seenOnce.entry
  }

  peek(key: string): E | undefined {
    return (this.#held.get(key) ?? this.#main.peek(key) ?? this.#probation.peek(key))?.entry
  }

  set(key: string, entry: E, bytes: number): void {
    const slot = { entry, bytes }
    const part = this.#partOf(key)
    this.#bytes += bytes - (part?.peek(key)?.bytes ?? 0)
    if (part === undefined) this.#probation.set(key, slot)
    else part.put(key, slot)
    this.#trim()
  }

  delete(key: string): boolean {
    const part = this.#partOf(key)
    if (part === undefined) return false
    this.#bytes -= part.peek(key)?.bytes ?? 0
    return part.drop(key)
  }

  hold(key: string): boolean {
    if (this.#held.has(key)) return true
    const part = this.#partOf(key)
    const slot = part?.peek(key)
    if (part === undefined || slot === undefined) return false
    if (this.#held.size >= Math.max(1, this.#entriesMax * HELD_SHARE)) return false
    part.drop(key)
    this.#held.set(key, slot)
    return true
  }

  release(key: string): void {
    const slot = this.#held.get(key)
    if (slot === undefined) return
    this.#held.delete(key)
    this.#main.set(key, slot)
  }

  size(): { entries: number; bytes: number } {
    return { entries: this.#held.size + this.#main.size + this.#probation.size, bytes: this.#bytes }
  }

  #partOf(key: string) {
    const held = this.#held
    if (held.has(key)) {
      return {
        peek: (name: string) => held.get(name),
        put: (name: string, slot: Slot<E>) => held.set(name, slot),
        drop: (name: string) => held.delete(name),
      }
    }
    const part = this.#main.has(key) ? this.#main : this.#probation
    if (!part.has(key)) return undefined
    return {
      peek: (name: string) => part.peek(name),
      put: (name: string, slot: Slot<E>) => part.set(name, slot),
      drop: (name: string) => part.delete(name),
    }
  }

  #trim(): void {
    const probationMax = Math.max(1, Math.floor(this.#entriesMax * PROBATION_SHARE))
    while (this.#probation.size > probationMax) this.#evict(this.#probation)
    while (this.size().entries > this.#entriesMax || this.#bytes > this.#bytesMax) {
      const part = this.#main.size > 0 ? this.#main : this.#probation
      if (part.size === 0) break
      this.#evict(part)
    }
    // Only held keys are left and they are too big together: the oldest goes.
    for (const [key, slot] of this.#held) {
      if (this.#bytes <= this.#bytesMax) break
      this.#held.delete(key)
      this.#bytes -= slot.bytes
    }
  }

  #evict(part: LRUCache<string, Slot<E>>): void {
    this.#bytes -= part.pop()?.bytes ?? 0
  }
}
