/**
 * Keys of this house as rows of kind `secret`: made once, sealed to their row, opened, and sealed
 * again when the sealing key has changed. Which key is used when is its owner's business.
 */
import { ConfigError } from '../errors.ts'
import type { EcJwk, Key, Runtime, SigningKey, Step, Store, VerifyKey } from '../ports.ts'
import { TENANT, type Values } from '../records.ts'
import { type Sealing, sealedOwner } from './sealing.ts'

export type SecretValue = Values['secret']
export type SecretPurpose = SecretValue['purpose']
/** Purposes whose rows are numbered key pairs. */
export type KeyPurpose = Extract<SecretPurpose, 'signing' | 'assertion'>

export type PublicJwk = {
  readonly kty: 'EC'
  readonly crv: 'P-256'
  readonly x: string
  readonly y: string
  readonly kid: string
  readonly alg: 'ES256'
  readonly use: 'sig'
}

export interface KeyEntry {
  readonly id: string
  readonly version: number
  readonly value: SecretValue
  readonly kid: string
  readonly jwk: PublicJwk
  readonly key: SigningKey
  readonly verifyKey: VerifyKey
}

export interface KeyRowsDeps {
  readonly store: Store
  readonly sealing: Sealing
  readonly runtime: Runtime
}

const KEYS_MAX = 100

/** Those that have not ended, in the order in which they sign. @throws {ConfigError} */
export async function loadKeyRows(
  deps: KeyRowsDeps,
  purpose: KeyPurpose,
): Promise<readonly KeyEntry[]> {
  const { store, runtime } = deps
  const index = { name: 'purpose', value: purpose }
  const rows = await store.list('secret', TENANT, index, { max: KEYS_MAX })
  const entries: KeyEntry[] = []
  for (const {
    key: { id },
    version,
    value,
  } of rows) {
    if ((value.expiresAtMs ?? Infinity) <= runtime.nowMs()) continue
    const privateJwk = parseJwk(await openSecret(deps, id, version, value))
    const { x, y } = privateJwk
    const kid = thumbprint(privateJwk, runtime)
    entries.push({
      id,
      version,
      value,
      kid,
      jwk: { kty: 'EC', crv: 'P-256', x, y, kid, alg: 'ES256', use: 'sig' },
      key: runtime.importSigningKey(privateJwk),
      verifyKey: runtime.importVerifyKey({ kty: 'EC', crv: 'P-256', x, y }),
    })
  }
  return entries.sort(
    (a, b) => a.value.activeAtMs - b.value.activeAtMs || numberOf(a.id) - numberOf(b.id),
  )
}

/** Two nodes that make the same number: one of their commits is lost. */
export function keyStep(
  { runtime, sealing }: Omit<KeyRowsDeps, 'store'>,
  purpose: KeyPurpose,
  number: number,
  at: { publishedAtMs: number; activeAtMs: number },
): { readonly kid: string; readonly step: Step } {
  const jwk = runtime.createSigningJwk()
  const id = `${purpose}-${number}`
  const kid = thumbprint(jwk, runtime)
  const value: SecretValue = {
    purpose,
    ...at,
    publicJwk: JSON.stringify({ kty: 'EC', crv: 'P-256', x: jwk.x, y: jwk.y, kid }),
    ...sealing.seal(JSON.stringify(jwk), secretOwner(id, purpose)),
  }
  return { kid, step: { verb: 'create', kind: 'secret', key: secretKey(id), value } }
}

export function nextNumber(entries: readonly KeyEntry[]): number {
  return Math.max(0, ...entries.map(({ id }) => numberOf(id))) + 1
}

/** Opens a stored secret; one sealed under an older key is sealed again under the first. */
export async function openSecret(
  { sealing, store }: Pick<KeyRowsDeps, 'sealing' | 'store'>,
  id: string,
  version: number,
  value: SecretValue,
): Promise<string> {
  const place = secretOwner(id, value.purpose)
  const text = sealing.open(value.sealed, value.keyId, place)
  if (text === undefined) throw wrongSealingKey(value.keyId, sealing)
  if (value.keyId !== sealing.primaryKeyId) {
    // Losing this race is fine: somebody else did it, or will.
    await store.put('secret', secretKey(id), version, { ...value, ...sealing.seal(text, place) })
  }
  return text
}

function wrongSealingKey(keyId: string, sealing: Sealing): ConfigError {
  return sealing.keyIds.includes(keyId)
    ? new ConfigError(
        'ERR_CONFIG_DATABASE',
        'a key in this database was changed or moved.',
        'Restore the database from a backup.',
      )
    : new ConfigError(
        'ERR_CONFIG_SEALING_KEY',
        'this database was sealed with another sealing key.',
        'Set POSTERN_SEALING_KEY to the key it was made with; to change keys, put the new one first: `new,old`.',
      )
}

export function secretOwner(id: string, purpose: SecretPurpose): string {
  return sealedOwner({ tenant: TENANT, kind: 'secret', id, column: 'sealed', purpose })
}

export function secretKey(id: string): Key {
  return { tenant: TENANT, id }
}

function numberOf(id: string): number {
  return Number(id.slice(id.lastIndexOf('-') + 1))
}

/** RFC 7638: the same key has the same `kid` everywhere. */
function thumbprint(jwk: EcJwk, runtime: Runtime): string {
  return runtime.sha256(JSON.stringify({ crv: 'P-256', kty: 'EC', x: jwk.x, y: jwk.y }))
}

// Authenticated by its seal, written by `keyStep`.
function parseJwk(text: string): EcJwk {
  return JSON.parse(text) as EcJwk
}
