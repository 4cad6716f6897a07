/**
 * The two documents that clients discover us by: RFC 8414 and RFC 9728, from configuration alone.
 *
 * Members say what is really implemented; members without values are left out (RFC 8414 section
 * 3.2). Pure, so that serving them can never cause an outbound call (AS-18).
 */
import { CLIENT_ASSERTION_ALGORITHMS } from './client-assertion.ts'
import { AUTH_METHODS } from './registration.ts'
import { JWT_BEARER } from './token-request.ts'

export const JWKS_PATH = '/.well-known/jwks.json'

/** Nobody may ask without a secret (RFC 8414 section 2); a server of ours sends its credential. */
const INTROSPECTION_AUTH_METHODS = [...AUTH_METHODS.filter((name) => name !== 'none'), 'Bearer']

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
  /** `/introspect` is served (RFC 7662); default false. */
  readonly introspection?: boolean
  /** `/revoke` is served; default false. */
  readonly revocation?: boolean
  /** Optional grant types that are served (EXT-01, AS-06); default none. */
  readonly grantTypes?: readonly string[]
  /** RFC 9449 section 5.1; default left out. */
  readonly dpopAlgorithms?: readonly string[]
  /** `/par` is served (RFC 9126); default false. */
  readonly pushedRequests?: boolean
}

const ID_JAG_PROFILE = 'urn:ietf:params:oauth:grant-profile:id-jag'

export function authorizationServerMetadata(
  facts: AuthorizationServerFacts,
): Record<string, unknown> {
  const base = `${facts.issuer}${facts.prefix ?? ''}`
  const grantTypes = facts.grantTypes ?? []
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
    ...(facts.introspection === true
      ? {
          introspection_endpoint: `${base}/introspect`,
          introspection_endpoint_auth_methods_supported: INTROSPECTION_AUTH_METHODS,
        }
      : {}),
    jwks_uri: `${facts.issuer}${JWKS_PATH}`,
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: ['authorization_code', 'refresh_token', ...grantTypes],
    ...(grantTypes.includes(JWT_BEARER)
      ? { authorization_grant_profiles_supported: [ID_JAG_PROFILE] }
      : {}),
    ...listed('dpop_signing_alg_values_supported', facts.dpopAlgorithms),
    ...(facts.pushedRequests === true
      ? { pushed_authorization_request_endpoint: `${base}/par` }
      : {}),
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
