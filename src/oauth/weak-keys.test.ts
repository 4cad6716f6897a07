import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { isWeak, withoutWeakKeys } from './weak-keys.ts'

/** A modulus of the weak form: 65537^a modulo the product of the primes, which is all that counts. */
function weakModulus(): string {
  const primes = [11n, 13n, 17n, 19n, 37n, 53n, 61n, 71n, 73n, 79n, 97n, 103n, 107n, 109n, 127n]
  const product = [...primes, 151n, 157n].reduce((left, right) => left * right, 1n)
  let residue = 1n
  for (let power = 0; power < 12_345; power += 1) residue = (residue * 65_537n) % product
  const modulus = residue + product * (1n << 1_900n)
  return Buffer.from(modulus.toString(16).padStart(512, '0'), 'hex').toString('base64url')
}

describe('weak RSA keys', () => {
  it('J6: a key of the weak form is known by its modulus alone', () => {
    expect(isWeak({ kty: 'RSA', n: weakModulus(), e: 'AQAB' })).toBe(true)
  })

  it('ordinary RSA keys, other kinds of keys and broken ones are not', () => {
    for (let turn = 0; turn < 5; turn += 1) {
      const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
      expect(isWeak(publicKey.export({ format: 'jwk' }))).toBe(false)
    }
    expect(isWeak({ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' })).toBe(false)
    expect(isWeak({ kty: 'RSA', n: '***', e: 'AQAB' })).toBe(false)
    expect(isWeak({ kty: 'RSA' })).toBe(false)
  })

  it('J6: leaves the other keys of a set', () => {
    const good = { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', kid: 'good' }
    const weak = { kty: 'RSA', n: weakModulus(), e: 'AQAB', kid: 'weak' }
    expect(withoutWeakKeys({ keys: [good, weak] }).keys).toEqual([good])
  })
})
