/**
 * Handles: the URL of a popup or of a trip that a backend starts. For whom and where it ends is sealed
 * into it, so nothing is written before the person answers its page; that answer takes the handle, by
 * one conditional write. The same browser may send it again and gets the same trip, nobody else (W7).
 */
import { key } from '../../issuer/ids.ts'
import { type EmbeddedTrip, TENANT } from '../../records.ts'
import type { ConnectHouse } from '../connect/connect-rooms.ts'

const HANDLE_MAX_CHARACTERS = 6_144
const TAKEN_KEPT_MS = 600_000
const ASSOCIATED_DATA = JSON.stringify([TENANT, 'embedded handle'])

export interface Handle extends EmbeddedTrip {
  readonly connector: string
  readonly userId: string
  readonly expiresAtMs: number
}

/** The whole URL. */
export function handleUrl({ config, runtime, keys }: ConnectHouse, handle: Handle): string {
  const sealed = runtime.seal(keys.ticketKey(), JSON.stringify(handle), ASSOCIATED_DATA)
  return `${config.issuer}${config.prefix}/widget/popup?handle=${sealed}`
}

/** `undefined`: not ours. */
export function openHandle(
  { runtime, keys }: ConnectHouse,
  sealed: string,
): Handle | 'expired' | undefined {
  if (sealed.length > HANDLE_MAX_CHARACTERS) return undefined
  const text = runtime.open(keys.ticketKey(), sealed, ASSOCIATED_DATA)
  if (text === undefined) return undefined
  // Sealed by us with this key and purpose, so its shape is ours.
  const handle = JSON.parse(text) as Handle
  return handle.expiresAtMs <= runtime.nowMs() ? 'expired' : handle
}

/** False when another browser answered, or this one did otherwise. */
export async function takeHandle(
  { runtime, store }: ConnectHouse,
  attempt: string,
  answer: { readonly formDigest: string; readonly decision: 'connect' | 'cancel' },
): Promise<boolean> {
  const expiresAtMs = Math.trunc(runtime.nowMs()) + TAKEN_KEPT_MS
  const { won } = await store.create('handle', key(attempt), { ...answer, expiresAtMs })
  if (won) return true
  const taken = await store.get('handle', key(attempt))
  return (
    taken !== undefined &&
    runtime.equal(taken.value.formDigest, answer.formDigest) &&
    taken.value.decision === answer.decision
  )
}
