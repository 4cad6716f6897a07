import { describe, expect, it } from 'vitest'
import { parseChallenges } from './www-authenticate.ts'

const read = (...values: string[]) =>
  parseChallenges(values)?.map(({ scheme, token68, parameters }) => ({
    scheme,
    ...(token68 === undefined ? {} : { token68 }),
    ...Object.fromEntries(parameters),
  }))

describe('parseChallenges', () => {
  it.each([
    ['Bearer', [{ scheme: 'bearer' }]],
    ['Bearer realm="x"', [{ scheme: 'bearer', realm: 'x' }]],
    [
      'Basic realm="simple", Bearer resource_metadata="https://h/m", scope="a b"',
      [
        { scheme: 'basic', realm: 'simple' },
        { scheme: 'bearer', resource_metadata: 'https://h/m', scope: 'a b' },
      ],
    ],
    [
      'Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"',
      [
        { scheme: 'newauth', realm: 'apps', type: '1', title: 'Login to "apps"' },
        { scheme: 'basic', realm: 'simple' },
      ],
    ],
    ['Bearer realm="a, Basic b=c"', [{ scheme: 'bearer', realm: 'a, Basic b=c' }]],
    ['BEARER ERROR = "x" ,\tScope=read', [{ scheme: 'bearer', error: 'x', scope: 'read' }]],
    ['Negotiate YWJj==', [{ scheme: 'negotiate', token68: 'YWJj==' }]],
    [
      'Negotiate YWJj, Bearer a=b',
      [
        { scheme: 'negotiate', token68: 'YWJj' },
        { scheme: 'bearer', a: 'b' },
      ],
    ],
    ['NTLM, Bearer a=b', [{ scheme: 'ntlm' }, { scheme: 'bearer', a: 'b' }]],
    [', ,Bearer a=b, ,', [{ scheme: 'bearer', a: 'b' }]],
    ['Bearer a=b,, c=d', [{ scheme: 'bearer', a: 'b', c: 'd' }]],
    ['Bearer a=""', [{ scheme: 'bearer', a: '' }]],
    ['', []],
  ])('DSC-02: reads %s', (value, challenges) => {
    expect(read(value)).toEqual(challenges)
  })

  it('DSC-02: several fields are one list', () => {
    expect(read('Basic realm="a"', 'Bearer scope="b"')).toEqual([
      { scheme: 'basic', realm: 'a' },
      { scheme: 'bearer', scope: 'b' },
    ])
    expect(read()).toEqual([])
  })

  it.each([
    'Bearer realm="x',
    'Bearer realm="x\\',
    'Bearer realm="x" scope="y"',
    'Bearer a=b c=d',
    'Bearer a=b, A=c',
    'Bearer a=, b=c',
    'Bearer =b',
    'Bearer a b',
    'Bea(rer a=b',
    '"Bearer" a=b',
    'Bearer a="b"c',
    'Bearer\ta=b',
    'Bearer a="\u0001"',
    'Bearer a="\r\nX: y"',
    `Bearer a="${'x'.repeat(20_000)}"`,
    Array.from({ length: 40 }, (_, index) => `S${index} a=b`).join(', '),
    `Bearer ${Array.from({ length: 80 }, (_, index) => `p${index}=x`).join(', ')}`,
  ])('DSC-02: believes nothing of %s', (value) => {
    expect(parseChallenges([value])).toBeUndefined()
  })
})
