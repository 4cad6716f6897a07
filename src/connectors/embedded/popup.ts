/**
 * `GET` and `POST /widget/popup`: the page between a product and a connector's authorization server,
 * on our own origin and at top level. It names product, server and scopes; "Continue" binds the trip to
 * this browser and leaves. Showing it writes nothing; answering it takes its handle, once.
 * @see flows.md section 7, steps 3 and 4; CLI-24, W1, W2, W7
 */
import { Redirect } from '../../issuer/answers.ts'
import { openForm } from '../../issuer/consent-page.ts'
import { type CookieJar, readCookies } from '../../issuer/cookies.ts'
import { report } from '../../issuer/house.ts'
import { createFlowId } from '../../issuer/ids.ts'
import type { ConnectSubject } from '../../issuer/ticket.ts'
import { popupPage } from '../../ui/embedded.ts'
import { leave } from '../connect/connect-departure.ts'
import { readForm } from '../connect/connect-form.ts'
import { type ConnectHouse, type OpenConnector, readyFor } from '../connect/connect-rooms.ts'
import { scopesFor } from '../connect/connect-scopes.ts'
import { popupAnswer, popupRefusal, type Refused, troubleAnswer } from './embedded-answers.ts'
import { endTrip } from './embedded-end.ts'
import { findPlace } from './embedded-person.ts'
import { type Handle, openHandle, takeHandle } from './handles.ts'

export async function showPopup(house: ConnectHouse, http: Request): Promise<Response> {
  const handle = openHandle(house, new URL(http.url).searchParams.get('handle') ?? '')
  if (handle === undefined || handle === 'expired')
    return stalePopup(house, { reason: handle === 'expired' ? 'handle_expired' : 'handle_unknown' })
  const { connector, userId, ...trip } = handle
  const place = findPlace(house, handle, connector)
  if (place === undefined) return stalePopup(house, { reason: 'app_changed' })
  const [ready, existing] = await Promise.all([
    readyFor(house, connector),
    house.connecting.connections.find(userId, connector),
  ])
  const title = place.entry.title ?? connector
  if (!ready.ok) return troubleAnswer(house, { connector, title, userId }, ready.problems)
  const { binding } = ready
  const living = existing?.state === 'ended' ? undefined : existing
  const scopes = scopesFor(binding, living, { scopes: [] })
  const form = openForm(house, readCookies(http, house), {
    purpose: 'embedded',
    connect: {
      connector,
      scopes: [],
      shown: { issuer: binding.issuer, scopes },
      embedded: { ...withoutEnd(trip), userId },
    },
    flowId: createFlowId(house.runtime),
  })
  const label = living?.accountLabel ?? living?.accountSubject
  const page = popupPage(house.pages, {
    action: `${house.paths.widget}/popup`,
    ticket: form.ticket,
    flowId: form.flowId,
    app: place.app.name,
    appHost: URL.parse(handle.origin ?? handle.returnUrl ?? '')?.host ?? '',
    title,
    server: place.entry.connector.url.href,
    signInHost: URL.parse(binding.server.authorization_endpoint)?.host ?? '',
    scopes,
    ...(living === undefined
      ? {}
      : {
          existing: {
            state: living.state === 'active' ? 'active' : 'reconnect',
            ...(label === undefined ? {} : { label }),
          },
        }),
  })
  return popupAnswer(page, [form.cookie])
}

function withoutEnd({ expiresAtMs: _, ...trip }: Omit<Handle, 'connector' | 'userId'>) {
  return trip
}

const DECISIONS = ['connect', 'cancel'] as const

export async function decidePopup(house: ConnectHouse, http: Request): Promise<Response> {
  const jar = readCookies(http, house)
  const expected = { purpose: 'embedded', decisions: DECISIONS } as const
  const read = await readForm(house, http, jar, expected)
  if (!read.ok) {
    const { reason, status, ticket } = read
    return stalePopup(house, { reason, status, ...(ticket && { flowId: ticket.flowId }) })
  }
  const { ticket, subject, decision } = read
  const { connector, embedded } = subject
  const about = { connector, flowId: ticket.flowId }
  const place = embedded && findPlace(house, embedded, connector)
  if (embedded === undefined || place === undefined)
    return stalePopup(house, { reason: 'app_changed', ...about })
  const { formDigest } = ticket
  if (!(await takeHandle(house, embedded.attempt, { formDigest, decision })))
    return answeredPopup(house, about)
  const { userId, ...trip } = embedded
  if (decision === 'cancel') {
    report(house, {
      type: 'connection.refused',
      reason: 'cancelled',
      userId,
      app: trip.app,
      ...about,
    })
    return endTrip(house, jar, trip, { end: 'failed', code: 'cancelled' })
  }
  return departFrom(house, jar, { subject, embedded, entry: place.entry, flowId: ticket.flowId })
}

async function departFrom(
  house: ConnectHouse,
  jar: CookieJar,
  visit: {
    readonly subject: ConnectSubject
    readonly embedded: NonNullable<ConnectSubject['embedded']>
    readonly entry: OpenConnector
    readonly flowId: string
  },
): Promise<Response> {
  const { subject, entry, flowId } = visit
  const { userId, ...embedded } = visit.embedded
  const { name: connector } = entry.connector
  const about = { connector, title: entry.title ?? connector, userId }
  const ready = await readyFor(house, connector)
  if (!ready.ok) return troubleAnswer(house, about, ready.problems)
  const { binding, client } = ready
  // Found anew since: the page named another server.
  if (subject.shown?.issuer !== binding.issuer)
    return stalePopup(house, { reason: 'issuer_changed', connector, flowId })
  const { scopes } = subject.shown
  const id = embedded.attempt
  const gone = await leave(house, jar, { id, binding, client, userId, flowId, scopes, embedded })
  if (gone instanceof Redirect) return gone.toResponse()
  return gone === 'answered'
    ? answeredPopup(house, { connector, flowId })
    : troubleAnswer(house, about, [gone])
}

export function stalePopup(house: ConnectHouse, about: Refused): Promise<Response> {
  const message = {
    side: 'you',
    title: 'This page can no longer be used',
    text: 'It is too old, was opened elsewhere, or is not complete.',
  } as const
  return popupRefusal(house, message, about)
}

/** Another browser was first, or this one said something else (W7). */
export function answeredPopup(
  house: ConnectHouse,
  about: { readonly connector: string; readonly flowId: string },
): Promise<Response> {
  const message = {
    side: 'you',
    title: 'Already answered',
    text: 'This page was answered before, here or in another browser. Nothing happened a second time.',
  } as const
  return popupRefusal(house, message, { reason: 'form_replayed', status: 409, ...about })
}
