/**
 * The answer to a form of `/connect`: from this site, with our ticket for this very form and connector,
 * from the browser and the account that were shown it, in time (CON-06, CON-07, W2).
 */
import { isSameOrigin, readForm } from '../../issuer/consent.ts'
import { type CookieJar, formCookie } from '../../issuer/cookies.ts'
import { findSignedIn, type SignedIn } from '../../issuer/sessions.ts'
import { type ConnectSubject, openTicket, type Ticket } from '../../issuer/ticket.ts'
import { noConnectorPage, staleFormPage } from './connect-refusals.ts'
import { type ConnectHouse, findOpen, type OpenConnector } from './connect-rooms.ts'

export interface Answered<D extends string> {
  readonly ticket: Ticket
  readonly subject: ConnectSubject
  readonly signedIn: SignedIn
  readonly entry: OpenConnector
  readonly decision: D
}

interface Expected<D extends string> {
  readonly purpose: 'connect' | 'replace'
  readonly decisions: readonly D[]
}

/** The page that refuses it, where something is wrong. */
export async function readAnswer<D extends string>(
  house: ConnectHouse,
  http: Request,
  jar: CookieJar,
  name: string,
  { purpose, decisions }: Expected<D>,
): Promise<Answered<D> | Response> {
  if (!isSameOrigin(house, http)) return staleFormPage(house, name, 'form_cross_site', 403)
  const form = await readForm(http)
  const { runtime } = house
  const ticket = openTicket(runtime, house.keys.ticketKey(), form?.get('ticket') ?? '')
  const subject = ticket?.connect
  if (ticket?.purpose !== purpose || subject?.connector !== name)
    return staleFormPage(house, name, 'form_ticket', 400)
  const decision = decisions.find((word) => word === form?.get('decision'))
  if (decision === undefined) return staleFormPage(house, name, 'form_malformed', 400)
  const cookie = formCookie.read(jar)
  if (cookie === undefined || !runtime.equal(runtime.sha256(cookie), ticket.formDigest))
    return staleFormPage(house, name, 'form_cookie', 403, ticket)
  if (ticket.expiresAtMs <= runtime.nowMs())
    return staleFormPage(house, name, 'form_expired', 400, ticket)
  const signedIn = await findSignedIn(house, jar)
  if (signedIn === undefined || signedIn.user.value.userId !== ticket.shownUserId)
    return staleFormPage(house, name, 'session_changed', 403, ticket)
  const entry = findOpen(house, signedIn.user.value, name)
  if (entry === undefined) return noConnectorPage(house, name)
  return { ticket, subject, signedIn, entry, decision }
}
