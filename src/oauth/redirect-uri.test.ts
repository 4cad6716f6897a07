import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, checkFamily, distinct, SEED } from '../../test/kit/family.ts'
import { type Client, matchRedirectUri } from './client.ts'
import {
  isLoopbackRedirect,
  isPrivateUseRedirect,
  redirectHost,
  refuseRedirectUri,
} from './redirect-uri.ts'

const REGISTERED = [
  'https://claude.ai/api/mcp/auth_callback',
  'https://app.example/cb?x=1',
  'http://127.0.0.1/cb',
  'http://localhost:33418/',
  'http://[::1]/oauth/callback',
  'cursor://anysphere.cursor-deeplink/mcp/auth',
]
const clientOf = (redirectUris: readonly string[]): Client => ({
  clientId: 'c',
  kind: 'dynamic',
  redirectUris,
  authMethod: 'none',
  grantTypes: ['authorization_code'],
  applicationType: 'native',
  fingerprint: 'f',
})
const CLIENT = clientOf(REGISTERED)
const matches = (presented: string | undefined, client = CLIENT): boolean =>
  matchRedirectUri(client, presented).matched

/** Turns a registered URI into one that is not. */
const NEAR_MISSES: readonly ((uri: string) => string)[] = [
  (uri) => `${uri}/`,
  (uri) => `${uri}x`,
  (uri) => `${uri}#`,
  (uri) => `${uri}#x`,
  (uri) => `${uri}${uri.includes('?') ? '&' : '?'}a=b`,
  (uri) => `${uri}%00`,
  (uri) => `${uri}\0`,
  (uri) => `${uri}\n`,
  (uri) => `${uri}\r\nSet-Cookie: a=b`,
  (uri) => `${uri} `,
  (uri) => ` ${uri}`,
  (uri) => `\t${uri}`,
  (uri) => `${uri}/../evil`,
  (uri) => `${uri}/%2e%2e/evil`,
  (uri) => `${uri};jsessionid=1`,
  (uri) => `${uri}@evil.example`,
  (uri) => `${uri}.evil.example`,
  (uri) => `${uri},${uri}`,
  (uri) => uri.slice(0, -1),
  (uri) => uri.slice(1),
  (uri) => uri.toUpperCase(),
  (uri) => uri.replace('://', ':'),
  (uri) => uri.replace('://', ':/'),
  (uri) => uri.replace('://', ':///'),
  (uri) => uri.replace('://', ':\\\\'),
  (uri) => uri.replace('://', '://evil.example@'),
  (uri) => uri.replace('://', '://evil.example%2f@'),
  (uri) => uri.replace('://', '://evil.example#@'),
  (uri) => uri.replace('://', '://evil.example\\@'),
  (uri) => uri.replace('://', '://@'),
  (uri) => uri.replace('://', '://evil.example/'),
  (uri) => uri.replace('://', '://x.'),
  (uri) => uri.replace('://', '://xn--'),
  (uri) => uri.replace(/^[a-z]+/, 'ftp'),
  (uri) => uri.replace(/^[a-z]+/, 'javascript'),
  (uri) => uri.replace(/^[a-z]+/, (scheme) => (scheme === 'https' ? 'http' : 'https')),
  (uri) => uri.replace(/^[a-z]+/, (scheme) => scheme.toUpperCase()),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1.'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1.evil.example'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1@evil.example'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1%2eevil.example'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1\\.evil.example'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1:'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1:0'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1:65536'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1:080'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1:80@evil.example'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1:80\\@evil.example'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1:８０'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1:+80'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)/, '$1:80:80'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)(.*)$/, '$1/.$2'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)(.*)$/, '$1/$2'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+)(.*)$/, '$1\\$2'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+).*$/, '$1/evil'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+).*$/, '$1'),
  (uri) => uri.replace(/^([a-z]+:\/\/[^/?]+).*$/, '$1*'),
  (uri) => uri.replace('c', '%63'),
  (uri) => uri.replace('a', '%61'),
  (uri) => uri.replace('o', '\u043e'),
  (uri) => uri.replace('a', '\u0430'),
  (uri) => uri.replace('.', '\u3002'),
  (uri) => uri.replace('/', '\u2215'),
  (uri) => uri.replace('127.0.0.1', '127.1'),
  (uri) => uri.replace('127.0.0.1', '127.0.0.2'),
  (uri) => uri.replace('127.0.0.1', 'localhost'),
  (uri) => uri.replace('127.0.0.1', '2130706433'),
  (uri) => uri.replace('127.0.0.1', '0x7f.0.0.1'),
  (uri) => uri.replace('127.0.0.1', '0.0.0.0'),
  (uri) => uri.replace('localhost', '127.0.0.1'),
  (uri) => uri.replace('localhost', 'localhost.'),
  (uri) => uri.replace('localhost', 'LOCALHOST'),
  (uri) => uri.replace('localhost', 'localhost.evil.example'),
  (uri) => uri.replace('[::1]', '[::]'),
  (uri) => uri.replace('[::1]', '[0:0:0:0:0:0:0:1]'),
  (uri) => uri.replace('[::1]', '[::ffff:127.0.0.1]'),
  (uri) => uri.replace('[::1]', '::1'),
  (uri) => uri.replace('[::1]', '[::1%25lo]'),
]

describe('matchRedirectUri', () => {
  it('AZ-03: takes the registered string, and any port for loopback', () => {
    for (const uri of REGISTERED)
      expect(matchRedirectUri(CLIENT, uri)).toEqual({ matched: true, redirectUri: uri })
    const ports = [
      'http://127.0.0.1:1/cb',
      'http://127.0.0.1:65535/cb',
      'http://localhost:5000/',
      'http://localhost/',
      'http://[::1]:33418/oauth/callback',
    ]
    for (const uri of ports)
      expect(matchRedirectUri(CLIENT, uri)).toEqual({ matched: true, redirectUri: uri })
  })

  it('AZ-03: takes no other port, path, query, host or scheme', () => {
    const bad = [
      'https://claude.ai:443/api/mcp/auth_callback',
      'https://app.example:8443/cb?x=1',
      'https://app.example/cb',
      'https://app.example/cb?x=2',
      'http://127.0.0.1/other',
      'http://127.0.0.1:80/cb?x',
      'https://127.0.0.1/cb',
      'cursor://other/mcp/auth',
      'http://localhost:33418/cb',
      'http://localhost:33418',
      '',
    ]
    for (const uri of bad) {
      expect(matchRedirectUri(CLIENT, uri), uri).toEqual({ matched: false, reason: 'mismatch' })
    }
  })

  it('AZ-03: an https URI on a loopback host has no free port', () => {
    expect(matches('https://localhost:2/cb', clientOf(['https://localhost:1/cb']))).toBe(false)
  })

  it('AZ-04: may be absent only with a single registered URI', () => {
    expect(matchRedirectUri(clientOf(['https://a/cb']), undefined)).toEqual({
      matched: true,
      redirectUri: 'https://a/cb',
    })
    expect(matchRedirectUri(CLIENT, undefined)).toEqual({ matched: false, reason: 'missing' })
    expect(matchRedirectUri(clientOf([]), undefined)).toEqual({ matched: false, reason: 'missing' })
  })

  it('SEC-09, A3, A4, A21: B1: none of 400 near misses is a registered URI', async () => {
    const near = distinct(400, (draw, index) => {
      const uri = REGISTERED[index % REGISTERED.length] ?? ''
      const once = draw.pick(NEAR_MISSES)(uri)
      return index < 5_000 ? once : draw.pick(NEAR_MISSES)(once)
    }).filter((uri) => !REGISTERED.includes(uri))
    await checkFamily('B1', near, (uri) => !matches(uri) || isPortOnly(uri))
    for (const make of NEAR_MISSES) {
      for (const uri of REGISTERED) {
        const changed = make(uri)
        if (changed !== uri && !isPortOnly(changed)) expect(matches(changed), changed).toBe(false)
      }
    }
  })

  it('B1: whatever is accepted goes where a registered URI goes; never throws', () => {
    const uris = fc.oneof(
      anyText,
      fc.webUrl(),
      fc
        .tuple(fc.constantFrom(...REGISTERED), fc.nat(60), anyText)
        .map(([uri, at, text]) => uri.slice(0, at) + text.slice(0, 3) + uri.slice(at)),
    )
    fc.assert(
      fc.property(uris, (uri) => {
        if (matches(uri)) expect(REGISTERED.includes(uri) || isPortOnly(uri)).toBe(true)
        isLoopbackRedirect(uri)
        redirectHost(uri)
      }),
      { seed: SEED, numRuns: 2_000 },
    )
  })
})

/** Independent of the code under test: the platform's parser, port taken away, equals a registered one. */
function isPortOnly(uri: string): boolean {
  if (!URL.canParse(uri) || new URL(uri).protocol !== 'http:') return false
  const strip = (text: string): string => {
    const url = new URL(text)
    url.port = ''
    return url.href
  }
  const port = new URL(uri).port
  const plain = port === '' ? uri : uri.replace(`:${port}`, '')
  return (
    strip(uri) === plain &&
    REGISTERED.some((known) => known.startsWith('http:') && strip(known) === plain)
  )
}

describe('refuseRedirectUri', () => {
  const open = { redirectHosts: [] }

  it('REG-21: takes https, loopback http and the schemes of known editors', () => {
    const good = [
      ...REGISTERED,
      'https://vscode.dev/redirect',
      'https://insiders.vscode.dev/redirect',
      'http://127.0.0.1:33418/',
      'https://host.example:8443/a%20b?c=d',
      'vscode://vendor.extension/cb',
      'vscode-insiders://vendor.extension/cb',
      'windsurf://codeium.windsurf/cb',
      'cursor://anysphere.cursor-retrieval/oauth/user-x/callback',
    ]
    for (const uri of good) expect(refuseRedirectUri(uri, open, 'native'), uri).toBeUndefined()
  })

  it('REG-21: takes another private-use scheme only when redirectHosts names it', () => {
    const uri = 'com.example.app:/oauth'
    expect(refuseRedirectUri(uri, open, 'native')).toBe('scheme')
    expect(
      refuseRedirectUri(uri, { redirectHosts: ['com.example.app:'] }, 'native'),
    ).toBeUndefined()
    expect(refuseRedirectUri(uri, { redirectHosts: ['com.example.app'] }, 'native')).toBe('scheme')
    expect(
      refuseRedirectUri(
        'https://any.example/cb',
        { redirectHosts: ['com.example.app:'] },
        'native',
      ),
    ).toBeUndefined()
  })

  it('REG-21: with a host in redirectHosts takes only what is named', () => {
    const policy = { redirectHosts: ['Claude.ai', 'localhost', 'host.example:8443'] }
    const judge = (uri: string) => refuseRedirectUri(uri, policy, 'native')
    expect(judge('https://claude.ai/cb')).toBeUndefined()
    expect(judge('http://localhost:1/cb')).toBeUndefined()
    expect(judge('https://host.example:8443/cb')).toBeUndefined()
    for (const uri of [
      'https://evil.example/cb',
      'https://claude.ai.evil.example/cb',
      'https://x.claude.ai/cb',
      'http://127.0.0.1/cb',
      'https://host.example/cb',
    ]) {
      expect(judge(uri), uri).toBe('host')
    }
    expect(judge('cursor://x/cb')).toBe('scheme')
  })

  it('REG-25: a web application has https and nothing else', () => {
    expect(refuseRedirectUri('https://a.example/cb', open, 'web')).toBeUndefined()
    for (const uri of ['http://localhost/cb', 'cursor://x/cb'])
      expect(refuseRedirectUri(uri, open, 'web')).toBe('not_https')
  })

  it('REG-21: says why', () => {
    const table: readonly (readonly [string, string])[] = [
      ['https://a.example/cb#', 'fragment'],
      ['https://a.example/*', 'wildcard'],
      ['https://*.example/cb', 'wildcard'],
      ['https://u@a.example/cb', 'userinfo'],
      ['https://@a.example/cb', 'userinfo'],
      ['cursor://u:p@x/cb', 'userinfo'],
      ['https://a.example', 'path_missing'],
      ['http://127.0.0.1', 'path_missing'],
      ['HTTPS://a.example/cb', 'not_normal'],
      ['https://A.example/cb', 'not_normal'],
      ['https://a.example:443/cb', 'not_normal'],
      ['https://a.example/../cb', 'not_normal'],
      ['https://a.example/%2e%2e/cb', 'not_normal'],
      ['http://127.1/cb', 'not_normal'],
      ['http://[::0:1]/cb', 'not_normal'],
      ['http://a.example/cb', 'not_https'],
      ['http://localhost.evil.example/cb', 'not_https'],
      ['http://127.0.0.2/cb', 'not_https'],
      ['https://a.example./cb', 'host'],
      ['https://a.example/cb?code=1', 'response_parameter'],
      ['https://a.example/cb?a=1&st%61te=1', 'response_parameter'],
      ['https://a.example\\cb', 'malformed'],
      ['https://a.example/c b', 'malformed'],
      ['/cb', 'malformed'],
      ['', 'malformed'],
      ['https://münchen.example/cb', 'malformed'],
      ['https://a.example/cb\n', 'malformed'],
      [`https://a.example/${'a'.repeat(2_048)}`, 'malformed'],
    ]
    for (const [uri, reason] of table)
      expect(refuseRedirectUri(uri, open, 'native'), uri).toBe(reason)
  })

  it('A5: B2: 120 dangerous or unknown schemes are never registered, not even when named', async () => {
    const schemes = [
      'javascript',
      'data',
      'file',
      'blob',
      'vbscript',
      'about',
      'JavaScript',
      'DATA',
      'VbScript',
      'ftp',
      'ws',
      'wss',
      'http',
      'mailto',
      'tel',
      'intent',
      'view-source',
      'filesystem',
      'jar',
      'chrome',
      'urn',
      'java\tscript',
      'java\nscript',
      '\x01javascript',
      ' javascript',
    ]
    const bodies = [
      'alert(1)',
      '//evil.example/cb',
      '//a%0aalert(1)',
      'text/html,<script>alert(1)</script>',
      '///etc/passwd',
    ]
    const uris = schemes.flatMap((scheme) => bodies.map((body) => `${scheme}:${body}`))
    expect(uris.length).toBeGreaterThanOrEqual(120)
    const named = { redirectHosts: schemes.map((scheme) => `${scheme.toLowerCase()}:`) }
    await checkFamily('B2', uris, (uri) => {
      expect(refuseRedirectUri(uri, open, 'native')).toBeDefined()
      expect(refuseRedirectUri(uri, named, 'native')).toBeDefined()
    })
    for (const scheme of ['myapp', 'x', 'cursor2', 'vscode.evil', 'slack']) {
      expect(refuseRedirectUri(`${scheme}://cb/`, open, 'native')).toBe('scheme')
    }
  })
})

describe('what a page says about a redirect URI', () => {
  it('CON-04, CON-05: names the host and knows loopback and applications', () => {
    expect(REGISTERED.map(redirectHost)).toEqual([
      'claude.ai',
      'app.example',
      '127.0.0.1',
      'localhost:33418',
      '[::1]',
      'cursor://anysphere.cursor-deeplink',
    ])
    expect(redirectHost('com.example.app:/cb')).toBe('com.example.app:')
    expect(redirectHost('nonsense')).toBe('')
    expect(REGISTERED.map(isLoopbackRedirect)).toEqual([false, false, true, true, true, false])
    for (const uri of [
      'http://localhost.evil.example/',
      'http://127.0.0.1.evil.example/',
      'http://localhost@evil.example/',
      'http://localhost:x/',
      'http://localhost\\evil/',
    ]) {
      expect(isLoopbackRedirect(uri), uri).toBe(false)
    }
    expect(REGISTERED.map(isPrivateUseRedirect)).toEqual([false, false, false, false, false, true])
  })
})

describe('refuseRedirectUri, by list', () => {
  const judge = (text: string, redirectHosts: readonly string[] = []) =>
    refuseRedirectUri(text, { redirectHosts }, 'native')

  it('no parameter of an answer may stand in a redirect URI', () => {
    for (const name of ['code', 'state', 'iss', 'error', 'error_description', 'error_uri'])
      expect(judge(`https://app.example/cb?${name}=x`), name).toBe('response_parameter')
    expect(judge('https://app.example/cb?codes=x')).toBeUndefined()
  })

  it('schemes of known editors, with any path, and dots in none', () => {
    for (const scheme of [
      'cursor',
      'vscode',
      'vscode-insiders',
      'vscodium',
      'code-oss',
      'windsurf',
      'windsurf-next',
      'trae',
    ])
      expect(judge(`${scheme}://publisher.extension/cb`), scheme).toBeUndefined()
    for (const path of ['/a/../b', '/a/./b', '/a/%2e%2E/b', '/a/.%2e/b', '/..'])
      expect(judge(`cursor://x${path}`), path).toBeDefined()
    for (const path of ['/a/...', '/a/.b', '/a/b.', '/a/..b'])
      expect(judge(`cursor://x${path}`), path).toBeUndefined()
  })
})
