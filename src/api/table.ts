/** Every route of the API, in the order of its documents. A resource reads its house when it is asked. */
import { cacheRoutes } from './resources/caches.ts'
import { connectSessionRoutes } from './resources/connect-sessions.ts'
import { connectionRoutes } from './resources/connections.ts'
import { tokenRoutes } from './resources/tokens.ts'
import type { ApiHouse, ApiRoute, ResourceRoutes } from './route.ts'

const RESOURCES: readonly ResourceRoutes[] = [
  connectionRoutes,
  connectSessionRoutes,
  tokenRoutes,
  cacheRoutes,
]

export function apiRoutes(house: ApiHouse): readonly ApiRoute[] {
  return RESOURCES.flatMap((routes) => routes(house))
}
