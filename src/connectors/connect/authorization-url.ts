/**
 * The URL that a browser is sent to at a connector's authorization server: only https, or http on a
 * loopback host; built by the platform's URL, with each of our parameters exactly once (NET-08, O11).
 */
import { isLoopbackHost, parseUrl } from '../../oauth/urls.ts'

/** @returns `undefined` for an endpoint that no browser may be handed. */
export function authorizationUrl(endpoint: string, parameters: URLSearchParams): URL | undefined {
  const url = parseUrl(endpoint)
  if (url === undefined || url.username !== '' || url.password !== '') return undefined
  const isLoopback = url.protocol === 'http:' && isLoopbackHost(url.hostname)
  if (url.protocol !== 'https:' && !isLoopback) return undefined
  url.hash = ''
  // RFC 6749 section 3.1: a query of its own is kept; a name of ours is never sent twice.
  const query = url.search === '' ? parameters : new URLSearchParams(url.search)
  if (query !== parameters) for (const [name, value] of parameters) query.set(name, value)
  url.search = query.toString()
  return url
}
