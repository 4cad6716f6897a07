/**
 * What a product's backend asks of embedded Connect: sessions, trips, confirmations. The other side of
 * `embedded-door.ts`, loaded at its first use.
 */
import { createId } from '../../issuer/ids.ts'
import { TENANT } from '../../records.ts'
import type { ConnectHouse } from '../connect/connect-rooms.ts'
import { giveBackDue, giveUp } from '../connect/connect-waiting.ts'
import { connectionOf } from '../connections/connection-administration.ts'
import { requireHouse, requireOpenToApps } from './app-connectors.ts'
import { appUserId, requireApp } from './app-space.ts'
import { confirmPending } from './confirm.ts'
import { createSession, requireReturnUrl } from './connect-sessions.ts'
import type {
  ConnectSessionInput,
  EmbeddedDoor,
  StartedConnection,
  StartInput,
} from './embedded-door.ts'
import { handleUrl } from './handles.ts'

const START_TTL_MS = 600_000

export function openEmbedded(house: ConnectHouse | undefined): EmbeddedDoor {
  return {
    createConnectSession: async (input: ConnectSessionInput) =>
      createSession(requireHouse(house), input),
    start: async (input: StartInput) => start(requireHouse(house), input),
    async confirm(input: Parameters<EmbeddedDoor['confirm']>[0]) {
      const own = requireHouse(house)
      const app = requireApp(own.config.apps, input.app)
      const userId = appUserId(input.user, app.name)
      return connectionOf(await confirmPending(own, { ...input, app, userId }))
    },
    async withdraw(id: string, cause: string) {
      if (house === undefined) return undefined
      const index = { name: 'purpose', value: id }
      const [row] = await house.store.list('connecting', TENANT, index, { max: 1 })
      if (row === undefined || !(await giveUp(house, row, cause))) return undefined
      const server = house.connecting.lifecycle.binding(row.value.connector)?.server
      return { revocation: server?.revocation_endpoint === undefined ? 'unsupported' : 'pending' }
    },
    async runDue() {
      if (house !== undefined) await giveBackDue(house)
    },
  }
}

async function start(house: ConnectHouse, input: StartInput): Promise<StartedConnection> {
  const { runtime, config } = house
  const app = requireApp(config.apps, input.app)
  const userId = appUserId(input.user, app.name)
  requireReturnUrl(app, input.returnUrl)
  const { connector } = requireOpenToApps(house, input.connector)
  const expiresAtMs = Math.trunc(runtime.nowMs()) + START_TTL_MS
  const url = handleUrl(house, {
    kind: 'start',
    app: app.name,
    attempt: createId(runtime, 'con'),
    returnUrl: input.returnUrl,
    connector: connector.name,
    userId,
    expiresAtMs,
  })
  return { url, expiresAt: new Date(expiresAtMs).toISOString() }
}
