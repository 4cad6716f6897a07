/**
 * Ends a grant: state and mark in one batch before any answer, this node's view at once, then the
 * other nodes (flows.md section 11).
 */
import { ACCESS_TOKEN_LIFE_MAX_SECONDS } from '../oauth/access-token.ts'
import { canonicalResource } from '../oauth/urls.ts'
import type { Step } from '../ports.ts'
import type { Grant, Mark, MarkKind } from '../records.ts'
import { TENANT } from '../records.ts'
import { providerOfConnector } from '../vault/connection-rows.ts'
import { auditStep } from './audit.ts'
import { releaseSteps, surveyStep } from './duty-steps.ts'
import { type IssuerHouse, report } from './house.ts'
import { key } from './ids.ts'

/** A mark outlives every token it covers by this much. */
export const MARK_SLACK_MS = 300_000
/** How far the clock of another node may be behind this one. */
export const MARK_AHEAD_MS = 2_000
/** Longest life that any access token may have, and the slack. */
export const MARK_LIFE_MS = ACCESS_TOKEN_LIFE_MAX_SECONDS * 1000 + MARK_SLACK_MS

export function markExpiresAtMs(nowMs: number): number {
  // Not the configured life: tokens of before a change of it may live longer (I5).
  return nowMs + MARK_LIFE_MS
}

/** What ending something needs of the house. */
export type EndingHouse = Pick<
  IssuerHouse,
  'store' | 'runtime' | 'emit' | 'bus' | 'config' | 'revocation' | 'duties'
>

/** The audit row of an ending, written in the same commit (I12). */
export function endingAudit(house: EndingHouse, grant: Grant, cause: string, actor?: string): Step {
  const { userId, clientId } = grant
  const by = actor === undefined ? {} : { actor }
  return auditStep(house, 'grant.ended', { ...by, userId, clientId, detail: cause })
}

/** What the commit that ends a grant writes besides: its audit row, and what may follow upstream. */
export function endingSteps(
  house: EndingHouse,
  grant: Grant,
  cause: string,
  actor?: string,
): readonly Step[] {
  return [endingAudit(house, grant, cause, actor), ...releaseSteps(house.runtime, grant, cause)]
}

/**
 * @param actor Who ended it, where that is an API key.
 * @returns false when it was ended before.
 */
export async function endGrant(
  house: EndingHouse,
  grant: Grant,
  cause: string,
  actor?: string,
): Promise<boolean> {
  const nowMs = house.runtime.nowMs()
  const ended = await house.store.grants.end(
    key(grant.id),
    cause,
    nowMs,
    markExpiresAtMs(nowMs),
    endingSteps(house, grant, cause, actor),
  )
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
  house.duties?.poke()
  report(house, {
    type: 'grant.ended',
    reason: cause,
    grantId: grant.id,
    userId: grant.userId,
    clientId: grant.clientId,
  })
}

/** What one mark ends at once, however many grants and tokens it has. `connector`: its resource. */
export interface MarkedThing {
  readonly kind: Extract<MarkKind, 'user' | 'client' | 'connector' | 'tenant'>
  readonly id: string
}

/**
 * Ends every grant and token of a user, client, connector or tenant that exists by now: one mark, its
 * audit row and `also` in one commit, this node's view at once, then the other nodes (flows.md
 * section 11).
 *
 * The mark reaches `MARK_AHEAD_MS` into the future, so that a node whose clock is behind does not let
 * a token of now through. A sign-in in that time is refused once and then refreshed.
 *
 * @param besides Further marks of the same commit.
 * @throws {StoreError} `not-applied` also when a step of `also` was lost: nothing was written.
 */
export async function endByMark(
  house: EndingHouse,
  thing: MarkedThing,
  cause: string,
  also: readonly Step[] = [],
  besides: readonly Mark[] = [],
): Promise<Mark> {
  const nowMs = Math.trunc(house.runtime.nowMs())
  const issuedBeforeMs = nowMs + MARK_AHEAD_MS
  const expiresAtMs = markExpiresAtMs(issuedBeforeMs)
  const mark: Mark = { tenant: TENANT, ...thing, issuedBeforeMs, expiresAtMs, cause }
  const { kind, id } = thing
  const who = kind === 'user' ? { userId: id } : kind === 'client' ? { clientId: id } : {}
  const named = kind === 'connector' ? ` ${id}` : ''
  const audit = auditStep(house, 'grants.ended', { ...who, detail: `${kind}${named}: ${cause}` })
  const surveys = [
    surveyStep(house.runtime, cause, kind === 'user' ? { userId: id } : {}),
    ...(kind === 'connector' ? endConnections(house, id, cause) : []),
  ]
  await house.store.grants.revoke([mark, ...besides], [...also, ...surveys, audit])
  for (const made of [mark, ...besides]) announceMark(house, made)
  // Who ends a person ends their sign-ins next (signals.ts); the survey is for the case of a crash.
  if (kind !== 'user') house.duties?.poke()
  report(house, { type: 'grant.ended', reason: cause, scope: kind, ...who })
  return mark
}

/** The connections of the connector that has this resource end with its grants. */
function endConnections(
  { config, runtime }: EndingHouse,
  resource: string,
  cause: string,
): readonly Step[] {
  return config.connectors
    .filter(
      (connector) => (canonicalResource(connector.resource) ?? connector.resource) === resource,
    )
    .map(({ name }) => surveyStep(runtime, cause, { provider: providerOfConnector(name) }))
}

export function announceMark(
  house: Pick<EndingHouse, 'revocation' | 'runtime' | 'bus'>,
  mark: Mark,
): void {
  house.revocation.markLocal(mark)
  house.runtime.waitUntil(house.bus.publish())
}
