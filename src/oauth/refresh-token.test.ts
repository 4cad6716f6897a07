import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, SEED } from '../../test/kit/family.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import {
  formatRefreshToken,
  openSuccessor,
  parseRefreshToken,
  sealSuccessor,
} from './refresh-token.ts'

const runtime = createTestRuntime()
const tagKey = runtime.randomBytes(32)
const make = (grantId: string, generation: number): string =>
  formatRefreshToken({ grantId, generation, random: runtime.randomBytes(32), tagKey, runtime })
const parse = (text: string): unknown => parseRefreshToken(text, tagKey, runtime)

describe('refresh token', () => {
  it('TOK-18, SEC-11: carries grant, generation and 256 random bits', () => {
    const token = make('grt_1', 7)
    expect(parse(token)).toEqual({ grantId: 'grt_1', generation: 7 })
    expect(token).toMatch(/^ptr_grt_1\.7\.[\w-]{43}\.[\w-]{22}$/)
    expect(make('grt_1', 7)).not.toBe(token)
  })

  it('SF14: a token with a tag of another key, or parts of two tokens, is nobody’s', () => {
    const token = make('grt_1', 7)
    expect(parseRefreshToken(token, runtime.randomBytes(32), runtime)).toBeUndefined()
    const [, , random, tag] = token.split('.')
    for (const forged of [
      `ptr_grt_2.7.${random}.${tag}`,
      `ptr_grt_1.8.${random}.${tag}`,
      `ptr_grt_1.07.${random}.${tag}`,
    ]) {
      expect(parse(forged), forged).toBeUndefined()
    }
  })

  it('A8: no change of one character is accepted; never throws', () => {
    const alphabet = [...'AZaz09-_.~ \0é']
    fc.assert(
      fc.property(
        fc.nat(999_999_999),
        fc.nat(300),
        fc.constantFrom(...alphabet),
        anyText,
        (generation, at, character, junk) => {
          const token = make('grt_abc', generation)
          expect(parse(token)).toEqual({ grantId: 'grt_abc', generation })
          const cut = at % token.length
          const changed = token.slice(0, cut) + character + token.slice(cut + 1)
          if (changed !== token) expect(parse(changed)).toBeUndefined()
          expect(parse(token.slice(0, cut))).toBeUndefined()
          expect(parse(token.slice(0, cut) + character + token.slice(cut))).toBeUndefined()
          expect(parse(junk)).toBeUndefined()
        },
      ),
      { seed: SEED, numRuns: 300 },
    )
  })

  it('refuses parts that our own code got wrong', () => {
    expect(() => make('a.b', 1)).toThrow(TypeError)
    expect(() => make('a', -1)).toThrow(TypeError)
    expect(() => make('a', 1.5)).toThrow(TypeError)
    expect(() => make('a', 1_000_000_000)).toThrow(TypeError)
  })

  it('TOK-20, SEC-05: only the presented token opens its sealed successor, and only at its place', () => {
    const presented = make('grt_1', 1)
    const sealed = sealSuccessor(presented, 'successor', 'default grt_1', runtime)
    expect(openSuccessor(presented, sealed, 'default grt_1', runtime)).toBe('successor')
    expect(openSuccessor(make('grt_1', 1), sealed, 'default grt_1', runtime)).toBeUndefined()
    expect(openSuccessor(presented, sealed, 'default grt_2', runtime)).toBeUndefined()
    expect(openSuccessor(presented, `${sealed}A`, 'default grt_1', runtime)).toBeUndefined()
    expect(sealed).not.toContain('successor')
  })
})
