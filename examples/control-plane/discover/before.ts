/**
 * The control plane as it was: a plain fetch of the authorization server's metadata on each click. Kept
 * to compare. It waits as long as the other side takes, asks again each time, believes any issuer, knows
 * one location of several, and when the server is dead the button is dead.
 */
import { env as bindings } from 'cloudflare:workers'
import type { Environment } from '../product/environment.ts'
import { createControlPlane, type OAuthEndpoints } from './oauth-client.ts'

async function discoverOAuthEndpoints(mcpServerUrl: string): Promise<OAuthEndpoints> {
  const url = new URL('/.well-known/oauth-authorization-server', mcpServerUrl)
  const response = await fetch(url)
  if (!response.ok) throw new Error(`discovery failed: ${response.status}`)
  return (await response.json()) as OAuthEndpoints
}

const env = bindings as unknown as Environment
const product = createControlPlane(env, discoverOAuthEndpoints)

export default { fetch: (request: Request) => product.fetch(request) }
