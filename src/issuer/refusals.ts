/**
 * How an authorization request is refused: at the client where flows.md section 4 lets us redirect,
 * else on a page that names the host and asks before it leads there (AZ-15). Each refusal is an event
 * with a stable reason and the flow id that the page shows.
 */

import { redirectUriMistake } from '../mistakes.ts'
import { authorizationResponse } from '../oauth/authorization.ts'
import type { Client } from '../oauth/client.ts'
import { redirectHost } from '../oauth/redirect-uri.ts'
import type { PosternEvent } from '../ports.ts'
import { type Message, messagePage, type Side } from '../ui/message.ts'
import { shownText } from '../ui/text.ts'
import { pageAnswer, redirectAnswer } from './answers.ts'
import { type IssuerHouse, report } from './house.ts'

/** Longest redirect URI that a page repeats, in code points. */
const REDIRECT_URI_SHOWN_MAX = 300

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
  message: Pick<Refusal, 'side' | 'title' | 'text' | 'fix' | 'code' | 'retry'>,
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

/** What a page says that refuses: always which side has to act. */
export type Refusal = Omit<Message, 'flowId' | 'codePath' | 'side'> & { readonly side: Side }

/** A page that leads nowhere outside. */
export function refusalPage(
  house: IssuerHouse,
  message: Refusal,
  event: {
    readonly reason: string
    readonly flowId: string
    readonly clientId?: string
    readonly userId?: string
    readonly problem?: string
    readonly fix?: string
  },
  answer: { readonly status?: number; readonly cookies?: readonly string[] } = {},
): Promise<Response> {
  const status = answer.status ?? 400
  const { side, code } = message
  refuseEvent(house, { side, ...(code === undefined ? {} : { code }), ...event, status })
  const codePath = code?.startsWith('ERR_') === true ? { codePath: house.paths.errors + code } : {}
  return pageAnswer(
    messagePage(house.pages, { ...message, ...codePath, flowId: event.flowId }),
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
  const shown = presented === undefined ? undefined : shownText(presented, REDIRECT_URI_SHOWN_MAX)
  const { code, problem, fix } = redirectUriMistake(name, shown)
  return refusalPage(
    house,
    {
      side: 'app',
      title: 'This link does not lead back to the app',
      text: presented === undefined ? sentence(problem) : problem,
      fix,
      code,
    },
    {
      // A query may carry anything, and the log keeps it.
      problem: redirectUriMistake(name, shown?.split(/[?#]/)[0]).problem,
      fix,
      reason: presented === undefined ? 'redirect_uri_missing' : 'redirect_uri_mismatch',
      flowId,
      clientId: client.clientId,
    },
  )
}

/** A text of the log or of a protocol as a sentence for people. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`.replace(/\.\.$/, '.')
}

/** `ERR_CLIENT_UNKNOWN`: never registered here, or ended. */
export function unknownClientPage(house: IssuerHouse, flowId: string): Promise<Response> {
  return refusalPage(
    house,
    {
      side: 'app',
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
      side: 'you',
      title: 'Already answered',
      text: 'This page was answered before, here or in another tab. Nothing happened a second time.',
      fix: 'If the app is still waiting, start again from the app.',
    },
    { reason: 'form_replayed', flowId: ticket.flowId },
  )
}
