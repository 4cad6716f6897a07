import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, checkFamily, SEED } from '../../test/kit/family.ts'
import { AUTHORIZATION_MAX_CHARS, challenge, readBearer } from './challenge.ts'

const resourceMetadata = 'https://h/.well-known/oauth-protected-resource/mcp'

describe('readBearer', () => {
  it('PR-13: takes the scheme name in any letter case', () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR']) {
      expect(readBearer(`${scheme} abc.def-_~+/==`)).toEqual({
        kind: 'bearer',
        token: 'abc.def-_~+/==',
      })
    }
    expect(readBearer('Bearer   abc')).toEqual({ kind: 'bearer', token: 'abc' })
  })

  it('PR-08: tells absent credentials and other schemes from bad ones', () => {
    expect(readBearer(undefined)).toEqual({ kind: 'absent' })
    expect(readBearer('')).toEqual({ kind: 'absent' })
    for (const other of ['Basic abc', 'DPoP abc', 'Bearerabc', 'Negotiate', 'Bearer-x y']) {
      expect(readBearer(other), other).toEqual({ kind: 'other' })
    }
  })

  it('PR-12: a malformed header or two tokens are malformed', async () => {
    const bad = [
      'Bearer',
      'Bearer ',
      'bearer\tabc',
      'Bearer a b',
      'Bearer a, Bearer b',
      'Bearer a,b',
      'Bearer a;b',
      'Bearer "a"',
      'Bearer a=b',
      'Bearer =',
      'Bearer é',
      'Bearer a\0',
      'Bearer a\n',
      'Bearer a\r\nx: y',
      ' Bearer a',
      'Bearer a ',
      ',Bearer a',
      '"Bearer" a',
      'Bearer: a',
      '(Bearer) a',
      'Bearer token="a"',
      `Bearer ${'a'.repeat(AUTHORIZATION_MAX_CHARS)}`,
    ].filter((text) => text !== 'Bearer: a')
    await checkFamily('PR-12', bad, (text) =>
      expect(readBearer(text)).toEqual({ kind: 'malformed' }),
    )
    expect(readBearer('Bearer: a').kind).toBe('malformed')
  })

  it('never throws, and gives only what can stand in a header', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        for (const header of [text, `Bearer ${text}`]) {
          const bearer = readBearer(header)
          if (bearer.kind === 'bearer') expect(bearer.token).toMatch(/^[\w.~+/-]+=*$/)
        }
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})

describe('challenge', () => {
  it('PR-07, PR-08: without credentials names document and scope, and no error', () => {
    expect(challenge({ resourceMetadata, scope: 'mcp' })).toBe(
      `Bearer resource_metadata="${resourceMetadata}", scope="mcp"`,
    )
    expect(challenge({ resourceMetadata })).toBe(`Bearer resource_metadata="${resourceMetadata}"`)
  })

  it('PR-09, PR-10: names the error and all scopes of the operation', () => {
    const text = challenge({
      resourceMetadata,
      scope: 'a b',
      error: 'insufficient_scope',
      description: 'needs b',
    })
    expect(text).toBe(
      `Bearer resource_metadata="${resourceMetadata}", scope="a b", error="insufficient_scope", error_description="needs b"`,
    )
  })

  it('S11: nothing leaves its quotes', () => {
    const text = challenge({
      resourceMetadata,
      error: 'invalid_token',
      description: 'a"b\\c\r\nX: y\0é',
    })
    expect(text).toContain(`error_description="a'b?c??X: y??"`)
    for (const bad of ['https://h/"', 'https://h/\r\n', 'https://h/\\']) {
      expect(() => challenge({ resourceMetadata: bad })).toThrow(TypeError)
    }
  })
})
