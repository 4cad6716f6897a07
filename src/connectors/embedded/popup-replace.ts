/**
 * `GET` and `POST /widget/replace`: the person of an embedding product came back with another account
 * than the connection had, and says which one it is to be. Found by what their browser keeps, so that
 * nobody else can see or answer it; the tokens wait meanwhile and are given back after a no.
 */
import { openForm } from '../../issuer/consent-page.ts'
import { type CookieJar, readCookies, transactionCookie } from '../../issuer/cookies.ts'
import { report } from '../../issuer/house.ts'
import { createSecret, key } from '../../issuer/ids.ts'
import type { EmbeddedTrip } from '../../records.ts'
import { replacementPage } from '../../ui/connect.ts'
import { readForm } from '../connect/connect-form.ts'
import { refusedStep } from '../connect/connect-refusals.ts'
import { type ConnectHouse, type OpenConnector, readyFor } from '../connect/connect-rooms.ts'
import { ended, giveBack, type Trip } from '../connect/connect-trip.ts'
import { type ConnectingRow, leftMs, openRow } from '../connect/connect-waiting.ts'
import type { HeldAnswer } from '../connect/connecting-rows.ts'
import { popupAnswer, troubleAnswer } from './embedded-answers.ts'
import { endTrip, keptByBrowser } from './embedded-end.ts'
import { findEmbeddedPerson, findPlace } from './embedded-person.ts'
import { type Asked, arrive } from './embedded-settle.ts'
import { answeredPopup, stalePopup } from './popup.ts'

export async function showPopupReplacement(house: ConnectHouse, http: Request): Promise<Response> {
  const jar = readCookies(http, house)
  const at = new URL(http.url).searchParams.get('at') ?? ''
  const asked = askedOf(house, jar, at)
  const waiting = asked && (await findWaiting(house, asked.handle))
  if (waiting === undefined) return stalePopup(house, { reason: 'replacement_unknown' })
  const { row, entry, answer } = waiting
  const { connector, userId, flowId } = row.value
  const before = await house.connecting.connections.find(userId, connector)
  const form = openForm(house, jar, {
    purpose: 'embedded-replace',
    connect: { connector, scopes: [], handle: at },
    flowId,
  })
  const page = replacementPage(house.pages, {
    action: `${house.paths.widget}/replace`,
    ticket: form.ticket,
    flowId,
    title: entry.title ?? connector,
    before: before?.accountLabel ?? before?.accountSubject ?? 'The account you had',
    after: answer.subject,
  })
  return popupAnswer(page, [form.cookie])
}

const DECISIONS = ['replace', 'keep'] as const

export async function decidePopupReplacement(
  house: ConnectHouse,
  http: Request,
): Promise<Response> {
  const jar = readCookies(http, house)
  const expected = { purpose: 'embedded-replace', decisions: DECISIONS } as const
  const read = await readForm(house, http, jar, expected)
  if (!read.ok) return stalePopup(house, { reason: read.reason, status: read.status })
  const { ticket, subject, decision } = read
  const about = { connector: subject.connector, flowId: ticket.flowId }
  const at = subject.handle ?? ''
  const asked = askedOf(house, jar, at)
  const waiting = asked && (await findWaiting(house, asked.handle))
  if (waiting === undefined) return stalePopup(house, { reason: 'replacement_unknown', ...about })
  const { row, entry, embedded, answer } = waiting
  const { connector, userId } = row.value
  const title = entry.title ?? connector
  const ready = await readyFor(house, connector)
  if (!ready.ok) return troubleAnswer(house, { connector, title, userId }, ready.problems)
  const person = await findEmbeddedPerson(house, http, row.value, embedded)
  if (person instanceof Response) return person
  const [isProved, reason] = typeof person === 'string' ? [false, person] : [person.isProved]
  const once = createSecret(house.runtime)
  const taken = await house.store.consume('connecting', row.key, once, house.runtime.nowMs())
  if (taken === undefined || taken === 'replayed') return answeredPopup(house, about)
  await house.store.remove('connecting', row.key)
  const { binding, client } = ready
  const cookies = [transactionCookie.drop(jar, at)]
  const attempt = taken
  const trip: Trip = { jar, entry, attempt, binding, client, cookies, isProved }
  // The tokens are for the server that gave them (CLI-04), and for nobody who is somebody else (O1).
  const lost = binding.issuer !== attempt.issuer ? 'issuer_changed' : reason
  if (lost !== undefined) {
    await giveBack(house, trip, answer, lost)
    return ended(house, trip, lost)
  }
  if (decision === 'replace') return arrive(house, trip, embedded, answer)
  await giveBack(house, trip, answer, 'account_kept')
  await house.store.commit([refusedStep(house, taken, 'account_kept')])
  report(house, { type: 'connection.refused', reason: 'account_kept', userId, ...about })
  return endTrip(house, jar, embedded, { end: 'failed', code: 'account_kept' }, cookies)
}

function askedOf(house: ConnectHouse, jar: CookieJar, at: string): Asked | undefined {
  // Sealed by us for this name, so its shape is ours.
  const kept = keptByBrowser(house, jar, at) as Partial<Asked> | undefined
  return kept?.handle === undefined ? undefined : (kept as Asked)
}

interface Waiting {
  readonly row: ConnectingRow
  readonly entry: OpenConnector
  readonly embedded: EmbeddedTrip
  readonly answer: HeldAnswer
}

async function findWaiting(house: ConnectHouse, handle: string): Promise<Waiting | undefined> {
  const row = await house.store.get('connecting', key(house.runtime.sha256(handle)))
  const { embedded, waitsFor, connector } = row?.value ?? {}
  if (row === undefined || embedded === undefined || connector === undefined) return undefined
  if (waitsFor !== undefined || leftMs(house, row.value) === 0) return undefined
  const place = findPlace(house, embedded, connector)
  const answer = openRow(house, row)
  if (place === undefined || answer === undefined) return undefined
  return { row, entry: place.entry, embedded, answer }
}
