/**
 * Scopes: what a token may do at the resource that its audience names.
 *
 * Unknown names are dropped, never granted; names that clients send out of habit
 * (`offline_access`, `openid`, ...) change nothing. `flows.md` section 3, RFC 6749 section 3.3.
 */
import { OAuthError } from '../errors.ts'

export const SCOPE_MAX_CHARS = 4_096
export const SCOPES_MAX = 64
/** The one scope of a resource that defines none: everything at this endpoint. */
export const MCP_SCOPE = 'mcp'

/** Accepted and dropped: no ID token is issued, and a refresh token does not depend on them. */
export const HABITUAL_SCOPES: ReadonlySet<string> = new Set([
  'offline_access',
  'openid',
  'profile',
  'email',
])

/**
 * Splits a scope value, each name once, in the order given.
 *
 * @throws {OAuthError} `invalid_scope` outside the grammar of RFC 6749 section 3.3 or over the limits.
 */
export function parseScope(text: string | undefined): string[] {
  if (text === undefined) return []
  if (text.length > SCOPE_MAX_CHARS || !/^[\x20-\x21\x23-\x5b\x5d-\x7e]*$/.test(text)) {
    throw new OAuthError('invalid_scope', 'scope is malformed', { reason: 'scope_malformed' })
  }
  const names = [...new Set(text.split(' '))].filter((name) => name !== '')
  if (names.length > SCOPES_MAX) {
    throw new OAuthError('invalid_scope', 'too many scopes', { reason: 'scopes_too_many' })
  }
  return names
}

/** One scope token of RFC 6749 section 3.3. */
export function isScopeName(text: string): boolean {
  return /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(text)
}

export function formatScope(scopes: readonly string[]): string {
  return scopes.join(' ')
}

export interface ScopeQuestion {
  readonly requested: string | undefined
  readonly resourceScopes: readonly string[]
  readonly defaultScopes: readonly string[]
  /** What migrated clients send -> our name. */
  readonly aliases: Readonly<Record<string, string>>
}

/**
 * The scopes of a grant: the known part of what was asked for, else the resource's defaults.
 *
 * @throws {OAuthError} `invalid_scope` when something was asked for and none of it exists here.
 */
export function grantScopes(question: ScopeQuestion): string[] {
  const asked = meaningful(question.requested, question.resourceScopes, question.aliases)
  if (asked.length === 0) return [...question.defaultScopes]
  const known = asked.filter((name) => question.resourceScopes.includes(name))
  if (known.length > 0) return known
  throw new OAuthError('invalid_scope', 'none of the requested scopes exists at this resource', {
    reason: 'scope_unknown',
  })
}

/**
 * The scopes of a refreshed access token: all of the grant's, or the part asked for (TOK-11).
 *
 * @throws {OAuthError} `invalid_scope` for anything beyond the grant.
 */
export function narrowScopes(
  requested: string | undefined,
  granted: readonly string[],
  aliases: Readonly<Record<string, string>>,
): string[] {
  const asked = meaningful(requested, granted, aliases)
  if (asked.length === 0) return [...granted]
  if (asked.every((name) => granted.includes(name))) return asked
  throw new OAuthError('invalid_scope', 'scope goes beyond the grant', { reason: 'scope_widened' })
}

/** Our names for what was asked, without the habitual ones. A name of the resource beats an alias. */
function meaningful(
  requested: string | undefined,
  known: readonly string[],
  aliases: Readonly<Record<string, string>>,
): string[] {
  const names = parseScope(requested).map((name) =>
    !known.includes(name) && Object.hasOwn(aliases, name) ? (aliases[name] ?? name) : name,
  )
  return [...new Set(names)].filter((name) => known.includes(name) || !HABITUAL_SCOPES.has(name))
}
