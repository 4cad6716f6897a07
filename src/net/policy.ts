/**
 * Which URLs an outbound request may name at all, before any name is resolved. Pure.
 *
 * https everywhere; http, other ports and private addresses only for an exact origin of the
 * configuration file. `denyHosts` beats everything, `allowHosts` binds all other origins.
 * @see requirements NET-01, NET-02
 */
import { isPublicAddress, literalAddress } from './address.ts'

export interface EgressPolicy {
  /** Exact origins that the configuration file names, as `URL.origin` writes them. */
  readonly approvedOrigins: ReadonlySet<string>
  /** If not empty, the only hosts. An entry is a host name, or `*.example.com` for all below it. */
  readonly allowHosts: readonly string[]
  readonly denyHosts: readonly string[]
}

export type Verdict =
  | { readonly allowed: true; readonly url: URL; readonly addresses: 'public' | 'approved' }
  | {
      readonly allowed: false
      readonly code: 'ERR_UPSTREAM_URL' | 'ERR_UPSTREAM_ADDRESS'
      readonly origin: string
      readonly reason: string
    }

export function judgeUrl(input: string | URL, policy: EgressPolicy): Verdict {
  const url = typeof input === 'string' ? URL.parse(input) : new URL(input)
  if (url === null) return refuse('invalid', 'not-a-url')
  const approved = policy.approvedOrigins.has(url.origin)
  const reason = fault(url, approved, policy)
  if (reason !== undefined) return refuse(url.origin, reason)
  const literal = literalAddress(url.hostname)
  if (!approved && literal !== undefined && !isPublicAddress(literal)) {
    return {
      allowed: false,
      code: 'ERR_UPSTREAM_ADDRESS',
      origin: url.origin,
      reason: 'special-address',
    }
  }
  return { allowed: true, url, addresses: approved ? 'approved' : 'public' }
}

function fault(url: URL, approved: boolean, policy: EgressPolicy): string | undefined {
  const host = withoutRootDot(url.hostname)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && approved)) return 'scheme'
  if (url.username !== '' || url.password !== '') return 'userinfo'
  if (url.hash !== '') return 'fragment'
  if (url.port !== '' && !approved) return 'port'
  if (host === '') return 'host'
  if (policy.denyHosts.some((pattern) => matches(host, pattern))) return 'denied-host'
  const listed =
    policy.allowHosts.length === 0 || policy.allowHosts.some((pattern) => matches(host, pattern))
  return listed || approved ? undefined : 'host-not-allowed'
}

function matches(host: string, pattern: string): boolean {
  const name = withoutRootDot(pattern.toLowerCase())
  return name.startsWith('*.') ? host.endsWith(name.slice(1)) : host === name
}

/** `example.com.` is the same host as `example.com`. */
function withoutRootDot(host: string): string {
  return host.endsWith('.') ? host.slice(0, -1) : host
}

function refuse(origin: string, reason: string): Verdict {
  return { allowed: false, code: 'ERR_UPSTREAM_URL', origin, reason }
}
