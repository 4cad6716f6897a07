import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SEED } from '../../test/kit/family.ts'
import {
  backedScopes,
  coversScopes,
  createScopeTable,
  neededScopes,
  type ScopeRule,
  upstreamScopes,
} from './scope-table.ts'

const rule = (name: string, rest: Partial<ScopeRule> = {}): ScopeRule => ({
  name,
  tools: [],
  methods: [],
  implies: [],
  upstream: {},
  ...rest,
})

const NOTES = createScopeTable([
  rule('notes:read', { tools: ['list_*', 'read_note'], methods: ['resources/read'] }),
  rule('notes:write', {
    tools: ['create_*', 'delete_note'],
    implies: ['notes:read'],
    upstream: { github: ['repo'] },
  }),
  rule('notes:admin', { tools: ['delete_*'], implies: ['notes:write', 'mcp'] }),
])

describe('what a call needs', () => {
  it('PR-10: every scope that matches, and `mcp` for what none names', () => {
    const needed = (method: string, tool?: string) => neededScopes(NOTES, { method, tool })
    expect(needed('tools/call', 'create_note')).toEqual(['notes:write'])
    expect(needed('tools/call', 'create_')).toEqual(['notes:write'])
    expect(needed('tools/call', 'delete_note')).toEqual(['notes:write', 'notes:admin'])
    expect(needed('tools/call', 'delete_notes')).toEqual(['notes:admin'])
    expect(needed('resources/read')).toEqual(['notes:read'])
    for (const [method, tool] of [
      ['tools/call', 'Create_note'],
      ['tools/call', 'create'],
      ['tools/call', 'read_notes'],
      ['tools/call', ''],
      ['resources/reads', undefined],
      ['resources/rea', undefined],
      ['tools/list', undefined],
      ['initialize', undefined],
    ] as const) {
      expect(needed(method, tool), `${method} ${tool}`).toEqual(['mcp'])
    }
    expect(neededScopes(NOTES, {})).toEqual(['mcp'])
  })

  it('PR-11: a broader scope satisfies a narrower need, over several steps, never the other way', () => {
    expect(coversScopes(NOTES, ['notes:write'], ['notes:read'])).toBe(true)
    expect(coversScopes(NOTES, ['notes:admin'], ['notes:read', 'notes:write', 'mcp'])).toBe(true)
    expect(coversScopes(NOTES, ['notes:read'], ['notes:write'])).toBe(false)
    expect(coversScopes(NOTES, ['notes:write'], ['mcp'])).toBe(false)
    expect(coversScopes(NOTES, ['mcp'], ['notes:read'])).toBe(false)
    expect(coversScopes(NOTES, [], ['mcp'])).toBe(false)
    expect(coversScopes(NOTES, ['notes', 'notes:', '__proto__'], ['notes:read'])).toBe(false)
  })

  it('PR-11: cycles end, and a scope reaches exactly what a walk from it reaches', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    const edges = fc.array(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...names)), {
      maxLength: 24,
    })
    fc.assert(
      fc.property(edges, (pairs) => {
        const table = createScopeTable(
          names.map((name) =>
            rule(name, { implies: pairs.filter(([from]) => from === name).map(([, to]) => to) }),
          ),
        )
        const reaches = new Set(names.map((name) => `${name}${name}`))
        for (const [from, to] of pairs) reaches.add(`${from}${to}`)
        for (const via of names) {
          for (const from of names) {
            for (const to of names) {
              const isReached = reaches.has(`${from}${via}`) && reaches.has(`${via}${to}`)
              if (isReached) reaches.add(`${from}${to}`)
            }
          }
        }
        for (const from of names) {
          for (const to of [...names, 'mcp']) {
            expect(coversScopes(table, [from], [to])).toBe(reaches.has(`${from}${to}`))
          }
        }
      }),
      { seed: SEED, numRuns: 200 },
    )
  })

  it('PR-11: more scopes never cover less, and a need is covered by itself', () => {
    const some = fc.subarray(['mcp', 'notes:read', 'notes:write', 'notes:admin', 'unknown'])
    fc.assert(
      fc.property(some, some, some, (granted, more, needed) => {
        if (coversScopes(NOTES, granted, needed)) {
          expect(coversScopes(NOTES, [...granted, ...more], needed)).toBe(true)
        }
        expect(coversScopes(NOTES, needed, needed)).toBe(true)
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})

describe('what a scope needs at a provider', () => {
  it('asks for it, also where a scope only implies the one that needs it', () => {
    expect(upstreamScopes(NOTES, ['notes:write'], 'github')).toEqual(['repo'])
    expect(upstreamScopes(NOTES, ['notes:admin'], 'github')).toEqual(['repo'])
    expect(upstreamScopes(NOTES, ['notes:read', 'mcp'], 'github')).toEqual([])
    expect(upstreamScopes(NOTES, ['notes:write'], 'okta')).toEqual([])
    expect(upstreamScopes(NOTES, ['notes:write'], '__proto__')).toEqual([])
    expect(upstreamScopes(undefined, ['notes:write'], 'github')).toEqual([])
  })

  it('O10: drops ours that lack theirs, and never adds one because the provider gave more', () => {
    const backed = (scopes: readonly string[], granted: readonly string[]) =>
      backedScopes(NOTES, scopes, {
        provider: 'github',
        granted,
        implied: { 'admin:all': ['repo'] },
      })
    expect(backed(['mcp', 'notes:write'], ['user:email'])).toEqual(['mcp'])
    expect(backed(['mcp', 'notes:write'], ['repo'])).toEqual(['mcp', 'notes:write'])
    expect(backed(['notes:write'], ['admin:all'])).toEqual(['notes:write'])
    expect(backed(['notes:admin'], [])).toEqual([])
    expect(backed(['mcp'], ['repo', 'admin:all', 'notes:write'])).toEqual(['mcp'])
    expect(backedScopes(undefined, ['mcp'], { provider: 'github', granted: [] })).toEqual(['mcp'])
  })
})
