/** `connect-sessions`: what the element in a product's page works with, made by the product's backend. */
import { z } from 'zod'
import { appOf, requireConnector } from '../reach.ts'
import { type ApiHouse, route } from '../route.ts'
import { App, ConnectorName, Time, Url, User } from '../shapes.ts'

const CONNECTORS_MAX = 100

const ConnectSession = z
  .object({
    token: z.string().describe("For the element's `fetchSession`; shown once."),
    expiresAt: Time,
  })
  .meta({ id: 'ConnectSession' })

export function connectSessionRoutes(house: ApiHouse) {
  return [
    route({
      ...{ method: 'POST', path: '/connect-sessions', operationId: 'createConnectSession' },
      summary: 'A session for `<postern-connect>`, for 15 minutes, one person and one origin.',
      ...{ roles: ['connect', 'manage'], reach: ['app', 'connectors'] },
      body: z.object({
        app: App.optional().describe('Default: the one app.'),
        user: User,
        connectors: z.array(ConnectorName).min(1).max(CONNECTORS_MAX).optional(),
        origin: z
          .string()
          .min(1)
          .max(512)
          .meta({ examples: ['https://app.example.com'] }),
        returnUrl: Url.optional(),
      }),
      answers: { 201: { description: 'The session.', schema: ConnectSession } },
      problems: [
        'ERR_APP_UNKNOWN',
        'ERR_APP_ORIGIN',
        'ERR_APP_RETURN_URL',
        'ERR_CONNECTOR_NOT_FOUND',
      ],
      async handle({ body, caller }) {
        const { app: named, connectors = caller.connectors, returnUrl, ...rest } = body
        for (const connector of connectors ?? []) requireConnector(caller, connector)
        const app = appOf(caller, named)
        const session = await house.embedded.createConnectSession({
          ...rest,
          ...(app === undefined ? {} : { app }),
          ...(connectors === undefined ? {} : { connectors }),
          ...(returnUrl === undefined ? {} : { returnUrl }),
        })
        return { status: 201, body: session }
      },
    }),
  ]
}
