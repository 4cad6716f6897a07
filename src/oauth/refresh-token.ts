/**
 * Refresh tokens: `ptr_`, grant id, generation, 256 random bits, and a tag of ours over the rest.
 *
 * A token that we never issued has a wrong tag: it is `invalid_grant` and ends nothing, even when it
 * names a real grant (F14). Stored only as a digest; the successor only sealed under a key that comes
 * from the presented token, so neither database nor sealing key opens it (`flows.md` section 9).
 */
import type { Runtime } from '../ports.ts'
import { encodeBase64url } from './base64url.ts'

const RANDOM_BYTES = 32
const TAG_BYTES = 16
const SUCCESSOR_KEY_BYTES = 32
const REFRESH_TOKEN =
  /^(ptr_([A-Za-z0-9_-]{1,64})\.(0|[1-9]\d{0,8})\.[A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{22})$/

export interface RefreshTokenParts {
  readonly grantId: string
  readonly generation: number
  /** 32 bytes. */
  readonly random: Uint8Array
  readonly tagKey: Uint8Array
  readonly runtime: Runtime
}

/** @throws {TypeError} for an id, generation or randomness that our own code got wrong. */
export function formatRefreshToken(parts: RefreshTokenParts): string {
  const body = `ptr_${parts.grantId}.${parts.generation}.${encodeBase64url(parts.random)}`
  const token = `${body}.${refreshTag(body, parts.tagKey, parts.runtime)}`
  if (parts.random.length !== RANDOM_BYTES || !REFRESH_TOKEN.test(token)) {
    throw new TypeError('refresh token parts')
  }
  return token
}

/** `undefined` for anything whose tag is not ours. */
export function parseRefreshToken(
  text: string,
  tagKey: Uint8Array,
  runtime: Runtime,
): { grantId: string; generation: number } | undefined {
  const parts = REFRESH_TOKEN.exec(text)
  if (parts === null) return undefined
  const [, body = '', grantId = '', generation = '', tag = ''] = parts
  if (!runtime.equal(refreshTag(body, tagKey, runtime), tag)) return undefined
  return { grantId, generation: Number(generation) }
}

/**
 * Seals what a replay inside the window must get again (the successor, and what fixes its access
 * token's `exp`) so that only the holder of `presented` can open it.
 */
export function sealSuccessor(
  presented: string,
  successor: string,
  associatedData: string,
  runtime: Runtime,
): string {
  return runtime.seal(successorKey(presented, runtime), successor, associatedData)
}

export function openSuccessor(
  presented: string,
  sealed: string,
  associatedData: string,
  runtime: Runtime,
): string | undefined {
  return runtime.open(successorKey(presented, runtime), sealed, associatedData)
}

function refreshTag(body: string, tagKey: Uint8Array, runtime: Runtime): string {
  return encodeBase64url(runtime.hmacSha256(tagKey, `refresh-token.${body}`).subarray(0, TAG_BYTES))
}

function successorKey(presented: string, runtime: Runtime): Uint8Array {
  const secret = new TextEncoder().encode(presented)
  return runtime.hkdfSha256(secret, 'postern refresh successor', SUCCESSOR_KEY_BYTES)
}
