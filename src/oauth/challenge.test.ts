import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, checkFamily, SEED } from '../../test/kit/family.ts'
import {
  AUTHORIZATION_MAX_CHARS,
  challenge,
  dpopChallenge,
  readBearer,
  readDpop,
} from './challenge.ts'

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

describe('DPoP', () => {
  it('EXT-05: reads the token of a DPoP credential and of nothing else', () => {
    for (const good of ['DPoP abc.def-_~+/==', 'dpop  abc', 'DPOP abc'])
      expect(readDpop(good)).toBe(good.split(/ +/)[1])
    for (const bad of [
      undefined,
      '',
      'DPoP',
      'DPoP ',
      'DPoP a b',
      'DPoP a,b',
      'DPoPabc',
      'Bearer dpop abc',
      ' DPoP abc',
      'DPoP a=b',
    ])
      expect(readDpop(bad), bad).toBeUndefined()
  })

  it('EXT-05: the challenge names the metadata, the error and the algorithms', () => {
    expect(dpopChallenge(resourceMetadata, 'use_dpop_nonce')).toMatch(
      /^DPoP resource_metadata="https:\/\/h\/\.well-known\/oauth-protected-resource\/mcp", error="use_dpop_nonce", algs="[\w ]+"$/,
    )
    expect(() => dpopChallenge('https://h/"x', 'invalid_token')).toThrow(
      new TypeError('resourceMetadata'),
    )
  })
})
