/**
 * The token endpoint's request and client authentication (RFC 6749 sections 2.3, 3.2, 4.1.3, 6).
 *
 * Parameters come from the body only; one authentication method per request, and it must be the
 * registered one (TOK-02, A24). Which part of a wrong credential was wrong is never told (I11).
 */
import { OAuthError } from '../errors.ts'
import type { Runtime } from '../ports.ts'
import type { Client } from './client.ts'
import { assertedClientId, CLIENT_ASSERTION_TYPE } from './client-assertion.ts'
import { decodeForm, Parameters } from './parameters.ts'
import { isCodeVerifier } from './pkce.ts'
import type { AuthMethod } from './registration.ts'
import { formatScope } from './scope.ts'
import { canonicalResource } from './urls.ts'

export const CREDENTIALS_MAX_CHARS = 8_192

export interface PresentedClient {
  readonly method: AuthMethod
  readonly clientId: string
  readonly secret?: string
  /** Of `private_key_jwt`, unverified; `clientId` is then what it says or what stood beside it. */
  readonly assertion?: string
}

/** Grant types that `enable` switches on, and the word that does it. */
export const OPTIONAL_GRANT_TYPES = {
  client_credentials: 'client-credentials',
  'urn:ietf:params:oauth:grant-type:token-exchange': 'token-exchange',
  'urn:ietf:params:oauth:grant-type:jwt-bearer': 'id-jag',
} as const
export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

export type TokenRequest =
  | AuthorizationCodeRequest
  | RefreshTokenRequest
  | ClientCredentialsRequest
  | ExchangeRequest
  | AssertionRequest
export interface AuthorizationCodeRequest {
  readonly grantType: 'authorization_code'
  readonly client: PresentedClient
  readonly code: string
  readonly codeVerifier: string
  readonly redirectUri?: string
  readonly resources: readonly string[]
}
export interface RefreshTokenRequest {
  readonly grantType: 'refresh_token'
  readonly client: PresentedClient
  readonly refreshToken: string
  readonly scope?: string
  readonly resources: readonly string[]
}

export interface ClientCredentialsRequest {
  readonly grantType: 'client_credentials'
  readonly client: PresentedClient
  readonly scope?: string
  readonly resources: readonly string[]
}
/** RFC 8693 section 2.1. */
export interface ExchangeRequest {
  readonly grantType: typeof TOKEN_EXCHANGE
  readonly client: PresentedClient
  readonly subjectToken: string
  readonly subjectTokenType: string
  readonly requestedTokenType?: string
  readonly scope?: string
  readonly resources: readonly string[]
  /** A resource of ours, or the id of a provider whose token is asked for. */
  readonly audience?: string
}
/** RFC 7523 section 2.1. */
export interface AssertionRequest {
  readonly grantType: typeof JWT_BEARER
  readonly client: PresentedClient
  readonly assertion: string
  readonly scope?: string
  readonly resources: readonly string[]
}

export interface FormRequest {
  readonly contentType: string | undefined
  readonly body: string
  readonly authorization: string | undefined
}

/**
 * @param enabled Optional grant types that this house serves; any other is unknown here.
 * @throws {OAuthError} `invalid_request`, `invalid_client`, `invalid_grant`, `unsupported_grant_type`.
 */
export function parseTokenRequest(
  request: FormRequest,
  enabled: ReadonlySet<string> = new Set(),
): TokenRequest {
  const parameters = parseForm(request)
  const client = readPresentedClient(parameters, request.authorization)
  const grantType = parameters.get('grant_type')
  if (grantType === undefined) throw invalid('grant_type is missing', 'grant_type_missing')
  const scope = parameters.get('scope')
  const shared = {
    client,
    ...(scope === undefined ? {} : { scope }),
    resources: parameters.all('resource'),
  }
  if (grantType === 'authorization_code') {
    const redirectUri = parameters.get('redirect_uri')
    return {
      grantType,
      client,
      code: required(parameters, 'code'),
      codeVerifier: readVerifier(parameters),
      ...(redirectUri === undefined ? {} : { redirectUri }),
      resources: shared.resources,
    }
  }
  if (grantType === 'refresh_token') {
    return { grantType, ...shared, refreshToken: required(parameters, 'refresh_token') }
  }
  if (enabled.has(grantType)) {
    if (grantType === 'client_credentials') return { grantType, ...shared }
    if (grantType === JWT_BEARER) {
      return { grantType, ...shared, assertion: required(parameters, 'assertion') }
    }
    if (grantType === TOKEN_EXCHANGE) return readExchange(parameters, shared)
  }
  throw new OAuthError('unsupported_grant_type', 'grant_type is not supported')
}

function readExchange(
  parameters: Parameters,
  shared: Pick<ExchangeRequest, 'client' | 'scope' | 'resources'>,
): ExchangeRequest {
  // Delegation to a second party is not offered: the actor is always the authenticated client.
  if (parameters.has('actor_token') || parameters.has('actor_token_type')) {
    throw invalid('actor_token is not supported', 'actor_token')
  }
  const requestedTokenType = parameters.get('requested_token_type')
  const audience = parameters.get('audience')
  return {
    grantType: TOKEN_EXCHANGE,
    ...shared,
    subjectToken: required(parameters, 'subject_token'),
    subjectTokenType: required(parameters, 'subject_token_type'),
    ...(requestedTokenType === undefined ? {} : { requestedTokenType }),
    ...(audience === undefined ? {} : { audience }),
  }
}

/** Any form endpoint where clients authenticate as at the token endpoint. */
export function parseForm(request: FormRequest): Parameters {
  const type = request.contentType?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/x-www-form-urlencoded') {
    throw invalid('content type must be application/x-www-form-urlencoded', 'content_type')
  }
  return Parameters.parse(request.body)
}

/**
 * The credentials a request carries, by exactly one method.
 *
 * @throws {OAuthError} `invalid_request` for two methods, `invalid_client` (401) for none or a broken one.
 */
export function readPresentedClient(
  parameters: Parameters,
  authorization: string | undefined,
): PresentedClient {
  const clientId = parameters.get('client_id')
  const secret = parameters.get('client_secret')
  const assertion = parameters.has('client_assertion') || parameters.has('client_assertion_type')
  const methods = [authorization !== undefined, secret !== undefined, assertion]
  if (methods.filter(Boolean).length > 1) {
    throw invalid('two client authentication methods', 'client_two_methods')
  }
  if (assertion) return readAssertion(parameters, clientId)
  if (authorization !== undefined) {
    const basic = readBasic(authorization)
    if (clientId !== undefined && clientId !== basic.clientId) {
      throw invalid('two client identifiers', 'client_two_identifiers')
    }
    return basic
  }
  if (clientId === undefined) throw invalidClient('none', 'client_absent')
  return secret === undefined
    ? { method: 'none', clientId }
    : { method: 'client_secret_post', clientId, secret }
}

/** RFC 7521 section 4.2: `client_id` may be absent, and then the assertion's subject says who asks. */
function readAssertion(parameters: Parameters, clientId: string | undefined): PresentedClient {
  const assertion = parameters.get('client_assertion')
  const isOurs = parameters.get('client_assertion_type') === CLIENT_ASSERTION_TYPE
  const asserted = assertion === undefined || !isOurs ? undefined : assertedClientId(assertion)
  if (assertion === undefined || asserted === undefined) {
    throw invalidClient('private_key_jwt', 'assertion_malformed')
  }
  return { method: 'private_key_jwt', clientId: clientId ?? asserted, assertion }
}

// Compared with when there is nothing to compare with, so that both ways take the same steps.
const NO_DIGEST = 'A'.repeat(43)

/**
 * Passes when the presented method is the registered one and the secret is right.
 *
 * @throws {OAuthError} `invalid_client`, 401, the same for an unknown client and a wrong secret (A22).
 */
export function authenticateClient(
  presented: PresentedClient,
  client: Client | undefined,
  runtime: Runtime,
): asserts client is Client {
  const digest = runtime.sha256(presented.secret ?? '')
  const secretMatches = runtime.equal(digest, client?.secretDigest ?? NO_DIGEST)
  const isPublic = presented.method === 'none' && client?.secretDigest === undefined
  const passes =
    client !== undefined &&
    client.clientId === presented.clientId &&
    mayUseMethod(client, presented.method) &&
    (isPublic || (presented.secret !== undefined && secretMatches))
  if (!passes) throw invalidClient(presented.method, 'client_refused')
}

/**
 * The registered method and nothing else (A24). For a static client the operator gave a secret, not a
 * method: it may be sent either way, because hosted clients do not ask which one.
 */
function mayUseMethod(client: Client, method: AuthMethod): boolean {
  if (client.kind === 'static' && client.secretDigest !== undefined) return method !== 'none'
  return client.authMethod === method
}

/** A `resource` at the token endpoint must be the grant's own (TOK-10). */
export function requireGrantedResource(resources: readonly string[], granted: string): void {
  const canonical = canonicalResource(granted)
  if (resources.every((resource) => canonicalResource(resource) === canonical)) return
  throw new OAuthError('invalid_target', 'resource is not the one that was granted')
}

export interface TokenAnswer {
  readonly accessToken: string
  /** Absent where nobody knows: a provider's token handed out. */
  readonly expiresInSeconds?: number
  readonly scopes: readonly string[]
  readonly refreshToken?: string
  /** Default `Bearer`. */
  readonly tokenType?: 'Bearer' | 'DPoP'
  /** Token exchange only (RFC 8693 section 2.2.1). */
  readonly issuedTokenType?: string
}

/** The 200 body; `scope` is always told, so that a narrowed grant is never a surprise (TOK-12). */
export function tokenResponse(answer: TokenAnswer): Record<string, unknown> {
  return {
    access_token: answer.accessToken,
    token_type: answer.tokenType ?? 'Bearer',
    ...(answer.expiresInSeconds === undefined ? {} : { expires_in: answer.expiresInSeconds }),
    ...(answer.issuedTokenType === undefined ? {} : { issued_token_type: answer.issuedTokenType }),
    ...(answer.refreshToken === undefined ? {} : { refresh_token: answer.refreshToken }),
    scope: formatScope(answer.scopes),
  }
}

function readVerifier(parameters: Parameters): string {
  const verifier = required(parameters, 'code_verifier')
  if (isCodeVerifier(verifier)) return verifier
  // A verifier outside the grammar can match no challenge: the same answer as a wrong one.
  throw new OAuthError('invalid_grant', 'code_verifier does not match', {
    reason: 'verifier_malformed',
  })
}

function required(parameters: Parameters, name: string): string {
  const value = parameters.get(name)
  if (value === undefined) throw invalid(`${name} is missing`, `${name}_missing`)
  return value
}

/** RFC 6749 section 2.3.1: Base64, then both halves form-decoded. */
function readBasic(authorization: string): PresentedClient {
  const encoded =
    authorization.length <= CREDENTIALS_MAX_CHARS
      ? /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization)?.[1]
      : undefined
  const pair = encoded === undefined ? undefined : decodeBase64Text(encoded)
  const colon = pair?.indexOf(':') ?? -1
  if (pair === undefined || colon < 1) throw invalidClient('client_secret_basic', 'basic_malformed')
  try {
    return {
      method: 'client_secret_basic',
      clientId: decodeForm(pair.slice(0, colon)),
      secret: decodeForm(pair.slice(colon + 1)),
    }
  } catch {
    throw invalidClient('client_secret_basic', 'basic_malformed')
  }
}

function decodeBase64Text(encoded: string): string | undefined {
  try {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0))
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** One text for every way to fail, 401; which part was wrong is for the log (A22, I11). */
export function invalidClient(method: AuthMethod, reason: string): OAuthError {
  return new OAuthError('invalid_client', 'client authentication failed', {
    status: 401,
    reason,
    headers: method === 'client_secret_basic' ? { 'www-authenticate': 'Basic realm="token"' } : {},
  })
}

function invalid(description: string, reason: string): OAuthError {
  return new OAuthError('invalid_request', description, { reason })
}
