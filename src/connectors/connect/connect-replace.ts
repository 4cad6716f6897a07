/**
 * The person came back with another account than the connection had: nothing changes until they say
 * which one it is to be. Its tokens wait sealed in a row of their own, ten minutes, for one answer of
 * the same account; a no gives them back to the server.
 */
import { pageAnswer, redirectAnswer } from '../../issuer/answers.ts'
import { openForm } from '../../issuer/consent-page.ts'
import { readCookies } from '../../issuer/cookies.ts'
import { report } from '../../issuer/house.ts'
import { createSecret, key } from '../../issuer/ids.ts'
import { findSignedIn, type SignedIn } from '../../issuer/sessions.ts'
import { replacementPage } from '../../ui/connect.ts'
import { readAnswer } from './connect-form.ts'
import { noConnectorPage, refusedStep, staleFormPage, unavailablePage } from './connect-refusals.ts'
import { type ConnectHouse, findOpen, readyFor } from './connect-rooms.ts'
import { type Brought, connect, ended, giveBack, type Trip } from './connect-trip.ts'
import { holdAnswer, leftMs, openRow } from './connect-waiting.ts'

const REPLACEMENT_TTL_MS = 600_000

/** Off the URL with the code at once (W6); the page is found by a handle that this account alone can use. */
export async function askWhichAccount(
  house: ConnectHouse,
  trip: Trip,
  answer: Brought,
): Promise<Response> {
  const { attempt, cookies } = trip
  const handle = await holdAnswer(house, trip, answer, { ttlMs: REPLACEMENT_TTL_MS })
  return redirectAnswer(
    `${house.paths.connect}/${attempt.connector}/replace?handle=${handle}`,
    cookies,
  )
}

export async function showReplacement(
  house: ConnectHouse,
  http: Request,
  name: string,
): Promise<Response> {
  const jar = readCookies(http, house)
  const handle = new URL(http.url).searchParams.get('handle') ?? ''
  const signedIn = await findSignedIn(house, jar)
  const waiting = await findWaiting(house, handle, name, signedIn)
  if (signedIn === undefined || waiting === undefined)
    return staleFormPage(house, name, 'replacement_unknown', 400)
  const { attempt, answer } = waiting
  const entry = findOpen(house, signedIn.user.value, name)
  if (entry === undefined) return noConnectorPage(house, name)
  const before = await house.connecting.connections.find(attempt.userId, name)
  const { userId, flowId } = attempt
  const form = openForm(house, jar, {
    purpose: 'replace',
    shownUserId: userId,
    connect: { connector: name, scopes: [], handle },
    flowId,
  })
  const page = replacementPage(house.pages, {
    action: `${house.paths.connect}/${name}/replace`,
    ticket: form.ticket,
    flowId,
    title: entry.title ?? name,
    before: before?.accountLabel ?? before?.accountSubject ?? 'The account you had',
    after: answer.subject,
  })
  return pageAnswer(page, 200, [form.cookie])
}

const DECISIONS = ['replace', 'keep'] as const

export async function decideReplacement(
  house: ConnectHouse,
  http: Request,
  name: string,
): Promise<Response> {
  const { runtime, store } = house
  const jar = readCookies(http, house)
  const expected = { purpose: 'replace', decisions: DECISIONS } as const
  const answered = await readAnswer(house, http, jar, name, expected)
  if (answered instanceof Response) return answered
  const { ticket, subject, signedIn, entry, decision } = answered
  const { handle = '' } = subject
  const waiting = await findWaiting(house, handle, name, signedIn)
  if (waiting === undefined) return staleFormPage(house, name, 'replacement_unknown', 400, ticket)
  const ready = await readyFor(house, name)
  if (!ready.ok) {
    const shown = {
      signedIn,
      entry,
      subject: { connector: name, scopes: [] },
      flowId: ticket.flowId,
    }
    return unavailablePage(house, jar, shown, ready.problems)
  }
  const at = key(runtime.sha256(handle))
  const once = createSecret(runtime)
  const consumed = await store.consume('connecting', at, once, runtime.nowMs())
  if (consumed === undefined || consumed === 'replayed')
    return staleFormPage(house, name, 'replacement_answered', 400, ticket)
  await store.remove('connecting', at)
  const { binding, client } = ready
  const cookies: readonly string[] = []
  const trip = { jar, entry, attempt: consumed, binding, client, cookies }
  // The tokens are for the server that gave them, and for nobody who came in its place (CLI-04).
  if (binding.issuer !== consumed.issuer) {
    await giveBack(house, { attempt: consumed }, waiting.answer, 'issuer_changed')
    return ended(house, trip, 'issuer_changed')
  }
  if (decision === 'replace') return connect(house, trip, waiting.answer)
  await giveBack(house, trip, waiting.answer, 'account_kept')
  await store.commit([refusedStep(house, consumed, 'account_kept')])
  const { userId, flowId } = consumed
  const about = { userId, connector: name, flowId }
  report(house, { type: 'connection.refused', reason: 'account_kept', ...about })
  return redirectAnswer(`${house.paths.connect}?done=kept`)
}

async function findWaiting(
  house: ConnectHouse,
  handle: string,
  name: string,
  signedIn: SignedIn | undefined,
) {
  const id = house.runtime.sha256(handle)
  const row = await house.store.get('connecting', key(id))
  if (row === undefined || leftMs(house, row.value) === 0) return undefined
  const { userId, connector, embedded } = row.value
  if (connector !== name || signedIn?.user.value.userId !== userId) return undefined
  const answer = embedded === undefined ? openRow(house, row) : undefined
  return answer === undefined ? undefined : { attempt: row.value, answer }
}
