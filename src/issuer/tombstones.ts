/**
 * A deleted person leaves a tombstone for 400 days: a keyed digest, from which nobody can be found. A
 * row that was made before it, such as one from a restored backup, is dead. Who comes back and signs in
 * is a new person here: a new user id, nothing of before (flows.md section 11).
 */
import { encodeBase64url } from '../oauth/base64url.ts'
import type { Key, Runtime, Step, Store, Versioned } from '../ports.ts'
import { key } from './ids.ts'

export const TOMBSTONE_LIFE_MS = 400 * 86_400_000

interface TombstoneHouse {
  readonly store: Pick<Store, 'get'>
  readonly runtime: Pick<Runtime, 'hmacSha256' | 'nowMs'>
  /** The tag key never changes, so that a tombstone is found as long as it stands. */
  readonly keys: { tagKey(): Uint8Array }
}

/** Is this row of a person older than their deletion? */
function isBuried(
  { createdAtMs }: { readonly createdAtMs: number },
  tombstone: Versioned<'tombstone'> | undefined,
  nowMs: number,
): boolean {
  if (tombstone === undefined || tombstone.value.expiresAtMs <= nowMs) return false
  return createdAtMs <= tombstone.value.deletedAtMs
}

/** The row of a person who was not deleted since; `row` where it was read already. One wait. */
export async function findLiving(
  house: TombstoneHouse,
  userKey: string,
  row?: Versioned<'user'>,
): Promise<Versioned<'user'> | undefined> {
  const [user, tombstone] = await Promise.all([
    row ?? house.store.get('user', key(userKey)),
    house.store.get('tombstone', tombstoneKey(house, userKey)),
  ])
  if (user === undefined || isBuried(user.value, tombstone, house.runtime.nowMs())) return undefined
  return user
}

export async function tombstoneStep(house: TombstoneHouse, userKey: string): Promise<Step> {
  const at = tombstoneKey(house, userKey)
  const nowMs = Math.trunc(house.runtime.nowMs())
  const value = { deletedAtMs: nowMs, expiresAtMs: nowMs + TOMBSTONE_LIFE_MS }
  const before = await house.store.get('tombstone', at)
  return before === undefined
    ? { verb: 'create', kind: 'tombstone', key: at, value }
    : { verb: 'put', kind: 'tombstone', key: at, ifVersion: before.version, value }
}

/** What stands in audit rows in the place of a deleted person's user id. */
export function pseudonymOf({ runtime, keys }: TombstoneHouse, userId: string): string {
  const digest = runtime.hmacSha256(keys.tagKey(), `pseudonym.${userId}`)
  return `psn_${encodeBase64url(digest).slice(0, 26)}`
}

function tombstoneKey({ runtime, keys }: TombstoneHouse, userKey: string): Key {
  return key(encodeBase64url(runtime.hmacSha256(keys.tagKey(), `tombstone.${userKey}`)))
}
