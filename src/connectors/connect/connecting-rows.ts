/**
 * An answer that waits for a word of the person, sealed and bound to its row: moved to another row it
 * is refused (J7).
 */
import type { TokenSet } from '../../oauth/token-answer.ts'
import type { Runtime } from '../../ports.ts'
import { TENANT } from '../../records.ts'

interface Sealer {
  readonly runtime: Pick<Runtime, 'seal' | 'open'>
  readonly keys: { ticketKey(): Uint8Array }
}

export interface HeldAnswer {
  readonly tokens: TokenSet
  readonly subject: string
  /** When the server gave them: a connector that was edited since is another one (O5). */
  readonly givenAtMs?: number
}

export function sealAnswer({ runtime, keys }: Sealer, id: string, answer: HeldAnswer): string {
  return runtime.seal(keys.ticketKey(), JSON.stringify(answer), ownerOf(id))
}

export function openAnswer(
  { runtime, keys }: Sealer,
  id: string,
  sealed: string | undefined,
): HeldAnswer | undefined {
  if (sealed === undefined) return undefined
  const text = runtime.open(keys.ticketKey(), sealed, ownerOf(id))
  // Sealed by us for this row, so its shape is ours.
  return text === undefined ? undefined : (JSON.parse(text) as HeldAnswer)
}

function ownerOf(id: string): string {
  return JSON.stringify([TENANT, 'connecting', id, 'answer'])
}
