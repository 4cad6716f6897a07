import { describe, expect, it } from 'vitest'
import { parseConfig } from './parse.ts'

function parse(input: unknown) {
  return parseConfig(input, { environment: {} })
}

describe('what is allowed at the token endpoint', () => {
  it('EXT-07: an exchange policy names resources in their canonical form, and nothing by default', () => {
    const exchange = { resource: 'HTTPS://Notes.example/mcp/' }
    const clients = { server: { secret: 'a-secret-of-a-server-0123456789ab', exchange } }
    const grants = ['client_credentials']
    const { clients: parsed } = parse({ clients: { server: { ...clients.server, grants } } })
    expect(parsed[0]?.exchange).toEqual({
      resource: 'https://notes.example/mcp',
      resources: [],
      providers: [],
    })
  })

  it('EXT-02: an assertion issuer is kept to the letter; absent, nobody is believed', () => {
    const issuer = 'https://idp.example/tenant/'
    const given = { issuer, clientIds: ['app'], scopes: ['mcp'], resources: ['https://a.example/'] }
    expect(parse({ assertionIssuers: [given] }).assertionIssuers).toEqual([
      { ...given, resources: ['https://a.example'] },
    ])
    expect(parse({}).assertionIssuers).toEqual([])
  })
})
