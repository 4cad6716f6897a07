/**
 * How long an answer may be remembered and when to ask again, from its headers.
 *
 * Values of strangers are clamped to the caller's bounds; what cannot be read counts as absent.
 * @see RFC 9111 section 5.2, RFC 9110 section 10.2.3
 */

/**
 * Seconds that an answer stays fresh: `s-maxage` or `max-age` less `Age`, within [min, max];
 * `no-store` and `no-cache` give `min`; nothing said gives `otherwise`.
 */
export function maxAgeSeconds(
  headers: Headers,
  bounds: { min: number; max: number; otherwise: number },
): number {
  const directives = (headers.get('cache-control') ?? '').toLowerCase().split(',')
  const words = directives.map((directive) => directive.trim())
  if (words.includes('no-store') || words.includes('no-cache')) return bounds.min
  const stated = directiveSeconds(words, 's-maxage') ?? directiveSeconds(words, 'max-age')
  if (stated === undefined) return bounds.otherwise
  const age = wholeSeconds(headers.get('age') ?? '') ?? 0
  return Math.min(bounds.max, Math.max(bounds.min, stated - age))
}

/**
 * `Retry-After` as a wait in milliseconds, at most `capMs`: seconds or an HTTP date. `undefined`
 * when absent or unreadable; a date in the past is 0.
 */
export function retryAfterMs(headers: Headers, nowMs: number, capMs: number): number | undefined {
  const text = (headers.get('retry-after') ?? '').trim()
  if (text === '') return undefined
  const seconds = wholeSeconds(text)
  if (seconds !== undefined) return Math.min(capMs, seconds * 1000)
  const dateMs = /^[A-Z][a-z]{2,8},? /.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(dateMs) ? undefined : Math.min(capMs, Math.max(0, dateMs - nowMs))
}

function directiveSeconds(words: readonly string[], name: string): number | undefined {
  const word = words.find((candidate) => candidate.startsWith(`${name}=`))
  return word === undefined
    ? undefined
    : wholeSeconds(word.slice(name.length + 1).replaceAll('"', ''))
}

function wholeSeconds(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}
