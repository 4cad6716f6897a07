/** What is true of any provider with plain OAuth, and what its configuration takes (PRV-02). */
import type { ProviderFacts, ProviderOption } from './provider.ts'

export const OAUTH2_FACTS: ProviderFacts = {
  endpoints: 'from the configuration; no discovery',
  clientAuthentication:
    'Basic or form, by configuration; by name without a secret (RFC 6749 section 2.3.1)',
  scopeSeparator: 'space, or comma by configuration (RFC 6749 section 3.3)',
  pkce: 'S256 unless switched off (RFC 9700 section 2.1.1)',
  tokenFormat: 'opaque to us (RFC 6749 section 1.4)',
  accessLife: '`expires_in`; unknown when absent (RFC 6749 section 5.1)',
  refresh:
    'when the answer had a refresh token; no grace is relied on; `invalid_grant` is the end (RFC 6749 sections 5.2 and 6)',
  check:
    "`introspectionUrl` with our credentials, else `userinfoUrl` with the person's token (RFC 7662 section 2.1, RFC 6750 section 2.1)",
  definiteNo:
    'introspection: 200 with literal `active: false` (RFC 7662 section 2.2); userinfo: 401 with `WWW-Authenticate: Bearer error="invalid_token"` (RFC 6750 section 3.1)',
  secondOpinion: 'the refresh, else the same check again',
  rateLimits: '403, 429 and 5xx are never a no; `Retry-After` (RFC 9110 section 10.2.3)',
  revocation: '`revocationUrl` when configured, refresh token first (RFC 7009 section 2.1)',
  events: 'none',
}

export const OAUTH2_OPTIONS: readonly ProviderOption[] = [
  {
    name: 'authorizationUrl',
    kind: 'url',
    required: true,
    environmentSuffix: 'AUTHORIZATION_URL',
    sentence: 'Where people sign in.',
  },
  {
    name: 'tokenUrl',
    kind: 'url',
    required: true,
    environmentSuffix: 'TOKEN_URL',
    sentence: 'Where codes and refresh tokens are exchanged.',
  },
  {
    name: 'introspectionUrl',
    kind: 'url',
    environmentSuffix: 'INTROSPECTION_URL',
    sentence: 'RFC 7662, with our credentials; this or userinfoUrl is needed.',
  },
  {
    name: 'userinfoUrl',
    kind: 'url',
    environmentSuffix: 'USERINFO_URL',
    sentence: "JSON about the person for the person's token.",
  },
  {
    name: 'revocationUrl',
    kind: 'url',
    environmentSuffix: 'REVOCATION_URL',
    sentence: 'RFC 7009.',
  },
  {
    name: 'issuer',
    kind: 'url',
    environmentSuffix: 'ISSUER',
    sentence:
      'Names this provider in every account and must not change; by default the origin of authorizationUrl.',
  },
  {
    name: 'subjectClaim',
    kind: 'text',
    default: 'sub',
    sentence: 'Member that names the person for good.',
  },
  {
    name: 'scopeSeparator',
    kind: 'choice',
    choices: ['space', 'comma'],
    default: 'space',
    sentence: 'What stands between scopes in a request.',
  },
  {
    name: 'clientAuthentication',
    kind: 'choice',
    choices: ['basic', 'post'],
    default: 'basic',
    sentence: 'Where our secret goes: into the header or into the form.',
  },
  {
    name: 'pkce',
    kind: 'choice',
    choices: ['S256', 'none'],
    default: 'S256',
    sentence: 'Leave it on unless the provider refuses the parameters.',
  },
]
