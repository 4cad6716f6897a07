/**
 * `GET /connect/{connector}/callback`: is this the answer to a trip that this very browser started for
 * this very account, at this connector, from the server it was sent to? Every check comes before the
 * attempt is consumed, and `iss` before anything else of the answer is read. What is accepted goes on in
 * `connect-finish.ts`.
 * @see requirements CLI-06, CLI-10, CLI-11, CLI-12, threats O1, O2, A1, A13
 */
import { readResponse } from '../issuer/callback.ts'
import { type CookieJar, readCookies, transactionCookie } from '../issuer/cookies.ts'
import { createSecret, key } from '../issuer/ids.ts'
import { findSignedIn, type SignedIn } from '../issuer/sessions.ts'
import type { Parameters } from '../oauth/parameters.ts'
import type { Versioned } from '../ports.ts'
import type { Binding } from './binding.ts'
import { finishConnect } from './connect-finish.ts'
import { burnAttempt, connectRefusal, unavailablePage } from './connect-refusals.ts'
import { type ConnectHouse, findOpen, readyFor } from './connect-rooms.ts'
import { resourceOf } from './connect-scopes.ts'

const STATE_MAX_CHARACTERS = 512

export async function connectCallback(
  house: ConnectHouse,
  http: Request,
  name: string,
): Promise<Response> {
  const parameters = readResponse(http)
  const state = parameters?.get('state')
  if (parameters === undefined || state === undefined || state.length > STATE_MAX_CHARACTERS)
    return refused(house, 'state_missing')
  const stateDigest = house.runtime.sha256(state)
  const attempt = await house.store.get('connecting', key(stateDigest))
  if (attempt === undefined || attempt.value.expiresAtMs <= house.runtime.nowMs())
    return refused(house, 'state_unknown')
  const jar = readCookies(http, house.secure)
  const signedIn = await findSignedIn(house, jar)
  const arrived = { jar, http, name, parameters, attempt, signedIn }
  const wrong = whatIsWrong(house, arrived)
  if (wrong !== undefined || signedIn === undefined)
    return burnt(house, attempt, wrong ?? 'session_missing')
  const entry = findOpen(house, signedIn.user.value, name)
  if (entry === undefined) return burnt(house, attempt, 'connector_not_open')
  const ready = await readyFor(house, name)
  if (!ready.ok) {
    // Nothing is consumed: what the person brought is still good when the server is found again.
    const { flowId, askedBy } = attempt.value
    const client = askedBy === undefined ? {} : { client: { clientId: askedBy } }
    const subject = { connector: name, scopes: [], ...client }
    return unavailablePage(house, jar, { signedIn, entry, subject, flowId }, ready.problems)
  }
  const { binding } = ready
  const changed = whatChanged(attempt.value, binding)
  if (changed !== undefined) return burnt(house, attempt, changed)
  // A renewal may have made another one since; the code is for the client that asked.
  const { clientId } = attempt.value
  const client =
    ready.client.clientId === clientId
      ? ready.client
      : house.connecting.registrations.find(binding, clientId)
  if (client === undefined) return burnt(house, attempt, 'client_changed')
  const { flowId } = attempt.value
  const nowMs = house.runtime.nowMs()
  const once = createSecret(house.runtime)
  const consumed = await house.store.consume('connecting', attempt.key, once, nowMs)
  if (consumed === 'replayed') return refused(house, 'state_replayed', { flowId, connector: name })
  if (consumed === undefined) return refused(house, 'state_unknown', { flowId, connector: name })
  const cookies = [transactionCookie.drop(jar, stateDigest)]
  const trip = { jar, entry, stateDigest, attempt: consumed, binding, client, cookies }
  return finishConnect(house, trip, parameters)
}

interface Arrived {
  readonly jar: CookieJar
  readonly http: Request
  /** The connector of the path. */
  readonly name: string
  readonly parameters: Parameters
  readonly attempt: Versioned<'connecting'>
  readonly signedIn: SignedIn | undefined
}

/** The stable reason of a refusal, or `undefined` when this answer is the one that was waited for. */
function whatIsWrong(
  { runtime, issuerUrl }: ConnectHouse,
  { jar, http, name, parameters, attempt, signedIn }: Arrived,
): string | undefined {
  const { connector, cookieDigest, redirectUri, userId } = attempt.value
  const cookie = transactionCookie.read(jar, attempt.key.id)
  if (cookie === undefined) return 'browser_cookie_missing'
  if (!runtime.equal(runtime.sha256(cookie), cookieDigest)) return 'browser_cookie_foreign'
  const here = `${issuerUrl.origin}${new URL(http.url).pathname}`
  if (name !== connector || here !== redirectUri) return 'callback_of_other_connector'
  const issuer = judgeIssuer(attempt.value, parameters.get('iss'))
  if (issuer !== undefined) return issuer
  if (signedIn === undefined) return 'session_missing'
  return signedIn.user.value.userId === userId ? undefined : 'session_of_other_user'
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
function whatChanged(
  attempt: Versioned<'connecting'>['value'],
  binding: Binding,
): string | undefined {
  if (binding.issuer !== attempt.issuer) return 'issuer_changed'
  if (binding.server.token_endpoint !== attempt.tokenEndpoint) return 'token_endpoint_changed'
  return resourceOf(binding) === attempt.resource ? undefined : 'resource_changed'
}

async function burnt(
  house: ConnectHouse,
  attempt: Versioned<'connecting'>,
  reason: string,
): Promise<Response> {
  await burnAttempt(house, attempt, reason)
  const { flowId, connector, userId } = attempt.value
  return refused(house, reason, { flowId, connector, userId })
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
