/**
 * Recorded shapes of the OpenID products, each with the page of its documentation, and a house for
 * each: the real adapter, the real egress, public addresses that lead to one double.
 */
import type { Person } from '../../demo/doubles/people.ts'
import { PROVIDER_TYPES } from '../../src/providers/index.ts'
import type { ProviderSettings } from '../../src/providers/provider.ts'
import { createTestRuntime } from '../kit/runtime.ts'
import { type Claims, endpoint, type Shape, type ShapeDouble, startShape } from './openid-shapes.ts'
import { CLIENT, createHouse, type House, settings } from './provider-house.ts'

export interface Product {
  readonly type: string
  readonly options: ProviderSettings['options']
  readonly shape: Shape
  /** Default: userinfo. */
  readonly checkEndpoint?: string
}

export async function productHouse(
  { type: name, options, shape, checkEndpoint }: Product,
  changes: Partial<ProviderSettings> & { readonly shape?: Partial<Shape> } = {},
): Promise<House<ShapeDouble>> {
  const runtime = createTestRuntime({ startMs: Date.now() })
  const double = await startShape({ ...shape, ...changes.shape }, CLIENT, runtime.nowMs)
  const type = PROVIDER_TYPES.find((entry) => entry.type === name)
  if (type === undefined) throw new Error(`no provider type ${name}`)
  const provider = type.create({
    ...settings(name, changes),
    options: { ...defaultsOf(type.options), ...options, ...changes.options },
  })
  const { document } = shape
  return createHouse(double, provider, runtime, {
    checkEndpoint: checkEndpoint ?? endpoint('GET', String(document['userinfo_endpoint'])),
    tokenEndpoint: endpoint('POST', document.token_endpoint),
    leadTo: double.port,
  })
}

function defaultsOf(
  options: readonly { readonly name: string; readonly default?: string }[],
): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(options.map((option) => [option.name, option.default]))
}

const PROFILE = ({ name, login, email }: Person): Claims => ({
  name,
  preferred_username: login,
  email,
  email_verified: true,
})

const BEARER_REFUSAL = {
  status: 401,
  headers: {
    'www-authenticate': 'Bearer error="invalid_token", error_description="The token is invalid"',
  },
} as const

/** https://accounts.google.com/.well-known/openid-configuration */
export const GOOGLE: Product = {
  type: 'google',
  options: {},
  checkEndpoint: 'POST /oauth2.googleapis.com/tokeninfo',
  shape: {
    issuer: 'https://accounts.google.com',
    documentUrl: 'https://accounts.google.com/.well-known/openid-configuration',
    document: {
      issuer: 'https://accounts.google.com',
      authorization_endpoint: 'https://accounts.google.com/o/oauth2/v2/auth',
      token_endpoint: 'https://oauth2.googleapis.com/token',
      userinfo_endpoint: 'https://openidconnect.googleapis.com/v1/userinfo',
      revocation_endpoint: 'https://oauth2.googleapis.com/revoke',
      jwks_uri: 'https://www.googleapis.com/oauth2/v3/certs',
      response_modes_supported: ['query', 'fragment', 'form_post'],
      id_token_signing_alg_values_supported: ['RS256'],
      scopes_supported: ['openid', 'email', 'profile'],
      token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
    },
    idToken: (person) => ({
      sub: `10${person.id}`,
      azp: CLIENT.clientId,
      name: person.name,
      email: person.email,
      email_verified: true,
      hd: 'example.com',
    }),
    accessToken: 'opaque',
    clientAuthentication: 'post',
    grant: (asked) =>
      asked.map((scope) =>
        scope === 'openid' ? scope : `https://www.googleapis.com/auth/userinfo.${scope}`,
      ),
    // Once per person and client, again only with prompt=consent: nobody is new here.
    givesRefreshToken: (request) => request.get('access_type') === 'offline',
    rotates: false,
    refusal: BEARER_REFUSAL,
    extra: {
      'POST /oauth2.googleapis.com/tokeninfo': ({ person }) =>
        person === undefined
          ? { status: 400, body: { error: 'invalid_token', error_description: 'Invalid Value' } }
          : {
              status: 200,
              body: {
                azp: CLIENT.clientId,
                aud: CLIENT.clientId,
                sub: `10${person.id}`,
                scope: 'openid https://www.googleapis.com/auth/userinfo.email',
                exp: '1893456000',
                expires_in: '3599',
                access_type: 'offline',
              },
            },
    },
  },
}

export const TENANT = '7f1c0000-1111-4222-8333-444455556666'
export const OTHER_TENANT = '8a2d0000-1111-4222-8333-444455556666'
const MICROSOFT = 'https://login.microsoftonline.com'

export const oidOf = ({ id }: Person): string => `00000000-0000-4000-8000-00000000${id}`

/** https://login.microsoftonline.com/{tenant}/v2.0/.well-known/openid-configuration */
export function entraProduct(tenant: string, options: Product['options'] = {}): Product {
  const isShared = tenant === 'organizations' || tenant === 'common'
  return {
    type: 'entra',
    options: { tenant, ...options },
    shape: {
      issuer: `${MICROSOFT}/${TENANT}/v2.0`,
      documentUrl: `${MICROSOFT}/${tenant}/v2.0/.well-known/openid-configuration`,
      document: {
        issuer: `${MICROSOFT}/${isShared ? '{tenantid}' : tenant}/v2.0`,
        authorization_endpoint: `${MICROSOFT}/${tenant}/oauth2/v2.0/authorize`,
        token_endpoint: `${MICROSOFT}/${tenant}/oauth2/v2.0/token`,
        jwks_uri: `${MICROSOFT}/${tenant}/discovery/v2.0/keys`,
        userinfo_endpoint: 'https://graph.microsoft.com/oidc/userinfo',
        end_session_endpoint: `${MICROSOFT}/${tenant}/oauth2/v2.0/logout`,
        token_endpoint_auth_methods_supported: [
          'client_secret_post',
          'private_key_jwt',
          'client_secret_basic',
        ],
        response_modes_supported: ['query', 'fragment', 'form_post'],
        id_token_signing_alg_values_supported: ['RS256'],
        scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
      },
      idToken: (person) => ({
        sub: `pairwise-${person.login}`,
        oid: oidOf(person),
        tid: TENANT,
        name: person.name,
        preferred_username: person.login,
        email: person.email,
        xms_edov: true,
        groups: person.groups,
        ver: '2.0',
      }),
      accessToken: 'opaque',
      clientAuthentication: 'post',
      rotates: false,
      refuseToken: microsoftRefusal,
      refusal: { status: 401, body: '{"error":{"code":"InvalidAuthenticationToken"}}' },
      extra: {
        'POST /graph.microsoft.com/v1.0/me/getMemberObjects': ({ person }) =>
          person === undefined
            ? { status: 401, body: { error: { code: 'InvalidAuthenticationToken' } } }
            : { status: 200, body: { value: ['from-graph-1', 'from-graph-2'] } },
      },
    },
  }
}

/** https://learn.microsoft.com/entra/identity-platform/reference-error-codes */
function microsoftRefusal(form: URLSearchParams): string | undefined {
  if (form.has('resource')) return 'AADSTS901002'
  const scopes = form.get('scope')?.split(' ') ?? []
  if (scopes.length === 0) return 'AADSTS28003'
  const qualified = scopes.filter((scope) => scope.includes('://'))
  const resources = new Set(qualified.map((scope) => scope.slice(0, scope.lastIndexOf('/'))))
  return resources.size > 1 ? 'AADSTS28000' : undefined
}

/** https://developer.okta.com/docs/concepts/auth-servers/ */
export function oktaProduct(authorizationServer?: string): Product {
  const base = 'https://acme.okta.com'
  const issuer = authorizationServer === undefined ? base : `${base}/oauth2/${authorizationServer}`
  const at = `${issuer}${authorizationServer === undefined ? '/oauth2' : ''}/v1`
  return {
    type: 'okta',
    options: {
      issuer,
      ...(authorizationServer === undefined ? {} : { audience: 'api://default' }),
    },
    shape: {
      issuer,
      documentUrl: `${issuer}/.well-known/openid-configuration`,
      document: {
        issuer,
        authorization_endpoint: `${at}/authorize`,
        token_endpoint: `${at}/token`,
        userinfo_endpoint: `${at}/userinfo`,
        jwks_uri: `${at}/keys`,
        introspection_endpoint: `${at}/introspect`,
        revocation_endpoint: `${at}/revoke`,
        response_modes_supported: ['query', 'fragment', 'form_post', 'okta_post_message'],
        id_token_signing_alg_values_supported: ['RS256'],
        scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
        token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
      },
      idToken: (person) => ({ sub: `00u${person.id}`, groups: person.groups }),
      accessToken: (person, scope) => ({
        // The organisation's server writes JWTs too, signed with keys that nobody may rely on.
        ...(authorizationServer === undefined
          ? { aud: base, iss: 'https://not-to-be-read.okta.com' }
          : { aud: 'api://default' }),
        cid: CLIENT.clientId,
        uid: `00u${person.id}`,
        sub: person.email,
        scp: scope.split(' '),
      }),
      userinfo: (person) => ({ sub: `00u${person.id}`, ...PROFILE(person) }),
      clientAuthentication: 'basic',
      ...(authorizationServer === undefined ? {} : { grant: () => undefined }),
      rotates: true,
      refusal: BEARER_REFUSAL,
    },
  }
}

/** https://auth0.com/docs/secure/tokens/access-tokens/get-access-tokens */
export function auth0Product(audience?: string): Product {
  const issuer = 'https://acme.eu.auth0.com/'
  return {
    type: 'auth0',
    options: {
      issuer,
      audience,
      groupsClaim: 'https://acme.example/groups',
      rolesClaim: 'https://acme.example/roles',
    },
    shape: {
      issuer,
      documentUrl: `${issuer}.well-known/openid-configuration`,
      document: {
        issuer,
        authorization_endpoint: `${issuer}authorize`,
        token_endpoint: `${issuer}oauth/token`,
        userinfo_endpoint: `${issuer}userinfo`,
        jwks_uri: `${issuer}.well-known/jwks.json`,
        revocation_endpoint: `${issuer}oauth/revoke`,
        response_modes_supported: ['query', 'fragment', 'form_post'],
        id_token_signing_alg_values_supported: ['HS256', 'RS256', 'PS256'],
        scopes_supported: ['openid', 'profile', 'offline_access', 'email'],
        token_endpoint_auth_methods_supported: [
          'client_secret_basic',
          'client_secret_post',
          'private_key_jwt',
        ],
      },
      idToken: (person) => ({
        sub: `auth0|${person.id}`,
        'https://acme.example/groups': person.groups,
        'https://acme.example/roles': ['editor'],
        org_id: 'org_acme',
      }),
      accessToken:
        audience === undefined
          ? 'opaque'
          : (person, scope) => ({
              sub: `auth0|${person.id}`,
              aud: [audience, `${issuer}userinfo`],
              azp: CLIENT.clientId,
              scope,
            }),
      userinfo: (person) => ({ sub: `auth0|${person.id}`, ...PROFILE(person) }),
      clientAuthentication: 'post',
      rotates: true,
      refusal: BEARER_REFUSAL,
    },
  }
}

/** https://www.keycloak.org/securing-apps/oidc-layers */
export function keycloakProduct(): Product {
  const issuer = 'https://id.corp.example/realms/acme'
  const at = `${issuer}/protocol/openid-connect`
  return {
    type: 'keycloak',
    options: { issuer },
    shape: {
      issuer,
      documentUrl: `${issuer}/.well-known/openid-configuration`,
      document: {
        issuer,
        authorization_endpoint: `${at}/auth`,
        token_endpoint: `${at}/token`,
        introspection_endpoint: `${at}/token/introspect`,
        userinfo_endpoint: `${at}/userinfo`,
        jwks_uri: `${at}/certs`,
        revocation_endpoint: `${at}/revoke`,
        response_modes_supported: ['query', 'fragment', 'form_post'],
        id_token_signing_alg_values_supported: ['RS256', 'ES256'],
        scopes_supported: ['openid', 'profile', 'email', 'offline_access', 'roles'],
        token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
        authorization_response_iss_parameter_supported: true,
      },
      idToken: (person) => ({
        sub: `kc-${person.id}`,
        azp: CLIENT.clientId,
        groups: person.groups,
      }),
      accessToken: (person, scope) => ({
        sub: `kc-${person.id}`,
        typ: 'Bearer',
        aud: 'account',
        azp: CLIENT.clientId,
        scope,
        realm_access: { roles: ['staff'] },
        resource_access: {
          [CLIENT.clientId]: { roles: ['editor'] },
          account: { roles: ['manage-account'] },
        },
      }),
      userinfo: (person) => ({ sub: `kc-${person.id}`, ...PROFILE(person) }),
      clientAuthentication: 'basic',
      rotates: true,
      sendsIss: true,
      refusal: BEARER_REFUSAL,
    },
  }
}

/** https://docs.aws.amazon.com/cognito/latest/developerguide/federation-endpoints.html */
export function cognitoProduct(): Product {
  const issuer = 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI'
  const at = 'https://acme.auth.eu-central-1.amazoncognito.com/oauth2'
  return {
    type: 'cognito',
    options: { userPoolId: 'eu-central-1_AbCdEfGhI' },
    shape: {
      issuer,
      documentUrl: `${issuer}/.well-known/openid-configuration`,
      document: {
        issuer,
        authorization_endpoint: `${at}/authorize`,
        token_endpoint: `${at}/token`,
        userinfo_endpoint: `${at}/userInfo`,
        jwks_uri: `${issuer}/.well-known/jwks.json`,
        revocation_endpoint: `${at}/revoke`,
        id_token_signing_alg_values_supported: ['RS256'],
        scopes_supported: ['openid', 'email', 'phone', 'profile'],
        token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
      },
      idToken: (person) => ({
        sub: `cog-${person.id}`,
        token_use: 'id',
        'cognito:username': person.login,
        'cognito:groups': person.groups,
        'cognito:roles': ['arn:aws:iam::1:role/editor'],
      }),
      accessToken: (person, scope) => ({
        sub: `cog-${person.id}`,
        token_use: 'access',
        client_id: CLIENT.clientId,
        username: person.login,
        'cognito:groups': person.groups,
        version: 2,
        scope,
      }),
      // `email_verified` is text here ("Example - positive response").
      userinfo: (person) => ({
        sub: `cog-${person.id}`,
        ...PROFILE(person),
        email_verified: 'true',
      }),
      clientAuthentication: 'basic',
      grant: () => undefined,
      rotates: true,
      refusal: {
        status: 401,
        headers: {
          'www-authenticate':
            'error="invalid_token", error_description="Access token is expired, disabled, or deleted, or the user has globally signed out."',
        },
      },
    },
  }
}

/** https://workos.com/docs/reference/workos-connect/metadata */
export function workosProduct(): Product {
  const issuer = 'https://acme.authkit.app'
  return {
    type: 'workos',
    options: { domain: 'acme.authkit.app' },
    shape: {
      issuer,
      documentUrl: `${issuer}/.well-known/openid-configuration`,
      document: {
        issuer,
        authorization_endpoint: `${issuer}/oauth2/authorize`,
        token_endpoint: `${issuer}/oauth2/token`,
        introspection_endpoint: `${issuer}/oauth2/introspection`,
        userinfo_endpoint: `${issuer}/oauth2/userinfo`,
        revocation_endpoint: `${issuer}/oauth2/revoke`,
        jwks_uri: `${issuer}/oauth2/jwks`,
        response_modes_supported: ['query'],
        id_token_signing_alg_values_supported: ['RS256'],
        scopes_supported: ['email', 'offline_access', 'openid', 'profile'],
        token_endpoint_auth_methods_supported: [
          'none',
          'client_secret_post',
          'client_secret_basic',
        ],
      },
      idToken: (person) => ({ sub: `user_${person.id}` }),
      accessToken: (person) => ({
        sub: `user_${person.id}`,
        aud: CLIENT.clientId,
        org_id: 'org_acme',
        role: 'editor',
        sid: 'app_consent_1',
      }),
      userinfo: (person) => ({ sub: `user_${person.id}`, ...PROFILE(person) }),
      clientAuthentication: 'post',
      rotates: true,
      refusal: BEARER_REFUSAL,
    },
  }
}

/** https://supabase.com/docs/guides/auth/oauth-server/getting-started */
export function supabaseProduct(): Product {
  const issuer = 'https://abcdefghijklmnop.supabase.co/auth/v1'
  return {
    type: 'supabase',
    options: { url: 'https://abcdefghijklmnop.supabase.co' },
    shape: {
      issuer,
      documentUrl: `${issuer}/.well-known/openid-configuration`,
      document: {
        issuer,
        authorization_endpoint: `${issuer}/oauth/authorize`,
        token_endpoint: `${issuer}/oauth/token`,
        userinfo_endpoint: `${issuer}/oauth/userinfo`,
        jwks_uri: `${issuer}/.well-known/jwks.json`,
        response_modes_supported: ['query'],
        id_token_signing_alg_values_supported: ['RS256', 'HS256', 'ES256'],
        scopes_supported: ['openid', 'profile', 'email', 'phone'],
        token_endpoint_auth_methods_supported: [
          'client_secret_basic',
          'client_secret_post',
          'none',
        ],
      },
      idToken: (person) => ({ sub: `sb-${person.id}` }),
      accessToken: (person) => ({
        sub: `sb-${person.id}`,
        role: 'authenticated',
        aud: 'authenticated',
        client_id: CLIENT.clientId,
        session_id: 'session-1',
      }),
      userinfo: (person) => ({ sub: `sb-${person.id}`, ...PROFILE(person) }),
      clientAuthentication: 'basic',
      rotates: true,
      refusal: {
        status: 403,
        body: '{"code":403,"error_code":"session_not_found","msg":"Session from session_id claim in JWT does not exist"}',
      },
    },
  }
}
