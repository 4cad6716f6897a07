/**
 * Linear: tokens of 24 h with refresh tokens, scopes separated by commas, a person by GraphQL. Linear
 * throttles with status 400, and answers errors beside data with status 200.
 * @see https://linear.app/developers/oauth-2-0-authentication, https://linear.app/developers/graphql
 */
import type { EgressResponse } from '../net/egress.ts'
import { readObject } from '../net/json-answer.ts'
import { isObject, type JsonObject } from '../oauth/claims.ts'
import { pictureUrl, text, unknown } from './answers.ts'
import { askUser, idOf, profileOf, readUserAnswer } from './oauth2-answers.ts'
import { createOAuthProvider } from './oauth2-engine.ts'
import type { OAuthProduct, ProductCalls, UserRequest } from './oauth2-product.ts'
import type {
  Identity,
  Proof,
  ProviderFacts,
  ProviderInput,
  ProviderOptions,
  ProviderType,
} from './provider.ts'

const OAUTH = 'https://linear.app/developers/oauth-2-0-authentication'
const ISSUER = 'https://linear.app'
const API = 'https://api.linear.app'
const PERSON = '{ viewer { id name displayName email avatarUrl organization { urlKey } } }'
const RATE_LIMIT_WAIT_MIN_MS = 60_000
/** Limits count per hour, so no reset lies further away. */
const RATE_LIMIT_WAIT_MAX_MS = 3_600_000

/** `scopes`: default `['read']`. */
export interface LinearOptions extends ProviderOptions {
  /** URL key of the only workspace whose people may sign in: `acme` of `linear.app/acme`. Default any. */
  readonly workspace?: string
}

/** Linear as a sign-in provider. What is not given comes from `POSTERN_LINEAR_*`. */
export function linear(options: LinearOptions = {}): ProviderInput {
  return { ...options, type: 'linear' }
}

const FACTS: ProviderFacts = {
  endpoints: `\`https://linear.app/oauth/authorize\`, \`https://api.linear.app/oauth/token\` (${OAUTH}); \`POST /graphql\` (https://linear.app/developers/graphql)`,
  clientAuthentication: `\`client_id\` and \`client_secret\` in the form (${OAUTH})`,
  scopeSeparator: `comma (${OAUTH})`,
  pkce: `S256 always (${OAUTH})`,
  tokenFormat: `opaque (${OAUTH})`,
  accessLife: `24 h, by \`expires_in\` (${OAUTH})`,
  refresh: `required since 2026-04-01; rotates; \`invalid_grant\` is the end (${OAUTH})`,
  check:
    "`POST /graphql` with `{ viewer { id } }` and the person's token (https://linear.app/developers/graphql)",
  definiteNo:
    '401 with `errors[].extensions.code` exactly `AUTHENTICATION_ERROR` (https://linear.app/developers/graphql)',
  secondOpinion: 'the refresh, else the same check again',
  rateLimits:
    '400 with `RATELIMITED` in `extensions.code`, until `X-RateLimit-Requests-Reset`, at least 60 s; never a no (https://linear.app/developers/rate-limiting)',
  revocation: `\`POST /oauth/revoke\`, 200 (${OAUTH})`,
  events: 'not used',
}

export const LINEAR: ProviderType = {
  type: 'linear',
  title: 'Linear',
  secretRequired: true,
  options: [
    {
      name: 'workspace',
      kind: 'text',
      environmentSuffix: 'WORKSPACE',
      sentence: 'URL key of the only workspace whose people may sign in; none: any workspace.',
    },
  ],
  facts: FACTS,
  setUp:
    'Linear does not say whether an e-mail is verified, so none counts in `allow`: set `workspace`, and name people in `allow.users`.',
  credentialsHint: (callbackUrl) =>
    `Make an OAuth application at https://linear.app/settings/api/applications/new with callback ${callbackUrl}`,
  create: (settings) => createOAuthProvider(linearProduct(settings.options['workspace']), settings),
}

export function linearProduct(
  workspace: string | undefined,
  origins = { site: ISSUER, api: API },
): OAuthProduct {
  const ask = (operation: 'check' | 'userinfo', query: string): UserRequest => ({
    operation,
    url: `${origins.api}/graphql`,
    method: 'POST',
    json: { query },
  })
  return {
    type: LINEAR.type,
    title: LINEAR.title,
    application: 'OAuth application',
    issuer: ISSUER,
    authorizationEndpoint: `${origins.site}/oauth/authorize`,
    tokenEndpoint: `${origins.api}/oauth/token`,
    origins: [origins.site, origins.api],
    publicOrigins: [ISSUER, API],
    scopes: ['read'],
    scopeSeparator: ',',
    pkce: true,
    authentication: 'post',
    body: 'form',
    // Lets the person choose another workspace.
    authorizationParameters: ({ chooseAccount }) => ({
      prompt: chooseAccount === true ? 'consent' : undefined,
    }),
    words: {
      callback: ['invalid_redirect_uri'],
      client: ['invalid_client'],
      ended: ['invalid_grant'],
    },
    limited,
    async identify(calls, tokens) {
      const viewer = viewerOf(await readUserAnswer(calls, tokens, ask('userinfo', PERSON)))
      return { identity: identityOf(calls, viewer, workspace) }
    },
    check: (calls, tokens, basis) =>
      askUser(calls, tokens, basis, {
        request: ask('check', '{ viewer { id } }'),
        subject: (body) => text(viewerOf(body), 'id', 255),
        refusal: ({ status }, body) =>
          status === 401 && errorCode(body) === 'AUTHENTICATION_ERROR'
            ? 'authentication_error'
            : undefined,
      }),
    async revoke(calls, tokens) {
      const { status } = await calls.client({
        operation: 'revoke',
        url: `${origins.api}/oauth/revoke`,
        parameters: { token: tokens.accessToken, token_type_hint: 'access_token' },
      })
      return status === 200
    },
  }
}

function viewerOf({ data }: JsonObject): JsonObject | undefined {
  const viewer = isObject(data) ? data['viewer'] : undefined
  return isObject(viewer) ? viewer : undefined
}

function errorCode(body: JsonObject | undefined): unknown {
  const errors = body?.['errors']
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined
  const extensions = isObject(first) ? first['extensions'] : undefined
  return isObject(extensions) ? extensions['code'] : undefined
}

function limited(
  response: EgressResponse,
  nowMs: number,
): Extract<Proof, { outcome: 'unknown' }> | undefined {
  if (response.status !== 400 || errorCode(readObject(response)) !== 'RATELIMITED') return undefined
  const resetMs = Number(response.headers.get('x-ratelimit-requests-reset') ?? Number.NaN) - nowMs
  const waitMs = Number.isFinite(resetMs) ? resetMs : 0
  return unknown(
    'rate_limit',
    Math.min(RATE_LIMIT_WAIT_MAX_MS, Math.max(RATE_LIMIT_WAIT_MIN_MS, waitMs)),
  )
}

function identityOf(
  calls: ProductCalls,
  viewer: JsonObject | undefined,
  workspace: string | undefined,
): Identity {
  const subject = idOf(viewer?.['id'])
  if (subject === undefined) throw calls.refuse('identity_missing')
  const organization = viewer?.['organization']
  const urlKey = isObject(organization) ? text(organization, 'urlKey') : undefined
  if (workspace !== undefined && urlKey !== workspace) throw calls.refuse('other_workspace')
  const email = text(viewer, 'email')
  return {
    issuer: ISSUER,
    subject,
    profile: profileOf({
      name: text(viewer, 'name'),
      login: text(viewer, 'displayName'),
      email,
      emailVerified: email === undefined ? undefined : false,
      pictureUrl: pictureUrl(viewer, 'avatarUrl'),
    }),
    groups: [],
  }
}
