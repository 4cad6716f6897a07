/**
 * How an authorization request is refused: at the client where flows.md section 4 lets us redirect,
 * else on a page that names the host and asks before it leads there (AZ-15). Each refusal is an event
 * with a stable reason and the flow id that the page shows.
 */

import { authorizationResponse } from '../oauth/authorization.ts'
import type { Client } from '../oauth/client.ts'
import { redirectHost } from '../oauth/redirect-uri.ts'
import type { PosternEvent } from '../ports.ts'
import { type Message, messagePage } from '../ui/message.ts'
import { shownText } from '../ui/text.ts'
import { pageAnswer, redirectAnswer } from './answers.ts'
import { type IssuerHouse, report } from './house.ts'

/** Where a checked request wants its answer. */
export interface Destination {
  readonly clientId: string
  readonly redirectUri: string
  readonly state?: string
}

export interface ClientError {
  readonly error: string
  readonly description?: string
  /** For log and metric; the wire carries `error` only. */
  readonly reason: string
  readonly flowId: string
}

export function destinationUrl(
  house: IssuerHouse,
  to: Destination,
  error: Pick<ClientError, 'error' | 'description'>,
): string {
  return authorizationResponse(
    to.redirectUri,
    {
      error: error.error,
      ...(error.description === undefined ? {} : { description: error.description }),
    },
    { iss: house.config.issuer, ...(to.state === undefined ? {} : { state: to.state }) },
  )
}

export function refuseEvent(
  house: IssuerHouse,
  event: Omit<PosternEvent, 'type'> & { type?: PosternEvent['type'] },
): void {
  report(house, { type: 'signin.refused', level: 'info', ...event })
}

/** Rule (a), (b) or (c) holds: the error goes to the client. */
export function redirectError(
  house: IssuerHouse,
  to: Destination,
  error: ClientError,
  cookies: readonly string[] = [],
): Response {
  refuseEvent(house, {
    reason: error.reason,
    flowId: error.flowId,
    clientId: to.clientId,
    error: error.error,
  })
  return redirectAnswer(destinationUrl(house, to, error), cookies)
}

/** No rule holds: a page with one button "Return to <host>" that carries the error. */
export function returnPage(
  house: IssuerHouse,
  to: Destination,
  error: ClientError,
  message: Pick<Message, 'title' | 'text' | 'fix' | 'code' | 'retry'>,
  answer: { readonly status?: number; readonly cookies?: readonly string[] } = {},
): Promise<Response> {
  const back = { host: redirectHost(to.redirectUri), url: destinationUrl(house, to, error) }
  return refusalPage(
    house,
    { ...message, back },
    { reason: error.reason, flowId: error.flowId, clientId: to.clientId },
    answer,
  )
}

/** A page that leads nowhere outside. */
export function refusalPage(
  house: IssuerHouse,
  message: Omit<Message, 'flowId'>,
  event: {
    readonly reason: string
    readonly flowId: string
    readonly clientId?: string
    readonly userId?: string
  },
  answer: { readonly status?: number; readonly cookies?: readonly string[] } = {},
): Promise<Response> {
  const status = answer.status ?? 400
  refuseEvent(house, { ...event, status })
  return pageAnswer(
    messagePage(house.pages, { ...message, flowId: event.flowId }),
    status,
    answer.cookies,
  )
}

/** `ERR_REDIRECT_URI` of api.md section 6. */
export function redirectUriPage(
  house: IssuerHouse,
  client: Client,
  presented: string | undefined,
  flowId: string,
): Promise<Response> {
  const name = shownText(client.name) || client.clientId
  return refusalPage(
    house,
    {
      title: 'This link does not lead back to the app',
      text:
        presented === undefined
          ? `Client “${name}” has several redirect URIs and named none.`
          : `${shownText(presented, 300)} is not a redirect URI of client “${name}”.`,
      fix: 'If you wrote the client: register this exact URI. We do not send you there.',
      code: 'ERR_REDIRECT_URI',
    },
    {
      reason: presented === undefined ? 'redirect_uri_missing' : 'redirect_uri_mismatch',
      flowId,
      clientId: client.clientId,
    },
  )
}

/** `ERR_CLIENT_UNKNOWN`: never registered here, or ended. */
export function unknownClientPage(house: IssuerHouse, flowId: string): Promise<Response> {
  return refusalPage(
    house,
    {
      title: 'This app is not known here',
      text: 'It never registered with this server, or its registration has ended.',
      fix: 'In the app, remove this server and add it again. Nothing was shared.',
      code: 'ERR_CLIENT_UNKNOWN',
    },
    { reason: 'client_unknown', flowId },
  )
}

/** The same form a second time: double submit, back button, another tab (W7). */
export function answeredPage(
  house: IssuerHouse,
  ticket: { readonly flowId: string },
): Promise<Response> {
  return refusalPage(
    house,
    {
      title: 'Already answered',
      text: 'This page was answered before, here or in another tab. Nothing happened a second time.',
      fix: 'If the app is still waiting, start again from the app.',
    },
    { reason: 'form_replayed', flowId: ticket.flowId },
  )
}
