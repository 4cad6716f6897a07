/**
 * Is a sign-in at an OpenID provider still good: asked at userinfo or by introspection, each with the
 * one answer that its standard defines as a no.
 */
import type { TokenSet } from '../oauth/token-answer.ts'
import { ANSWER_MAX_BYTES, readObject, unknown, unknownAnswer } from './answers.ts'
import { clientCall, type OpenIdHouse, subjectOf } from './oidc-client.ts'
import type { OpenIdMetadata } from './openid-metadata.ts'
import type { Proof, ProofBasis, ProviderContext } from './provider.ts'

/** One call at most: userinfo, or introspection where it is configured. */
export async function check(
  house: OpenIdHouse,
  context: ProviderContext,
  tokens: TokenSet,
  basis: ProofBasis = {},
): Promise<Proof> {
  const isExpired =
    tokens.expiresAtMs !== undefined && tokens.expiresAtMs <= context.runtime.nowMs()
  // Its end was agreed, so nobody needs to be asked: with a refresh token the refresh is the proof.
  if (isExpired && tokens.refreshToken === undefined)
    return { outcome: 'no', reason: 'access_token_expired' }
  if (isExpired) return unknown('access_token_expired')
  const metadata = await context.discovery(house.issuer)
  const subject = basis.subject ?? subjectOf(tokens.idToken)
  if (house.check === 'introspection' && metadata.introspectionEndpoint !== undefined) {
    return await introspect(
      house,
      context,
      metadata,
      metadata.introspectionEndpoint,
      tokens,
      subject,
    )
  }
  if (metadata.userinfoEndpoint !== undefined) {
    return await askUserinfo(context, metadata.userinfoEndpoint, tokens, subject)
  }
  // Nothing to ask: the life of the access token is the bound (flows.md section 10).
  return tokens.expiresAtMs === undefined ? unknown('no_check_call') : { outcome: 'yes' }
}

export function userinfoCall(context: ProviderContext, url: string, tokens: TokenSet) {
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
  context: ProviderContext,
  url: string,
  tokens: TokenSet,
  subject: string | undefined,
): Promise<Proof> {
  const response = await userinfoCall(context, url, tokens)
  if (response.status === 200) {
    const body = readObject(response)
    if (typeof body?.['sub'] !== 'string') return unknown('body')
    return subject === undefined || body['sub'] === subject
      ? { outcome: 'yes' }
      : { outcome: 'no', reason: 'subject' }
  }
  if (response.status === 401 && isInvalidToken(response.headers))
    return { outcome: 'no', reason: 'invalid_token' }
  return unknownAnswer(response, context.runtime.nowMs())
}

/** RFC 6750 section 3: `Bearer` with `error="invalid_token"`, quoted or not. */
function isInvalidToken(headers: Headers): boolean {
  return /(?:^|,)\s*bearer\s(?:.*[\s,])?error\s*=\s*(?:"invalid_token"|invalid_token(?=\s*(?:,|$)))/i.test(
    headers.get('www-authenticate') ?? '',
  )
}

/** RFC 7662 section 2.2 and 2.3: `active: false` is the no; 401 is about ourselves. */
async function introspect(
  house: OpenIdHouse,
  context: ProviderContext,
  metadata: OpenIdMetadata,
  url: string,
  tokens: TokenSet,
  subject: string | undefined,
): Promise<Proof> {
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
  const scope = body['scope']
  return typeof scope === 'string'
    ? { outcome: 'yes', scopes: scope.split(' ').filter((word) => word !== '') }
    : { outcome: 'yes' }
}
