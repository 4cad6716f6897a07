/**
 * Is a sign-in at an OpenID provider still good: asked at userinfo or by introspection, each with the
 * one answer that its standard defines as a no.
 */

import { readObject } from '../net/json-answer.ts'
import type { JsonObject } from '../oauth/claims.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import { ANSWER_MAX_BYTES, isInvalidToken, statusError, unknown, unknownAnswer } from './answers.ts'
import { grantedScopes, judgeAccessToken } from './oidc-access-token.ts'
import { clientCall, refusedSignIn, subjectOf } from './oidc-client.ts'
import { discover, type OpenIdHouse } from './oidc-product.ts'
import type { OpenIdMetadata } from './openid-metadata.ts'
import type { Proof, ProofBasis, ProviderContext } from './provider.ts'

/** The local check where the token is a JWT for us, then one call at most. */
export async function check(
  house: OpenIdHouse,
  context: ProviderContext,
  tokens: TokenSet,
  basis: ProofBasis = {},
): Promise<Proof> {
  const { quirks } = house
  const isExpired =
    tokens.expiresAtMs !== undefined && tokens.expiresAtMs <= context.runtime.nowMs()
  if (isExpired) return expired(tokens)
  const subject = basis.subject ?? subjectOf(tokens.idToken)
  const local = await judgeAccessToken(house, context, tokens.accessToken)
  if (local.state === 'foreign') return { outcome: 'no', reason: local.reason }
  if (local.state === 'unknown')
    return local.reason === 'expired' ? expired(tokens) : unknown(local.reason)
  if (local.state === 'ours') {
    const said =
      quirks.subjectOf === undefined ? local.claims['sub'] : quirks.subjectOf(local.claims)
    if (subject !== undefined && said !== subject) return { outcome: 'no', reason: 'subject' }
  }
  const remote = await ask(house, context, tokens, subject)
  const scopes = local.state === 'ours' ? local.scopes : undefined
  return remote.outcome === 'yes' && scopes !== undefined ? { scopes, ...remote } : remote
}

/** Its end was agreed, so nobody needs to be asked: with a refresh token the refresh is the proof. */
function expired(tokens: TokenSet): Proof {
  if (tokens.refreshToken !== undefined) return unknown('access_token_expired')
  return { outcome: 'no', reason: 'access_token_expired' }
}

async function ask(
  house: OpenIdHouse,
  context: ProviderContext,
  tokens: TokenSet,
  subject: string | undefined,
): Promise<Proof> {
  const { check: way } = house.quirks
  if (typeof way === 'function') return await way(context, tokens, subject)
  const metadata = await discover(house, context)
  if (way === 'introspection' && metadata.introspectionEndpoint !== undefined) {
    const call = { metadata, url: metadata.introspectionEndpoint, tokens, subject }
    return await introspect(house, context, call)
  }
  if (way !== 'life' && metadata.userinfoEndpoint !== undefined)
    return await askUserinfo(house, context, { url: metadata.userinfoEndpoint, tokens, subject })
  // Nothing to ask: the life of the access token is the bound (flows.md section 10).
  return tokens.expiresAtMs === undefined ? unknown('no_check_call') : { outcome: 'yes' }
}

/**
 * Core section 5.3: many providers put profile claims only here, and the same call proves later that
 * the sign-in is still good, so it must work now.
 */
export async function readUserinfo(
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

function userinfoCall(context: ProviderContext, url: string, tokens: TokenSet) {
  return context.egress.exchange({
    operation: 'userinfo',
    method: 'GET',
    url,
    headers: { authorization: `Bearer ${tokens.accessToken}` },
    timeoutMs: context.timeoutMs,
    maxBytes: ANSWER_MAX_BYTES,
  })
}

async function askUserinfo(
  { quirks }: OpenIdHouse,
  context: ProviderContext,
  asked: {
    readonly url: string
    readonly tokens: TokenSet
    readonly subject: string | undefined
  },
): Promise<Proof> {
  const { subject } = asked
  const response = await userinfoCall(context, asked.url, asked.tokens)
  if (response.status === 200) {
    const body = readObject(response)
    if (typeof body?.['sub'] !== 'string') return unknown('body')
    return subject === undefined || body['sub'] === subject
      ? { outcome: 'yes' }
      : { outcome: 'no', reason: 'subject' }
  }
  return (quirks.isRefusal ?? isInvalidToken)(response)
    ? { outcome: 'no', reason: 'invalid_token' }
    : unknownAnswer(response, context.runtime.nowMs())
}

/** RFC 7662 section 2.2 and 2.3: `active: false` is the no; 401 is about ourselves. */
async function introspect(
  house: OpenIdHouse,
  context: ProviderContext,
  asked: {
    readonly metadata: OpenIdMetadata
    readonly url: string
    readonly tokens: TokenSet
    readonly subject: string | undefined
  },
): Promise<Proof> {
  const { metadata, url, tokens, subject } = asked
  const response = await clientCall(house, context, metadata, {
    operation: 'introspection',
    url,
    form: { token: tokens.accessToken, token_type_hint: 'access_token' },
  })
  const body = readObject(response)
  if (response.status === 401 || body?.['error'] === 'invalid_client')
    return { outcome: 'client-refused' }
  if (response.status !== 200) return unknownAnswer(response, context.runtime.nowMs())
  if (body?.['active'] === false) return { outcome: 'no', reason: 'inactive' }
  if (body?.['active'] !== true) return unknown('body')
  const sub = body['sub']
  if (typeof sub === 'string' && subject !== undefined && sub !== subject)
    return { outcome: 'no', reason: 'subject' }
  const scopes = grantedScopes(body)
  return scopes === undefined ? { outcome: 'yes' } : { outcome: 'yes', scopes }
}
