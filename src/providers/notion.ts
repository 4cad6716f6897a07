/**
 * Notion: Basic and JSON at every OAuth endpoint, the person in the token answer itself, proof by
 * introspection. Older connections have tokens without an end, newer ones a new pair at each refresh.
 * @see https://developers.notion.com/guides/get-started/authorization
 */
import { isObject, type JsonObject } from '../oauth/claims.ts'
import { pictureUrl, text } from './answers.ts'
import { idOf, judgeIntrospection, profileOf } from './oauth2-answers.ts'
import { createOAuthProvider } from './oauth2-engine.ts'
import type { OAuthProduct, ProductCalls } from './oauth2-product.ts'
import type {
  Identity,
  ProviderFacts,
  ProviderInput,
  ProviderOptions,
  ProviderType,
} from './provider.ts'

const OAUTH = 'https://developers.notion.com/guides/get-started/authorization'
const REFERENCE = 'https://developers.notion.com/reference'
const ISSUER = 'https://api.notion.com'
/** Sent with every call (https://developers.notion.com/reference/versioning). */
const VERSION = '2025-09-03'

export interface NotionOptions extends ProviderOptions {
  /** Id of the only workspace whose people may sign in. Default any. */
  readonly workspace?: string
}

/** Notion as a sign-in provider. What is not given comes from `POSTERN_NOTION_*`. */
export function notion(options: NotionOptions = {}): ProviderInput {
  return { ...options, type: 'notion' }
}

const FACTS: ProviderFacts = {
  endpoints: `\`/v1/oauth/authorize\` with \`owner=user\`, \`/v1/oauth/token\` of api.notion.com (${OAUTH})`,
  clientAuthentication: `Basic, JSON bodies, \`Notion-Version\` (${REFERENCE}/create-a-token)`,
  scopeSeparator: `none: capabilities of the connection (${REFERENCE}/capabilities)`,
  pkce: `not documented, so not sent; \`state\` binds the browser (${OAUTH})`,
  tokenFormat: `opaque (${OAUTH})`,
  accessLife: `by \`expires_in\` where there is one; older connections: no end (${REFERENCE}/refresh-a-token)`,
  refresh: `where the answer had a refresh token: a new pair each time; \`invalid_grant\` is the end (${REFERENCE}/refresh-a-token)`,
  check: `\`POST /v1/oauth/introspect\` (${REFERENCE}/introspect-token)`,
  definiteNo: `200 with literal \`active: false\` (${REFERENCE}/introspect-token, RFC 7662 section 2.2)`,
  secondOpinion: 'the refresh, else the same check again',
  rateLimits: `429 with \`Retry-After\` is never a no (${REFERENCE}/request-limits)`,
  revocation: `\`POST /v1/oauth/revoke\` (${REFERENCE}/revoke-token)`,
  events: 'not used',
}

export const NOTION: ProviderType = {
  type: 'notion',
  title: 'Notion',
  secretRequired: true,
  options: [
    {
      name: 'workspace',
      kind: 'text',
      environmentSuffix: 'WORKSPACE',
      sentence: 'Id of the only workspace whose people may sign in; none: any workspace.',
    },
  ],
  facts: FACTS,
  setUp:
    'Make a public connection. Notion does not say whether an e-mail is verified, so none counts in `allow`: set `workspace`, and name people in `allow.users`. `scopes` has no meaning here.',
  credentialsHint: (callbackUrl) =>
    `Make a public connection at https://www.notion.so/profile/integrations with redirect URI ${callbackUrl}`,
  create: (settings) => createOAuthProvider(notionProduct(settings.options['workspace']), settings),
}

export function notionProduct(workspace: string | undefined, origin = ISSUER): OAuthProduct {
  return {
    type: NOTION.type,
    title: NOTION.title,
    application: 'public connection',
    issuer: ISSUER,
    authorizationEndpoint: `${origin}/v1/oauth/authorize`,
    tokenEndpoint: `${origin}/v1/oauth/token`,
    origins: [origin],
    publicOrigins: [ISSUER],
    scopes: [],
    scopeParameter: 'none',
    scopeSeparator: ' ',
    pkce: false,
    authentication: 'basic',
    body: 'json',
    headers: { 'notion-version': VERSION },
    authorizationParameters: () => ({ owner: 'user' }),
    words: {
      callback: ['invalid_redirect_uri'],
      client: ['invalid_client', 'unauthorized_client'],
      ended: ['invalid_grant'],
      refusals: { owner_is_workspace: 'named a workspace and no person. Start again as yourself.' },
    },
    identify: async (calls, _tokens, body) => ({ identity: identityOf(calls, body, workspace) }),
    async check(calls, tokens, basis) {
      const response = await calls.client({
        operation: 'introspection',
        url: `${origin}/v1/oauth/introspect`,
        parameters: { token: tokens.accessToken },
      })
      return judgeIntrospection(response, basis.subject) ?? calls.unknown(response)
    },
    async revoke(calls, tokens) {
      const { status } = await calls.client({
        operation: 'revoke',
        url: `${origin}/v1/oauth/revoke`,
        parameters: { token: tokens.accessToken },
      })
      return status === 200
    },
  }
}

/** `owner.user`: whoever pressed the button. A workspace token belongs to nobody who could sign in. */
function identityOf(
  calls: ProductCalls,
  body: JsonObject,
  workspace: string | undefined,
): Identity {
  const owner = body['owner']
  const user = isObject(owner) && owner['type'] === 'user' ? owner['user'] : undefined
  if (!isObject(user)) throw calls.refuse('owner_is_workspace')
  const subject = typeof user['id'] === 'string' ? idOf(user['id']) : undefined
  if (subject === undefined) throw calls.refuse('identity_missing')
  if (workspace !== undefined && body['workspace_id'] !== workspace)
    throw calls.refuse('other_workspace')
  const email = isObject(user['person']) ? text(user['person'], 'email') : undefined
  return {
    issuer: ISSUER,
    subject,
    profile: profileOf({
      name: text(user, 'name'),
      email,
      emailVerified: email === undefined ? undefined : false,
      pictureUrl: pictureUrl(user, 'avatar_url'),
    }),
    groups: [],
  }
}
