/** `migrations/d1/*.sql` from the tables of `src/adapters/schema.ts`, for `wrangler d1 migrations apply`. */
import { migrationFile, wranglerName } from '../../src/adapters/d1.ts'
import { MIGRATIONS } from '../../src/adapters/schema.ts'
import { createNodeRuntime } from '../../src/node/runtime.ts'

/** One document for each migration. */
export function generateAll(): { readonly path: string; readonly text: string }[] {
  const runtime = createNodeRuntime()
  return MIGRATIONS.map((migration) => ({
    path: `migrations/d1/${wranglerName(migration)}`,
    text: migrationFile(migration, runtime),
  }))
}
