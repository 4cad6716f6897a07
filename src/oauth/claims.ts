/**
 * What a claim of somebody else's JWT, or a member of somebody else's JSON, may look like before it is
 * used or compared. One answer for every kind of token; never throws.
 */
import { decodeBase64url } from './base64url.ts'

/** Last second of the year 9999: beyond it a time is no time. */
const TIME_MAX_SECONDS = 253_402_300_799

export type JsonObject = Readonly<Record<string, unknown>>

/** A JSON object; neither `null` nor a list. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Text that every store and log takes: not empty, no lone surrogates, no NUL. */
export function isText(value: unknown, maxChars: number): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= maxChars &&
    value.isWellFormed() &&
    !value.includes('\0')
  )
}

/** A NumericDate (RFC 7519 section 2) in seconds, from 1970 to 9999. */
export function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= TIME_MAX_SECONDS
}

/** The object in a part of a JWT, unverified; `undefined` for anything else. */
export function readPart(part: string | undefined): JsonObject | undefined {
  const bytes = part === undefined || part === '' ? undefined : decodeBase64url(part)
  if (bytes === undefined) return undefined
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
