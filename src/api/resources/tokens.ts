/**
 * `tokens`: hands out the token of a product's person for the server of a connector. Only to keys of
 * the role `tokens`, only of external users, and of its own app where the key has one. From memory when
 * warm. Each hand-out that had to go to a server is told by the refresh it made.
 */
import { z } from 'zod'
import { ConfigError, OAuthError } from '../../errors.ts'
import { appOf, requireConnector } from '../reach.ts'
import { type ApiCaller, type ApiHouse, Problem, route } from '../route.ts'
import { App, ConnectionId, ConnectorName, Time, User } from '../shapes.ts'

const MIN_VALIDITY_MAX_SECONDS = 86_400

const ConnectionToken = z
  .object({
    accessToken: z.string().describe("For the origin of the connector's URL and for no other."),
    tokenType: z.enum(['Bearer', 'DPoP']),
    expiresAt: Time.optional(),
    scopes: z.array(z.string()),
    connectionId: ConnectionId,
  })
  .meta({ id: 'ConnectionToken' })

export function tokenRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'POST', path: '/tokens', operationId: 'getToken', repeatable: true },
      summary: 'A token of a person, fresh for as long as asked.',
      ...{ roles: ['tokens'], reach: ['app', 'connectors'] },
      body: z.object({
        app: App.optional().describe('Default: the one app.'),
        user: User.describe("The product's own id of the person."),
        connector: ConnectorName,
        minValiditySeconds: z
          .int()
          .min(0)
          .max(MIN_VALIDITY_MAX_SECONDS)
          .optional()
          .describe('Least life left; default 60.'),
      }),
      answers: { 200: { description: 'The token.', schema: ConnectionToken } },
      problems: [
        'ERR_CONNECTION_NEEDED',
        'ERR_CONNECTION_RECONNECT',
        'ERR_CONNECTOR_NOT_FOUND',
        'ERR_APP_UNKNOWN',
      ],
      async handle({ body: { app: named, user, connector, minValiditySeconds }, caller }) {
        requireConnector(caller, connector)
        const app = ownApp(house, caller, named)
        const options = {
          ...(app === undefined ? {} : { app }),
          ...(minValiditySeconds === undefined ? {} : { minValiditySeconds }),
        }
        const token = await house.tokenDoor
          .getToken(user, connector, options)
          .catch((error: unknown) => refuse(error, connector))
        return { status: 200, body: token }
      },
    }),
  ]
}

/**
 * A key without an app is the one product's, and names no other.
 *
 * @throws {Problem} 403
 */
function ownApp(
  { config: { apps = [] } }: ApiHouse,
  caller: ApiCaller,
  named: string | undefined,
): string | undefined {
  if (caller.app !== undefined || named === undefined) return appOf(caller, named)
  if (apps.length === 1 && apps[0]?.name === named) return named
  throw new Problem(403, 'ERR_API_APP', 'The key was made for no app.', { param: 'app' })
}

/** @throws {Problem} with what the product has to do next; anything else as it is. */
function refuse(error: unknown, connector: string): never {
  if (error instanceof ConfigError) {
    throw new Problem(
      404,
      'ERR_CONNECTOR_NOT_FOUND',
      'No connector of this name connects people.',
      {
        ...{ param: 'connector', cause: error },
      },
    )
  }
  if (error instanceof OAuthError && error.code !== undefined) {
    const isDead = error.code === 'ERR_CONNECTION_RECONNECT'
    const isMissing = error.code === 'ERR_CONNECTION_NEEDED'
    throw new Problem(error.status, error.code, `${error.description}.`, {
      ...(isDead
        ? { members: { connector, state: 'reconnect', cause: error.reason } }
        : isMissing
          ? { members: { connector, state: 'none' } }
          : {}),
    })
  }
  throw error
}
