import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.ts'
import { readClients } from './clients.ts'

const KEY = {
  kty: 'EC',
  crv: 'P-256',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
}
const redirectUris = ['https://portal.example/cb']
const sources = { environment: { SECRET: 'from-the-environment' } }
const read = (portal: unknown) => readClients({ portal }, sources)[0]
const refusal = (portal: unknown): string => {
  try {
    read(portal)
    return 'accepted'
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

describe('readClients', () => {
  it('REG-29: redirect URIs, grant types, scopes, resources and one credential', () => {
    expect(
      read({
        name: 'Portal',
        redirectUris: [...redirectUris, 'http://127.0.0.1/cb', 'myapp://cb'],
        jwks: { keys: [KEY] },
        grants: ['authorization_code', 'client_credentials'],
        scopes: ['mcp'],
        resources: ['https://Auth.example/mcp/notes/'],
      }),
    ).toEqual({
      clientId: 'portal',
      name: 'Portal',
      redirectUris: [...redirectUris, 'http://127.0.0.1/cb', 'myapp://cb'],
      jwks: { keys: [KEY] },
      grants: ['authorization_code', 'client_credentials'],
      scopes: ['mcp'],
      resources: ['https://auth.example/mcp/notes'],
    })
    expect(read({ redirectUris, secret: 'env:SECRET' })?.secret?.reveal()).toBe(
      'from-the-environment',
    )
    expect(read({ redirectUris, jwksUri: 'https://portal.example/jwks' })).toMatchObject({
      jwksUri: 'https://portal.example/jwks',
    })
  })

  it('REG-29: a machine needs no redirect URI, everybody else does', () => {
    expect(read({ grants: ['client_credentials'], secret: 's' })).toMatchObject({
      redirectUris: [],
    })
    expect(refusal({ secret: 's' })).toContain('clients.portal.redirectUris')
    expect(refusal({ redirectUris: [] })).toContain('clients.portal.redirectUris')
  })

  it.each([
    ['redirectUris[0]', { redirectUris: ['javascript:alert(1)'] }],
    ['redirectUris[0]', { redirectUris: ['http://portal.example/cb'] }],
    ['redirectUris[0]', { redirectUris: ['https://portal.example/cb#x'] }],
    ['redirectUris[0]', { redirectUris: ['https://*.example/cb'] }],
    ['grants[0]', { redirectUris, grants: ['password'] }],
    ['grants', { redirectUris, grants: [] }],
    ['jwks', { redirectUris, jwks: { keys: [{ ...KEY, d: 'AAAA' }] } }],
    ['jwksUri', { redirectUris, jwksUri: 'http://portal.example/jwks' }],
    ['resources[0]', { redirectUris, resources: ['/mcp/notes'] }],
    ['secret and jwks', { redirectUris, secret: 's', jwks: { keys: [KEY] } }],
    ['clients.portal.uris', { redirectUris, uris: [] }],
  ])('REG-29: a mistake in %s is named', (name, portal) => {
    expect(refusal(portal)).toContain(name)
  })
})
