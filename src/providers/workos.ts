/**
 * WorkOS AuthKit, by an OAuth application of WorkOS Connect: standard OpenID on the AuthKit domain.
 * @see https://workos.com/docs/authkit/connect
 */
import { text } from './answers.ts'
import { isAudience } from './oidc-access-token.ts'
import { openIdType } from './oidc-adapter.ts'
import {
  GROUPS_MAX,
  HOST_NAME,
  type OpenIdProduct,
  type OpenIdQuirks,
  stringsOf,
} from './oidc-product.ts'
import type { ProviderFacts, ProviderInput, ProviderOptions } from './provider.ts'

export interface WorkosOptions extends ProviderOptions {
  /** Such as `acme.authkit.app`, or a custom AuthKit domain. */
  readonly domain?: string
}

/** WorkOS AuthKit as a sign-in provider. What is not given comes from `POSTERN_WORKOS_*`. */
export function workos(options: WorkosOptions = {}): ProviderInput {
  return { ...options, type: 'workos' }
}

const FACTS: ProviderFacts = {
  endpoints:
    'from discovery of the AuthKit domain (https://workos.com/docs/reference/workos-connect/metadata)',
  clientAuthentication:
    '`client_secret_post` (https://workos.com/docs/reference/workos-connect/token)',
  scopeSeparator: 'space (https://workos.com/docs/reference/workos-connect/authorize)',
  pkce: 'S256 always (https://workos.com/docs/authkit/connect/oauth)',
  tokenFormat:
    'JWT, checked locally by `aud` = the client; another form is opaque (https://workos.com/docs/reference/workos-connect/token)',
  accessLife: '`expires_in`, minutes (https://workos.com/docs/reference/workos-connect/token)',
  refresh:
    'with `offline_access`; rotates, each once (https://workos.com/docs/reference/authkit/session-tokens/refresh-token)',
  check:
    'the local check, then `userinfo` (https://workos.com/docs/reference/workos-connect/userinfo)',
  definiteNo: '401 with `WWW-Authenticate: Bearer error="invalid_token"` (RFC 6750 section 3.1)',
  secondOpinion: 'the refresh: `invalid_grant`',
  rateLimits: '429 is never a no (https://workos.com/docs/reference/rate-limits)',
  revocation: 'refresh tokens, where discovery names an endpoint (RFC 7009 section 2)',
  events: 'back-channel logout where it is configured there (Back-Channel Logout section 2.5)',
}

function quirks(
  options: Readonly<Record<string, string | undefined>>,
  clientId: string,
): OpenIdQuirks {
  return {
    issuer: `https://${options['domain']}`,
    approvedOrigins: [],
    defaultScopes: ['openid', 'profile', 'email', 'offline_access'],
    accountPrompt: 'login',
    consentPrompt: 'never',
    authMethod: 'client_secret_post',
    groupsClaim: 'groups',
    identify({ idToken, accessToken }) {
      const claims = { ...idToken, ...accessToken }
      const tenant = text(claims, 'org_id')
      return {
        roles: stringsOf(claims['roles'] ?? claims['role'], GROUPS_MAX),
        ...(tenant === undefined ? {} : { tenant }),
      }
    },
    accessToken: (claims) => (isAudience(claims, clientId) ? undefined : 'audience'),
    check: 'userinfo',
    revocation: 'refresh',
  }
}

const PRODUCT: OpenIdProduct = {
  type: 'workos',
  title: 'WorkOS',
  secretRequired: true,
  options: [
    {
      name: 'domain',
      kind: 'text',
      required: true,
      ...HOST_NAME,
      environmentSuffix: 'DOMAIN',
      sentence: 'The AuthKit domain, such as `acme.authkit.app`.',
    },
  ],
  facts: FACTS,
  setUp:
    'Make an OAuth application under Connect. The organisation (`org_id`) and roles come with the token.',
  credentialsHint: (callbackUrl) =>
    `Make an OAuth application under Connect at https://dashboard.workos.com with redirect URI ${callbackUrl}`,
  quirks,
}

export const WORKOS = openIdType(PRODUCT)
