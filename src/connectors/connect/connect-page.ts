/**
 * Shows what linking an account means: the server, where the person signs in, what is asked for there,
 * as whom, and which app wants it. Writes nothing; the ticket carries what was shown, so that the trip
 * asks for that and no more (O10).
 */
import { pageAnswer } from '../../issuer/answers.ts'
import { openForm } from '../../issuer/consent-page.ts'
import type { CookieJar } from '../../issuer/cookies.ts'
import { accountDetail, accountLabel, type SignedIn } from '../../issuer/sessions.ts'
import type { ConnectSubject } from '../../issuer/ticket.ts'
import { type Connect, connectPage } from '../../ui/connect.ts'
import type { ConnectionView } from '../connections/connections.ts'
import type { Binding } from '../lifecycle/binding.ts'
import type { ConnectHouse, OpenConnector } from './connect-rooms.ts'

/** One visit to the page of one connector. */
export interface Shown {
  readonly signedIn: SignedIn
  readonly entry: OpenConnector
  readonly subject: ConnectSubject
  readonly flowId: string
}

export function connectPageAnswer(
  house: ConnectHouse,
  jar: CookieJar,
  { signedIn, entry, subject, flowId }: Shown,
  found: {
    readonly binding: Binding
    readonly living: ConnectionView | undefined
    readonly scopes: readonly string[]
  },
): Promise<Response> {
  const { binding, living, scopes } = found
  const { connector } = entry
  const user = signedIn.user.value
  const form = openForm(house, jar, {
    purpose: 'connect',
    shownUserId: user.userId,
    connect: { ...subject, shown: { issuer: binding.issuer, scopes } },
    flowId,
  })
  const detail = accountDetail(user)
  const page = connectPage(house.pages, {
    action: `${house.paths.connect}/${connector.name}`,
    listPath: house.paths.connect,
    ticket: form.ticket,
    flowId,
    title: entry.title ?? connector.name,
    server: connector.url.href,
    signInHost: hostOf(binding.server.authorization_endpoint),
    scopes,
    // Asked for before and not given: asking once more may well change nothing.
    refusedScopes:
      living === undefined
        ? []
        : subject.scopes.filter(
            (scope) => living.requestedScopes.includes(scope) && !living.scopes.includes(scope),
          ),
    account: { label: accountLabel(user), ...(detail === undefined ? {} : { detail }) },
    ...askedBy(house, subject),
    ...(living === undefined ? {} : { existing: existingOf(living) }),
  })
  return pageAnswer(page, 200, [form.cookie])
}

function hostOf(url: string): string {
  return URL.parse(url)?.host ?? ''
}

function existingOf({
  state,
  accountLabel,
  accountSubject,
}: ConnectionView): NonNullable<Connect['existing']> {
  const label = accountLabel ?? accountSubject
  return { state: state === 'active' ? 'active' : 'reconnect', ...(label && { label }) }
}

/** A name is a claim; the host of a metadata document is what its address says (REG-14). */
function askedBy({ config }: ConnectHouse, { client }: ConnectSubject): Pick<Connect, 'askedBy'> {
  if (client === undefined) return {}
  const { clientId, name = '' } = client
  const url = URL.parse(clientId)
  const isOperators = config.clients.some((known) => known.clientId === clientId)
  return {
    askedBy: {
      name,
      ...(url?.protocol === 'https:' ? { host: url.host } : {}),
      checked: isOperators || url?.protocol === 'https:',
    },
  }
}
