/**
 * A client that an administrator registered by hand at the authorization server (CLI-01, the first
 * way). Nothing of it is stored here. Pure.
 */
import { chooseAuthMethod } from '../../oauth/client-request.ts'
import type { Binding } from '../lifecycle/binding.ts'
import type { DocumentHouse } from './client-document.ts'
import { connectCallbackUrl } from './connect-urls.ts'
import type { OurClient, Registered } from './registration.ts'
import { registrationProblem } from './registration-problems.ts'

/** `undefined`: none is configured. */
export function staticClient(house: DocumentHouse, binding: Binding): Registered | undefined {
  const { connector, server } = binding
  const client = connector.oauth?.client
  if (client === undefined) return undefined
  const { clientId, clientSecret } = client
  const wanted: readonly OurClient['authMethod'][] =
    clientSecret === undefined
      ? ['none', 'private_key_jwt']
      : ['client_secret_basic', 'client_secret_post']
  // What was written down counts: lists of servers are wrong now and then.
  const authMethod =
    client.authMethod ?? chooseAuthMethod(server.token_endpoint_auth_methods_supported, wanted)
  if (authMethod === undefined)
    return { ok: false, problem: registrationProblem(house, binding, 'static_method') }
  return {
    ok: true,
    client: {
      clientId,
      how: 'static',
      authMethod,
      ...(clientSecret === undefined ? {} : { secret: clientSecret.reveal() }),
      redirectUri: connectCallbackUrl(house, connector.name),
    },
  }
}
