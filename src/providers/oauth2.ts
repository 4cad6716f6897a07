/**
 * Any provider with plain OAuth, by its endpoints: who the person is from userinfo or introspection,
 * proof by introspection where there is one. What is unknown of it counts as the least: an opaque
 * token, a remote check, no rotation grace (PRV-02).
 * @see RFC 6749, RFC 7662, RFC 7009
 */
import { ConfigError } from '../errors.ts'
import type { EgressResponse } from '../net/egress.ts'
import { readObject } from '../net/json-answer.ts'
import type { JsonObject } from '../oauth/claims.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import { isInvalidToken, pictureUrl, statusError, text } from './answers.ts'
import { askUser, idOf, judgeIntrospection, profileOf, readUserAnswer } from './oauth2-answers.ts'
import { createOAuthProvider } from './oauth2-engine.ts'
import { OAUTH2_FACTS, OAUTH2_OPTIONS } from './oauth2-facts.ts'
import type { OAuthProduct, ProductCalls } from './oauth2-product.ts'
import type {
  Identity,
  Provider,
  ProviderInput,
  ProviderOptions,
  ProviderSettings,
  ProviderType,
} from './provider.ts'

/** `scopes`: none unless given. */
export interface OAuth2Options extends ProviderOptions {
  /** Where people sign in (RFC 6749 section 3.1). Required. */
  readonly authorizationUrl?: string
  /** Where codes and refresh tokens are exchanged (RFC 6749 section 3.2). Required. */
  readonly tokenUrl?: string
  /** RFC 7662, with our client credentials. This or `userinfoUrl` is needed. */
  readonly introspectionUrl?: string
  /** Answers JSON about the person to a GET with the person's token. */
  readonly userinfoUrl?: string
  /** RFC 7009. */
  readonly revocationUrl?: string
  /**
   * Account key: it names this provider in every account, and an `iss` that it sends must be the same.
   * It must not change, or everybody is somebody new. Default: the origin of `authorizationUrl`, so
   * set it before that moves to another host.
   */
  readonly issuer?: string
  /** Member that names the person for good. Default `sub`. */
  readonly subjectClaim?: string
  /** Default `space`. */
  readonly scopeSeparator?: 'space' | 'comma'
  /** How we authenticate ourselves. Default `basic`. */
  readonly clientAuthentication?: 'basic' | 'post'
  /** Default `S256`. `none` only where it refuses the parameters. */
  readonly pkce?: 'S256' | 'none'
}

/** A provider by its endpoints. What is not given comes from `POSTERN_OAUTH2_*`. */
export function oauth2(options: OAuth2Options = {}): ProviderInput {
  return { ...options, type: 'oauth2' }
}

export const OAUTH2: ProviderType = {
  type: 'oauth2',
  title: 'OAuth 2.0',
  secretRequired: false,
  options: OAUTH2_OPTIONS,
  facts: OAUTH2_FACTS,
  setUp:
    'For a provider that is not in this list and speaks no OpenID. `issuer` is part of every account and must not change; it is the origin of `authorizationUrl` unless it is given. The member `subjectClaim` must name a person for good, as no name and no e-mail does. An e-mail counts when userinfo says `email_verified: true`. Without `introspectionUrl` userinfo is the proof.',
  credentialsHint: (callbackUrl) =>
    `Register a confidential client at the provider with redirect URI ${callbackUrl}`,
  create: createOAuth2,
}

interface Places {
  readonly issuer: string
  readonly introspection: string | undefined
  readonly userinfo: string | undefined
  readonly revocation: string | undefined
  readonly subjectClaim: string
}

export function createOAuth2(settings: ProviderSettings): Provider {
  const { options, id } = settings
  const { authorizationUrl = '' } = options
  const places: Places = {
    issuer: options['issuer'] ?? new URL(authorizationUrl).origin,
    introspection: options['introspectionUrl'],
    userinfo: options['userinfoUrl'],
    revocation: options['revocationUrl'],
    subjectClaim: options['subjectClaim'] ?? 'sub',
  }
  if (places.introspection === undefined && places.userinfo === undefined) {
    throw new ConfigError(
      'ERR_CONFIG_VALUE',
      `provider ${id} has neither introspectionUrl nor userinfoUrl, so nobody could be told apart.`,
      `Set one of them for provider ${id}.`,
    )
  }
  return createOAuthProvider(productOf(places, options), settings)
}

function productOf(places: Places, options: ProviderSettings['options']): OAuthProduct {
  const { authorizationUrl = '', tokenUrl = '' } = options
  const asked = [tokenUrl, places.introspection, places.userinfo, places.revocation]
  const { revocation } = places
  return {
    type: OAUTH2.type,
    title: new URL(authorizationUrl).hostname,
    application: 'client',
    issuer: places.issuer,
    authorizationEndpoint: authorizationUrl,
    tokenEndpoint: tokenUrl,
    origins: asked.flatMap((url) => (url === undefined ? [] : [new URL(url).origin])),
    publicOrigins: [],
    scopes: [],
    scopeSeparator: options['scopeSeparator'] === 'comma' ? ',' : ' ',
    pkce: options['pkce'] !== 'none',
    authentication: options['clientAuthentication'] === 'post' ? 'post' : 'basic',
    body: 'form',
    words: {
      callback: ['invalid_redirect_uri', 'redirect_uri_mismatch'],
      client: ['invalid_client', 'unauthorized_client'],
      ended: ['invalid_grant'],
    },
    identify: async (calls, tokens) => ({
      identity: identityOf(calls, places, await describe(calls, tokens, places)),
    }),
    async check(calls, tokens, basis) {
      if (places.introspection === undefined) return askUserinfo(calls, tokens, basis, places)
      const response = await introspect(calls, tokens, places.introspection)
      return (
        judgeIntrospection(response, basis.subject, places.subjectClaim) ?? calls.unknown(response)
      )
    },
    ...(revocation === undefined
      ? {}
      : { revoke: (calls: ProductCalls, tokens: TokenSet) => revoke(calls, tokens, revocation) }),
  }
}

function introspect(calls: ProductCalls, tokens: TokenSet, url: string): Promise<EgressResponse> {
  return calls.client({
    operation: 'introspection',
    url,
    parameters: { token: tokens.accessToken, token_type_hint: 'access_token' },
  })
}

/** RFC 6750 section 3.1: `invalid_token` is the only refusal that speaks of the token. */
function askUserinfo(
  calls: ProductCalls,
  tokens: TokenSet,
  basis: Parameters<OAuthProduct['check']>[2],
  places: Places,
): ReturnType<OAuthProduct['check']> {
  return askUser(calls, tokens, basis, {
    request: { operation: 'userinfo', url: places.userinfo ?? '' },
    subject: (body) => subjectOf(body, places),
    refusal: (response) => (isInvalidToken(response) ? 'invalid_token' : undefined),
  })
}

async function describe(
  calls: ProductCalls,
  tokens: TokenSet,
  places: Places,
): Promise<JsonObject> {
  if (places.userinfo !== undefined)
    return readUserAnswer(calls, tokens, { operation: 'userinfo', url: places.userinfo })
  const response = await introspect(calls, tokens, places.introspection ?? '')
  const judged = judgeIntrospection(response, undefined, places.subjectClaim)
  const body = readObject(response)
  if (judged?.outcome === 'client-refused') throw calls.refuse('introspection_client')
  if (judged?.outcome === 'no') throw calls.refuse('inactive')
  if (judged?.outcome !== 'yes' || body === undefined)
    throw statusError(response, 'introspection', calls.context.runtime.nowMs())
  return body
}

/** `sub` is text (OpenID Connect Core section 5.1, RFC 7662 section 2.2); other members may be numbers. */
function subjectOf(body: JsonObject, { subjectClaim }: Places): string | undefined {
  const value = body[subjectClaim]
  if (body['error'] !== undefined || (subjectClaim === 'sub' && typeof value !== 'string'))
    return undefined
  return idOf(value)
}

function identityOf(calls: ProductCalls, places: Places, body: JsonObject): Identity {
  const subject = subjectOf(body, places)
  if (subject === undefined) throw calls.refuse('identity_missing')
  const email = text(body, 'email')
  return {
    issuer: places.issuer,
    subject,
    profile: profileOf({
      name: text(body, 'name'),
      login: text(body, 'preferred_username') ?? text(body, 'username') ?? text(body, 'login'),
      email,
      emailVerified: email === undefined ? undefined : body['email_verified'] === true,
      pictureUrl: pictureUrl(body, 'picture'),
    }),
    groups: [],
  }
}

/** RFC 7009 section 2.1: the refresh token first, it takes the access tokens with it (CLI-23). */
async function revoke(calls: ProductCalls, tokens: TokenSet, url: string): Promise<boolean> {
  const { status } = await calls.client({
    operation: 'revoke',
    url,
    parameters:
      tokens.refreshToken === undefined
        ? { token: tokens.accessToken, token_type_hint: 'access_token' }
        : { token: tokens.refreshToken, token_type_hint: 'refresh_token' },
  })
  return status === 200
}
