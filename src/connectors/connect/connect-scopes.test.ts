import { describe, expect, it } from 'vitest'
import { SCOPE_MAX_CHARS, SCOPES_MAX } from '../../oauth/scope.ts'
import { requestedScopes } from './connect-scopes.ts'

const LISTED = ['read', 'offline_access']

describe('requestedScopes', () => {
  it('CLI-08: the challenge before the resource, the configuration before both, and nothing for nothing', () => {
    const resourceScopes = ['read', 'write']
    expect(requestedScopes({ resourceScopes, challenged: ['files'] })).toEqual(['files'])
    expect(requestedScopes({ resourceScopes })).toEqual(['read', 'write'])
    expect(requestedScopes({})).toEqual([])
    expect(requestedScopes({ resourceScopes, challenged: [] })).toEqual([])
    const configured = ['admin']
    expect(requestedScopes({ configured, resourceScopes, challenged: ['files'] })).toEqual([
      'admin',
    ])
  })

  it('CLI-08: offline_access only where the authorization server lists it, never alone, or as configured', () => {
    const resourceScopes = ['read']
    expect(requestedScopes({ resourceScopes, serverScopes: LISTED })).toEqual([
      'read',
      'offline_access',
    ])
    const asked = ['read', 'offline_access']
    for (const serverScopes of [undefined, ['read'], 'offline_access', { offline_access: true }])
      expect(requestedScopes({ resourceScopes: asked, serverScopes })).toEqual(['read'])
    expect(requestedScopes({ serverScopes: LISTED })).toEqual([])
    expect(requestedScopes({ configured: ['read'], serverScopes: LISTED })).toEqual(['read'])
    expect(requestedScopes({ configured: asked })).toEqual(asked)
  })

  it('CLI-09: a step-up is the union of what was asked before and what is missing', () => {
    const sources = { resourceScopes: ['read'], before: ['read', 'write'], missing: ['admin'] }
    expect(requestedScopes(sources).toSorted()).toEqual(['admin', 'read', 'write'])
  })

  it('CLI-09: stays within bounds, and what is missing does not fall out', () => {
    const many = Array.from({ length: 500 }, (_, index) => `scope-${index}`)
    const asked = requestedScopes({
      resourceScopes: many,
      missing: ['admin'],
      serverScopes: LISTED,
    })
    expect(asked).toHaveLength(SCOPES_MAX)
    expect(asked).toContain('admin')
    expect(asked).toContain('offline_access')
    const long = many.map((scope) => scope.padEnd(400, 'x'))
    const text = requestedScopes({ resourceScopes: long, serverScopes: LISTED }).join(' ')
    expect(text.length).toBeLessThanOrEqual(SCOPE_MAX_CHARS)
    expect(text).toContain('offline_access')
  })

  it('what is no scope of RFC 6749 section 3.3 is not sent', () => {
    const resourceScopes = ['read', 'a b', '"', 'ä', '', 'x\n']
    expect(requestedScopes({ resourceScopes })).toEqual(['read'])
  })
})
