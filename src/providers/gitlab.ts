/**
 * GitLab, on gitlab.com or self-managed: two-hour tokens whose refresh ends both old ones, proved by
 * the token's own information. The URL of the instance is the issuer of its people.
 * @see https://docs.gitlab.com/api/oauth2/, https://docs.gitlab.com/api/users/
 */
import { isObject, type JsonObject } from '../oauth/claims.ts'
import { isInvalidToken, pictureUrl, text } from './answers.ts'
import {
  askUser,
  idOf,
  judgeIntrospection,
  profileOf,
  readUserAnswer,
  scopesOf,
} from './oauth2-answers.ts'
import { createOAuthProvider } from './oauth2-engine.ts'
import type { OAuthProduct, ProductCalls } from './oauth2-product.ts'
import type {
  Identity,
  ProviderFacts,
  ProviderInput,
  ProviderOptions,
  ProviderType,
} from './provider.ts'

const OAUTH = 'https://docs.gitlab.com/api/oauth2/'

/** `scopes`: default `['read_user']`. */
export interface GitLabOptions extends ProviderOptions {
  /** The instance, a path below its host included. Default `https://gitlab.com`. */
  readonly url?: string
}

/** GitLab as a sign-in provider. What is not given comes from `POSTERN_GITLAB_*`. */
export function gitlab(options: GitLabOptions = {}): ProviderInput {
  return { ...options, type: 'gitlab' }
}

const FACTS: ProviderFacts = {
  endpoints: `\`/oauth/authorize\`, \`/oauth/token\`, \`/oauth/token/info\` (${OAUTH}); \`GET /api/v4/user\` (https://docs.gitlab.com/api/users/#retrieve-the-current-user)`,
  clientAuthentication: `\`client_id\` and \`client_secret\` in the form (${OAUTH}#authorization-code-flow)`,
  scopeSeparator: `space (${OAUTH}#authorization-code-with-proof-key-for-code-exchange-pkce)`,
  pkce: `S256 always (${OAUTH}#authorization-code-with-proof-key-for-code-exchange-pkce)`,
  tokenFormat: `opaque (${OAUTH}#authorization-code-flow)`,
  accessLife: `7 200 s (${OAUTH}#authorization-code-flow)`,
  refresh: `rotates, both old tokens die; wants the same \`redirect_uri\`; \`invalid_grant\` is the end (${OAUTH}#authorization-code-flow)`,
  check: `\`GET /oauth/token/info\` with the person's token: owner, application, scopes (${OAUTH}#retrieve-the-token-information)`,
  definiteNo: `401 with \`error\` exactly \`invalid_token\` in the body or in \`WWW-Authenticate\` (${OAUTH}#retrieve-the-token-information, RFC 6750 section 3.1)`,
  secondOpinion:
    'the refresh; without a refresh token introspection, only literal `active: false` (RFC 7662 section 2.2)',
  rateLimits:
    '429 with `Retry-After` is never a no (https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/)',
  revocation: `\`POST /oauth/revoke\` (${OAUTH}#revoke-a-token)`,
  events: 'not used',
}

export const GITLAB: ProviderType = {
  type: 'gitlab',
  title: 'GitLab',
  secretRequired: true,
  options: [
    {
      name: 'url',
      kind: 'url',
      default: 'https://gitlab.com',
      environmentSuffix: 'URL',
      sentence: 'The instance; another one when it is self-managed.',
    },
  ],
  facts: FACTS,
  setUp:
    'Make a confidential application with the scope `read_user`. The e-mail counts in `allow` when it was confirmed at that instance, so trust its administrators or name people in `allow.users`. With `openid` in place of `read_user` the type `oidc` fits as well.',
  credentialsHint: (callbackUrl, options) =>
    `Make an application at ${options['url'] ?? 'https://gitlab.com'}/-/user_settings/applications with redirect URI ${callbackUrl}`,
  create: (settings) =>
    createOAuthProvider(gitLabProduct(settings.options['url'] ?? 'https://gitlab.com'), settings),
}

export function gitLabProduct(instance: string): OAuthProduct {
  const url = instance.replace(/\/$/, '')
  return {
    type: GITLAB.type,
    title: GITLAB.title,
    application: 'application',
    issuer: url,
    authorizationEndpoint: `${url}/oauth/authorize`,
    tokenEndpoint: `${url}/oauth/token`,
    origins: [new URL(url).origin],
    publicOrigins: ['https://gitlab.com'],
    scopes: ['read_user'],
    scopeSeparator: ' ',
    impliedScopes: { api: ['read_api', 'read_user'] },
    pkce: true,
    authentication: 'post',
    body: 'form',
    refreshParameters: ({ redirectUri }) => ({ redirect_uri: redirectUri }),
    words: { callback: [], client: ['invalid_client'], ended: ['invalid_grant'] },
    async identify(calls, tokens) {
      const request = { operation: 'userinfo', url: `${url}/api/v4/user` } as const
      return { identity: identityOf(calls, url, await readUserAnswer(calls, tokens, request)) }
    },
    check: (calls, tokens, basis) =>
      askUser(calls, tokens, basis, {
        request: { operation: 'check', url: `${url}/oauth/token/info` },
        subject: (body) => ownerOf(body, calls.clientId),
        scopes: ({ scope }) => scopesOf(scope),
        refusal: (response, body) =>
          isInvalidToken(response) ||
          (response.status === 401 && body?.['error'] === 'invalid_token')
            ? 'invalid_token'
            : undefined,
      }),
    async secondOpinion(calls, tokens) {
      const response = await calls.client({
        operation: 'introspection',
        url: `${url}/oauth/introspect`,
        parameters: { token: tokens.accessToken },
      })
      return judgeIntrospection(response, undefined) ?? calls.unknown(response)
    },
    async revoke(calls, tokens) {
      const { status } = await calls.client({
        operation: 'revoke',
        url: `${url}/oauth/revoke`,
        parameters: { token: tokens.accessToken },
      })
      return status === 200
    },
  }
}

/** An answer about a token of another application proves nothing. */
function ownerOf(body: JsonObject, clientId: string): string | undefined {
  const { application, resource_owner_id: owner } = body
  const uid = isObject(application) ? application['uid'] : undefined
  return uid === clientId && typeof owner === 'number' ? idOf(owner) : undefined
}

/** `username` can be changed; only the numeric `id` names an account. */
function identityOf(calls: ProductCalls, issuer: string, user: JsonObject): Identity {
  const subject = typeof user['id'] === 'number' ? idOf(user['id']) : undefined
  if (subject === undefined) throw calls.refuse('identity_missing')
  const email = text(user, 'email')
  return {
    issuer,
    subject,
    profile: profileOf({
      login: text(user, 'username'),
      name: text(user, 'name'),
      email,
      emailVerified: email === undefined ? undefined : text(user, 'confirmed_at') !== undefined,
      pictureUrl: pictureUrl(user, 'avatar_url'),
    }),
    groups: [],
  }
}
