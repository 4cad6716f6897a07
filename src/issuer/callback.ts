/**
 * `GET /callback/{provider}`: is this the answer to a trip that this very browser started, from the
 * provider it was sent to? Every check comes before the attempt is consumed, and `iss` before `error`
 * is read (A1, A12, A13, CON-03). What is accepted goes on in `sign-in.ts`.
 */
import { OAuthError } from '../errors.ts'
import { Parameters } from '../oauth/parameters.ts'
import type { Versioned } from '../ports.ts'
import type { Values } from '../records.ts'
import { providerFailedPage } from './attempt.ts'
import { auditStep } from './audit.ts'
import { type CookieJar, readCookies, transactionCookie } from './cookies.ts'
import { findProvider, type IssuerHouse, type IssuerProvider } from './house.ts'
import { createFlowId, createSecret, key } from './ids.ts'
import { refusalPage } from './refusals.ts'
import { continueSignIn } from './sign-in.ts'
import type { Answered } from './sign-in-refusals.ts'

const STATE_MAX_CHARACTERS = 512

export async function callback(house: IssuerHouse, http: Request): Promise<Response> {
  const parameters = readResponse(http)
  const state = parameters?.get('state')
  if (parameters === undefined || state === undefined || state.length > STATE_MAX_CHARACTERS) {
    return refused(house, 'state_missing')
  }
  const stateDigest = house.runtime.sha256(state)
  const attempt = await house.store.get('attempt', key(stateDigest))
  if (attempt === undefined || attempt.value.expiresAtMs <= house.runtime.nowMs())
    return refused(house, 'state_unknown')
  const transaction = await house.store.get('transaction', key(attempt.value.transactionId))
  if (transaction === undefined) return refused(house, 'state_unknown')

  const jar = readCookies(http, house)
  const entry = findProvider(house, attempt.value.provider)
  const arrived: Arrived = {
    jar,
    path: new URL(http.url).pathname,
    parameters,
    attempt,
    transaction,
    entry,
  }
  const { flowId } = transaction.value
  let wrong: string | undefined
  try {
    wrong = await whatIsWrong(house, arrived)
  } catch (error) {
    // Whether `iss` is needed could not be found out: nothing is consumed, the person may try again.
    if (entry === undefined) throw error
    return providerFailedPage(house, jar, transaction.value, entry, error)
  }
  if (wrong !== undefined || entry === undefined) {
    await burn(house, attempt, transaction.value, wrong ?? 'provider_unknown')
    return refused(house, wrong ?? 'provider_unknown', flowId, transaction.value.request?.clientId)
  }
  const consumed = await house.store.consume(
    'attempt',
    attempt.key,
    createSecret(house.runtime),
    house.runtime.nowMs(),
  )
  if (consumed === 'replayed') return refused(house, 'state_replayed', flowId)
  if (consumed === undefined) return refused(house, 'state_unknown', flowId)
  const answered: Answered = {
    jar,
    entry,
    parameters,
    stateDigest,
    attempt: consumed,
    transaction: transaction.value,
    transactionId: attempt.value.transactionId,
  }
  return continueSignIn(house, answered)
}

interface Arrived {
  readonly jar: CookieJar
  readonly path: string
  readonly parameters: Parameters
  readonly attempt: Versioned<'attempt'>
  readonly transaction: Versioned<'transaction'>
  readonly entry: IssuerProvider | undefined
}

/** The stable reason of a refusal, or `undefined` when this answer is the one that was waited for. */
async function whatIsWrong(house: IssuerHouse, arrived: Arrived): Promise<string | undefined> {
  const { jar, path, parameters, attempt, transaction, entry } = arrived
  const cookie = transactionCookie.read(jar, attempt.value.transactionId)
  const digest = transaction.value.cookieDigest
  if (cookie === undefined || digest === undefined) return 'browser_cookie_missing'
  if (!house.runtime.equal(house.runtime.sha256(cookie), digest)) return 'browser_cookie_foreign'
  if (entry === undefined) return 'provider_unknown'
  const base = house.issuerUrl.pathname.replace(/\/$/, '')
  if (path !== `${base}${attempt.value.callbackPath}`) return 'callback_of_other_provider'
  if (entry.provider.issuer !== attempt.value.issuer) return 'iss_changed'
  const judged = await entry.provider.judgeIssuer(entry.context, parameters.get('iss'))
  return judged === 'right' ? undefined : `iss_${judged}`
}

/** The attempt dies with the refusal: whoever holds the right cookie cannot use it either (A1). */
async function burn(
  house: IssuerHouse,
  attempt: Versioned<'attempt'>,
  { flowId, request }: Values['transaction'],
  reason: string,
): Promise<void> {
  const about = request === undefined ? {} : { clientId: request.clientId }
  const { store, runtime } = house
  // Lost: it is consumed already, and whoever did that has written the row.
  await store.commit([
    {
      verb: 'consume',
      kind: 'attempt',
      key: attempt.key,
      attempt: createSecret(runtime),
      nowMs: runtime.nowMs(),
    },
    auditStep(house, 'signin.refused', { ...about, detail: `${reason} ${flowId}` }),
  ])
}

const UNKNOWN = 'This sign-in is too old, was finished before, or was started somewhere else.'
const FOREIGN =
  'This sign-in was started in another browser. Only the browser that allowed it can finish it.'

function refused(
  house: IssuerHouse,
  reason: string,
  flowId?: string,
  clientId?: string,
): Promise<Response> {
  return refusalPage(
    house,
    {
      side: 'you',
      title: 'This sign-in cannot be finished here',
      text: reason.startsWith('browser_cookie') ? FOREIGN : UNKNOWN,
      fix: 'Nothing was shared. If you did not start it, close this page. Else start again from the app.',
    },
    {
      reason,
      flowId: flowId ?? createFlowId(house.runtime),
      ...(clientId === undefined ? {} : { clientId }),
    },
  )
}

/** The parameters of an authorization response; `undefined` for what is none, such as a repeated name. */
export function readResponse(http: Request): Parameters | undefined {
  try {
    return Parameters.parse(new URL(http.url).search.slice(1))
  } catch (error) {
    if (error instanceof OAuthError) return undefined
    throw error
  }
}
