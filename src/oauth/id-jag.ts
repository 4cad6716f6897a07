/**
 * Identity assertion authorization grants (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant):
 * an enterprise's identity provider says who a client acts for, here, at one resource.
 *
 * As ID tokens: the algorithm comes from our list, keys from a set at hand, never from the header.
 * One audience, one resource, one client (EXT-02). Never throws, never fetches.
 */
import type { JSONWebKeySet, JWTPayload } from 'jose'
import { decodeBase64url } from './base64url.ts'
import { withoutWeakKeys } from './weak-keys.ts'

export const ASSERTION_MAX_CHARS = 16_384
/** No assertion lives longer, whatever it says: its `jti` is remembered that long. */
export const ASSERTION_LIFE_MAX_SECONDS = 3_600
const SKEW_SECONDS = 60
const KEYS_MAX = 100
const NAME_MAX_CHARS = 255
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', 'Ed25519']
const TYP = 'oauth-id-jag+jwt'

export interface IdJagFacts {
  readonly jwks: JSONWebKeySet
  /** Of the trusted issuer, compared exactly. */
  readonly issuer: string
  /** Our own issuer identifier. */
  readonly audience: string
  /** The client that authenticated. */
  readonly clientId: string
  readonly nowMs: number
}

export interface IdJagClaims {
  readonly subject: string
  readonly jti: string
  readonly resource: string
  readonly scope?: string
  readonly expiresAtSeconds: number
  readonly authTimeSeconds?: number
  readonly email?: string
  readonly emailVerified: boolean
  readonly name?: string
  /** The key that the assertion is bound to. */
  readonly jkt?: string
}

export type IdJagRefusal =
  | 'malformed'
  | 'typ'
  | 'algorithm'
  | 'unknown_key'
  | 'signature'
  | 'issuer'
  | 'audience'
  | 'expired'
  | 'not_yet'
  | 'life'
  | 'client'
  | 'jti'
  | 'subject'
  | 'resource'
  | 'claims'
export type IdJagJudgement = { ok: true; claims: IdJagClaims } | { ok: false; reason: IdJagRefusal }

/** Who says to have issued this; unverified, good for nothing but choosing the key set. */
export function claimedIssuer(jwt: string): string | undefined {
  const payload = isForm(jwt) ? decodeBase64url(jwt.split('.')[1] ?? '') : undefined
  if (payload === undefined) return undefined
  try {
    const claims: unknown = JSON.parse(new TextDecoder().decode(payload))
    const issuer =
      typeof claims === 'object' && claims !== null && 'iss' in claims ? claims.iss : undefined
    return typeof issuer === 'string' ? issuer : undefined
  } catch {
    return undefined
  }
}

export async function judgeIdJag(jwt: string, facts: IdJagFacts): Promise<IdJagJudgement> {
  if (!isForm(jwt)) return refuse('malformed')
  // The library takes the last part leniently; one assertion has one text here.
  if (decodeBase64url(jwt.slice(jwt.lastIndexOf('.') + 1)) === undefined) return refuse('malformed')
  if (facts.jwks.keys.length > KEYS_MAX) return refuse('unknown_key')
  const jose = await import('jose')
  try {
    const { alg, typ } = jose.decodeProtectedHeader(jwt)
    if (typ !== TYP) return refuse('typ')
    if (alg === undefined || !ALGORITHMS.includes(alg)) return refuse('algorithm')
    const { payload } = await jose.jwtVerify(
      jwt,
      jose.createLocalJWKSet(withoutWeakKeys(facts.jwks)),
      {
        issuer: facts.issuer,
        algorithms: ALGORITHMS,
        clockTolerance: SKEW_SECONDS,
        currentDate: new Date(facts.nowMs),
        requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti'],
      },
    )
    return judgeClaims(payload, facts)
  } catch (error) {
    return refuse(refusalOf(error, jose.errors))
  }
}

function judgeClaims(payload: JWTPayload, facts: IdJagFacts): IdJagJudgement {
  const nowSeconds = facts.nowMs / 1_000
  const { sub, jti, aud, iat = Number.NaN, exp = Number.NaN } = payload
  // One string: with a list the same assertion would be good at another server too.
  if (aud !== facts.audience) return refuse('audience')
  if (!(iat <= nowSeconds + SKEW_SECONDS)) return refuse('not_yet')
  if (!(exp - iat > 0 && exp <= nowSeconds + ASSERTION_LIFE_MAX_SECONDS)) return refuse('life')
  if (payload['client_id'] !== facts.clientId) return refuse('client')
  if (!isName(sub)) return refuse('subject')
  if (!isName(jti)) return refuse('jti')
  const resource = onlyOne(payload['resource'])
  if (resource === undefined) return refuse('resource')
  const { scope, auth_time: authTime, email, name, cnf } = payload
  if (scope !== undefined && typeof scope !== 'string') return refuse('claims')
  const jkt = readBinding(cnf)
  if (cnf !== undefined && jkt === undefined) return refuse('claims')
  return {
    ok: true,
    claims: {
      subject: sub,
      jti,
      resource,
      ...(scope === undefined ? {} : { scope }),
      expiresAtSeconds: exp,
      ...(typeof authTime === 'number' && Number.isSafeInteger(authTime) && authTime >= 0
        ? { authTimeSeconds: authTime }
        : {}),
      ...(isName(email) ? { email } : {}),
      emailVerified: payload['email_verified'] === true,
      ...(isName(name) ? { name } : {}),
      ...(jkt === undefined ? {} : { jkt }),
    },
  }
}

function readBinding(cnf: unknown): string | undefined {
  const jkt = typeof cnf === 'object' && cnf !== null && 'jkt' in cnf ? cnf.jkt : undefined
  return isName(jkt) ? jkt : undefined
}

function onlyOne(value: unknown): string | undefined {
  const one: unknown = Array.isArray(value) && value.length === 1 ? value[0] : value
  return typeof one === 'string' && one !== '' ? one : undefined
}

function isName(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= NAME_MAX_CHARS &&
    value.isWellFormed() &&
    !value.includes('\0')
  )
}

function isForm(jwt: string): boolean {
  return jwt.length <= ASSERTION_MAX_CHARS && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(jwt)
}

function refusalOf(error: unknown, errors: typeof import('jose')['errors']): IdJagRefusal {
  if (error instanceof errors.JWTExpired) return 'expired'
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.reason !== 'check_failed') return 'claims'
    return error.claim === 'iss' ? 'issuer' : error.claim === 'nbf' ? 'not_yet' : 'claims'
  }
  if (error instanceof errors.JWKSNoMatchingKey) return 'unknown_key'
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'unknown_key'
  if (error instanceof errors.JOSEAlgNotAllowed) return 'algorithm'
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return 'malformed'
  return 'signature'
}

function refuse(reason: IdJagRefusal): IdJagJudgement {
  return { ok: false, reason }
}
