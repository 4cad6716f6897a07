/**
 * Authorization codes: `ptc_`, the pending grant's id, 256 random bits.
 *
 * The id only finds the row; what redeems is the digest of the whole code (A7, storage.md F2).
 */
import { encodeBase64url } from './base64url.ts'

const RANDOM_BYTES = 32
// Anchored, no nested quantifier: linear in a text that is bounded by the parameter limit.
const CODE = /^ptc_([A-Za-z0-9_-]{1,64})\.[A-Za-z0-9_-]{43}$/

/** @throws {TypeError} for an id or randomness that our own code got wrong. */
export function formatCode({ grantId, random }: { grantId: string; random: Uint8Array }): string {
  const code = `ptc_${grantId}.${encodeBase64url(random)}`
  if (random.length !== RANDOM_BYTES || !CODE.test(code)) throw new TypeError('code parts')
  return code
}

/** `undefined` for anything that does not have the form of our codes. */
export function parseCode(text: string): { grantId: string } | undefined {
  const grantId = CODE.exec(text)?.[1]
  return grantId === undefined ? undefined : { grantId }
}
