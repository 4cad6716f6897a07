import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, errorOf, outcomeOf, SEED } from '../../test/kit/family.ts'
import {
  formatScope,
  grantScopes,
  narrowScopes,
  parseScope,
  SCOPE_MAX_CHARS,
  SCOPES_MAX,
} from './scope.ts'

const grant = (requested: string | undefined, aliases: Record<string, string> = {}): string[] =>
  grantScopes({ requested, resourceScopes: ['mcp', 'notes:read'], defaultScopes: ['mcp'], aliases })

describe('scopes', () => {
  it('AZ-13: grants the known part and drops the rest', () => {
    expect(grant('mcp unknown')).toEqual(['mcp'])
    expect(grant('notes:read mcp notes:read')).toEqual(['notes:read', 'mcp'])
    expect(grant('MCP mcp')).toEqual(['mcp'])
  })

  it('AZ-13: nothing grantable asked for is invalid_scope', () => {
    for (const text of [
      'unknown',
      'a b',
      'openid unknown',
      'mcp:x',
      'MCP',
      '__proto__',
      'toString',
    ]) {
      expect(
        errorOf(() => grant(text)),
        text,
      ).toBe('invalid_scope')
    }
  })

  it('AZ-14: offline_access and OpenID names change nothing', () => {
    for (const text of [
      undefined,
      '',
      ' ',
      'offline_access',
      'openid profile email',
      'openid offline_access',
    ]) {
      expect(grant(text), String(text)).toEqual(['mcp'])
    }
    expect(grant('offline_access notes:read')).toEqual(['notes:read'])
  })

  it('AZ-13: a resource that defines a habitual name gets it', () => {
    const question = {
      requested: 'email',
      resourceScopes: ['mcp', 'email'],
      defaultScopes: ['mcp'],
      aliases: {},
    }
    expect(grantScopes(question)).toEqual(['email'])
  })

  it('scopeAliases maps what migrated clients send to our name', () => {
    expect(grant('user', { user: 'mcp' })).toEqual(['mcp'])
    expect(grant('user mcp', { user: 'mcp' })).toEqual(['mcp'])
    expect(grant('notes:read', { 'notes:read': 'mcp' })).toEqual(['notes:read'])
    expect(errorOf(() => grant('toString', { user: 'mcp' }))).toBe('invalid_scope')
  })

  it('TOK-11: a refresh keeps or narrows, never widens', () => {
    expect(narrowScopes(undefined, ['mcp', 'a'], {})).toEqual(['mcp', 'a'])
    expect(narrowScopes('a offline_access', ['mcp', 'a'], {})).toEqual(['a'])
    expect(narrowScopes('offline_access', ['mcp'], {})).toEqual(['mcp'])
    expect(narrowScopes('user', ['mcp'], { user: 'mcp' })).toEqual(['mcp'])
    for (const text of ['b', 'mcp b', 'MCP']) {
      expect(
        errorOf(() => narrowScopes(text, ['mcp', 'a'], {})),
        text,
      ).toBe('invalid_scope')
    }
  })

  it('TOK-13: text outside the grammar or over the limits is invalid_scope', () => {
    for (const text of [
      'a"b',
      'a\\b',
      'a\tb',
      'a\nb',
      'é',
      'a\0',
      'a'.repeat(SCOPE_MAX_CHARS + 1),
    ]) {
      expect(errorOf(() => parseScope(text))).toBe('invalid_scope')
    }
    const names = (count: number): string =>
      Array.from({ length: count }, (_, at) => `s${at}`).join(' ')
    expect(parseScope(names(SCOPES_MAX))).toHaveLength(SCOPES_MAX)
    expect(errorOf(() => parseScope(names(SCOPES_MAX + 1)))).toBe('invalid_scope')
  })

  it('round trip; never throws anything but OAuthError', () => {
    const name = fc.string({ unit: fc.constantFrom(...'ab!#[]~:/.'), minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(fc.uniqueArray(name, { maxLength: 10 }), anyText, (names, junk) => {
        expect(parseScope(formatScope(names))).toEqual(names)
        outcomeOf(() => grant(junk))
      }),
      { seed: SEED, numRuns: 300 },
    )
  })
})
