/**
 * Okta: the organisation's own server, whose access tokens are opaque to everybody but Okta, or a
 * custom authorization server, whose tokens are JWTs with `cid` and `scp` (PRV-16).
 * @see https://developer.okta.com/docs/concepts/auth-servers/
 * @see https://developer.okta.com/docs/reference/api/oidc/
 */
import type { JsonObject } from '../oauth/claims.ts'
import { text } from './answers.ts'
import { isAudience } from './oidc-access-token.ts'
import { openIdType } from './oidc-adapter.ts'
import type { OpenIdProduct, OpenIdQuirks } from './oidc-product.ts'
import type { ProviderFacts, ProviderInput, ProviderOptions } from './provider.ts'

export interface OktaOptions extends ProviderOptions {
  /**
   * `https://acme.okta.com` for the organisation's own server, `https://acme.okta.com/oauth2/default`
   * for a custom one: its path tells which. Https, no slash at the end. It is part of every account.
   */
  readonly issuer?: string
  /** `aud` of the access tokens of a custom server, such as `api://default`. Default: not compared. */
  readonly audience?: string
  /** Default `groups`. */
  readonly groupsClaim?: string
  /** Default none. */
  readonly rolesClaim?: string
  /** How a sign-in is proved. Default `userinfo`. */
  readonly check?: 'userinfo' | 'introspection'
}

/** Okta as a sign-in provider. What is not given comes from `POSTERN_OKTA_*`. */
export function okta(options: OktaOptions = {}): ProviderInput {
  return { ...options, type: 'okta' }
}

const FACTS: ProviderFacts = {
  endpoints:
    "from discovery; `issuer` without a path is the organisation's own server, with `/oauth2/<id>` a custom one (https://developer.okta.com/docs/concepts/auth-servers/)",
  clientAuthentication:
    '`client_secret_basic` (https://developer.okta.com/docs/api/openapi/okta-oauth/guides/client-auth/)',
  scopeSeparator:
    'space in requests; `scp` list in access tokens (https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/)',
  pkce: 'S256 always (https://developer.okta.com/docs/guides/implement-grant-type/authcodepkce/main/)',
  tokenFormat:
    'organisation server: opaque, whatever it looks like; custom server: JWT, checked locally by `cid` and `aud` (https://developer.okta.com/docs/guides/validate-access-tokens/)',
  accessLife:
    '5 minutes to 24 hours, default 1 hour (https://developer.okta.com/docs/guides/configure-access-policy/)',
  refresh:
    'with `offline_access`; rotation is a setting with a grace of 0 to 60 s, 30 by default (https://developer.okta.com/docs/guides/refresh-tokens/main/)',
  check:
    "the local check of a custom server's token, then `userinfo`, or `introspection` when configured (https://developer.okta.com/docs/api/openapi/okta-oauth/oauth/)",
  definiteNo:
    'userinfo: 401 with `WWW-Authenticate: Bearer error="invalid_token"`; introspection: `active: false` (https://developer.okta.com/docs/api/openapi/okta-oauth/oauth/)',
  secondOpinion: 'the refresh, else the same check again',
  rateLimits:
    '429 is never a no; `X-Rate-Limit-Reset` is not read, `Retry-After` is (https://developer.okta.com/docs/reference/rl-best-practices/)',
  revocation: 'RFC 7009 (https://developer.okta.com/docs/guides/revoke-tokens/main/)',
  events: 'back-channel logout where it is configured there (Back-Channel Logout section 2.5)',
}

function quirks(
  options: Readonly<Record<string, string | undefined>>,
  clientId: string,
): OpenIdQuirks {
  const { issuer = '', audience, rolesClaim } = options
  const isCustom = new URL(issuer).pathname !== '/'
  return {
    issuer,
    approvedOrigins: [],
    defaultScopes: ['openid', 'profile', 'email', 'offline_access'],
    accountPrompt: 'login',
    consentPrompt: 'never',
    groupsClaim: options['groupsClaim'] ?? 'groups',
    ...(rolesClaim === undefined ? {} : { rolesClaim }),
    // "You can't validate access tokens of the org server": its keys are nobody's business.
    ...(isCustom
      ? { accessToken: (claims: JsonObject) => judge(claims, { audience, clientId }) }
      : {}),
    // In an access token `sub` is the login and `uid` the person; in an ID token `sub` is the person.
    subjectOf: (claims) => text(claims, 'uid') ?? text(claims, 'sub'),
    check: options['check'] === 'introspection' ? 'introspection' : 'userinfo',
    revocationEnds: 'token',
  }
}

function judge(
  claims: JsonObject,
  expected: { readonly audience: string | undefined; readonly clientId: string },
): 'audience' | 'client' | undefined {
  if (text(claims, 'cid') !== expected.clientId) return 'client'
  const { audience } = expected
  return audience === undefined || isAudience(claims, audience) ? undefined : 'audience'
}

const PRODUCT: OpenIdProduct = {
  type: 'okta',
  title: 'Okta',
  secretRequired: true,
  options: [
    {
      name: 'issuer',
      kind: 'url',
      required: true,
      pattern: /^https:\/\/[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:\/oauth2\/[A-Za-z0-9_-]{1,64})?$/,
      mustBe: 'the issuer of an Okta authorization server, with https:// and no slash at the end',
      environmentSuffix: 'ISSUER',
      sentence:
        'The organisation, such as `https://acme.okta.com`, or one of its custom authorization servers, such as `https://acme.okta.com/oauth2/default`.',
    },
    {
      name: 'audience',
      kind: 'text',
      sentence: '`aud` of the access tokens of a custom server, such as `api://default`.',
    },
    {
      name: 'groupsClaim',
      kind: 'text',
      default: 'groups',
      sentence: 'Claim that lists the groups of a person.',
    },
    { name: 'rolesClaim', kind: 'text', sentence: 'Claim that lists the roles of a person.' },
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
    'Make an OIDC web application with the grants authorization code and refresh token. Groups come when a groups claim is configured for the application or the server.',
  credentialsHint: (callbackUrl, { issuer = '' }) =>
    `Make an OIDC web application at ${new URL(issuer).origin}/admin with sign-in redirect URI ${callbackUrl}`,
  quirks,
}

export const OKTA = openIdType(PRODUCT)
