/** Every route of the API, in the order of its documents. A resource reads its house when it is asked. */
import { z } from 'zod'
import { createDocument } from './openapi.ts'
import { apiKeyRoutes } from './resources/api-keys.ts'
import { auditRoutes } from './resources/audit.ts'
import { cacheRoutes } from './resources/caches.ts'
import { clientRoutes } from './resources/clients.ts'
import { connectSessionRoutes } from './resources/connect-sessions.ts'
import { connectionRoutes } from './resources/connections.ts'
import { connectorRoutes } from './resources/connectors.ts'
import { grantRoutes } from './resources/grants.ts'
import { keyRoutes } from './resources/keys.ts'
import { operationRoutes } from './resources/operations.ts'
import { revocationRoutes } from './resources/revocations.ts'
import { sessionRoutes } from './resources/sessions.ts'
import { tokenRoutes } from './resources/tokens.ts'
import { userRoutes } from './resources/users.ts'
import { webhookRoutes } from './resources/webhooks.ts'
import { type ApiHouse, type ApiRoute, type ResourceRoutes, route } from './route.ts'

const RESOURCES: readonly ResourceRoutes[] = [
  connectorRoutes,
  connectionRoutes,
  connectSessionRoutes,
  tokenRoutes,
  userRoutes,
  grantRoutes,
  clientRoutes,
  sessionRoutes,
  revocationRoutes,
  operationRoutes,
  cacheRoutes,
  auditRoutes,
  webhookRoutes,
  apiKeyRoutes,
  keyRoutes,
]

export function apiRoutes(house: ApiHouse): readonly ApiRoute[] {
  const routes: ApiRoute[] = RESOURCES.flatMap((resource) => [...resource(house)])
  routes.push(documentRoute(() => routes))
  return routes
}

function documentRoute(routes: () => readonly ApiRoute[]): ApiRoute {
  let document: unknown
  return route({
    ...{ method: 'GET', path: '/openapi.json', operationId: 'openapi' },
    summary: 'This document.',
    roles: [],
    answers: {
      200: { description: 'OpenAPI 3.1.', schema: z.record(z.string(), z.unknown()) },
    },
    problems: [],
    async handle() {
      document ??= createDocument(routes())
      return { status: 200, body: document }
    },
  })
}
