/**
 * GitHub, as a GitHub App: `ghu_` tokens of 8 h, `ghr_` refresh tokens of six months that rotate, and
 * permissions in the place of scopes. What the app may do is what the configuration says of it: an
 * answer has no scopes, and an empty header means nothing (PRV-11).
 * @see docs.github.com `generating-a-user-access-token-for-a-github-app`, `refreshing-user-access-tokens`
 */
import { GITHUB_OPTIONS, type GitHubOptions, gitHubPlaces, gitHubProduct } from './github.ts'
import type { GitHubHouse } from './github-api.ts'
import { GITHUB_APP_FACTS } from './github-facts.ts'
import { createOAuthProvider } from './oauth2-engine.ts'
import type { Provider, ProviderInput, ProviderSettings, ProviderType } from './provider.ts'

/** A GitHub App. `scopes`: the permissions it has, `<name>:<level>`; default `['email_addresses:read']`. */
export function githubApp(options: GitHubOptions = {}): ProviderInput {
  return { ...options, type: 'githubApp' }
}

export const GITHUB_APP: ProviderType = {
  type: 'githubApp',
  title: 'GitHub',
  secretRequired: true,
  options: GITHUB_OPTIONS,
  facts: GITHUB_APP_FACTS,
  setUp:
    'Its `id` is `github-app` unless given. Make a **GitHub App**, give it exactly one callback URL, without wildcards, and leave "Expire user authorization tokens" on. `scopes` lists the permissions that the app has, such as `email_addresses:read` (the default; the e-mail counts in `allow` when GitHub says it is verified) and `members:read` (needed for rules on organizations and teams, and the app must be installed there). Point its webhook at `/webhooks/<id>` and set `webhookSecret`: who revokes the app at GitHub is then signed out at once.',
  credentialsHint: (callbackUrl, options) =>
    `Make a GitHub App at ${options['url'] ?? 'https://github.com'}/settings/apps with callback ${callbackUrl}`,
  create: createGitHubApp,
}

export function createGitHubApp(settings: ProviderSettings): Provider {
  const { url, apiUrl, issuer } = gitHubPlaces(settings)
  const scopes = settings.scopes ?? ['email_addresses:read']
  const house: GitHubHouse = {
    apiUrl,
    issuer,
    scopesOf: () => scopes,
    foreign: ({ accessToken }) => (accessToken.startsWith('gho_') ? 'not_a_github_app' : undefined),
    emailScopes: ['email_addresses:read', 'email_addresses:write'],
    organizationScopes: ['members:read', 'members:write'],
  }
  return createOAuthProvider(
    {
      ...gitHubProduct(house, url),
      type: GITHUB_APP.type,
      title: GITHUB_APP.title,
      application: 'GitHub App',
      scopes,
      scopeParameter: 'none',
      // `scope` is the empty string in each token answer, and says nothing about permissions.
      readTokens: (body) => body && { ...body, scope: undefined },
    },
    settings,
  )
}
