/**
 * Answers that several products give in the same form: a person's own data, and an introspection.
 * Only the literal words of the standard decide; everything else is *unknown* (B25).
 */
import type { EgressResponse } from '../net/egress.ts'
import { readObject } from '../net/json-answer.ts'
import type { JsonObject } from '../oauth/claims.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import type { Profile } from '../records.ts'
import { statusError, unknown } from './answers.ts'
import type { ProductCalls, UserRequest } from './oauth2-product.ts'
import type { Proof, ProofBasis } from './provider.ts'

/** How a product answers a question with a person's token. */
export interface UserQuestion {
  readonly request: UserRequest
  subject(body: JsonObject): string | undefined
  scopes?(body: JsonObject): readonly string[] | undefined
  /** The refusal exactly as documented, as a word for the log; anything else is unknown. */
  refusal(response: EgressResponse, body: JsonObject | undefined): string | undefined
}

/** One call. An answer about somebody else is a no (R9). */
export async function askUser(
  calls: ProductCalls,
  tokens: TokenSet,
  basis: ProofBasis,
  question: UserQuestion,
): Promise<Proof> {
  const response = await calls.user(tokens, question.request)
  const body = readObject(response)
  const refusal = question.refusal(response, body)
  if (refusal !== undefined) return { outcome: 'no', reason: refusal }
  if (response.status !== 200) return calls.unknown(response)
  const subject = body === undefined ? undefined : question.subject(body)
  if (body === undefined || subject === undefined) return unknown('body')
  if (basis.subject !== undefined && basis.subject !== subject)
    return { outcome: 'no', reason: 'subject' }
  const scopes = question.scopes?.(body)
  return { outcome: 'yes', ...(scopes === undefined ? {} : { scopes }) }
}

/** The same at sign-in, where somebody waits. */
export async function readUserAnswer(
  calls: ProductCalls,
  tokens: TokenSet,
  request: UserRequest,
): Promise<JsonObject> {
  const response = await calls.user(tokens, request)
  const body = response.status === 200 ? readObject(response) : undefined
  if (body === undefined) throw statusError(response, 'userinfo', calls.context.runtime.nowMs())
  return body
}

/**
 * Introspection (RFC 7662 sections 2.2 and 2.3): only literal `true` is active, only literal `false`
 * is a no, and 401 is about ourselves.
 */
export function judgeIntrospection(
  response: EgressResponse,
  subject: string | undefined,
  subjectClaim = 'sub',
): Proof | undefined {
  const body = readObject(response)
  if (response.status === 401 || body?.['error'] === 'invalid_client')
    return { outcome: 'client-refused' }
  if (response.status !== 200) return undefined
  if (body === undefined || body['error'] !== undefined) return unknown('body')
  if (body['active'] === false) return { outcome: 'no', reason: 'inactive' }
  if (body['active'] !== true) return unknown('body')
  const named = idOf(body[subjectClaim])
  if (named !== undefined && subject !== undefined && named !== subject)
    return { outcome: 'no', reason: 'subject' }
  const scopes = scopesOf(body['scope'])
  return { outcome: 'yes', ...(scopes === undefined ? {} : { scopes }) }
}

/** A subject: text, or a whole number such as GitLab's. */
export function idOf(value: unknown): string | undefined {
  if (typeof value === 'number')
    return Number.isSafeInteger(value) && value > 0 ? String(value) : undefined
  if (typeof value !== 'string' || value === '' || value.length > 255) return undefined
  return /^[\x21-\x7e]+$/.test(value) ? value : undefined
}

/** Names separated by spaces or commas, or a list of names. */
export function scopesOf(value: unknown): readonly string[] | undefined {
  const list = typeof value === 'string' ? value.split(/[ ,]+/) : value
  if (!Array.isArray(list) || !list.every((entry) => typeof entry === 'string')) return undefined
  return list.filter((entry) => entry !== '')
}

/** Leaves out what is not known. */
export function profileOf(known: { [Name in keyof Profile]: Profile[Name] | undefined }): Profile {
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined))
}
