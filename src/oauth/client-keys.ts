/**
 * Key sets that clients register or publish: which keys of them are believed.
 *
 * Public signature keys only, each strong enough; a set with a private or symmetric key in it is
 * refused whole, because its owner has given the key away (J1, J6).
 * @see RFC 7517, RFC 7518 section 3.3
 */
import type { JSONWebKeySet } from 'jose'
import { decodeBase64url } from './base64url.ts'
import { isObject } from './claims.ts'
import { parseUrl, URL_MAX_CHARS } from './urls.ts'

export const CLIENT_KEYS_MAX = 20
/** Of a whole set as JSON text. */
export const CLIENT_KEYS_MAX_CHARS = 32_768
const RSA_MODULUS_MIN_BITS = 2_048
/** What a key has besides its numbers; everything else is dropped. */
const KEPT = ['kty', 'kid', 'use', 'alg', 'key_ops', 'crv', 'x', 'y', 'n', 'e'] as const
const CURVES: ReadonlyMap<unknown, readonly unknown[]> = new Map([
  ['EC', ['P-256']],
  ['OKP', ['Ed25519']],
])

export type ClientKeySet = JSONWebKeySet

/** `undefined` for anything but a set of public keys that our algorithms can use. */
export function readClientKeys(value: unknown): ClientKeySet | undefined {
  const given: unknown = isObject(value) ? value['keys'] : undefined
  if (!Array.isArray(given) || given.length === 0 || given.length > CLIENT_KEYS_MAX)
    return undefined
  if (JSON.stringify(given).length > CLIENT_KEYS_MAX_CHARS) return undefined
  if (!given.every(isPublic)) return undefined
  const keys = given.filter(isUsable).map(cleaned)
  return keys.length === 0 ? undefined : { keys }
}

function isPublic(key: unknown): key is Readonly<Record<string, unknown>> {
  return isObject(key) && !('d' in key) && !('k' in key) && key['kty'] !== 'oct'
}

function isUsable(key: Readonly<Record<string, unknown>>): boolean {
  const { kty, crv, use } = key
  if (use !== undefined && use !== 'sig') return false
  if (kty === 'RSA') return bitsOf(key['n']) >= RSA_MODULUS_MIN_BITS && typeof key['e'] === 'string'
  return CURVES.get(kty)?.includes(crv) === true
}

function bitsOf(modulus: unknown): number {
  const bytes = typeof modulus === 'string' ? decodeBase64url(modulus) : undefined
  if (bytes === undefined) return 0
  const first = bytes.findIndex((byte) => byte !== 0)
  return first < 0 ? 0 : (bytes.length - first) * 8 - Math.clz32(bytes[first] ?? 0) + 24
}

function cleaned(key: Readonly<Record<string, unknown>>): JSONWebKeySet['keys'][number] {
  const kept = KEPT.filter((name) => key[name] !== undefined).map((name) => [name, key[name]])
  return Object.fromEntries(kept)
}

/** https without user information and fragment; where it leads is judged by whoever fetches it. */
export function readKeysUri(value: unknown): string | undefined {
  const url = typeof value === 'string' ? parseUrl(value) : undefined
  if (url === undefined || url.protocol !== 'https:' || url.hash !== '') return undefined
  return url.username === '' && url.password === '' && url.href.length <= URL_MAX_CHARS
    ? url.href
    : undefined
}
