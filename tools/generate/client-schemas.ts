/** Writes `src/client/schemas.ts`: the named shapes of the REST API as types. */
import { schemaLines } from './client.ts'

export const path = 'src/client/schemas.ts'

export function generate(): string {
  return [
    '/**',
    ' * Shapes of the REST API. Generated from the table of routes (`src/api/table.ts`); `npm run fix`',
    ' * writes it again.',
    ' */',
    ...schemaLines(),
  ].join('\n')
}
