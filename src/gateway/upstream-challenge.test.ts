import { describe, expect, it } from 'vitest'
import { asksForScopes, readUpstreamChallenge } from './upstream-challenge.ts'

describe('what a server says with its refusal', () => {
  it('GW-24: scopes, error and the place of metadata are read, by grammar', () => {
    expect(
      readUpstreamChallenge(
        'Basic realm="a, Bearer error=\\"x\\"", Bearer error="insufficient_scope", scope="a b a", resource_metadata="https://s.example/rm"',
      ),
    ).toEqual({
      error: 'insufficient_scope',
      scopes: ['a', 'b'],
      resourceMetadata: 'https://s.example/rm',
    })
    expect(readUpstreamChallenge(['Basic realm="x"', 'bearer scope=one']).scopes).toEqual(['one'])
  })

  it('B24: what does not parse, is no Bearer or is too long says nothing', () => {
    const nothing = { scopes: [] }
    const odd = [
      undefined,
      null,
      '',
      [],
      'Bearer error="',
      'Basic scope="a"',
      `Bearer error="insufficient_scope", scope="a", x="${'x'.repeat(8_192)}"`,
    ]
    for (const value of odd) expect(readUpstreamChallenge(value)).toEqual(nothing)
    const many = Array.from({ length: 400 }, (_, at) => `s${at}`).join(' ')
    expect(readUpstreamChallenge(`Bearer scope="${many}"`).scopes).toHaveLength(50)
    const long = `Bearer scope="${'y'.repeat(257)} ok", resource_metadata="https://a.example/${'y'.repeat(2_048)}"`
    expect(readUpstreamChallenge(long)).toEqual({ scopes: ['ok'] })
  })

  it('CLI-09: only insufficient_scope asks for scopes', () => {
    expect(asksForScopes(readUpstreamChallenge('Bearer error="insufficient_scope"'))).toBe(true)
    for (const value of [
      'Bearer error="invalid_token"',
      'Bearer scope="a"',
      'DPoP error="insufficient_scope"',
    ])
      expect(asksForScopes(readUpstreamChallenge(value))).toBe(false)
  })
})
