/**
 * Which scopes a trip to a connector's authorization server asks for: the challenge's, else all of the
 * protected resource's, else none; and everything that was asked for before, so that a step-up takes
 * nothing away (CLI-08, CLI-09). Bounded; what the person gives is stored, never what was asked (O10).
 */
import type { ConnectSubject } from '../../issuer/ticket.ts'
import { isScopeName, SCOPE_MAX_CHARS, SCOPES_MAX } from '../../oauth/scope.ts'
import type { ConnectionView } from '../connections/connections.ts'
import type { Binding } from '../lifecycle/binding.ts'

const OFFLINE_ACCESS = 'offline_access'

export interface ScopeSources {
  /** Of the configuration; takes the place of what the server says. */
  readonly configured?: readonly string[]
  /** Of a challenge of the server, at discovery or at a call. */
  readonly challenged?: readonly string[]
  /** `scopes_supported` of the protected resource. */
  readonly resourceScopes?: readonly string[]
  /** `scopes_supported` of the authorization server: only what it lists is asked for besides. */
  readonly serverScopes?: unknown
  /** Asked for by the person's connection so far. */
  readonly before?: readonly string[]
  /** Missing in a call (RFC 6750 section 3.1). */
  readonly missing?: readonly string[]
}

/** Empty: the parameter is left out. */
export function requestedScopes(sources: ScopeSources): readonly string[] {
  const { configured, challenged, resourceScopes, before = [], missing = [] } = sources
  const usual = configured ?? challenged ?? resourceScopes ?? []
  // What is missing comes first: it must not fall out where there are too many.
  const union = [...new Set([...missing, ...usual, ...before])].filter(isScopeName)
  const isListed = listed(sources.serverScopes, OFFLINE_ACCESS)
  const isConfigured = configured?.includes(OFFLINE_ACCESS) === true
  const kept = union.filter((scope) => scope !== OFFLINE_ACCESS || isListed || isConfigured)
  const named = bounded(kept.filter((scope) => scope !== OFFLINE_ACCESS))
  // Alone it would narrow a server that names no scopes to nothing.
  const isExtra = isListed && configured === undefined && named.length > 0
  return isExtra || kept.includes(OFFLINE_ACCESS) ? [...named, OFFLINE_ACCESS] : named
}

function listed(scopes: unknown, name: string): boolean {
  return Array.isArray(scopes) && scopes.includes(name)
}

function bounded(scopes: readonly string[]): readonly string[] {
  const kept: string[] = []
  let length = OFFLINE_ACCESS.length
  for (const scope of scopes.slice(0, SCOPES_MAX - 1)) {
    length += scope.length + 1
    if (length > SCOPE_MAX_CHARS) break
    kept.push(scope)
  }
  return kept
}

/** For one visit: what the server says, what the connection has, what the link asks for. */
export function scopesFor(
  { connector, challengeScopes, scopesSupported, server }: Binding,
  existing: Pick<ConnectionView, 'requestedScopes'> | undefined,
  { scopes: missing }: Pick<ConnectSubject, 'scopes'>,
): readonly string[] {
  const configured = connector.oauth?.requestedScopes
  return requestedScopes({
    ...(configured === undefined ? {} : { configured }),
    ...(challengeScopes === undefined ? {} : { challenged: challengeScopes }),
    ...(scopesSupported === undefined ? {} : { resourceScopes: scopesSupported }),
    serverScopes: server.scopes_supported,
    ...(existing === undefined ? {} : { before: existing.requestedScopes }),
    missing,
  })
}

/** What the tokens are for, also where the parameter is left out. */
export function resourceOf({ resource, connector }: Binding): string {
  return resource ?? connector.url.href
}
