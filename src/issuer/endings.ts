/**
 * Ends a grant: state and mark in one batch before any answer, this node's view at once, then the
 * other nodes (flows.md section 11).
 */
import type { Grant, Mark } from '../records.ts'
import { TENANT } from '../records.ts'
import { auditStep } from './codes.ts'
import { type House, report } from './house.ts'
import { key } from './ids.ts'

/** A mark outlives every token it covers by this much. */
export const MARK_SLACK_MS = 300_000

export function markExpiresAtMs(house: House, nowMs: number): number {
  return nowMs + house.config.limits.accessTokenTtlSeconds * 1000 + MARK_SLACK_MS
}

/** @returns false when it was ended before. */
export async function endGrant(house: House, grant: Grant, cause: string): Promise<boolean> {
  const nowMs = house.runtime.nowMs()
  const audit = auditStep(house, 'grant.ended', {
    userId: grant.userId,
    clientId: grant.clientId,
    detail: cause,
  })
  const ended = await house.store.grants.end(
    key(grant.id),
    cause,
    nowMs,
    markExpiresAtMs(house, nowMs),
    [audit],
  )
  if (ended) announceEnd(house, grant, cause, nowMs)
  return ended
}

/** For an ending that the store has written already. */
export function announceEnd(house: House, grant: Grant, cause: string, nowMs: number): void {
  const expiresAtMs = markExpiresAtMs(house, nowMs)
  const mark: Mark = {
    tenant: TENANT,
    kind: 'grant',
    id: grant.id,
    issuedBeforeMs: expiresAtMs,
    expiresAtMs,
    cause,
  }
  announceMark(house, mark)
  report(house, {
    type: 'grant.ended',
    reason: cause,
    grantId: grant.id,
    userId: grant.userId,
    clientId: grant.clientId,
  })
}

export function announceMark(house: House, mark: Mark): void {
  house.revocation.markLocal(mark)
  house.runtime.waitUntil(house.bus.publish())
}
