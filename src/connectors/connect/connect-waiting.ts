/**
 * Answers of a connector's authorization server that wait for a word: which account it is to be, or
 * that a product's own user brought it. Sealed in a row of their own, used once; whoever says nothing
 * in time has said no, and the tokens are given back to the server.
 */
import { createSecret, key } from '../../issuer/ids.ts'
import type { Step, Versioned } from '../../ports.ts'
import { TENANT, type Values } from '../../records.ts'
import { WAITING_KEPT_MS } from '../../vault/connection-rows.ts'
import { refusedStep } from './connect-refusals.ts'
import type { ConnectHouse } from './connect-rooms.ts'
import { type Brought, inputOf, orGiveBack, type Trip } from './connect-trip.ts'
import { type HeldAnswer, openAnswer, sealAnswer } from './connecting-rows.ts'

/** A store that failed is asked again. */
const AGAIN_MS = 60_000
const PAGE_ROWS = 1_000
const PAGES_MAX = 100

export type ConnectingRow = Versioned<'connecting'>

/** @returns The handle that finds it again: 256 random bits, kept as digest. */
export async function holdAnswer(
  house: ConnectHouse,
  trip: Trip,
  { tokens, subject = '' }: Brought,
  {
    ttlMs,
    waitsFor,
  }: { readonly ttlMs: number; readonly waitsFor?: Values['connecting']['waitsFor'] },
): Promise<string> {
  const { runtime, store } = house
  const handle = createSecret(runtime)
  const id = runtime.sha256(handle)
  const givenAtMs = Math.trunc(runtime.nowMs())
  const value: Values['connecting'] = {
    ...trip.attempt,
    ...(waitsFor === undefined ? {} : { waitsFor }),
    answerSealed: sealAnswer(house, id, { tokens, subject, givenAtMs }),
    expiresAtMs: givenAtMs + ttlMs + WAITING_KEPT_MS,
  }
  await orGiveBack(house, trip, { tokens }, () => store.create('connecting', key(id), value))
  giveBackLater(house, id, ttlMs)
  return handle
}

/** `undefined`: damaged, or moved from another row. */
export function openRow(
  house: ConnectHouse,
  { key: at, value }: ConnectingRow,
): HeldAnswer | undefined {
  return openAnswer(house, at.id, value.answerSealed)
}

/** For the word that it waits for. */
export function leftMs({ runtime }: ConnectHouse, { expiresAtMs }: Values['connecting']): number {
  return Math.max(0, expiresAtMs - WAITING_KEPT_MS - runtime.nowMs())
}

/** After a start: questions that were open when the process ended are open on, then given up. */
export async function resumeQuestions(house: ConnectHouse): Promise<void> {
  if (!house.runtime.sharesPromises) return
  for await (const row of allRows(house)) giveBackLater(house, row.key.id, leftMs(house, row.value))
}

/** The same for a platform without timers: what has waited long enough. */
export async function giveBackDue(house: ConnectHouse): Promise<void> {
  for await (const row of allRows(house))
    if (leftMs(house, row.value) === 0) await giveUp(house, row, causeOf(row))
}

async function* allRows({ store }: ConnectHouse): AsyncGenerator<ConnectingRow> {
  let after: string | undefined
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const at = { max: PAGE_ROWS, ...(after === undefined ? {} : { after }) }
    const rows = await store.list('connecting', TENANT, undefined, at)
    yield* rows
    after = rows.at(-1)?.key.id
    if (rows.length < PAGE_ROWS) return
  }
}

function giveBackLater(house: ConnectHouse, id: string, waitMs: number): void {
  const { runtime } = house
  if (!runtime.sharesPromises) return
  const later = () => giveBackLater(house, id, AGAIN_MS)
  runtime.after(waitMs, () => runtime.waitUntil(giveBackUnanswered(house, id).catch(later)))
}

/** Nobody has answered: the tokens end at the server, as after a no. */
async function giveBackUnanswered(house: ConnectHouse, id: string): Promise<void> {
  const row = await house.store.get('connecting', key(id))
  if (row !== undefined) await giveUp(house, row, causeOf(row))
}

function causeOf({ value }: ConnectingRow): string {
  return value.waitsFor === 'confirmation' ? 'not_confirmed' : 'account_unanswered'
}

/** Its word, in the commit of what follows from it: a crash in between loses no token (O15). */
export function wordSteps({ runtime }: ConnectHouse, { key: at }: ConnectingRow): readonly Step[] {
  const attempt = createSecret(runtime)
  const nowMs = runtime.nowMs()
  return [
    { verb: 'consume', kind: 'connecting', key: at, attempt, nowMs },
    { verb: 'remove', kind: 'connecting', key: at },
  ]
}

/** The tokens go back to their server. False when somebody else had the word before. */
export async function giveUp(
  house: ConnectHouse,
  row: ConnectingRow,
  cause: string,
): Promise<boolean> {
  const { store, connecting } = house
  const steps = [...wordSteps(house, row), refusedStep(house, row.value, cause)]
  const answer = openRow(house, row)
  if (answer === undefined) return (await store.commit(steps)).won
  return connecting.connections.giveBack(inputOf(row.value, answer), cause, steps)
}
