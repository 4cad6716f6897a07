/** Configuration files and environments that must not start, through the real command line (threats.md section 4). */
import { expect, it } from 'vitest'
import { FIELDS, type Field, LIMIT_FIELDS } from '../../src/config/fields.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { startCli } from '../kit/cli.ts'
import { checkFamily, countOf, sample } from '../kit/family.ts'

const SEALING_KEY = 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs'
const CLIENT_SECRET = 'client-secret-canary-0123456789abcdef'
const UPSTREAM_SECRET = 'upstream-secret-canary-0123456789abcdef'
const CREDENTIAL = 'credential-canary-0123456789abcdefghij'
const HEADER_SECRET = 'header-secret-canary-0123456789abcdef'
const BAD_SECRET = 'bad-canary'
const CANARIES = [
  SEALING_KEY,
  CLIENT_SECRET,
  UPSTREAM_SECRET,
  CREDENTIAL,
  HEADER_SECRET,
  BAD_SECRET,
]
const CASES_AT_ONCE = 4
/** `EX_USAGE` of this house: the caller has to change something. */
const REFUSED = 2

type Values = Readonly<Record<string, unknown>>

/** Would start, with a secret in every place that takes one. */
const GOOD: Values = {
  issuer: 'https://auth.example',
  listen: { port: 0, metricsPort: 0 },
  sealingKey: SEALING_KEY,
  allow: 'anyone',
  providers: [{ type: 'github', clientId: 'x', clientSecret: UPSTREAM_SECRET }],
  clients: { portal: { redirectUris: ['https://client.example/cb'], secret: CLIENT_SECRET } },
  resources: [{ url: 'https://server.example/mcp', credential: CREDENTIAL }],
  connectors: {
    notes: {
      url: 'http://127.0.0.1:9/mcp',
      auth: 'header',
      header: { name: 'x-key', value: HEADER_SECRET },
    },
    remote: {
      url: 'https://remote.example/mcp',
      auth: 'oauth',
      client: { clientId: 'x', clientSecret: UPSTREAM_SECRET },
    },
  },
}

interface Case {
  readonly config: Values | string
  readonly environment?: Readonly<Record<string, string>>
}

/** What no field of a type may hold. */
function wrongValues({ type, min, max }: Field): readonly unknown[] {
  const any: readonly unknown[] = [{}, { toString: BAD_SECRET }, null]
  switch (type) {
    case 'integer':
      return [...any, 'x', 1.5, [], Number(min ?? 0) - 1, Number(max ?? 0) + 1, '1e3', '0x10']
    case 'boolean':
      return [...any, 'perhaps', 2, []]
    case 'url':
      return [...any, 'nope', '//host', 'javascript:alert(1)', 7, 'https://u:bad-canary@a.example']
    case 'choice':
      return [...any, 'loud', '', 7, []]
    case 'list':
      return [...any, 7, true, [7], [{}]]
    case 'secret':
      return [...any, BAD_SECRET, 7, [], `${SEALING_KEY},${BAD_SECRET}`]
    default:
      return [{}, [], 7, true, 'a\u0000b']
  }
}

function withField(path: string, value: unknown): Values {
  const [first = '', second] = path.split('.')
  if (second === undefined) return { ...GOOD, [first]: value }
  return { ...GOOD, [first]: { ...(GOOD[first] as object | undefined), [second]: value } }
}

const BROKEN_TEXTS: readonly string[] = [
  '',
  ' ',
  '{',
  '[]',
  'null',
  '7',
  '"x"',
  `{"sealingKey":"${SEALING_KEY}",}`,
  `{"sealingKey":"${SEALING_KEY}"`,
  `{"sealingKey":"${SEALING_KEY}"}x`,
  `{"sealingKey": ${SEALING_KEY}}`,
  `{'sealingKey':'${SEALING_KEY}'}`,
  `// ${SEALING_KEY}\n{}`,
  `sealingKey: ${SEALING_KEY}`,
  `{"sealingKey":"${BAD_SECRET}\u0000"}`,
  '{"__proto__":{"issuer":"x"},"issuer":7}',
  `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`,
  `${'['.repeat(50_000)}`,
]

/** Of a connector with `auth: 'oauth'`, or another where the part says so. */
const WRONG_REMOTES: readonly Values[] = [
  { auth: 'oauth2' },
  { auth: 'client_credentials' },
  { auth: 'identity', client: { clientId: 'x', clientSecret: BAD_SECRET } },
  { client: 'x' },
  { client: { clientSecret: BAD_SECRET } },
  { client: { clientId: 'x', secret: BAD_SECRET } },
  { client: { clientId: 'x', clientSecret: BAD_SECRET, authMethod: 'none' } },
  { client: { clientId: 'x', authMethod: 'client_secret_basic' } },
  { client: { clientId: 'x\u0000', clientSecret: BAD_SECRET } },
  { pinnedIssuer: 'http://as.example' },
  { pinnedIssuer: `https://u:${BAD_SECRET}@as.example` },
  { endpoints: { token: 'https://as.example/token' } },
  { endpoints: { authorization: 'javascript:1', token: 'https://as.example/token' } },
  { requestedScopes: ['a b'] },
  { strictResource: 'yes' },
  { oauth: { omitResource: true } },
]

const WRONG_PARTS: readonly Values[] = [
  { unknown: 1 },
  { Issuer: 'https://a.example' },
  { sealingkey: BAD_SECRET },
  { issuer: 'http://auth.example' },
  { issuer: 'https://auth.example/' },
  { issuer: 'https://auth.example?x=1' },
  { issuer: `https://u:${BAD_SECRET}@auth.example` },
  { sealingKey: 'A'.repeat(43) },
  { sealingKey: 'changeme' },
  { sealingKey: undefined },
  { sealingKey: 'env:NOT_THERE' },
  { sealingKey: 'file:/nowhere/at-all' },
  { allow: undefined },
  { allow: {} },
  { allow: 'everyone' },
  { allow: { emails: ['a@b@c'] } },
  { allow: { emailDomains: ['@corp.example'] } },
  { providers: 'github' },
  { providers: [{ type: 'myspace', clientSecret: BAD_SECRET }] },
  { providers: [{ type: 'github', clientSecret: UPSTREAM_SECRET }] },
  { providers: [{ type: 'github', clientId: 'x', clientsecret: BAD_SECRET }] },
  { providers: [{ type: 'oidc', clientId: 'x', clientSecret: BAD_SECRET }] },
  { providers: [GOOD, GOOD] },
  { connectors: [] },
  { connectors: { 'NOT A NAME': { url: 'http://127.0.0.1:9/mcp' } } },
  { connectors: { token: { url: `http://u:${BAD_SECRET}@127.0.0.1:9/mcp` } } },
  { connectors: { a: { url: 'ftp://127.0.0.1/mcp' } } },
  { connectors: { a: { url: 'http://127.0.0.1:9/mcp', path: '/token' } } },
  { connectors: { a: { url: 'http://127.0.0.1:9/mcp', auth: 'header' } } },
  { connectors: { a: { url: 'http://127.0.0.1:9/mcp', header: { value: BAD_SECRET } } } },
  { connectors: { a: { url: 'http://127.0.0.1:9/mcp', scopes: { 'a b': {} } } } },
  { connectors: { a: { url: 'http://127.0.0.1:9/mcp', scopes: { a: { implies: ['b'] } } } } },
  ...WRONG_REMOTES.map((part) => ({
    connectors: { a: { url: 'https://a.example/mcp', auth: 'oauth', ...part } },
  })),
  { connectors: { a: { preset: 'nowhere' } } },
  { connectors: { a: { preset: 'linear', url: 'https://a.example/mcp' } } },
  { connectors: { a: { preset: 'slack', client: { clientSecret: BAD_SECRET } } } },
  { resources: ['nope'] },
  { resources: [{ url: 'https://a.example/mcp', credential: BAD_SECRET }] },
  { clients: { a: { redirectUris: [] } } },
  { clients: { a: { redirectUris: ['javascript:1'], secret: CLIENT_SECRET } } },
  { clients: { a: { redirectUris: ['https://a.example/cb'], secret: CLIENT_SECRET, jwks: {} } } },
  { clients: { a: { redirectUris: ['https://a.example/cb'], grants: ['password'] } } },
  { enable: ['everything'] },
  { signals: { a: { issuer: 'https://a.example', credential: BAD_SECRET } } },
  { assertionIssuers: [{ issuer: 7 }] },
  { scopeAliases: { user: 7 } },
  { limits: { accessTokenTtlSeconds: 999_999_999 } },
  { limits: { upstreamProofTtlSeconds: 60, upstreamProofStaleSeconds: 30 } },
  { limits: { acessTokenTtlSeconds: 60 } },
  { insecureDevelopmentSignIn: true },
  { databaseUrl: `mysql://u:${BAD_SECRET}@host/db` },
  { prefix: 'x' },
  { defaultResource: 'https://nowhere.example/mcp' },
]

const WRONG_ENVIRONMENTS: readonly Readonly<Record<string, string>>[] = [
  { POSTERN_LISTEN_PORT: 'eighty' },
  { POSTERN_PORT: 'eighty' },
  { POSTERN_SEALING_KEY: BAD_SECRET },
  { POSTERN_SEALING_KEY: `${SEALING_KEY},${BAD_SECRET}` },
  { POSTERN_SEALING_KEY_FILE: '/nowhere/at-all' },
  { POSTERN_LOG_LEVEL: 'loud' },
  { POSTERN_ISSUER: `https://u:${BAD_SECRET}@a.example` },
  { POSTERN_ACCESS_TOKEN_TTL_SECONDS: '-1' },
  { POSTERN_ENABLE: 'everything' },
  { POSTERN_DATABASE_URL: `postgres://u:${BAD_SECRET}@host/db` },
]

function allCases(): readonly Case[] {
  const fields = [...FIELDS, ...LIMIT_FIELDS].flatMap((field) =>
    wrongValues(field).map((value) => ({ config: withField(field.path, value) })),
  )
  return [
    ...BROKEN_TEXTS.map((config) => ({ config })),
    ...WRONG_PARTS.map((part) => ({ config: { ...GOOD, ...part } })),
    ...WRONG_ENVIRONMENTS.map((environment) => ({ config: GOOD, environment })),
    ...fields,
  ]
}

async function expectRefused({ config, environment }: Case): Promise<void> {
  const { code, stdout, stderr } = await startCli(['serve'], config, undefined, environment)
  expect([code, stdout], stderr).toEqual([REFUSED, ''])
  // `CODE: problem`, then the fix; no stack.
  expect(stderr).toMatch(/^ERR_[A-Z_]+: [^\n]+\n[^\n]+\n?$/)
  for (const secret of CANARIES) expect(`${stdout}${stderr}`).not.toContain(secret)
}

it('B20: a file or environment that is wrong stops the start with one problem and one fix, and no secret', async () => {
  // What they are made of is right: each is refused for what was done to it.
  expect(parseConfig(GOOD, { environment: {} }).connectors).toHaveLength(2)
  const cases = sample(allCases(), countOf(150))
  await checkFamily('B20', cases, expectRefused, CASES_AT_ONCE)
}, 300_000)
