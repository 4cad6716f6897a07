/**
 * `POST /par` (RFC 9126): a client hands over its authorization request before the browser comes,
 * authenticated as at the token endpoint. Refusals are JSON errors; nothing is ever redirected here.
 */
import { OAuthError } from '../errors.ts'
import { type Client, matchRedirectUri } from '../oauth/client.ts'
import type { Parameters } from '../oauth/parameters.ts'
import { parseForm, readPresentedClient } from '../oauth/token-request.ts'
import type { AuthorizationRequest } from '../records.ts'
import { jsonAnswer } from './answers.ts'
import { judgeRequest } from './authorize.ts'
import { authenticated, readFormRequest, refuseTooMany } from './client-authentication.ts'
import { nonceHeader, proveKey } from './dpop.ts'
import type { IssuerHouse } from './house.ts'
import { keepPushed, PUSHED_TTL_SECONDS } from './pushed.ts'
import { createRate, networkOf, type Rate } from './rate.ts'

const FAILURES_PER_MINUTE_MAX = 60
/** Of one public client from one network: each one is a row for 90 s. */
const PUSHES_PER_MINUTE_MAX = 120

export function createPushedEndpoint(house: IssuerHouse): (http: Request) => Promise<Response> {
  const failures = createRate(house.runtime, FAILURES_PER_MINUTE_MAX)
  const pushes = createRate(house.runtime, PUSHES_PER_MINUTE_MAX)
  return async (http) => {
    const form = await readFormRequest(http)
    const parameters = parseForm(form)
    const presented = readPresentedClient(parameters, form.authorization)
    const client = await authenticated(house, http, presented, failures)
    const request = requireRequest(house, client, parameters)
    const proved = proveKey(house, http, house.paths.par)
    const { dpopJkt = proved?.jkt } = request
    // RFC 9449 section 10.1: the header and the parameter must name the same key.
    if (proved !== undefined && dpopJkt !== proved.jkt) {
      throw new OAuthError('invalid_dpop_proof', 'dpop_jkt names another key', {
        reason: 'dpop_jkt_differs',
      })
    }
    if (client.authMethod === 'none') limitPushes(house, http, client, pushes)
    await proved?.spend()
    const requestUri = await keepPushed(house, {
      ...request,
      ...(dpopJkt === undefined ? {} : { dpopJkt }),
    })
    const body = { request_uri: requestUri, expires_in: PUSHED_TTL_SECONDS }
    return jsonAnswer(body, 201, nonceHeader(house, proved))
  }
}

/** Anybody can be a public client; hosted ones share an address, so it is not the address alone. */
function limitPushes(house: IssuerHouse, http: Request, client: Client, pushes: Rate): void {
  const address = house.clientAddress?.(http)
  if (address === undefined) return
  refuseTooMany(pushes.take(`${client.clientId} from ${networkOf(address)}`))
}

/** As `/authorize` judges it, with every refusal told to the client itself. */
function requireRequest(
  house: IssuerHouse,
  client: Client,
  parameters: Parameters,
): AuthorizationRequest {
  if (parameters.has('request_uri')) {
    throw new OAuthError('invalid_request', 'request_uri cannot be pushed', {
      reason: 'pushed_request_uri',
    })
  }
  const match = matchRedirectUri(client, parameters.get('redirect_uri'))
  if (!match.matched) {
    throw new OAuthError('invalid_request', 'redirect_uri is not one of this client', {
      reason: `redirect_uri_${match.reason}`,
    })
  }
  const request = judgeRequest(house, parameters, client, match.redirectUri)
  if (request instanceof OAuthError) throw request
  return request
}
