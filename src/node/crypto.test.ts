import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createCryptography } from './crypto.ts'

const KEY = new Uint8Array(32).fill(7)

describe('cryptography with keys', () => {
  const cryptography = createCryptography()

  it('writes and reads signatures as any other ES256 does, short integers too', () => {
    const jwk = cryptography.createSigningJwk()
    const signingKey = cryptography.importSigningKey(jwk)
    const verifyKey = cryptography.importVerifyKey(jwk)
    const raw = { dsaEncoding: 'ieee-p1363' } as const
    const theirs = { key: createPrivateKey({ key: { ...jwk }, format: 'jwk' }), ...raw }
    const { d: _, ...publicJwk } = jwk
    const check = { key: createPublicKey({ key: publicJwk, format: 'jwk' }), ...raw }
    // One in 128 has a leading zero byte in r or s, one in two a first bit that needs padding.
    for (let n = 0; n < 1_500; n += 1) {
      const ours = Buffer.from(cryptography.sign(signingKey, `text ${n}`), 'base64url')
      expect(verify('sha256', Buffer.from(`text ${n}`), check, ours)).toBe(true)
      const other = sign('sha256', Buffer.from(`text ${n}`), theirs).toString('base64url')
      expect(cryptography.verify(verifyKey, `text ${n}`, other)).toBe(true)
    }
  })

  it('signs with ES256 and refuses another key, text or encoding (RFC 7518 section 3.4)', () => {
    const jwk = cryptography.createSigningJwk()
    const other = cryptography.createSigningJwk()
    const signature = cryptography.sign(cryptography.importSigningKey(jwk), 'header.payload')
    const key = cryptography.importVerifyKey(jwk)
    expect(Buffer.from(signature, 'base64url')).toHaveLength(64)
    expect(cryptography.verify(key, 'header.payload', signature)).toBe(true)
    expect(cryptography.verify(key, 'header.Payload', signature)).toBe(false)
    expect(
      cryptography.verify(cryptography.importVerifyKey(other), 'header.payload', signature),
    ).toBe(false)
    expect(cryptography.verify(key, 'header.payload', `${signature}=`)).toBe(false)
    expect(cryptography.verify(key, 'header.payload', `${signature.slice(0, -1)}!`)).toBe(false)
    expect(cryptography.verify(key, 'header.payload', '')).toBe(false)
  })

  it('opens what it sealed and nothing else', () => {
    const sealed = cryptography.seal(KEY, 'väl\u{1f511}', 'owner')
    expect(cryptography.open(KEY, sealed, 'owner')).toBe('väl\u{1f511}')
    expect(cryptography.open(KEY, sealed, 'other')).toBeUndefined()
    expect(cryptography.open(new Uint8Array(32), sealed, 'owner')).toBeUndefined()
    expect(cryptography.open(KEY, `${sealed} `, 'owner')).toBeUndefined()
    expect(cryptography.open(KEY, '', 'owner')).toBeUndefined()
    expect(() => cryptography.seal(new Uint8Array(16), 'x', 'owner')).toThrow(TypeError)
  })
})

describe('cryptography', () => {
  const cryptography = createCryptography()

  it('computes the published SHA-256, HMAC and HKDF vectors', () => {
    expect(cryptography.sha256('abc')).toBe('ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0')
    const hmac = cryptography.hmacSha256(Buffer.from('Jefe'), 'what do ya want for nothing?')
    expect(Buffer.from(hmac).toString('hex')).toBe(
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    )
    // RFC 4231 test case 6: a key longer than a block.
    const long = cryptography.hmacSha256(
      new Uint8Array(131).fill(0xaa),
      'Test Using Larger Than Block-Size Key - Hash Key First',
    )
    expect(Buffer.from(long).toString('hex')).toBe(
      '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
    )
    // RFC 5869 test case 3: no salt, no info.
    const derived = cryptography.hkdfSha256(new Uint8Array(22).fill(0x0b), '', 42)
    expect(Buffer.from(derived).toString('hex')).toBe(
      '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
    )
  })

  it('compares equal lengths only', () => {
    expect(cryptography.equal('abc', 'abc')).toBe(true)
    expect(cryptography.equal('abc', new Uint8Array([97, 98, 99]))).toBe(true)
    expect(cryptography.equal('abc', 'abd')).toBe(false)
    expect(cryptography.equal('abc', 'abcd')).toBe(false)
    expect(cryptography.equal('', '')).toBe(true)
  })

  it('J8: repeats no nonce', () => {
    const nonces = new Set<string>()
    for (let n = 0; n < 5_000; n += 1) nonces.add(cryptography.seal(KEY, '', '').slice(0, 16))
    expect(nonces.size).toBe(5_000)
  })
})
