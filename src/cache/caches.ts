/**
 * The loading caches of a house by name, for administrators: how full they are, what came of reads, and
 * one key looked at or forgotten. Never a value: what is remembered may be about a person.
 *
 * They belong to the `Emit` that they report to, which every room of a house has.
 */
import type { Emit } from '../ports.ts'
import type { Read } from './loaded.ts'

export type ReadOutcome = Read<unknown>['state']

export interface WatchedCache {
  readonly name: string
  size(): { readonly entries: number; readonly bytes: number }
  /** Reads since the start, by outcome. */
  outcomes(): Readonly<Record<ReadOutcome, number>>
  /** What a read would find now; not counted, and nothing is loaded. */
  look(key: string): { readonly state: ReadOutcome; readonly ageSeconds?: number }
  drop(key: string): void
}

const CACHES = new WeakMap<Emit, Set<WatchedCache>>()

export function addCache(emit: Emit, cache: WatchedCache): void {
  const known = CACHES.get(emit) ?? new Set()
  known.add(cache)
  CACHES.set(emit, known)
}

export function removeCache(emit: Emit, cache: WatchedCache): void {
  CACHES.get(emit)?.delete(cache)
}

/** In order of name; several rooms may each have one of the same name. */
export function cachesOf(emit: Emit): readonly WatchedCache[] {
  const known = [...(CACHES.get(emit) ?? [])]
  return known.sort((left, right) => (left.name < right.name ? -1 : 1))
}

/** @param id `<cache name>:<key>`: what the mark of a `DELETE /caches/{name}` says. */
export function forgetCached(emit: Emit, id: string): void {
  const at = id.indexOf(':')
  if (at < 0) return
  for (const cache of cachesOf(emit))
    if (cache.name === id.slice(0, at)) cache.drop(id.slice(at + 1))
}
