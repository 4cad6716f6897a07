import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, SEED } from '../../test/kit/family.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { formatCode, parseCode } from './code.ts'

const runtime = createTestRuntime()
const random = (): Uint8Array => runtime.randomBytes(32)

describe('authorization code', () => {
  it('AZ-06, SEC-11: names its grant and carries 256 random bits', () => {
    const code = formatCode({ grantId: 'grt_01', random: random() })
    expect(parseCode(code)).toEqual({ grantId: 'grt_01' })
    expect(code).toMatch(/^ptc_grt_01\.[\w-]{43}$/)
    expect(formatCode({ grantId: 'grt_01', random: random() })).not.toBe(code)
  })

  it('refuses parts that our own code got wrong', () => {
    expect(() => formatCode({ grantId: 'a.b', random: random() })).toThrow(TypeError)
    expect(() => formatCode({ grantId: '', random: random() })).toThrow(TypeError)
    expect(() => formatCode({ grantId: 'a', random: random().subarray(1) })).toThrow(TypeError)
  })

  it('A7: round trip, no near miss has the form, never throws', () => {
    const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/)
    fc.assert(
      fc.property(id, anyText, fc.nat(200), (grantId, junk, at) => {
        const code = formatCode({ grantId, random: random() })
        expect(parseCode(code)).toEqual({ grantId })
        const cut = at % code.length
        for (const other of [
          `${code}A`,
          ` ${code}`,
          `${code}\n`,
          code.slice(0, -1),
          code.slice(1),
          `${code}=`,
          code.toUpperCase(),
        ]) {
          expect(parseCode(other)).toBeUndefined()
        }
        expect(parseCode(`${code.slice(0, cut)}\0${code.slice(cut + 1)}`)).toBeUndefined()
        expect(parseCode(junk)).toBeUndefined()
      }),
      { seed: SEED, numRuns: 200 },
    )
  })
})
