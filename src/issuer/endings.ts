/**
 * Ends a grant: state and mark in one batch before any answer, this node's view at once, then the
 * other nodes (flows.md section 11).
 */
import { ACCESS_TOKEN_LIFE_MAX_SECONDS } from '../oauth/access-token.ts'
import type { Step } from '../ports.ts'
import type { Grant, Mark } from '../records.ts'
import { TENANT } from '../records.ts'
import { auditStep } from './codes.ts'
import { type IssuerHouse, report } from './house.ts'
import { key } from './ids.ts'

/** A mark outlives every token it covers by this much. */
export const MARK_SLACK_MS = 300_000
/** Longest life that any access token may have, and the slack. */
export const MARK_LIFE_MS = ACCESS_TOKEN_LIFE_MAX_SECONDS * 1000 + MARK_SLACK_MS

export function markExpiresAtMs(nowMs: number): number {
  // Not the configured life: tokens of before a change of it may live longer (I5).
  return nowMs + MARK_LIFE_MS
}

/** What ending something needs of the house. */
export type EndingHouse = Pick<
  IssuerHouse,
  'store' | 'runtime' | 'emit' | 'bus' | 'config' | 'revocation'
>

/** The audit row of an ending, written in the same commit (I12). */
export function endingAudit(house: EndingHouse, grant: Grant, cause: string): Step {
  const { userId, clientId } = grant
  return auditStep(house, 'grant.ended', { userId, clientId, detail: cause })
}

/** @returns false when it was ended before. */
export async function endGrant(house: EndingHouse, grant: Grant, cause: string): Promise<boolean> {
  const nowMs = house.runtime.nowMs()
  const audit = endingAudit(house, grant, cause)
  const ended = await house.store.grants.end(key(grant.id), cause, nowMs, markExpiresAtMs(nowMs), [
    audit,
  ])
  if (ended) announceEnd(house, grant, cause, nowMs)
  return ended
}

/** For an ending that the store has written already. */
export function announceEnd(house: EndingHouse, grant: Grant, cause: string, nowMs: number): void {
  const expiresAtMs = markExpiresAtMs(nowMs)
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

export function announceMark(house: EndingHouse, mark: Mark): void {
  house.revocation.markLocal(mark)
  house.runtime.waitUntil(house.bus.publish())
}
