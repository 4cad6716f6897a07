/**
 * Makes a provider of a product: authorization, token call, refresh, and around the product's own
 * functions the rule that what it does wrong is *unknown* and never a no.
 *
 * An `error` member is an error whatever the status (S7). One exchange per call, none repeated.
 * @see RFC 6749 sections 4.1, 5 and 6, RFC 7636, RFC 7009
 */
import { OAuthError } from '../errors.ts'
import type { EgressResponse } from '../net/egress.ts'
import { readObject } from '../net/json-answer.ts'
import type { JsonObject } from '../oauth/claims.ts'
import { basicAuthorization, FORM, formBody } from '../oauth/client-request.ts'
import { parseTokenAnswer, type TokenSet } from '../oauth/token-answer.ts'
import {
  ANSWER_MAX_BYTES,
  asProof,
  isConfirmed,
  statusError,
  unknown,
  unknownAnswer,
} from './answers.ts'
import type {
  ClientRequest,
  OAuthProduct,
  ProductCalls,
  ProductRequest,
  UserRequest,
} from './oauth2-product.ts'
import {
  type AuthorizeInput,
  callbackMistake,
  clientMistake,
  type ExchangeInput,
  type Proof,
  type Provider,
  type ProviderContext,
  type ProviderSettings,
  type Refreshed,
  SetUpError,
  type SetUpMistake,
  type SignIn,
} from './provider.ts'

interface House {
  readonly product: OAuthProduct
  readonly settings: ProviderSettings
  readonly title: string
  readonly scopes: readonly string[]
}

export function createOAuthProvider(product: OAuthProduct, settings: ProviderSettings): Provider {
  const title = settings.title ?? product.title
  const house: House = { product, settings, title, scopes: settings.scopes ?? product.scopes }
  const webhookSecret = settings.secrets?.['webhookSecret']
  return {
    id: settings.id,
    type: product.type,
    title,
    issuer: product.issuer,
    callbackPath: settings.callbackPath,
    clientId: settings.clientId,
    ...(settings.clientSecret === undefined ? {} : { clientSecret: settings.clientSecret }),
    ...(webhookSecret === undefined ? {} : { webhookSecret }),
    scopes: house.scopes,
    ...(product.impliedScopes === undefined ? {} : { impliedScopes: product.impliedScopes }),
    // A public product needs no leave to be reached: its addresses are checked like everybody's.
    approvedOrigins: [...new Set(product.origins)].filter(
      (origin) => !product.publicOrigins.includes(origin),
    ),
    judgeIssuer: async (_context, iss) =>
      iss === undefined || iss === product.issuer ? 'right' : 'wrong',
    authorize: async (context, input) => authorizationUrl(house, context, input),
    exchange: (context, input) => exchange(house, context, input),
    check: (context, tokens, basis = {}) =>
      asProof(
        async () =>
          expired(context, tokens) ?? product.check(callsOf(house, context), tokens, basis),
      ),
    refresh: (context, refreshToken, tokens) =>
      asProof(() => refresh(house, context, refreshToken, tokens)),
    ...optionalFunctions(house),
    explain: (error, redirectUri) => explain(house, error, redirectUri),
  }
}

type OptionalFunctions = Pick<
  Provider,
  'secondOpinion' | 'revoke' | 'revocationEnds' | 'memberships' | 'membershipScopes'
>

function optionalFunctions(house: House): OptionalFunctions {
  const { secondOpinion, revoke, memberships, membershipScopes } = house.product
  const { revocationEnds } = house.product
  return {
    ...(secondOpinion === undefined
      ? {}
      : {
          secondOpinion: (context, tokens, basis = {}) =>
            asProof(() => secondOpinion(callsOf(house, context), tokens, basis)),
        }),
    ...(revocationEnds === undefined ? {} : { revocationEnds }),
    ...(revoke === undefined
      ? {}
      : {
          revoke: (context, tokens) => isConfirmed(() => revoke(callsOf(house, context), tokens)),
        }),
    ...(memberships === undefined
      ? {}
      : {
          memberships: (context, tokens, wanted) =>
            memberships(callsOf(house, context), tokens, wanted),
        }),
    ...(membershipScopes === undefined ? {} : { membershipScopes }),
  }
}

/** Its end was agreed, so nobody needs to be asked: with a refresh token the refresh is the proof. */
function expired(context: ProviderContext, tokens: TokenSet): Proof | undefined {
  if (tokens.expiresAtMs === undefined || tokens.expiresAtMs > context.runtime.nowMs())
    return undefined
  return tokens.refreshToken === undefined
    ? { outcome: 'no', reason: 'access_token_expired' }
    : unknown('access_token_expired')
}

function authorizationUrl(house: House, context: ProviderContext, input: AuthorizeInput): URL {
  const { product } = house
  const scopes = [...new Set([...house.scopes, ...(input.scopes ?? [])])]
  const url = new URL(product.authorizationEndpoint)
  const scopeParameter = product.scopeParameter ?? 'scope'
  const scope = scopes.length === 0 ? undefined : scopes.join(product.scopeSeparator)
  const parameters = {
    response_type: 'code',
    client_id: house.settings.clientId,
    redirect_uri: context.redirectUri,
    ...(scopeParameter === 'none' ? {} : { [scopeParameter]: scope }),
    state: input.state,
    code_challenge: product.pkce ? input.verifierChallenge : undefined,
    code_challenge_method: product.pkce ? 'S256' : undefined,
    ...product.authorizationParameters?.(input),
  }
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) url.searchParams.set(name, value)
  }
  return url
}

async function exchange(
  house: House,
  context: ProviderContext,
  input: ExchangeInput,
): Promise<SignIn> {
  const { product } = house
  if (input.iss !== undefined && input.iss !== product.issuer)
    throw refusedSignIn(house, 'provider_issuer_mismatch')
  const calls = callsOf(house, context)
  const response = await calls.client({
    operation: 'token',
    url: product.tokenEndpoint,
    parameters: {
      grant_type: 'authorization_code',
      code: input.code,
      redirect_uri: context.redirectUri,
      code_verifier: product.pkce ? input.verifier : undefined,
    },
  })
  const body = tokenBody(product, response)
  const answer = parseTokenAnswer(body, context.runtime.nowMs())
  if (!answer.ok || body === undefined) {
    throw tokenError(house, context, response, answer.ok ? 'invalid_answer' : answer.error)
  }
  const person = await product.identify(calls, answer.tokens, body)
  const scopes = person.scopes ?? answer.tokens.scopes
  const missingScopes = missingOf(house, answer.tokens, { asked: input.scopes, granted: scopes })
  return {
    tokens: { ...answer.tokens, ...(scopes === undefined ? {} : { scopes }) },
    identity: person.identity,
    ...(missingScopes.length === 0 ? {} : { missingScopes }),
    proof: {
      ...(scopes === undefined ? {} : { scopes }),
      ...(person.etag === undefined ? {} : { etag: person.etag }),
    },
  }
}

/** What was asked for and not given, by itself or in a larger scope. A refresh token is `offline_access`. */
function missingOf(
  { product, scopes }: House,
  { refreshToken }: TokenSet,
  { asked = [], granted }: { asked?: readonly string[]; granted: readonly string[] | undefined },
): readonly string[] {
  if (granted === undefined) return []
  const held = new Set([
    ...granted.flatMap((name) => [name, ...(product.impliedScopes?.[name] ?? [])]),
    ...(refreshToken === undefined ? [] : ['offline_access']),
  ])
  return [...new Set([...scopes, ...asked])].filter((name) => !held.has(name))
}

/** A word that the token endpoint said itself ends the sign-in; anything else is its failure. */
function tokenError(
  house: House,
  context: ProviderContext,
  response: EgressResponse,
  error: string,
): Error {
  const mistake = explain(house, error, context.redirectUri)
  if (mistake !== undefined) return new SetUpError(mistake)
  const isWord = error !== 'invalid_answer' && error !== 'token_type'
  const isFailure = response.status >= 500 || response.status === 429
  if (isWord && !isFailure && !isTransient(house.product, error))
    return refusedSignIn(house, `provider_${error}`)
  return statusError(response, 'token', context.runtime.nowMs())
}

function isTransient({ words }: OAuthProduct, error: string): boolean {
  return words.transient?.includes(error) === true
}

/** What has no refresh token in its answer keeps the old one (CLI-18). */
async function refresh(
  house: House,
  context: ProviderContext,
  refreshToken: string,
  tokens: TokenSet,
): Promise<Refreshed> {
  const { product } = house
  const { words } = product
  const response = await callsOf(house, context).client({
    operation: 'token',
    url: product.tokenEndpoint,
    parameters: {
      grant_type: 'refresh_token',
      refresh_token: refreshToken,
      ...product.refreshParameters?.(context),
    },
  })
  const answer = parseTokenAnswer(tokenBody(product, response), context.runtime.nowMs())
  if (answer.ok) {
    const scopes = answer.tokens.scopes ?? tokens.scopes
    return {
      outcome: 'yes',
      tokens: { refreshToken, ...answer.tokens, ...(scopes === undefined ? {} : { scopes }) },
    }
  }
  const isFailure = response.status >= 500 || response.status === 429
  if (!isFailure && words.ended.includes(answer.error))
    return { outcome: 'no', reason: answer.error }
  if (!isFailure && words.client.includes(answer.error)) return { outcome: 'client-refused' }
  return response.status === 200 ? unknown(answer.error) : unknownOf(product, context, response)
}

function tokenBody(product: OAuthProduct, response: EgressResponse): JsonObject | undefined {
  const body = readObject(response)
  return product.readTokens === undefined ? body : product.readTokens(body)
}

function callsOf(house: House, context: ProviderContext): ProductCalls {
  return {
    context,
    clientId: house.settings.clientId,
    user: (tokens, request) => userCall(context, tokens, request),
    client: (request) => clientCall(house, context, request),
    refuse: (reason) => refusedSignIn(house, reason),
    unknown: (response) => unknownOf(house.product, context, response),
  }
}

function unknownOf(product: OAuthProduct, { runtime }: ProviderContext, response: EgressResponse) {
  return product.limited?.(response, runtime.nowMs()) ?? unknownAnswer(response, runtime.nowMs())
}

function userCall(
  context: ProviderContext,
  tokens: TokenSet,
  { json, headers, ...request }: UserRequest,
): Promise<EgressResponse> {
  return send(context, { method: 'GET', ...request }, json && JSON.stringify(json), {
    authorization: `Bearer ${tokens.accessToken}`,
    ...(json === undefined ? {} : { 'content-type': 'application/json' }),
    ...headers,
  })
}

/** The secret goes into one place only (CLI-16): the header or the body. */
function clientCall(
  { product, settings }: House,
  context: ProviderContext,
  { parameters, headers, authentication, body, ...request }: ClientRequest,
): Promise<EgressResponse> {
  const { clientId } = settings
  const secret = settings.clientSecret?.reveal()
  const isBasic = (authentication ?? product.authentication) === 'basic' && secret !== undefined
  const members = {
    ...parameters,
    ...(isBasic ? {} : { client_id: clientId, client_secret: secret }),
  }
  const isJson = (body ?? product.body) === 'json'
  return send(
    context,
    { method: 'POST', ...request },
    isJson ? JSON.stringify(members) : formBody(members),
    {
      accept: 'application/json',
      'content-type': isJson ? 'application/json' : FORM,
      ...(isBasic ? { authorization: basicAuthorization(clientId, secret) } : {}),
      ...product.headers,
      ...headers,
    },
  )
}

function send(
  context: ProviderContext,
  { operation, method, url }: ProductRequest & { method: 'GET' | 'POST' | 'DELETE' },
  body: string | undefined,
  headers: Readonly<Record<string, string>>,
): Promise<EgressResponse> {
  return context.egress.exchange({
    operation,
    method,
    url,
    headers,
    ...(body === undefined ? {} : { body }),
    timeoutMs: context.timeoutMs,
    maxBytes: ANSWER_MAX_BYTES,
  })
}

function explain(house: House, error: string, redirectUri: string): SetUpMistake | undefined {
  const { words, application } = house.product
  if (words.callback.includes(error)) return callbackMistake(house.title, application, redirectUri)
  return words.client.includes(error) ? clientMistake(house.title, house.settings.id) : undefined
}

/** Constant public text, the reason for log and page. */
function refusedSignIn({ product, title }: House, reason: string): OAuthError {
  const why =
    product.words.refusals?.[reason] ??
    REFUSALS[reason] ??
    'did not accept this sign-in. Start again.'
  return new OAuthError('server_error', `${title} ${why}`, { reason })
}

const REFUSALS: Readonly<Record<string, string>> = {
  provider_invalid_grant: 'says that the code is wrong or too old. Start again.',
  provider_issuer_mismatch: 'was asked, but somebody else answered.',
  inactive: 'issued a token that is not active. Start again.',
  introspection_client: 'does not let us ask about tokens: check client id, secret and permission.',
  identity_missing: 'did not say who you are.',
  other_workspace: 'signed you in to another workspace than the one that may sign in here.',
}
