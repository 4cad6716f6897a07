/**
 * One trip to a connector's authorization server. Starting it writes nothing: all that the answer is
 * held to lies sealed in a cookie of the browser that starts, bound to `state`; `state` and verifier
 * follow from the form by a key of ours, so that one form starts one trip, however often it is sent.
 * What counts once is the end: one conditional write spends the `state` (I3, CLI-06, A1).
 */
import { type CookieJar, createTransactionValue, transactionCookie } from '../../issuer/cookies.ts'
import type { IssuerHouse } from '../../issuer/house.ts'
import { isSpent, type SpentName, spend, spendStep } from '../../issuer/spent.ts'
import { encodeBase64url } from '../../oauth/base64url.ts'
import type { Step } from '../../ports.ts'
import { TENANT, type Values } from '../../records.ts'

/** From the press on the button to the answer (CLI-06). */
export const ATTEMPT_TTL_MS = 600_000
/** Browsers keep cookies of 4 KB with name and attributes. */
const COOKIE_MAX_CHARACTERS = 3_800
const STATE_PATTERN = /^[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{22}$/
const HALF_BYTES = 16

type House = Pick<IssuerHouse, 'runtime' | 'keys' | 'store'>

/** What an answer is held to. */
export type Attempt = Omit<Values['connecting'], 'answerSealed' | 'waitsFor'>

export interface Secrets {
  readonly state: string
  readonly stateDigest: string
  /** RFC 7636, 43 characters. */
  readonly verifier: string
}

/** Of the form with this ticket: the same each time. Without one: new ones. */
export function secretsOf({ runtime, keys }: House, ticketId?: string): Secrets {
  const half = (text: string): string =>
    encodeBase64url(runtime.hmacSha256(keys.ticketKey(), text).slice(0, HALF_BYTES))
  const name =
    ticketId === undefined
      ? encodeBase64url(runtime.randomBytes(HALF_BYTES))
      : half(`connect state\n${ticketId}`)
  const state = `${name}.${half(`connect tag\n${name}`)}`
  return {
    state,
    stateDigest: runtime.sha256(state),
    verifier: verifierOf({ runtime, keys }, state),
  }
}

/** Made here: a state that is not ours spends nothing. */
export function isOurState({ runtime, keys }: House, state: string): boolean {
  if (!STATE_PATTERN.test(state)) return false
  const [name = '', tag = ''] = state.split('.', 2)
  const made = runtime.hmacSha256(keys.ticketKey(), `connect tag\n${name}`).slice(0, HALF_BYTES)
  return runtime.equal(tag, encodeBase64url(made))
}

export function verifierOf({ runtime, keys }: Omit<House, 'store'>, state: string): string {
  return encodeBase64url(runtime.hmacSha256(keys.ticketKey(), `connect verifier\n${state}`))
}

/** `Set-Cookie` lines; `undefined`: it asks for more than a cookie can hold. */
export function keepAttempt(
  { runtime, keys }: House,
  jar: CookieJar,
  stateDigest: string,
  attempt: Attempt,
): readonly string[] | undefined {
  const sealed = runtime.seal(keys.ticketKey(), JSON.stringify(attempt), ownerOf(stateDigest))
  if (sealed.length > COOKIE_MAX_CHARACTERS) return undefined
  return transactionCookie.set(jar, stateDigest, createTransactionValue(runtime, sealed))
}

export function findAttempt(
  { runtime, keys }: House,
  jar: CookieJar,
  stateDigest: string,
): Attempt | 'missing' | 'foreign' {
  const value = transactionCookie.read(jar, stateDigest)
  if (value === undefined) return 'missing'
  const sealed = value.slice(value.indexOf('.') + 1)
  const text = runtime.open(keys.ticketKey(), sealed, ownerOf(stateDigest))
  // Sealed by us for this state, so its shape is ours.
  return text === undefined ? 'foreign' : (JSON.parse(text) as Attempt)
}

/** False when it was spent before: a replay. */
export function spendAttempt(house: House, stateDigest: string): Promise<boolean> {
  return spend(house, nameOf(stateDigest), endOf(house))
}

export function isAttemptSpent(house: House, stateDigest: string): Promise<boolean> {
  return isSpent(house, nameOf(stateDigest))
}

/** As `spendAttempt`, with `also` in the same commit. */
export async function burnAttempt(house: House, stateDigest: string, also: Step): Promise<boolean> {
  const spent = spendStep(house.runtime, nameOf(stateDigest), endOf(house))
  return (await house.store.commit([spent, also])).won
}

function nameOf(stateDigest: string): SpentName {
  return ['connect', stateDigest]
}

/** No cookie that opens for this state lives longer. */
function endOf({ runtime }: House): number {
  return Math.trunc(runtime.nowMs()) + ATTEMPT_TTL_MS
}

function ownerOf(stateDigest: string): string {
  return JSON.stringify([TENANT, 'connect', stateDigest])
}
