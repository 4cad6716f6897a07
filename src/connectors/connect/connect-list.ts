/**
 * `/connect`: every account that a person has linked or may link, what is wrong with it in words, and
 * the form that ends it. The same rows are on `/account` and their states on `/`. Only the person's own
 * rows are searched, so the name of a foreign one finds nothing (O6). Asks nobody outside (O15).
 */
import { pageAnswer, redirectAnswer } from '../../issuer/answers.ts'
import { isSameOrigin, readForm } from '../../issuer/consent.ts'
import { signInAnswer } from '../../issuer/consent-page.ts'
import { readCookies } from '../../issuer/cookies.ts'
import type { IssuerHouse } from '../../issuer/house.ts'
import { findSignedIn, type SignedIn, touchSession } from '../../issuer/sessions.ts'
import { createTicket, openTicket, sealTicket } from '../../issuer/ticket.ts'
import { connectionsPage, DONE_WORDS, type ShownConnection } from '../../ui/connect.ts'
import type { ConnectionView } from '../connections/connections.ts'
import { staleFormPage } from './connect-refusals.ts'
import { type ConnectHouse, findOpen, linkable, type OpenConnector } from './connect-rooms.ts'

export async function showConnections(house: ConnectHouse, http: Request): Promise<Response> {
  const jar = readCookies(http, house)
  const signedIn = await findSignedIn(house, jar, { own: true })
  if (signedIn === undefined) return signInAnswer(house, jar, house.paths.connect)
  touchSession(house, signedIn)
  const done = readDone(new URL(http.url).searchParams.get('done'))
  const page = connectionsPage(house.pages, {
    action: house.paths.connect,
    accountPath: house.paths.account,
    ticket: accountTicket(house, signedIn),
    connections: await describeConnections(house, signedIn),
    ...(done === undefined ? {} : { done }),
  })
  return pageAnswer(page)
}

function readDone(text: string | null): keyof typeof DONE_WORDS | undefined {
  const words = Object.keys(DONE_WORDS) as readonly (keyof typeof DONE_WORDS)[]
  return words.find((word) => word === text)
}

/** Bound to this very session: another one, or none, cannot answer the form (W2). */
function accountTicket(house: IssuerHouse, { digest, user }: SignedIn): string {
  const { runtime, keys } = house
  const subject = { purpose: 'account', shownUserId: user.value.userId } as const
  return sealTicket(runtime, keys.ticketKey(), createTicket(runtime, digest, subject))
}

/** `POST /connect`: ends one connection. Ending twice is ending once (W7). */
export async function endFromConnections(house: ConnectHouse, http: Request): Promise<Response> {
  const { runtime, keys, paths } = house
  const jar = readCookies(http, house)
  if (!isSameOrigin(house, http)) return staleFormPage(house, '', 'form_cross_site', 403)
  const form = await readForm(http)
  const connectionId = /^connection:(.{1,100})$/.exec(form?.get('end') ?? '')?.[1]
  if (connectionId === undefined) return staleFormPage(house, '', 'form_malformed', 400)
  const signedIn = await findSignedIn(house, jar, { own: true })
  if (signedIn === undefined) return signInAnswer(house, jar, paths.connect)
  const ticket = openTicket(runtime, keys.ticketKey(), form?.get('ticket') ?? '')
  if (
    ticket?.purpose !== 'account' ||
    !runtime.equal(runtime.sha256(signedIn.digest), ticket.formDigest) ||
    ticket.shownUserId !== signedIn.user.value.userId
  ) {
    return staleFormPage(house, '', 'form_ticket', 403)
  }
  if (ticket.expiresAtMs <= runtime.nowMs())
    return staleFormPage(house, '', 'form_expired', 400, ticket)
  const done = await endConnection(house, signedIn, connectionId)
  const back = form?.get('from') === 'account' ? paths.account : paths.connect
  return redirectAnswer(`${back}?done=${done}`)
}

/** One of the person's own, or nothing; both are done. Says what becomes of it at the server (O15). */
export async function endConnection(
  { connecting }: Pick<ConnectHouse, 'connecting'>,
  { user }: SignedIn,
  connectionId: string,
): Promise<'disconnected' | 'disconnected-here'> {
  const own = await connecting.connections.list(user.value.userId)
  const found = own.find((connection) => connection.connectionId === connectionId)
  if (found === undefined) return 'disconnected'
  const ended = await connecting.connections.end(found.connectionId, 'ended_by_user')
  return ended?.revocation === 'unsupported' ? 'disconnected-here' : 'disconnected'
}

/** What may be linked and what is, in the order of the configuration; then what is no longer open. */
export async function describeConnections(
  house: ConnectHouse,
  { user }: SignedIn,
): Promise<readonly ShownConnection[]> {
  const own = await house.connecting.connections.list(user.value.userId)
  const open = linkable(house).filter(
    ({ connector }) => findOpen(house, user.value, connector.name) !== undefined,
  )
  const names = new Set(open.map(({ connector }) => connector.name))
  return [
    ...open.map((entry) =>
      describeOpen(
        house,
        entry,
        own.find(({ connector }) => connector === entry.connector.name),
      ),
    ),
    ...own
      .filter(({ connector }) => !names.has(connector))
      .map((view) => describeGone(house, view)),
  ]
}

function describeOpen(
  { connecting, paths }: ConnectHouse,
  { connector, title = connector.name }: OpenConnector,
  view: ConnectionView | undefined,
): ShownConnection {
  const trouble = connecting.lifecycle.status(connector.name)?.problems[0]
  const isUsable = connecting.lifecycle.binding(connector.name) !== undefined
  return {
    connector: connector.name,
    title,
    host: connector.url.host,
    state: view === undefined || view.state === 'ended' ? 'none' : view.state,
    connectPath: `${paths.connect}/${connector.name}`,
    ...factsOf(view),
    // What is only degraded works: a visitor has nothing to do about it.
    ...(trouble === undefined || isUsable ? {} : { trouble }),
  }
}

function describeGone({ config }: ConnectHouse, view: ConnectionView): ShownConnection {
  const known = config.connectors.find(({ name }) => name === view.connector)
  return {
    connector: view.connector,
    title: known?.title ?? view.connector,
    host: known?.url.host ?? view.connector,
    state: 'gone',
    ...factsOf(view),
  }
}

function factsOf(
  view: ConnectionView | undefined,
): Pick<ShownConnection, 'label' | 'scopes' | 'sinceMs' | 'connectionId'> {
  if (view === undefined) return { scopes: [] }
  const { scopes, connectedAtMs: sinceMs, connectionId } = view
  const label = view.accountLabel ?? view.accountSubject
  return { scopes, sinceMs, connectionId, ...(label === undefined ? {} : { label }) }
}
