/**
 * GitHub, as an OAuth app: numeric user id as subject, one call per proof, scopes from the same answer.
 *
 * GitHub refuses with status 200 at its token endpoint and with 403 when it throttles, so each answer
 * is judged by its exact shape. Sections named below are of docs.github.com: `authorizing-oauth-apps`,
 * `troubleshooting-oauth-app-access-token-request-errors`, `rest/apps/oauth-applications`,
 * `rest/users/users`, `rate-limits-for-the-rest-api`, `best-practices-for-using-the-rest-api`.
 */
import { OAuthError } from '../errors.ts'
import type { EgressResponse } from '../net/egress.ts'
import { parseJson } from '../net/json.ts'
import { parseTokenAnswer, type TokenSet } from '../oauth/token-answer.ts'
import {
  ANSWER_MAX_BYTES,
  asProof,
  basicAuthorization,
  FORM,
  formBody,
  isConfirmed,
  isObject,
  readObject,
  statusError,
  text,
  unknown,
  unknownAnswer,
} from './answers.ts'
import { identityOf, isMessage, limited, readScopes, readUser } from './github-answers.ts'
import { GITHUB_FACTS, GITHUB_IMPLIED_SCOPES } from './github-facts.ts'
import {
  type AuthorizeInput,
  callbackMistake,
  clientMistake,
  type ExchangeInput,
  type Proof,
  type ProofBasis,
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

/** `user` includes `user:email` (scopes for OAuth apps, normalized scopes). */
const EMAIL_SCOPES: readonly string[] = ['user', 'user:email']
const PUBLIC: readonly string[] = ['https://github.com', 'https://api.github.com']
const API_HEADERS = { accept: 'application/vnd.github+json' }

/** `scopes`: default `['user:email']`. */
export interface GitHubOptions extends ProviderOptions {
  /** GitHub Enterprise: where people sign in. Default `https://github.com`. */
  readonly url?: string
  /** GitHub Enterprise: the REST API. Default `https://api.github.com`. */
  readonly apiUrl?: string
  /** Secret of its webhook, or `env:NAME`, or `file:/path`. Default none. */
  readonly webhookSecret?: string
}

/** GitHub as a sign-in provider. What is not given comes from `POSTERN_GITHUB_*`. */
export function github(options: GitHubOptions = {}): ProviderInput {
  return { ...options, type: 'github' }
}

export const GITHUB: ProviderType = {
  type: 'github',
  title: 'GitHub',
  secretRequired: true,
  options: [
    {
      name: 'url',
      kind: 'url',
      default: 'https://github.com',
      environmentSuffix: 'URL',
      sentence: 'Where people sign in; another one for GitHub Enterprise.',
    },
    {
      name: 'apiUrl',
      kind: 'url',
      default: 'https://api.github.com',
      environmentSuffix: 'API_URL',
      sentence: 'The REST API; another one for GitHub Enterprise.',
    },
    {
      name: 'webhookSecret',
      kind: 'secret',
      environmentSuffix: 'WEBHOOK_SECRET',
      sentence: 'Secret of the webhook that posts to `/webhooks/<id>`; without it none is taken.',
    },
  ],
  facts: GITHUB_FACTS,
  setUp:
    'Make an **OAuth app** (not a GitHub App) and give it exactly one callback URL, without wildcards. With the scope `user:email` (the default) the e-mail is asked for once, at sign-in, and counts in `allow` when GitHub says it is verified.',
  credentialsHint: (callbackUrl, options) =>
    `Make an OAuth app at ${options['url'] ?? 'https://github.com'}/settings/developers with callback ${callbackUrl}`,
  create: createGitHub,
}

/** The parts of one configured GitHub that every function needs. */
interface House {
  readonly id: string
  readonly title: string
  readonly url: string
  readonly apiUrl: string
  readonly issuer: string
  readonly clientId: string
  readonly settings: ProviderSettings
  readonly scopes: readonly string[]
}

export function createGitHub(settings: ProviderSettings): Provider {
  const url = (settings.options['url'] ?? 'https://github.com').replace(/\/$/, '')
  const apiUrl = (settings.options['apiUrl'] ?? 'https://api.github.com').replace(/\/$/, '')
  const house: House = {
    id: settings.id,
    title: settings.title ?? GITHUB.title,
    url,
    apiUrl,
    // What GitHub publishes in its RFC 8414 document, so that an `iss` it may send compares equal.
    issuer: `${url}/login/oauth`,
    clientId: settings.clientId,
    settings,
    scopes: settings.scopes ?? ['user:email'],
  }
  return {
    id: house.id,
    type: GITHUB.type,
    title: house.title,
    issuer: house.issuer,
    callbackPath: settings.callbackPath,
    clientId: house.clientId,
    ...(settings.clientSecret === undefined ? {} : { clientSecret: settings.clientSecret }),
    ...webhookSecretOf(settings),
    scopes: house.scopes,
    impliedScopes: GITHUB_IMPLIED_SCOPES,
    // The public GitHub needs no leave to be reached: its addresses are checked like everybody's.
    approvedOrigins: [...new Set([new URL(url).origin, new URL(apiUrl).origin])].filter(
      (it) => !PUBLIC.includes(it),
    ),
    judgeIssuer: async (_context, iss) =>
      iss === undefined || iss === house.issuer ? 'right' : 'wrong',
    authorize: async (context, input) => authorizationUrl(house, context, input),
    exchange: (context, input) => exchange(house, context, input),
    check: (context, tokens, basis) => asProof(() => check(house, context, tokens, basis)),
    secondOpinion: (context, tokens, basis) =>
      asProof(() => secondOpinion(house, context, tokens, basis)),
    refresh: (context, refreshToken, tokens) =>
      asProof(() => refresh(house, context, refreshToken, tokens)),
    revoke: (context, tokens) => isConfirmed(() => revoke(house, context, tokens)),
    explain: (error, redirectUri) => explain(house, error, redirectUri),
  }
}

export function webhookSecretOf({ secrets }: ProviderSettings): Pick<Provider, 'webhookSecret'> {
  const webhookSecret = secrets?.['webhookSecret']
  return webhookSecret === undefined ? {} : { webhookSecret }
}

/** Authorizing OAuth apps, "1. Request a user's GitHub identity". S256 since 2025-07-14 (PRV-09). */
function authorizationUrl(house: House, context: ProviderContext, input: AuthorizeInput): URL {
  const scopes = [...new Set([...house.scopes, ...(input.scopes ?? [])])]
  const url = new URL(`${house.url}/login/oauth/authorize`)
  url.search = formBody({
    client_id: house.clientId,
    redirect_uri: context.redirectUri,
    scope: scopes.length === 0 ? undefined : scopes.join(' '),
    state: input.state,
    code_challenge: input.verifierChallenge,
    code_challenge_method: 'S256',
    prompt: input.chooseAccount === true ? 'select_account' : undefined,
    login: input.loginHint,
  })
  return url
}

/** Authorizing OAuth apps, "2. Users are redirected back to your site by GitHub", then "3. Use the access token". */
async function exchange(
  house: House,
  context: ProviderContext,
  input: ExchangeInput,
): Promise<SignIn> {
  if (input.iss !== undefined && input.iss !== house.issuer)
    throw refusedSignIn(house, 'provider_issuer_mismatch')
  const response = await tokenCall(house, context, {
    code: input.code,
    redirect_uri: context.redirectUri,
    code_verifier: input.verifier,
  })
  const body = readObject(response)
  const answer = parseTokenAnswer(body, context.runtime.nowMs())
  if (!answer.ok) throw tokenError(house, context, response, answer.error)
  return await identify(house, context, answer.tokens)
}

/** Every token that comes in is revalidated by asking who it belongs to (same section, last paragraph). */
async function identify(house: House, context: ProviderContext, tokens: TokenSet): Promise<SignIn> {
  const response = await apiCall(house, context, tokens, '/user', {})
  const user = response.status === 200 ? readUser(readObject(response)) : undefined
  if (user === undefined) throw statusError(response, 'userinfo', context.runtime.nowMs())
  const scopes = readScopes(response)
  // PRV-11: tokens of GitHub Apps have permissions and no scopes; this adapter would misread them.
  if (scopes === undefined && house.scopes.length > 0)
    throw refusedSignIn(house, 'not_an_oauth_app')
  const granted = scopes ?? tokens.scopes ?? []
  const emails = granted.some((scope) => EMAIL_SCOPES.includes(scope))
    ? await verifiedEmails(house, context, tokens)
    : []
  const etag = response.headers.get('etag') ?? undefined
  return {
    tokens: { ...tokens, scopes: granted },
    identity: identityOf(house.issuer, user, emails),
    proof: { scopes: granted, ...(etag === undefined ? {} : { etag }) },
  }
}

/**
 * Users, "Get the authenticated user": 200, 304, 401, 403. The scopes come with the answer (scopes for
 * OAuth apps, `X-OAuth-Scopes`). A 304 to an authorized request is not counted in the primary limit.
 */
async function check(
  house: House,
  context: ProviderContext,
  tokens: TokenSet,
  basis: ProofBasis = {},
): Promise<Proof> {
  const condition: Record<string, string> =
    basis.etag === undefined ? {} : { 'if-none-match': basis.etag }
  const response = await apiCall(house, context, tokens, '/user', condition)
  const scopes = readScopes(response)
  const etag = response.headers.get('etag') ?? basis.etag
  const said = {
    ...(scopes === undefined ? {} : { scopes }),
    ...(etag === undefined ? {} : { etag }),
  }
  if (response.status === 304 && basis.etag !== undefined) return { outcome: 'yes', ...said }
  if (response.status === 200) {
    const user = readUser(readObject(response))
    if (user === undefined) return unknown('body')
    if (basis.subject !== undefined && user.subject !== basis.subject)
      return { outcome: 'no', reason: 'subject' }
    return { outcome: 'yes', ...said }
  }
  if (response.status === 401 && isMessage(response, 'Bad credentials')) {
    return { outcome: 'no', reason: 'bad_credentials' }
  }
  return (
    limited(response, context.runtime.nowMs()) ?? unknownAnswer(response, context.runtime.nowMs())
  )
}

/**
 * OAuth applications, "Check a token": 200 with the authorization, 404 for an invalid token, 422.
 * Counted against the application for all its users, therefore only the second opinion.
 */
async function secondOpinion(
  house: House,
  context: ProviderContext,
  tokens: TokenSet,
  basis: ProofBasis = {},
): Promise<Proof> {
  const response = await applicationCall(house, context, 'POST', tokens, 'check')
  if (response.status === 200) {
    const body = readObject(response)
    const user = isObject(body?.['user']) ? readUser(body['user']) : undefined
    if (user === undefined) return unknown('body')
    if (basis.subject !== undefined && user.subject !== basis.subject)
      return { outcome: 'no', reason: 'subject' }
    const scopes = body?.['scopes']
    return Array.isArray(scopes)
      ? { outcome: 'yes', scopes: scopes.map(String) }
      : { outcome: 'yes' }
  }
  if (response.status === 404 && isMessage(response, 'Not Found'))
    return { outcome: 'no', reason: 'not_found' }
  if (response.status === 401) return { outcome: 'client-refused' }
  return (
    limited(response, context.runtime.nowMs()) ?? unknownAnswer(response, context.runtime.nowMs())
  )
}

/** Refreshing user access tokens: both old tokens are dead as soon as this succeeds (PRV-08). */
async function refresh(
  house: House,
  context: ProviderContext,
  refreshToken: string,
  tokens: TokenSet,
): Promise<Refreshed> {
  const response = await tokenCall(house, context, {
    grant_type: 'refresh_token',
    refresh_token: refreshToken,
  })
  const answer = parseTokenAnswer(readObject(response), context.runtime.nowMs())
  if (answer.ok) {
    const scopes = answer.tokens.scopes ?? tokens.scopes
    return {
      outcome: 'yes',
      tokens: { refreshToken, ...answer.tokens, ...(scopes === undefined ? {} : { scopes }) },
    }
  }
  if (answer.error === 'bad_refresh_token') return { outcome: 'no', reason: answer.error }
  if (answer.error === 'incorrect_client_credentials') return { outcome: 'client-refused' }
  if (response.status === 200) return unknown(answer.error)
  return (
    limited(response, context.runtime.nowMs()) ?? unknownAnswer(response, context.runtime.nowMs())
  )
}

/** OAuth applications, "Delete an app token": 204; a token that is not there any more is dead as well. */
async function revoke(house: House, context: ProviderContext, tokens: TokenSet): Promise<boolean> {
  const { status } = await applicationCall(house, context, 'DELETE', tokens, 'revoke')
  return status === 204 || status === 404
}

function tokenCall(
  house: House,
  context: ProviderContext,
  parameters: Readonly<Record<string, string>>,
): Promise<EgressResponse> {
  return context.egress.exchange({
    operation: 'token',
    method: 'POST',
    url: `${house.url}/login/oauth/access_token`,
    // Without it the answer is form-encoded (same section, "By default, the response takes the following form").
    headers: { accept: 'application/json', 'content-type': FORM },
    body: formBody({
      client_id: house.clientId,
      client_secret: house.settings.clientSecret?.reveal(),
      ...parameters,
    }),
    timeoutMs: context.timeoutMs,
    maxBytes: ANSWER_MAX_BYTES,
  })
}

function apiCall(
  house: House,
  context: ProviderContext,
  tokens: TokenSet,
  path: '/user' | '/user/emails',
  headers: Readonly<Record<string, string>>,
): Promise<EgressResponse> {
  return context.egress.exchange({
    operation: path === '/user' ? 'check' : 'userinfo',
    method: 'GET',
    url: `${house.apiUrl}${path}`,
    headers: { ...API_HEADERS, authorization: `Bearer ${tokens.accessToken}`, ...headers },
    timeoutMs: context.timeoutMs,
    maxBytes: ANSWER_MAX_BYTES,
  })
}

function applicationCall(
  house: House,
  context: ProviderContext,
  method: 'POST' | 'DELETE',
  tokens: TokenSet,
  operation: 'check' | 'revoke',
): Promise<EgressResponse> {
  const secret = house.settings.clientSecret?.reveal() ?? ''
  return context.egress.exchange({
    operation,
    method,
    url: `${house.apiUrl}/applications/${encodeURIComponent(house.clientId)}/token`,
    headers: {
      ...API_HEADERS,
      authorization: basicAuthorization(house.clientId, secret),
      'content-type': 'application/json',
    },
    body: JSON.stringify({ access_token: tokens.accessToken }),
    timeoutMs: context.timeoutMs,
    maxBytes: ANSWER_MAX_BYTES,
  })
}

/** Users, "List email addresses for the authenticated user". Asked at sign-in only; a failure costs the e-mail. */
async function verifiedEmails(
  house: House,
  context: ProviderContext,
  tokens: TokenSet,
): Promise<readonly { email: string; primary: boolean }[]> {
  const answer = await asProof(() => apiCall(house, context, tokens, '/user/emails', {}))
  if (!('status' in answer) || answer.status !== 200) return []
  let list: unknown
  try {
    list = parseJson(answer.text)
  } catch {
    return []
  }
  if (!Array.isArray(list)) return []
  return list.filter(isObject).flatMap((entry) => {
    const email = text(entry, 'email')
    return email !== undefined && entry['verified'] === true
      ? [{ email, primary: entry['primary'] === true }]
      : []
  })
}

/** Troubleshooting OAuth app access token request errors: these come with status 200. */
function tokenError(
  house: House,
  context: ProviderContext,
  response: EgressResponse,
  error: string,
): Error {
  const mistake = explain(house, error, context.redirectUri)
  if (mistake !== undefined) return new SetUpError(mistake)
  const isWord = error !== 'invalid_answer' && error !== 'token_type'
  if (response.status < 400 && isWord) return refusedSignIn(house, `provider_${error}`)
  return statusError(response, 'token', context.runtime.nowMs())
}

function explain(house: House, error: string, redirectUri: string): SetUpMistake | undefined {
  if (error === 'redirect_uri_mismatch')
    return callbackMistake(house.title, 'OAuth app', redirectUri)
  if (error === 'incorrect_client_credentials') return clientMistake(house.title, house.id)
  return undefined
}

/** Constant public text, the reason for log and page. */
function refusedSignIn(house: House, reason: string): OAuthError {
  const why = REFUSALS[reason] ?? 'did not accept this sign-in. Start again.'
  return new OAuthError('server_error', `${house.title} ${why}`, { reason })
}

const REFUSALS: Readonly<Record<string, string>> = {
  provider_bad_verification_code: 'says that the code is wrong or too old. Start again.',
  provider_unverified_user_email: 'wants you to verify your primary e-mail address first.',
  provider_issuer_mismatch: 'was asked, but somebody else answered.',
  not_an_oauth_app:
    'gave a token without scopes: the client id is of a GitHub App, not of an OAuth app.',
}
