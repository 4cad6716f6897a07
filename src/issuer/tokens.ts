/**
 * `POST /token`: authenticates the client, then hands the request to its grant type. Each grant type
 * has a file of its own; all of them sign in `access-tokens.ts`. Nothing here asks anybody outside
 * (TOK-24).
 */
import { OAuthError } from '../errors.ts'
import type { Client } from '../oauth/client.ts'
import {
  parseTokenRequest,
  type TokenAnswer,
  type TokenRequest,
  tokenResponse,
} from '../oauth/token-request.ts'
import { jsonAnswer } from './answers.ts'
import { authenticated, readFormRequest } from './client-authentication.ts'
import type { IssuerHouse } from './house.ts'
import { createRate, type Rate } from './rate.ts'
import { redeem } from './redeem.ts'
import { refresh } from './refresh.ts'

/** Failures of one client and grant (or one client and network) in a minute. */
const FAILURES_PER_MINUTE_MAX = 60

export function createTokenEndpoint(house: IssuerHouse): (http: Request) => Promise<Response> {
  const failures = createRate(house.runtime, FAILURES_PER_MINUTE_MAX)
  return async (http) => {
    const request = parseTokenRequest(await readFormRequest(http))
    const client = await authenticated(house, http, request.client, failures)
    if (!client.grantTypes.includes(request.grantType)) {
      throw new OAuthError(
        'unauthorized_client',
        'this client is not registered for this grant type',
      )
    }
    const answer = await answerGrant(house, client, request, failures)
    house.clients.markUsed(client)
    return jsonAnswer(tokenResponse(answer))
  }
}

function answerGrant(
  house: IssuerHouse,
  client: Client,
  request: TokenRequest,
  failures: Rate,
): Promise<TokenAnswer> {
  switch (request.grantType) {
    case 'authorization_code':
      return redeem(house, client, request)
    case 'refresh_token':
      return refresh(house, client, request, failures)
  }
}
