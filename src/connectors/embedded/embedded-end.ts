/**
 * How a trip of an embedding product ends: a popup on its end page, everything else at the registered
 * return URL. What the end page says lies sealed in a cookie of the browser that made the trip, so that
 * its address says nothing and another browser finds nothing there (W6, A1).
 */
import { redirectAnswer } from '../../issuer/answers.ts'
import {
  type CookieJar,
  createTransactionValue,
  readCookies,
  transactionCookie,
} from '../../issuer/cookies.ts'
import { type EmbeddedTrip, TENANT } from '../../records.ts'
import type { ConnectHouse } from '../connect/connect-rooms.ts'
import { doneAnswer, popupRefusal } from './embedded-answers.ts'

export type Outcome =
  | { readonly end: 'done'; readonly confirmation: string }
  | { readonly end: 'connected' }
  | { readonly end: 'failed'; readonly code: string }

/** The person's own no, under whatever name; the word of RFC 6749. */
const DENIED = ['denied_at_server', 'cancelled']

export function endTrip(
  house: ConnectHouse,
  jar: CookieJar,
  trip: EmbeddedTrip,
  outcome: Outcome,
  cookies: readonly string[] = [],
): Response {
  const said =
    outcome.end === 'failed' && DENIED.includes(outcome.code)
      ? ({ end: 'failed', code: 'access_denied' } as const)
      : outcome
  if (trip.kind === 'widget') return toDonePage(house, jar, trip, said, cookies)
  // Registered, so it is there: a trip of any other kind is never started without.
  return redirectAnswer(`${trip.returnUrl ?? house.config.issuer}#${fragment(trip, said)}`, cookies)
}

function fragment({ attempt }: EmbeddedTrip, outcome: Outcome): URLSearchParams {
  if (outcome.end === 'done')
    return new URLSearchParams({ 'postern-confirmation': outcome.confirmation, attempt })
  return new URLSearchParams({ postern: outcome.end === 'failed' ? outcome.code : 'connected' })
}

interface Kept {
  readonly trip: EmbeddedTrip
  readonly outcome: Outcome
}

function toDonePage(
  house: ConnectHouse,
  jar: CookieJar,
  trip: EmbeddedTrip,
  outcome: Outcome,
  cookies: readonly string[],
): Response {
  const at = nameOf(house, trip)
  const kept = keepForBrowser(house, jar, at, { trip, outcome } satisfies Kept)
  return redirectAnswer(`${house.paths.widget}/done?at=${at}`, [...cookies, ...kept])
}

/** Of what this browser keeps of the trip; nothing follows from it. */
export function nameOf({ runtime }: ConnectHouse, { attempt }: EmbeddedTrip): string {
  return runtime.sha256(`embedded\n${attempt}`)
}

/** `Set-Cookie` lines: ten minutes, sealed to its name. */
export function keepForBrowser(
  { runtime, keys }: ConnectHouse,
  jar: CookieJar,
  at: string,
  value: object,
): readonly string[] {
  const sealed = runtime.seal(keys.ticketKey(), JSON.stringify(value), ownerOf(at))
  return transactionCookie.set(jar, at, createTransactionValue(runtime, sealed))
}

export function keptByBrowser(
  { runtime, keys }: ConnectHouse,
  jar: CookieJar,
  at: string,
): unknown {
  const value = transactionCookie.read(jar, at)
  if (value === undefined) return undefined
  const text = runtime.open(keys.ticketKey(), value.slice(value.indexOf('.') + 1), ownerOf(at))
  return text === undefined ? undefined : JSON.parse(text)
}

function ownerOf(at: string): string {
  return JSON.stringify([TENANT, 'embedded browser', at])
}

/** `GET /widget/done`. */
export async function showDone(house: ConnectHouse, http: Request): Promise<Response> {
  const at = new URL(http.url).searchParams.get('at') ?? ''
  // Sealed by us for this name, so its shape is ours.
  const kept = keptByBrowser(house, readCookies(http, house), at) as Kept | undefined
  if (kept?.outcome === undefined) return unknownEnd(house)
  const { trip, outcome } = kept
  const { app, attempt, nonce = '', origin = '', returnUrl } = trip
  return doneAnswer(house, {
    scriptPath: `${house.paths.widget}/done.js`,
    ...{ app, attempt, nonce, origin },
    ...(returnUrl === undefined ? {} : { returnUrl }),
    ...(outcome.end === 'done' ? { confirmation: outcome.confirmation } : {}),
    ...(outcome.end === 'failed' ? { code: outcome.code } : {}),
  })
}

function unknownEnd(house: ConnectHouse): Promise<Response> {
  const message = {
    side: 'you',
    title: 'There is nothing to finish here',
    text: 'This page is for the browser that connected an account, and for ten minutes.',
  } as const
  return popupRefusal(house, message, { reason: 'end_unknown' })
}
