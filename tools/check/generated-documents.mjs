/** Fails when a generated document differs from its source. */
import { staleDocuments } from '../generated.mjs'

const stale = await staleDocuments()
for (const path of stale) console.error(`${path} differs from its source. Run: npm run fix`)
process.exitCode = stale.length === 0 ? 0 : 1
