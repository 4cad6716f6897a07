import { describe, expect, it } from 'vitest'
import { createDraw } from '../../test/kit/family.ts'
import { specialHost } from '../../test/kit/special-hosts.ts'
import { parseConfig } from '../config.ts'
import { ConfigError } from '../errors.ts'
import { readMadeConnector } from './made-connector.ts'

const URL_OF_NOTES = 'https://notes.example/mcp'

const config = parseConfig(
  {
    issuer: 'https://mcp.corp.example',
    databaseUrl: 'memory:',
    sealingKey: 'pJ8_xkW0aS5mZ1vT3uYqLr7cNbHgDfEi2o4wB6t9QXs',
    allow: 'anyone',
    connectors: {
      erp: { url: 'http://erp.svc:8000/mcp', routes: { protected: ['/erp/v2/*'] } },
    },
    resources: ['https://mcp.corp.example/own/mcp'],
    tenants: {
      acme: { issuer: 'https://acme.example', allow: 'anyone' },
      team: { allow: 'anyone' },
    },
    egress: { allowHosts: ['http://lab.svc:9000'], denyHosts: ['denied.example'] },
  },
  { environment: { SECRET: 'of the operator', POSTERN_CONNECTOR_NOTES_CLIENT_ID: 'theirs' } },
)

function read(input: object, name = 'notes') {
  return readMadeConnector(name, input, config, config.connectors)
}

/** Field and code of the refusal. */
function refusal(input: object, name = 'notes'): readonly [string | undefined, string] {
  try {
    read(input, name)
  } catch (error) {
    if (error instanceof ConfigError) return [error.field, error.code]
    throw error
  }
  throw new Error(`accepted: ${JSON.stringify(input)}`)
}

describe('a connector made by the API', () => {
  it('is read by the rules of the file, and is marked', () => {
    const connector = read({ url: URL_OF_NOTES, auth: 'oauth', title: 'Notes' })
    expect(connector).toMatchObject({
      name: 'notes',
      made: true,
      path: '/mcp/notes',
      resource: 'https://mcp.corp.example/mcp/notes',
      title: 'Notes',
    })
    // What the environment says is the operator's, for connectors of the file.
    expect(connector.oauth?.client).toBeUndefined()
    expect(refusal({ url: URL_OF_NOTES, uri: 'x' })).toEqual([
      'connectors.notes.uri',
      'ERR_CONFIG_UNKNOWN_FIELD',
    ])
    expect(refusal({ url: URL_OF_NOTES }, 'Notes')[0]).toBe('connectors.Notes')
  })

  it.each([
    ['http', 'http://notes.example/mcp'],
    ['a port', 'https://notes.example:8443/mcp'],
    ['a public address', 'https://93.184.216.34/mcp'],
    ['a private address', 'https://10.0.0.8/mcp'],
    ['this machine', 'https://localhost/mcp'],
    ['a name of the network', 'https://erp/mcp'],
    ['a name of the network', 'https://erp.internal/mcp'],
    ['what the file names for itself', 'http://erp.svc:8000/mcp'],
    ['a denied host', 'https://denied.example/mcp'],
    ['this house', 'https://mcp.corp.example/mcp/erp'],
    ['this house, spelled otherwise', 'https://MCP.corp.example./mcp/erp'],
    ['a neighbour on our host', 'https://mcp.corp.example/elsewhere'],
    ['a house of another tenant', 'https://acme.example/mcp/notes'],
    ['a user name', 'https://ada@notes.example/mcp'],
  ])('I6 S10: refuses a URL with %s', (_what, url) => {
    expect(refusal({ url })).toEqual(['connectors.notes.url', 'ERR_CONFIG_VALUE'])
    const endpoints = { authorization: URL_OF_NOTES, token: url }
    expect(refusal({ url: URL_OF_NOTES, auth: 'oauth', endpoints })).toEqual([
      'connectors.notes.endpoints.token',
      'ERR_CONFIG_VALUE',
    ])
    expect(refusal({ url: URL_OF_NOTES, auth: 'oauth', pinnedIssuer: url })).toEqual([
      'connectors.notes.pinnedIssuer',
      'ERR_CONFIG_VALUE',
    ])
    // In the place of what a preset says.
    const client = { clientId: 'us', clientSecret: 'of ours' }
    expect(refusal({ preset: 'linear', client, endpoints })[0]).toBe(
      'connectors.notes.endpoints.token',
    )
    expect(refusal({ preset: 'linear', client, pinnedIssuer: url })[0]).toBe(
      'connectors.notes.pinnedIssuer',
    )
  })

  it('O5: refuses a path at which another house of this process is, from both sides', () => {
    const own = (path: string) => refusal({ url: URL_OF_NOTES, path })
    for (const path of ['/t', '/t/team', '/t/team/mcp/notes'])
      expect(own(path)).toEqual(['connectors.notes.path', 'ERR_CONFIG_OVERLAP'])
    const routes = { protected: ['/t/*'] }
    expect(refusal({ url: URL_OF_NOTES, routes })[0]).toBe('connectors.notes.routes.protected[0]')
    expect(read({ url: URL_OF_NOTES, path: '/t/teams' }).path).toBe('/t/teams')
    const [acme, team] = config.tenants ?? []
    if (acme === undefined || team === undefined) throw new Error('there are two tenants')
    for (const [house, foreign] of [
      [acme, 'https://mcp.corp.example/mcp/erp'],
      [team, 'https://acme.example/mcp/notes'],
    ] as const) {
      expect(() => readMadeConnector('notes', { url: foreign }, house, [])).toThrow(ConfigError)
      expect(readMadeConnector('notes', { url: URL_OF_NOTES }, house, []).made).toBe(true)
    }
  })

  it('I6: takes an exact origin of the operator’s allow-list, and no other of its host', () => {
    expect(read({ url: 'http://lab.svc:9000/mcp' }).url.origin).toBe('http://lab.svc:9000')
    expect(refusal({ url: 'http://lab.svc:9001/mcp' })[0]).toBe('connectors.notes.url')
  })

  it('B4: no spelling of an address that is not public gets in', () => {
    const draw = createDraw(7)
    for (let at = 0; at < 2_000; at += 1) {
      const host = specialHost(draw)
      const url = `https://${host}/mcp`
      // A name is judged by what it resolves to, at each connect.
      if (/\.(?:example|io|lan|google\.internal|cluster)/.test(URL.parse(url)?.hostname ?? ''))
        continue
      if (URL.parse(url)?.hostname === 'kubernetes.default.svc') continue
      if (URL.parse(url)?.hostname === 'localhost.localdomain') continue
      expect(refusal({ url })[0], url).toBe('connectors.notes.url')
    }
  })

  it.each([
    ['header.value', { auth: 'header', header: { value: 'env:SECRET' } }],
    ['header.value', { auth: 'header', header: { value: 'file:/etc/passwd' } }],
    [
      'client.clientSecret',
      { auth: 'oauth', client: { clientId: 'us', clientSecret: 'env:SECRET' } },
    ],
    ['title', { title: ' env:SECRET' }],
    ['routes.public[0]', { routes: { public: ['file:/etc/passwd'] } }],
    ['url', { url: 'env:SECRET' }],
  ])('S10: refuses a reference to our environment or files in %s', (field, input) => {
    expect(refusal({ url: URL_OF_NOTES, ...input })).toEqual([
      `connectors.notes.${field}`,
      'ERR_CONFIG_VALUE',
    ])
  })

  it('leaves to the file what only the file may say', () => {
    expect(refusal({ url: URL_OF_NOTES, subject: 'provider' })[0]).toBe('connectors.notes.subject')
    expect(refusal({ url: URL_OF_NOTES, providerTokenHeader: 'x' })[0]).toBe(
      'connectors.notes.providerTokenHeader',
    )
  })

  it.each([
    ['path', { path: '/mcp/erp' }],
    ['path', { path: '/authorize' }],
    ['path', { path: '/account' }],
    ['path', { path: '/erp/v2/x' }],
    ['path', { path: '/own/mcp' }],
    ['routes.protected[0]', { routes: { protected: ['/*'] } }],
    ['routes.protected[0]', { routes: { protected: ['/a*'] } }],
    ['routes.public[0]', { routes: { public: ['/erp/*'] } }],
    ['routes.public[0]', { routes: { public: ['/erp/v2/mine/*'] } }],
    ['routes.public[0]', { routes: { public: ['/mcp/*'] } }],
  ])('O6: refuses a %s that reaches into somebody else’s', (field, input) => {
    expect(refusal({ url: URL_OF_NOTES, ...input })[0]).toBe(`connectors.notes.${field}`)
  })

  it('leaves paths that are nobody’s', () => {
    const routes = { protected: ['/notes/*'], public: ['/notes/health'] }
    expect(read({ url: URL_OF_NOTES, path: '/notes-mcp', routes }).routes).toEqual(routes)
  })

  it('refuses rules that no provider here can answer', () => {
    expect(refusal({ url: URL_OF_NOTES, allow: { githubTeams: ['a/b'] } })[1]).toBe(
      'ERR_CONFIG_ALLOW_KIND',
    )
  })

  it('is bounded', () => {
    expect(refusal({ url: URL_OF_NOTES, description: 'x'.repeat(70_000) })[0]).toBe(
      'connectors.notes',
    )
  })
})
