import { describe, expect, it } from 'vitest'
import { authorizationServerMetadata, protectedResourceMetadata } from './metadata.ts'

const issuer = 'https://auth.example'
const document = (
  options: {
    registration?: boolean
    metadataDocuments?: boolean
    prefix?: string
    revocation?: boolean
  } = {},
) => authorizationServerMetadata({ issuer, registration: true, scopes: ['mcp'], ...options })

describe('authorization server metadata', () => {
  it('AS-03, AS-04: issuer, endpoints and code only', () => {
    expect(document()).toMatchObject({
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/.well-known/jwks.json`,
      response_types_supported: ['code'],
      response_modes_supported: ['query'],
    })
  })

  it('AS-05: S256 and nothing else', () => {
    expect(document().code_challenge_methods_supported).toEqual(['S256'])
  })

  it('AS-06, AS-07: lists grant types and authentication methods, public clients included', () => {
    expect(document().grant_types_supported).toEqual(['authorization_code', 'refresh_token'])
    expect(document().token_endpoint_auth_methods_supported).toEqual([
      'none',
      'client_secret_basic',
      'client_secret_post',
      'private_key_jwt',
    ])
    const algorithms = ['ES256', 'RS256', 'PS256', 'EdDSA']
    expect(document().token_endpoint_auth_signing_alg_values_supported).toEqual(algorithms)
    expect(
      document({ revocation: true }).revocation_endpoint_auth_signing_alg_values_supported,
    ).toEqual(algorithms)
  })

  it('AS-09: says that client identifiers may be URLs when they may', () => {
    expect(document({ metadataDocuments: true }).client_id_metadata_document_supported).toBe(true)
    expect(document({ metadataDocuments: false })).not.toHaveProperty(
      'client_id_metadata_document_supported',
    )
  })

  it('AS-08: announces iss in authorization responses', () => {
    expect(document().authorization_response_iss_parameter_supported).toBe(true)
  })

  it('AS-09, AS-10, AS-11: members of what is off are absent', () => {
    const off = document({ registration: false })
    for (const name of [
      'registration_endpoint',
      'client_id_metadata_document_supported',
      'revocation_endpoint',
      'introspection_endpoint',
      'protected_resources',
    ]) {
      expect(off).not.toHaveProperty(name)
    }
    expect(document().registration_endpoint).toBe(`${issuer}/register`)
    expect(document({ revocation: true }).revocation_endpoint).toBe(`${issuer}/revoke`)
  })

  it('AS-12: offline_access is listed here, once', () => {
    expect(document().scopes_supported).toEqual(['mcp', 'offline_access'])
    const twice = authorizationServerMetadata({
      issuer,
      registration: true,
      scopes: ['mcp', 'offline_access'],
    })
    expect(twice.scopes_supported).toEqual(['mcp', 'offline_access'])
  })

  it('AS-13: lists the resources when told', () => {
    const resources = [`${issuer}/mcp/a`]
    expect(
      authorizationServerMetadata({ issuer, registration: true, scopes: [], resources })
        .protected_resources,
    ).toEqual(resources)
  })

  it('AS-14: has no member without a value', () => {
    for (const value of Object.values(document())) {
      expect([undefined, null, '']).not.toContain(value)
      if (Array.isArray(value)) expect(value.length).toBeGreaterThan(0)
    }
  })

  it('a prefix moves endpoints and never well-known paths', () => {
    const moved = document({ prefix: '/postern' })
    expect(moved.token_endpoint).toBe(`${issuer}/postern/token`)
    expect(moved.jwks_uri).toBe(`${issuer}/.well-known/jwks.json`)
  })
})

describe('protected resource metadata', () => {
  it('PR-02, PR-04, PR-05: names resource, issuer, minimum scopes and the header method', () => {
    const resource = `${issuer}/mcp/notes`
    expect(
      protectedResourceMetadata({
        resource,
        issuer,
        scopes: ['mcp', 'offline_access'],
        name: 'Notes',
      }),
    ).toEqual({
      resource,
      authorization_servers: [issuer],
      scopes_supported: ['mcp'],
      bearer_methods_supported: ['header'],
      resource_name: 'Notes',
    })
    const bare = protectedResourceMetadata({ resource, issuer, scopes: [] })
    expect(Object.keys(bare)).toEqual([
      'resource',
      'authorization_servers',
      'bearer_methods_supported',
    ])
  })
})
