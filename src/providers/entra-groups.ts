/**
 * Groups of people who are in more of them than a token holds: the claim then says so, and Microsoft
 * Graph is asked once.
 * @see https://learn.microsoft.com/security/zero-trust/develop/configure-tokens-group-claims-app-roles
 * @see https://learn.microsoft.com/graph/api/user-getmemberobjects
 */

import { readObject } from '../net/json-answer.ts'
import { isObject, type JsonObject } from '../oauth/claims.ts'
import { statusError } from './answers.ts'
import { GROUPS_MAX, stringsOf } from './oidc-product.ts'
import type { ProviderContext } from './provider.ts'

/** Graph answers at most 11 000 ids, each of 39 bytes. */
const MEMBERS_MAX_BYTES = 524_288

/** `_claim_names.groups` of the code flow, `hasgroups` of others. The address in it is never followed. */
export function hasOverage(claims: JsonObject): boolean {
  const names = claims['_claim_names']
  const hasGroups = claims['hasgroups']
  return (isObject(names) && 'groups' in names) || hasGroups === true || hasGroups === 'true'
}

/**
 * Security groups and directory roles, nested ones included.
 *
 * @throws {UpstreamError} when Graph does not say: a person whose groups are unknown has not none.
 */
export async function graphGroups(
  context: ProviderContext,
  asked: { readonly graphUrl: string; readonly accessToken: string },
): Promise<readonly string[]> {
  const response = await context.egress.exchange({
    operation: 'userinfo',
    method: 'POST',
    url: `${asked.graphUrl}/v1.0/me/getMemberObjects`,
    headers: {
      authorization: `Bearer ${asked.accessToken}`,
      'content-type': 'application/json',
    },
    body: '{"securityEnabledOnly":true}',
    timeoutMs: context.timeoutMs,
    maxBytes: MEMBERS_MAX_BYTES,
  })
  const value = response.status === 200 ? readObject(response)?.['value'] : undefined
  if (!Array.isArray(value)) throw statusError(response, 'userinfo', context.runtime.nowMs())
  return stringsOf(value, GROUPS_MAX)
}
