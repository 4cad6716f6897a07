/**
 * Tokens of an embedded trip have arrived. Where the product's own session is on the callback's very
 * request they are the person's at once; else they wait, sealed and usable by nobody, until the product
 * confirms its user (O1). Another account than before waits for the person's word first.
 * @see flows.md section 7, steps 5 to 8
 */
import { redirectAnswer } from '../../issuer/answers.ts'
import type { EmbeddedTrip } from '../../records.ts'
import { CONFIRMATION_TTL_MS } from '../../vault/connection-rows.ts'
import type { ConnectHouse } from '../connect/connect-rooms.ts'
import { type Brought, giveBack, inputOf, type Trip } from '../connect/connect-trip.ts'
import { holdAnswer } from '../connect/connect-waiting.ts'
import { endTrip, keepForBrowser, nameOf } from './embedded-end.ts'

const REPLACEMENT_TTL_MS = 600_000

/** The handle of an answer that waits for the person's word, kept by their browser. */
export interface Asked {
  readonly handle: string
  readonly connector: string
}

export async function arrive(
  house: ConnectHouse,
  trip: Trip,
  embedded: EmbeddedTrip,
  answer: Brought,
): Promise<Response> {
  const { jar, cookies } = trip
  if (trip.isProved !== true) {
    const confirmation = await holdAnswer(house, trip, answer, {
      ttlMs: CONFIRMATION_TTL_MS,
      waitsFor: 'confirmation',
    })
    return endTrip(house, jar, embedded, { end: 'done', confirmation }, cookies)
  }
  try {
    await house.connecting.connections.connect(inputOf(trip.attempt, answer))
  } catch (error) {
    await giveBack(house, trip, answer, 'not_connected')
    throw error
  }
  return endTrip(house, jar, embedded, { end: 'connected' }, cookies)
}

/** Off the URL with the code at once (W6). */
export async function askInPopup(
  house: ConnectHouse,
  trip: Trip,
  embedded: EmbeddedTrip,
  answer: Brought,
): Promise<Response> {
  const handle = await holdAnswer(house, trip, answer, { ttlMs: REPLACEMENT_TTL_MS })
  const at = nameOf(house, embedded)
  const { connector } = trip.attempt
  const kept = keepForBrowser(house, trip.jar, at, { handle, connector } satisfies Asked)
  return redirectAnswer(`${house.paths.widget}/replace?at=${at}`, [...trip.cookies, ...kept])
}
