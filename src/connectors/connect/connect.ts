/**
 * `GET` and `POST /connect/{connector}`: shows what linking an account means, then sends the person to
 * the server's authorization server. Warm it asks nobody, also when the server is dead; cold it waits
 * for one discovery and says in words what is wrong, on which side (flows.md section 6).
 * @see requirements CLI-06 to CLI-09, CLI-12, CLI-13, NET-08
 */
import { redirectAnswer } from '../../issuer/answers.ts'
import { signInAnswer } from '../../issuer/consent-page.ts'
import { type CookieJar, readCookies } from '../../issuer/cookies.ts'
import { report } from '../../issuer/house.ts'
import { createFlowId } from '../../issuer/ids.ts'
import { findSignedIn, type SignedIn, touchSession } from '../../issuer/sessions.ts'
import type { ConnectSubject, Ticket } from '../../issuer/ticket.ts'
import { s256 } from '../../oauth/pkce.ts'
import { formatScope } from '../../oauth/scope.ts'
import type { ConnectorProblem } from '../../records.ts'
import type { OurClient } from '../client/registration.ts'
import type { Binding } from '../lifecycle/binding.ts'
import { clientRefused } from '../lifecycle/lifecycle.ts'
import { authorizationUrl } from './authorization-url.ts'
import {
  ATTEMPT_TTL_MS,
  type Attempt,
  isAttemptSpent,
  keepAttempt,
  type Secrets,
  secretsOf,
} from './connect-attempt.ts'
import { readAnswer } from './connect-form.ts'
import { connectPageAnswer, type Shown } from './connect-page.ts'
import {
  answeredPage,
  noConnectorPage,
  otherAccountPage,
  staleLinkPage,
  unavailablePage,
} from './connect-refusals.ts'
import { type ConnectHouse, findOpen, readyFor } from './connect-rooms.ts'
import { resourceOf, scopesFor } from './connect-scopes.ts'
import { openLink } from './link.ts'

/** Two sign-ins follow each other: people should know which is which. */
const SIGN_IN_LEAD = 'First here, so that we know who you are. Then at the server, to connect it.'
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

/** The page, after the sign-in that it needs. */
export async function showConnect(
  house: ConnectHouse,
  http: Request,
  name: string,
): Promise<Response> {
  const jar = readCookies(http, house)
  const signedIn = await findSignedIn(house, jar)
  if (signedIn === undefined) return signInAnswer(house, jar, ownPath(http), SIGN_IN_LEAD)
  touchSession(house, signedIn)
  const subject = readSubject(house, http, name, signedIn)
  if ('refuse' in subject) return subject.refuse(house, name)
  const entry = findOpen(house, signedIn.user.value, name)
  if (entry === undefined) return noConnectorPage(house, name)
  return showFor(house, jar, { signedIn, entry, subject, flowId: createFlowId(house.runtime) })
}

const DECISIONS = ['connect', 'retry'] as const

/** The answer to the page's form: off to the server, or one more look at what was wrong. */
export async function startConnect(
  house: ConnectHouse,
  http: Request,
  name: string,
): Promise<Response> {
  const jar = readCookies(http, house)
  const expected = { purpose: 'connect', decisions: DECISIONS } as const
  const answered = await readAnswer(house, http, jar, name, expected)
  if (answered instanceof Response) return answered
  const { ticket, subject, signedIn, entry, decision } = answered
  const shown = { signedIn, entry, subject, flowId: ticket.flowId }
  if (decision === 'retry') return showFor(house, jar, shown, true)
  const ready = await readyFor(house, name)
  if (!ready.ok) return unavailablePage(house, jar, shown, ready.problems)
  const { binding, client } = ready
  // Found anew since: the page named another server, or none.
  if (subject.shown?.issuer !== binding.issuer) return showFor(house, jar, shown)
  const { scopes } = subject.shown
  return depart(house, jar, ticket, { ...shown, binding, client, scopes })
}

async function showFor(
  house: ConnectHouse,
  jar: CookieJar,
  shown: Shown,
  retry = false,
): Promise<Response> {
  const name = shown.entry.connector.name
  const userId = shown.signedIn.user.value.userId
  const [ready, existing] = await Promise.all([
    readyFor(house, name, retry),
    house.connecting.connections.find(userId, name),
  ])
  if (!ready.ok) return unavailablePage(house, jar, shown, ready.problems)
  const living = existing?.state === 'ended' ? undefined : existing
  const scopes = scopesFor(ready.binding, living, shown.subject)
  return connectPageAnswer(house, jar, shown, { binding: ready.binding, living, scopes })
}

interface Refusing {
  readonly refuse: (house: ConnectHouse, name: string) => Promise<Response>
}

/** What the visit is about, or the page that refuses its link (CLI-13). Nothing is written. */
function readSubject(
  house: ConnectHouse,
  http: Request,
  name: string,
  signedIn: SignedIn,
): ConnectSubject | Refusing {
  const sealed = new URL(http.url).searchParams.get('link')
  if (sealed === null) return { connector: name, scopes: [] }
  const link = openLink(house, sealed)
  if (link === undefined || link === 'expired' || link.connector !== name) {
    const reason = link === 'expired' ? 'link_expired' : 'link_unknown'
    return { refuse: () => staleLinkPage(house, name, reason) }
  }
  if (link.userId !== signedIn.user.value.userId)
    return { refuse: () => otherAccountPage(house, name, signedIn) }
  const { scopes, clientId, clientName } = link
  const client = { clientId, ...(clientName === undefined ? {} : { name: clientName }) }
  return { connector: name, scopes, client }
}

interface Departure extends Shown {
  readonly binding: Binding
  readonly client: OurClient
  /** As the page said. */
  readonly scopes: readonly string[]
}

/** The cookie of this browser, then away: nothing is written (CLI-06, AZ-22). */
async function depart(
  house: ConnectHouse,
  jar: CookieJar,
  ticket: Ticket,
  departure: Departure,
): Promise<Response> {
  const { signedIn, subject, entry } = departure
  const secrets = secretsOf(house, ticket.id)
  if (await isAttemptSpent(house, secrets.stateDigest)) return answeredPage(house, ticket)
  const cookies = keepAttempt(house, jar, secrets.stateDigest, attemptOf(house, departure))
  if (cookies === undefined) return unavailablePage(house, jar, departure, [TOO_MANY_SCOPES])
  const url = await destination(house, departure, requestOf(house, departure, secrets))
  if (!(url instanceof URL)) return unavailablePage(house, jar, departure, [url])
  report(house, {
    type: 'connection.started',
    flowId: ticket.flowId,
    userId: signedIn.user.value.userId,
    connector: entry.connector.name,
    ...(subject.client === undefined ? {} : { clientId: subject.client.clientId }),
  })
  // The form cookie stays for pages that are open in other tabs (W7).
  return redirectAnswer(url.href, cookies)
}

/** All that the answer is held to (CLI-06). */
function attemptOf(
  { runtime }: ConnectHouse,
  { binding, client, signedIn, subject, scopes, flowId }: Departure,
): Attempt {
  const { server, issuer } = binding
  return {
    connector: binding.connector.name,
    userId: signedIn.user.value.userId,
    issuer,
    tokenEndpoint: server.token_endpoint,
    resource: resourceOf(binding),
    clientId: client.clientId,
    redirectUri: client.redirectUri,
    scopes,
    issRequired: server.authorization_response_iss_parameter_supported === true,
    ...(subject.client === undefined ? {} : { askedBy: subject.client.clientId }),
    flowId,
    expiresAtMs: Math.trunc(runtime.nowMs()) + ATTEMPT_TTL_MS,
  }
}

/** RFC 6749 section 4.1.1, RFC 7636, RFC 8707. */
function requestOf(
  { runtime }: ConnectHouse,
  { binding, client, scopes }: Departure,
  { state, verifier }: Secrets,
): URLSearchParams {
  return new URLSearchParams({
    response_type: 'code',
    client_id: client.clientId,
    redirect_uri: client.redirectUri,
    state,
    code_challenge: s256(verifier, runtime),
    code_challenge_method: 'S256',
    ...(scopes.length === 0 ? {} : { scope: formatScope(scopes) }),
    // OpenID Connect Core section 11: without it the scope is ignored.
    ...(scopes.includes('offline_access') ? { prompt: 'consent' } : {}),
    ...(binding.resource === undefined ? {} : { resource: binding.resource }),
  })
}

/** Only a server that demands pushed requests costs an exchange (RFC 9126 section 5). */
async function destination(
  house: ConnectHouse,
  { binding, client }: Departure,
  parameters: URLSearchParams,
): Promise<URL | ConnectorProblem> {
  const { authorization_endpoint: endpoint } = binding.server
  if (binding.server.require_pushed_authorization_requests !== true)
    return authorizationUrl(endpoint, parameters) ?? UNSAFE_ENDPOINT
  const { tokenCalls } = house.connecting
  const pushed = await tokenCalls.push(binding, client, parameters)
  if (pushed.outcome === 'yes') {
    const { requestUri } = pushed
    const short = new URLSearchParams({ client_id: client.clientId, request_uri: requestUri })
    return authorizationUrl(endpoint, short) ?? UNSAFE_ENDPOINT
  }
  if (pushed.outcome === 'no' && pushed.error === 'invalid_client')
    await clientRefused(house.connecting, binding, client)
  return pushed.outcome === 'no' ? PUSH_REFUSED : PUSH_UNANSWERED
}

/** Below our own origin, so that a sign-in can lead back to it. */
function ownPath(http: Request): string {
  const { pathname, search } = new URL(http.url)
  return `${pathname}${search}`
}
