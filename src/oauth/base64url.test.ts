import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SEED } from '../../test/kit/family.ts'
import { decodeBase64url, encodeBase64url } from './base64url.ts'

describe('base64url', () => {
  it('J12: encodes as the platform does and decodes what it encoded', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = encodeBase64url(bytes)
        expect(text).toBe(Buffer.from(bytes).toString('base64url'))
        expect(decodeBase64url(text)).toEqual(bytes)
      }),
      { seed: SEED, numRuns: 300 },
    )
  })

  it('has one text per byte sequence', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40, unit: 'grapheme' }), (text) => {
        const bytes = decodeBase64url(text)
        if (bytes !== undefined) expect(encodeBase64url(bytes)).toBe(text)
      }),
      { seed: SEED, numRuns: 500 },
    )
    for (const text of ['A', 'AB', 'AAF', 'AA==', 'A+', 'A/', 'A A', 'é', 'AA\n']) {
      expect(decodeBase64url(text), text).toBeUndefined()
    }
    expect(decodeBase64url('')).toEqual(new Uint8Array())
  })
})
