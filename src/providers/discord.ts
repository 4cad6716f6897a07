/**
 * Discord: opaque tokens of seven days, proved by the authorization they belong to.
 * @see https://discord.com/developers/docs/topics/oauth2, https://discord.com/developers/docs/resources/user
 */
import type { JsonObject } from '../oauth/claims.ts'
import { text } from './answers.ts'
import { askUser, idOf, profileOf, readUserAnswer, scopesOf } from './oauth2-answers.ts'
import { createOAuthProvider } from './oauth2-engine.ts'
import type { OAuthProduct, ProductCalls } from './oauth2-product.ts'
import type {
  Identity,
  ProviderFacts,
  ProviderInput,
  ProviderOptions,
  ProviderType,
} from './provider.ts'

const OAUTH = 'https://discord.com/developers/docs/topics/oauth2'

/** Discord as a sign-in provider. `scopes`: default `['identify', 'email']`. */
export function discord(options: ProviderOptions = {}): ProviderInput {
  return { ...options, type: 'discord' }
}

const FACTS: ProviderFacts = {
  endpoints: `\`/oauth2/authorize\`, \`/api/oauth2/token\`, \`/api/v10/users/@me\`, \`/api/v10/oauth2/@me\` of discord.com (${OAUTH}#shared-resources-oauth2-urls)`,
  clientAuthentication: `Basic, form bodies only (${OAUTH}#authorization-code-grant)`,
  scopeSeparator: `space (${OAUTH}#authorization-code-grant)`,
  pkce: 'S256 always (https://discord.com/developers/docs/discord-social-sdk/development-guides/account-linking-with-discord)',
  tokenFormat: `opaque (${OAUTH}#authorization-code-grant-access-token-response)`,
  accessLife: `604 800 s (${OAUTH}#authorization-code-grant-access-token-response)`,
  refresh: `yes; a grace is not documented, so none is relied on; \`invalid_grant\` is the end (${OAUTH}#authorization-code-grant-refresh-token-exchange-example)`,
  check: `\`GET /oauth2/@me\` with the person's token, scopes from the same answer (${OAUTH}#get-current-authorization-information)`,
  definiteNo:
    '401 with JSON `message` exactly `401: Unauthorized` and `code` 0 (https://discord.com/developers/docs/topics/opcodes-and-status-codes#http)',
  secondOpinion: 'the refresh, else the same check again',
  rateLimits:
    '429 with `Retry-After` is never a no; many 401, 403 and 429 ban the address (https://discord.com/developers/docs/topics/rate-limits#invalid-request-limit-aka-cloudflare-bans)',
  revocation: `\`POST /oauth2/token/revoke\`, ends the whole authorization (${OAUTH}#authorization-code-grant-token-revocation-example)`,
  events: 'not used',
}

export const DISCORD: ProviderType = {
  type: 'discord',
  title: 'Discord',
  secretRequired: true,
  options: [],
  facts: FACTS,
  setUp:
    'Add the callback under OAuth2, Redirects. The e-mail counts in `allow` when Discord says `verified`. Anybody can have a Discord account: name people in `allow.users` or by e-mail.',
  credentialsHint: (callbackUrl) =>
    `Make an application at https://discord.com/developers/applications with redirect ${callbackUrl}`,
  create: (settings) => createOAuthProvider(discordProduct(), settings),
}

export function discordProduct(origin = 'https://discord.com'): OAuthProduct {
  return {
    type: DISCORD.type,
    title: DISCORD.title,
    application: 'application',
    issuer: 'https://discord.com',
    authorizationEndpoint: `${origin}/oauth2/authorize`,
    tokenEndpoint: `${origin}/api/oauth2/token`,
    origins: [origin],
    publicOrigins: ['https://discord.com'],
    scopes: ['identify', 'email'],
    scopeSeparator: ' ',
    pkce: true,
    authentication: 'basic',
    body: 'form',
    words: { callback: [], client: ['invalid_client'], ended: ['invalid_grant'] },
    async identify(calls, tokens) {
      const url = `${origin}/api/v10/users/@me`
      return {
        identity: identityOf(
          calls,
          await readUserAnswer(calls, tokens, { operation: 'userinfo', url }),
        ),
      }
    },
    check: (calls, tokens, basis) =>
      askUser(calls, tokens, basis, {
        request: { operation: 'check', url: `${origin}/api/v10/oauth2/@me` },
        subject: ({ user }) => idOf((user as JsonObject | undefined)?.['id']),
        scopes: ({ scopes }) => scopesOf(scopes),
        refusal: ({ status }, body) =>
          status === 401 && body?.['code'] === 0 && body['message'] === '401: Unauthorized'
            ? 'unauthorized'
            : undefined,
      }),
    revocationEnds: 'authorization',
    async revoke(calls, tokens) {
      const { status } = await calls.client({
        operation: 'revoke',
        url: `${origin}/api/oauth2/token/revoke`,
        parameters: { token: tokens.accessToken, token_type_hint: 'access_token' },
      })
      return status === 200
    },
  }
}

/** `username` can be changed and taken over; only the snowflake `id` names an account. */
function identityOf(calls: ProductCalls, user: JsonObject): Identity {
  const subject = typeof user['id'] === 'string' ? idOf(user['id']) : undefined
  if (subject === undefined) throw calls.refuse('identity_missing')
  const email = text(user, 'email')
  const avatar = text(user, 'avatar')
  return {
    issuer: 'https://discord.com',
    subject,
    profile: profileOf({
      login: text(user, 'username'),
      name: text(user, 'global_name'),
      email,
      emailVerified: email === undefined ? undefined : user['verified'] === true,
      pictureUrl:
        avatar === undefined || !/^[a-z0-9_]{1,64}$/.test(avatar)
          ? undefined
          : `https://cdn.discordapp.com/avatars/${subject}/${avatar}.png`,
    }),
    groups: [],
  }
}
