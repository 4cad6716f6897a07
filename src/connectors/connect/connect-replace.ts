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
import { TENANT, type Values } from '../../records.ts'
import { replacementPage } from '../../ui/connect.ts'
import type { TokenCall } from '../client/token-calls.ts'
import { readAnswer } from './connect-form.ts'
import { noConnectorPage, refusedStep, staleFormPage, unavailablePage } from './connect-refusals.ts'
import { type ConnectHouse, findOpen, readyFor } from './connect-rooms.ts'
import { connect, ended, giveBack, orGiveBack, type Trip } from './connect-trip.ts'
import { openAnswer, sealAnswer } from './connecting-rows.ts'

const REPLACEMENT_TTL_MS = 600_000
/** The row outlives its question: a process that starts later still finds whose tokens to give back. */
const KEPT_MS = 86_400_000
const RESUMED_MAX = 1_000

/** Off the URL with the code at once (W6); the page is found by a handle that this account alone can use. */
export async function askWhichAccount(
  house: ConnectHouse,
  trip: Trip,
  { tokens, subject = '' }: Extract<TokenCall, { outcome: 'yes' }>,
): Promise<Response> {
  const { runtime, store } = house
  const { attempt, cookies } = trip
  const handle = createSecret(runtime)
  const id = runtime.sha256(handle)
  const value: Values['connecting'] = {
    ...attempt,
    answerSealed: sealAnswer(house, id, { tokens, subject }),
    expiresAtMs: Math.trunc(runtime.nowMs()) + REPLACEMENT_TTL_MS + KEPT_MS,
  }
  await orGiveBack(house, trip, { tokens }, () => store.create('connecting', key(id), value))
  giveBackLater(house, id, REPLACEMENT_TTL_MS)
  return redirectAnswer(
    `${house.paths.connect}/${attempt.connector}/replace?handle=${handle}`,
    cookies,
  )
}

/** After a start: questions that were open when the process ended are open on, then given up. */
export async function resumeQuestions(house: ConnectHouse): Promise<void> {
  if (!house.runtime.sharesPromises) return
  const rows = await house.store.list('connecting', TENANT, undefined, { max: RESUMED_MAX })
  for (const { key: at, value } of rows) giveBackLater(house, at.id, leftMs(house, value))
}

function giveBackLater(house: ConnectHouse, id: string, waitMs: number): void {
  const { runtime } = house
  if (!runtime.sharesPromises) return
  runtime.after(waitMs, () => runtime.waitUntil(giveBackUnanswered(house, id)))
}

/** For the person's answer. */
function leftMs({ runtime }: ConnectHouse, { expiresAtMs }: Values['connecting']): number {
  return Math.max(0, expiresAtMs - KEPT_MS - runtime.nowMs())
}

/** Nobody has answered: the tokens end at the server, as after a no. */
async function giveBackUnanswered(house: ConnectHouse, id: string): Promise<void> {
  const { runtime, store } = house
  const once = createSecret(runtime)
  const taken = await store.consume('connecting', key(id), once, runtime.nowMs())
  if (taken === undefined || taken === 'replayed') return
  await store.remove('connecting', key(id))
  const answer = openAnswer(house, id, taken.answerSealed)
  if (answer !== undefined) await giveBack(house, { attempt: taken }, answer, 'account_unanswered')
  await store.commit([refusedStep(house, taken, 'account_unanswered')])
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
  const { userId, connector, answerSealed } = row.value
  if (connector !== name || signedIn?.user.value.userId !== userId) return undefined
  const answer = openAnswer(house, id, answerSealed)
  return answer === undefined ? undefined : { attempt: row.value, answer }
}
