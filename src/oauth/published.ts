/**
 * What a member of somebody's metadata document may hold before another room puts it into a URL, a
 * header, a log line or a page. Checks, never repairs.
 *
 * @see RFC 8414 section 2, RFC 9728 section 2, threat S11
 */
import type { JsonObject } from './claims.ts'
import { parseUrl } from './urls.ts'

/** Entries of a list in a metadata document. */
const LIST_MAX = 256
const TEXT_MAX_CHARS = 2_048
const CONTROL = /[\x00-\x1f\x7f\u0080-\u009f\u2028\u2029]/
/** Scope tokens of RFC 6749 section 3.3; the other lists of words fit into it too. */
const WORD = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** The document without members that say `null`: several frameworks write that for "none". */
export function withoutNulls(body: JsonObject): JsonObject {
  const members = Object.entries(body).filter(([, value]) => value !== null)
  return Object.assign(Object.create(null), Object.fromEntries(members))
}

/** Name of the first member whose text, alone or in a list, could end a line (CR, LF, controls). */
export function memberWithControls(body: JsonObject): string | undefined {
  const isBad = (value: unknown): boolean =>
    typeof value === 'string' ? CONTROL.test(value) : Array.isArray(value) && value.some(isBad)
  return Object.keys(body).find((name) => isBad(body[name]))
}

/** Absent, or a list of at most 256 entries that are all right. */
export function isList(value: unknown, isRight: (entry: string) => boolean): boolean {
  if (value === undefined) return true
  if (!Array.isArray(value) || value.length > LIST_MAX) return false
  return value.every((entry) => typeof entry === 'string' && isRight(entry))
}

export function isWord(text: string): boolean {
  return text.length <= TEXT_MAX_CHARS && WORD.test(text)
}

/** Text that people are shown. */
export function isShownText(value: unknown): boolean {
  return typeof value === 'string' && value.length <= TEXT_MAX_CHARS && value.isWellFormed()
}

/** RFC 8414 section 2: without query and fragment. Which schemes and hosts are asked is egress policy. */
export function isIssuer(text: string): boolean {
  const url = parseUrl(text)
  if (url === undefined || !/^https?:$/.test(url.protocol)) return false
  return !/[?#]/.test(text) && url.username === '' && url.password === ''
}
