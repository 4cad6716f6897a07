/**
 * Identifiers of others that count once: proofs, assertions and messages (kind `spent`). One conditional
 * write decides, on whatever node; the row stays until what carried the identifier is refused by its
 * age (I8).
 */
import type { Key, Runtime, Step } from '../ports.ts'
import type { IssuerHouse } from './house.ts'
import { key } from './ids.ts'

/** What an identifier was used for, and the names that it is unique within; the identifier is last. */
export type SpentName = readonly [
  purpose: 'client_assertion' | 'connect' | 'dpop' | 'event' | 'id-jag' | 'logout' | 'webhook',
  ...names: readonly string[],
]

type SpentHouse = Pick<IssuerHouse, 'store'> & { readonly runtime: Pick<Runtime, 'sha256'> }

/** @returns false when it was spent before: a replay. */
export async function spend(
  { store, runtime }: SpentHouse,
  name: SpentName,
  expiresAtMs: number,
): Promise<boolean> {
  const [purpose] = name
  const { won } = await store.create('spent', keyOf(runtime, name), { purpose, expiresAtMs })
  return won
}

/** The same as the first step of a larger commit, which it loses when it was spent before. */
export function spendStep(
  runtime: Pick<Runtime, 'sha256'>,
  name: SpentName,
  expiresAtMs: number,
): Step {
  const [purpose] = name
  return {
    verb: 'create',
    kind: 'spent',
    key: keyOf(runtime, name),
    value: { purpose, expiresAtMs },
  }
}

/** For messages that are obeyed first and spent last, so that one we failed on is heard again. */
export async function isSpent({ store, runtime }: SpentHouse, name: SpentName): Promise<boolean> {
  return (await store.get('spent', keyOf(runtime, name))) !== undefined
}

function keyOf(runtime: Pick<Runtime, 'sha256'>, name: SpentName): Key {
  return key(runtime.sha256(JSON.stringify(name)))
}
