/** Every route of the API, in the order of its documents. */
import { connectionRoutes } from './resources/connections.ts'
import type { ApiRoute, ResourceRoutes } from './route.ts'

const RESOURCES: readonly ResourceRoutes[] = [connectionRoutes]

export function apiRoutes(house: Parameters<ResourceRoutes>[0]): readonly ApiRoute[] {
  return RESOURCES.flatMap((routes) => routes(house))
}
