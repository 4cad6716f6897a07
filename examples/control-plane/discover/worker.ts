/**
 * The same control plane with one import more: `createDiscover` in the place of its own fetch. One
 * binding, which it had already; no other concept.
 */
import { env as bindings } from 'cloudflare:workers'
import { createDiscover, kvCache } from 'postern/workers'
import type { Environment } from '../product/environment.ts'
import { createControlPlane } from './oauth-client.ts'

const env = bindings as unknown as Environment
const discover = createDiscover({
  cache: kvCache(env.KV),
  // Local runs only; a real server is public and https, and needs no approval.
  approvedOrigins: env.LOCAL_SERVER === undefined ? [] : [env.LOCAL_SERVER],
})
const product = createControlPlane(
  env,
  async (mcpServerUrl) => (await discover(mcpServerUrl)).authorizationServer,
)

export default { fetch: (request: Request) => product.fetch(request) }
