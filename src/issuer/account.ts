/**
 * `GET /account` (CON-11): the apps this person let in, the browsers signed in, the remembered
 * approvals, each with a button that ends it. Only rows found by the person's own id are shown, named
 * by handles that mean nothing elsewhere. Asks nobody outside.
 */
import { redirectHost } from '../oauth/redirect-uri.ts'
import type { Versioned } from '../ports.ts'
import { type Grant, type Kind, TENANT } from '../records.ts'
import {
  type Account,
  type AccountAccess,
  type AccountApp,
  type AccountApproval,
  type AccountBrowser,
  accountPage,
} from '../ui/account.ts'
import { messagePage } from '../ui/message.ts'
import { pageAnswer } from './answers.ts'
import { scopeTitles, signInAnswer } from './consent-page.ts'
import { readCookies } from './cookies.ts'
import { findProvider, findResource, type IssuerHouse } from './house.ts'
import {
  accountDetail,
  accountLabel,
  findSignedIn,
  type SignedIn,
  touchSession,
} from './sessions.ts'
import { createTicket, sealTicket } from './ticket.ts'

const PAGE_ROWS = 100
/** Rows of one kind that are read for one person; what lies beyond is ended by "everywhere" only. */
const PAGES_MAX = 50
/** Sections never grow longer than this on the page; ending makes room for the next. */
const SHOWN_MAX = 100

/** What the redirect after a form says that it did; the last two come from `/connect`. */
const DONE = [
  'client',
  'session',
  'approval',
  'everywhere',
  'disconnected',
  'disconnected-here',
] as const
/** What this page's own forms end. */
export type Done = Exclude<(typeof DONE)[number], 'disconnected' | 'disconnected-here'>

export async function account(house: IssuerHouse, http: Request): Promise<Response> {
  const jar = readCookies(http, house)
  const given = new URL(http.url).searchParams.get('done')
  const done = DONE.find((word) => word === given)
  const signedIn = await findSignedIn(house, jar, { own: true })
  if (signedIn === undefined) {
    return done === 'everywhere'
      ? signedOutPage(house)
      : signInAnswer(house, jar, house.paths.account)
  }
  touchSession(house, signedIn)
  const view = await describe(house, signedIn, done)
  return pageAnswer(accountPage(house.pages, view))
}

function signedOutPage(house: IssuerHouse): Promise<Response> {
  const message = {
    title: 'Signed out everywhere',
    text: 'Every browser is signed out and no app can act for you any more.',
    link: { path: house.paths.account, text: 'Sign in again' },
  }
  return pageAnswer(messagePage(house.pages, message))
}

async function describe(
  house: IssuerHouse,
  signedIn: SignedIn,
  done: Account['done'],
): Promise<Account> {
  const user = signedIn.user.value
  const connecting = house.linking?.()
  const [grants, sessions, approvals, connections] = await Promise.all([
    liveGrants(house, user.userId),
    liveRows(house, 'session', user.userId),
    liveRows(house, 'approval', user.userId),
    connecting?.pages.describe({ ...house, connecting }, signedIn) ?? [],
  ])
  const detail = accountDetail(user)
  const names = createNames(house)
  return {
    action: house.paths.account,
    ticket: sealTicket(
      house.runtime,
      house.keys.ticketKey(),
      // Bound to this very session: another one, or none, cannot answer the form (W2).
      createTicket(house.runtime, signedIn.digest, {
        purpose: 'account',
        shownUserId: user.userId,
      }),
    ),
    label: accountLabel(user),
    ...(detail === undefined ? {} : { detail }),
    providerTitle: signedIn.provider.provider.title,
    connectPath: house.paths.connect,
    connections: connections.filter(({ connectionId }) => connectionId !== undefined),
    apps: await describeApps(house, names, grants),
    browsers: describeBrowsers(house, sessions, signedIn),
    approvals: await describeApprovals(house, names, approvals),
    nowMs: house.runtime.nowMs(),
    ...(done === undefined ? {} : { done }),
  }
}

/** Active grants that are not past a limit. */
export async function liveGrants(house: IssuerHouse, userId: string): Promise<readonly Grant[]> {
  const nowMs = house.runtime.nowMs()
  const found: Grant[] = []
  let after: string | undefined
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const rows = await house.store.grants.list(
      TENANT,
      { name: 'userId', value: userId },
      { max: PAGE_ROWS, ...(after === undefined ? {} : { after }) },
    )
    found.push(...rows.filter((grant) => grant.state !== 'ended' && grant.expiresAtMs > nowMs))
    after = rows.at(-1)?.id
    if (rows.length < PAGE_ROWS) break
  }
  return found
}

/** Sessions or approvals of one person that have not expired. */
export async function liveRows<K extends 'session' | 'approval'>(
  house: IssuerHouse,
  kind: K,
  userId: string,
): Promise<readonly Versioned<K>[]> {
  const nowMs = house.runtime.nowMs()
  const found: Versioned<K>[] = []
  let after: string | undefined
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const rows: readonly Versioned<K>[] = await house.store.list(
      kind,
      TENANT,
      { name: 'userId', value: userId },
      { max: PAGE_ROWS, ...(after === undefined ? {} : { after }) },
    )
    found.push(...rows.filter(({ value }) => value.expiresAtMs > nowMs))
    after = rows.at(-1)?.key.id
    if (rows.length < PAGE_ROWS) break
  }
  return found
}

/** Names a row on the page. The person's own rows are searched for it, so a foreign one finds nothing (O6). */
export function handleOf(house: IssuerHouse, kind: Kind | 'grant', id: string): string {
  return house.runtime.sha256(`account ${kind}\n${id}`)
}

type Name = { readonly name: string; readonly checked: boolean }

/** Names of clients, each looked up once. The host of a metadata document says who it is by itself. */
function createNames(house: IssuerHouse): (clientId: string) => Promise<Name> {
  const known = new Map<string, Promise<Name>>()
  const look = async (clientId: string): Promise<Name> => {
    const url = URL.parse(clientId)
    if (url?.protocol === 'https:') return { name: url.host, checked: true }
    const client = await house.clients.find(clientId)
    return { name: client?.name ?? '', checked: client?.kind === 'static' }
  }
  return (clientId) => {
    const asked = known.get(clientId) ?? look(clientId)
    known.set(clientId, asked)
    return asked
  }
}

async function describeApps(
  house: IssuerHouse,
  nameOf: (clientId: string) => Promise<Name>,
  grants: readonly Grant[],
): Promise<readonly AccountApp[]> {
  const active = grants.filter((grant) => grant.state === 'active')
  const clientIds = [...new Set(active.map((grant) => grant.clientId))].slice(0, SHOWN_MAX)
  const apps = clientIds.map(async (clientId) => {
    const own = active.filter((grant) => grant.clientId === clientId)
    return {
      ...(await nameOf(clientId)),
      handle: handleOf(house, 'grant', clientId),
      redirectHosts: [...new Set(own.map((grant) => redirectHost(grant.redirectUri)))],
      sinceMs: Math.min(...own.map((grant) => grant.createdAtMs)),
      lastUsedMs: Math.max(...own.map((grant) => lastUsedMs(house, grant))),
      access: accessOf(house, own),
    }
  })
  return (await Promise.all(apps)).toSorted((left, right) => right.lastUsedMs - left.lastUsedMs)
}

/** One line per resource: the union of what its grants may do. */
function accessOf(house: IssuerHouse, grants: readonly Grant[]): AccountApp['access'] {
  const resources = [...new Set(grants.map((grant) => grant.resource))]
  return resources.map((resource) => {
    const own = grants.filter((grant) => grant.resource === resource)
    return describeAccess(house, resource, [...new Set(own.flatMap((grant) => grant.scopes))])
  })
}

function describeAccess(house: IssuerHouse, url: string, scopes: readonly string[]): AccountAccess {
  const resource = findResource(house, url)
  const { title } = resource ?? {}
  return {
    url,
    ...(title === undefined ? {} : { title }),
    scopes,
    scopeTitles: scopeTitles(resource),
  }
}

/** From the idle end, which each refresh moves: exact to a day, because that end is rounded up. */
function lastUsedMs(house: IssuerHouse, grant: Grant): number {
  const idleMs = house.config.limits.refreshTokenIdleSeconds * 1000
  const movedMs = grant.expiresAtMs - idleMs
  return Math.min(Math.max(movedMs, grant.createdAtMs), house.runtime.nowMs())
}

function describeBrowsers(
  house: IssuerHouse,
  sessions: readonly Versioned<'session'>[],
  { session: own }: SignedIn,
): readonly AccountBrowser[] {
  return sessions
    .map(({ key: { id }, value }) => ({
      handle: handleOf(house, 'session', id),
      isThis: id === own.key.id,
      providerTitle: findProvider(house, value.provider)?.provider.title ?? value.provider,
      sinceMs: value.createdAtMs,
      lastSeenMs: value.lastSeenAtMs,
    }))
    .toSorted(
      (left, right) =>
        Number(right.isThis) - Number(left.isThis) || right.lastSeenMs - left.lastSeenMs,
    )
    .slice(0, SHOWN_MAX)
}

async function describeApprovals(
  house: IssuerHouse,
  nameOf: (clientId: string) => Promise<Name>,
  approvals: readonly Versioned<'approval'>[],
): Promise<readonly AccountApproval[]> {
  const recent = approvals
    .toSorted((left, right) => right.value.approvedAtMs - left.value.approvedAtMs)
    .slice(0, SHOWN_MAX)
  return Promise.all(
    recent.map(async ({ key: { id }, value }) => {
      return {
        ...(await nameOf(value.clientId)),
        handle: handleOf(house, 'approval', id),
        redirectHost: redirectHost(value.redirectUri),
        access: describeAccess(house, value.resource, value.scopes),
        sinceMs: value.approvedAtMs,
        untilMs: value.expiresAtMs,
      }
    }),
  )
}
