/**
 * Supabase Auth as an OpenID provider (its OAuth 2.1 server): access tokens are JWTs for the project
 * with our `client_id` in them; refresh tokens always come and are used once.
 * @see https://supabase.com/docs/guides/auth/oauth-server
 */
import type { EgressResponse } from '../net/egress.ts'
import { readObject } from '../net/json-answer.ts'
import { text } from './answers.ts'
import { openIdType } from './oidc-adapter.ts'
import type { OpenIdProduct, OpenIdQuirks } from './oidc-product.ts'
import type { ProviderFacts, ProviderInput, ProviderOptions } from './provider.ts'

export interface SupabaseOptions extends ProviderOptions {
  /** Base of the project, such as `https://abcdefghijklmnop.supabase.co`, or a custom domain. */
  readonly url?: string
}

/** A Supabase project as a sign-in provider. What is not given comes from `POSTERN_SUPABASE_*`. */
export function supabase(options: SupabaseOptions = {}): ProviderInput {
  return { ...options, type: 'supabase' }
}

const FACTS: ProviderFacts = {
  endpoints:
    'from discovery of `<url>/auth/v1` (https://supabase.com/docs/guides/auth/oauth-server/getting-started)',
  clientAuthentication:
    '`client_secret_basic` unless only `client_secret_post` is listed (https://supabase.com/docs/guides/auth/oauth-server/oauth-flows)',
  scopeSeparator: 'space (https://supabase.com/docs/guides/auth/oauth-server/oauth-flows)',
  pkce: 'S256 always, required there (https://supabase.com/docs/guides/auth/oauth-server/oauth-flows)',
  tokenFormat:
    'JWT, checked locally by `client_id`; asymmetric signing keys are needed for ID tokens (https://supabase.com/docs/guides/auth/oauth-server/token-security)',
  accessLife: '`expires_in`, by default 3 600 s (https://supabase.com/docs/guides/auth/sessions)',
  refresh:
    'always, without `offline_access`; each once, a repeat within 10 s is forgiven (https://supabase.com/docs/guides/auth/sessions)',
  check:
    'the local check, then `userinfo` (https://supabase.com/docs/guides/auth/oauth-server/oauth-flows)',
  definiteNo:
    '401 or 403 with `error_code` `session_not_found`, `session_expired`, `user_not_found` or `user_banned` (https://supabase.com/docs/guides/auth/debugging/error-codes)',
  secondOpinion: 'the refresh: `invalid_grant`',
  rateLimits: '429 is never a no (https://supabase.com/docs/guides/auth/rate-limits)',
  revocation:
    'none is documented for clients; people end grants themselves (https://supabase.com/docs/guides/auth/oauth-server/oauth-flows)',
  events: 'none',
}

function quirks(
  options: Readonly<Record<string, string | undefined>>,
  clientId: string,
): OpenIdQuirks {
  const url = (options['url'] ?? '').replace(/\/$/, '')
  return {
    issuer: `${url}/auth/v1`,
    approvedOrigins: [new URL(url).origin],
    defaultScopes: ['openid', 'profile', 'email'],
    accountPrompt: 'login',
    consentPrompt: 'never',
    groupsClaim: 'groups',
    accessToken: (claims) => (text(claims, 'client_id') === clientId ? undefined : 'client'),
    check: 'userinfo',
    isRefusal,
  }
}

const ENDED: readonly unknown[] = [
  'session_not_found',
  'session_expired',
  'user_not_found',
  'user_banned',
]

/** Auth error codes: what says that this session or person is over. */
function isRefusal(response: EgressResponse): boolean {
  const { status } = response
  return (status === 401 || status === 403) && ENDED.includes(readObject(response)?.['error_code'])
}

const PRODUCT: OpenIdProduct = {
  type: 'supabase',
  title: 'Supabase',
  secretRequired: false,
  options: [
    {
      name: 'url',
      kind: 'url',
      required: true,
      environmentSuffix: 'URL',
      sentence: 'Base of the project, such as `https://abcdefghijklmnop.supabase.co`.',
    },
  ],
  facts: FACTS,
  setUp:
    'Enable the OAuth server of the project, with asymmetric signing keys, and register a confidential client. Row level security of the project decides what its tokens may do there.',
  credentialsHint: (callbackUrl) =>
    `Register an OAuth app under Authentication of the project with redirect URI ${callbackUrl}`,
  quirks,
}

export const SUPABASE = openIdType(PRODUCT)
