/**
 * Last good copies of remote facts in the store, kind `fact`: read at start, written behind, shared
 * between nodes. A fact past its life is deleted by the sweep.
 */
import { StoreError } from '../errors.ts'
import type { Key, Store } from '../ports.ts'
import { TENANT, type Values } from '../records.ts'
import type { Persist, Persisted } from './write-behind.ts'

/** Rows read at once: as many as a store gives. */
const PAGE_ROWS = 1_000

export interface StoredFacts<V> extends Persist<V> {
  find(key: string): Promise<Omit<Persisted<V>, 'key'> | undefined>
  remove(keys: readonly string[]): Promise<void>
}

/** @param options.max Most facts that a start reads. */
export function storedFacts<V>(
  store: Store,
  options: { readonly name: string; readonly lifeSeconds: number; readonly max: number },
): StoredFacts<V> {
  const { name, lifeSeconds, max } = options
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
  }
  const read = ({ body, loadedAtMs, freshSeconds }: Values['fact']) => ({
    // Written by `save`, so its shape is ours.
    value: JSON.parse(body) as V,
    loadedAtMs,
    ...(freshSeconds === undefined ? {} : { freshSeconds }),
  })
  return {
    async find(key) {
      const known = await store.get('fact', keyOf(key))
      return known === undefined ? undefined : read(known.value)
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
      for (const key of keys) await store.remove('fact', keyOf(key))
    },
  }
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
