/**
 * What an attempt keeps sealed, bound to its row: the verifier, and an answer that waits for a word of
 * the person. A value moved to another row is refused (J7).
 */
import type { IssuerHouse } from '../issuer/house.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import { TENANT } from '../records.ts'

type Sealer = Pick<IssuerHouse, 'runtime' | 'keys'>

export interface HeldAnswer {
  readonly tokens: TokenSet
  readonly subject: string
}

export function sealVerifier({ runtime, keys }: Sealer, id: string, verifier: string): string {
  return runtime.seal(keys.ticketKey(), verifier, ownerOf(id, 'verifier'))
}

export function openVerifier(
  { runtime, keys }: Sealer,
  id: string,
  sealed: string,
): string | undefined {
  return runtime.open(keys.ticketKey(), sealed, ownerOf(id, 'verifier'))
}

export function sealAnswer({ runtime, keys }: Sealer, id: string, answer: HeldAnswer): string {
  return runtime.seal(keys.ticketKey(), JSON.stringify(answer), ownerOf(id, 'answer'))
}

export function openAnswer(
  { runtime, keys }: Sealer,
  id: string,
  sealed: string | undefined,
): HeldAnswer | undefined {
  if (sealed === undefined) return undefined
  const text = runtime.open(keys.ticketKey(), sealed, ownerOf(id, 'answer'))
  // Sealed by us for this row, so its shape is ours.
  return text === undefined ? undefined : (JSON.parse(text) as HeldAnswer)
}

function ownerOf(id: string, column: 'verifier' | 'answer'): string {
  return JSON.stringify([TENANT, 'connecting', id, column])
}
