/**
 * Any OpenID provider: everything from its discovery document, identity from a checked ID token.
 *
 * Discovery and keys come from the caches of the context; an unknown key fetches the set once. What
 * is not the refusal of a standard is *unknown*.
 * @see OpenID Connect Core sections 3.1, 5.3 and 12, RFC 6750 section 3.1, RFC 9207
 */
import { UpstreamError } from '../errors.ts'
import type { IdTokenClaims } from '../oauth/id-token.ts'
import { parseTokenAnswer, type TokenSet } from '../oauth/token-answer.ts'
import type { Profile } from '../records.ts'
import {
  asProof,
  isConfirmed,
  type JsonObject,
  pictureUrl,
  readObject,
  statusError,
  text,
  unknown,
  unknownAnswer,
} from './answers.ts'
import {
  clientCall,
  type OpenIdHouse,
  refusedSignIn,
  subjectOf,
  verifyIdToken,
} from './oidc-client.ts'
import { OIDC_FACTS } from './oidc-facts.ts'
import { check, userinfoCall } from './oidc-proof.ts'
import type { OpenIdMetadata } from './openid-metadata.ts'
import {
  type AuthorizeInput,
  callbackMistake,
  clientMistake,
  type ExchangeInput,
  type Identity,
  type Provider,
  type ProviderContext,
  type ProviderInput,
  type ProviderOptions,
  type ProviderSettings,
  type ProviderType,
  type Refreshed,
  SetUpError,
  type SetUpMistake,
  type SignIn,
} from './provider.ts'

const GROUPS_MAX = 1_000

/** `scopes`: default `openid profile email`, and `offline_access` when the provider lists it. */
export interface OidcOptions extends ProviderOptions {
  /** Exactly as the provider writes it, trailing slash included. */
  readonly issuer?: string
  /** Claim with the person's groups, in the ID token or at userinfo. Default `groups`. */
  readonly groupsClaim?: string
  /** How a sign-in is proved. `introspection` needs an endpoint that accepts this client. Default `userinfo`. */
  readonly check?: 'userinfo' | 'introspection'
}

/** A generic OpenID provider. What is not given comes from `POSTERN_<ID>_*`. */
export function oidc(options: OidcOptions = {}): ProviderInput {
  return { ...options, type: 'oidc' }
}

export const OIDC: ProviderType = {
  type: 'oidc',
  title: 'OpenID Connect',
  secretRequired: false,
  options: [
    {
      name: 'issuer',
      kind: 'url',
      required: true,
      environmentSuffix: 'ISSUER',
      sentence: 'The issuer identifier, exactly as the provider writes it.',
    },
    {
      name: 'groupsClaim',
      kind: 'text',
      default: 'groups',
      sentence: 'Claim that lists the groups of a person.',
    },
    {
      name: 'check',
      kind: 'choice',
      choices: ['userinfo', 'introspection'],
      default: 'userinfo',
      sentence: 'How a sign-in is proved.',
    },
  ],
  facts: OIDC_FACTS,
  setUp:
    '`offline_access` is requested where the provider lists it; without refresh tokens a sign-in ends with its access token. An e-mail counts when `email_verified` is true. Groups come from the claim `groupsClaim`.',
  credentialsHint: (callbackUrl, options) =>
    `Register a confidential client at ${options['issuer'] ?? 'the provider'} with redirect URI ${callbackUrl}`,
  create: createOidc,
}

export function createOidc(settings: ProviderSettings): Provider {
  const issuer = settings.options['issuer'] ?? ''
  const house: OpenIdHouse = {
    id: settings.id,
    title: settings.title ?? URL.parse(issuer)?.hostname ?? OIDC.title,
    issuer,
    clientId: settings.clientId,
    ...(settings.clientSecret === undefined ? {} : { clientSecret: settings.clientSecret }),
    groupsClaim: settings.options['groupsClaim'] ?? 'groups',
    check: settings.options['check'] === 'introspection' ? 'introspection' : 'userinfo',
    ...(settings.scopes === undefined ? {} : { scopes: withOpenId(settings.scopes) }),
  }
  return {
    id: house.id,
    type: OIDC.type,
    title: house.title,
    issuer,
    callbackPath: settings.callbackPath,
    clientId: house.clientId,
    ...(house.clientSecret === undefined ? {} : { clientSecret: house.clientSecret }),
    scopes: house.scopes ?? DEFAULT_SCOPES,
    approvedOrigins: [new URL(issuer).origin],
    judgeIssuer: (context, iss) => judgeIssuer(house, context, iss),
    authorize: (context, input) => authorizationUrl(house, context, input),
    exchange: (context, input) => exchange(house, context, input),
    check: (context, tokens, basis) => asProof(() => check(house, context, tokens, basis)),
    refresh: (context, refreshToken, tokens) =>
      asProof(() => refresh(house, context, refreshToken, tokens)),
    revoke: (context, tokens) => isConfirmed(() => revoke(house, context, tokens)),
    explain: (error, redirectUri) => explain(house, error, redirectUri),
  }
}

const DEFAULT_SCOPES: readonly string[] = ['openid', 'profile', 'email']

function withOpenId(scopes: readonly string[]): readonly string[] {
  return scopes.includes('openid') ? scopes : ['openid', ...scopes]
}

/** RFC 9207 section 2.4: simple string comparison; required once the provider announces it (A12). */
async function judgeIssuer(
  house: OpenIdHouse,
  context: ProviderContext,
  iss: string | undefined,
): Promise<'right' | 'missing' | 'wrong'> {
  if (iss !== undefined) return iss === house.issuer ? 'right' : 'wrong'
  return (await context.discovery(house.issuer)).sendsIss ? 'missing' : 'right'
}

/** Core section 3.1.2.1. Without `offline_access` a sign-in would end with its first access token (section 11). */
async function authorizationUrl(
  house: OpenIdHouse,
  context: ProviderContext,
  input: AuthorizeInput,
): Promise<URL> {
  const metadata = await context.discovery(house.issuer)
  const offers = (scope: string) => metadata.scopes?.includes(scope) === true
  const own = house.scopes ?? [
    ...DEFAULT_SCOPES,
    ...(offers('offline_access') ? ['offline_access'] : []),
  ]
  const scopes = [...new Set([...own, ...(input.scopes ?? [])])]
  const modes = metadata.responseModes
  const url = new URL(metadata.authorizationEndpoint)
  for (const [name, value] of Object.entries({
    response_type: 'code',
    response_mode: modes === undefined || modes.includes('query') ? 'query' : undefined,
    client_id: house.clientId,
    redirect_uri: context.redirectUri,
    scope: scopes.join(' '),
    state: input.state,
    nonce: input.nonce,
    code_challenge: input.verifierChallenge,
    code_challenge_method: 'S256',
    prompt: promptOf(metadata, scopes, input.chooseAccount === true),
    login_hint: input.loginHint,
  })) {
    if (value !== undefined) url.searchParams.set(name, value)
  }
  return url
}

/** Core section 11: `offline_access` is granted with `prompt=consent` only, unless a provider knows better. */
function promptOf(
  metadata: OpenIdMetadata,
  scopes: readonly string[],
  chooseAccount: boolean,
): string | undefined {
  const isKnown = (prompt: string) =>
    metadata.prompts === undefined || metadata.prompts.includes(prompt)
  const prompts = [
    ...(chooseAccount ? [isKnown('select_account') ? 'select_account' : 'login'] : []),
    ...(scopes.includes('offline_access') && isKnown('consent') ? ['consent'] : []),
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
  const metadata = await context.discovery(house.issuer)
  const response = await clientCall(house, context, metadata, {
    operation: 'token',
    url: metadata.tokenEndpoint,
    form: {
      grant_type: 'authorization_code',
      code: input.code,
      redirect_uri: context.redirectUri,
      code_verifier: input.verifier,
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
  const { tokens } = answer
  if (tokens.idToken === undefined) throw refusedSignIn(house, 'id_token_missing')
  const judged = await verifyIdToken(house, context, metadata, tokens.idToken, input.nonce)
  if (!judged.ok) throw refusedSignIn(house, `id_token_${judged.reason}`)
  const userinfo = await signInUserinfo(house, context, metadata, tokens, judged.claims.sub)
  return signInOf(house, tokens, judged.claims, userinfo)
}

/**
 * Core section 5.3: many providers put profile claims only here, and the same call proves later that
 * the sign-in is still good, so it must work now.
 */
async function signInUserinfo(
  house: OpenIdHouse,
  context: ProviderContext,
  metadata: OpenIdMetadata,
  tokens: TokenSet,
  subject: string,
): Promise<JsonObject | undefined> {
  if (metadata.userinfoEndpoint === undefined) return undefined
  const response = await userinfoCall(context, metadata.userinfoEndpoint, tokens)
  const body = response.status === 200 ? readObject(response) : undefined
  if (body === undefined) throw statusError(response, 'userinfo', context.runtime.nowMs())
  // Core section 5.3.2: the answer must be about the same subject, else it must not be used.
  if (body['sub'] !== subject) throw refusedSignIn(house, 'userinfo_subject')
  return body
}

function signInOf(
  house: OpenIdHouse,
  tokens: TokenSet,
  claims: IdTokenClaims,
  userinfo: JsonObject | undefined,
): SignIn {
  const said: JsonObject = { ...claims, ...userinfo }
  const identity: Identity = {
    issuer: house.issuer,
    subject: claims.sub,
    profile: profileOf(said),
    groups: groupsOf(said[house.groupsClaim]),
  }
  const sid = text(claims, 'sid')
  return {
    tokens,
    identity,
    ...(sid === undefined ? {} : { providerSid: sid }),
    proof: tokens.scopes === undefined ? {} : { scopes: tokens.scopes },
  }
}

/** Core section 5.1. `email_verified` is a boolean; some providers write it as text. */
function profileOf(claims: JsonObject): Profile {
  const name = text(claims, 'name')
  const email = text(claims, 'email')
  const login = text(claims, 'preferred_username')
  const picture = pictureUrl(claims, 'picture')
  const verified = claims['email_verified']
  return {
    ...(name === undefined ? {} : { name }),
    ...(email === undefined
      ? {}
      : { email, emailVerified: verified === true || verified === 'true' }),
    ...(login === undefined ? {} : { login }),
    ...(picture === undefined ? {} : { pictureUrl: picture }),
  }
}

function groupsOf(value: unknown): readonly string[] {
  const list = typeof value === 'string' ? [value] : Array.isArray(value) ? value : []
  return list
    .filter((entry): entry is string => typeof entry === 'string' && entry !== '')
    .slice(0, GROUPS_MAX)
}

/** Core section 12: what was rotated is kept whatever else the answer says; another subject is refused (R9). */
async function refresh(
  house: OpenIdHouse,
  context: ProviderContext,
  refreshToken: string,
  tokens: TokenSet,
): Promise<Refreshed> {
  const metadata = await context.discovery(house.issuer)
  const response = await clientCall(house, context, metadata, {
    operation: 'token',
    url: metadata.tokenEndpoint,
    form: { grant_type: 'refresh_token', refresh_token: refreshToken },
  })
  const nowMs = context.runtime.nowMs()
  const answer = parseTokenAnswer(readObject(response), nowMs)
  if (!answer.ok) {
    if (answer.error === 'invalid_grant' && response.status < 500)
      return { outcome: 'no', reason: 'invalid_grant' }
    if (answer.error === 'invalid_client') return { outcome: 'client-refused' }
    return response.status === 200 ? unknown(answer.error) : unknownAnswer(response, nowMs)
  }
  const { idToken, ...renewed } = answer.tokens
  const expected = subjectOf(tokens.idToken)
  const judged =
    idToken === undefined ? undefined : await judgeRenewed(house, context, metadata, idToken)
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
  metadata: OpenIdMetadata,
  idToken: string,
): Promise<string | undefined> {
  try {
    const judged = await verifyIdToken(house, context, metadata, idToken, undefined)
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
  const metadata = await context.discovery(house.issuer)
  if (metadata.revocationEndpoint === undefined) return false
  const response = await clientCall(house, context, metadata, {
    operation: 'revoke',
    url: metadata.revocationEndpoint,
    form:
      tokens.refreshToken === undefined
        ? { token: tokens.accessToken, token_type_hint: 'access_token' }
        : { token: tokens.refreshToken, token_type_hint: 'refresh_token' },
  })
  return response.status === 200
}

function explain(house: OpenIdHouse, error: string, redirectUri: string): SetUpMistake | undefined {
  if (error === 'invalid_redirect_uri' || error === 'redirect_uri_mismatch') {
    return callbackMistake(house.title, 'client', redirectUri)
  }
  if (error === 'invalid_client' || error === 'unauthorized_client')
    return clientMistake(house.title, house.id)
  return undefined
}
