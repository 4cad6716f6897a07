/**
 * URLs as this house reads them: exact text first, the parser only to refuse.
 *
 * Nothing here normalises beyond what a rule names (SEC-09). Well-known paths: RFC 8414 section
 * 3.1, RFC 9728 section 3.1, OpenID Connect Discovery section 4. Never throws.
 */
export const URL_MAX_CHARS = 2_048

// Spaces, controls and backslashes are what URL parsers silently strip or turn into slashes.
const UNSAFE_IN_URL = /[\x00-\x20\x7f\\\u0080-\u00a0\u2028\u2029\ufeff]/

/** Absolute, well-formed unicode, no control character, whitespace or backslash, at most 2,048 characters. */
export function parseUrl(text: string): URL | undefined {
  if (text.length > URL_MAX_CHARS || !text.isWellFormed() || UNSAFE_IN_URL.test(text)) {
    return undefined
  }
  return URL.canParse(text) ? new URL(text) : undefined
}

/** The three loopback names that deployed clients use (RFC 8252 section 7.3, plus `localhost`). */
export function isLoopbackHost(hostname: string): boolean {
  return (
    hostname === '127.0.0.1' ||
    hostname === 'localhost' ||
    hostname === '[::1]' ||
    hostname === '::1'
  )
}

/**
 * The form in which resource identifiers are compared: lower-case scheme and host, one trailing
 * slash dropped, the rest as it came (AZ-11).
 *
 * @returns `undefined` unless an absolute http or https URI without fragment and userinfo.
 * @see RFC 8707 section 2
 */
export function canonicalResource(text: string): string | undefined {
  if (text.includes('#') || parseUrl(text) === undefined) return undefined
  const parts = /^(https?):\/\/([^/?@]+)(\/[^?]*)?(\?.*)?$/i.exec(text)
  if (parts === null) return undefined
  const [, scheme = '', authority = '', path = '', query = ''] = parts
  const kept = query === '' && path.endsWith('/') ? path.slice(0, -1) : path
  return `${scheme.toLowerCase()}://${authority.toLowerCase()}${kept}${query}`
}

/** Path (and query) of a resource's metadata document: the well-known segment before its path. */
export function protectedResourceMetadataPath(resource: string): string {
  const { pathname, search } = new URL(resource)
  return `/.well-known/oauth-protected-resource${pathname === '/' ? '' : pathname}${search}`
}

/** Every path at which the issuer's metadata is found, the RFC 8414 one first (AS-01, AS-02). */
export function issuerMetadataPaths(issuer: string): readonly string[] {
  const path = new URL(issuer).pathname.replace(/\/$/, '')
  const paths = [
    `/.well-known/oauth-authorization-server${path}`,
    `/.well-known/openid-configuration${path}`,
    `${path}/.well-known/openid-configuration`,
  ]
  return [...new Set(paths)]
}
