/**
 * `GET /connect/{connector}/callback`: is this the answer to a trip that this very browser started for
 * this very account, at this connector, from the server it was sent to? Every check comes before the
 * attempt is spent, and `iss` before anything else of the answer is read. What is accepted goes on in
 * `connect-finish.ts`.
 * @see requirements CLI-06, CLI-10, CLI-11, CLI-12, threats O1, O2, A1, A13
 */
import { readResponse } from '../../issuer/callback.ts'
import { type CookieJar, readCookies, transactionCookie } from '../../issuer/cookies.ts'
import { findSignedIn, type SignedIn } from '../../issuer/sessions.ts'
import type { Parameters } from '../../oauth/parameters.ts'
import type { ConnectorProblem } from '../../records.ts'
import { troubleAnswer } from '../embedded/embedded-answers.ts'
import { endTrip, type Outcome } from '../embedded/embedded-end.ts'
import { findEmbeddedPerson } from '../embedded/embedded-person.ts'
import type { Binding } from '../lifecycle/binding.ts'
import {
  type Attempt,
  burnAttempt,
  findAttempt,
  isOurState,
  spendAttempt,
  verifierOf,
} from './connect-attempt.ts'
import { finishConnect } from './connect-finish.ts'
import {
  connectRefusal,
  noConnectorPage,
  refusedStep,
  unavailablePage,
} from './connect-refusals.ts'
import { type ConnectHouse, findOpen, type OpenConnector, readyFor } from './connect-rooms.ts'
import { resourceOf } from './connect-scopes.ts'

const STATE_MAX_CHARACTERS = 512

export async function connectCallback(
  house: ConnectHouse,
  http: Request,
  name: string,
): Promise<Response> {
  if (!house.config.connectors.some((connector) => connector.name === name))
    return noConnectorPage(house, name)
  const parameters = readResponse(http)
  const state = parameters?.get('state')
  if (parameters === undefined || state === undefined || state.length > STATE_MAX_CHARACTERS)
    return refused(house, 'state_missing')
  if (!isOurState(house, state)) return refused(house, 'state_unknown')
  const stateDigest = house.runtime.sha256(state)
  const jar = readCookies(http, house)
  const attempt = findAttempt(house, jar, stateDigest)
  // Another browser has it: whoever holds the right cookie cannot use it any more either (A1).
  if (attempt === 'missing' || attempt === 'foreign')
    return burnt(house, stateDigest, { connector: name }, `browser_cookie_${attempt}`)
  if (attempt.expiresAtMs <= house.runtime.nowMs()) return refused(house, 'state_unknown')
  const burn = async (reason: string): Promise<Response> => {
    const answer = await burnt(house, stateDigest, attempt, reason)
    const { embedded } = attempt
    return embedded === undefined ? answer : endTrip(house, jar, embedded, failed(reason))
  }
  const wrong = whatIsWrong(house, { http, name, parameters, attempt })
  if (wrong !== undefined) return burn(wrong)
  const person = await findPerson(house, http, jar, attempt)
  if (person instanceof Response) return person
  if (typeof person === 'string') return burn(person)
  const ready = await readyFor(house, name)
  // Nothing is spent: what the person brought is still good when the server is found again.
  if (!ready.ok) return notReady(house, jar, { attempt, person }, ready.problems)
  const { binding } = ready
  const changed = whatChanged(attempt, binding)
  if (changed !== undefined) return burn(changed)
  // A renewal may have made another one since; the code is for the client that asked.
  const { clientId, flowId } = attempt
  const client =
    ready.client.clientId === clientId
      ? ready.client
      : house.connecting.registrations.find(binding, clientId)
  if (client === undefined) return burn('client_changed')
  if (!(await spendAttempt(house, stateDigest)))
    return refused(house, 'state_replayed', { flowId, connector: name })
  const cookies = [transactionCookie.drop(jar, stateDigest)]
  const { entry, isProved = false } = person
  const trip = { jar, entry, attempt, binding, client, cookies, isProved }
  return finishConnect(house, trip, parameters, verifierOf(house, state))
}

function failed(code: string): Outcome {
  return { end: 'failed', code }
}

interface Person {
  readonly entry: OpenConnector
  /** Absent: of an embedding product. */
  readonly signedIn?: SignedIn
  readonly isProved?: boolean
}

/** Who came back; else why it is not who left, or a page that says that nobody can tell now. */
async function findPerson(
  house: ConnectHouse,
  http: Request,
  jar: CookieJar,
  attempt: Attempt,
): Promise<Person | string | Response> {
  const { connector, userId, embedded } = attempt
  if (embedded !== undefined) return findEmbeddedPerson(house, http, attempt, embedded)
  const signedIn = await findSignedIn(house, jar)
  if (signedIn === undefined) return 'session_missing'
  if (signedIn.user.value.userId !== userId) return 'session_of_other_user'
  const entry = findOpen(house, signedIn.user.value, connector)
  return entry === undefined ? 'connector_not_open' : { entry, signedIn }
}

function notReady(
  house: ConnectHouse,
  jar: CookieJar,
  { attempt, person }: { readonly attempt: Attempt; readonly person: Person },
  problems: readonly ConnectorProblem[],
): Promise<Response> {
  const { connector, flowId, askedBy, userId } = attempt
  const { entry, signedIn } = person
  if (signedIn === undefined)
    return troubleAnswer(house, { connector, title: entry.title ?? connector, userId }, problems)
  const client = askedBy === undefined ? {} : { client: { clientId: askedBy } }
  const subject = { connector, scopes: [], ...client }
  return unavailablePage(house, jar, { signedIn, entry, subject, flowId }, problems)
}

interface Arrived {
  readonly http: Request
  /** The connector of the path. */
  readonly name: string
  readonly parameters: Parameters
  readonly attempt: Attempt
}

/** The stable reason of a refusal, or `undefined` when this answer is the one that was waited for. */
function whatIsWrong(
  { issuerUrl }: ConnectHouse,
  { http, name, parameters, attempt }: Arrived,
): string | undefined {
  const { connector, redirectUri } = attempt
  const here = `${issuerUrl.origin}${new URL(http.url).pathname}`
  if (name !== connector || here !== redirectUri) return 'callback_of_other_connector'
  return judgeIssuer(attempt, parameters.get('iss'))
}

/** RFC 9207 section 2.4: as text, nothing normalized, advertised or not. */
export function judgeIssuer(
  attempt: { readonly issuer: string; readonly issRequired?: boolean },
  iss: string | undefined,
): 'iss_missing' | 'iss_wrong' | undefined {
  if (iss === undefined) return attempt.issRequired === true ? 'iss_missing' : undefined
  return iss === attempt.issuer ? undefined : 'iss_wrong'
}

/** A code is given only to the server that it was asked for, (CLI-04, O3). */
function whatChanged(attempt: Attempt, binding: Binding): string | undefined {
  if (binding.issuer !== attempt.issuer) return 'issuer_changed'
  if (binding.server.token_endpoint !== attempt.tokenEndpoint) return 'token_endpoint_changed'
  return resourceOf(binding) === attempt.resource ? undefined : 'resource_changed'
}

/** The attempt dies with the refusal, once, and is audited. */
async function burnt(
  house: ConnectHouse,
  stateDigest: string,
  about: Pick<Attempt, 'connector'> & Partial<Attempt>,
  reason: string,
): Promise<Response> {
  const { flowId, connector, userId } = about
  const told = { connector, ...(flowId && { flowId }), ...(userId && { userId }) }
  const isFirst = await burnAttempt(house, stateDigest, refusedStep(house, about, reason))
  return refused(house, isFirst ? reason : 'state_replayed', told)
}

const FOREIGN = 'It was started in another browser. Only the browser that started it can finish it.'
const OTHER_ACCOUNT = 'It was started with another account than the one that is signed in here.'
const UNKNOWN = 'It is too old, was finished before, or was started somewhere else.'
const WRONG_SENDER =
  'The answer did not come from the sign-in server that you were sent to, or does not say so as it should.'
const CHANGED = 'The server changed where people sign in while you were there.'

function textOf(reason: string): string {
  if (reason.startsWith('browser_cookie')) return FOREIGN
  if (reason.startsWith('session_')) return OTHER_ACCOUNT
  if (reason.startsWith('iss_') || reason === 'callback_of_other_connector') return WRONG_SENDER
  return reason.endsWith('_changed') ? CHANGED : UNKNOWN
}

function refused(
  house: ConnectHouse,
  reason: string,
  about: { readonly flowId?: string; readonly connector?: string; readonly userId?: string } = {},
): Promise<Response> {
  const message = {
    side: 'you',
    title: 'This connection cannot be finished here',
    text: textOf(reason),
    fix: 'Nothing was connected. If you did not start it, close this page.',
    link: { path: house.paths.connect, text: 'See your connections' },
  } as const
  return connectRefusal(house, message, { reason, ...about })
}
