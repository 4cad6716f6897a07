/**
 * Grants that are born active, with no browser and no code: client credentials and identity
 * assertions. One per access token, so that revoking is the same one mark as for a sign-in, and
 * nothing is left to sweep once the token has ended.
 */
import { OAuthError } from '../errors.ts'
import { grantScopes } from '../oauth/scope.ts'
import { canonicalResource } from '../oauth/urls.ts'
import { type Grant, TENANT } from '../records.ts'
import { findResource, type IssuerHouse, type Resource } from './house.ts'
import { createId } from './ids.ts'

type Born = Pick<Grant, 'userId' | 'userKey' | 'clientId' | 'resource' | 'scopes' | 'jkt'>

/** Ends with its one access token; there is no vault record behind it. */
export function activeGrant(house: IssuerHouse, born: Born, authTimeSeconds = 0): Grant {
  const { runtime, config } = house
  const nowMs = runtime.nowMs()
  const endsAtMs = nowMs + config.limits.accessTokenTtlSeconds * 1000
  return {
    tenant: TENANT,
    id: createId(runtime, 'grt'),
    ...born,
    vaultId: '',
    state: 'active',
    redirectUri: '',
    codeChallenge: '',
    codeDigest: '',
    codeExpiresAtMs: nowMs,
    refreshGeneration: 0,
    authTimeSeconds,
    createdAtMs: nowMs,
    absoluteExpiresAtMs: endsAtMs,
    expiresAtMs: endsAtMs,
    version: 1,
  }
}

/**
 * The one resource that the request names, of those that its client may use.
 *
 * @throws {OAuthError} `invalid_target`
 */
export function requireOneResource(
  house: IssuerHouse,
  allowed: readonly Resource[],
  requested: readonly string[],
): Resource {
  const names = [...new Set(requested.map((text) => canonicalResource(text)))]
  const [name] = names
  if (name === undefined || names.length > 1) {
    throw target('name exactly one resource of this server', 'resource_count')
  }
  if (findResource(house, name) === undefined) {
    throw target('no such resource here', 'resource_unknown')
  }
  const found = allowed.find((entry) => entry.resource === name)
  if (found !== undefined) return found
  throw target('this client may not use this resource', 'resource_not_allowed')
}

/**
 * What was asked for, of what the resource offers and `allowed` lists (absent: all).
 *
 * @throws {OAuthError} `invalid_scope` when nothing is left.
 */
export function grantableScopes(
  house: IssuerHouse,
  resource: Resource,
  requested: string | undefined,
  allowed?: readonly string[],
): readonly string[] {
  const offered = resource.scopes.filter((scope) => allowed?.includes(scope) !== false)
  const scopes = grantScopes({
    requested,
    resourceScopes: offered,
    defaultScopes: offered,
    aliases: house.config.scopeAliases,
  })
  if (scopes.length > 0) return scopes
  throw new OAuthError('invalid_scope', 'no scope is left that may be granted', {
    reason: 'scope_none_left',
  })
}

function target(description: string, reason: string): OAuthError {
  return new OAuthError('invalid_target', description, { reason })
}
