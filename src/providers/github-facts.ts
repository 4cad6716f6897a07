/** What is true of GitHub and where GitHub says so (PRV-02). Printed in `docs/providers.md`. */
import type { ProviderFacts } from './provider.ts'

export const GITHUB_FACTS: ProviderFacts = {
  endpoints:
    '`/login/oauth/authorize`, `/login/oauth/access_token` (authorizing OAuth apps, web application flow); `GET /user` (REST, users); RFC 8414 issuer `https://github.com/login/oauth`, sends no `iss`',
  clientAuthentication:
    '`client_id` and `client_secret` in the form at the token endpoint (authorizing OAuth apps, step 2); Basic at `/applications/{client_id}/*` (REST, OAuth applications)',
  scopeSeparator:
    'space in requests, comma in answers and in `X-OAuth-Scopes` (scopes for OAuth apps)',
  pkce: 'S256 always (changelog 2025-07-14)',
  tokenFormat: 'opaque, `gho_` (REST, OAuth applications)',
  accessLife: 'none, or 28 800 s when expiration is on (refreshing user access tokens)',
  refresh:
    'only with expiration on: rotates, both old tokens die at once, six months; `bad_refresh_token` is the end (refreshing user access tokens)',
  check:
    "`GET /user` with the user's token and `If-None-Match`: counted per user, a 304 not at all (best practices for using the REST API, conditional requests); scopes from `X-OAuth-Scopes` of the same answer",
  definiteNo:
    '401 with JSON `message` exactly `Bad credentials` from the API origin (REST, authentication, failed login limit)',
  secondOpinion:
    '`POST /applications/{client_id}/token`: 404 is no, 401 says that our own client is refused (REST, OAuth applications, check a token)',
  rateLimits:
    '403 or 429 is never a no: `Retry-After`, at least 60 s; with `x-ratelimit-remaining: 0` until `x-ratelimit-reset` (rate limits for the REST API, exceeding the rate limit)',
  revocation:
    '`DELETE /applications/{client_id}/token` (REST, OAuth applications, delete an app token)',
  events: 'none for OAuth apps',
}

export const GITHUB_APP_FACTS: ProviderFacts = {
  ...GITHUB_FACTS,
  scopeSeparator:
    'none: permissions of the app, as the configuration lists them (https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/differences-between-github-apps-and-oauth-apps)',
  tokenFormat:
    'opaque, `ghu_` (https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app)',
  accessLife:
    '28 800 s unless expiration was turned off (https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens)',
  refresh:
    '`ghr_`, rotates, both old tokens die at once, 15 897 600 s; `bad_refresh_token` is the end (https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens)',
  check:
    "`GET /user` with the user's token and `If-None-Match`; permissions from the configuration, never from an empty header (best practices for using the REST API, conditional requests)",
  events:
    '`github_app_authorization` with action `revoked`, signed with `webhookSecret` (https://docs.github.com/en/webhooks/webhook-events-and-payloads#github_app_authorization)',
}

/** Scopes for OAuth apps, "Normalized scopes": an answer names the larger one only. */
export const GITHUB_IMPLIED_SCOPES: Readonly<Record<string, readonly string[]>> = {
  repo: ['repo:status', 'repo_deployment', 'public_repo', 'repo:invite', 'security_events'],
  'admin:repo_hook': ['write:repo_hook', 'read:repo_hook'],
  'write:repo_hook': ['read:repo_hook'],
  'admin:org': ['write:org', 'read:org'],
  'write:org': ['read:org'],
  'admin:public_key': ['write:public_key', 'read:public_key'],
  'write:public_key': ['read:public_key'],
  user: ['read:user', 'user:email', 'user:follow'],
  'write:discussion': ['read:discussion'],
  'write:packages': ['read:packages'],
  'admin:gpg_key': ['write:gpg_key', 'read:gpg_key'],
  'write:gpg_key': ['read:gpg_key'],
  project: ['read:project'],
}
