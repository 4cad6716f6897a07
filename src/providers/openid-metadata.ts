/**
 * Discovery document and key set of an OpenID provider: fetched here, cached by whoever asks.
 *
 * The issuer must match to the letter; an endpoint that is missing, not https or on another scheme
 * than its issuer is a refusal with a reason, never a guess (S8).
 * @see OpenID Connect Discovery sections 3 and 4.3, RFC 8414 section 2
 */
import { UpstreamError } from '../errors.ts'
import type { Egress } from '../net/egress.ts'
import { parseJson } from '../net/json.ts'
import { isObject, type JsonObject } from '../oauth/claims.ts'
import type { IdTokenFacts } from '../oauth/id-token.ts'
import { parseUrl } from '../oauth/urls.ts'

export const METADATA_MAX_BYTES = 65_536
export const JWKS_MAX_BYTES = 262_144
export const JWKS_KEYS_MAX = 100
/** Of lists in a metadata document; longer ones are cut. */
const LIST_MAX = 64

export type JsonWebKeySet = IdTokenFacts['jwks']

/** The members this house uses, checked. */
export interface OpenIdMetadata {
  readonly issuer: string
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  readonly jwksUri: string
  readonly userinfoEndpoint?: string
  readonly introspectionEndpoint?: string
  readonly revocationEndpoint?: string
  /** Default `client_secret_basic` (Discovery section 3). */
  readonly tokenAuthMethods: readonly string[]
  /** Default `RS256`. */
  readonly idTokenAlgorithms: readonly string[]
  /** Absent: nothing is known, so the standard's values are used. */
  readonly scopes?: readonly string[]
  readonly responseModes?: readonly string[]
  readonly prompts?: readonly string[]
  /** RFC 9207 section 3: the callback carries `iss`. */
  readonly sendsIss: boolean
}

export type MetadataJudgement =
  | { ok: true; metadata: OpenIdMetadata }
  /** For the administrator: which member is wrong. */
  | { ok: false; reason: 'not_an_object' | 'issuer' | `endpoint:${string}` }

/** Discovery section 4.1: appended to the issuer, whose trailing slash is dropped first. */
export function openIdConfigurationUrl(issuer: string): string {
  return `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
}

/** Judges a parsed document for exactly this issuer. Never throws. */
export function judgeOpenIdMetadata(
  body: unknown,
  issuer: string,
  documentIssuer = issuer,
): MetadataJudgement {
  if (!isObject(body)) return { ok: false, reason: 'not_an_object' }
  if (body['issuer'] !== documentIssuer) return { ok: false, reason: 'issuer' }
  const endpoint = (name: string): string | undefined => readEndpoint(body[name], issuer)
  const names = ['authorization_endpoint', 'token_endpoint', 'jwks_uri'] as const
  const [authorizationEndpoint, tokenEndpoint, jwksUri] = names.map(endpoint)
  if (authorizationEndpoint === undefined)
    return { ok: false, reason: 'endpoint:authorization_endpoint' }
  if (tokenEndpoint === undefined) return { ok: false, reason: 'endpoint:token_endpoint' }
  if (jwksUri === undefined) return { ok: false, reason: 'endpoint:jwks_uri' }
  for (const name of OPTIONAL_ENDPOINTS) {
    if (body[name] !== undefined && body[name] !== null && endpoint(name) === undefined) {
      return { ok: false, reason: `endpoint:${name}` }
    }
  }
  return {
    ok: true,
    metadata: {
      issuer,
      authorizationEndpoint,
      tokenEndpoint,
      jwksUri,
      ...present('userinfoEndpoint', endpoint('userinfo_endpoint')),
      ...present('introspectionEndpoint', endpoint('introspection_endpoint')),
      ...present('revocationEndpoint', endpoint('revocation_endpoint')),
      tokenAuthMethods: words(body, 'token_endpoint_auth_methods_supported') ?? [
        'client_secret_basic',
      ],
      idTokenAlgorithms: words(body, 'id_token_signing_alg_values_supported') ?? ['RS256'],
      ...present('scopes', words(body, 'scopes_supported')),
      ...present('responseModes', words(body, 'response_modes_supported')),
      ...present('prompts', words(body, 'prompt_values_supported')),
      sendsIss: body['authorization_response_iss_parameter_supported'] === true,
    },
  }
}

const OPTIONAL_ENDPOINTS = [
  'userinfo_endpoint',
  'introspection_endpoint',
  'revocation_endpoint',
] as const

/** https, or the very origin of an http issuer (which only stands in a configuration file). */
function readEndpoint(value: unknown, issuer: string): string | undefined {
  const url = typeof value === 'string' ? parseUrl(value) : undefined
  if (url === undefined || url.hash !== '' || url.username !== '' || url.password !== '')
    return undefined
  if (url.protocol === 'https:') return url.href
  return url.protocol === 'http:' && url.origin === URL.parse(issuer)?.origin ? url.href : undefined
}

function words(body: JsonObject, name: string): readonly string[] | undefined {
  const value = body[name]
  if (!Array.isArray(value)) return undefined
  return value.filter((entry): entry is string => typeof entry === 'string').slice(0, LIST_MAX)
}

function present<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { [K in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { [K in Name]: Value })
}

interface Asked {
  readonly egress: Egress
  readonly timeoutMs: number
}

/** A document with its headers, so that the cache can read how long it is good for. */
export interface Fetched<Value> {
  readonly value: Value
  readonly headers: Headers
}

/**
 * Loads the discovery document of `issuer`.
 *
 * @param documentIssuer What its `issuer` member must be, where that is a template (PRV-15).
 * @throws {UpstreamError} `ERR_UPSTREAM_ISSUER` for another issuer, `ERR_UPSTREAM_BODY` for a document
 *   that cannot be used, `ERR_UPSTREAM_STATUS` for any status but 200.
 */
export async function loadOpenIdMetadata(
  issuer: string,
  asked: Asked,
  documentIssuer = issuer,
): Promise<Fetched<OpenIdMetadata>> {
  const url = openIdConfigurationUrl(issuer)
  const { body, headers, elapsedMs } = await load('discovery', url, METADATA_MAX_BYTES, asked)
  const judged = judgeOpenIdMetadata(body, issuer, documentIssuer)
  if (judged.ok) return { value: judged.metadata, headers }
  throw new UpstreamError(
    judged.reason === 'issuer' ? 'ERR_UPSTREAM_ISSUER' : 'ERR_UPSTREAM_BODY',
    {
      operation: 'discovery',
      origin: new URL(url).origin,
      elapsedMs,
      cause: judged.reason,
    },
  )
}

/** Loads a key set: at most 100 keys, private and symmetric ones dropped. */
export async function loadJwks(uri: string, asked: Asked): Promise<Fetched<JsonWebKeySet>> {
  const { body, headers, elapsedMs } = await load('jwks', uri, JWKS_MAX_BYTES, asked)
  const keys = isObject(body) ? body['keys'] : undefined
  if (!Array.isArray(keys) || keys.length > JWKS_KEYS_MAX) {
    throw new UpstreamError('ERR_UPSTREAM_BODY', {
      operation: 'jwks',
      origin: new URL(uri).origin,
      elapsedMs,
    })
  }
  return { value: { keys: keys.filter(isPublicKey) }, headers }
}

function isPublicKey(key: unknown): key is JsonWebKeySet['keys'][number] {
  return isObject(key) && typeof key['kty'] === 'string' && key['kty'] !== 'oct' && !('d' in key)
}

async function load(
  operation: 'discovery' | 'jwks',
  url: string,
  maxBytes: number,
  { egress, timeoutMs }: Asked,
): Promise<{ body: unknown; headers: Headers; elapsedMs: number }> {
  const response = await egress.exchange({ operation, method: 'GET', url, timeoutMs, maxBytes })
  const { status, headers, elapsedMs } = response
  const detail = { operation, origin: new URL(url).origin, elapsedMs, status }
  if (status !== 200) throw new UpstreamError('ERR_UPSTREAM_STATUS', detail)
  // An error page with 200 is a page, whatever it holds (S7).
  if (/\bhtml\b/i.test(headers.get('content-type') ?? '')) {
    throw new UpstreamError('ERR_UPSTREAM_BODY', { ...detail, cause: 'content-type' })
  }
  try {
    return { body: parseJson(response.text), headers, elapsedMs }
  } catch (cause) {
    throw new UpstreamError('ERR_UPSTREAM_BODY', { ...detail, cause })
  }
}
