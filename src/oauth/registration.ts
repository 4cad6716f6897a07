/**
 * Dynamic client registration (RFC 7591): an untrusted document in, the metadata we keep out.
 *
 * Allow-list of members; everything else is dropped and never reflected (A17). What is returned is
 * what is stored, and the client must follow it (REG-23). Absent and `null` are the same.
 */
import { OAuthError } from '../errors.ts'
import { type ClientKeySet, readClientKeys, readKeysUri } from './client-keys.ts'
import { type RedirectPolicy, type RedirectRefusal, refuseRedirectUri } from './redirect-uri.ts'
import { isLoopbackHost, parseUrl, URL_MAX_CHARS } from './urls.ts'

export const REDIRECT_URIS_MAX = 10
export const CLIENT_NAME_MAX_CHARS = 128
export const REGISTERED_SCOPE_MAX_CHARS = 1_024
const LIST_MAX = 32

export const AUTH_METHODS = [
  'none',
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
] as const
export type AuthMethod = (typeof AUTH_METHODS)[number]
const GRANT_TYPES = ['authorization_code', 'refresh_token'] as const

/** What is kept of a registration; the members of the stored `client` that the client chose. */
export interface RegisteredMetadata {
  readonly name?: string
  readonly redirectUris: readonly string[]
  readonly grantTypes: readonly string[]
  readonly authMethod: AuthMethod
  readonly applicationType: 'native' | 'web'
  readonly clientUri?: string
  readonly scope?: string
  /** Of a `private_key_jwt` client, exactly one of both. */
  readonly jwks?: ClientKeySet
  readonly jwksUri?: string
}

/** Only these methods have a secret that we make (REG-24). */
export function hasSecret(method: AuthMethod): boolean {
  return method === 'client_secret_basic' || method === 'client_secret_post'
}

/**
 * Judges a registration document (already parsed JSON).
 *
 * @throws {OAuthError} `invalid_redirect_uri` or `invalid_client_metadata` (RFC 7591 section 3.2.2).
 */
export function judgeRegistration(body: unknown, policy: RedirectPolicy): RegisteredMetadata {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw metadata('the registration must be a JSON object', 'registration_not_object')
  }
  const read = (name: string): unknown => {
    const value: unknown = Object.hasOwn(body, name) ? Reflect.get(body, name) : undefined
    return value === null ? undefined : value
  }
  const redirectUris = readRedirectUris(read('redirect_uris'))
  const applicationType = readApplicationType(read('application_type'), redirectUris)
  refuseBadRedirects(redirectUris, policy, applicationType)
  const grantTypes = readGrantTypes(read('grant_types'))
  requireCode(read('response_types'))
  const name = readName(read('client_name'))
  const clientUri = readClientUri(read('client_uri'))
  const scope = readScope(read('scope'))
  const authMethod = readAuthMethod(read('token_endpoint_auth_method'))
  return {
    ...(name === undefined ? {} : { name }),
    redirectUris,
    grantTypes,
    authMethod,
    applicationType,
    ...(clientUri === undefined ? {} : { clientUri }),
    ...(scope === undefined ? {} : { scope }),
    ...(authMethod === 'private_key_jwt' ? readKeys(read('jwks'), read('jwks_uri')) : {}),
  }
}

/** RFC 7591 section 2: a set or where it is published, never both. Of other methods keys are dropped. */
function readKeys(jwks: unknown, jwksUri: unknown): Pick<RegisteredMetadata, 'jwks' | 'jwksUri'> {
  if ((jwks === undefined) === (jwksUri === undefined)) {
    throw metadata('private_key_jwt needs jwks or jwks_uri, and not both', 'jwks_missing')
  }
  const set = jwks === undefined ? undefined : readClientKeys(jwks)
  if (set !== undefined) return { jwks: set }
  const uri = jwksUri === undefined ? undefined : readKeysUri(jwksUri)
  if (uri !== undefined) return { jwksUri: uri }
  throw metadata('jwks or jwks_uri has no public key that can be used here', 'jwks_refused')
}

function readRedirectUris(value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw redirect('redirect_uris must have at least one URI', 'redirect_uris_missing')
  }
  if (value.length > REDIRECT_URIS_MAX) {
    throw redirect(`at most ${REDIRECT_URIS_MAX} redirect_uris`, 'redirect_uris_too_many')
  }
  const uris = value.filter((uri): uri is string => typeof uri === 'string')
  if (uris.length !== value.length) {
    throw redirect('redirect_uris must be strings', 'redirect_uri_type')
  }
  return [...new Set(uris)]
}

const REFUSALS: Readonly<Record<RedirectRefusal, string>> = {
  malformed: `is not an absolute URI of at most ${URL_MAX_CHARS} characters`,
  not_normal: 'is not written in its normal form',
  fragment: 'has a fragment',
  userinfo: 'has user information',
  wildcard: 'has a wildcard',
  path_missing: 'has no path; write at least a slash after the host',
  response_parameter: 'has a query parameter that the answer uses',
  scheme: 'has a scheme that is not accepted here; the operator can name it in redirectHosts',
  host: 'has a host that is not accepted here; the operator can name it in redirectHosts',
  not_https: 'must be https, or http on a loopback host of a native application',
}

function refuseBadRedirects(
  uris: readonly string[],
  policy: RedirectPolicy,
  applicationType: 'native' | 'web',
): void {
  for (const [index, uri] of uris.entries()) {
    const refusal = refuseRedirectUri(uri, policy, applicationType)
    if (refusal === undefined) continue
    throw redirect(`redirect_uris[${index}] ${REFUSALS[refusal]}`, `redirect_uri_${refusal}`)
  }
}

/** Absent: what the redirect URIs say, since older clients register loopback without saying native. */
function readApplicationType(value: unknown, uris: readonly string[]): 'native' | 'web' {
  if (value === 'native' || value === 'web') return value
  if (value !== undefined) {
    throw metadata('application_type must be native or web', 'application_type')
  }
  return uris.every((uri) => /^https:/i.test(uri) && !isLoopbackUri(uri)) ? 'web' : 'native'
}

function isLoopbackUri(uri: string): boolean {
  return isLoopbackHost(parseUrl(uri)?.hostname ?? '')
}

function readGrantTypes(value: unknown): readonly string[] {
  // RFC 7591 section 3.2.1 lets us replace values: who names none gets all that there is.
  if (value === undefined) return [...GRANT_TYPES]
  const asked = readStrings('grant_types', value)
  if (!asked.includes('authorization_code')) {
    throw metadata('grant_types must include authorization_code', 'grant_types')
  }
  return GRANT_TYPES.filter((grantType) => asked.includes(grantType))
}

function requireCode(value: unknown): void {
  if (value === undefined || readStrings('response_types', value).includes('code')) return
  throw metadata('response_types must include code', 'response_types')
}

function readStrings(name: string, value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.length > LIST_MAX) {
    throw metadata(`${name} must be a list`, `${name}_type`)
  }
  const strings = value.filter((entry): entry is string => typeof entry === 'string')
  if (strings.length !== value.length) throw metadata(`${name} must be strings`, `${name}_type`)
  return strings
}

function readAuthMethod(value: unknown): AuthMethod {
  if (value === undefined) return 'client_secret_basic'
  const method = AUTH_METHODS.find((known) => known === value)
  if (method !== undefined) return method
  throw metadata(
    `token_endpoint_auth_method must be one of ${AUTH_METHODS.join(', ')}`,
    'token_endpoint_auth_method',
  )
}

// Controls, bidirectional overrides, zero width and line separators would let a name lie on a page.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu

function readName(value: unknown): string | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'string') throw metadata('client_name must be a string', 'client_name_type')
  // Cut before and after cleaning: the first bounds the work, the second the result.
  const visible = value
    .slice(0, CLIENT_NAME_MAX_CHARS * 8)
    .toWellFormed()
    .replace(INVISIBLE, ' ')
  const name = visible.split(/\s+/).join(' ').trim()
  const cut = [...name].slice(0, CLIENT_NAME_MAX_CHARS).join('').trim()
  return cut === '' ? undefined : cut
}

/** Anything but https is dropped, so that no page can ever link to it. */
function readClientUri(value: unknown): string | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'string') throw metadata('client_uri must be a string', 'client_uri_type')
  const url = parseUrl(value)
  if (url === undefined || url.protocol !== 'https:' || url.username !== '') return undefined
  return url.password === '' && url.href.length <= URL_MAX_CHARS ? url.href : undefined
}

function readScope(value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined
  if (
    typeof value === 'string' &&
    value.length <= REGISTERED_SCOPE_MAX_CHARS &&
    /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/.test(value)
  ) {
    return value
  }
  throw metadata('scope is malformed', 'scope_malformed')
}

function redirect(description: string, reason: string): OAuthError {
  return new OAuthError('invalid_redirect_uri', description, { reason })
}

function metadata(description: string, reason: string): OAuthError {
  return new OAuthError('invalid_client_metadata', description, { reason })
}
