/**
 * Seals what must be replayed (upstream tokens, keys of the house) to exactly one place: tenant,
 * kind, row, column and purpose are bound in, so that a sealed value moved anywhere else is refused.
 *
 * Several keys: the first seals, all open. A key's id is a short digest of it; the key itself is
 * never in the database. AES-256-GCM with random nonces, counted per process (J7, J8).
 */
import { ConfigError } from '../errors.ts'
import type { Runtime } from '../ports.ts'

/** Where a sealed value lives. */
export interface SealedPlace {
  readonly tenant: string
  readonly kind: string
  readonly id: string
  readonly column: string
  readonly purpose: string
}

export interface Sealing {
  readonly primaryKeyId: string
  readonly keyIds: readonly string[]
  seal(plaintext: string, owner: string): { sealed: string; keyId: string }
  /** `undefined`: not sealed by a key we have, or not for this owner. */
  open(sealed: string, keyId: string, owner: string): string | undefined
  /** Keyed digest of a value that must be recognised but not kept. Follows the first key. */
  digest(text: string, purpose: string): string
}

/** Random 96-bit nonces: beyond this a repeat is no longer negligible (NIST SP 800-38D 8.3). */
export const SEALS_PER_KEY_MAX = 2 ** 32
const KEY_BYTES = 32
const KEY_ID_CHARACTERS = 12

interface Key {
  readonly id: string
  readonly sealingKey: Uint8Array
  readonly digestKey: Uint8Array
}

export function createSealing(
  keys: readonly Uint8Array[],
  runtime: Runtime,
  options: { sealsMax?: number } = {},
): Sealing {
  const sealsMax = options.sealsMax ?? SEALS_PER_KEY_MAX
  const known = new Map<string, Key>()
  for (const key of keys) {
    const made = deriveKey(key, runtime)
    known.set(made.id, made)
  }
  const primary = known.values().next().value
  if (primary === undefined) throw new TypeError('sealing needs a key')
  let seals = 0
  return {
    primaryKeyId: primary.id,
    keyIds: [...known.keys()],
    seal(plaintext, owner) {
      if (seals >= sealsMax) {
        throw new ConfigError(
          'ERR_CONFIG_SEALING_KEY',
          'the first sealing key has sealed as much as one key may.',
          'Run `npx postern keys new` and put the new key first in POSTERN_SEALING_KEY.',
        )
      }
      seals += 1
      return { sealed: runtime.seal(primary.sealingKey, plaintext, owner), keyId: primary.id }
    },
    open(sealed, keyId, owner) {
      const key = known.get(keyId)
      return key === undefined ? undefined : runtime.open(key.sealingKey, sealed, owner)
    },
    digest(text, purpose) {
      const data = lengthPrefixed([purpose, text])
      return runtime.sha256(runtime.hmacSha256(primary.digestKey, data))
    },
  }
}

/** Names a place without ambiguity: every part carries its length. */
export function sealedOwner(place: SealedPlace): string {
  return lengthPrefixed([place.tenant, place.kind, place.id, place.column, place.purpose])
}

function lengthPrefixed(parts: readonly string[]): string {
  return parts.map((part) => `${part.length}:${part}`).join('')
}

function deriveKey(key: Uint8Array, runtime: Runtime): Key {
  if (key.byteLength !== KEY_BYTES) throw new TypeError('a sealing key has 32 bytes')
  return {
    id: runtime
      .sha256(runtime.hmacSha256(key, 'postern sealing key id'))
      .slice(0, KEY_ID_CHARACTERS),
    sealingKey: runtime.hkdfSha256(key, 'postern sealing', KEY_BYTES),
    digestKey: runtime.hkdfSha256(key, 'postern digest', KEY_BYTES),
  }
}
