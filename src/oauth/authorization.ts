/**
 * The authorization endpoint's decisions, after client and redirect URI were found good (AZ-02).
 *
 * `judgeAuthorization` refuses with an `OAuthError`; whether that error may be *redirected* is
 * `mayRedirectError` (AZ-15), and whether the page may be skipped is `mayBeSilent` (AZ-17).
 */
import { OAuthError, printable } from '../errors.ts'
import type { AuthorizationRequest, Values } from '../records.ts'
import { type Client, targetsOf } from './client.ts'
import { isThumbprint } from './dpop.ts'
import type { Parameters } from './parameters.ts'
import { isCodeChallenge } from './pkce.ts'
import { RESPONSE_PARAMETERS } from './redirect-uri.ts'
import { grantScopes, MCP_SCOPE } from './scope.ts'
import { canonicalResource } from './urls.ts'

export const STATE_MAX_CHARS = 4_096
const ACR_VALUES_MAX = 16
const ACR_VALUE_MAX_CHARS = 255
const PROMPTS: ReadonlySet<string> = new Set(['none', 'login', 'consent', 'select_account'])

/** What this house protects and how it fills in what a request leaves out. */
export interface ResourceHouse {
  readonly resources: readonly HouseResource[]
  readonly defaultResource?: string
  readonly scopeAliases: Readonly<Record<string, string>>
  /** `dpop_jkt` counts; default false. */
  readonly dpop?: boolean
}
export interface HouseResource {
  /** Published identifier, without trailing slash. */
  readonly resource: string
  readonly scopes: readonly string[]
  /** Granted when none is asked for; default `mcp` where it exists, else all. */
  readonly defaultScopes?: readonly string[]
}

/** @throws {OAuthError} the RFC's code; `state` and `iss` are added by the caller. */
export function judgeAuthorization(
  parameters: Parameters,
  client: Client,
  redirectUri: string,
  house: ResourceHouse,
): AuthorizationRequest {
  refuseRequestObjects(parameters)
  requireCodeResponse(parameters, client)
  const state = readState(parameters)
  const codeChallenge = readChallenge(parameters)
  const prompt = readPrompt(parameters)
  const maxAgeSeconds = readMaxAge(parameters)
  const dpopJkt = readDpopThumbprint(parameters, house)
  const acrValues = readAcrValues(parameters)
  const resources = targetsOf(client, house.resources)
  const target = resolveResource(parameters.all('resource'), { ...house, resources })
  const requestedScope = parameters.get('scope')
  const scopes = grantScopes({
    requested: requestedScope,
    resourceScopes: target.scopes,
    defaultScopes: target.defaultScopes ?? usualScopes(target.scopes),
    aliases: house.scopeAliases,
  })
  if (scopes.length === 0) {
    throw new OAuthError('invalid_scope', 'this client may use no scope of this resource', {
      reason: 'scope_of_client',
    })
  }
  return {
    clientId: client.clientId,
    clientFingerprint: client.fingerprint,
    redirectUri,
    ...(state === undefined ? {} : { state }),
    codeChallenge,
    resource: target.resource,
    scopes,
    ...(requestedScope === undefined ? {} : { requestedScope }),
    ...(prompt === undefined ? {} : { prompt }),
    ...(maxAgeSeconds === undefined ? {} : { maxAgeSeconds }),
    ...(dpopJkt === undefined ? {} : { dpopJkt }),
    ...(acrValues === undefined ? {} : { acrValues }),
  }
}

/** An error may leave by redirect only where the destination is assured or the person agreed. */
export function mayRedirectError(facts: {
  readonly client: Client
  readonly redirectUri: string
  /** This session's user has an approval for this client and redirect URI. */
  readonly approved: boolean
  /** Allow or Deny was pressed on our page in this transaction. */
  readonly answered: boolean
}): boolean {
  const assured = facts.client.kind === 'static' && facts.redirectUri.startsWith('https://')
  return assured || facts.approved || facts.answered
}

export type AuthorizationOutcome = { code: string } | { error: string; description?: string }

/**
 * The URL that carries the answer: the redirect URI's own query as it stands, then ours, each once.
 *
 * @see RFC 6749 section 4.1.2, RFC 9207 section 2
 */
export function authorizationResponse(
  redirectUri: string,
  outcome: AuthorizationOutcome,
  context: { readonly state?: string; readonly iss: string },
): string {
  const answer: (readonly [string, string])[] =
    'code' in outcome ? [['code', outcome.code]] : [['error', outcome.error]]
  if ('error' in outcome && outcome.description !== undefined) {
    answer.push(['error_description', printable(outcome.description)])
  }
  if (context.state !== undefined) answer.push(['state', context.state])
  answer.push(['iss', context.iss])
  const added = answer.map(([name, value]) => `${name}=${encodeURIComponent(value.toWellFormed())}`)
  const mark = redirectUri.indexOf('?')
  const path = mark < 0 ? redirectUri : redirectUri.slice(0, mark)
  const own = mark < 0 ? [] : redirectUri.slice(mark + 1).split('&')
  return `${path}?${[...own.filter(isOwnParameter), ...added].join('&')}`
}

export interface SilenceFacts {
  readonly client: Client
  readonly request: AuthorizationRequest
  /** Of this session's user, who is part of its key. */
  readonly approval?: Values['approval']
  readonly nowMs: number
  /** `Sec-Fetch-Mode: navigate` and `Sec-Fetch-Dest: document`. */
  readonly isTopLevelNavigation: boolean
}

/** No page: an assured client, an https redirect, and a young approval of exactly this (A2, CON-10). */
export function mayBeSilent(facts: SilenceFacts): boolean {
  const { client, request, approval, nowMs } = facts
  // AZ-17: whoever registered itself, or receives on the person's own device, is always asked.
  if (client.kind === 'dynamic' || !request.redirectUri.startsWith('https://')) return false
  if (!facts.isTopLevelNavigation || approval === undefined) return false
  if (request.prompt !== undefined && request.prompt !== 'none') return false
  return (
    approval.clientId === client.clientId &&
    approval.redirectUri === request.redirectUri &&
    approval.resource === request.resource &&
    request.scopes.every((scope) => approval.scopes.includes(scope)) &&
    approval.clientFingerprint === client.fingerprint &&
    approval.approvedAtMs <= nowMs &&
    nowMs < approval.expiresAtMs
  )
}

/**
 * The published resource that the request names (AZ-10 to AZ-12, TOK-10).
 *
 * @throws {OAuthError} `invalid_target`
 */
export function resolveResource(requested: readonly string[], house: ResourceHouse): HouseResource {
  const [first, ...others] = house.resources
  if (requested.length === 0) {
    if (first !== undefined && others.length === 0) return first
    const usual = house.defaultResource
    const found = usual === undefined ? undefined : findResource(usual, house.resources)
    if (found !== undefined) return found
    throw target('name the resource, or have the operator set defaultResource', 'resource_absent')
  }
  const found = requested.map((text) => findResource(text, house.resources))
  const [one] = found
  if (one === undefined || found.includes(undefined)) {
    throw target('no such resource here', 'resource_unknown')
  }
  if (found.some((other) => other !== one)) {
    throw target('one grant has one resource', 'resource_several')
  }
  return one
}

function findResource(
  text: string,
  resources: readonly HouseResource[],
): HouseResource | undefined {
  const wanted = canonicalResource(text)
  if (wanted === undefined) return undefined
  return resources.find((known) => canonicalResource(known.resource) === wanted)
}

function usualScopes(scopes: readonly string[]): readonly string[] {
  return scopes.includes(MCP_SCOPE) ? [MCP_SCOPE] : scopes
}

function refuseRequestObjects(parameters: Parameters): void {
  for (const name of ['request', 'request_uri']) {
    if (!parameters.has(name)) continue
    throw new OAuthError(`${name}_not_supported`, `${name} is not supported`)
  }
}

function requireCodeResponse(parameters: Parameters, client: Client): void {
  const responseType = parameters.get('response_type')
  if (responseType === undefined) throw invalid('response_type is missing', 'response_type_missing')
  if (responseType !== 'code') {
    throw new OAuthError('unsupported_response_type', 'response_type must be code')
  }
  if ((parameters.get('response_mode') ?? 'query') !== 'query') {
    throw invalid('response_mode must be query', 'response_mode')
  }
  if (!client.grantTypes.includes('authorization_code')) {
    throw new OAuthError('unauthorized_client', 'this client may not use authorization codes')
  }
}

function readState(parameters: Parameters): string | undefined {
  const state = parameters.get('state')
  if (state !== undefined && state.length > STATE_MAX_CHARS) {
    throw invalid('state is too long', 'state_too_long')
  }
  return state
}

function readChallenge(parameters: Parameters): string {
  const codeChallenge = parameters.get('code_challenge')
  if (codeChallenge === undefined) {
    throw invalid('code_challenge is missing', 'code_challenge_missing')
  }
  // An absent method means `plain` (RFC 7636 section 4.3), which does not exist here.
  if (parameters.get('code_challenge_method') !== 'S256') {
    throw invalid('code_challenge_method must be S256', 'code_challenge_method')
  }
  if (isCodeChallenge(codeChallenge)) return codeChallenge
  throw invalid('code_challenge is malformed', 'code_challenge_malformed')
}

/** Known values only, in the order given; `none` stands alone (OpenID Connect Core 3.1.2.1). */
function readPrompt(parameters: Parameters): string | undefined {
  const given = parameters.get('prompt')?.split(' ') ?? []
  const known = [...new Set(given)].filter((value) => PROMPTS.has(value))
  if (known.includes('none') && given.length > 1) {
    throw invalid('prompt=none stands alone', 'prompt_none')
  }
  return known.length === 0 ? undefined : known.join(' ')
}

/** RFC 9449 section 10; where DPoP is not served the parameter is one of those that mean nothing. */
function readDpopThumbprint(parameters: Parameters, house: ResourceHouse): string | undefined {
  const thumbprint = house.dpop === true ? parameters.get('dpop_jkt') : undefined
  if (thumbprint === undefined || isThumbprint(thumbprint)) return thumbprint
  throw invalid('dpop_jkt is not a thumbprint', 'dpop_jkt')
}

function readMaxAge(parameters: Parameters): number | undefined {
  const text = parameters.get('max_age')
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text)) throw invalid('max_age must be whole seconds', 'max_age')
  return Number(text)
}

/** In the order of preference (OpenID Connect Core section 3.1.2.1); empty is absent. */
function readAcrValues(parameters: Parameters): readonly string[] | undefined {
  const values = (parameters.get('acr_values') ?? '').split(' ').filter((value) => value !== '')
  if (values.length === 0) return undefined
  const isGood = (value: string) => value.length <= ACR_VALUE_MAX_CHARS && /^[!-~]+$/.test(value)
  if (values.length <= ACR_VALUES_MAX && values.every(isGood)) return values
  throw invalid('acr_values is malformed', 'acr_values')
}

function isOwnParameter(pair: string): boolean {
  if (pair === '') return false
  return ![...new URLSearchParams(pair).keys()].some((name) => RESPONSE_PARAMETERS.has(name))
}

function invalid(description: string, reason: string): OAuthError {
  return new OAuthError('invalid_request', description, { reason })
}

function target(description: string, reason: string): OAuthError {
  return new OAuthError('invalid_target', description, { reason })
}
