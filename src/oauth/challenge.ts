/**
 * Bearer credentials in, `WWW-Authenticate` challenges out (RFC 6750, RFC 9110 section 11, RFC 9728
 * section 5.1). The token comes from the `Authorization` header only; parsed by grammar, never by
 * split. Values that go into our header are bounded to the quoted characters of RFC 6750 section 3.
 */
import { printable } from '../errors.ts'
import { DPOP_ALGORITHMS } from './dpop.ts'

export const AUTHORIZATION_MAX_CHARS = 16_384

export type Bearer =
  | { kind: 'absent' }
  | { kind: 'malformed' }
  | { kind: 'other' }
  | { kind: 'bearer'; token: string }

const ABSENT: Bearer = { kind: 'absent' }
const MALFORMED: Bearer = { kind: 'malformed' }
const OTHER: Bearer = { kind: 'other' }

/** Reads the header's one credential; two of them (joined by a comma) are malformed (PR-12). */
export function readBearer(authorization: string | undefined): Bearer {
  if (authorization === undefined || authorization === '') return ABSENT
  if (authorization.length > AUTHORIZATION_MAX_CHARS) return MALFORMED
  const scheme = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?= |$)/.exec(authorization)?.[0]
  if (scheme === undefined) return MALFORMED
  if (scheme.toLowerCase() !== 'bearer') return OTHER
  const token = /^ +([A-Za-z0-9._~+/-]+=*)$/.exec(authorization.slice(scheme.length))?.[1]
  return token === undefined ? MALFORMED : { kind: 'bearer', token }
}

export interface Challenge {
  /** URL of this endpoint's metadata document. */
  readonly resourceMetadata: string
  readonly scope?: string
  /** Left out when the request carried no credentials at all (PR-08). */
  readonly error?:
    | 'invalid_token'
    | 'invalid_request'
    | 'insufficient_scope'
    | 'insufficient_user_authentication'
  readonly description?: string
  /** How fresh and how strong the sign-in must be (RFC 9470 section 3). */
  readonly maxAgeSeconds?: number
  readonly acrValues?: readonly string[]
}

/** @throws {TypeError} when the metadata URL could not stand in a header: our own mistake. */
export function challenge(facts: Challenge): string {
  const { resourceMetadata, scope, error, description, maxAgeSeconds, acrValues } = facts
  if (printable(resourceMetadata) !== resourceMetadata) throw new TypeError('resourceMetadata')
  const members = [`resource_metadata="${resourceMetadata}"`]
  if (scope !== undefined && scope !== '') members.push(`scope="${printable(scope)}"`)
  if (error !== undefined) members.push(`error="${error}"`)
  if (description !== undefined) members.push(`error_description="${printable(description)}"`)
  if (acrValues !== undefined) members.push(`acr_values="${printable(acrValues.join(' '))}"`)
  if (maxAgeSeconds !== undefined) members.push(`max_age="${maxAgeSeconds}"`)
  return `Bearer ${members.join(', ')}`
}

/** The token of a `DPoP` credential (RFC 9449 section 7.1); asked only where `readBearer` said `other`. */
export function readDpop(authorization: string | undefined): string | undefined {
  return /^dpop +([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization ?? '')?.[1]
}

/** RFC 9449 section 7.1. @throws {TypeError} when the metadata URL could not stand in a header. */
export function dpopChallenge(
  resourceMetadata: string,
  error: 'invalid_token' | 'invalid_dpop_proof' | 'use_dpop_nonce',
): string {
  if (printable(resourceMetadata) !== resourceMetadata) throw new TypeError('resourceMetadata')
  const algorithms = DPOP_ALGORITHMS.join(' ')
  return `DPoP resource_metadata="${resourceMetadata}", error="${error}", algs="${algorithms}"`
}
