import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.ts'
import { environmentName, FIELDS, LIMIT_FIELDS } from './fields.ts'
import { parseConfig } from './parse.ts'

const KEY = 'u7k0vYkTq3m5cWJH2b8eXrZP1sNfAaLdQoGxIyDtMhU'
const GITHUB = {
  POSTERN_GITHUB_CLIENT_ID: 'client',
  POSTERN_GITHUB_CLIENT_SECRET: 'a-secret-of-the-github-app',
}

function parse(
  input: unknown,
  environment: Record<string, string> = {},
  flags: Record<string, string> = {},
) {
  return parseConfig(input, { environment }, flags)
}

function refusal(input: unknown, environment: Record<string, string> = {}): string {
  try {
    parse(input, environment)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'accepted'
}

describe('a configuration mistake is named with its fix (api.md section 6)', () => {
  const PUBLIC = { issuer: 'https://mcp.corp.example' }

  it('ERR_CONFIG_SEALING_KEY: no key for a public issuer', () => {
    expect(refusal(PUBLIC)).toBe(
      'ERR_CONFIG_SEALING_KEY: no sealing key, and https://mcp.corp.example is not a loopback issuer.\n' +
        'Run `npx postern keys new` and set POSTERN_SEALING_KEY (or POSTERN_SEALING_KEY_FILE).',
    )
  })

  it('ERR_CONFIG_ALLOW: nobody is named', () => {
    const environment = { ...GITHUB, POSTERN_SEALING_KEY: KEY }
    expect(refusal({ ...PUBLIC, providers: [{ type: 'github' }] }, environment)).toBe(
      'ERR_CONFIG_ALLOW: nobody is named in `allow`, so nobody could sign in.\n' +
        "Set allow: { emailDomains: ['corp.example'] }, or allow: 'anyone' if you mean everyone with a GitHub account.",
    )
  })

  it('ERR_CONFIG_PROVIDER_CREDENTIALS: a provider without a client id', () => {
    expect(refusal({ providers: [{ type: 'github' }] })).toBe(
      'ERR_CONFIG_PROVIDER_CREDENTIALS: provider github has no clientId.\n' +
        'Set POSTERN_GITHUB_CLIENT_ID and POSTERN_GITHUB_CLIENT_SECRET. Make an OAuth app at https://github.com/settings/developers with callback http://127.0.0.1:8414/callback/github',
    )
  })

  it('ERR_CONFIG_ISSUER: http on a public host (SEC-01)', () => {
    expect(refusal({ issuer: 'http://mcp.corp.example' })).toBe(
      'ERR_CONFIG_ISSUER: issuer must be https unless its host is localhost, 127.0.0.1 or [::1]; got http://mcp.corp.example\n' +
        'Behind a TLS proxy set issuer to the public https URL; Postern itself may listen on http.',
    )
  })

  it('SEC-01: http starts on loopback, whatever its name, and is development there only', () => {
    for (const issuer of ['http://127.0.0.1:8414', 'http://localhost:8414', 'http://[::1]:8414'])
      expect(parse({ issuer }), issuer).toMatchObject({ issuer, development: true })
    expect(parse(PUBLIC, { POSTERN_SEALING_KEY: KEY }).development).toBe(false)
    for (const host of ['10.0.0.1', 'localhost.evil.example', '127.0.0.1.evil.example', '0.0.0.0'])
      expect(refusal({ issuer: `http://${host}` }), host).toContain('ERR_CONFIG_ISSUER')
  })

  it('ERR_CONFIG_UNKNOWN_FIELD: the nearest known name', () => {
    expect(refusal({ connectors: { notes: { uri: 'http://127.0.0.1:8000/mcp' } } })).toBe(
      'ERR_CONFIG_UNKNOWN_FIELD: connectors.notes.uri is not a field.\nDid you mean connectors.notes.url?',
    )
  })
})

describe('values come from flag, environment, file, default, in this order', () => {
  it('PRV-21: two applications at one provider are refused', () => {
    const credentials = { clientId: 'a', clientSecret: 'b' }
    const providers = [
      { type: 'github', ...credentials },
      { type: 'githubApp', ...credentials },
    ]
    expect(refusal({ providers })).toBe(
      'ERR_CONFIG_VALUE: providers[1] must be the only one of https://github.com/login/oauth, which github stands for already.\n' +
        'Keep one of github and github-app.',
    )
  })

  it('V5: a webhook secret comes from the environment and never prints', () => {
    const environment = { ...GITHUB, POSTERN_GITHUB_WEBHOOK_SECRET: 'a-secret-of-the-webhook' }
    const [provider] = parse({ providers: [{ type: 'github' }] }, environment).providers
    expect(provider?.webhookSecret?.reveal()).toBe('a-secret-of-the-webhook')
    expect(JSON.stringify(provider)).not.toContain('a-secret')
  })

  it('takes the default when nothing is said', () => {
    const config = parse({})
    expect(config.issuer).toBe('http://127.0.0.1:8414')
    expect(config.development).toBe(true)
    expect(config.limits.upstreamProofTtlSeconds).toBe(60)
  })

  it('lets the environment win over the file and a flag over both', () => {
    const file = { listen: { port: 1000 }, limits: { upstreamProofTtlSeconds: 5 } }
    expect(parse(file).listen.port).toBe(1000)
    expect(parse(file, { POSTERN_LISTEN_PORT: '2000' }).listen.port).toBe(2000)
    expect(parse(file, { POSTERN_PORT: '3000', POSTERN_LISTEN_PORT: '2000' }).listen.port).toBe(
      3000,
    )
    expect(parse(file, { POSTERN_PORT: '3000' }, { 'listen.port': '4000' }).listen.port).toBe(4000)
    expect(
      parse(file, { POSTERN_UPSTREAM_PROOF_TTL_SECONDS: '7' }).limits.upstreamProofTtlSeconds,
    ).toBe(7)
  })

  it('reads env: and file: references, and _FILE for a secret', () => {
    const sources = {
      environment: { NAME: 'Acme', POSTERN_SEALING_KEY_FILE: '/run/secrets/key' },
      readFile: (path: string) => (path === '/run/secrets/key' ? `${KEY}\n` : ''),
    }
    const config = parseConfig(
      { issuer: 'https://a.example', brand: { name: 'env:NAME' } },
      sources,
    )
    expect(config.brand.name).toBe('Acme')
    expect(config.sealingKeys[0]?.length).toBe(32)
  })

  it('refuses a reference to something that is not set, without guessing', () => {
    expect(refusal({ brand: { name: 'env:NOWHERE' } })).toContain(
      'points at NOWHERE, which is not set',
    )
  })

  it('ignores what Kubernetes injects for a Service called postern', () => {
    const environment = {
      POSTERN_SERVICE_HOST: '10.0.0.1',
      POSTERN_PORT: 'tcp://10.0.0.1:8414',
      POSTERN_PORT_8414_TCP_ADDR: '10.0.0.1',
    }
    expect(parse({}, environment).listen.port).toBe(8414)
  })

  it('refuses an unknown POSTERN_ name with the nearest known one', () => {
    expect(refusal({}, { POSTERN_ISUER: 'https://a.example' })).toContain(
      'Did you mean POSTERN_ISSUER?',
    )
  })

  it('names each field of the table once, with its environment name', () => {
    const names = [...FIELDS, ...LIMIT_FIELDS].map((entry) => entry.environment)
    expect(new Set(names).size).toBe(names.length)
    expect(environmentName('listen.metricsPort')).toBe('POSTERN_LISTEN_METRICS_PORT')
    expect(environmentName('limits.accessTokenTtlSeconds')).toBe('POSTERN_ACCESS_TOKEN_TTL_SECONDS')
  })
})

describe('connectors', () => {
  const one = (connector: object) => ({
    connectors: { notes: { url: 'http://127.0.0.1:8000/mcp', ...connector } },
  })

  it('gives each its path and resource', () => {
    const [connector] = parse(one({})).connectors
    expect(connector?.path).toBe('/mcp/notes')
    expect(connector?.resource).toBe('http://127.0.0.1:8414/mcp/notes')
    expect(connector?.auth).toBe('identity')
    expect(parse(one({ path: '/mcp' })).connectors[0]?.resource).toBe('http://127.0.0.1:8414/mcp')
  })

  it('takes a header secret from the environment by the name of the connector', () => {
    const config = parse(one({ auth: 'header' }), {
      POSTERN_CONNECTOR_NOTES_HEADER_VALUE: 'Bearer abc',
    })
    expect(config.connectors[0]?.header?.name).toBe('authorization')
    expect(JSON.stringify(config.connectors[0])).not.toContain('Bearer abc')
  })

  it.each([
    [{ path: '/mcp/' }, 'connectors.notes.path must be'],
    [{ path: '/a/../b' }, 'connectors.notes.path must be'],
    [{ path: '/a%2fb' }, 'connectors.notes.path must be'],
    [{ path: '/token' }, 'both want the path /token'],
    [{ path: '/account' }, 'both want the path /account'],
    [{ routes: { public: ['/'] } }, 'both want the path /'],
    [{ routes: { protected: ['/mcp/notes'] } }, 'both want the path /mcp/notes'],
    [{ auth: 'header' }, 'connector notes has no header value'],
    [
      { auth: 'header', header: { name: 'Host', value: 'x' } },
      'a header name that a credential may have',
    ],
    [{ claims: ['ssn'] }, 'must be one of name, email'],
    [{ allow: { githubTeams: ['a'] } }, "connectors.notes.allow.githubTeams[0] must be 'organizat"],
    [
      { allow: { githubTeams: ['a/b'] } },
      'ERR_CONFIG_ALLOW_KIND: connectors.notes.allow.githubTea',
    ],
    [{ url: 'ftp://127.0.0.1/' }, 'an absolute http or https URL'],
    [{ url: 'http://user:pw@127.0.0.1/' }, 'without user name or password'],
    [{ url: 'http://127.0.0.1:8414/mcp' }, 'not this house itself'],
  ])('refuses %j', (connector, message) => {
    expect(refusal(one(connector))).toContain(message)
  })

  it('lets a server keep / and /account below a prefix', () => {
    const config = parse({
      prefix: '/postern',
      ...one({ routes: { public: ['/', '/account/*'] } }),
    })
    expect(config.connectors[0]?.routes.public).toEqual(['/', '/account/*'])
  })
})

describe('B20: configuration files and environment that must not start', () => {
  const PUBLIC = { issuer: 'https://a.example', sealingKey: KEY }
  it.each<[unknown, Record<string, string>]>([
    [null, {}],
    [[], {}],
    ['text', {}],
    [{ issuer: 7 }, {}],
    [{ issuer: 'not a url' }, {}],
    [{ issuer: 'https://a.example/' }, {}],
    [{ issuer: 'https://A.example' }, {}],
    [{ issuer: 'https://a.example/path/' }, {}],
    [{ issuer: 'https://a.example/path//x' }, {}],
    [{ issuer: 'https://a.example/path/../x' }, {}],
    [{ issuer: 'https://a.example/p%61th' }, {}],
    [{ issuer: 'https://a.example/path;x' }, {}],
    [{ issuer: 'https://a.example/path?x=1' }, {}],
    [{ issuer: 'https://a.example/path#x' }, {}],
    [{ issuer: 'https://u:p@a.example/path' }, {}],
    [{ issuer: 'https://a.example/p', connectors: { a: { url: 'https://a.example/p/x' } } }, {}],
    [{ issuer: 'https://a.example?x=1' }, {}],
    [{ listen: { port: 70000 } }, {}],
    [{ listen: { port: '8e3' } }, {}],
    [{ listen: { prot: 1 } }, {}],
    [{ limits: { accessTokenTtlSeconds: 1 } }, {}],
    [{ limits: { accessTokenTtlSeconds: 999999999 } }, {}],
    [{ limits: { acessTokenTtlSeconds: 60 } }, {}],
    [{ limits: { upstreamProofTtlSeconds: 60, upstreamProofStaleSeconds: 30 } }, {}],
    [{ prefix: 'postern' }, {}],
    [{ prefix: '/postern/' }, {}],
    [{ databaseUrl: 'mysql://x' }, {}],
    [{ brand: { name: 'a\u0000b' } }, {}],
    [{ brand: { accentColor: 'red' } }, {}],
    [{ registration: { dynamic: 'perhaps' } }, {}],
    [{ ...PUBLIC, sealingKey: 'changeme' }, {}],
    [{ ...PUBLIC, sealingKey: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }, {}],
    [{ ...PUBLIC, sealingKey: `${KEY},short` }, {}],
    [{ allow: 'everyone' }, {}],
    [{ allow: {} }, {}],
    [{ allow: { emails: ['a@b@c'] } }, {}],
    [{ allow: { emailDomains: ['@corp.example'] } }, {}],
    [{ allow: { users: ['nocolon'] } }, {}],
    [{ allow: { roles: ['x'] } }, {}],
    [{ clients: { a: { redirectUris: [] } } }, {}],
    [{ clients: { a: { redirectUri: 'https://a' } } }, {}],
    [{ resources: ['nope'] }, {}],
    [{ enable: ['password'] }, {}],
    [{ assertionIssuers: {} }, {}],
    [{ assertionIssuers: [{ issuer: 'idp.example' }] }, {}],
    [{ assertionIssuers: [{ issuer: 'https://idp.example', jwksUri: 'x' }] }, {}],
    [{ assertionIssuers: [{ issuer: 'https://idp.example', clients: [] }] }, {}],
    [{ assertionIssuers: [{ issuer: 'https://idp.example', resources: ['notes'] }] }, {}],
    [{ clients: { a: { redirectUris: ['https://a.example/'], exchange: {} } } }, {}],
    [{ clients: { a: { redirectUris: ['https://a.example/'], exchange: { resource: 'x' } } } }, {}],
    [{ resources: [{ url: 'https://a.example/mcp', credential: 'short' }] }, {}],
    [{ providers: [{ type: 'myspace' }] }, {}],
    [{ providers: 'github' }, {}],
    [{ redisUrl: 'redis://127.0.0.1' }, {}],
    [{}, { POSTERN_PORT: 'eighty' }],
    [{}, { POSTERN_SEALING_KEY: 'x' }],
    [{}, { POSTERN_LOG_LEVEL: 'loud' }],
    [{}, { POSTERN_SEALING_KEY_FILE: '/nowhere' }],
  ])('refuses %j %j with a code, a problem and a fix', (input, environment) => {
    const message = refusal(input, environment)
    expect(message).toMatch(/^ERR_[A-Z_]+: .+\n.+/)
    expect(message).not.toContain(KEY)
  })
})
