/**
 * Finishes linking an account after the answer was accepted: the person's no, or the code once at the
 * pinned token endpoint; another account than before waits for a word of the person; then the
 * connection is written (flows.md section 6, step 3). The code is never sent twice.
 */
import { findSignedIn } from '../../issuer/sessions.ts'
import type { Parameters } from '../../oauth/parameters.ts'
import { shownText } from '../../ui/text.ts'
import type { TokenCall } from '../client/token-calls.ts'
import type { ConnectionView } from '../connections/connections.ts'
import { arrive, askInPopup } from '../embedded/embedded-settle.ts'
import { clientRefused } from '../lifecycle/lifecycle.ts'
import { askWhichAccount } from './connect-replace.ts'
import type { ConnectHouse } from './connect-rooms.ts'
import { connect, ended, giveBack, orGiveBack, type Trip } from './connect-trip.ts'

export async function finishConnect(
  house: ConnectHouse,
  trip: Trip,
  parameters: Parameters,
  verifier: string,
): Promise<Response> {
  const error = parameters.get('error')
  if (error !== undefined) return serverSaidNo(house, trip, error)
  const code = parameters.get('code')
  if (code === undefined) return ended(house, trip, 'code_missing')
  const { attempt, binding, client } = trip
  const { redirectUri } = attempt
  const input = { code, verifier, redirectUri, resource: binding.resource }
  const answer = await house.connecting.tokenCalls.exchange(binding, client, input)
  if (answer.outcome !== 'yes') return notExchanged(house, trip, answer)
  return settle(house, trip, answer)
}

type Yes = Extract<TokenCall, { outcome: 'yes' }>

async function settle(house: ConnectHouse, trip: Trip, answer: Yes): Promise<Response> {
  const { entry, attempt, jar } = trip
  const { userId, embedded } = attempt
  const { connections } = house.connecting
  const { now, before } = await orGiveBack(house, trip, answer, async () => ({
    now: embedded === undefined ? await findSignedIn(house, jar) : undefined,
    before: await connections.find(userId, entry.connector.name),
  }))
  if (embedded !== undefined) {
    const settleIn = isOtherAccount(before, answer.subject) ? askInPopup : arrive
    return settleIn(house, trip, embedded, answer)
  }
  if (now?.user.value.userId !== userId) {
    await giveBack(house, trip, answer, 'session_changed')
    return ended(house, trip, 'session_changed')
  }
  if (isOtherAccount(before, answer.subject)) return askWhichAccount(house, trip, answer)
  return connect(house, trip, answer)
}

/** Only where both say who they are: a server that does not say cannot be told from one that did. */
function isOtherAccount(before: ConnectionView | undefined, subject: string | undefined): boolean {
  if (before?.accountSubject === undefined || before.state === 'ended') return false
  return subject !== undefined && subject !== before.accountSubject
}

/** Words of RFC 6749, RFC 8707 and OpenID Connect: bounded, so that they can be a reason. */
const ERRORS: ReadonlySet<string> = new Set([
  'access_denied',
  'consent_required',
  'interaction_required',
  'invalid_request',
  'invalid_scope',
  'invalid_target',
  'login_required',
  'server_error',
  'temporarily_unavailable',
  'unauthorized_client',
  'unsupported_response_type',
])

/** The person's no is theirs; everything else is the server's. Its text goes nowhere (AZ-23). */
function serverSaidNo(house: ConnectHouse, trip: Trip, error: string): Promise<Response> {
  const title = shownText(trip.entry.title ?? trip.attempt.connector)
  if (error === 'access_denied') {
    return ended(house, trip, 'denied_at_server', {
      side: 'you',
      title: 'You said no',
      text: `You did not allow the connection at ${title}. Nothing was connected.`,
    })
  }
  return ended(house, trip, ERRORS.has(error) ? `server_${error}` : 'server_error')
}

async function notExchanged(
  house: ConnectHouse,
  trip: Trip,
  answer: Exclude<TokenCall, Yes>,
): Promise<Response> {
  if (answer.outcome === 'unknown') {
    const title = shownText(trip.entry.title ?? trip.attempt.connector)
    return ended(house, trip, 'token_unanswered', {
      side: 'remote',
      title: `${title} does not answer`,
      text: 'You were signed in there, and then it did not hand over the access in time.',
    })
  }
  const { error } = answer
  if (error !== 'invalid_client') return ended(house, trip, `token_${bounded(error)}`)
  // Forgotten there: registered once more, so that the next try has a client (CLI-05).
  const { binding, client } = trip
  await clientRefused(house.connecting, binding, client)
  return ended(house, trip, 'token_invalid_client')
}

const TOKEN_ERRORS: ReadonlySet<string> = new Set([
  'invalid_grant',
  'invalid_request',
  'invalid_scope',
  'invalid_target',
  'unauthorized_client',
  'unsupported_grant_type',
  'invalid_answer',
  'token_type',
])

function bounded(error: string): string {
  return TOKEN_ERRORS.has(error) ? error : 'refused'
}
