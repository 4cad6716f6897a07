/**
 * Scopes of ours that need scopes at the sign-in provider (flows.md section 3): what is asked there,
 * and what is left of ours when a person gives less. Ours never widen because theirs did (O10).
 */
import { backedScopes, upstreamScopes } from '../oauth/scope-table.ts'
import type { Provider } from '../providers/provider.ts'
import type { AuthorizationRequest } from '../records.ts'
import { findResource, type IssuerHouse } from './house.ts'
import type { SignedIn } from './sessions.ts'

/** Asked for besides the provider's own: by our scopes, and by rules on organizations (PRV-22). */
export function furtherScopes(
  house: IssuerHouse,
  request: AuthorizationRequest | undefined,
  provider: Provider,
): readonly string[] {
  const looks = house.memberships?.wanted(provider.id) !== undefined
  const forRules = looks ? (provider.membershipScopes ?? []) : []
  if (request === undefined) return forRules
  const table = findResource(house, request.resource)?.connector?.scopes
  return [...new Set([...forRules, ...upstreamScopes(table, request.scopes, provider.id)])]
}

/** The request with those of its scopes that lack nothing at the provider; perhaps with none. */
export function backedRequest(
  house: IssuerHouse,
  request: AuthorizationRequest,
  provider: Provider,
  granted: readonly string[],
): AuthorizationRequest {
  const table = findResource(house, request.resource)?.connector?.scopes
  const scopes = backedScopes(table, request.scopes, {
    provider: provider.id,
    granted,
    ...(provider.impliedScopes === undefined ? {} : { implied: provider.impliedScopes }),
  })
  return scopes.length === request.scopes.length ? request : { ...request, scopes }
}

/** May a code be issued from the stored sign-in, or has the person to give more at the provider first. */
export function isBacked(
  house: IssuerHouse,
  { provider: { provider }, upstreamScopes: granted }: SignedIn,
  request: AuthorizationRequest,
): boolean {
  return backedRequest(house, request, provider, granted) === request
}
