/**
 * Connectors with an authorization server, without one: a configured connector and the documents that
 * its servers would publish, as plain values.
 */
import type { ConnectorOAuth } from '../../src/config.ts'
import type { Discovered } from '../../src/connectors/discovery/discovery.ts'
import type { OutboundConnector } from '../../src/connectors/lifecycle/outbound-connector.ts'

const URL_OF_NOTES = 'https://notes.example/mcp'
const ISSUER = 'https://auth.notes.example'

export function connectorInput(
  oauth: Partial<ConnectorOAuth> = {},
  part: Partial<OutboundConnector> = {},
): OutboundConnector {
  return {
    name: 'notes',
    url: new URL(URL_OF_NOTES),
    auth: 'oauth',
    path: '/mcp/notes',
    resource: 'https://postern.example/mcp/notes',
    routes: { protected: [], public: [] },
    subject: 'postern',
    claims: [],
    enabled: true,
    oauth: {
      omitResource: false,
      strictResource: false,
      legacyDiscovery: true,
      followMetadataRedirects: false,
      ...oauth,
    },
    ...part,
  }
}

/** @param members Of the authorization server's document, over good ones. */
export function documents(
  members: Readonly<Record<string, unknown>> = {},
  part: Partial<Discovered> = {},
): Discovered {
  return {
    resource: {
      resource: URL_OF_NOTES,
      authorization_servers: [ISSUER],
      scopes_supported: ['read'],
    },
    authorizationServer: {
      issuer: ISSUER,
      authorization_endpoint: `${ISSUER}/authorize`,
      token_endpoint: `${ISSUER}/token`,
      registration_endpoint: `${ISSUER}/register`,
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['S256'],
      ...members,
    },
    source: 'path',
    state: 'fresh',
    ageSeconds: 0,
    ...part,
  }
}
