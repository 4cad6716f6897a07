/**
 * Auth0. Its issuer ends with a slash; an access token is a JWT only with an `audience`, else opaque;
 * groups and roles stand in claims of a namespace of one's own (PRV-16).
 * @see https://auth0.com/docs/secure/tokens/access-tokens/get-access-tokens
 */
import type { JsonObject } from '../oauth/claims.ts'
import { text } from './answers.ts'
import { isAudience } from './oidc-access-token.ts'
import { openIdType } from './oidc-adapter.ts'
import type { OpenIdProduct, OpenIdQuirks } from './oidc-product.ts'
import type { ProviderFacts, ProviderInput, ProviderOptions } from './provider.ts'

export interface Auth0Options extends ProviderOptions {
  /**
   * `https://acme.eu.auth0.com` or a custom domain, with or without the slash at the end. Https, no
   * path. With the slash, as Auth0 writes it, it is part of every account.
   */
  readonly issuer?: string
  /** Identifier of an API: access tokens are then JWTs, checked locally. Default none: opaque. */
  readonly audience?: string
  /** Such as `https://acme.example/groups`, as an Action writes it. Default `groups`. */
  readonly groupsClaim?: string
  /** Such as `https://acme.example/roles`. Default none. */
  readonly rolesClaim?: string
}

/** Auth0 as a sign-in provider. What is not given comes from `POSTERN_AUTH0_*`. */
export function auth0(options: Auth0Options = {}): ProviderInput {
  return { ...options, type: 'auth0' }
}

const FACTS: ProviderFacts = {
  endpoints:
    'from discovery; the issuer ends with a slash, given or not (https://auth0.com/docs/get-started/applications/configure-applications-with-oidc-discovery)',
  clientAuthentication:
    '`client_secret_post` (https://auth0.com/docs/api/authentication/authorization-code-flow/get-token)',
  scopeSeparator: 'space (https://auth0.com/docs/get-started/apis/scopes/openid-connect-scopes)',
  pkce: 'S256 always (https://auth0.com/docs/get-started/authentication-and-authorization-flow/authorization-code-flow-with-pkce)',
  tokenFormat:
    'with `audience` a JWT, checked locally by `aud` and `azp`; without it opaque (https://auth0.com/docs/secure/tokens/access-tokens/get-access-tokens)',
  accessLife:
    '`expires_in`, by default 24 hours (https://auth0.com/docs/secure/tokens/access-tokens/update-access-token-lifetime)',
  refresh:
    'with `offline_access`; rotation is a setting with an overlap, reuse ends the family (https://auth0.com/docs/secure/tokens/refresh-tokens/refresh-token-rotation)',
  check:
    'the local check of a JWT, then `userinfo` (https://auth0.com/docs/api/authentication/user-profile/get-user-info)',
  definiteNo: '401 with `WWW-Authenticate: Bearer error="invalid_token"` (RFC 6750 section 3.1)',
  secondOpinion: 'the refresh, else the same check again',
  rateLimits:
    '429 is never a no (https://auth0.com/docs/troubleshoot/customer-support/operational-policies/rate-limit-policy); `userinfo` allows few calls a minute for one person',
  revocation:
    'refresh tokens only: `/oauth/revoke`, by default with the whole grant, so a replaced token is left alone (https://auth0.com/docs/secure/tokens/refresh-tokens/revoke-refresh-tokens)',
  events: 'back-channel logout where it is configured there (Back-Channel Logout section 2.5)',
}

function quirks(
  options: Readonly<Record<string, string | undefined>>,
  clientId: string,
): OpenIdQuirks {
  const { issuer = '', audience, rolesClaim } = options
  return {
    issuer: issuer.replace(/\/?$/, '/'),
    approvedOrigins: [],
    defaultScopes: ['openid', 'profile', 'email', 'offline_access'],
    ...(audience === undefined ? {} : { authorizeParameters: { audience } }),
    accountPrompt: 'select_account',
    consentPrompt: 'never',
    authMethod: 'client_secret_post',
    groupsClaim: options['groupsClaim'] ?? 'groups',
    ...(rolesClaim === undefined ? {} : { rolesClaim }),
    identify({ idToken }) {
      const tenant = text(idToken, 'org_id')
      return tenant === undefined ? {} : { tenant }
    },
    ...(audience === undefined
      ? {}
      : { accessToken: (claims: JsonObject) => judge(claims, audience, clientId) }),
    check: 'userinfo',
    revocation: 'refresh',
  }
}

function judge(
  claims: JsonObject,
  audience: string,
  clientId: string,
): 'audience' | 'client' | undefined {
  if (!isAudience(claims, audience)) return 'audience'
  // `azp` of the Auth0 profile, `client_id` of RFC 9068.
  return (text(claims, 'azp') ?? text(claims, 'client_id')) === clientId ? undefined : 'client'
}

const PRODUCT: OpenIdProduct = {
  type: 'auth0',
  title: 'Auth0',
  secretRequired: true,
  options: [
    {
      name: 'issuer',
      kind: 'url',
      required: true,
      pattern: /^https:\/\/[a-z0-9-]+(?:\.[a-z0-9-]+)+\/?$/,
      mustBe: 'the issuer of an Auth0 tenant, with https:// and no path',
      environmentSuffix: 'ISSUER',
      sentence:
        'The tenant, such as `https://acme.eu.auth0.com/` (with or without the slash), or its custom domain.',
    },
    {
      name: 'audience',
      kind: 'text',
      environmentSuffix: 'AUDIENCE',
      sentence: 'Identifier of an API: access tokens are then JWTs, checked locally.',
    },
    {
      name: 'groupsClaim',
      kind: 'text',
      default: 'groups',
      sentence: 'Claim that lists the groups, with its namespace, as an Action writes it.',
    },
    {
      name: 'rolesClaim',
      kind: 'text',
      sentence: 'Claim that lists the roles, with its namespace, as an Action writes it.',
    },
  ],
  facts: FACTS,
  setUp:
    'Make a regular web application and allow the grant refresh token. With `audience` the API must use RS256 and allow offline access. Auth0 drops claims without a namespace: name groups and roles such as `https://acme.example/groups`.',
  credentialsHint: (callbackUrl) =>
    `Make a regular web application at https://manage.auth0.com with allowed callback URL ${callbackUrl}`,
  quirks,
}

export const AUTH0 = openIdType(PRODUCT)
