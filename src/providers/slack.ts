/**
 * Slack, by OAuth v2 with user scopes. "Sign in with Slack" (OpenID) would name the person as well, but
 * its scopes cannot be mixed with others, so its token opens nothing a tool needs; this one is proved
 * by a method without a scope, ended by another, and rotates when the app opted in.
 *
 * Every refusal comes with status 200 and `ok: false`. The person's token lies in `authed_user`.
 * @see https://docs.slack.dev/authentication/installing-with-oauth, https://docs.slack.dev/reference/methods/auth.test
 */

import { readObject } from '../net/json-answer.ts'
import { isObject, type JsonObject } from '../oauth/claims.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import { asProof, pictureUrl, text } from './answers.ts'
import { askUser, profileOf, readUserAnswer } from './oauth2-answers.ts'
import { createOAuthProvider } from './oauth2-engine.ts'
import type { OAuthProduct, ProductCalls } from './oauth2-product.ts'
import type {
  Identity,
  ProviderFacts,
  ProviderInput,
  ProviderOptions,
  ProviderType,
} from './provider.ts'

const METHODS = 'https://docs.slack.dev/reference/methods'
const ISSUER = 'https://slack.com'
/** `invalid_auth` may be about our address, so it is none of them. */
const ENDED: readonly string[] = ['token_revoked', 'account_inactive', 'token_expired']

/** `scopes`: user scopes, default `['users:read', 'users:read.email']`. */
export interface SlackOptions extends ProviderOptions {
  /** Id of the only workspace whose people may sign in, such as `T012AB3C4`. Default any. */
  readonly team?: string
}

/** Slack as a sign-in provider. What is not given comes from `POSTERN_SLACK_*`. */
export function slack(options: SlackOptions = {}): ProviderInput {
  return { ...options, type: 'slack' }
}

const FACTS: ProviderFacts = {
  endpoints: `\`/oauth/v2/authorize\` with \`user_scope\`, \`/api/oauth.v2.access\`, \`/api/auth.test\`, \`/api/users.info\` of slack.com (https://docs.slack.dev/authentication/installing-with-oauth)`,
  clientAuthentication: `Basic (${METHODS}/oauth.v2.access)`,
  scopeSeparator: 'comma (https://docs.slack.dev/authentication/installing-with-oauth)',
  pkce: 'not sent: switching it on makes the app a public client for good (https://docs.slack.dev/authentication/using-pkce)',
  tokenFormat:
    'opaque, `xoxp-` in `authed_user` (https://docs.slack.dev/authentication/tokens#user)',
  accessLife:
    'no end; 43 200 s when the app opted in to rotation (https://docs.slack.dev/authentication/using-token-rotation)',
  refresh:
    'only with rotation on, which cannot be undone: a new pair each time; `invalid_refresh_token` is the end (https://docs.slack.dev/authentication/using-token-rotation)',
  check: `\`auth.test\` with the person's token, without a scope: team and user (${METHODS}/auth.test)`,
  definiteNo: `200 with \`ok: false\` and \`token_revoked\`, \`account_inactive\` or \`token_expired\`; \`invalid_auth\` may be about our address (${METHODS}/auth.test)`,
  secondOpinion: 'the refresh, else the same check again',
  rateLimits:
    '429 with `Retry-After`, or `ratelimited` with 200: never a no (https://docs.slack.dev/apis/web-api/rate-limits)',
  revocation: `\`auth.revoke\` with the token, \`revoked: true\` (${METHODS}/auth.revoke)`,
  events:
    'not used; `tokens_revoked` exists (https://docs.slack.dev/reference/events/tokens_revoked)',
}

export const SLACK: ProviderType = {
  type: 'slack',
  title: 'Slack',
  secretRequired: true,
  options: [
    {
      name: 'team',
      kind: 'text',
      environmentSuffix: 'TEAM',
      sentence: 'Id of the only workspace whose people may sign in; none: any workspace.',
    },
  ],
  facts: FACTS,
  setUp:
    'Make an app with the user scopes `users:read` and `users:read.email` and one redirect URL. A subject is `<team>-<user>`. The e-mail counts in `allow` when Slack says it is confirmed; set `team` when the app is distributed, because the owners of another workspace decide what is confirmed there. For "Sign in with Slack" alone take the type `oidc` with the issuer `https://slack.com`.',
  credentialsHint: (callbackUrl) =>
    `Make an app at https://api.slack.com/apps with redirect URL ${callbackUrl}`,
  create: (settings) => createOAuthProvider(slackProduct(settings.options['team']), settings),
}

export function slackProduct(team: string | undefined, origin = ISSUER): OAuthProduct {
  const authTest = { operation: 'check', url: `${origin}/api/auth.test`, method: 'POST' } as const
  return {
    type: SLACK.type,
    title: SLACK.title,
    application: 'app',
    issuer: ISSUER,
    authorizationEndpoint: `${origin}/oauth/v2/authorize`,
    tokenEndpoint: `${origin}/api/oauth.v2.access`,
    origins: [origin],
    publicOrigins: [ISSUER],
    scopes: ['users:read', 'users:read.email'],
    scopeParameter: 'user_scope',
    scopeSeparator: ',',
    pkce: false,
    authentication: 'basic',
    body: 'form',
    authorizationParameters: () => ({ team }),
    readTokens,
    words: {
      callback: ['bad_redirect_uri'],
      client: ['invalid_client_id', 'bad_client_secret'],
      ended: ['invalid_refresh_token', 'token_revoked', 'account_inactive'],
      transient: ['ratelimited', 'internal_error', 'fatal_error', 'service_unavailable'],
      refusals: { provider_invalid_code: 'says that the code is wrong or too old. Start again.' },
    },
    async identify(calls, tokens) {
      const tested = await readUserAnswer(calls, tokens, authTest)
      const subject = subjectOf(tested)
      if (subject === undefined) throw calls.refuse('identity_missing')
      if (team !== undefined && tested['team_id'] !== team) throw calls.refuse('other_workspace')
      return { identity: await describe(calls, tokens, tested, { origin, subject }) }
    },
    check: (calls, tokens, basis) =>
      askUser(calls, tokens, basis, {
        request: authTest,
        subject: subjectOf,
        refusal: ({ status }, body) => {
          const error = status === 200 && body?.['ok'] === false ? body['error'] : undefined
          return typeof error === 'string' && ENDED.includes(error) ? error : undefined
        },
      }),
    async revoke(calls, tokens) {
      const request = {
        operation: 'revoke',
        url: `${origin}/api/auth.revoke`,
        method: 'POST',
      } as const
      const response = await calls.user(tokens, request)
      const body = response.status === 200 ? readObject(response) : undefined
      return (
        (body?.['ok'] === true && body['revoked'] === true) || body?.['error'] === 'token_revoked'
      )
    },
  }
}

/**
 * The person's token as RFC 6749 would write it. A refresh answers with it at the top; a bot token at
 * the top is not the person's, and must not be taken for it.
 */
function readTokens(body: JsonObject | undefined): JsonObject | undefined {
  if (body === undefined || body['ok'] !== true) return body
  const user = body['authed_user']
  const holder = isObject(user) && user['access_token'] !== undefined ? user : body
  return { ...holder, token_type: holder['token_type'] === 'user' ? 'bearer' : 'bot' }
}

/** Ids of people are unique in their workspace only (flows.md section 1). */
function subjectOf(body: JsonObject): string | undefined {
  const { ok, team_id: team, user_id: user } = body
  const isId = (value: unknown) => typeof value === 'string' && /^[A-Z0-9]{2,40}$/.test(value)
  return ok === true && isId(team) && isId(user) ? `${team}-${user}` : undefined
}

/** `users.info`, asked at sign-in only; a failure costs name and e-mail. */
async function describe(
  calls: ProductCalls,
  tokens: TokenSet,
  tested: JsonObject,
  { origin, subject }: { origin: string; subject: string },
): Promise<Identity> {
  const url = new URL(`${origin}/api/users.info`)
  url.searchParams.set('user', String(tested['user_id']))
  const answer = await asProof(() => calls.user(tokens, { operation: 'userinfo', url: url.href }))
  const body = 'status' in answer && answer.status === 200 ? readObject(answer) : undefined
  const user = body?.['ok'] === true && isObject(body['user']) ? body['user'] : undefined
  const shown = isObject(user?.['profile']) ? user['profile'] : undefined
  const email = text(shown, 'email')
  const isConfirmed = user?.['id'] === tested['user_id'] && user?.['is_email_confirmed'] === true
  return {
    issuer: ISSUER,
    subject,
    profile: profileOf({
      login: text(user, 'name') ?? text(tested, 'user'),
      name: text(shown, 'real_name'),
      email,
      emailVerified: email === undefined ? undefined : isConfirmed,
      pictureUrl: pictureUrl(shown, 'image_192'),
    }),
    groups: [],
  }
}
