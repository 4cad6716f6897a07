/**
 * How linking an account is refused: a page that says whose turn it is, an event with a stable reason,
 * and an audit row where an attempt dies with it (I12). Text of the other side goes nowhere (AZ-23).
 */

import { pageAnswer } from '../../issuer/answers.ts'
import { auditStep } from '../../issuer/audit.ts'
import { openForm } from '../../issuer/consent-page.ts'
import type { CookieJar } from '../../issuer/cookies.ts'
import { report } from '../../issuer/house.ts'
import { createFlowId } from '../../issuer/ids.ts'
import { accountLabel, type SignedIn } from '../../issuer/sessions.ts'
import type { ConnectorProblem } from '../../records.ts'
import { connectorTroublePage } from '../../ui/connect.ts'
import { type Message, messagePage } from '../../ui/message.ts'
import { shownText } from '../../ui/text.ts'
import type { Attempt } from './connect-attempt.ts'
import type { Shown } from './connect-page.ts'
import type { ConnectHouse } from './connect-rooms.ts'

export interface RefusedConnect {
  readonly reason: string
  readonly connector?: string
  readonly flowId?: string
  readonly userId?: string
  readonly status?: number
  readonly cookies?: readonly string[]
}

export function connectRefusal(
  house: ConnectHouse,
  message: Omit<Message, 'flowId'>,
  about: RefusedConnect,
): Promise<Response> {
  const { cookies, status = 400, flowId = createFlowId(house.runtime), ...facts } = about
  const { side } = message
  const side_ = side === undefined ? {} : { side }
  report(house, { type: 'connection.refused', ...side_, ...facts, flowId, status })
  return pageAnswer(messagePage(house.pages, { ...message, flowId }), status, cookies)
}

/** Unknown and forbidden look the same: nobody learns which connectors there are (O6). */
export function noConnectorPage(house: ConnectHouse, connector: string): Promise<Response> {
  const message = {
    side: 'you',
    title: 'There is nothing to connect here',
    text: 'No server of this name is open to your account.',
    link: { path: house.paths.connect, text: 'See your connections' },
  } as const
  // The name is of the address, so of anybody: it is told only where it is one of ours.
  const known = house.config.connectors.some(({ name }) => name === connector)
  const about = known ? { connector } : {}
  const reason = known ? 'connector_not_open' : 'connector_unknown'
  return connectRefusal(house, message, { reason, status: 404, ...about })
}

export function staleLinkPage(
  house: ConnectHouse,
  connector: string,
  reason: 'link_expired' | 'link_unknown',
): Promise<Response> {
  const message = {
    side: 'you',
    title: 'This link can no longer be used',
    text: 'It is older than fifteen minutes, or not complete.',
    fix: 'Ask the app again: it gets a new one. Or connect from here; the app finds it by itself.',
    link: { path: `${house.paths.connect}/${encodeURIComponent(connector)}`, text: 'Connect' },
  } as const
  return connectRefusal(house, message, { reason })
}

/** CLI-13: nothing was stored, for nobody. The other account is not named. */
export function otherAccountPage(
  house: ConnectHouse,
  connector: string,
  signedIn: SignedIn,
): Promise<Response> {
  const user = signedIn.user.value
  const message = {
    side: 'you',
    title: 'This link was made for another account',
    text: `You are signed in as ${shownText(accountLabel(user))}. Who asked for the link has to open it.`,
    fix: 'Nothing was connected. If somebody sent you this link, close the page: it would have linked your account to theirs.',
    link: { path: house.paths.connect, text: 'See your own connections' },
  } as const
  const { userId } = user
  return connectRefusal(house, message, {
    reason: 'link_of_other_account',
    connector,
    userId,
    status: 403,
  })
}

export function staleFormPage(
  house: ConnectHouse,
  connector: string,
  reason: string,
  status: number,
  ticket?: { readonly flowId: string },
): Promise<Response> {
  const message = {
    side: 'you',
    title: 'This page can no longer be used',
    text: 'It is too old, belongs to another sign-in, or was not sent from this site.',
    fix: 'Nothing was connected.',
    link: {
      path: `${house.paths.connect}/${encodeURIComponent(connector)}`,
      text: 'Start again',
    },
  } as const
  const flow = ticket === undefined ? {} : { flowId: ticket.flowId }
  return connectRefusal(house, message, { reason, status, ...flow })
}

/** The same form a second time: double submit, back button, another tab (W7). */
export function answeredPage(
  house: ConnectHouse,
  { flowId }: { readonly flowId: string },
): Promise<Response> {
  const message = {
    side: 'you',
    title: 'Already answered',
    text: 'This page was answered before, here or in another tab. Nothing happened a second time.',
    link: { path: house.paths.connect, text: 'See your connections' },
  } as const
  return connectRefusal(house, message, { reason: 'form_replayed', flowId })
}

const RETRY_AFTER_SECONDS = '10'

/** What is wrong, on which side, and a button that looks again (flows.md section 6). */
export async function unavailablePage(
  house: ConnectHouse,
  jar: CookieJar,
  { entry, subject, signedIn, flowId }: Shown,
  problems: readonly ConnectorProblem[],
  cookies: readonly string[] = [],
): Promise<Response> {
  const { connector } = entry
  const form = openForm(house, jar, {
    purpose: 'connect',
    shownUserId: signedIn.user.value.userId,
    connect: subject,
    flowId,
  })
  report(house, {
    type: 'connection.refused',
    reason: problems[0]?.code ?? 'connector_unavailable',
    connector: connector.name,
    userId: signedIn.user.value.userId,
    flowId,
    status: 503,
  })
  const page = connectorTroublePage(house.pages, {
    action: `${house.paths.connect}/${connector.name}`,
    listPath: house.paths.connect,
    ticket: form.ticket,
    flowId,
    title: entry.title ?? connector.name,
    host: connector.url.host,
    problems,
  })
  const response = await pageAnswer(page, 503, [...cookies, form.cookie])
  response.headers.set('retry-after', RETRY_AFTER_SECONDS)
  return response
}

export function refusedStep(
  house: Pick<ConnectHouse, 'runtime' | 'config'>,
  { userId, connector, flowId, askedBy }: Pick<Attempt, 'connector'> & Partial<Attempt>,
  reason: string,
): ReturnType<typeof auditStep> {
  return auditStep(house, 'connection.refused', {
    ...(userId === undefined ? {} : { userId }),
    detail: [reason, connector, flowId].filter((word) => word !== undefined).join(' '),
    ...(askedBy === undefined ? {} : { clientId: askedBy }),
  })
}
