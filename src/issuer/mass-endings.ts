/**
 * What an operator ends at once: everything of a user, client, connector or tenant, or everything that
 * began before a time. One commit has the mark, its audit row and the duties that end accounts at
 * connectors there too; who asked can add the row that says it is done.
 */
import { canonicalResource } from '../oauth/urls.ts'
import type { Step } from '../ports.ts'
import { type Mark, TENANT } from '../records.ts'
import { EVERY_CONNECTION } from '../vault/connection-rows.ts'
import { auditStep } from './audit.ts'
import { surveyStep } from './duty-steps.ts'
import {
  announceMark,
  type EndingHouse,
  endByMark,
  type MarkedThing,
  markExpiresAtMs,
} from './endings.ts'
import { report } from './house.ts'
import { removeRowsOf } from './signals.ts'

/** The thing, or the time that everything must have begun before. */
export type Selected = MarkedThing | { readonly kind: 'issuedBefore'; readonly beforeMs: number }

/**
 * Grants, tokens and accounts at connectors end here at once, and at their servers by duties.
 *
 * @param also Written in the same commit.
 * @throws {StoreError} `not-applied` also when a step of `also` was lost: nothing was written.
 */
export async function endSelected(
  house: EndingHouse,
  selected: Selected,
  cause: string,
  also: readonly Step[] = [],
): Promise<void> {
  if (selected.kind === 'issuedBefore') return endOlder(house, selected.beforeMs, cause, also)
  const { runtime } = house
  const { kind, id } = selected
  if (kind === 'user') {
    // First: a browser must not grant anew what ends now. Doing it twice is harmless.
    await removeRowsOf(house, 'session', id)
    await removeRowsOf(house, 'origin', id)
  }
  const whose = kind === 'user' ? { userId: id } : {}
  const accounts =
    kind === 'user' || kind === 'tenant'
      ? [surveyStep(runtime, cause, { ...whose, provider: EVERY_CONNECTION })]
      : []
  await endByMark(house, selected, cause, [...also, ...accounts])
  house.duties?.poke()
}

/**
 * Everything of this house that began before a time: grants made, tokens issued and accounts connected by
 * then. What began later stays, also of the same person.
 */
async function endOlder(
  house: EndingHouse,
  beforeMs: number,
  cause: string,
  also: readonly Step[],
): Promise<void> {
  const { runtime, store } = house
  const nowMs = Math.trunc(runtime.nowMs())
  const issuedBeforeMs = Math.min(Math.trunc(beforeMs), nowMs)
  const mark: Mark = {
    tenant: TENANT,
    kind: 'tenant',
    id: TENANT,
    issuedBeforeMs,
    expiresAtMs: markExpiresAtMs(nowMs),
    cause,
  }
  const detail = `tenant before ${new Date(issuedBeforeMs).toISOString()}: ${cause}`
  await store.grants.revoke(mark, [
    ...also,
    surveyStep(runtime, cause),
    surveyStep(runtime, cause, { provider: EVERY_CONNECTION, madeByMs: issuedBeforeMs }),
    auditStep(house, 'grants.ended', { detail }),
  ])
  announceMark(house, mark)
  house.duties?.poke()
  report(house, { type: 'grant.ended', reason: cause, scope: 'tenant' })
}

/** What a connector's name stands for, or the URL of a resource, also of one that is not there any more. */
export function connectorThing(
  connectors: readonly { readonly name: string; readonly resource: string }[],
  named: string,
): MarkedThing | undefined {
  const connector = connectors.find(({ name }) => name === named)
  const id = canonicalResource(connector?.resource ?? named)
  return id === undefined ? undefined : { kind: 'connector', id }
}
