/**
 * Pages of rows for a list, with filters that no index has: read on until the page is full, within a
 * bound. A page may then be shorter than asked, and still say where the next one begins.
 */
import type { Versioned } from '../ports.ts'
import { type Kind, TENANT } from '../records.ts'
import type { ApiCall, ApiHouse } from './route.ts'

const READ_ROWS = 200
/** Rows that one answer looks at. */
const LOOKED_MAX = 5_000

export interface Listing<K extends Kind> {
  readonly kind: K
  readonly index?: { readonly name: string; readonly value: string } | undefined
  /** Begins after this, on the first page. */
  readonly after?: string | undefined
  readonly isMeant?: (row: Versioned<K>) => boolean
}

export interface ListedPage<T> {
  readonly rows: readonly T[]
  /** `after` of the next page; absent at the end. */
  readonly next?: string | undefined
}

export async function listRows<K extends Kind>(
  { store }: Pick<ApiHouse, 'store'>,
  { kind, index, after: first, isMeant = () => true }: Listing<K>,
  { limit, after = first }: Pick<ApiCall, 'limit' | 'after'>,
): Promise<ListedPage<Versioned<K>>> {
  const rows: Versioned<K>[] = []
  let last = after
  for (let looked = 0; looked < LOOKED_MAX; looked += READ_ROWS) {
    const at = { max: READ_ROWS, ...(last === undefined ? {} : { after: last }) }
    const found = await store.list(kind, TENANT, index, at)
    for (const row of found) {
      last = row.key.id
      if (!isMeant(row)) continue
      rows.push(row)
      if (rows.length === limit) return { rows, next: last }
    }
    if (found.length < READ_ROWS) return { rows }
  }
  return { rows, next: last }
}

/** The answer of a list: `next` where it goes on. */
export function pageAnswer<R, T>({ rows, next }: ListedPage<R>, view: (row: R) => T) {
  const body = { data: rows.map(view) }
  return { status: 200, body, ...(next === undefined ? {} : { next }) }
}

export function isoTime(atMs: number): string {
  return new Date(atMs).toISOString()
}

/** `{ name: iso time }`, or nothing where there is no time. */
export function optionalTime<N extends string>(
  name: N,
  atMs: number | undefined,
): { readonly [K in N]?: string } {
  return atMs === undefined ? {} : ({ [name]: isoTime(atMs) } as { readonly [K in N]?: string })
}
