/** Writes `docs/openapi.json` from the table of routes: what `GET /api/v1/openapi.json` answers. */
import { createDocument } from '../../src/api/openapi.ts'
import type { ApiHouse } from '../../src/api/route.ts'
import { apiRoutes } from '../../src/api/table.ts'

export const path = 'docs/openapi.json'

/** No handler runs. */
export const NO_HOUSE = {} as ApiHouse

export function generate(): string {
  return `${JSON.stringify(createDocument(apiRoutes(NO_HOUSE)), null, 2)}\n`
}
