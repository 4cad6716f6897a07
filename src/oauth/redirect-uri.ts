/**
 * Redirect URIs: which may be registered, and which presented one is a registered one.
 *
 * Registration takes an allow-list of forms, each URI written in its normal form; matching is the
 * exact string, with any port for loopback (RFC 8252 section 7.3). Never throws.
 */
import { isLoopbackHost, parseUrl, URL_MAX_CHARS } from './urls.ts'

/** Private-use schemes of known editors. Others only when `redirectHosts` names them with a colon. */
export const KNOWN_PRIVATE_USE_SCHEMES: ReadonlySet<string> = new Set([
  'cursor:',
  'vscode:',
  'vscode-insiders:',
  'vscodium:',
  'code-oss:',
  'windsurf:',
  'windsurf-next:',
  'trae:',
  'kiro:',
  'zed:',
  'jetbrains:',
])

/** Never a redirect target, whatever the configuration names (REG-21, A5). */
const FORBIDDEN_SCHEMES: ReadonlySet<string> = new Set([
  'javascript:',
  'data:',
  'file:',
  'blob:',
  'vbscript:',
  'about:',
  'filesystem:',
  'view-source:',
  'http:',
  'https:',
  'ws:',
  'wss:',
  'ftp:',
  'mailto:',
  'tel:',
  'sms:',
  'intent:',
  'content:',
  'jar:',
  'chrome:',
  'chrome-extension:',
  'moz-extension:',
  'resource:',
  'ms-appx:',
  'urn:',
])

/** What an authorization response adds; a redirect URI that has one already would carry it twice. */
export const RESPONSE_PARAMETERS: ReadonlySet<string> = new Set([
  'code',
  'state',
  'iss',
  'error',
  'error_description',
  'error_uri',
])

export interface RedirectPolicy {
  /**
   * Hosts (`claude.ai`, `localhost`) and schemes with a colon (`myapp:`). Without a host in it: all
   * https, loopback and the known schemes. With one: only what is named.
   */
  readonly redirectHosts: readonly string[]
}

export type RedirectRefusal =
  | 'malformed'
  | 'not_normal'
  | 'fragment'
  | 'userinfo'
  | 'wildcard'
  | 'path_missing'
  | 'response_parameter'
  | 'scheme'
  | 'host'
  | 'not_https'

/** Why `text` may not be registered, or `undefined` when it may. */
export function refuseRedirectUri(
  text: string,
  policy: RedirectPolicy,
  applicationType: 'native' | 'web',
): RedirectRefusal | undefined {
  const url = parseUrl(text)
  if (url === undefined || !/^[\x21-\x7e]+$/.test(text)) return 'malformed'
  if (text.includes('#')) return 'fragment'
  if (text.includes('*')) return 'wildcard'
  if (/^[^/?]*\/\/[^/?]*@/.test(text) || url.username !== '') return 'userinfo'
  if (FORBIDDEN_SCHEMES.has(url.protocol) && !isWeb(url)) return 'scheme'
  if (isWeb(url) && url.href === `${text}/`) return 'path_missing'
  if (url.href !== text || hasDots(url.pathname)) return 'not_normal'
  for (const name of url.searchParams.keys()) {
    if (RESPONSE_PARAMETERS.has(name)) return 'response_parameter'
  }
  if (applicationType === 'web' && url.protocol !== 'https:') return 'not_https'
  return isWeb(url) ? refuseHost(url, policy) : refuseScheme(url, policy)
}

function isWeb(url: URL): boolean {
  return url.protocol === 'https:' || url.protocol === 'http:'
}

// The parser resolves dot segments of web URLs, so they differ from their text; others keep them.
function hasDots(pathname: string): boolean {
  return pathname.split('/').some((part) => /^(\.|%2e){1,2}$/i.test(part))
}

function refuseHost(url: URL, policy: RedirectPolicy): RedirectRefusal | undefined {
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) return 'not_https'
  if (url.hostname.endsWith('.')) return 'host'
  const hosts = policy.redirectHosts.filter((entry) => !entry.endsWith(':'))
  if (hosts.length === 0) return undefined
  return hosts.some(
    (host) => host.toLowerCase() === url.host || host.toLowerCase() === url.hostname,
  )
    ? undefined
    : 'host'
}

function refuseScheme(url: URL, policy: RedirectPolicy): RedirectRefusal | undefined {
  if (policy.redirectHosts.some((entry) => entry.toLowerCase() === url.protocol)) return undefined
  const onlyNamed = policy.redirectHosts.some((entry) => !entry.endsWith(':'))
  return !onlyNamed && KNOWN_PRIVATE_USE_SCHEMES.has(url.protocol) ? undefined : 'scheme'
}

// Textual on purpose: what a parser would repair must not match (A4).
const LOOPBACK = /^http:\/\/(127\.0\.0\.1|\[::1\]|localhost)(?::([1-9]\d{0,4}))?([/?].*)?$/

/** Equal text, or loopback URIs that differ in the port only. */
export function isSameRedirect(registered: string, presented: string): boolean {
  if (registered === presented) return true
  const left = readLoopback(registered)
  const right = readLoopback(presented)
  return (
    left !== undefined &&
    right !== undefined &&
    left.host === right.host &&
    left.rest === right.rest
  )
}

function readLoopback(text: string): { host: string; rest: string } | undefined {
  if (text.length > URL_MAX_CHARS) return undefined
  const parts = LOOPBACK.exec(text)
  if (parts === null || Number(parts[2] ?? 80) > 65_535) return undefined
  return { host: parts[1] ?? '', rest: parts[3] ?? '' }
}

export function isLoopbackRedirect(uri: string): boolean {
  return readLoopback(uri) !== undefined
}

/** Neither https nor http: only an application on the person's device can receive it. */
export function isPrivateUseRedirect(uri: string): boolean {
  return !/^https?:/i.test(uri)
}

/** What a page names as the destination: host with port, or scheme and authority of an application. */
export function redirectHost(uri: string): string {
  const url = parseUrl(uri)
  if (url === undefined) return ''
  if (isWeb(url)) return url.host
  return url.host === '' ? url.protocol : `${url.protocol}//${url.host}`
}
