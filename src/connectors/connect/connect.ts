/**
 * `GET` and `POST /connect/{connector}`: shows what linking an account means, then sends the person to
 * the server's authorization server. Warm it asks nobody, also when the server is dead; cold it waits
 * for one discovery and says in words what is wrong, on which side (flows.md section 6).
 * @see requirements CLI-06 to CLI-09, CLI-12, CLI-13, NET-08
 */
import { Redirect, responseOf } from '../../issuer/answers.ts'
import { signInAnswer } from '../../issuer/consent-page.ts'
import { type CookieJar, readCookies } from '../../issuer/cookies.ts'
import { createFlowId } from '../../issuer/ids.ts'
import { findSignedIn, type SignedIn, touchSession } from '../../issuer/sessions.ts'
import type { ConnectSubject, Ticket } from '../../issuer/ticket.ts'
import { startFromLink } from '../embedded/app-link.ts'
import { type Departure, leave } from './connect-departure.ts'
import { readAnswer } from './connect-form.ts'
import { connectPageAnswer, type Shown } from './connect-page.ts'
import {
  answeredPage,
  noConnectorPage,
  otherAccountPage,
  staleLinkPage,
  unavailablePage,
} from './connect-refusals.ts'
import { type ConnectHouse, findOpen, readyFor } from './connect-rooms.ts'
import { scopesFor } from './connect-scopes.ts'
import { openLink } from './link.ts'

/** Two sign-ins follow each other: people should know which is which. */
const SIGN_IN_LEAD = 'First here, so that we know who you are. Then at the server, to connect it.'

/** The page, after the sign-in that it needs. */
export async function showConnect(
  house: ConnectHouse,
  http: Request,
  name: string,
): Promise<Response> {
  const { searchParams } = new URL(http.url)
  if (searchParams.has('app'))
    return responseOf(await startFromLink(house, http, name, searchParams))
  const jar = readCookies(http, house)
  const signedIn = await findSignedIn(house, jar)
  if (signedIn === undefined) return signInAnswer(house, jar, ownPath(http), SIGN_IN_LEAD)
  touchSession(house, signedIn)
  const subject = readSubject(house, http, name, signedIn)
  if ('refuse' in subject) return subject.refuse(house, name)
  const entry = findOpen(house, signedIn.user.value, name)
  if (entry === undefined) return noConnectorPage(house, name)
  return showFor(house, jar, { signedIn, entry, subject, flowId: createFlowId(house.runtime) })
}

const DECISIONS = ['connect', 'retry'] as const

/** The answer to the page's form: off to the server, or one more look at what was wrong. */
export async function startConnect(
  house: ConnectHouse,
  http: Request,
  name: string,
): Promise<Response> {
  const jar = readCookies(http, house)
  const expected = { purpose: 'connect', decisions: DECISIONS } as const
  const answered = await readAnswer(house, http, jar, name, expected)
  if (answered instanceof Response) return answered
  const { ticket, subject, signedIn, entry, decision } = answered
  const shown = { signedIn, entry, subject, flowId: ticket.flowId }
  if (decision === 'retry') return showFor(house, jar, shown, true)
  const ready = await readyFor(house, name)
  if (!ready.ok) return unavailablePage(house, jar, shown, ready.problems)
  const { binding, client } = ready
  // Found anew since: the page named another server, or none.
  if (subject.shown?.issuer !== binding.issuer) return showFor(house, jar, shown)
  const { scopes } = subject.shown
  return depart(house, jar, ticket, { ...shown, binding, client, scopes })
}

async function showFor(
  house: ConnectHouse,
  jar: CookieJar,
  shown: Shown,
  retry = false,
): Promise<Response> {
  const name = shown.entry.connector.name
  const userId = shown.signedIn.user.value.userId
  const [ready, existing] = await Promise.all([
    readyFor(house, name, retry),
    house.connecting.connections.find(userId, name),
  ])
  if (!ready.ok) return unavailablePage(house, jar, shown, ready.problems)
  const living = existing?.state === 'ended' ? undefined : existing
  const scopes = scopesFor(ready.binding, living, shown.subject)
  return connectPageAnswer(house, jar, shown, { binding: ready.binding, living, scopes })
}

interface Refusing {
  readonly refuse: (house: ConnectHouse, name: string) => Promise<Response>
}

/** What the visit is about, or the page that refuses its link (CLI-13). Nothing is written. */
function readSubject(
  house: ConnectHouse,
  http: Request,
  name: string,
  signedIn: SignedIn,
): ConnectSubject | Refusing {
  const sealed = new URL(http.url).searchParams.get('link')
  if (sealed === null) return { connector: name, scopes: [] }
  const link = openLink(house, sealed)
  if (link === undefined || link === 'expired' || link.connector !== name) {
    const reason = link === 'expired' ? 'link_expired' : 'link_unknown'
    return { refuse: () => staleLinkPage(house, name, reason) }
  }
  if (link.userId !== signedIn.user.value.userId)
    return { refuse: () => otherAccountPage(house, name, signedIn) }
  const { scopes, clientId, clientName } = link
  const client = { clientId, ...(clientName === undefined ? {} : { name: clientName }) }
  return { connector: name, scopes, client }
}

async function depart(
  house: ConnectHouse,
  jar: CookieJar,
  ticket: Ticket,
  { binding, client, scopes, ...shown }: Shown & Pick<Departure, 'binding' | 'client' | 'scopes'>,
): Promise<Response> {
  const { signedIn, subject, flowId } = shown
  const gone = await leave(house, jar, {
    ...{ id: ticket.id, binding, client, scopes, flowId },
    userId: signedIn.user.value.userId,
    ...(subject.client === undefined ? {} : { askedBy: subject.client.clientId }),
  })
  if (gone instanceof Redirect) return gone.toResponse()
  return gone === 'answered'
    ? answeredPage(house, ticket)
    : unavailablePage(house, jar, shown, [gone])
}

/** Below our own origin, so that a sign-in can lead back to it. */
function ownPath(http: Request): string {
  const { pathname, search } = new URL(http.url)
  return `${pathname}${search}`
}
