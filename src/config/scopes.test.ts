import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.ts'
import { parseConfig } from './parse.ts'

const parse = (connector: Record<string, unknown>, rest: Record<string, unknown> = {}) =>
  parseConfig(
    {
      providers: [{ type: 'github', clientId: 'a', clientSecret: 'b' }],
      connectors: { notes: { url: 'http://127.0.0.1:8000/mcp', ...connector } },
      ...rest,
    },
    { environment: {} },
  ).connectors[0]

const problem = (connector: Record<string, unknown>): string => {
  try {
    parse(connector)
  } catch (error) {
    if (error instanceof ConfigError) return error.message.replace('\n', ' ')
    throw error
  }
  return ''
}

describe('scopes of a connector', () => {
  it('reads the table of flows.md section 3', () => {
    const connector = parse({
      scopes: {
        'notes:read': { tools: ['list_*'] },
        'notes:write': {
          title: 'Change notes',
          tools: ['create_*', 'delete_note'],
          methods: ['resources/subscribe'],
          implies: ['notes:read'],
          upstream: { github: ['repo'] },
        },
      },
    })
    expect(connector?.scopes?.names).toEqual(['mcp', 'notes:read', 'notes:write'])
    expect(connector?.scopes?.rules[1]).toEqual({
      name: 'notes:write',
      title: 'Change notes',
      tools: ['create_*', 'delete_note'],
      methods: ['resources/subscribe'],
      implies: ['notes:read'],
      upstream: { github: ['repo'] },
    })
    expect(parse({})?.scopes).toBeUndefined()
  })

  it('AZ-13: refuses at start what could grant by mistake', () => {
    const rows: readonly (readonly [scopes: unknown, says: RegExp])[] = [
      [{}, /at least one/],
      [[], /object/],
      [{ 'a b': { tools: ['x'] } }, /RFC 6749/],
      [{ 'a"b': { tools: ['x'] } }, /RFC 6749/],
      [{ ä: { tools: ['x'] } }, /RFC 6749/],
      [{ '': { tools: ['x'] } }, /RFC 6749/],
      [{ offline_access: { tools: ['x'] } }, /another name/],
      [{ openid: { tools: ['x'] } }, /another name/],
      [{ a: { tools: ['x'], implies: ['b'] } }, /no b/],
      [{ read: { tools: ['x'] }, a: { tools: ['y'], implies: ['raed'] } }, /Did you mean read/],
      [{ a: { tool: ['x'] } }, /Did you mean .*tools/],
      [{ a: {} }, /good for something/],
      [{ a: { title: 'A' } }, /good for something/],
      [{ a: { tools: ['cre*te'] } }, /prefix/],
      [{ a: { tools: [''] } }, /prefix/],
      [{ a: { methods: ['*/list'] } }, /prefix/],
      [{ a: { tools: ['x'.repeat(257)] } }, /prefix/],
      [{ a: { tools: Array.from({ length: 257 }, (_, at) => `t${at}`) } }, /at most 256/],
      [{ mcp: { tools: ['x'] } }, /mcp is for what no other scope names/],
      [
        { a: { tools: ['x'], upstream: { okta: ['repo'] } } },
        /okta is none.*Providers here: github/,
      ],
      [{ a: { tools: ['x'], upstream: { github: [] } } }, /scopes of that provider/],
      [{ a: { tools: ['x'], upstream: { github: ['a b', 'c d'] } } }, /scopes of that provider/],
    ]
    for (const [scopes, says] of rows) {
      expect(problem({ scopes }), JSON.stringify(scopes)?.slice(0, 80)).toMatch(says)
    }
    const many = Object.fromEntries(
      Array.from({ length: 64 }, (_, at) => [`s${at}`, { tools: ['x'] }]),
    )
    expect(problem({ scopes: many })).toMatch(/at most 63/)
  })

  it('allows cycles, and titles and implications for mcp itself', () => {
    const table = parse({
      scopes: {
        mcp: { title: 'Use notes', implies: ['a'] },
        a: { tools: ['x'], implies: ['b'] },
        b: { tools: ['y'], implies: ['a', 'mcp'] },
      },
    })?.scopes
    expect(table?.names).toEqual(['mcp', 'a', 'b'])
    expect([...(table?.reach.get('a') ?? [])].sort()).toEqual(['a', 'b', 'mcp'])
  })
})

describe('step-up of a connector', () => {
  it('PR-17: reads how fresh and how strong a sign-in must be', () => {
    expect(parse({})?.stepUp).toBeUndefined()
    expect(parse({ maxAuthAgeSeconds: 300 })?.stepUp).toEqual({ maxAuthAgeSeconds: 300 })
    expect(parse({ acrValues: ['phr', 'urn:mace:gold'] })?.stepUp).toEqual({
      acrValues: ['phr', 'urn:mace:gold'],
    })
    for (const wrong of [
      { maxAuthAgeSeconds: 0 },
      { maxAuthAgeSeconds: -1 },
      { maxAuthAgeSeconds: 1.5 },
      { maxAuthAgeSeconds: 'soon' },
      { acrValues: [] },
      { acrValues: ['a b'] },
      { acrValues: ['a"b'] },
      { acrValues: Array.from({ length: 17 }, (_, at) => `a${at}`) },
    ]) {
      expect(problem(wrong), JSON.stringify(wrong)).toMatch(
        /^ERR_CONFIG_VALUE: connectors.notes.(max|acr)/,
      )
    }
  })
})
