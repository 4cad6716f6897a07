/**
 * The word that makes a pending connection usable: the confirmation that the browser brought, said by
 * the product for its own user. App and user must be those of the attempt, so that what a victim gave
 * is never an attacker's (O1). Every refusal looks the same; the reason is in the log.
 * @see flows.md section 7, steps 6 to 8
 */
import type { AppConfig } from '../../config/apps.ts'
import { OAuthError } from '../../errors.ts'
import { auditStep } from '../../issuer/audit.ts'
import { report } from '../../issuer/house.ts'
import { key } from '../../issuer/ids.ts'
import type { ConnectHouse } from '../connect/connect-rooms.ts'
import { inputOf } from '../connect/connect-trip.ts'
import {
  type ConnectingRow,
  giveUp,
  leftMs,
  openRow,
  wordSteps,
} from '../connect/connect-waiting.ts'
import type { ConnectionView } from '../connections/connections.ts'
import { findOpenToApps } from './app-connectors.ts'

const CONFIRMATION_PATTERN = /^[A-Za-z0-9_-]{43}$/

export interface Confirming {
  readonly app: AppConfig
  readonly userId: string
  readonly confirmation: string
  /** Of the connection, where the caller names it. */
  readonly id?: string
  /** Those that the caller may confirm; absent: all. */
  readonly connectors?: readonly string[]
}

/** @throws {OAuthError} 409 `ERR_CONFIRMATION`. @throws {StoreError} */
export async function confirmPending(
  house: ConnectHouse,
  { app, userId, confirmation, id: named, connectors }: Confirming,
): Promise<ConnectionView> {
  const { runtime, store, connecting } = house
  const id = runtime.sha256(confirmation)
  const row = CONFIRMATION_PATTERN.test(confirmation)
    ? await store.get('connecting', key(id))
    : undefined
  const about = { app: app.name, userId }
  const wrong = whatIsWrong(house, row?.value, { app, userId, named, connectors })
  if (wrong !== undefined || row === undefined) throw refused(house, about, wrong ?? 'unknown')
  const attempt = row.value
  const answer = openRow(house, row)
  const { connector, flowId } = attempt
  // The tokens are for the server that gave them, and for nobody who came in its place (CLI-04).
  const binding = connecting.lifecycle.binding(connector)
  if (answer === undefined || (binding !== undefined && binding.issuer !== attempt.issuer)) {
    const cause = answer === undefined ? 'unreadable' : 'issuer_changed'
    await giveUp(house, row, cause)
    throw refused(house, about, cause)
  }
  // One commit with the connection: when it is lost, the same word may be said again in its time.
  const view = await connecting.connections.connectWaiting(inputOf(attempt, answer), {
    steps: [
      ...wordSteps(house, row),
      auditStep(house, 'connection.confirmed', { userId, connector, detail: 'confirmed' }),
    ],
    isOpen: async () => (await store.get('connecting', row.key)) !== undefined,
  })
  if (view === undefined) throw refused(house, about, 'used')
  const { connectionId } = view
  report(house, { type: 'connection.confirmed', ...about, connector, connectionId, flowId })
  return view
}

function whatIsWrong(
  house: ConnectHouse,
  waiting: ConnectingRow['value'] | undefined,
  asked: Pick<Confirming, 'app' | 'userId'> & {
    readonly named: string | undefined
    readonly connectors: readonly string[] | undefined
  },
): string | undefined {
  const { app, userId, named, connectors } = asked
  const trip = waiting?.embedded
  if (waiting === undefined || trip === undefined || waiting.waitsFor !== 'confirmation')
    return 'unknown'
  if (trip.app !== app.name) return 'other_app'
  if (waiting.userId !== userId) return 'other_user'
  if (named !== undefined && named !== trip.attempt) return 'other_attempt'
  if (connectors?.includes(waiting.connector) === false) return 'other_connector'
  if (leftMs(house, waiting) === 0) return 'expired'
  return findOpenToApps(house, waiting.connector) === undefined ? 'connector_not_open' : undefined
}

function refused(
  house: ConnectHouse,
  about: { readonly app: string; readonly userId: string },
  reason: string,
): OAuthError {
  report(house, {
    type: 'connection.refused',
    reason: `confirmation_${reason}`,
    ...about,
    status: 409,
  })
  return new OAuthError('invalid_request', 'this confirmation cannot be used', {
    status: 409,
    reason: `confirmation_${reason}`,
    code: 'ERR_CONFIRMATION',
  })
}
