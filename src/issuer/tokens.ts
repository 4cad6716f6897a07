/**
 * `POST /token`: authenticates the client, then hands the request to its grant type. Each grant type
 * has a file of its own; all of them sign in `access-tokens.ts`. What `enable` does not name is
 * `unsupported_grant_type`, as if it did not exist.
 */
import { OAuthError } from '../errors.ts'
import type { Client } from '../oauth/client.ts'
import {
  JWT_BEARER,
  OPTIONAL_GRANT_TYPES,
  parseTokenRequest,
  TOKEN_EXCHANGE,
  type TokenAnswer,
  type TokenRequest,
  tokenResponse,
} from '../oauth/token-request.ts'
import { jsonAnswer } from './answers.ts'
import { grantAssertion } from './assertions.ts'
import { authenticated, readFormRequest } from './client-authentication.ts'
import { grantClientCredentials } from './client-credentials.ts'
import { nonceHeader, type ProvedKey, proveKey } from './dpop.ts'
import { exchangeToken } from './exchange.ts'
import type { IssuerHouse } from './house.ts'
import { createRate, type Rate } from './rate.ts'
import { redeem } from './redeem.ts'
import { refresh } from './refresh.ts'

/** Failures of one client and grant (or one client and network) in a minute. */
const FAILURES_PER_MINUTE_MAX = 60

export function createTokenEndpoint(house: IssuerHouse): (http: Request) => Promise<Response> {
  const failures = createRate(house.runtime, FAILURES_PER_MINUTE_MAX)
  const enabled = enabledGrantTypes(house)
  return async (http) => {
    const request = parseTokenRequest(await readFormRequest(http), enabled)
    const client = await authenticated(house, http, request.client, failures)
    if (!mayUseGrantType(client, request)) {
      throw new OAuthError(
        'unauthorized_client',
        'this client is not registered for this grant type',
      )
    }
    const proved = proveKey(house, http, house.paths.token)
    const answer = await answerGrant(house, client, request, { failures, proved })
    house.clients.markUsed(client)
    return jsonAnswer(tokenResponse(answer), 200, nonceHeader(house, proved))
  }
}

/** Optional grant types that this house serves (EXT-01, AS-06). */
export function enabledGrantTypes({ config }: Pick<IssuerHouse, 'config'>): ReadonlySet<string> {
  const named = Object.entries(OPTIONAL_GRANT_TYPES)
  return new Set(named.filter(([, word]) => config.enable.includes(word)).map(([name]) => name))
}

/** Token exchange is allowed by a policy of its own, which says for what (EXT-07). */
function mayUseGrantType(client: Client, { grantType }: TokenRequest): boolean {
  return grantType === TOKEN_EXCHANGE || client.grantTypes.includes(grantType)
}

function answerGrant(
  house: IssuerHouse,
  client: Client,
  request: TokenRequest,
  { failures, proved }: { readonly failures: Rate; readonly proved: ProvedKey | undefined },
): Promise<TokenAnswer> {
  switch (request.grantType) {
    case 'authorization_code':
      return redeem(house, client, request, proved)
    case 'refresh_token':
      return refresh(house, client, request, { failures, proved })
    case 'client_credentials':
      return grantClientCredentials(house, client, request, proved)
    case TOKEN_EXCHANGE:
      return exchangeToken(house, client, request, proved)
    case JWT_BEARER:
      return grantAssertion(house, client, request, proved)
  }
}
