/**
 * The answer to a form of `/connect`: from this site, with our ticket for this very form and connector,
 * from the browser and the account that were shown it, in time (CON-06, CON-07, W2).
 */
import { isSameOrigin, readForm as readFormBody } from '../../issuer/consent.ts'
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
  readonly purpose: NonNullable<Ticket['purpose']>
  readonly decisions: readonly D[]
}

type Read<D extends string> =
  | {
      readonly ok: true
      readonly ticket: Ticket
      readonly subject: ConnectSubject
      readonly decision: D
    }
  | {
      readonly ok: false
      readonly reason: string
      readonly status: 400 | 403
      readonly ticket?: Ticket
    }

/** A form of ours, answered in the browser that was shown it; `name`: for this connector alone. */
export async function readForm<D extends string>(
  house: ConnectHouse,
  http: Request,
  jar: CookieJar,
  { purpose, decisions }: Expected<D>,
  name?: string,
): Promise<Read<D>> {
  const refused = (reason: string, status: 400 | 403, ticket?: Ticket) =>
    ({ ok: false, reason, status, ...(ticket === undefined ? {} : { ticket }) }) as const
  if (!isSameOrigin(house, http)) return refused('form_cross_site', 403)
  const form = await readFormBody(http)
  const { runtime } = house
  const ticket = openTicket(runtime, house.keys.ticketKey(), form?.get('ticket') ?? '')
  const subject = ticket?.connect
  if (ticket?.purpose !== purpose || subject === undefined) return refused('form_ticket', 400)
  if (name !== undefined && subject.connector !== name) return refused('form_ticket', 400)
  const decision = decisions.find((word) => word === form?.get('decision'))
  if (decision === undefined) return refused('form_malformed', 400)
  const cookie = formCookie.read(jar)
  if (cookie === undefined || !runtime.equal(runtime.sha256(cookie), ticket.formDigest))
    return refused('form_cookie', 403, ticket)
  if (ticket.expiresAtMs <= runtime.nowMs()) return refused('form_expired', 400, ticket)
  return { ok: true, ticket, subject, decision }
}

/** As `readForm`, from the account that was shown it: the page that refuses it, where it is wrong. */
export async function readAnswer<D extends string>(
  house: ConnectHouse,
  http: Request,
  jar: CookieJar,
  name: string,
  expected: Expected<D>,
): Promise<Answered<D> | Response> {
  const read = await readForm(house, http, jar, expected, name)
  if (!read.ok) return staleFormPage(house, name, read.reason, read.status, read.ticket)
  const { ticket, subject, decision } = read
  const signedIn = await findSignedIn(house, jar)
  if (signedIn === undefined || signedIn.user.value.userId !== ticket.shownUserId)
    return staleFormPage(house, name, 'session_changed', 403, ticket)
  const entry = findOpen(house, signedIn.user.value, name)
  if (entry === undefined) return noConnectorPage(house, name)
  return { ticket, subject, signedIn, entry, decision }
}
