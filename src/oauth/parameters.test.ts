import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  anyText,
  checkFamily,
  createDraw,
  errorOf,
  outcomeOf,
  SEED,
} from '../../test/kit/family.ts'
import { PARAMETERS_MAX, PARAMETERS_MAX_BYTES, Parameters } from './parameters.ts'

const NAMES = [
  'client_id',
  'state',
  'scope',
  'code',
  'redirect_uri',
  'foo',
  '__proto__',
  'constructor',
]

describe('Parameters', () => {
  it('AZ-07: gives values exactly as they were sent', () => {
    fc.assert(
      fc.property(
        anyText.filter((text) => text !== ''),
        (value) => {
          const usable = value.isWellFormed() && !value.includes('\0')
          const text = `state=${usable ? encodeURIComponent(value) : value}`
          const read = outcomeOf(() => Parameters.parse(text).get('state'))
          if (usable) expect(read).toBe(value)
        },
      ),
      { seed: SEED, numRuns: 500 },
    )
    const form = new URLSearchParams({ state: 'a b+c%d&e=é😀', scope: 'x y' }).toString()
    expect(Parameters.parse(form).get('state')).toBe('a b+c%d&e=é😀')
    expect(Parameters.parse('state=a=b=c').get('state')).toBe('a=b=c')
  })

  it('SEC-18: refuses any repeated parameter but resource', () => {
    for (const name of NAMES) {
      for (const pair of [
        `${name}=a&${name}=a`,
        `${name}=a&x=1&${name}=b`,
        `${name}=&${name}=b`,
        `${name}&${name}`,
      ]) {
        expect(
          errorOf(() => Parameters.parse(pair)),
          pair,
        ).toBe('invalid_request')
      }
    }
    expect(errorOf(() => Parameters.parse('client_id=a&client%5Fid=b'))).toBe('invalid_request')
    expect(Parameters.parse('resource=a&resource=&resource=b').all('resource')).toEqual(['a', 'b'])
  })

  it('SEC-17: keeps out of the way of unknown names, also those of Object.prototype', () => {
    const parameters = Parameters.parse('foo=bar&__proto__=x&constructor=y&=z&&client_id=c')
    expect(parameters.get('client_id')).toBe('c')
    expect(parameters.get('toString')).toBeUndefined()
    expect(parameters.get('__proto__')).toBe('x')
  })

  it('treats an empty value as absent (RFC 6749 section 3.1)', () => {
    const parameters = Parameters.parse('state=&scope&nonce=0')
    expect(parameters.has('state')).toBe(false)
    expect(parameters.get('scope')).toBeUndefined()
    expect(parameters.has('nonce')).toBe(true)
    expect(Parameters.parse('').get('x')).toBeUndefined()
  })

  it('is bounded at its limits', () => {
    const many = (count: number): string =>
      Array.from({ length: count }, (_, index) => `p${index}=1`).join('&')
    expect(Parameters.parse(many(PARAMETERS_MAX)).get('p63')).toBe('1')
    expect(errorOf(() => Parameters.parse(many(PARAMETERS_MAX + 1)))).toBe('invalid_request')
    expect(errorOf(() => Parameters.parse(`${'&'.repeat(PARAMETERS_MAX)}a=1&a=2`))).toBe(
      'invalid_request',
    )
    const long = (length: number): string => `a=${'x'.repeat(length - 2)}`
    expect(Parameters.parse(long(PARAMETERS_MAX_BYTES)).has('a')).toBe(true)
    const refusal = outcomeOf(() => Parameters.parse(long(PARAMETERS_MAX_BYTES + 1)))
    expect(refusal).toMatchObject({ error: 'invalid_request', status: 413 })
    expect(errorOf(() => Parameters.parse(long(PARAMETERS_MAX_BYTES * 100)))).toBe(
      'invalid_request',
    )
  })

  it('B5: answers 250 repeated, empty, oversized and broken bodies with invalid_request or a value', async () => {
    const draw = createDraw()
    const pieces = [
      'a=1',
      'a=2',
      'a',
      '=',
      '&',
      'a=%',
      'a=%zz',
      'a=%ff',
      'a=%C3',
      'a=%00',
      'a=\ud800',
      '%61=3',
      'resource=x',
      'b=+',
      'c=%2B',
      'a=%ED%A0%80',
      'd=%c3%a9',
      '%=1',
    ]
    const broken = /%(?![0-9a-f]{2})|%ff|%C3(?!%a9)|%00|\ud800|%ED%A0/i
    const bodies = Array.from({ length: 250 }, () =>
      Array.from({ length: 1 + draw.whole(5) }, () => draw.pick(pieces)).join('&'),
    )
    await checkFamily('B5', bodies, (body) => {
      const names = body
        .split('&')
        .filter(Boolean)
        .map((pair) => pair.split('=')[0]?.replace('%61', 'a'))
      const repeated = names.some((name, at) => name !== 'resource' && names.indexOf(name) !== at)
      const error = errorOf(() => Parameters.parse(body))
      expect(error).toBe(repeated || broken.test(body) ? 'invalid_request' : undefined)
    })
  })

  it('never throws anything but OAuthError', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        outcomeOf(() => Parameters.parse(text))
        outcomeOf(() => Parameters.parse(text.replaceAll(' ', '%').replaceAll('a', '&')))
      }),
      { seed: SEED, numRuns: 1_000 },
    )
  })
})
