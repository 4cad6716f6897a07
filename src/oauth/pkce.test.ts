import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkFamily, SEED } from '../../test/kit/family.ts'
import { createTestRuntime } from '../../test/kit/runtime.ts'
import { createVerifier, isCodeChallenge, isCodeVerifier, matchesChallenge, s256 } from './pkce.ts'

const runtime = createTestRuntime()
// RFC 7636 appendix B.
const VERIFIER = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'

const BAD_BOTH = [
  '',
  'a',
  'a'.repeat(42),
  'a'.repeat(129),
  'a'.repeat(10_000),
  `${'a'.repeat(42)}=`,
  `${'a'.repeat(42)}+`,
  `${'a'.repeat(42)}/`,
  `${'a'.repeat(42)} `,
  ` ${'a'.repeat(42)}`,
  `${'a'.repeat(43)}\n`,
  `\n${'a'.repeat(43)}`,
  `${'a'.repeat(43)}\0`,
  `${'a'.repeat(42)}é`,
  `${'a'.repeat(42)}％`,
  `${'a'.repeat(42)}%`,
  `${'a'.repeat(42)}"`,
  `${'a'.repeat(42)}\\`,
  `${'a'.repeat(42)}\ud800`,
  `${'a'.repeat(42)}К`,
  `${'a'.repeat(42)},`,
  `${'a'.repeat(42)}:`,
  `${VERIFIER}=`,
  `${VERIFIER}==`,
  `"${VERIFIER}"`,
  `${VERIFIER}\r\n`,
  `${VERIFIER},${VERIFIER}`,
  `${VERIFIER} S256`,
  '{}',
  'null',
  'undefined',
  '[object Object]',
  'S256',
  'plain',
]

describe('PKCE', () => {
  it('TOK-06: S256 of RFC 7636 appendix B', () => {
    expect(s256(VERIFIER, runtime)).toBe(CHALLENGE)
    expect(matchesChallenge(VERIFIER, CHALLENGE, runtime)).toBe(true)
  })

  it('AZ-05: a challenge is 43 base64url characters', () => {
    expect(isCodeChallenge(CHALLENGE)).toBe(true)
    for (const text of [
      'a'.repeat(44),
      'a'.repeat(128),
      `${'a'.repeat(42)}.`,
      `${'a'.repeat(42)}~`,
    ]) {
      expect(isCodeChallenge(text), text).toBe(false)
    }
  })

  it('CLI-06: our verifiers have 256 bits, fit the grammar and differ', () => {
    const made = new Set(Array.from({ length: 200 }, () => createVerifier(runtime)))
    expect(made.size).toBe(200)
    for (const verifier of made) {
      expect(isCodeVerifier(verifier)).toBe(true)
      expect(isCodeChallenge(s256(verifier, runtime))).toBe(true)
    }
  })

  it('B19: 60 values outside the grammar are neither challenge nor verifier, nor match their own hash', async () => {
    const odd = Array.from(
      { length: 60 - BAD_BOTH.length },
      (_, at) =>
        `${'a'.repeat(20)}${String.fromCharCode(at < 22 ? at + 14 : at + 0x100)}${'a'.repeat(22)}`,
    )
    await checkFamily('B19', [...BAD_BOTH, ...odd], (text) => {
      expect(isCodeVerifier(text)).toBe(false)
      expect(isCodeChallenge(text)).toBe(false)
      expect(matchesChallenge(text, runtime.sha256(text), runtime)).toBe(false)
      expect(matchesChallenge(VERIFIER, text, runtime)).toBe(false)
    })
    expect(BAD_BOTH.length + odd.length).toBeGreaterThanOrEqual(60)
  })

  it('A6: plain never matches', () => {
    expect(matchesChallenge(VERIFIER, VERIFIER, runtime)).toBe(false)
  })

  it('B19: accepts exactly the grammar', () => {
    const unreserved = fc.constantFrom(...'ABCZabcz019-._~')
    fc.assert(
      fc.property(fc.array(unreserved, { minLength: 40, maxLength: 131 }), (characters) => {
        const text = characters.join('')
        expect(isCodeVerifier(text)).toBe(text.length >= 43 && text.length <= 128)
        expect(isCodeChallenge(text)).toBe(text.length === 43 && !/[.~]/.test(text))
      }),
      { seed: SEED, numRuns: 300 },
    )
  })
})
