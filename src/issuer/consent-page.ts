/**
 * Shows a page with a form: consent, or sign-in to this house itself. Seals the ticket, sets the form
 * cookie and nothing else (CON-13), writes nothing to the store.
 */
import type { Client } from '../oauth/client.ts'
import { isLoopbackRedirect, isPrivateUseRedirect, redirectHost } from '../oauth/redirect-uri.ts'
import { MCP_SCOPE } from '../oauth/scope.ts'
import type { AuthorizationRequest } from '../records.ts'
import { type Consent, consentPage } from '../ui/consent.ts'
import { signInPage } from '../ui/sign-in.ts'
import { pageAnswer } from './answers.ts'
import { type CookieJar, formCookie } from './cookies.ts'
import { findResource, type IssuerHouse, type Resource, report } from './house.ts'
import { createSecret } from './ids.ts'
import { accountDetail, accountLabel, type SignedIn } from './sessions.ts'
import { createTicket, sealTicket, type TicketSubject } from './ticket.ts'
import { furtherScopes } from './upstream-scopes.ts'

export interface Asked {
  readonly client: Client
  readonly request: AuthorizationRequest
  readonly flowId: string
}

/** A sealed ticket for a new form, and the cookie that binds it to this browser. */
export function openForm(
  house: IssuerHouse,
  jar: CookieJar,
  subject: TicketSubject,
): { readonly ticket: string; readonly flowId: string; readonly cookie: string } {
  // One form cookie per browser, so that two open tabs do not take each other's away (W7).
  const value = formCookie.read(jar) ?? createSecret(house.runtime)
  const ticket = createTicket(house.runtime, value, subject)
  return {
    ticket: sealTicket(house.runtime, house.keys.ticketKey(), ticket),
    flowId: ticket.flowId,
    cookie: formCookie.set(jar, value),
  }
}

export function consentAnswer(
  house: IssuerHouse,
  jar: CookieJar,
  asked: Asked,
  signedIn: SignedIn | undefined,
): Promise<Response> {
  const { client, request, flowId } = asked
  const form = openForm(house, jar, {
    request,
    flowId,
    ...(signedIn === undefined ? {} : { shownUserId: signedIn.user.value.userId }),
  })
  const consent = describe(house, asked, signedIn, form.ticket)
  report(house, { type: 'signin.started', level: 'debug', flowId, clientId: client.clientId })
  return pageAnswer(consentPage(house.pages, consent), 200, [form.cookie])
}

const REGISTERED_BY = { static: 'operator', document: 'website', dynamic: 'self' } as const

function describe(
  house: IssuerHouse,
  asked: Asked,
  signedIn: SignedIn | undefined,
  ticket: string,
): Consent {
  const { client, request, flowId } = asked
  const resource = findResource(house, request.resource)
  return {
    action: house.paths.consent,
    ticket,
    flowId,
    ...(client.name === undefined ? {} : { clientName: client.name }),
    registeredBy: REGISTERED_BY[client.kind],
    ...(client.kind === 'document' ? { clientHost: new URL(client.clientId).host } : {}),
    redirect: { kind: redirectKind(request.redirectUri), host: redirectHost(request.redirectUri) },
    loopbackOnly: client.redirectUris.every(isLoopbackRedirect),
    resource: {
      url: request.resource,
      ...(resource?.title === undefined ? {} : { title: resource.title }),
    },
    scopes: request.scopes,
    scopeTitles: scopeTitles(resource),
    claims: resource?.connector?.auth === 'identity' ? resource.connector.claims : [],
    providers: house.providers.map(({ provider }) => ({
      id: provider.id,
      title: provider.title,
      scopes: [...new Set([...provider.scopes, ...furtherScopes(house, request, provider)])],
    })),
    ...(signedIn === undefined ? {} : { account: describeAccount(signedIn) }),
  }
}

/** In the operator's words; with scopes of its own a server has less behind `mcp`. */
export function scopeTitles(
  resource: Pick<Resource, 'connector'> | undefined,
): ReadonlyMap<string, string> {
  const table = resource?.connector?.scopes
  if (table === undefined) return new Map()
  return new Map([
    [MCP_SCOPE, 'Use what needs no other permission on this server, in your name'],
    ...table.rules.flatMap(({ name, title }) =>
      title === undefined ? [] : [[name, title] as const],
    ),
  ])
}

function describeAccount(signedIn: SignedIn): NonNullable<Consent['account']> {
  const user = signedIn.user.value
  const detail = accountDetail(user)
  return {
    label: accountLabel(user),
    ...(detail === undefined ? {} : { detail }),
    providerTitle: signedIn.provider.provider.title,
  }
}

function redirectKind(redirectUri: string): Consent['redirect']['kind'] {
  if (isLoopbackRedirect(redirectUri)) return 'loopback'
  return isPrivateUseRedirect(redirectUri) ? 'app' : 'web'
}

/** Sign-in without a client; ends at `returnTo`, a path on our own origin. */
export function signInAnswer(
  house: IssuerHouse,
  jar: CookieJar,
  returnTo: string,
  lead?: string,
): Promise<Response> {
  const form = openForm(house, jar, { returnTo })
  const providers = house.providers.map(({ provider }) => ({
    id: provider.id,
    title: provider.title,
  }))
  const page = signInPage(house.pages, {
    action: house.paths.consent,
    ticket: form.ticket,
    flowId: form.flowId,
    providers,
    ...(lead === undefined ? {} : { lead }),
  })
  return pageAnswer(page, 200, [form.cookie])
}

/** A path of this origin, from text that anybody may have written (A21); `undefined` for everything else. */
export function returnPath(house: IssuerHouse, text: string | undefined): string | undefined {
  if (text === undefined || !/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(text) || text.length > 2048)
    return undefined
  const url = URL.canParse(text, house.issuerUrl) ? new URL(text, house.issuerUrl) : undefined
  // `/.//host` keeps our origin while it is parsed, and is another host's once written without it.
  if (url?.origin !== house.issuerUrl.origin || url.pathname.startsWith('//')) return undefined
  return `${url.pathname}${url.search}`
}
