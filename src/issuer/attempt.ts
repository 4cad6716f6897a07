/**
 * One trip to the provider: fresh `state`, verifier and nonce, stored only now that the person has
 * allowed it, bound to this browser by a cookie of its own (AZ-21, AZ-22, A14). The answered form and
 * the attempt are one commit, so one form starts one trip.
 */

import { withDeadline } from '../cache/deadline.ts'
import { OAuthError, UpstreamError } from '../errors.ts'
import { createVerifier, s256 } from '../oauth/pkce.ts'
import type { AuthorizeInput } from '../providers/provider.ts'
import { type AuthorizationRequest, TENANT, type Values } from '../records.ts'
import { redirectAnswer } from './answers.ts'
import { openForm } from './consent-page.ts'
import { type CookieJar, createTransactionValue, formCookie, transactionCookie } from './cookies.ts'
import type { IssuerHouse, IssuerProvider } from './house.ts'
import { createSecret, key } from './ids.ts'
import { storedRefreshToken } from './kept-tokens.ts'
import { answeredPage, type ClientError, refusalPage, returnPage } from './refusals.ts'
import { promptWords } from './sessions.ts'
import type { Ticket, TicketSubject } from './ticket.ts'
import { furtherScopes } from './upstream-scopes.ts'

export const ATTEMPT_TTL_MS = 600_000

export async function startAttempt(
  house: IssuerHouse,
  jar: CookieJar,
  ticket: Ticket,
  entry: IssuerProvider,
  options: { readonly chooseAccount: boolean },
): Promise<Response> {
  const { runtime, store } = house
  const { provider, context } = entry
  const state = createSecret(runtime)
  const verifier = createVerifier(runtime)
  const nonce = nonceOf(house, verifier)
  let url: URL
  try {
    const request = {
      state,
      verifierChallenge: s256(verifier, runtime),
      nonce,
      chooseAccount: options.chooseAccount,
      scopes: furtherScopes(house, ticket.request, provider),
      ...authenticationWish(ticket.request),
      ...(options.chooseAccount ? {} : await storedRefreshToken(house, jar, provider)),
    }
    const about = { operation: 'discovery', origin: provider.issuer }
    url = await withDeadline(
      runtime,
      house.config.limits.discoveryTimeoutMs,
      about,
      provider.authorize(context, request),
    )
  } catch (error) {
    return providerFailedPage(house, jar, ticket, entry, error)
  }
  const cookieValue = createTransactionValue(runtime)
  const transaction: Values['transaction'] = {
    ...(ticket.request === undefined ? {} : { request: ticket.request }),
    ...(ticket.returnTo === undefined ? {} : { returnTo: ticket.returnTo }),
    ...(ticket.shownUserId === undefined ? {} : { shownUserId: ticket.shownUserId }),
    cookieDigest: runtime.sha256(cookieValue),
    step: 'allowed',
    flowId: ticket.flowId,
    expiresAtMs: runtime.nowMs() + ATTEMPT_TTL_MS,
  }
  const stateDigest = runtime.sha256(state)
  const { won } = await store.commit([
    { verb: 'create', kind: 'transaction', key: key(ticket.id), value: transaction },
    {
      verb: 'create',
      kind: 'attempt',
      key: key(stateDigest),
      value: {
        transactionId: ticket.id,
        provider: provider.id,
        verifierSealed: runtime.seal(house.keys.ticketKey(), verifier, verifierOwner(stateDigest)),
        issuer: provider.issuer,
        callbackPath: provider.callbackPath,
        expiresAtMs: transaction.expiresAtMs,
      },
    },
  ])
  if (!won) return answeredPage(house, ticket)
  if (ticket.request !== undefined) house.clients.markWanted(ticket.request.clientId)
  return redirectAnswer(url.href, [
    ...transactionCookie.set(jar, ticket.id, cookieValue),
    formCookie.drop(jar),
  ])
}

/** AZ-18, RFC 9470 section 4: `prompt=login` is the same as `max_age=0`. */
function authenticationWish(
  request: AuthorizationRequest | undefined,
): Pick<AuthorizeInput, 'maxAgeSeconds' | 'acrValues'> {
  if (request === undefined) return {}
  const maxAgeSeconds = promptWords(request.prompt).includes('login') ? 0 : request.maxAgeSeconds
  return {
    ...(maxAgeSeconds === undefined ? {} : { maxAgeSeconds }),
    ...(request.acrValues === undefined ? {} : { acrValues: request.acrValues }),
  }
}

/** The verifier of an attempt; `undefined` when the row was not sealed by us for this `state`. */
export function openVerifier(
  house: IssuerHouse,
  stateDigest: string,
  sealed: string,
): string | undefined {
  return house.runtime.open(house.keys.ticketKey(), sealed, verifierOwner(stateDigest))
}

/** The nonce follows from the verifier, which is sealed: the row alone gives neither away. */
export function nonceOf(house: IssuerHouse, verifier: string): string {
  return house.runtime.sha256(`nonce.${verifier}`)
}

function verifierOwner(stateDigest: string): string {
  return JSON.stringify([TENANT, 'attempt', stateDigest, 'verifier'])
}

type Failed = TicketSubject & { readonly flowId: string }

/** Slow, dead or refusing: a page by the deadline, with "Try again" (a new ticket) and the way back. */
export function providerFailedPage(
  house: IssuerHouse,
  jar: CookieJar,
  failed: Failed,
  entry: IssuerProvider,
  error: unknown,
  cookies: readonly string[] = [],
): Promise<Response> {
  if (!(error instanceof UpstreamError || error instanceof OAuthError)) throw error
  const { provider } = entry
  const subject: TicketSubject = {
    flowId: failed.flowId,
    ...(failed.request === undefined ? {} : { request: failed.request }),
    ...(failed.returnTo === undefined ? {} : { returnTo: failed.returnTo }),
    ...(failed.shownUserId === undefined ? {} : { shownUserId: failed.shownUserId }),
  }
  const form = openForm(house, jar, subject)
  const reason = error instanceof UpstreamError ? upstreamReason(error) : 'provider_refused'
  const message = {
    side: 'provider' as const,
    title: `${provider.title} does not answer`,
    text: `We asked ${provider.title} to sign you in and got no usable answer in time.`,
    fix: 'Your other apps keep working. Try again in a moment.',
    retry: { action: house.paths.consent, ticket: form.ticket, decision: `allow:${provider.id}` },
  }
  const answer = { status: 503, cookies: [...cookies, form.cookie] }
  if (failed.request === undefined)
    return refusalPage(house, message, { reason, flowId: failed.flowId }, answer)
  const clientError: ClientError = {
    error: 'temporarily_unavailable',
    reason,
    flowId: failed.flowId,
  }
  return returnPage(house, failed.request, clientError, message, answer)
}

function upstreamReason(error: UpstreamError): string {
  return error.code === 'ERR_UPSTREAM_TIMEOUT' ? 'provider_timeout' : 'provider_unreachable'
}
