/**
 * The client credentials grant at `POST /token`: a client that acts for itself. Only static clients
 * with a credential and this grant type in the configuration; the audience is one resource, named in
 * the request; no refresh token (TOK-26, EXT-04).
 *
 * `allow` names people; a client is admitted by its own `resources`.
 */
import { OAuthError } from '../errors.ts'
import { type Client, targetsOf } from '../oauth/client.ts'
import { machineSubject } from '../oauth/machine.ts'
import type { ClientCredentialsRequest, TokenAnswer } from '../oauth/token-request.ts'
import { about, issueAccessToken } from './access-tokens.ts'
import { auditStep } from './audit.ts'
import type { ProvedKey } from './dpop.ts'
import { type IssuerHouse, report } from './house.ts'
import { activeGrant, grantableScopes, requireOneResource } from './standing-grants.ts'

/**
 * @throws {OAuthError} `unauthorized_client` for any but a static client with a credential;
 * `invalid_scope`, `invalid_target`.
 */
export async function grantClientCredentials(
  house: IssuerHouse,
  client: Client,
  request: ClientCredentialsRequest,
  proved: ProvedKey | undefined,
): Promise<TokenAnswer> {
  // A registration is not an identity: whoever asks gets one (EXT-04).
  if (client.kind !== 'static' || client.authMethod === 'none') throw unauthorizedClient()
  const allowed = targetsOf(client, house.resources)
  const resource = requireOneResource(house, allowed, request.resources)
  const scopes = grantableScopes(house, resource, request.scope)
  await proved?.spend()
  const { store, runtime } = house
  const jkt = proved?.jkt
  const userId = machineSubject(client.clientId)
  const grant = activeGrant(house, {
    userId,
    userKey: '',
    clientId: client.clientId,
    resource: resource.resource,
    scopes,
    ...(jkt === undefined ? {} : { jkt }),
  })
  await store.commit([
    { verb: 'createGrant', grant },
    auditStep(house, 'token.issued', {
      userId,
      clientId: client.clientId,
      detail: request.grantType,
    }),
  ])
  report(house, { type: 'token.issued', reason: request.grantType, ...about(grant) })
  const issuedAtSeconds = Math.floor(runtime.nowMs() / 1000)
  return { ...issueAccessToken(house, grant, { scopes, issuedAtSeconds, jkt }), scopes }
}

function unauthorizedClient(): OAuthError {
  return new OAuthError('unauthorized_client', 'this client is not registered for this grant type')
}
