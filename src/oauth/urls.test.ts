import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, checkFamily, SEED } from '../../test/kit/family.ts'
import {
  canonicalResource,
  isLoopbackHost,
  issuerMetadataPaths,
  parseUrl,
  protectedResourceMetadataPath,
  URL_MAX_CHARS,
} from './urls.ts'

describe('parseUrl', () => {
  it('S11: refuses what URL parsers silently repair', async () => {
    const bad = [
      '',
      'x',
      '/x',
      '//h/x',
      'https:',
      'https://',
      ' https://h/',
      'https://h/ ',
      'https://h/\n',
      'ht\ntps://h/',
      'https://h/\0',
      'https:\\\\h\\x',
      'https://h\\x',
      'https://h/\t',
      'https://h/\r\nx: y',
      'https://h/\u00a0',
      'https://h/\u2028',
      '\ufeffhttps://h/',
      'https://h/\ud800',
      'https://h/\x7f',
      'https://h:99999/',
      'https://[::1/',
      `https://h/${'a'.repeat(URL_MAX_CHARS)}`,
    ]
    await checkFamily('parseUrl', bad, (text) => expect(parseUrl(text)).toBeUndefined())
    expect(parseUrl(`https://h/${'a'.repeat(URL_MAX_CHARS - 10)}`)?.host).toBe('h')
  })

  it('never throws', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, fc.webUrl()), (text) => {
        parseUrl(text)
        canonicalResource(text)
      }),
      { seed: SEED, numRuns: 1_000 },
    )
  })
})

describe('isLoopbackHost', () => {
  it('A4: takes three names and no other spelling', () => {
    for (const host of ['127.0.0.1', '[::1]', '::1', 'localhost'])
      expect(isLoopbackHost(host)).toBe(true)
    const others = [
      '127.0.0.2',
      '127.1',
      '0.0.0.0',
      'localhost.',
      'localhost.evil.example',
      'LOCALHOST',
      '',
      '[::]',
      '[::ffff:127.0.0.1]',
      '2130706433',
    ]
    for (const host of others) expect(isLoopbackHost(host), host).toBe(false)
  })
})

describe('canonicalResource', () => {
  it('AZ-11: lower-cases scheme and host and drops one trailing slash, nothing else', () => {
    const pairs: readonly (readonly [string, string])[] = [
      ['HTTPS://MCP.Example.com/mcp', 'https://mcp.example.com/mcp'],
      ['https://h', 'https://h'],
      ['https://h/', 'https://h'],
      ['https://h/mcp/', 'https://h/mcp'],
      ['https://h/mcp//', 'https://h/mcp/'],
      ['https://h/MCP', 'https://h/MCP'],
      ['https://h/%7Ea', 'https://h/%7Ea'],
      ['https://h:443/a', 'https://h:443/a'],
      ['https://h/a?x=/', 'https://h/a?x=/'],
      ['https://h/a/?x', 'https://h/a/?x'],
      ['http://[::1]:80/a', 'http://[::1]:80/a'],
      ['https://h/./mcp', 'https://h/./mcp'],
    ]
    for (const [text, canonical] of pairs) expect(canonicalResource(text), text).toBe(canonical)
  })

  it('AZ-10: refuses relative URIs, fragments, userinfo and other schemes', () => {
    const bad = [
      '',
      'mcp',
      '/mcp',
      'https://h/mcp#',
      'https://h/mcp#x',
      'https://u@h/mcp',
      'https://u:p@h/',
      'urn:mcp',
      'ftp://h/',
      'javascript:1',
      'https:///mcp',
      'https:/h/mcp',
      'https:h',
    ]
    for (const text of bad) expect(canonicalResource(text), text).toBeUndefined()
  })

  it('AZ-11: is its own canonical form', () => {
    const urls = fc.webUrl({ withQueryParameters: true }).filter((url) => !url.endsWith('//'))
    fc.assert(
      fc.property(urls, (url) => {
        const once = canonicalResource(url)
        expect(once).toBeDefined()
        expect(canonicalResource(once ?? '')).toBe(once)
        expect(canonicalResource(url.replace(/^https?/, (scheme) => scheme.toUpperCase()))).toBe(
          once,
        )
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})

describe('well-known paths', () => {
  it('PR-01: inserts the well-known segment before path and query of the resource', () => {
    const base = '/.well-known/oauth-protected-resource'
    expect(protectedResourceMetadataPath('https://h')).toBe(base)
    expect(protectedResourceMetadataPath('https://h/')).toBe(base)
    expect(protectedResourceMetadataPath('https://h/a/mcp')).toBe(`${base}/a/mcp`)
    expect(protectedResourceMetadataPath('https://h/mcp?tenant=a')).toBe(`${base}/mcp?tenant=a`)
  })

  it('AS-01, AS-02: knows the RFC 8414 location and both OpenID locations', () => {
    expect(issuerMetadataPaths('https://h')).toEqual([
      '/.well-known/oauth-authorization-server',
      '/.well-known/openid-configuration',
    ])
    for (const issuer of ['https://h/p', 'https://h/p/']) {
      expect(issuerMetadataPaths(issuer)).toEqual([
        '/.well-known/oauth-authorization-server/p',
        '/.well-known/openid-configuration/p',
        '/p/.well-known/openid-configuration',
      ])
    }
  })
})
