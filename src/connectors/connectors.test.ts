import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ConnectorConfig } from '../config.ts'
import { createConnectors, createLiveConnectors, isAmbiguousPath } from './connectors.ts'
import { createDirectory } from './directory.ts'

function connector(change: Partial<ConnectorConfig> & { name: string }): ConnectorConfig {
  const path = change.path ?? `/mcp/${change.name}`
  return {
    url: new URL('http://127.0.0.1:8000/mcp'),
    auth: 'none',
    path,
    resource: `https://auth.example.com${path}`,
    routes: { protected: [], public: [] },
    subject: 'postern',
    claims: [],
    enabled: true,
    ...change,
  }
}

const house = createConnectors({
  issuer: 'https://auth.example.com',
  connectors: [
    connector({
      name: 'a',
      routes: { protected: ['/api/*', '/exact'], public: ['/api/open/*', '/api/admin/x'] },
    }),
    connector({ name: 'off', enabled: false }),
  ],
})
const kindOf = (path: string) => {
  const route = house.route(path)
  return typeof route === 'object' ? route.kind : route
}

describe('addresses of a server', () => {
  it.each([
    [{}, 'approved'],
    [{ made: true }, 'public'],
    [{ preset: 'notion' }, 'public'],
  ] as const)('I6: of %j are held to be %s', (marks, addresses) => {
    const connectors = [connector({ name: 'a', url: new URL('https://a.example/mcp'), ...marks })]
    const route = createConnectors({ issuer: 'https://auth.example.com', connectors }).route(
      '/mcp/a',
    )
    expect(route).toMatchObject({ upstream: { addresses } })
    const egress = { allowHosts: ['https://a.example'], denyHosts: [] }
    const allowed = createConnectors({ issuer: 'https://auth.example.com', connectors, egress })
    expect(allowed.route('/mcp/a')).toMatchObject({ upstream: { addresses: 'approved' } })
  })
})

describe('connectors that come and go', () => {
  it('routes follow the directory, and a server that nobody has any more is told once', () => {
    const directory = createDirectory({ connectors: [connector({ name: 'a' })] })
    const config = { issuer: 'https://auth.example.com', connectors: directory.list() }
    const live = createLiveConnectors(config, directory)
    const gone: string[] = []
    live.onGone?.(({ addresses, origin }) => gone.push(`${addresses} ${origin}`))
    const made = (name: string) =>
      connector({ name, url: new URL('https://made.example/mcp'), made: true })
    directory.fill([made('b'), made('c')])
    expect(live.list.map(({ name }) => name)).toEqual(['a', 'b', 'c'])
    expect(live.claims('/mcp/b') && live.route('/mcp/b')).toMatchObject({ kind: 'mcp' })
    directory.fill([made('c')])
    expect(live.route('/mcp/b')).toBeUndefined()
    expect(gone).toEqual([])
    directory.fill([])
    expect(gone).toEqual(['public https://made.example'])
    expect(live.route('/mcp/a')).toMatchObject({ kind: 'mcp' })
    // The file wins over what was made under its name.
    directory.fill([made('a')])
    expect(directory.find('a')?.made).toBeUndefined()
  })
})

describe('routes', () => {
  it.each([
    ['/mcp/a', 'mcp'],
    ['/mcp/a/', undefined],
    ['/mcp/ab', undefined],
    ['/mcp/off', undefined],
    ['/api/x', 'protected'],
    ['/api/open/x', 'public'],
    ['/api/admin/x', 'public'],
    ['/api/admin/xy', 'protected'],
    ['/exact', 'protected'],
    ['/exact/x', undefined],
    ['/API/x', undefined],
  ])('%s is %s: exact before patterns, the longest pattern first', (path, kind) => {
    expect(kindOf(path)).toBe(kind)
  })

  it.each([
    '/api/../x',
    '/api/..',
    '/api/.',
    '/api/./x',
    '/api//x',
    '/api/%2e%2e/x',
    '/api/%2E./x',
    '/api/a%2fb',
    '/api/a%5cb',
    '/api/a\\b',
    '/api/a;b',
    '/api/a%3bb',
    '/api/%252e',
    '/api/%00',
    '/api/%0a',
    '/api/%7f',
    '/api/%',
    '/api/%z1',
    '/api/\u00e9',
    '/api/ ',
    '/api/<x>',
    '/api/x|y',
    '/api/x#y',
    '/api/%c0%ae%c0%ae/x',
  ])('G4, B7: %s has two readings and is refused', (path) => {
    expect(house.route(path)).toBe('ambiguous')
  })

  it('G4, B7: a path that is not ambiguous is what every URL parser makes of it', () => {
    const piece = fc.constantFrom(
      'a',
      '.',
      '..',
      '%2e',
      '%2F',
      '//',
      '/',
      '\\',
      ';',
      '%25',
      '~',
      '%41',
      '?'.slice(1),
      'b.c',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const path = `/api/${pieces.join('')}`
        if (isAmbiguousPath(path)) return
        expect(new URL(path, 'http://h').pathname).toBe(path)
        expect(decodeURIComponent(path)).not.toMatch(/[\\;]|\/\.{1,2}(\/|$)/)
        expect(decodeURIComponent(path).split('/').length).toBe(path.split('/').length)
      }),
    )
  })

  const open = createConnectors({
    issuer: 'https://auth.example.com',
    connectors: [
      connector({
        name: 'a',
        routes: { protected: ['/data/*', '/staff'], public: ['/*', '/data/health', '/docs/*'] },
      }),
      connector({ name: 'b', url: new URL('http://127.0.0.1:8000/b/mcp') }),
      connector({
        name: 'off',
        url: new URL('http://127.0.0.1:8000/off/mcp'),
        enabled: false,
        routes: { protected: ['/docs/private/*'], public: [] },
      }),
    ],
  })

  it.each([
    '/mcp',
    '/mcp/',
    '/MCP',
    '/%6dcp',
    '/mcp%3fx',
    '/b/mcp',
    '/off/mcp',
    '/%64ata/x',
    '/DATA/x',
    '/data',
    '/staff/',
    '/Staff',
    '/%73taff',
    '/staff.',
    '/staff%20',
    '/docs/%70rivate/x',
    '/docs/Private/x',
    '/docs/private',
  ])('G4: %s is not public where the server behind may read a guarded path', (path) => {
    expect(['ambiguous', undefined]).toContain(open.route(path))
  })

  it.each([
    '/',
    '/x',
    '/data/health',
    '/docs/x',
    '/docs/%41%20b',
    '/staffing',
    '/mcps',
    '/Index.html',
  ])('%s stays public beside guarded paths', (path) => {
    expect(open.route(path)).toMatchObject({ kind: 'public' })
  })

  it('a mounted issuer: paths below it, stripped for the server behind', () => {
    const mounted = createConnectors({
      issuer: 'https://h.example/auth',
      connectors: [
        connector({
          name: 'a',
          resource: 'https://h.example/auth/mcp/a',
          routes: { protected: ['/api/*'], public: [] },
        }),
      ],
    })
    const route = mounted.route('/auth/mcp/a')
    expect(route).toMatchObject({
      kind: 'mcp',
      upstreamPath: '/mcp',
      resource: 'https://h.example/auth/mcp/a',
      resourceMetadata: 'https://h.example/.well-known/oauth-protected-resource/auth/mcp/a',
    })
    expect(mounted.route('/mcp/a')).toBeUndefined()
    expect(mounted.route('/auth/api/x')).toMatchObject({ kind: 'protected' })
    expect(mounted.strip('/auth/api/x')).toBe('/api/x')
  })

  it('claims everything below /mcp, so that an unknown connector is a 404 of the gateway', () => {
    expect(
      ['/mcp/a', '/mcp/zzz', '/mcp', '/exact', '/api/x', '/authorize', '/mcpx'].map(house.claims),
    ).toEqual([true, true, true, true, false, false, false])
  })
})

describe('addresses that may be called', () => {
  it('I6: those of a preset are public ones, unless the operator names that origin', () => {
    const preset = connector({ name: 'p', preset: 'p', url: new URL('https://p.example/mcp') })
    const addressesOf = (allowHosts: readonly string[]) => {
      const config = { issuer: 'https://auth.example.com', connectors: [preset] }
      const route = createConnectors({ ...config, egress: { allowHosts, denyHosts: [] } }).route(
        '/mcp/p',
      )
      return typeof route === 'object' ? route.upstream.addresses : route
    }
    expect(addressesOf([])).toBe('public')
    expect(addressesOf(['https://other.example', 'p.example'])).toBe('public')
    expect(addressesOf(['https://p.example'])).toBe('approved')
    const named = house.route('/mcp/a')
    expect(typeof named === 'object' && named.upstream.addresses).toBe('approved')
  })
})
