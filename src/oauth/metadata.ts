/**
 * The two documents that clients discover us by: RFC 8414 and RFC 9728, from configuration alone.
 *
 * Members say what is really implemented; members without values are left out (RFC 8414 section
 * 3.2). Pure, so that serving them can never cause an outbound call (AS-18).
 */
import { CLIENT_ASSERTION_ALGORITHMS } from './client-assertion.ts'
import { AUTH_METHODS } from './registration.ts'

export const JWKS_PATH = '/.well-known/jwks.json'

export interface AuthorizationServerFacts {
  readonly issuer: string
  /** Where the OAuth endpoints stand below the issuer, e.g. `/postern`; default none. */
  readonly prefix?: string
  readonly registration: boolean
  /** Clients may be named by the URL of their document; default false. */
  readonly metadataDocuments?: boolean
  /** Our scope names, without `offline_access`, which is added here and only here (AS-12). */
  readonly scopes: readonly string[]
  /** Resource identifiers served (RFC 9728 section 4); default left out. */
  readonly resources?: readonly string[]
  /** `/revoke` is served; default false. */
  readonly revocation?: boolean
}

export function authorizationServerMetadata(
  facts: AuthorizationServerFacts,
): Record<string, unknown> {
  const base = `${facts.issuer}${facts.prefix ?? ''}`
  return {
    issuer: facts.issuer,
    authorization_endpoint: `${base}/authorize`,
    token_endpoint: `${base}/token`,
    ...(facts.registration ? { registration_endpoint: `${base}/register` } : {}),
    ...(facts.revocation === true
      ? {
          revocation_endpoint: `${base}/revoke`,
          revocation_endpoint_auth_methods_supported: AUTH_METHODS,
          revocation_endpoint_auth_signing_alg_values_supported: CLIENT_ASSERTION_ALGORITHMS,
        }
      : {}),
    jwks_uri: `${facts.issuer}${JWKS_PATH}`,
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_methods_supported: AUTH_METHODS,
    token_endpoint_auth_signing_alg_values_supported: CLIENT_ASSERTION_ALGORITHMS,
    ...(facts.metadataDocuments === true ? { client_id_metadata_document_supported: true } : {}),
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
    scopes_supported: [...new Set([...facts.scopes, 'offline_access'])],
    ...listed('protected_resources', facts.resources),
    // Required members of the OpenID document, so that OpenID-only parsers accept it (AS-02).
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
  }
}

export interface ProtectedResourceFacts {
  readonly resource: string
  readonly issuer: string
  /** The minimum for basic use. */
  readonly scopes: readonly string[]
  readonly name?: string
}

export function protectedResourceMetadata(facts: ProtectedResourceFacts): Record<string, unknown> {
  const scopes = facts.scopes.filter((scope) => scope !== 'offline_access')
  return {
    resource: facts.resource,
    authorization_servers: [facts.issuer],
    ...listed('scopes_supported', scopes),
    bearer_methods_supported: ['header'],
    ...(facts.name === undefined ? {} : { resource_name: facts.name }),
  }
}

function listed(name: string, values: readonly string[] | undefined): Record<string, unknown> {
  return values === undefined || values.length === 0 ? {} : { [name]: [...values] }
}
