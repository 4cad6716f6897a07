/**
 * One trip to a connector's authorization server that came back: how it becomes a connection, how its
 * tokens are given back where it does not, and how it ends with nothing. Each end is told, and audited
 * (I12).
 */
import { OAuthError } from '../errors.ts'
import { redirectAnswer } from '../issuer/answers.ts'
import type { CookieJar } from '../issuer/cookies.ts'
import type { TokenSet } from '../oauth/token-answer.ts'
import { shownText } from '../ui/text.ts'
import type { Binding } from './binding.ts'
import type { Attempt } from './connect-attempt.ts'
import { connectRefusal, refusedStep } from './connect-refusals.ts'
import type { ConnectHouse, OpenConnector } from './connect-rooms.ts'
import type { OurClient } from './registration.ts'
import type { TokenCall } from './token-calls.ts'

/** An answer of the server that passed every check; its attempt is spent. */
export interface Trip {
  readonly jar: CookieJar
  readonly entry: OpenConnector
  readonly attempt: Attempt
  readonly binding: Binding
  readonly client: OurClient
  /** Dropped with every answer. */
  readonly cookies: readonly string[]
}

/** Writes the connection; tokens that it cannot keep are given back. */
export async function connect(
  house: ConnectHouse,
  trip: Trip,
  answer: Extract<TokenCall, { outcome: 'yes' }>,
): Promise<Response> {
  const { attempt, cookies } = trip
  const { tokens, subject } = answer
  try {
    await house.connecting.connections.connect({
      userId: attempt.userId,
      connector: attempt.connector,
      issuer: attempt.issuer,
      tokenOrigin: new URL(attempt.tokenEndpoint).origin,
      resource: attempt.resource,
      clientId: attempt.clientId,
      tokens,
      // RFC 6749 section 5.1: an answer without `scope` gave what was asked for.
      scopes: tokens.scopes ?? attempt.scopes,
      requestedScopes: attempt.scopes,
      ...(subject === undefined ? {} : { account: { subject } }),
    })
  } catch (error) {
    giveBack(house, trip, tokens)
    if (error instanceof OAuthError) return ended(house, trip, 'session_changed')
    throw error
  }
  return redirectAnswer(`${house.paths.connect}?done=connected`, cookies)
}

/** Nobody waits for it: tokens that are kept nowhere end at the server, where it can be told. */
export function giveBack(
  { connecting, runtime }: ConnectHouse,
  { binding, client }: Pick<Trip, 'binding' | 'client'>,
  tokens: TokenSet,
): void {
  const { accessToken, refreshToken } = tokens
  const hint = refreshToken === undefined ? 'access_token' : 'refresh_token'
  runtime.waitUntil(
    connecting.tokenCalls.revoke(binding, client, refreshToken ?? accessToken, hint),
  )
}

interface Words {
  readonly side: 'you' | 'remote'
  readonly title: string
  readonly text: string
}

/** The attempt is spent and nothing came of it: a page that starts anew, an event, an audit row. */
export async function ended(
  house: ConnectHouse,
  { attempt, entry, cookies }: Pick<Trip, 'attempt' | 'entry' | 'cookies'>,
  reason: string,
  words?: Words,
): Promise<Response> {
  await house.store.commit([refusedStep(house, attempt, reason)])
  const title = shownText(entry.title ?? attempt.connector)
  const message = words ?? {
    side: 'remote',
    title: `${title} could not be connected`,
    text: 'Its sign-in server answered with an error.',
  }
  const { connector, userId, flowId } = attempt
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
