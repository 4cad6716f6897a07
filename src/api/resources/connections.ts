/**
 * `connections`: accounts that people linked. What is seen is never a token. A key of one app sees that
 * app's only; a foreign id is as unknown as one that was never given.
 */
import { z } from 'zod'
import type {
  ConnectionQuery,
  Connection as ConnectionShown,
} from '../../connectors/connections/connection-administration.ts'
import { appOf, reaches, requireConnector } from '../reach.ts'
import {
  type ApiAnswer,
  type ApiCall,
  type ApiCaller,
  type ApiHouse,
  notFound,
  route,
} from '../route.ts'
import { pageAnswer } from '../rows.ts'
import {
  App,
  ConnectionId,
  ConnectorName,
  isOurUserId,
  pageOf,
  Time,
  Url,
  User,
} from '../shapes.ts'

const STATES = ['active', 'reconnect', 'ended'] as const

const Connection = z
  .object({
    id: ConnectionId,
    app: App.optional().describe('The embedding product; absent: somebody who signed in here.'),
    user: User.describe("The product's own id of the person, or `usr_...`."),
    connector: ConnectorName,
    state: z
      .enum(['pending', ...STATES])
      .describe("`pending`: waits for the product's word; never in a list."),
    cause: z.string().optional(),
    scopes: z.array(z.string()),
    accountLabel: z.string().optional(),
    expiresAt: Time.optional(),
    connectedAt: Time,
    refreshedAt: Time.optional(),
  })
  .meta({ id: 'Connection' })

const EndedConnection = Connection.extend({
  revocation: z.enum(['confirmed', 'pending', 'unsupported']),
}).meta({ id: 'EndedConnection' })

const Started = z.object({ url: Url, expiresAt: Time })
const Item = z.object({ id: ConnectionId })
const REACH = ['app', 'connectors'] as const

export function connectionRoutes(house: ApiHouse) {
  return [...rowRoutes(house), ...tripRoutes(house)]
}

function rowRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'GET', path: '/connections', operationId: 'connections.list', list: true },
      summary: 'Lists connections.',
      ...{ roles: ['read', 'connect', 'manage'], reach: REACH },
      query: z.object({
        user: User.optional().describe("The product's own id, or `usr_...` of who signed in here."),
        app: App.optional().describe('Default: the one app.'),
        connector: ConnectorName.optional(),
        state: z.enum(STATES).optional(),
      }),
      answers: { 200: { description: 'A page of connections.', schema: pageOf(Connection) } },
      problems: [],
      async handle({ query, caller, limit, after }) {
        const { data, nextCursor } = await house.operations.connections.list({
          ...ownersOf(caller, query),
          ...(query.connector === undefined ? {} : { connector: query.connector }),
          ...(caller.connectors === undefined ? {} : { connectors: caller.connectors }),
          ...(query.state === undefined ? {} : { state: query.state }),
          limit,
          ...(after === undefined ? {} : { cursor: after }),
        })
        return pageAnswer({ rows: data, next: nextCursor }, (connection) => connection)
      },
    }),
    route({
      ...{ method: 'GET', path: '/connections/{id}', operationId: 'connections.find' },
      summary: 'One connection.',
      ...{ roles: ['read', 'connect', 'manage'], reach: REACH },
      params: Item,
      answers: { 200: { description: 'The connection.', schema: Connection } },
      problems: [],
      handle: async (call) => ({ status: 200, body: await findConnection(house, call) }),
    }),
    route({
      ...{ method: 'DELETE', path: '/connections/{id}', operationId: 'connections.disconnect' },
      summary: 'Ends a connection here at once, then its tokens at the server.',
      ...{ roles: ['connect', 'manage'], reach: REACH },
      params: Item,
      answers: { 202: { description: 'It has ended here.', schema: EndedConnection } },
      problems: [],
      async handle(call) {
        const found = await findConnection(house, call)
        if (found.state === 'pending') return withdraw(house, found)
        const ended = await house.operations.connections.disconnect(found.id)
        if (ended === undefined) throw notFound('connection')
        return { status: 202, body: ended }
      },
    }),
  ]
}

/** How people of a product come to connections (flows.md section 7). */
function tripRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'POST', path: '/connections/start', operationId: 'connections.start' },
      summary: 'A link that takes a person of a product to the server, once.',
      ...{ roles: ['connect', 'manage'], reach: REACH },
      body: z.object({ app: App.optional(), user: User, connector: ConnectorName, returnUrl: Url }),
      answers: { 201: { description: 'Where their browser goes.', schema: Started } },
      problems: ['ERR_APP_UNKNOWN', 'ERR_APP_RETURN_URL', 'ERR_CONNECTOR_NOT_FOUND'],
      async handle({ body, caller }) {
        requireConnector(caller, body.connector)
        const started = await house.embedded.start({ ...body, ...appNamed(caller, body.app) })
        return { status: 201, body: started }
      },
    }),
    route({
      ...{ method: 'POST', path: '/connections/{id}/confirm', operationId: 'connections.confirm' },
      summary: 'Says that the person who came back is the one who left.',
      ...{ roles: ['connect', 'manage'], reach: REACH },
      params: Item,
      body: z.object({ app: App.optional(), user: User, confirmation: z.string().min(1).max(512) }),
      answers: { 200: { description: 'The connection, usable.', schema: Connection } },
      problems: ['ERR_APP_UNKNOWN', 'ERR_CONFIRMATION'],
      async handle({ params, body, caller }) {
        const { connectors } = caller
        const input = {
          ...{ ...body, ...appNamed(caller, body.app), id: params.id },
          ...(connectors === undefined ? {} : { connectors }),
        }
        return { status: 200, body: await house.embedded.confirm(input) }
      },
    }),
  ]
}

/** The key's own app where it has one and none is named. */
function appNamed(caller: ApiCaller, named: string | undefined): { readonly app?: string } {
  const app = appOf(caller, named)
  return app === undefined ? {} : { app }
}

/** Confirmed or given up meanwhile: as unknown as one that has ended. */
async function withdraw(house: ApiHouse, pending: ConnectionShown): Promise<ApiAnswer> {
  const cause = 'disconnected_by_operator'
  const given = await house.embedded.withdraw(pending.id, cause)
  if (given === undefined) throw notFound('connection')
  return { status: 202, body: { ...pending, state: 'ended', cause, ...given } }
}

async function findConnection(
  { operations }: ApiHouse,
  { params, caller }: Pick<ApiCall<{ readonly id: string }>, 'params' | 'caller'>,
) {
  const found = await operations.connections.find(params.id)
  if (found === undefined || !reaches(caller, found)) throw notFound('connection')
  return found
}

/** Whose connections: of a person of an app, of somebody who signed in here, or of an app as a whole. */
function ownersOf(
  caller: ApiCaller,
  query: {
    readonly user?: string | undefined
    readonly app?: string | undefined
    readonly connector?: string | undefined
  },
): Pick<ConnectionQuery, 'user' | 'app'> {
  if (query.connector !== undefined) requireConnector(caller, query.connector)
  const app = appOf(caller, query.app)
  const { user } = query
  if (user !== undefined && app === undefined && isOurUserId(user))
    return { user: { userId: user } }
  return {
    ...(user === undefined ? {} : { user }),
    ...(app === undefined ? {} : { app }),
  }
}
