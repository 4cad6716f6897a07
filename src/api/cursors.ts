/**
 * Cursors of lists: the position, sealed to the route, the caller and the filters that it belongs to. A
 * cursor that was not made here, or for another list, key or filter, opens nothing (M4, B17).
 */
import type { Runtime } from '../ports.ts'
import { Problem } from './route.ts'

const KEY_BYTES = 32
const CURSOR = /^[A-Za-z0-9_-]{38,2048}$/

export interface Cursors {
  seal(position: string, list: string): string
  /** @throws {Problem} 422 for any text that `seal` did not make for this list. */
  open(cursor: string, list: string): string
}

/** @param secret Of the house, the same on every node. */
export function createCursors(
  runtime: Pick<Runtime, 'seal' | 'open' | 'hkdfSha256'>,
  secret: () => Uint8Array,
): Cursors {
  const sealingKey = () => runtime.hkdfSha256(secret(), 'postern api cursor', KEY_BYTES)
  return {
    seal: (position, list) => runtime.seal(sealingKey(), position, list),
    open(cursor, list) {
      const position = CURSOR.test(cursor) ? runtime.open(sealingKey(), cursor, list) : undefined
      if (position !== undefined) return position
      throw new Problem(422, 'ERR_API_CURSOR', 'It does not belong to this list.', {
        param: 'cursor',
        errors: [
          { param: 'cursor', code: 'ERR_API_CURSOR', detail: 'It does not belong to this list.' },
        ],
      })
    },
  }
}

/** One text per list, caller and filters, whatever the order in which they were written. */
export function listName(
  route: string,
  caller: string,
  filters: Readonly<Record<string, unknown>>,
): string {
  const sorted = Object.entries(filters)
    .filter(([name, value]) => name !== 'cursor' && name !== 'limit' && value !== undefined)
    .sort(([left], [right]) => (left < right ? -1 : 1))
  return JSON.stringify([route, caller, sorted])
}
