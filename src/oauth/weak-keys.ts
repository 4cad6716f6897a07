/**
 * RSA keys that look right and are not: made by the library of CVE-2017-15361 ("ROCA"), whose private
 * half can be found from the public one. Their modulus is a power of 65537 modulo each small prime,
 * which one key in about 2^27 of the others is by chance. Size and curves are judged by `jose`.
 */
import type { JSONWebKeySet, JWK } from 'jose'
import { decodeBase64url } from './base64url.ts'

const GENERATOR = 65_537
const PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157]

/** Powers of the generator by prime. */
const POWERS = new Map(PRIMES.map((prime) => [prime, powersOf(GENERATOR, prime)]))

/** The set without keys that nobody may trust. */
export function withoutWeakKeys(jwks: JSONWebKeySet): JSONWebKeySet {
  return { keys: jwks.keys.filter((key) => !isWeak(key)) }
}

/** True for an RSA modulus with the ROCA fingerprint; other kinds of keys are not judged here. */
export function isWeak({ kty, n }: JWK): boolean {
  if (kty !== 'RSA' || typeof n !== 'string') return false
  const bytes = decodeBase64url(n)
  if (bytes === undefined) return false
  for (const [prime, powers] of POWERS) {
    if (!powers.has(remainder(bytes, prime))) return false
  }
  return true
}

function powersOf(base: number, prime: number): ReadonlySet<number> {
  const powers = new Set<number>()
  for (let power = 1; !powers.has(power); power = (power * base) % prime) powers.add(power)
  return powers
}

/** Of a big-endian number, by Horner's rule: no big integers for so small a divisor. */
function remainder(bytes: Uint8Array, divisor: number): number {
  let rest = 0
  for (const byte of bytes) rest = (rest * 256 + byte) % divisor
  return rest
}
