/**
 * Connections for a program of our operator: a page of them, and one ended. The shape of api.md
 * section 3; never a token, never the id of a vault record.
 */
import type { AppConfig } from '../../config/apps.ts'
import type { Principal } from '../../middleware/guard.ts'
import type { Store } from '../../ports.ts'
import { TENANT, type Values } from '../../records.ts'
import {
  APP_USER_PREFIX,
  CONFIRMATION_TTL_MS,
  WAITING_KEPT_MS,
} from '../../vault/connection-rows.ts'
import { externalUserId } from '../embedded/app-space.ts'
import type { Connections, ConnectionView } from './connections.ts'

export interface Connection {
  readonly id: string
  /** The embedding product; absent: somebody who signed in here. */
  readonly app?: string
  /** The product's own id of a person, or our user id. */
  readonly user: string
  readonly connector: string
  /** `pending`: its tokens wait for the product's word, and nobody can use them. */
  readonly state: 'pending' | 'active' | 'reconnect' | 'ended'
  readonly cause?: string
  readonly scopes: readonly string[]
  readonly accountLabel?: string
  /** ISO 8601, as all times here. */
  readonly expiresAt?: string
  readonly connectedAt: string
  readonly refreshedAt?: string
}

/** After a disconnect: whether the tokens will be ended at the server, too. */
export interface EndedConnection extends Connection {
  readonly revocation: 'pending' | 'unsupported'
}

export interface ConnectionQuery {
  /** A string is the embedding product's own id; a `Principal` somebody who signed in here. */
  readonly user?: string | Pick<Principal, 'userId'>
  /** Of a person who is named by a string. Default: the one app. Without `user`: of every person there. */
  readonly app?: string
  readonly connector?: string
  /** Of these connectors only. Default all. */
  readonly connectors?: readonly string[]
  readonly state?: Exclude<Connection['state'], 'pending'>
  /** 1 to 200, default 50. */
  readonly limit?: number
  readonly cursor?: string
}

export interface Page<T> {
  readonly data: readonly T[]
  readonly nextCursor?: string
}

const CAUSE = 'disconnected_by_operator'
const LIMIT_DEFAULT = 50
const LIMIT_MAX = 200
/** Rows that one page reads at most while it looks for those that are asked for. */
const ROWS_MAX = 2_000

export interface ConnectionAdministration {
  /** @throws {RangeError} for a limit outside 1 to 200. @throws {StoreError} */
  list(query?: ConnectionQuery): Promise<Page<Connection>>
  /** One of them, also when it has ended or is pending. A list has no pending ones. @throws {StoreError} */
  find(id: string): Promise<Connection | undefined>
  /** @returns `undefined`: there is none that was confirmed, or it had ended before. @throws {StoreError} */
  disconnect(id: string): Promise<EndedConnection | undefined>
}

type Rooms = Pick<Connections, 'findById' | 'end'>

/** @param connections `undefined` where no connector has an authorization server: there are none. */
export function createConnectionAdministration(
  store: Store,
  connections: Rooms | undefined,
  apps: readonly AppConfig[] | undefined,
  nowMs: () => number,
): ConnectionAdministration {
  return {
    list: async (query = {}) => {
      const userId = userIdOf(apps, query)
      if (connections === undefined) return { data: [] }
      return listConnections(store, connections, { ...query, userId })
    },
    async find(id) {
      const view = await connections?.findById(id)
      return view === undefined ? findPending(store, id, nowMs()) : connectionOf(view)
    },
    async disconnect(id) {
      const ended = await connections?.end(id, CAUSE)
      const view = ended && (await connections?.findById(id))
      return ended && view && { ...connectionOf(view), revocation: ended.revocation }
    },
  }
}

async function findPending(
  store: Store,
  id: string,
  nowMs: number,
): Promise<Connection | undefined> {
  const index = { name: 'purpose', value: id }
  const [row] = await store.list('connecting', TENANT, index, { max: 1 })
  if (row === undefined) return undefined
  const { userId, connector, scopes, expiresAtMs } = row.value
  const untilMs = expiresAtMs - WAITING_KEPT_MS
  if (untilMs <= nowMs) return undefined
  const connectedAt = time(untilMs - CONFIRMATION_TTL_MS)
  return { id, ...ownerOf(userId), connector, state: 'pending', scopes, connectedAt }
}

async function listConnections(
  store: Store,
  connections: Rooms,
  query: ConnectionQuery & { readonly userId: string | undefined },
): Promise<Page<Connection>> {
  const { limit = LIMIT_DEFAULT, state, connector, userId } = query
  if (!(limit >= 1 && limit <= LIMIT_MAX)) throw new RangeError(`limit is 1 to ${LIMIT_MAX}`)
  const data: Connection[] = []
  let after = query.cursor
  for (let read = 0; read < ROWS_MAX; read += LIMIT_MAX) {
    const at = { max: LIMIT_MAX, ...(after === undefined ? {} : { after }) }
    const rows = await store.list('connection', TENANT, indexOf(userId, connector), at)
    for (const { key, value } of rows) {
      after = key.id
      if (!isAskedFor(query, value)) continue
      const view = await connections.findById(value.connectionId)
      if (view === undefined || (state !== undefined && view.state !== state)) continue
      data.push(connectionOf(view))
      if (data.length === limit) return { data, nextCursor: after }
    }
    if (rows.length < LIMIT_MAX) return { data }
  }
  return { data, ...(after === undefined ? {} : { nextCursor: after }) }
}

function isAskedFor(
  { user, app, connector, connectors }: ConnectionQuery,
  { userId, connector: name }: Values['connection'],
): boolean {
  if (connector !== undefined && name !== connector) return false
  if (connectors !== undefined && !connectors.includes(name)) return false
  return user !== undefined || app === undefined || ownerOf(userId).app === app
}

export function connectionOf(view: ConnectionView): Connection {
  const { cause, accountLabel, expiresAtMs, refreshedAtMs } = view
  return {
    id: view.connectionId,
    ...ownerOf(view.userId),
    connector: view.connector,
    state: view.state,
    ...(cause === undefined ? {} : { cause }),
    scopes: view.scopes,
    ...(accountLabel === undefined ? {} : { accountLabel }),
    ...(expiresAtMs === undefined ? {} : { expiresAt: time(expiresAtMs) }),
    connectedAt: time(view.connectedAtMs),
    ...(refreshedAtMs === undefined ? {} : { refreshedAt: time(refreshedAtMs) }),
  }
}

function ownerOf(userId: string): Pick<Connection, 'app' | 'user'> {
  if (!userId.startsWith(APP_USER_PREFIX)) return { user: userId }
  const rest = userId.slice(APP_USER_PREFIX.length)
  const end = rest.indexOf(':')
  return { app: rest.slice(0, end), user: rest.slice(end + 1) }
}

function indexOf(userId: string | undefined, connector: string | undefined) {
  if (userId !== undefined) return { name: 'userId', value: userId }
  return connector === undefined ? undefined : { name: 'name', value: connector }
}

function userIdOf(
  apps: readonly AppConfig[] | undefined,
  { user, app }: ConnectionQuery,
): string | undefined {
  return typeof user === 'string' ? externalUserId(apps, user, app) : user?.userId
}

function time(atMs: number): string {
  return new Date(atMs).toISOString()
}
