import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createSealing, type SealedPlace, sealedOwner } from './sealing.ts'

const runtime = createTestRuntime()
const OLD = new Uint8Array(32).fill(1)
const NEW = new Uint8Array(32).fill(2)
const place: fc.Arbitrary<SealedPlace> = fc.record({
  tenant: fc.string(),
  kind: fc.string(),
  id: fc.string(),
  column: fc.string(),
  purpose: fc.string(),
})
const sealing = createSealing([NEW, OLD], runtime)

describe('sealing', () => {
  it('opens what it sealed, for its owner', () => {
    fc.assert(
      fc.property(place, fc.string({ unit: 'binary' }), (owner, text) => {
        const wellFormed = text.toWellFormed()
        const { sealed, keyId } = sealing.seal(wellFormed, sealedOwner(owner))
        expect(sealing.open(sealed, keyId, sealedOwner(owner))).toBe(wellFormed)
      }),
    )
  })

  it('J7, SEC-06: refuses a value moved to any other tenant, kind, row, column or purpose', () => {
    fc.assert(
      fc.property(place, place, (owner, other) => {
        const { sealed, keyId } = sealing.seal('secret', sealedOwner(owner))
        for (const part of ['tenant', 'kind', 'id', 'column', 'purpose'] as const) {
          const moved = { ...owner, [part]: other[part] }
          const opened = sealing.open(sealed, keyId, sealedOwner(moved))
          expect(opened).toBe(other[part] === owner[part] ? 'secret' : undefined)
        }
      }),
    )
  })

  it('I2: names two places alike only when they are one', () => {
    fc.assert(
      fc.property(place, place, (one, two) => {
        const same = Object.values(one).join('\0') === Object.values(two).join('\0')
        if (!same) expect(sealedOwner(one)).not.toBe(sealedOwner(two))
      }),
    )
    const parts = { kind: 'k', column: 'c', purpose: 'p' }
    expect(sealedOwner({ tenant: 'a1:b', id: '', ...parts })).not.toBe(
      sealedOwner({ tenant: 'a', id: '1:b', ...parts }),
    )
  })

  it('J7: refuses a value with any byte or character changed, or cut', () => {
    const { sealed, keyId } = sealing.seal('secret', 'owner')
    const bytes = Buffer.from(sealed, 'base64url')
    for (let at = 0; at < bytes.length; at += 1) {
      const flipped = Buffer.from(bytes)
      flipped[at] = (flipped[at] ?? 0) ^ 1
      expect(sealing.open(flipped.toString('base64url'), keyId, 'owner')).toBeUndefined()
      expect(
        sealing.open(bytes.subarray(0, at).toString('base64url'), keyId, 'owner'),
      ).toBeUndefined()
    }
    for (let at = 0; at < sealed.length; at += 1) {
      const other = sealed[at] === 'A' ? 'B' : 'A'
      const changed = sealed.slice(0, at) + other + sealed.slice(at + 1)
      expect(sealing.open(changed, keyId, 'owner')).toBeUndefined()
    }
  })

  it('SEC-07: seals with the first key and opens with all', () => {
    const before = createSealing([OLD], runtime)
    const { sealed, keyId } = before.seal('secret', 'owner')
    expect(sealing.open(sealed, keyId, 'owner')).toBe('secret')
    const after = sealing.seal('secret', 'owner')
    expect(after.keyId).toBe(sealing.primaryKeyId)
    expect(after.keyId).not.toBe(keyId)
    expect(before.open(after.sealed, after.keyId, 'owner')).toBeUndefined()
    expect(before.open(after.sealed, keyId, 'owner')).toBeUndefined()
    expect(sealing.keyIds).toHaveLength(2)
  })

  it('J8: refuses to seal more than one key may', () => {
    const counted = createSealing([OLD], runtime, { sealsMax: 2 })
    counted.seal('1', 'o')
    counted.seal('2', 'o')
    expect(() => counted.seal('3', 'o')).toThrow('ERR_CONFIG_SEALING_KEY')
  })

  it('takes 32-byte keys only, and at least one', () => {
    expect(() => createSealing([], runtime)).toThrow(TypeError)
    expect(() => createSealing([new Uint8Array(31)], runtime)).toThrow(TypeError)
  })

  it('digests by purpose, and not without the key', () => {
    const digest = sealing.digest('token', 'a')
    expect(digest).toBe(sealing.digest('token', 'a'))
    expect(
      new Set([
        digest,
        sealing.digest('token', 'b'),
        sealing.digest('token2', 'a'),
        runtime.sha256('token'),
      ]).size,
    ).toBe(4)
    expect(createSealing([OLD], runtime).digest('token', 'a')).not.toBe(digest)
  })
})
