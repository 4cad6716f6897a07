/**
 * Last good copies of remote facts in the store, kind `fact`: read at start or by key, written behind,
 * shared between nodes. A fact past its life is deleted by the sweep.
 *
 * A shared Cache in front of it saves reads and decides nothing: what it gives is compared with the
 * store behind the answer, and what the nodes agree on under a lease is read from the store alone.
 */
import { StoreError } from '../errors.ts'
import { isObject } from '../oauth/claims.ts'
import type { Cache, Key, Runtime, Store } from '../ports.ts'
import { TENANT, type Values } from '../records.ts'
import type { Persist, Persisted, Recalled } from './write-behind.ts'

/** Rows read at once: as many as a store gives. */
const PAGE_ROWS = 1_000

export interface StoredFacts<V> extends Persist<V> {
  find(key: string): Promise<Recalled<V> | undefined>
  recall: NonNullable<Persist<V>['recall']>
  remove(keys: readonly string[]): Promise<void>
}

/** A Cache that several nodes share, sealed: what it gives was written by one of them. */
export interface SharedCache {
  readonly cache: Cache
  readonly runtime: Pick<Runtime, 'waitUntil'>
}

/** @param options.max Most facts that a start reads. */
export function storedFacts<V>(
  store: Store,
  options: {
    readonly name: string
    readonly lifeSeconds: number
    readonly max: number
    /** Asked before the store, for one key. */
    readonly shared?: SharedCache | undefined
  },
): StoredFacts<V> {
  const { name, lifeSeconds, max, shared } = options
  const keyOf = (key: string) => ({ tenant: TENANT, id: `${name}:${key}` })
  const save = async ({ key, value, loadedAtMs, freshSeconds }: Persisted<V>): Promise<void> => {
    const row: Values['fact'] = {
      name,
      body: JSON.stringify(value),
      loadedAtMs,
      ...(freshSeconds === undefined ? {} : { freshSeconds }),
      expiresAtMs: loadedAtMs + lifeSeconds * 1000,
    }
    await replaceRow(store, 'fact', keyOf(key), row)
    behind(shared, ({ cache }) => cache.set(`${name}:${key}`, JSON.stringify(row), lifeSeconds))
  }
  const read = ({ body, loadedAtMs, freshSeconds }: Values['fact']) => ({
    // Written by `save`, so its shape is ours.
    value: JSON.parse(body) as V,
    loadedAtMs,
    ...(freshSeconds === undefined ? {} : { freshSeconds }),
  })
  const find = async (key: string): Promise<Recalled<V> | undefined> => {
    const known = await store.get('fact', keyOf(key))
    return known === undefined ? undefined : read(known.value)
  }
  const forget = (key: string): void =>
    behind(shared, ({ cache }) => cache.delete(`${name}:${key}`))
  return {
    find,
    async recall(key, correct) {
      const near = readRow(await shared?.cache.get(`${name}:${key}`).catch(() => undefined), name)
      if (near === undefined) return find(key)
      behind(shared, async () => {
        const newest = await find(key)
        if (newest?.loadedAtMs === near.loadedAtMs) return
        if (newest === undefined) forget(key)
        correct(newest)
      })
      return read(near)
    },
    async load() {
      const found: Persisted<V>[] = []
      let after: { readonly after?: string } = {}
      while (found.length < max) {
        const size = Math.min(PAGE_ROWS, max - found.length)
        const index = { name: 'name', value: name }
        const rows = await store.list('fact', TENANT, index, { max: size, ...after })
        for (const { key, value } of rows)
          found.push({ key: key.id.slice(name.length + 1), ...read(value) })
        const last = rows.at(-1)
        if (last === undefined || rows.length < size) break
        after = { after: last.key.id }
      }
      return found
    },
    async save(batch) {
      for (const fact of batch) await save(fact)
    },
    async remove(keys) {
      for (const key of keys) {
        forget(key)
        await store.remove('fact', keyOf(key))
      }
    },
  }
}

/** A cache that fails is an empty one. */
function behind(
  shared: SharedCache | undefined,
  work: (shared: SharedCache) => Promise<unknown>,
): void {
  if (shared !== undefined) shared.runtime.waitUntil(work(shared).catch(() => undefined))
}

/** Sealed by one of our nodes, of this release or of another. */
function readRow(text: string | undefined, name: string): Values['fact'] | undefined {
  const row: unknown = text === undefined ? undefined : JSON.parse(text)
  if (!isObject(row) || row['name'] !== name) return undefined
  const { body, loadedAtMs, freshSeconds, expiresAtMs } = row
  if (typeof body !== 'string' || typeof loadedAtMs !== 'number') return undefined
  if (typeof expiresAtMs !== 'number') return undefined
  const stated = typeof freshSeconds === 'number' ? { freshSeconds } : {}
  return { name, body, loadedAtMs, expiresAtMs, ...stated }
}

/**
 * Writes a row of a cache, whatever stands there: one that was damaged is worth no more than none, and
 * must not keep its batch from being written (K16).
 */
export async function replaceRow<K extends 'fact' | 'proof'>(
  store: Store,
  kind: K,
  key: Key,
  row: Values[K],
): Promise<void> {
  const known = await store.get(kind, key).catch(async (error: unknown) => {
    if (!(error instanceof StoreError) || error.code !== 'ERR_STORE_CORRUPT') throw error
    await store.remove(kind, key)
    return undefined
  })
  if (known === undefined) await store.create(kind, key, row)
  else await store.put(kind, key, known.version, row)
}
