import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JSON_DEPTH_MAX, parseJson } from './json.ts'

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

describe('parseJson', () => {
  it('S6: reads every JSON value as JSON.parse does', () => {
    const values = fc.jsonValue({ maxDepth: 8, stringUnit: 'grapheme' })
    fc.assert(
      fc.property(values, fc.constantFrom(undefined, 2, '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent)
        expect(plain(parseJson(text))).toEqual(JSON.parse(text))
      }),
    )
  })

  it('S6: accepts only what JSON.parse accepts', () => {
    const soup = fc.string({
      unit: fc.constantFrom(...'{}[]",:\\u0041e+-.ntrfalsE \n\u0001\u00e9'),
      maxLength: 24,
    })
    fc.assert(
      fc.property(soup, (text) => {
        let ours: unknown
        try {
          ours = parseJson(text)
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError)
          return
        }
        expect(plain(ours)).toEqual(plain(JSON.parse(text)))
      }),
      { numRuns: 3_000 },
    )
  })

  it.each([
    ['a duplicate member', '{"issuer":"a","issuer":"b"}'],
    ['a duplicate member behind an escape', '{"a":1,"\\u0061":2}'],
    ['a duplicate __proto__', '{"__proto__":1,"__proto__":2}'],
    ['trailing data', '{} {}'],
    ['a second value', '1 2'],
    ['a trailing comma', '[1,]'],
    ['an empty text', ''],
    ['a byte order mark', '\ufeff{}'],
    ['a number without end', '1e999'],
    ['a leading zero', '01'],
    ['NaN', 'NaN'],
    ['a raw control character', '"a\u0000b"'],
    ['an escaped NUL', '"a\\u0000b"'],
    ['half a surrogate pair', '"\\ud800"'],
    ['a single-quoted string', "'a'"],
    ['a comment', '{}//'],
    ['an open string', '"a'],
    ['an open object', '{"a":1'],
    ['an unknown escape', '"\\x41"'],
    ['an escape named like a member of Object', '"\\c"'],
  ])('S6: refuses %s', (_, text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError)
  })

  it('NET-04, S6: refuses nesting beyond the limit, at the limit plus one and at a hundred thousand', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
    expect(() => parseJson(nested(JSON_DEPTH_MAX))).not.toThrow()
    expect(() => parseJson(nested(JSON_DEPTH_MAX + 1))).toThrow(SyntaxError)
    expect(() => parseJson('{"a":'.repeat(100_000))).toThrow(SyntaxError)
    expect(() => parseJson('[[1]]', { maxDepth: 1 })).toThrow(SyntaxError)
  })

  it('S6: keeps prototypes clean', () => {
    const value = parseJson(
      '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}',
    )
    expect(Object.getPrototypeOf(value)).toBeNull()
    expect(Object.keys(value as object)).toEqual(['__proto__', 'constructor'])
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
  })

  it('never repeats the text in its error', () => {
    expect(() => parseJson('{"token":"s3cret"')).toThrow(/^JSON refused at \d+: [a-z ]+$/)
  })
})
