/**
 * Any OpenID provider: everything from its discovery document, identity from a checked ID token.
 *
 * Discovery and keys come from the caches of the context; an unknown key fetches the set once. What
 * is not the refusal of a standard is *unknown*. What is particular about a product stands in its
 * quirks (oidc-product.ts).
 * @see OpenID Connect Core sections 3.1, 5.3 and 12, RFC 6750 section 3.1, RFC 9207
 */
import { UpstreamError } from '../errors.ts'
import { readObject } from '../net/json-answer.ts'
import { FORM, formBody } from '../oauth/client-request.ts'
import { parseTokenAnswer, type TokenSet } from '../oauth/token-answer.ts'
import {
  ANSWER_MAX_BYTES,
  asProof,
  isConfirmed,
  statusError,
  text,
  unknown,
  unknownAnswer,
} from './answers.ts'
import { judgeAccessToken } from './oidc-access-token.ts'
import { clientCall, refusedSignIn, subjectOf, verifyIdToken } from './oidc-client.ts'
import { identifyAgain, identityOf } from './oidc-identity.ts'
import { discover, type OpenIdHouse, type OpenIdProduct, type Said } from './oidc-product.ts'
import { check, readUserinfo } from './oidc-proof.ts'
import type { OpenIdMetadata } from './openid-metadata.ts'
import {
  type AuthorizeInput,
  callbackMistake,
  clientMistake,
  type ExchangeInput,
  type Provider,
  type ProviderContext,
  type ProviderSettings,
  type ProviderType,
  type Refreshed,
  SetUpError,
  type SetUpMistake,
  type SignIn,
} from './provider.ts'

export const DEFAULT_SCOPES: readonly string[] = ['openid', 'profile', 'email']

/** A product as the configuration knows it. */
export function openIdType(product: OpenIdProduct): ProviderType {
  const { quirks: _, ...rest } = product
  return { ...rest, create: (settings) => createOpenId(product, settings) }
}

export function createOpenId(product: OpenIdProduct, settings: ProviderSettings): Provider {
  const quirks = product.quirks(settings.options, settings.clientId)
  const house: OpenIdHouse = {
    id: settings.id,
    title: settings.title ?? product.title,
    clientId: settings.clientId,
    ...(settings.clientSecret === undefined ? {} : { clientSecret: settings.clientSecret }),
    ...(settings.scopes === undefined ? {} : { scopes: withOpenId(settings.scopes) }),
    quirks,
  }
  const { issuer, documentIssuer } = quirks
  const revokes: Pick<Provider, 'revoke'> =
    quirks.revocation === 'none'
      ? {}
      : { revoke: (context, tokens) => isConfirmed(() => revoke(house, context, tokens)) }
  return {
    id: house.id,
    type: product.type,
    title: house.title,
    issuer,
    callbackPath: settings.callbackPath,
    clientId: house.clientId,
    ...(house.clientSecret === undefined ? {} : { clientSecret: house.clientSecret }),
    scopes: house.scopes ?? quirks.defaultScopes ?? DEFAULT_SCOPES,
    approvedOrigins: quirks.approvedOrigins,
    openId: { issuer, ...(documentIssuer === undefined ? {} : { documentIssuer }) },
    judgeIssuer: (context, iss) => judgeIssuer(house, context, iss),
    authorize: (context, input) => authorizationUrl(house, context, input),
    exchange: (context, input) => exchange(house, context, input),
    check: (context, tokens, basis) => asProof(() => check(house, context, tokens, basis)),
    refresh: (context, refreshToken, tokens) =>
      asProof(() => refresh(house, context, refreshToken, tokens)),
    ...revokes,
    // RFC 7009 section 2.1 leaves open what dies with a token: what is not documented may be everything.
    revocationEnds: quirks.revocationEnds ?? 'authorization',
    identify: (context, tokens) => identifyAgain(house, context, tokens),
    explain: (error, redirectUri) => explain(house, error, redirectUri),
  }
}

function withOpenId(scopes: readonly string[]): readonly string[] {
  return scopes.includes('openid') ? scopes : ['openid', ...scopes]
}

/** RFC 9207 section 2.4: simple string comparison; required once the provider announces it (A12). */
async function judgeIssuer(
  house: OpenIdHouse,
  context: ProviderContext,
  iss: string | undefined,
): Promise<'right' | 'missing' | 'wrong'> {
  if (iss !== undefined) return iss === house.quirks.issuer ? 'right' : 'wrong'
  return (await discover(house, context)).sendsIss ? 'missing' : 'right'
}

/** Core section 3.1.2.1. */
async function authorizationUrl(
  house: OpenIdHouse,
  context: ProviderContext,
  input: AuthorizeInput,
): Promise<URL> {
  const metadata = await discover(house, context)
  const scopes = [...new Set([...askedScopes(house, metadata), ...(input.scopes ?? [])])]
  const modes = metadata.responseModes
  const url = new URL(metadata.authorizationEndpoint)
  for (const [name, value] of Object.entries({
    ...house.quirks.authorizeParameters,
    response_type: 'code',
    response_mode: modes === undefined || modes.includes('query') ? 'query' : undefined,
    client_id: house.clientId,
    redirect_uri: context.redirectUri,
    scope: scopes.join(' '),
    state: input.state,
    nonce: input.nonce,
    code_challenge: input.verifierChallenge,
    code_challenge_method: 'S256',
    prompt: promptOf(house, metadata, scopes, input),
    login_hint: input.loginHint,
    max_age: input.maxAgeSeconds?.toString(),
    acr_values: input.acrValues?.join(' '),
  })) {
    if (value !== undefined) url.searchParams.set(name, value)
  }
  return url
}

/** Without `offline_access` a sign-in would end with its first access token (Core section 11). */
function askedScopes(house: OpenIdHouse, metadata: OpenIdMetadata): readonly string[] {
  const offersOffline = metadata.scopes?.includes('offline_access') === true
  return (
    house.scopes ??
    house.quirks.defaultScopes ?? [...DEFAULT_SCOPES, ...(offersOffline ? ['offline_access'] : [])]
  )
}

/** Core section 11: `offline_access` is granted with `prompt=consent` only, unless a product knows better. */
function promptOf(
  { quirks }: OpenIdHouse,
  metadata: OpenIdMetadata,
  scopes: readonly string[],
  input: AuthorizeInput,
): string | undefined {
  const isKnown = (prompt: string) =>
    metadata.prompts === undefined || metadata.prompts.includes(prompt)
  const account = quirks.accountPrompt ?? (isKnown('select_account') ? 'select_account' : 'login')
  const consent = {
    never: false,
    no_refresh_token: input.hasRefreshToken === false,
    offline_access: scopes.includes('offline_access') && isKnown('consent'),
  }[quirks.consentPrompt ?? 'offline_access']
  const prompts = [
    ...(input.chooseAccount === true ? [account] : []),
    ...(consent ? ['consent'] : []),
  ]
  return prompts.length === 0 ? undefined : prompts.join(' ')
}

async function exchange(
  house: OpenIdHouse,
  context: ProviderContext,
  input: ExchangeInput,
): Promise<SignIn> {
  if (input.nonce === undefined) throw new TypeError('an OpenID sign-in needs its nonce')
  if ((await judgeIssuer(house, context, input.iss)) !== 'right') {
    throw refusedSignIn(house, 'provider_issuer_mismatch')
  }
  const metadata = await discover(house, context)
  const asked = [...new Set([...askedScopes(house, metadata), ...(input.scopes ?? [])])]
  const response = await clientCall(house, context, metadata, {
    operation: 'token',
    url: metadata.tokenEndpoint,
    form: {
      grant_type: 'authorization_code',
      code: input.code,
      redirect_uri: context.redirectUri,
      code_verifier: input.verifier,
      scope: house.quirks.tokenScopes?.(asked).join(' '),
    },
  })
  const nowMs = context.runtime.nowMs()
  const answer = parseTokenAnswer(readObject(response), nowMs)
  if (!answer.ok) {
    const mistake = explain(house, answer.error, context.redirectUri)
    if (mistake !== undefined) throw new SetUpError(mistake)
    if (response.status === 400) throw refusedSignIn(house, `provider_${answer.error}`)
    throw statusError(response, 'token', nowMs)
  }
  const { idToken } = answer.tokens
  if (idToken === undefined) throw refusedSignIn(house, 'id_token_missing')
  const judged = await verifyIdToken(house, context, idToken, input.nonce)
  if (!judged.ok) throw refusedSignIn(house, `id_token_${judged.reason}`)
  const said = await readFurther(house, context, metadata, {
    tokens: answer.tokens,
    idToken: judged.claims,
  })
  const tokens = withScopes(house, answer.tokens, said.scopes)
  const identity = await identityOf(house, context, tokens, said)
  return signInOf(tokens, identity, said, asked)
}

/** What the access token and userinfo add to the ID token. */
async function readFurther(
  house: OpenIdHouse,
  context: ProviderContext,
  metadata: OpenIdMetadata,
  { tokens, idToken }: { readonly tokens: TokenSet; readonly idToken: Said['idToken'] },
): Promise<Said & { readonly scopes?: readonly string[] }> {
  const access = await judgeAccessToken(house, context, tokens.accessToken)
  if (access.state === 'foreign' || access.state === 'unknown')
    throw refusedSignIn(house, `access_token_${access.reason}`)
  const userinfo =
    house.quirks.asksUserinfo === false
      ? undefined
      : await readUserinfo(house, context, metadata, tokens, idToken.sub)
  return {
    idToken,
    ...(userinfo === undefined ? {} : { userinfo }),
    ...(access.state === 'ours' ? { accessToken: access.claims } : {}),
    ...(access.state === 'ours' && access.scopes !== undefined ? { scopes: access.scopes } : {}),
  }
}

/** What was granted, in the names that were asked for; from the token itself where the answer is silent. */
function withScopes(
  { quirks }: OpenIdHouse,
  tokens: TokenSet,
  inToken?: readonly string[],
): TokenSet {
  const granted = tokens.scopes ?? inToken
  if (granted === undefined) return tokens
  return { ...tokens, scopes: granted.map((scope) => quirks.scopeAliases?.[scope] ?? scope) }
}

function signInOf(
  tokens: TokenSet,
  identity: SignIn['identity'],
  { idToken }: Said,
  asked: readonly string[],
): SignIn {
  const sid = text(idToken, 'sid')
  const acr = text(idToken, 'acr')
  const { scopes } = tokens
  const missing =
    scopes === undefined ? [] : asked.filter((it) => !scopes.includes(it) && !UNLISTED.has(it))
  return {
    tokens,
    identity,
    ...(sid === undefined ? {} : { providerSid: sid }),
    ...(typeof idToken['auth_time'] === 'number' ? { authTimeSeconds: idToken['auth_time'] } : {}),
    ...(acr === undefined ? {} : { acr }),
    ...(missing.length === 0 ? {} : { missingScopes: missing }),
    proof: scopes === undefined ? {} : { scopes },
  }
}

/** Scopes that say what to answer rather than what may be done: many answers leave them out. */
const UNLISTED: ReadonlySet<string> = new Set([...DEFAULT_SCOPES, 'offline_access'])

/** Core section 12: what was rotated is kept whatever else the answer says; another subject is refused (R9). */
async function refresh(
  house: OpenIdHouse,
  context: ProviderContext,
  refreshToken: string,
  tokens: TokenSet,
): Promise<Refreshed> {
  const metadata = await discover(house, context)
  const asked = [...new Set([...askedScopes(house, metadata), ...(tokens.scopes ?? [])])]
  const response = await clientCall(house, context, metadata, {
    operation: 'token',
    url: metadata.tokenEndpoint,
    form: {
      grant_type: 'refresh_token',
      refresh_token: refreshToken,
      scope: house.quirks.tokenScopes?.(asked).join(' '),
    },
  })
  const nowMs = context.runtime.nowMs()
  const answer = parseTokenAnswer(readObject(response), nowMs)
  if (!answer.ok) {
    const isEnd =
      answer.error === 'invalid_grant' || house.quirks.refreshEnds?.includes(answer.error) === true
    if (isEnd && response.status < 500 && response.status !== 429)
      return { outcome: 'no', reason: answer.error }
    if (answer.error === 'invalid_client') return { outcome: 'client-refused' }
    return response.status === 200 ? unknown(answer.error) : unknownAnswer(response, nowMs)
  }
  const { idToken, ...renewed } = withScopes(house, answer.tokens)
  const expected = subjectOf(tokens.idToken)
  const judged = idToken === undefined ? undefined : await judgeRenewed(house, context, idToken)
  if (judged !== undefined && expected !== undefined && judged !== expected)
    return { outcome: 'no', reason: 'subject' }
  const keptIdToken = judged === undefined ? tokens.idToken : idToken
  const scopes = renewed.scopes ?? tokens.scopes
  return {
    outcome: 'yes',
    tokens: {
      refreshToken,
      ...renewed,
      ...(keptIdToken === undefined ? {} : { idToken: keptIdToken }),
      ...(scopes === undefined ? {} : { scopes }),
    },
  }
}

/** The subject of a verified new ID token; one that cannot be verified now is left out, not fatal. */
async function judgeRenewed(
  house: OpenIdHouse,
  context: ProviderContext,
  idToken: string,
): Promise<string | undefined> {
  try {
    const judged = await verifyIdToken(house, context, idToken, undefined)
    return judged.ok ? judged.claims.sub : undefined
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    return undefined
  }
}

/** RFC 7009 section 2.1: the refresh token first, it takes the access tokens with it (CLI-23). */
async function revoke(
  house: OpenIdHouse,
  context: ProviderContext,
  tokens: TokenSet,
): Promise<boolean> {
  const metadata = await discover(house, context)
  const url = metadata.revocationEndpoint
  const { refreshToken, accessToken } = tokens
  const way = house.quirks.revocation
  if (url === undefined || (way === 'refresh' && refreshToken === undefined)) return false
  const form =
    refreshToken === undefined
      ? { token: accessToken, token_type_hint: 'access_token' }
      : { token: refreshToken, token_type_hint: 'refresh_token' }
  if (way === 'anonymous') return await revokeAnonymously(context, url, form.token)
  const response = await clientCall(house, context, metadata, { operation: 'revoke', url, form })
  return response.status === 200
}

/** The token is all that is shown; one that is dead already is refused with 400 (Google). */
async function revokeAnonymously(
  context: ProviderContext,
  url: string,
  token: string,
): Promise<boolean> {
  const response = await context.egress.exchange({
    operation: 'revoke',
    method: 'POST',
    url,
    headers: { 'content-type': FORM },
    body: formBody({ token }),
    timeoutMs: context.timeoutMs,
    maxBytes: ANSWER_MAX_BYTES,
  })
  const isDead = response.status === 400 && readObject(response)?.['error'] === 'invalid_token'
  return response.status === 200 || isDead
}

function explain(house: OpenIdHouse, error: string, redirectUri: string): SetUpMistake | undefined {
  if (error === 'invalid_redirect_uri' || error === 'redirect_uri_mismatch') {
    return callbackMistake(house.title, 'client', redirectUri)
  }
  if (error === 'invalid_client' || error === 'unauthorized_client')
    return clientMistake(house.title, house.id)
  return undefined
}
