/**
 * Identity assertion authorization grants (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant):
 * an enterprise's identity provider says who a client acts for, here, at one resource.
 *
 * One audience, one resource, one client (EXT-02); what every signed JWT must be is in `signed-jwt.ts`.
 * Never throws, never fetches.
 */
import type { JSONWebKeySet, JWTPayload } from 'jose'
import { isObject, isText, readPart } from './claims.ts'
import { isCompactJwt, JWT_SKEW_SECONDS, type JwtRefusal, judgeSignedJwt } from './signed-jwt.ts'

export const ASSERTION_MAX_CHARS = 16_384
/** No assertion lives longer, whatever it says: its `jti` is remembered that long. */
export const ASSERTION_LIFE_MAX_SECONDS = 3_600
const NAME_MAX_CHARS = 255
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', 'Ed25519']
const TYPE = 'oauth-id-jag+jwt'

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

export type IdJagRefusal = JwtRefusal | 'life' | 'client' | 'jti' | 'subject' | 'resource'
export type IdJagJudgement = { ok: true; claims: IdJagClaims } | { ok: false; reason: IdJagRefusal }

/** Who says to have issued this; unverified, good for nothing but choosing the key set. */
export function claimedIssuer(jwt: string): string | undefined {
  if (!isCompactJwt(jwt, ASSERTION_MAX_CHARS)) return undefined
  const issuer = readPart(jwt.split('.')[1])?.['iss']
  return typeof issuer === 'string' ? issuer : undefined
}

/** Everything of section 4.4 of the draft but the use of `jti`, and whether the resource is ours. */
export async function judgeIdJag(jwt: string, facts: IdJagFacts): Promise<IdJagJudgement> {
  const judged = await judgeSignedJwt(jwt, {
    jwks: facts.jwks,
    issuer: facts.issuer,
    algorithms: ALGORITHMS,
    types: [TYPE],
    maxChars: ASSERTION_MAX_CHARS,
    nowMs: facts.nowMs,
    requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti'],
  })
  return judged.ok ? judgeClaims(judged.payload, facts) : judged
}

function judgeClaims(payload: JWTPayload, facts: IdJagFacts): IdJagJudgement {
  const nowSeconds = facts.nowMs / 1_000
  const { sub, jti, aud, iat = Number.NaN, exp = Number.NaN } = payload
  // One string: with a list the same assertion would be good at another server too.
  if (aud !== facts.audience) return refuse('audience')
  if (!(iat <= nowSeconds + JWT_SKEW_SECONDS)) return refuse('not_yet')
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
      // RFC 7519 section 2 lets times have a fraction; the store takes whole milliseconds.
      expiresAtSeconds: Math.ceil(exp),
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
  const jkt = isObject(cnf) ? cnf['jkt'] : undefined
  return isName(jkt) ? jkt : undefined
}

function onlyOne(value: unknown): string | undefined {
  const one: unknown = Array.isArray(value) && value.length === 1 ? value[0] : value
  return typeof one === 'string' && one !== '' ? one : undefined
}

function isName(value: unknown): value is string {
  return isText(value, NAME_MAX_CHARS)
}

function refuse(reason: IdJagRefusal): IdJagJudgement {
  return { ok: false, reason }
}
