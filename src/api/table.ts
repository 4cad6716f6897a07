/** Every route of the API, in the order of its documents. A resource reads its house when it is asked. */
import { z } from 'zod'
import { createDocument } from './openapi.ts'
import { cacheRoutes } from './resources/caches.ts'
import { connectSessionRoutes } from './resources/connect-sessions.ts'
import { connectionRoutes } from './resources/connections.ts'
import { connectorRoutes } from './resources/connectors.ts'
import { tokenRoutes } from './resources/tokens.ts'
import { type ApiHouse, type ApiRoute, type ResourceRoutes, route } from './route.ts'

const RESOURCES: readonly ResourceRoutes[] = [
  connectorRoutes,
  connectionRoutes,
  connectSessionRoutes,
  tokenRoutes,
  cacheRoutes,
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
