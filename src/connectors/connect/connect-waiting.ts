/**
 * Answers of a connector's authorization server that wait for a word: which account it is to be, or
 * that a product's own user brought it. Sealed in a row of their own, used once; whoever says nothing
 * in time has said no, and the tokens are given back to the server.
 */
import { createSecret, key } from '../../issuer/ids.ts'
import type { Versioned } from '../../ports.ts'
import { TENANT, type Values } from '../../records.ts'
import { refusedStep } from './connect-refusals.ts'
import type { ConnectHouse } from './connect-rooms.ts'
import { type Brought, giveBack, orGiveBack, type Trip } from './connect-trip.ts'
import { type HeldAnswer, openAnswer, sealAnswer } from './connecting-rows.ts'

/** The row outlives its question: a process that starts later still finds whose tokens to give back. */
const KEPT_MS = 86_400_000
const RESUMED_MAX = 1_000

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
  const value: Values['connecting'] = {
    ...trip.attempt,
    ...(waitsFor === undefined ? {} : { waitsFor }),
    answerSealed: sealAnswer(house, id, { tokens, subject }),
    expiresAtMs: Math.trunc(runtime.nowMs()) + ttlMs + KEPT_MS,
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
  return Math.max(0, expiresAtMs - KEPT_MS - runtime.nowMs())
}

/** After a start: questions that were open when the process ended are open on, then given up. */
export async function resumeQuestions(house: ConnectHouse): Promise<void> {
  if (!house.runtime.sharesPromises) return
  const rows = await house.store.list('connecting', TENANT, undefined, { max: RESUMED_MAX })
  for (const { key: at, value } of rows) giveBackLater(house, at.id, leftMs(house, value))
}

/** The same for a platform without timers: what has waited long enough. */
export async function giveBackDue(house: ConnectHouse): Promise<void> {
  const rows = await house.store.list('connecting', TENANT, undefined, { max: RESUMED_MAX })
  for (const { key: at, value } of rows)
    if (leftMs(house, value) === 0) await giveBackUnanswered(house, at.id)
}

function giveBackLater(house: ConnectHouse, id: string, waitMs: number): void {
  const { runtime } = house
  if (!runtime.sharesPromises) return
  runtime.after(waitMs, () => runtime.waitUntil(giveBackUnanswered(house, id)))
}

/** Nobody has answered: the tokens end at the server, as after a no. */
async function giveBackUnanswered(house: ConnectHouse, id: string): Promise<void> {
  const { runtime, store } = house
  const once = createSecret(runtime)
  const taken = await store.consume('connecting', key(id), once, runtime.nowMs())
  if (taken === undefined || taken === 'replayed') return
  await store.remove('connecting', key(id))
  const answer = openAnswer(house, id, taken.answerSealed)
  const cause = taken.waitsFor === 'confirmation' ? 'not_confirmed' : 'account_unanswered'
  if (answer !== undefined) await giveBack(house, { attempt: taken }, answer, cause)
  await store.commit([refusedStep(house, taken, cause)])
}
