/**
 * One trip to a connector's authorization server that came back: how it becomes a connection, how its
 * tokens are given back where it does not, and how it ends with nothing. Each end is told, and audited
 * (I12).
 */
import { OAuthError, StoreError } from '../../errors.ts'
import { redirectAnswer } from '../../issuer/answers.ts'
import type { CookieJar } from '../../issuer/cookies.ts'
import { report } from '../../issuer/house.ts'
import { shownText } from '../../ui/text.ts'
import type { OurClient } from '../client/registration.ts'
import type { TokenCall } from '../client/token-calls.ts'
import type { ConnectInput } from '../connections/connections.ts'
import { endTrip } from '../embedded/embedded-end.ts'
import type { Binding } from '../lifecycle/binding.ts'
import type { Attempt } from './connect-attempt.ts'
import { connectRefusal, refusedStep } from './connect-refusals.ts'
import type { ConnectHouse, OpenConnector } from './connect-rooms.ts'

/** An answer of the server that passed every check; its attempt is spent. */
export interface Trip {
  readonly jar: CookieJar
  readonly entry: OpenConnector
  readonly attempt: Attempt
  readonly binding: Binding
  readonly client: OurClient
  /** Dropped with every answer. */
  readonly cookies: readonly string[]
  /** Of an embedded trip: its product says that this browser is the person's. */
  readonly isProved?: boolean
}

/** What the server gave for the code. */
export type Brought = Pick<Extract<TokenCall, { outcome: 'yes' }>, 'tokens' | 'subject'> &
  Pick<ConnectInput, 'givenAtMs'>

/** Writes the connection; tokens that it cannot keep are given back. */
export async function connect(house: ConnectHouse, trip: Trip, answer: Brought): Promise<Response> {
  const { attempt, cookies } = trip
  try {
    await house.connecting.connections.connect(inputOf(attempt, answer))
  } catch (error) {
    await giveBack(house, trip, answer, 'not_connected')
    if (error instanceof OAuthError) return ended(house, trip, 'session_changed')
    throw error
  }
  return redirectAnswer(`${house.paths.connect}?done=connected`, cookies)
}

/** What is to be kept of it. */
export function inputOf(attempt: Attempt, { tokens, subject, givenAtMs }: Brought): ConnectInput {
  return {
    userId: attempt.userId,
    connector: attempt.connector,
    issuer: attempt.issuer,
    tokenOrigin: new URL(attempt.tokenEndpoint).origin,
    resource: attempt.resource,
    clientId: attempt.clientId,
    tokens,
    ...(givenAtMs === undefined ? {} : { givenAtMs }),
    // RFC 6749 section 5.1: an answer without `scope` gave what was asked for.
    scopes: tokens.scopes ?? attempt.scopes,
    requestedScopes: attempt.scopes,
    ...(subject === undefined || subject === '' ? {} : { account: { subject } }),
    ...(attempt.embedded === undefined ? {} : { connectionId: attempt.embedded.attempt }),
  }
}

/**
 * Tokens that are kept nowhere end at their server, which is told until it confirms; where the store
 * fails, it is told once, now.
 */
export async function giveBack(
  { connecting, runtime }: ConnectHouse,
  { attempt, binding, client }: Pick<Trip, 'attempt'> & Partial<Pick<Trip, 'binding' | 'client'>>,
  answer: Brought,
  cause: string,
): Promise<void> {
  try {
    await connecting.connections.giveBack(inputOf(attempt, answer), cause)
  } catch (error) {
    if (!(error instanceof StoreError) || binding === undefined || client === undefined) throw error
    const { revoke } = connecting.tokenCalls
    const { accessToken, refreshToken } = answer.tokens
    const now = async (): Promise<void> => {
      if (refreshToken !== undefined) await revoke(binding, client, refreshToken, 'refresh_token')
      await revoke(binding, client, accessToken, 'access_token')
    }
    runtime.waitUntil(now())
  }
}

/** For what may fail while nobody keeps the tokens yet. */
export async function orGiveBack<T>(
  house: ConnectHouse,
  trip: Trip,
  answer: Brought,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    await giveBack(house, trip, answer, 'not_connected')
    throw error
  }
}

interface Words {
  readonly side: 'you' | 'remote'
  readonly title: string
  readonly text: string
}

/** The attempt is spent and nothing came of it: a page that starts anew, an event, an audit row. */
export async function ended(
  house: ConnectHouse,
  { attempt, entry, cookies, jar }: Pick<Trip, 'attempt' | 'entry' | 'cookies' | 'jar'>,
  reason: string,
  words?: Words,
): Promise<Response> {
  await house.store.commit([refusedStep(house, attempt, reason)])
  const { connector, userId, flowId, embedded } = attempt
  if (embedded !== undefined) {
    const about = { connector, userId, flowId, app: embedded.app }
    report(house, { type: 'connection.refused', reason, ...about })
    return endTrip(house, jar, embedded, { end: 'failed', code: reason }, cookies)
  }
  const title = shownText(entry.title ?? attempt.connector)
  const message = words ?? {
    side: 'remote',
    title: `${title} could not be connected`,
    text: 'Its sign-in server answered with an error.',
  }
  const link = { path: `${house.paths.connect}/${connector}`, text: 'Start again' }
  return connectRefusal(
    house,
    { ...message, fix: 'Your other servers keep working.', link },
    {
      reason,
      connector,
      userId,
      flowId,
      cookies,
      status: message.side === 'you' ? 400 : 502,
    },
  )
}
