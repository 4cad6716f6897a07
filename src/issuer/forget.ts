/**
 * "Read this again", told to every node: a mark of kind `cache` on the revocation clock, so that a bus
 * that loses a message delays it by one poll and no more. It ends nothing and covers no token.
 */
import type { Step } from '../ports.ts'
import { type Mark, TENANT } from '../records.ts'
import { announceMark, type EndingHouse, markExpiresAtMs } from './endings.ts'

/** The connectors that the API made. Other ids are `<cache name>:<key>` and `<cache name>:*`. */
export const CONNECTORS = 'connectors'

export function forgetMark({ runtime }: Pick<EndingHouse, 'runtime'>, id: string): Mark {
  const issuedBeforeMs = Math.trunc(runtime.nowMs())
  const expiresAtMs = markExpiresAtMs(issuedBeforeMs)
  return { tenant: TENANT, kind: 'cache', id, issuedBeforeMs, expiresAtMs }
}

/**
 * @param also Written in the same commit: what changed, and its audit row.
 * @throws {StoreError} `not-applied` also when a step of `also` was lost: nothing was written.
 */
export async function announceForget(
  house: Pick<EndingHouse, 'store' | 'runtime' | 'bus' | 'revocation'>,
  id: string,
  also: readonly Step[] = [],
): Promise<void> {
  const mark = forgetMark(house, id)
  await house.store.grants.revoke(mark, also)
  announceMark(house, mark)
}
