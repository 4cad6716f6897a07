/**
 * Off to a connector's authorization server: the request, and the cookie that holds all that the
 * answer is held to. Nothing is written and, but for servers that demand pushed requests, nobody is
 * asked (CLI-06, AZ-22). For people who signed in here and for people of embedding products alike.
 */
import { Redirect } from '../../issuer/answers.ts'
import type { CookieJar } from '../../issuer/cookies.ts'
import { report } from '../../issuer/house.ts'
import { s256 } from '../../oauth/pkce.ts'
import { formatScope } from '../../oauth/scope.ts'
import type { ConnectorProblem, EmbeddedTrip } from '../../records.ts'
import type { OurClient } from '../client/registration.ts'
import type { Binding } from '../lifecycle/binding.ts'
import { clientRefused } from '../lifecycle/lifecycle.ts'
import { authorizationUrl } from './authorization-url.ts'
import {
  ATTEMPT_TTL_MS,
  type Attempt,
  isAttemptSpent,
  keepAttempt,
  secretsOf,
} from './connect-attempt.ts'
import type { ConnectHouse } from './connect-rooms.ts'
import { resourceOf } from './connect-scopes.ts'

const UNSAFE_ENDPOINT: ConnectorProblem = {
  party: 'authorization-server',
  code: 'endpoint_unsafe',
  text: 'its sign-in page has an address that no browser may be sent to',
  requirement: 'NET-08',
}
const TOO_MANY_SCOPES: ConnectorProblem = {
  party: 'here',
  code: 'scopes_too_many',
  text: 'it would be asked for more scopes than one trip can carry; an operator names the needed ones in requestedScopes',
  requirement: 'CLI-08',
}
const PUSH_REFUSED: ConnectorProblem = {
  party: 'authorization-server',
  code: 'push_refused',
  text: 'it wants to be told of each sign-in ahead, and refused ours',
  requirement: 'RFC 9126 section 2.3',
}
const PUSH_UNANSWERED: ConnectorProblem = {
  party: 'authorization-server',
  code: 'push_unanswered',
  text: 'it wants to be told of each sign-in ahead, and did not answer in time',
  requirement: 'RFC 9126 section 2.2',
}

export interface Departure {
  /** What `state` and verifier follow from, for a page that may be answered twice. Absent: new ones. */
  readonly id?: string
  readonly binding: Binding
  readonly client: OurClient
  readonly userId: string
  readonly flowId: string
  readonly scopes: readonly string[]
  /** Client whose call asked for it. */
  readonly askedBy?: string
  readonly embedded?: EmbeddedTrip
}

/** The redirect, `answered` when the trip came to its end before, or what stands in its way. */
export async function leave(
  house: ConnectHouse,
  jar: CookieJar,
  departure: Departure,
): Promise<Redirect | 'answered' | ConnectorProblem> {
  const { id, binding, userId, flowId, askedBy, embedded } = departure
  const secrets = secretsOf(house, id)
  if (id !== undefined && (await isAttemptSpent(house, secrets.stateDigest))) return 'answered'
  const cookies = keepAttempt(house, jar, secrets.stateDigest, attemptOf(house, departure))
  if (cookies === undefined) return TOO_MANY_SCOPES
  const challenge = s256(secrets.verifier, house.runtime)
  const url =
    binding.server.require_pushed_authorization_requests === true
      ? await pushed(house, departure, requestOf(departure, secrets.state, challenge))
      : destinationOf(departure, secrets.state, challenge)
  if (typeof url !== 'string') return url
  report(house, {
    type: 'connection.started',
    flowId,
    userId,
    connector: binding.connector.name,
    ...(askedBy === undefined ? {} : { clientId: askedBy }),
    ...(embedded === undefined ? {} : { app: embedded.app }),
  })
  // The form cookie stays for pages that are open in other tabs (W7).
  return new Redirect(url, cookies)
}

/** All that the answer is held to (CLI-06). */
function attemptOf(
  { runtime }: ConnectHouse,
  { binding, client, userId, askedBy, embedded, scopes, flowId }: Departure,
): Attempt {
  const { server, issuer } = binding
  return {
    connector: binding.connector.name,
    userId,
    issuer,
    tokenEndpoint: server.token_endpoint,
    resource: resourceOf(binding),
    clientId: client.clientId,
    redirectUri: client.redirectUri,
    scopes,
    issRequired: server.authorization_response_iss_parameter_supported === true,
    ...(askedBy === undefined ? {} : { askedBy }),
    ...(embedded === undefined ? {} : { embedded }),
    flowId,
    expiresAtMs: Math.trunc(runtime.nowMs()) + ATTEMPT_TTL_MS,
  }
}

/** RFC 6749 section 4.1.1, RFC 7636, RFC 8707. */
function requestOf(
  { binding, client, scopes }: Departure,
  state: string,
  challenge: string,
): URLSearchParams {
  // Pair by pair: from an object it takes five times as long.
  const parameters = new URLSearchParams()
  parameters.append('response_type', 'code')
  parameters.append('client_id', client.clientId)
  parameters.append('redirect_uri', client.redirectUri)
  parameters.append('state', state)
  parameters.append('code_challenge', challenge)
  parameters.append('code_challenge_method', 'S256')
  if (scopes.length > 0) parameters.append('scope', formatScope(scopes))
  // OpenID Connect Core section 11: without it the scope is ignored.
  if (scopes.includes('offline_access')) parameters.append('prompt', 'consent')
  if (binding.resource !== undefined) parameters.append('resource', binding.resource)
  return parameters
}

interface Beginning {
  readonly clientId: string
  readonly redirectUri: string
  readonly scopes: readonly string[]
  readonly href: string
}

/** All of the request that is the same for everybody, written once. */
const BEGINNINGS = new WeakMap<Binding, Beginning>()

function destinationOf(
  departure: Departure,
  state: string,
  challenge: string,
): string | ConnectorProblem {
  const beginning = beginningOf(departure)
  // Both are letters, digits, `.`, `-` and `_`: nothing to escape.
  return beginning === undefined
    ? UNSAFE_ENDPOINT
    : `${beginning}&state=${state}&code_challenge=${challenge}`
}

function beginningOf(departure: Departure): string | undefined {
  const { binding, client, scopes } = departure
  const { clientId, redirectUri } = client
  const known = BEGINNINGS.get(binding)
  const isSame =
    known?.clientId === clientId && known.redirectUri === redirectUri && known.scopes === scopes
  if (isSame) return known.href
  const request = requestOf(departure, '', '')
  const url = authorizationUrl(binding.server.authorization_endpoint, request)
  if (url === undefined) return undefined
  for (const name of ['state', 'code_challenge']) url.searchParams.delete(name)
  BEGINNINGS.set(binding, { clientId, redirectUri, scopes, href: url.href })
  return url.href
}

/** The one exchange of a server that demands it (RFC 9126 section 5). */
async function pushed(
  house: ConnectHouse,
  { binding, client }: Departure,
  parameters: URLSearchParams,
): Promise<string | ConnectorProblem> {
  const { tokenCalls } = house.connecting
  const answer = await tokenCalls.push(binding, client, parameters)
  if (answer.outcome === 'yes') {
    const { requestUri } = answer
    const short = new URLSearchParams({ client_id: client.clientId, request_uri: requestUri })
    return authorizationUrl(binding.server.authorization_endpoint, short)?.href ?? UNSAFE_ENDPOINT
  }
  if (answer.outcome === 'no' && answer.error === 'invalid_client')
    await clientRefused(house.connecting, binding, client)
  return answer.outcome === 'no' ? PUSH_REFUSED : PUSH_UNANSWERED
}
