/**
 * `POST /consent`: the answer to our form. Same origin, form cookie, ticket bound to it, client still
 * valid; then the ticket's id is inserted once. Deny leads back at once; Allow with a shown account
 * issues the code at once; everything else starts a trip to the provider (flows.md section 5, step 3).
 */
import { OAuthError } from '../errors.ts'
import { type Client, matchRedirectUri } from '../oauth/client.ts'
import { Parameters } from '../oauth/parameters.ts'
import type { Step } from '../ports.ts'
import type { AuthorizationRequest, Values } from '../records.ts'
import { redirectAnswer } from './answers.ts'
import { startAttempt } from './attempt.ts'
import { auditStep } from './audit.ts'
import { FORM_BODY_MAX_BYTES, isForm, readBody } from './body.ts'
import { codeAnswer, issueForSession } from './codes.ts'
import { type CookieJar, formCookie, readCookies } from './cookies.ts'
import { findProvider, findResource, type IssuerHouse, mayUse, report } from './house.ts'
import { createFlowId, key } from './ids.ts'
import {
  answeredPage,
  redirectError,
  redirectUriPage,
  refusalPage,
  unknownClientPage,
} from './refusals.ts'
import { findSignedIn, isRecentEnough } from './sessions.ts'
import { openTicket, type Ticket } from './ticket.ts'
import { isBacked } from './upstream-scopes.ts'

interface Trip {
  readonly verb: 'sign-in' | 'switch'
  readonly provider: string
}
type Decision = { readonly verb: 'deny' } | { readonly verb: 'allow' } | Trip

export async function decide(house: IssuerHouse, http: Request): Promise<Response> {
  const jar = readCookies(http, house)
  if (!isSameOrigin(house, http)) return stalePage(house, 'form_cross_site', 403)
  const form = await readForm(http)
  if (form === undefined) return stalePage(house, 'form_malformed', 400)
  const ticket = openTicket(house.runtime, house.keys.ticketKey(), form.get('ticket') ?? '')
  const decision = readDecision(form.get('decision'))
  if (ticket === undefined || ticket.purpose !== undefined || decision === undefined)
    return stalePage(house, 'form_ticket', 400)
  const cookie = formCookie.read(jar)
  if (
    cookie === undefined ||
    !house.runtime.equal(house.runtime.sha256(cookie), ticket.formDigest)
  ) {
    return (await isAnswered(house, ticket))
      ? answeredPage(house, ticket)
      : stalePage(house, 'form_cookie', 403, ticket)
  }
  if (ticket.expiresAtMs <= house.runtime.nowMs())
    return stalePage(house, 'form_expired', 400, ticket)
  return ticket.request === undefined
    ? decideSignIn(house, jar, ticket, decision)
    : decideForClient(house, jar, ticket, ticket.request, decision)
}

async function decideForClient(
  house: IssuerHouse,
  jar: CookieJar,
  ticket: Ticket,
  request: AuthorizationRequest,
  decision: Decision,
): Promise<Response> {
  const client = await house.clients.find(request.clientId)
  if (client === undefined) return unknownClientPage(house, ticket.flowId)
  // The client may have changed while the page was open.
  if (!matchRedirectUri(client, request.redirectUri).matched) {
    return redirectUriPage(house, client, request.redirectUri, ticket.flowId)
  }
  if (decision.verb === 'deny') return deny(house, jar, ticket, request)
  if (decision.verb === 'allow') return allowWithSession(house, jar, ticket, request, client)
  return startTrip(house, jar, ticket, decision)
}

function decideSignIn(
  house: IssuerHouse,
  jar: CookieJar,
  ticket: Ticket,
  decision: Decision,
): Promise<Response> | Response {
  if (decision.verb === 'deny' || decision.verb === 'allow')
    return redirectAnswer(ticket.returnTo ?? house.paths.home)
  return startTrip(house, jar, ticket, decision)
}

function startTrip(
  house: IssuerHouse,
  jar: CookieJar,
  ticket: Ticket,
  decision: Trip,
): Promise<Response> {
  const entry = findProvider(house, decision.provider)
  if (entry === undefined) return stalePage(house, 'provider_unknown', 400, ticket)
  return startAttempt(house, jar, ticket, entry, { chooseAccount: decision.verb === 'switch' })
}

/** Rule (c): the page named the redirect host and the person pressed Deny. Nothing else is stored. */
async function deny(
  house: IssuerHouse,
  jar: CookieJar,
  ticket: Ticket,
  request: AuthorizationRequest,
): Promise<Response> {
  const who = {
    clientId: request.clientId,
    ...(ticket.shownUserId === undefined ? {} : { userId: ticket.shownUserId }),
  }
  const { won } = await house.store.commit([
    {
      verb: 'create',
      kind: 'transaction',
      key: key(ticket.id),
      value: answered(ticket, 'denied'),
    },
    auditStep(house, 'consent.denied', { ...who, detail: ticket.flowId }),
  ])
  if (!won) return answeredPage(house, ticket)
  report(house, { type: 'consent.denied', flowId: ticket.flowId, ...who })
  const error = { error: 'access_denied', reason: 'denied_by_user', flowId: ticket.flowId }
  return redirectError(house, request, error, [formCookie.drop(jar)])
}

/** The account was shown, so "Allow" is about this very account: the code, with no trip to the provider. */
async function allowWithSession(
  house: IssuerHouse,
  jar: CookieJar,
  ticket: Ticket,
  request: AuthorizationRequest,
  client: Client,
): Promise<Response> {
  const signedIn = await findSignedIn(house, jar)
  if (
    signedIn === undefined ||
    ticket.shownUserId === undefined ||
    signedIn.user.value.userId !== ticket.shownUserId ||
    !isRecentEnough(house, signedIn, request) ||
    !mayUse(house, signedIn.user.value, findResource(house, request.resource))
  ) {
    return refusalPage(
      house,
      {
        side: 'you',
        title: 'You are no longer signed in as that account',
        text: 'The sign-in that the page showed has ended or changed since.',
        link: { path: authorizePath(house, request), text: 'Look at the request again' },
      },
      { reason: 'session_changed', flowId: ticket.flowId, clientId: client.clientId },
    )
  }
  // What the person gave at the provider is too little for this: the Allow leads through it.
  if (!isBacked(house, signedIn, request)) {
    const { id: provider } = signedIn.provider.provider
    return startTrip(house, jar, ticket, { verb: 'sign-in', provider })
  }
  const once: Step = {
    verb: 'create',
    kind: 'transaction',
    key: key(ticket.id),
    value: answered(ticket, 'done'),
  }
  const issued = await issueForSession(house, signedIn, request, client, {
    once: [once],
    approve: true,
    flowId: ticket.flowId,
  })
  if (issued === undefined) {
    return (await isAnswered(house, ticket))
      ? answeredPage(house, ticket)
      : stalePage(house, 'commit_lost', 503, ticket)
  }
  return codeAnswer(house, request, issued, [formCookie.drop(jar)])
}

/** Who has just signed in is not asked to do it once more by `max_age`. */
const JUST_SIGNED_IN_SECONDS = 60

/** The same request again, for a link on our own origin; `prompt` was answered already. */
export function authorizePath(
  house: IssuerHouse,
  request: AuthorizationRequest,
  prompt?: string,
): string {
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: request.clientId,
    redirect_uri: request.redirectUri,
    code_challenge: request.codeChallenge,
    code_challenge_method: 'S256',
    resource: request.resource,
  })
  if (request.requestedScope !== undefined) query.set('scope', request.requestedScope)
  if (request.state !== undefined) query.set('state', request.state)
  if (request.dpopJkt !== undefined) query.set('dpop_jkt', request.dpopJkt)
  if (request.acrValues !== undefined) query.set('acr_values', request.acrValues.join(' '))
  if (request.maxAgeSeconds !== undefined)
    query.set('max_age', String(Math.max(request.maxAgeSeconds, JUST_SIGNED_IN_SECONDS)))
  if (prompt !== undefined) query.set('prompt', prompt)
  return `${house.paths.authorize}?${query}`
}

function answered(ticket: Ticket, step: Values['transaction']['step']): Values['transaction'] {
  return { step, flowId: ticket.flowId, expiresAtMs: ticket.expiresAtMs }
}

async function isAnswered(house: IssuerHouse, ticket: Ticket): Promise<boolean> {
  return (await house.store.get('transaction', key(ticket.id))) !== undefined
}

/**
 * `Sec-Fetch-Site` decides where it is sent; `Origin` where it is not. Our own pages send `Origin:
 * null`, because of `Referrer-Policy: no-referrer`, so that alone proves nothing (CON-07).
 */
export function isSameOrigin(house: IssuerHouse, http: Request): boolean {
  const site = http.headers.get('sec-fetch-site')
  const origin = http.headers.get('origin')
  if (origin !== null && origin !== 'null' && origin !== house.issuerUrl.origin) return false
  return site === null ? origin === house.issuerUrl.origin : site === 'same-origin'
}

export async function readForm(http: Request): Promise<Parameters | undefined> {
  if (!isForm(http)) return undefined
  const body = await readBody(http, FORM_BODY_MAX_BYTES)
  if (body === undefined) return undefined
  try {
    return Parameters.parse(body)
  } catch (error) {
    if (error instanceof OAuthError) return undefined
    throw error
  }
}

function readDecision(text: string | undefined): Decision | undefined {
  if (text === 'allow' || text === 'deny') return { verb: text }
  const match = /^(allow|switch):([a-z0-9_-]{1,40})$/i.exec(text ?? '')
  if (match === null) return undefined
  return { verb: match[1] === 'switch' ? 'switch' : 'sign-in', provider: match[2] ?? '' }
}

function stalePage(
  house: IssuerHouse,
  reason: string,
  status: number,
  ticket?: Ticket,
): Promise<Response> {
  return refusalPage(
    house,
    {
      side: 'you',
      title: 'This page can no longer be used',
      text: 'It is too old, was opened in another browser, or was not sent from this site.',
      fix: 'Nothing was shared. Go back to the app and start again.',
    },
    { reason, flowId: ticket?.flowId ?? createFlowId(house.runtime) },
    { status },
  )
}
