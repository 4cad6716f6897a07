/**
 * Remembered consent per (user, client, redirect URI, resource): what CON-02, CON-10 and CON-12 ask.
 * A loopback redirect URI is remembered without its port, which changes at every start of the client.
 */
import type { Client } from '../oauth/client.ts'
import { isLoopbackRedirect } from '../oauth/redirect-uri.ts'
import type { Step, Versioned } from '../ports.ts'
import { type AuthorizationRequest, TENANT, type Values } from '../records.ts'
import type { IssuerHouse } from './house.ts'
import { key } from './ids.ts'

/** Approvals of one user that are looked through for rule (b) of AZ-15. */
const APPROVALS_OF_USER_MAX = 500

export function approvalKey(
  house: IssuerHouse,
  userId: string,
  request: AuthorizationRequest,
): { tenant: string; id: string } {
  const parts = [
    userId,
    request.clientId,
    withoutLoopbackPort(request.redirectUri),
    request.resource,
  ]
  return key(house.runtime.sha256(JSON.stringify(parts)))
}

function withoutLoopbackPort(redirectUri: string): string {
  return isLoopbackRedirect(redirectUri)
    ? redirectUri.replace(/^(http:\/\/(?:\[[^\]]*\]|[^/:?#]*)):\d+/i, '$1')
    : redirectUri
}

export async function findApproval(
  house: IssuerHouse,
  userId: string,
  request: AuthorizationRequest,
): Promise<Versioned<'approval'> | undefined> {
  const found = await house.store.get('approval', approvalKey(house, userId, request))
  if (found === undefined || found.value.expiresAtMs <= house.runtime.nowMs()) return undefined
  return found.value.approvedAtMs < releasedAtMs(house, request) ? undefined : found
}

/** A connector that the API has made another one meanwhile, or told more of people, is asked about anew. */
function releasedAtMs({ config }: IssuerHouse, { resource }: AuthorizationRequest): number {
  const connector = config.connectors.find((one) => one.resource === resource)
  return connector?.releasedAtMs ?? Number.NEGATIVE_INFINITY
}

/** Rule (b) of flows.md section 4: this user approved this client at this redirect URI, for any resource. */
export async function hasApprovedRedirect(
  house: IssuerHouse,
  userId: string,
  client: Client,
  redirectUri: string,
): Promise<boolean> {
  const rows = await house.store.list(
    'approval',
    TENANT,
    { name: 'userId', value: userId },
    { max: APPROVALS_OF_USER_MAX },
  )
  const wanted = withoutLoopbackPort(redirectUri)
  return rows.some(
    ({ value }) =>
      value.clientId === client.clientId &&
      withoutLoopbackPort(value.redirectUri) === wanted &&
      value.expiresAtMs > house.runtime.nowMs(),
  )
}

/**
 * The step of a commit that remembers this consent, absent when nothing is to be remembered; and the
 * scopes that were allowed before, however long ago.
 */
export async function approvalStep(
  house: IssuerHouse,
  userId: string,
  request: AuthorizationRequest,
  client: Client,
): Promise<{ readonly step?: Step; readonly before?: readonly string[] }> {
  const ttlMs = house.config.limits.approvalTtlSeconds * 1000
  if (ttlMs === 0) return {}
  const at = approvalKey(house, userId, request)
  const nowMs = house.runtime.nowMs()
  const value: Values['approval'] = {
    userId,
    clientId: request.clientId,
    redirectUri: request.redirectUri,
    resource: request.resource,
    scopes: request.scopes,
    clientFingerprint: request.clientFingerprint ?? client.fingerprint,
    approvedAtMs: nowMs,
    expiresAtMs: nowMs + ttlMs,
  }
  const before = await house.store.get('approval', at)
  return before === undefined
    ? { step: { verb: 'create', kind: 'approval', key: at, value } }
    : {
        step: { verb: 'put', kind: 'approval', key: at, ifVersion: before.version, value },
        before: before.value.scopes,
      }
}
