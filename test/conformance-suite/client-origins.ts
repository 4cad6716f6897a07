/**
 * Loaded into the official suite's own process before it starts (`--import`): writes the origins its
 * servers listen on into an environment variable that the client program inherits.
 *
 * They are plain http on ports of the moment. An operator names such origins in the configuration
 * file; this is where ours reads them, without one request that the suite would count as the client's.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { Server } from 'node:net'

export const ORIGINS_VARIABLE = 'SUITE_ORIGINS'

subscribe('tracing:net.server.listen:asyncEnd', (message) => {
  const address = (message as { server: Server }).server.address()
  if (address === null || typeof address === 'string') return
  const known = process.env[ORIGINS_VARIABLE]
  const origin = `http://localhost:${address.port}`
  process.env[ORIGINS_VARIABLE] = known === undefined ? origin : `${known},${origin}`
})
