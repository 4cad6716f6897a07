import { describe, expect, it } from 'vitest'
import { type Config, parseConfig } from '../config.ts'
import { ConfigError } from '../errors.ts'
import { TENANTS_MAX } from './tenants.ts'

const KEY = 'q83vEjRWeJq83vDxo7XmCTnLWlvS-0h8G2Y5-cQZkXI'
const ISSUER = 'https://auth.example.com'

function parse(
  tenants: unknown,
  rest: Record<string, unknown> = {},
  environment: Record<string, string> = {},
): Config {
  return parseConfig({ issuer: ISSUER, sealingKey: KEY, tenants, ...rest }, { environment })
}

function refusal(...given: Parameters<typeof parse>): string {
  try {
    parse(...given)
  } catch (error) {
    if (error instanceof ConfigError) return `${error.problem} ${error.fix}`
    throw error
  }
  return 'accepted'
}

const notes = { notes: { url: 'https://notes.example/mcp' } }

describe('tenants of the configuration', () => {
  it('AS-03: a tenant has an issuer of its own: below the outer one, or where it says', () => {
    const { tenants } = parse({
      acme: { connectors: notes },
      own: { issuer: 'https://auth.own.example', connectors: notes },
    })
    expect(tenants?.map(({ tenant, issuer }) => [tenant, issuer])).toEqual([
      ['acme', `${ISSUER}/t/acme`],
      ['own', 'https://auth.own.example'],
    ])
    expect(tenants?.map(({ connectors }) => connectors[0]?.resource)).toEqual([
      `${ISSUER}/t/acme/mcp/notes`,
      'https://auth.own.example/mcp/notes',
    ])
  })

  it('takes what is said once from the outer house, and nothing else', () => {
    const outer = parse(
      { acme: { brand: { name: 'Acme' } }, plain: {} },
      {
        limits: { approvalTtlSeconds: 3_600 },
        listen: { port: 8500, trustedProxies: ['10.0.0.1'] },
        databaseUrl: 'memory:',
        prefix: '/postern',
        egress: { denyHosts: ['bad.example'] },
        brand: { name: 'House' },
        connectors: notes,
        resources: ['https://tools.example/mcp'],
        scopeAliases: { user: 'mcp' },
      },
    )
    const [acme, plain] = outer.tenants ?? []
    for (const field of ['listen', 'databaseUrl', 'prefix', 'egress', 'limits', 'log'] as const)
      expect(acme?.[field], field).toEqual(outer[field])
    expect(acme?.sealingKeys).toEqual(outer.sealingKeys)
    expect([acme?.brand.name, plain?.brand.name]).toEqual(['Acme', 'Postern'])
    expect([acme?.connectors, acme?.resources, acme?.scopeAliases]).toEqual([[], [], {}])
    expect(parse({}).tenants).toBeUndefined()
  })

  it('names the field below tenants.<name>', () => {
    expect(refusal({ acme: { connectors: { notes: { url: 'ftp://x' } } } })).toMatch(
      /^tenants\.acme\.connectors\.notes\.url must be .* Correct tenants\.acme\.connectors\.notes\.url\.$/,
    )
    expect(refusal({ acme: { connectorz: {} } })).toMatch(
      /^tenants\.acme\.connectorz is not a field/,
    )
    expect(
      refusal({ acme: { connectors: { notes: { url: 'https://x.example', aut: 1 } } } }),
    ).toMatch(
      /tenants\.acme\.connectors\.notes\.aut is not a field.*tenants\.acme\.connectors\.notes\.auth/,
    )
    expect(refusal({ acme: { issuer: 'http://acme.example' } })).toMatch(
      /^tenants\.acme\.issuer must be https/,
    )
    const signIn = { type: 'github', clientId: 'a', clientSecret: 'b' }
    expect(refusal({ acme: { providers: [signIn] } })).toMatch(/tenants\.acme/)
  })

  it.each(['listen', 'databaseUrl', 'sealingKey', 'egress', 'log', 'onEvent', 'limits', 'prefix'])(
    'refuses %s of a tenant: it is said once',
    (field) => {
      expect(refusal({ acme: { [field]: {} } })).toMatch(
        new RegExp(`^tenants\\.acme\\.${field} is not a field`),
      )
    },
  )

  it('I9: takes at most 100 tenants, with names for URLs, and never `default`', () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`t${index}`, {}]))
    expect(parse(many(TENANTS_MAX)).tenants).toHaveLength(TENANTS_MAX)
    expect(refusal(many(TENANTS_MAX + 1))).toMatch(/^tenants must be at most 100/)
    for (const name of ['default', 'Acme', 'a_b', 'a.b', 'a/b', '', 'a'.repeat(41)])
      expect(refusal({ [name]: {} }), name).toMatch(/must be a name of 1 to 40/)
  })

  it('A19: refuses two houses at one address, however it is written', () => {
    const own = { issuer: 'https://own.example/a' }
    expect(refusal({ acme: { issuer: ISSUER } })).toMatch(/^tenants\.acme\.issuer must be another/)
    expect(refusal({ acme: own, other: own })).toMatch(/^tenants\.other\.issuer must be another/)
    expect(refusal({ acme: { issuer: `${ISSUER}/t/other` }, other: {} })).toMatch(/another than/)
  })

  it.each([
    ['a connector there', { connectors: { x: { url: 'https://x.example', path: '/t/acme' } } }],
    ['a connector above', { connectors: { x: { url: 'https://x.example', path: '/t' } } }],
    ['a connector below', { connectors: { x: { url: 'https://x.example', path: '/t/acme/mcp' } } }],
    [
      'a route of a connector',
      { connectors: { x: { url: 'https://x.example', routes: { public: ['/t/*'] } } } },
    ],
  ])('A19: refuses a tenant whose paths the outer house answers: %s', (_, outer) => {
    expect(refusal({ acme: {} }, outer)).toMatch(/^tenants\.acme\.issuer must be outside of \/t/)
  })

  it('A19: refuses an issuer among the routes of another house', () => {
    for (const path of ['/authorize', '/connect', '/api/v1', '/mcp/notes', '/callback/x'])
      expect(
        refusal({ acme: { issuer: `${ISSUER}${path}` } }, { connectors: notes }),
        path,
      ).toMatch(/^tenants\.acme\.issuer must be outside of/)
    const below = { acme: {}, other: { issuer: `${ISSUER}/t/acme/token` } }
    expect(refusal(below)).toMatch(/^tenants\.other\.issuer must be outside of \/token/)
    expect(parse({ acme: {}, other: { issuer: `${ISSUER}/t/acme/team` } }).tenants).toHaveLength(2)
  })

  it('O5: refuses a connector that is one of our own houses', () => {
    const to = (url: string) => ({ connectors: { loop: { url } } })
    expect(refusal({ acme: to(`${ISSUER}/mcp/notes`) })).toMatch(
      /^tenants\.acme\.connectors\.loop\.url must be another server/,
    )
    const own = { issuer: 'https://own.example' }
    expect(refusal({ acme: to('https://own.example/mcp/notes'), own })).toMatch(
      /^tenants\.acme\.connectors\.loop\.url/,
    )
    expect(refusal({ own }, to('https://own.example/mcp/notes'))).toMatch(/^connectors\.loop\.url/)
  })

  it('O5: refuses a resource that two houses would speak for', () => {
    const shared = { resources: ['https://tools.example/mcp'] }
    expect(refusal({ acme: shared }, shared)).toMatch(/^tenants\.acme\.resources must be/)
    expect(refusal({ acme: shared, other: shared })).toMatch(/^tenants\.other\.resources must be/)
    expect(refusal({ acme: { resources: [`${ISSUER}/t/other/x`] }, other: {} })).toMatch(
      /^tenants\.acme\.resources/,
    )
  })

  it('reads its own part of the environment, and none of the outer house', () => {
    const github = [{ type: 'github' }]
    const tenants = { acme: { providers: github, allow: 'anyone' }, 'acme-two': {} }
    const { tenants: [acme, two] = [] } = parse(
      tenants,
      {},
      {
        POSTERN_TENANT_ACME_GITHUB_CLIENT_ID: 'acme-id',
        POSTERN_TENANT_ACME_GITHUB_CLIENT_SECRET: 'acme-secret',
        POSTERN_TENANT_ACME_TWO_BRAND_NAME: 'Two',
        POSTERN_BRAND_NAME: 'House',
      },
    )
    expect(acme?.providers).toHaveLength(1)
    expect([acme?.brand.name, two?.brand.name]).toEqual(['Postern', 'Two'])
    const houseOnly = {
      POSTERN_GITHUB_CLIENT_ID: 'house-id',
      POSTERN_GITHUB_CLIENT_SECRET: 'house-secret',
    }
    expect(refusal(tenants, {}, houseOnly)).toMatch(/POSTERN_TENANT_ACME_GITHUB_CLIENT_/)
    const limited = parse({ acme: {} }, {}, { POSTERN_TENANT_REQUESTS_MAX: '7' })
    expect(limited.tenants?.[0]?.limits.tenantRequestsMax).toBe(7)
    expect(refusal({ acme: {} }, {}, { POSTERN_TENANT_ACME_LISTEN_PORT: '1' })).toMatch(
      /POSTERN_TENANT_ACME_LISTEN_PORT is not a setting of a tenant/,
    )
    expect(refusal({ acme: {} }, {}, { POSTERN_TENANT_OTHER_BRAND_NAME: 'x' })).toMatch(
      /POSTERN_TENANT_OTHER_BRAND_NAME is not a setting/,
    )
    expect(refusal({ acme: {} }, {}, { POSTERN_TENANT_ACME_BRAND_NAM: 'x' })).toMatch(
      /POSTERN_TENANT_ACME_BRAND_NAM is not a setting.*POSTERN_TENANT_ACME_BRAND_NAME/,
    )
  })
})
