/**
 * Atlassian (3LO): one-hour tokens, refresh tokens that rotate and end with 403 `invalid_grant`,
 * JSON bodies. The access token is a JWT for Atlassian's own servers and opaque to us.
 * @see https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/
 */
import type { JsonObject } from '../oauth/claims.ts'
import { pictureUrl, text } from './answers.ts'
import { askUser, idOf, profileOf, readUserAnswer } from './oauth2-answers.ts'
import { createOAuthProvider } from './oauth2-engine.ts'
import type { OAuthProduct, ProductCalls } from './oauth2-product.ts'
import type {
  Identity,
  ProviderFacts,
  ProviderInput,
  ProviderOptions,
  ProviderType,
} from './provider.ts'

const OAUTH = 'https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/'
const ISSUER = 'https://auth.atlassian.com'
const API = 'https://api.atlassian.com'
/** `read:me` for the person, `offline_access` for the refresh token: no sign-in without both. */
const NEEDED: readonly string[] = ['read:me', 'offline_access']

/** Atlassian as a sign-in provider. `scopes`: added to `read:me` and `offline_access`. */
export function atlassian(options: ProviderOptions = {}): ProviderInput {
  return { ...options, type: 'atlassian' }
}

const FACTS: ProviderFacts = {
  endpoints: `\`https://auth.atlassian.com/authorize\` with \`audience=api.atlassian.com\` and \`prompt=consent\`, \`/oauth/token\`, \`https://api.atlassian.com/me\` (${OAUTH})`,
  clientAuthentication: `\`client_id\` and \`client_secret\` in a JSON body (${OAUTH}#2--exchange-authorization-code-for-access-token)`,
  scopeSeparator: `space (${OAUTH}#1--direct-the-user-to-the-authorization-url-to-get-an-authorization-code)`,
  pkce: `not documented, so not sent; \`state\` binds the browser (${OAUTH})`,
  tokenFormat: `a JWT for Atlassian, opaque to us (${OAUTH})`,
  accessLife: `3 600 s, by \`expires_in\` (${OAUTH}#2--exchange-authorization-code-for-access-token)`,
  refresh: `with \`offline_access\`: rotates, 90 days idle, 365 days in all; 403 with \`invalid_grant\` is the end (${OAUTH}#how-do-i-get-a-new-access-token--if-my-access-token-expires-or-is-revoked-)`,
  check: `\`GET /me\` with the person's token (${OAUTH}#how-do-i-retrieve-the-public-profile-of-the-authenticated-user-)`,
  definiteNo: `401 with JSON \`message\` exactly \`Unauthorized\`; a missing scope says more and is no no (${OAUTH}#3-2-construct-the-request-url)`,
  secondOpinion: 'the refresh, else the same check again',
  rateLimits:
    '429 with `Retry-After` is never a no (https://developer.atlassian.com/cloud/jira/platform/rate-limiting/)',
  revocation: 'none for a token: the person removes the app in the profile',
  events: 'none',
}

export const ATLASSIAN: ProviderType = {
  type: 'atlassian',
  title: 'Atlassian',
  secretRequired: true,
  options: [],
  facts: FACTS,
  setUp:
    'Make an OAuth 2.0 integration, add the User Identity API (`read:me`) and the callback. The scopes `read:me` and `offline_access` are always asked for. Atlassian shows its consent each time. A token cannot be revoked by us: after a sign-out here it lives up to an hour at Atlassian.',
  credentialsHint: (callbackUrl) =>
    `Make an OAuth 2.0 integration at https://developer.atlassian.com/console/myapps/ with callback ${callbackUrl}`,
  create: (settings) =>
    createOAuthProvider(atlassianProduct(), {
      ...settings,
      scopes: [...new Set([...(settings.scopes ?? []), ...NEEDED])],
    }),
}

export function atlassianProduct(origins = { issuer: ISSUER, api: API }): OAuthProduct {
  return {
    type: ATLASSIAN.type,
    title: ATLASSIAN.title,
    application: 'OAuth 2.0 integration',
    issuer: ISSUER,
    authorizationEndpoint: `${origins.issuer}/authorize`,
    tokenEndpoint: `${origins.issuer}/oauth/token`,
    origins: [origins.issuer, origins.api],
    publicOrigins: [ISSUER, API],
    scopes: NEEDED,
    scopeSeparator: ' ',
    pkce: false,
    authentication: 'post',
    body: 'json',
    authorizationParameters: () => ({ audience: 'api.atlassian.com', prompt: 'consent' }),
    words: {
      callback: ['invalid_redirect_uri'],
      client: ['invalid_client', 'unauthorized_client'],
      ended: ['invalid_grant'],
    },
    async identify(calls, tokens) {
      const request = { operation: 'userinfo', url: `${origins.api}/me` } as const
      return { identity: identityOf(calls, await readUserAnswer(calls, tokens, request)) }
    },
    check: (calls, tokens, basis) =>
      askUser(calls, tokens, basis, {
        request: { operation: 'check', url: `${origins.api}/me` },
        subject: ({ account_id: id }) => (typeof id === 'string' ? idOf(id) : undefined),
        refusal: ({ status }, body) =>
          status === 401 && body?.['message'] === 'Unauthorized' ? 'unauthorized' : undefined,
      }),
  }
}

function identityOf(calls: ProductCalls, me: JsonObject): Identity {
  const subject = typeof me['account_id'] === 'string' ? idOf(me['account_id']) : undefined
  if (subject === undefined) throw calls.refuse('identity_missing')
  const email = text(me, 'email')
  return {
    issuer: ISSUER,
    subject,
    profile: profileOf({
      name: text(me, 'name'),
      login: text(me, 'nickname'),
      email,
      emailVerified: email === undefined ? undefined : me['email_verified'] === true,
      pictureUrl: pictureUrl(me, 'picture'),
    }),
    groups: [],
  }
}
