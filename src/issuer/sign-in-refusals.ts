/**
 * How a sign-in ends without one after the provider has answered: the person's no, the provider's
 * error, a mistake in the set-up, an account that may not come in. Upstream text goes nowhere (AZ-23).
 */
import type { Parameters } from '../oauth/parameters.ts'
import type { SetUpMistake } from '../providers/provider.ts'
import type { Values } from '../records.ts'
import { auditStep } from './audit.ts'
import { openForm } from './consent-page.ts'
import { type CookieJar, transactionCookie } from './cookies.ts'
import { type IssuerHouse, type IssuerProvider, report } from './house.ts'
import { redirectError, refusalPage, returnPage } from './refusals.ts'

/** An answer of the provider that passed every check of `callback.ts`; its attempt is consumed. */
export interface Answered {
  readonly jar: CookieJar
  readonly entry: IssuerProvider
  readonly parameters: Parameters
  readonly stateDigest: string
  readonly attempt: Values['attempt']
  readonly transaction: Values['transaction']
  readonly transactionId: string
}

/**
 * The audit row of a sign-in that the consumed attempt ended in a no. What the provider only failed to
 * answer leaves none: the person tries again.
 */
export async function auditRefusal(
  house: IssuerHouse,
  { transaction }: Answered,
  reason: string,
  userId?: string,
): Promise<void> {
  const { request, flowId } = transaction
  await house.store.commit([
    auditStep(house, 'signin.refused', {
      detail: `${reason} ${flowId}`,
      ...(userId === undefined ? {} : { userId }),
      ...(request === undefined ? {} : { clientId: request.clientId }),
    }),
  ])
}

/** AZ-23: the person's no is `access_denied`, everything else `server_error`; upstream text goes nowhere. */
export async function upstreamError(
  house: IssuerHouse,
  answered: Answered,
  error: string,
): Promise<Response> {
  const { transaction, entry } = answered
  const { request, flowId } = transaction
  const cookies = [dropCookie(answered)]
  const mistake = entry.provider.explain?.(error, entry.context.redirectUri)
  if (mistake !== undefined) return mistakePage(house, answered, mistake)
  const denied = error === 'access_denied'
  const reason = denied ? 'denied_at_provider' : 'provider_error'
  await auditRefusal(house, answered, reason)
  if (request !== undefined) {
    return redirectError(
      house,
      request,
      { error: denied ? 'access_denied' : 'server_error', reason, flowId },
      cookies,
    )
  }
  const { title } = entry.provider
  const message = {
    side: denied ? ('you' as const) : ('provider' as const),
    title: denied ? 'You said no' : `${title} could not sign you in`,
    text: denied
      ? `You did not allow the sign-in at ${title}.`
      : `${title} answered with an error.`,
    link: { path: transaction.returnTo ?? house.paths.home, text: 'Start again' },
  }
  return refusalPage(house, message, { reason, flowId }, { cookies })
}

/** The operator's line goes to the log in full; the page shows what a visitor may know. */
export function mistakePage(
  house: IssuerHouse,
  answered: Answered,
  mistake: SetUpMistake,
): Promise<Response> {
  const { transaction, entry } = answered
  const { request, flowId } = transaction
  const isCallback = mistake.code === 'ERR_PROVIDER_CALLBACK'
  const { code, problem, fix } = mistake
  report(house, { type: 'server.warning', level: 'error', reason: code, problem, fix, flowId })
  const message = {
    side: 'server' as const,
    title: `This server is not set up right at ${entry.provider.title}`,
    text: problem,
    fix: isCallback
      ? fix
      : 'Whoever runs this server finds what to do in its log, under this flow.',
    code,
  }
  const reason = isCallback ? 'provider_callback' : 'provider_client'
  const answer = { cookies: [dropCookie(answered)] }
  if (request === undefined) return refusalPage(house, message, { reason, flowId }, answer)
  return returnPage(house, request, { error: 'server_error', reason, flowId }, message, answer)
}

export async function notAllowed(
  house: IssuerHouse,
  answered: Answered,
  reason: 'not_allowed' | 'user_disabled',
  userId?: string,
): Promise<Response> {
  await auditRefusal(house, answered, reason, userId)
  const { transaction, entry, jar } = answered
  const { request, flowId } = transaction
  const { provider } = entry
  const form = openForm(house, jar, {
    flowId,
    ...(request === undefined ? {} : { request }),
    ...(transaction.returnTo === undefined ? {} : { returnTo: transaction.returnTo }),
  })
  const message = {
    side: 'you' as const,
    title:
      reason === 'user_disabled'
        ? 'This account is switched off'
        : 'This account may not sign in here',
    text:
      reason === 'user_disabled'
        ? 'An administrator has switched this account off.'
        : `You are signed in to ${provider.title}, but this server is not open to that account.`,
    fix: 'Use another account, or ask whoever runs this server.',
    retry: {
      action: house.paths.consent,
      ticket: form.ticket,
      decision: `switch:${provider.id}`,
      text: 'Use another account',
    },
  }
  const answer = { status: 403, cookies: [dropCookie(answered), form.cookie] }
  if (request === undefined) return refusalPage(house, message, { reason, flowId }, answer)
  return returnPage(house, request, { error: 'access_denied', reason, flowId }, message, answer)
}

export function dropCookie(answered: Answered): string {
  return transactionCookie.drop(answered.jar, answered.transactionId)
}
