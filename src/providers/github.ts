/**
 * GitHub, as an OAuth app: numeric user id as subject, one call per proof, scopes from the same answer.
 *
 * GitHub refuses with status 200 at its token endpoint and with 403 when it throttles, so each answer
 * is judged by its exact shape. Tokens without an end and 8 h tokens whose refresh kills both old ones
 * are the same to us but for `expires_in` (PRV-08).
 * @see docs.github.com `authorizing-oauth-apps`, `refreshing-user-access-tokens`,
 *   `troubleshooting-oauth-app-access-token-request-errors`
 */
import { limited, readScopes } from './github-answers.ts'
import * as api from './github-api.ts'
import { GITHUB_FACTS, GITHUB_IMPLIED_SCOPES } from './github-facts.ts'
import { memberships } from './github-memberships.ts'
import { createOAuthProvider } from './oauth2-engine.ts'
import type { OAuthProduct } from './oauth2-product.ts'
import type {
  Provider,
  ProviderInput,
  ProviderOption,
  ProviderOptions,
  ProviderSettings,
  ProviderType,
} from './provider.ts'

/** `scopes`: default `['user:email']`. */
export interface GitHubOptions extends ProviderOptions {
  /** GitHub Enterprise: where people sign in. Default `https://github.com`. */
  readonly url?: string
  /** GitHub Enterprise: the REST API. Default `https://api.github.com`. */
  readonly apiUrl?: string
  /** Secret of its webhook, or `env:NAME`, or `file:/path`. Default none. */
  readonly webhookSecret?: string
}

/** GitHub as a sign-in provider. What is not given comes from `POSTERN_GITHUB_*`. */
export function github(options: GitHubOptions = {}): ProviderInput {
  return { ...options, type: 'github' }
}

export const GITHUB_OPTIONS: readonly ProviderOption[] = [
  {
    name: 'url',
    kind: 'url',
    default: 'https://github.com',
    environmentSuffix: 'URL',
    sentence: 'Where people sign in; another one for GitHub Enterprise.',
  },
  {
    name: 'apiUrl',
    kind: 'url',
    default: 'https://api.github.com',
    environmentSuffix: 'API_URL',
    sentence: 'The REST API; another one for GitHub Enterprise.',
  },
  {
    name: 'webhookSecret',
    kind: 'secret',
    environmentSuffix: 'WEBHOOK_SECRET',
    sentence: 'Secret of the webhook that posts to `/webhooks/<id>`; without it none is taken.',
  },
]

export const GITHUB: ProviderType = {
  type: 'github',
  title: 'GitHub',
  secretRequired: true,
  options: GITHUB_OPTIONS,
  facts: GITHUB_FACTS,
  setUp:
    'Make an **OAuth app** (for a GitHub App take `githubApp`) and give it exactly one callback URL, without wildcards: leave wildcard matching of redirect URIs off. With the scope `user:email` (the default) the e-mail is asked for once, at sign-in, and counts in `allow` when GitHub says it is verified. Rules on organizations and teams also need `read:org`.',
  credentialsHint: (callbackUrl, options) =>
    `Make an OAuth app at ${options['url'] ?? 'https://github.com'}/settings/developers with callback ${callbackUrl}`,
  create: createGitHub,
}

export function createGitHub(settings: ProviderSettings): Provider {
  const { url, apiUrl, issuer } = gitHubPlaces(settings)
  const scopes = settings.scopes ?? ['user:email']
  const house: api.GitHubHouse = {
    apiUrl,
    issuer,
    scopesOf: readScopes,
    // PRV-11: tokens of GitHub Apps have permissions and no scopes; this adapter would misread them.
    foreign: (tokens, granted) =>
      scopes.length > 0 && (granted === undefined || tokens.accessToken.startsWith('ghu_'))
        ? 'not_an_oauth_app'
        : undefined,
    // `user` includes `user:email` (scopes for OAuth apps, normalized scopes).
    emailScopes: ['user', 'user:email'],
    organizationScopes: ['read:org', 'write:org', 'admin:org'],
  }
  const product: OAuthProduct = {
    ...gitHubProduct(house, url),
    type: GITHUB.type,
    title: GITHUB.title,
    application: 'OAuth app',
    scopes,
    impliedScopes: GITHUB_IMPLIED_SCOPES,
    membershipScopes: ['read:org'],
  }
  return createOAuthProvider(product, settings)
}

interface GitHubPlaces {
  readonly url: string
  readonly apiUrl: string
  readonly issuer: string
}

export function gitHubPlaces({ options }: ProviderSettings): GitHubPlaces {
  const url = (options['url'] ?? 'https://github.com').replace(/\/$/, '')
  const apiUrl = (options['apiUrl'] ?? 'https://api.github.com').replace(/\/$/, '')
  // What GitHub publishes in its RFC 8414 document, so that an `iss` it may send compares equal.
  return { url, apiUrl, issuer: `${url}/login/oauth` }
}

type Shared = Omit<OAuthProduct, 'type' | 'title' | 'application' | 'scopes'>

/** What both kinds of application have in common. S256 since 2025-07-14 (PRV-09). */
export function gitHubProduct(house: api.GitHubHouse, url: string): Shared {
  return {
    issuer: house.issuer,
    authorizationEndpoint: `${url}/login/oauth/authorize`,
    tokenEndpoint: `${url}/login/oauth/access_token`,
    origins: [new URL(url).origin, new URL(house.apiUrl).origin],
    publicOrigins: ['https://github.com', 'https://api.github.com'],
    scopeSeparator: ' ',
    pkce: true,
    authentication: 'post',
    body: 'form',
    authorizationParameters: ({ chooseAccount, loginHint }) => ({
      prompt: chooseAccount === true ? 'select_account' : undefined,
      login: loginHint,
    }),
    words: {
      callback: ['redirect_uri_mismatch'],
      client: ['incorrect_client_credentials'],
      ended: ['bad_refresh_token'],
      refusals: REFUSALS,
    },
    limited,
    identify: (calls, tokens) => api.identify(house, calls, tokens),
    check: (calls, tokens, basis) => api.check(house, calls, tokens, basis),
    secondOpinion: (calls, tokens, basis) => api.secondOpinion(house, calls, tokens, basis),
    revoke: (calls, tokens) => api.revoke(house, calls, tokens),
    memberships: (calls, tokens, wanted) => memberships(house, calls, tokens, wanted),
  }
}

const REFUSALS: Readonly<Record<string, string>> = {
  provider_bad_verification_code: 'says that the code is wrong or too old. Start again.',
  provider_unverified_user_email: 'wants you to verify your primary e-mail address first.',
  not_an_oauth_app:
    'gave a token without scopes: the client id is of a GitHub App, not of an OAuth app.',
  not_a_github_app:
    'gave a token with scopes: the client id is of an OAuth app, not of a GitHub App.',
}
