/**
 * Authorization server metadata, read as a client: where it is, and whether a document may be used.
 *
 * The issuer must be the expected one to the letter, every endpoint https (or of an approved origin),
 * `code` and PKCE with S256 announced: a document without is refused, never completed by a guess.
 * @see RFC 8414 sections 2, 3.1 and 3.3, OpenID Connect Discovery section 4, requirements DSC-06 to
 *   DSC-09 and NET-08
 */
import { isObject, type JsonObject } from './claims.ts'
import { isList, isWord, memberWithControls, withoutNulls } from './published.ts'
import { issuerMetadataPaths, parseUrl } from './urls.ts'

/** A document as published: the named members are checked, the rest is not. */
export interface AuthorizationServerMetadata {
  readonly issuer: string
  readonly authorization_endpoint: string
  readonly token_endpoint: string
  readonly registration_endpoint?: string
  readonly revocation_endpoint?: string
  readonly introspection_endpoint?: string
  readonly jwks_uri?: string
  readonly response_types_supported?: readonly string[]
  readonly response_modes_supported?: readonly string[]
  readonly grant_types_supported?: readonly string[]
  readonly scopes_supported?: readonly string[]
  readonly code_challenge_methods_supported?: readonly string[]
  readonly token_endpoint_auth_methods_supported?: readonly string[]
  readonly token_endpoint_auth_signing_alg_values_supported?: readonly string[]
  readonly revocation_endpoint_auth_methods_supported?: readonly string[]
  /** RFC 9126 section 5. */
  readonly pushed_authorization_request_endpoint?: string
  readonly require_pushed_authorization_requests?: boolean
  /** RFC 9207 section 3. */
  readonly authorization_response_iss_parameter_supported?: boolean
  /** RFC 9449 section 5.1. */
  readonly dpop_signing_alg_values_supported?: readonly string[]
  /** draft-ietf-oauth-client-id-metadata-document section 5. */
  readonly client_id_metadata_document_supported?: boolean
  readonly [member: string]: unknown
}

export type ServerJudgement =
  | { readonly ok: true; readonly document: AuthorizationServerMetadata }
  | {
      readonly ok: false
      readonly reason:
        | 'not_an_object'
        | 'error_object'
        | 'issuer'
        | 'member'
        | 'endpoint'
        | 'response_type'
        | 'pkce'
      /** Which one is wrong. */
      readonly member?: string
      /** What stands there, for `issuer`, when it can be shown. */
      readonly found?: string
    }

export interface ServerRule {
  /** Any of these, to the letter: the issuer that the URL was built from, or the pinned one. */
  readonly issuers: readonly string[]
  /** Exact origins that the configuration file names: their endpoints may be http. */
  readonly approvedOrigins: ReadonlySet<string>
}

const REQUIRED_ENDPOINTS = ['authorization_endpoint', 'token_endpoint'] as const
const OPTIONAL_ENDPOINTS = [
  'registration_endpoint',
  'revocation_endpoint',
  'introspection_endpoint',
  'pushed_authorization_request_endpoint',
  'device_authorization_endpoint',
  'backchannel_authentication_endpoint',
  'userinfo_endpoint',
  'end_session_endpoint',
  'jwks_uri',
] as const
const LISTS = [
  'response_types_supported',
  'code_challenge_methods_supported',
  'response_modes_supported',
  'grant_types_supported',
  'scopes_supported',
  'token_endpoint_auth_methods_supported',
  'token_endpoint_auth_signing_alg_values_supported',
  'revocation_endpoint_auth_methods_supported',
  'introspection_endpoint_auth_methods_supported',
  'dpop_signing_alg_values_supported',
] as const
const FLAGS = [
  'require_pushed_authorization_requests',
  'authorization_response_iss_parameter_supported',
  'client_id_metadata_document_supported',
] as const

/** Locations of an issuer's document in the order of DSC-06; the root one of a path issuer is not there. */
export function serverMetadataUrls(issuer: string): readonly URL[] {
  const { origin } = new URL(issuer)
  return issuerMetadataPaths(issuer).map((path) => new URL(path, origin))
}

/** Judges a parsed document. Never throws. */
export function judgeServerMetadata(published: unknown, rule: ServerRule): ServerJudgement {
  if (!isObject(published)) return { ok: false, reason: 'not_an_object' }
  const body = withoutNulls(published)
  const issuer = body['issuer']
  if (issuer === undefined && 'error' in body) return { ok: false, reason: 'error_object' }
  if (typeof issuer !== 'string') return { ok: false, reason: 'member', member: 'issuer' }
  const control = memberWithControls(body)
  if (control !== undefined) return { ok: false, reason: 'member', member: control }
  if (!rule.issuers.includes(issuer)) return { ok: false, reason: 'issuer', found: issuer }
  return (
    refuseEndpoints(body, rule) ??
    refuseMembers(body) ??
    refusePromises(body) ?? { ok: true, document: body as AuthorizationServerMetadata }
  )
}

type Refusal = Extract<ServerJudgement, { ok: false }>

function refuseEndpoints(body: JsonObject, { approvedOrigins }: ServerRule): Refusal | undefined {
  for (const member of REQUIRED_ENDPOINTS) {
    if (body[member] === undefined) return { ok: false, reason: 'member', member }
  }
  const named = [...REQUIRED_ENDPOINTS, ...OPTIONAL_ENDPOINTS].filter(
    (member) => body[member] !== undefined,
  )
  const member = named.find((name) => !isEndpoint(body[name], approvedOrigins))
  return member === undefined ? undefined : { ok: false, reason: 'endpoint', member }
}

/** NET-08, O11: nothing but https reaches a browser or a socket. RFC 6749 section 3.1: no fragment. */
export function isEndpoint(value: unknown, approvedOrigins: ReadonlySet<string>): boolean {
  const url = typeof value === 'string' ? parseUrl(value) : undefined
  if (url === undefined || String(value).includes('#')) return false
  if (url.username !== '' || url.password !== '') return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && approvedOrigins.has(url.origin))
}

function refuseMembers(body: JsonObject): Refusal | undefined {
  const member =
    LISTS.find((name) => !isList(body[name], isListed(name))) ??
    FLAGS.find((name) => body[name] !== undefined && typeof body[name] !== 'boolean')
  return member === undefined ? undefined : { ok: false, reason: 'member', member }
}

/** Response types are words with spaces between them (`code id_token`). */
function isListed(name: string): (entry: string) => boolean {
  return name === 'response_types_supported'
    ? (entry) => entry.split(' ').every((word) => isWord(word))
    : isWord
}

function refusePromises(body: JsonObject): Refusal | undefined {
  const says = (member: string, word: string): boolean => {
    const list = body[member]
    return Array.isArray(list) && list.includes(word)
  }
  if (!says('response_types_supported', 'code')) {
    return { ok: false, reason: 'response_type', member: 'response_types_supported' }
  }
  return says('code_challenge_methods_supported', 'S256')
    ? undefined
    : { ok: false, reason: 'pkce', member: 'code_challenge_methods_supported' }
}

/** Where things are at an authorization server without metadata. */
export type AuthorizationEndpoints = {
  readonly authorization: string
  readonly token: string
  readonly registration?: string
  readonly revocation?: string
}

/** What legacy rules (2025-03-26) and static endpoints say: nothing is known but where things are. */
export function assumedServerMetadata(
  issuer: string,
  endpoints: AuthorizationEndpoints,
): AuthorizationServerMetadata {
  const { authorization, token, registration, revocation } = endpoints
  return {
    issuer,
    authorization_endpoint: authorization,
    token_endpoint: token,
    ...(registration === undefined ? {} : { registration_endpoint: registration }),
    ...(revocation === undefined ? {} : { revocation_endpoint: revocation }),
    response_types_supported: ['code'],
    code_challenge_methods_supported: ['S256'],
  }
}
