/**
 * Ourselves as a client of an OpenID provider: how we authenticate there, and how its ID tokens are
 * checked against its keys. An unknown key fetches the set once (VAL-14).
 */
import { OAuthError } from '../errors.ts'
import type { EgressResponse, Operation } from '../net/egress.ts'
import { type JsonObject, readPart } from '../oauth/claims.ts'
import { type ClientProof, clientRequest } from '../oauth/client-request.ts'
import { type IdTokenJudgement, judgeIdToken } from '../oauth/id-token.ts'
import { ANSWER_MAX_BYTES } from './answers.ts'
import { discover, type OpenIdHouse } from './oidc-product.ts'
import type { JsonWebKeySet, OpenIdMetadata } from './openid-metadata.ts'
import type { ProviderContext } from './provider.ts'

interface ClientCall {
  readonly operation: Operation
  readonly url: string
  readonly form: Readonly<Record<string, string | undefined>>
}

/** A POST by which we authenticate ourselves; the secret goes into one place only (CLI-16). */
export async function clientCall(
  house: OpenIdHouse,
  context: ProviderContext,
  metadata: OpenIdMetadata,
  { operation, url, form }: ClientCall,
): Promise<EgressResponse> {
  return await context.egress.exchange({
    operation,
    method: 'POST',
    url,
    ...clientRequest(proofOf(house, metadata), form),
    timeoutMs: context.timeoutMs,
    maxBytes: ANSWER_MAX_BYTES,
  })
}

function proofOf(house: OpenIdHouse, metadata: OpenIdMetadata): ClientProof {
  const { clientId, clientSecret } = house
  if (clientSecret === undefined) return { method: 'none', clientId }
  return { method: authMethod(house, metadata), clientId, secret: clientSecret.reveal() }
}

function authMethod(
  house: OpenIdHouse,
  { tokenAuthMethods }: OpenIdMetadata,
): 'client_secret_basic' | 'client_secret_post' {
  const preferred = house.quirks.authMethod
  if (preferred !== undefined && tokenAuthMethods.includes(preferred)) return preferred
  if (tokenAuthMethods.includes('client_secret_basic')) return 'client_secret_basic'
  if (tokenAuthMethods.includes('client_secret_post')) return 'client_secret_post'
  throw refusedSignIn(house, 'provider_auth_method')
}

/** Core section 3.1.3.7 (CLI-22), with one more look at the keys for a key that is not known. */
export async function verifyIdToken(
  house: OpenIdHouse,
  context: ProviderContext,
  idToken: string,
  nonce: string | undefined,
): Promise<IdTokenJudgement> {
  const { idTokenAlgorithms, jwksUri } = await discover(house, context)
  const issuers = expectedIssuers(house, decodeClaims(idToken) ?? {})
  if (issuers === undefined) return { ok: false, reason: 'issuer' }
  const facts = {
    issuer: issuers,
    clientId: house.clientId,
    nonce,
    nowMs: context.runtime.nowMs(),
    algorithms: idTokenAlgorithms,
  }
  const keysOf = (keys: JsonWebKeySet) => house.quirks.keysOf?.(keys, issuers[0] ?? '') ?? keys
  const judged = await judgeIdToken(idToken, {
    ...facts,
    jwks: keysOf(await context.jwks(jwksUri)),
  })
  if (judged.ok || judged.reason !== 'unknown_key') return judged
  return await judgeIdToken(idToken, { ...facts, jwks: keysOf(await context.refreshJwks(jwksUri)) })
}

/** `undefined`: the claims name an issuer that this configuration does not accept. */
export function expectedIssuers(
  { quirks }: OpenIdHouse,
  unverified: JsonObject,
): readonly string[] | undefined {
  if (quirks.tokenIssuer === undefined) return [quirks.issuer, ...(quirks.issuerAliases ?? [])]
  const issuer = quirks.tokenIssuer(unverified)
  return issuer === undefined ? undefined : [issuer]
}

/** Subject of an ID token that was verified when it was stored; `undefined` without one. */
export function subjectOf(idToken: string | undefined): string | undefined {
  const sub = idToken === undefined ? undefined : decodeClaims(idToken)?.['sub']
  return typeof sub === 'string' ? sub : undefined
}

/** Claims of a JWT, unverified. */
export function decodeClaims(jwt: string): JsonObject | undefined {
  return readPart(jwt.split('.')[1])
}

/** Constant public text, the reason for log and page. */
export function refusedSignIn(house: OpenIdHouse, reason: string): OAuthError {
  const why = REFUSALS[reason] ?? 'did not accept this sign-in. Start again.'
  return new OAuthError('server_error', `${house.title} ${why}`, { reason })
}

const REFUSALS: Readonly<Record<string, string>> = {
  provider_invalid_grant: 'says that the code is wrong or too old. Start again.',
  provider_issuer_mismatch: 'was asked, but somebody else answered.',
  provider_auth_method: 'accepts neither client_secret_basic nor client_secret_post.',
  id_token_missing: 'sent no ID token.',
  hosted_domain: 'signed in an account outside of the organisation that may use this.',
  other_tenant: 'signed in an account of an organisation that may not use this.',
}
