/**
 * Whose an embedded trip is when its browser comes back: there is no session here, so the attempt says
 * it, and the product's own session on this very request where it can be asked (flows.md 7.5, O1).
 */
import type { AppConfig } from '../../config/apps.ts'
import type { EmbeddedTrip } from '../../records.ts'
import type { Attempt } from '../connect/connect-attempt.ts'
import type { ConnectHouse, OpenConnector } from '../connect/connect-rooms.ts'
import { findOpenToApps } from './app-connectors.ts'
import { appFailed } from './app-link.ts'
import { askApp } from './app-user.ts'

export interface EmbeddedPerson {
  readonly entry: OpenConnector
  /** The product says that this browser is the person's. */
  readonly isProved: boolean
}

/** The reason of a refusal, or the page of a product that cannot say who this is. */
export async function findEmbeddedPerson(
  house: ConnectHouse,
  http: Request,
  { connector, userId }: Pick<Attempt, 'connector' | 'userId'>,
  trip: EmbeddedTrip,
): Promise<EmbeddedPerson | string | Response> {
  const place = findPlace(house, trip, connector)
  if (place === undefined) return 'connector_not_open'
  const { app, entry } = place
  const person = await askApp(house, app, http)
  const isTheirs = person.state === 'known' && person.userId === userId
  // Whoever is somebody else there finishes nothing, confirmed or not: it is not their trip (O1).
  if (person.state === 'known' && !isTheirs) return 'session_of_other_user'
  // The element has its own session, and confirms with it.
  if (trip.kind !== 'link') return { entry, isProved: isTheirs && trip.kind === 'start' }
  if (isTheirs) return { entry, isProved: true }
  return person.state === 'failed' ? appFailed(house, connector) : 'session_of_other_user'
}

/** Still as the configuration says: the app, its origin and return URL, and the connector. */
export function findPlace(
  house: ConnectHouse,
  { app: name, origin, returnUrl }: Pick<EmbeddedTrip, 'app' | 'origin' | 'returnUrl'>,
  connector: string,
): { readonly app: AppConfig; readonly entry: OpenConnector } | undefined {
  const app = house.config.apps?.find((each) => each.name === name)
  const entry = findOpenToApps(house, connector)
  if (app === undefined || entry === undefined) return undefined
  if (origin !== undefined && !app.origins.includes(origin)) return undefined
  if (returnUrl !== undefined && !app.returnUrls.includes(returnUrl)) return undefined
  return { app, entry }
}
