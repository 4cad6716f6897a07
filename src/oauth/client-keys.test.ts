import { describe, expect, it } from 'vitest'
import {
  CLIENT_KEYS_MAX,
  CLIENT_KEYS_MAX_CHARS,
  readClientKeys,
  readKeysUri,
} from './client-keys.ts'

const EC = { kty: 'EC', crv: 'P-256', x: 'x', y: 'y' }
const modulus = (bits: number): string => {
  const bytes = new Uint8Array(Math.ceil(bits / 8) + 1)
  bytes[1] = 2 ** ((bits - 1) % 8)
  return Buffer.from(bytes).toString('base64url')
}
const rsa = (bits: number) => ({ kty: 'RSA', n: modulus(bits), e: 'AQAB' })
const read = (...keys: unknown[]) => readClientKeys({ keys })

describe('readClientKeys', () => {
  it('J1, J6: public signature keys that our algorithms can use, and of them what a key has', () => {
    const full = { ...EC, kid: 'k1', use: 'sig', alg: 'ES256', key_ops: ['verify'] }
    expect(read({ ...full, x5c: ['cert'], other: 1 })).toEqual({ keys: [full] })
    expect(read({ kty: 'OKP', crv: 'Ed25519', x: 'x' })).toEqual({
      keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'x' }],
    })
    expect(read(rsa(2_048))).toEqual({ keys: [rsa(2_048)] })
  })

  it('J6: a weak key, one of another curve or another use is dropped; nothing left is no set', () => {
    for (const bad of [
      rsa(2_047),
      rsa(8),
      { ...rsa(2_048), e: undefined },
      { ...rsa(2_048), n: undefined },
      { ...rsa(2_048), n: 7 },
      { ...rsa(2_048), n: 'not base64url!' },
      { ...rsa(2_048), n: '' },
      { ...rsa(2_048), n: 'A'.repeat(400) },
      { ...EC, crv: 'P-384' },
      { ...EC, crv: 'Ed25519' },
      { ...EC, crv: undefined },
      { ...EC, kty: undefined },
      { ...EC, kty: 'toString' },
      { ...EC, use: 'enc' },
      { kty: 'OKP', crv: 'X25519', x: 'x' },
    ]) {
      expect(read(bad), JSON.stringify(bad).slice(0, 60)).toBeUndefined()
      expect(read(bad, EC)).toEqual({ keys: [EC] })
    }
  })

  it('J1: a set with a private or symmetric key in it is refused whole', () => {
    for (const secret of [{ ...EC, d: 'd' }, { ...EC, k: 'k' }, { kty: 'oct' }, null, 'x', []])
      expect(read(EC, secret)).toBeUndefined()
  })

  it('J6: from one key to twenty, and no more text than 32 KiB', () => {
    for (const odd of [undefined, null, 'x', [], {}, { keys: EC }, { keys: [] }])
      expect(readClientKeys(odd)).toBeUndefined()
    const many = (count: number) => Array.from({ length: count }, () => EC)
    expect(read(...many(CLIENT_KEYS_MAX))?.keys).toHaveLength(20)
    expect(read(...many(CLIENT_KEYS_MAX + 1))).toBeUndefined()
    const empty = JSON.stringify([{ ...EC, kid: '' }]).length
    const kid = (length: number) => 'x'.repeat(length - empty)
    expect(read({ ...EC, kid: kid(CLIENT_KEYS_MAX_CHARS) })).toBeDefined()
    expect(read({ ...EC, kid: kid(CLIENT_KEYS_MAX_CHARS + 1) })).toBeUndefined()
  })
})

describe('readKeysUri', () => {
  it('J6: https without user information and fragment', () => {
    expect(readKeysUri('https://app.example/jwks?x=1')).toBe('https://app.example/jwks?x=1')
    for (const odd of [
      undefined,
      7,
      '',
      'app.example/jwks',
      'http://app.example/jwks',
      'https://user@app.example/jwks',
      'https://:secret@app.example/jwks',
      'https://app.example/jwks#x',
      `https://app.example/${'x'.repeat(3_000)}`,
    ]) {
      expect(readKeysUri(odd), String(odd).slice(0, 40)).toBeUndefined()
    }
  })
})
