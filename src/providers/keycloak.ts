/**
 * Keycloak: one realm. It sends `iss` with the code, and its access tokens are JWTs that carry the
 * roles of the realm and of the client.
 * @see https://www.keycloak.org/securing-apps/oidc-layers
 */
import { isObject, type JsonObject } from '../oauth/claims.ts'
import { text } from './answers.ts'
import { openIdType } from './oidc-adapter.ts'
import { GROUPS_MAX, type OpenIdProduct, type OpenIdQuirks, stringsOf } from './oidc-product.ts'
import type { ProviderFacts, ProviderInput, ProviderOptions } from './provider.ts'

export interface KeycloakOptions extends ProviderOptions {
  /** Of the realm, such as `https://id.example.com/realms/main`, no slash at the end. It is part of every account. */
  readonly issuer?: string
  /** Default `groups`. */
  readonly groupsClaim?: string
  /** How a sign-in is proved. Default `userinfo`. */
  readonly check?: 'userinfo' | 'introspection'
}

/** Keycloak as a sign-in provider. What is not given comes from `POSTERN_KEYCLOAK_*`. */
export function keycloak(options: KeycloakOptions = {}): ProviderInput {
  return { ...options, type: 'keycloak' }
}

const FACTS: ProviderFacts = {
  endpoints:
    'from discovery; `issuer` is `<server>/realms/<realm>` (https://www.keycloak.org/securing-apps/oidc-layers)',
  clientAuthentication:
    '`client_secret_basic` (https://www.keycloak.org/docs/latest/server_admin/#_client-credentials)',
  scopeSeparator: 'space (RFC 6749 section 3.3)',
  pkce: 'S256 always (https://www.keycloak.org/docs/latest/server_admin/#capability-config)',
  tokenFormat:
    'JWT, checked locally by `azp`; `realm_access.roles` and `resource_access` are roles (https://www.keycloak.org/docs/latest/server_admin/#_oidc_token_role_mappings)',
  accessLife:
    '`expires_in`, by default 300 s (https://www.keycloak.org/docs/latest/server_admin/#_timeouts)',
  refresh:
    'always; with the life of the session at Keycloak, rotation is a setting of the realm; `offline_access` outlives the session (https://www.keycloak.org/docs/latest/server_admin/#_offline-access)',
  check:
    'the local check, then `userinfo`, or `introspection` when configured (https://www.keycloak.org/securing-apps/oidc-layers)',
  definiteNo:
    'userinfo: 401 with `WWW-Authenticate: Bearer error="invalid_token"`; introspection: `active: false` (https://www.keycloak.org/securing-apps/oidc-layers)',
  secondOpinion: 'the refresh: `invalid_grant`',
  rateLimits: 'none of its own; 429 and 5xx of a proxy before it are never a no',
  revocation:
    'RFC 7009; it ends every session of this person with our client, so a replaced token is left alone (https://www.keycloak.org/securing-apps/oidc-layers#_token_revocation_endpoint; seen in `test/long/keycloak.test.ts`)',
  events:
    'back-channel logout with `sid` (https://www.keycloak.org/docs/latest/server_admin/#_oidc-logout)',
}

function quirks(
  options: Readonly<Record<string, string | undefined>>,
  clientId: string,
): OpenIdQuirks {
  const { issuer = '' } = options
  return {
    issuer,
    approvedOrigins: [new URL(issuer).origin],
    defaultScopes: ['openid', 'profile', 'email'],
    accountPrompt: 'login',
    consentPrompt: 'never',
    groupsClaim: options['groupsClaim'] ?? 'groups',
    identify: ({ idToken, accessToken }) => ({ roles: rolesOf(accessToken ?? idToken, clientId) }),
    accessToken: (claims) => (text(claims, 'azp') === clientId ? undefined : 'client'),
    check: options['check'] === 'introspection' ? 'introspection' : 'userinfo',
  }
}

/** Realm roles by their name, roles of our client as `<client>:<name>`: the two are different things. */
function rolesOf(claims: JsonObject, clientId: string): readonly string[] {
  const realm = claims['realm_access']
  const resources = claims['resource_access']
  const client = isObject(resources) ? resources[clientId] : undefined
  return [
    ...(isObject(realm) ? stringsOf(realm['roles'], GROUPS_MAX) : []),
    ...(isObject(client) ? stringsOf(client['roles'], GROUPS_MAX) : []).map(
      (role) => `${clientId}:${role}`,
    ),
  ]
}

const PRODUCT: OpenIdProduct = {
  type: 'keycloak',
  title: 'Keycloak',
  secretRequired: false,
  options: [
    {
      name: 'issuer',
      kind: 'url',
      required: true,
      // No `..` in it: the URL would then be another one than the text says.
      pattern: /^https?:\/\/[^/?#@\\\s]+(?:\/(?!\.)[\w.~-]+)*\/realms\/(?!\.)[\w.-]{1,100}$/,
      mustBe: 'the issuer of a realm, with its scheme and no slash at the end',
      environmentSuffix: 'ISSUER',
      sentence: 'The realm, such as `https://id.example.com/realms/main`.',
    },
    {
      name: 'groupsClaim',
      kind: 'text',
      default: 'groups',
      sentence: 'Claim that lists the groups of a person (a mapper writes it).',
    },
    {
      name: 'check',
      kind: 'choice',
      choices: ['userinfo', 'introspection'],
      default: 'userinfo',
      sentence: 'How a sign-in is proved.',
    },
  ],
  facts: FACTS,
  setUp:
    'Make a confidential client with the standard flow. Realm roles count by their name, roles of the client as `<client id>:<role>`; groups need a "Group Membership" mapper into the ID token.',
  credentialsHint: (callbackUrl, { issuer = 'Keycloak' }) =>
    `Make a confidential client in the realm ${issuer} with valid redirect URI ${callbackUrl}`,
  quirks,
}

export const KEYCLOAK = openIdType(PRODUCT)
