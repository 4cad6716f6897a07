/**
 * The account page: apps, browsers, remembered approvals, each with the button that ends it. Forms
 * only, no script; every button says to assistive technology what it ends.
 */
import { html } from 'hono/html'
import { DONE_WORDS as CONNECTION_WORDS, connectionRow, type ShownConnection } from './connect.ts'
import { type Markup, type PageHouse, page } from './layout.ts'
import { shownText } from './text.ts'
import { ourScopeWords } from './words.ts'

export interface AccountAccess {
  readonly url: string
  readonly title?: string
  readonly scopes: readonly string[]
  /** Words of the operator for scopes of this server. */
  readonly scopeTitles: ReadonlyMap<string, string>
}

export interface AccountApp {
  readonly handle: string
  /** Empty: an app without a name. */
  readonly name: string
  /** Named by the operator or by its own host; else it named itself. */
  readonly checked: boolean
  readonly redirectHosts: readonly string[]
  readonly access: readonly AccountAccess[]
  readonly sinceMs: number
  readonly lastUsedMs: number
}

export interface AccountBrowser {
  readonly handle: string
  readonly isThis: boolean
  readonly providerTitle: string
  readonly sinceMs: number
  readonly lastSeenMs: number
}

export interface AccountApproval {
  readonly handle: string
  readonly name: string
  readonly checked: boolean
  readonly redirectHost: string
  readonly access: AccountAccess
  readonly sinceMs: number
  readonly untilMs: number
}

export interface Account {
  readonly action: string
  readonly ticket: string
  readonly label: string
  readonly detail?: string
  readonly providerTitle: string
  readonly connectPath: string
  readonly connections: readonly ShownConnection[]
  readonly apps: readonly AccountApp[]
  readonly browsers: readonly AccountBrowser[]
  readonly approvals: readonly AccountApproval[]
  readonly nowMs: number
  readonly done?: keyof typeof DONE_WORDS
}

const DONE_WORDS = {
  client: 'Done. The app can no longer act for you.',
  session: 'Done. That browser is signed out.',
  approval: 'Done. You are asked again next time.',
  everywhere: 'Done. Signed out everywhere.',
  disconnected: CONNECTION_WORDS.disconnected,
  'disconnected-here': CONNECTION_WORDS['disconnected-here'],
} as const

export function accountPage(house: PageHouse, account: Account): Markup {
  const about = [account.detail, account.providerTitle].filter((text) => text !== undefined)
  const content = html`<div>
<h1>${shownText(account.label)}</h1>
<p class="lead">${about.map((text) => shownText(text)).join(' · ')}</p>
</div>
${account.done === undefined ? '' : html`<p class="note" role="status">${DONE_WORDS[account.done]}</p>`}
${section('Apps that act for you', 'They keep working while you are away, until you end them.', 'No app acts for you.', appRows(account))}
${connections(account)}
${section('Browsers', 'Where you are signed in to this page.', 'None.', browserRows(account))}
${section('Remembered answers', 'What you allowed before. Apps that are not verified ask each time all the same.', 'Nothing is remembered.', approvalRows(account))}
${everywhere(account)}`
  return page(house, { title: 'Your account', wide: true }, content)
}

function section(title: string, lead: string, empty: string, rows: readonly Markup[]): Markup {
  return html`<section class="card rows">
<div>
<h2>${title}</h2>
<p class="muted small">${rows.length === 0 ? empty : lead}</p>
</div>
${rows.length === 0 ? '' : html`<ul>${rows}</ul>`}
</section>`
}

/** Absent where nothing is linked: most houses need no account elsewhere. */
function connections(account: Account): Markup | string {
  const { connections, connectPath, ticket } = account
  if (connections.length === 0) return ''
  const form = { action: connectPath, ticket, from: 'account' as const }
  const rows = connections.map((connection) => connectionRow(connection, form, 3))
  return section(
    'Connected accounts',
    'Your accounts at other servers, used by your apps.',
    '',
    rows,
  )
}

function appRows(account: Account): readonly Markup[] {
  return account.apps.map((app) => {
    const name = nameOf(app)
    return html`<li class="entry">
<div>
<h3>${name} ${app.checked ? '' : UNVERIFIED}</h3>
${app.access.map(accessLine)}
<p class="muted small">Answers to ${app.redirectHosts.join(', ')}. Since ${day(app.sinceMs, account.nowMs)}, last used ${day(app.lastUsedMs, account.nowMs)}.</p>
</div>
${endForm(account, `client:${app.handle}`, 'End', `the access of ${name}`)}
</li>`
  })
}

const UNVERIFIED = html`<span class="tag">unverified</span>`

function accessLine(access: AccountAccess): Markup {
  const words = ourScopeWords(access.scopes, access.scopeTitles).map((scope) => scope.words)
  return html`<p class="small">${shownText(access.title) || new URL(access.url).host} <span class="muted mono">${access.url}</span><br>${words.join('; ')}</p>`
}

function browserRows(account: Account): readonly Markup[] {
  return account.browsers.map((browser, index) => {
    const name = browser.isThis ? 'This browser' : 'Another browser'
    return html`<li class="entry">
<div>
<h3>${name}</h3>
<p class="muted small">Signed in with ${browser.providerTitle} ${day(browser.sinceMs, account.nowMs)}, last seen ${day(browser.lastSeenMs, account.nowMs)}.</p>
</div>
${endForm(account, `session:${browser.handle}`, 'Sign out', `${name.toLowerCase()}, number ${index + 1}`)}
</li>`
  })
}

function approvalRows(account: Account): readonly Markup[] {
  return account.approvals.map((approval) => {
    const name = nameOf(approval)
    return html`<li class="entry">
<div>
<h3>${name} ${approval.checked ? '' : UNVERIFIED}</h3>
${accessLine(approval.access)}
<p class="muted small">Answers to ${approval.redirectHost}. Allowed ${day(approval.sinceMs, account.nowMs)}, remembered until ${day(approval.untilMs, account.nowMs)}.</p>
</div>
${endForm(account, `approval:${approval.handle}`, 'Forget', `what you allowed ${name}`)}
</li>`
  })
}

function nameOf(app: { readonly name: string }): string {
  return shownText(app.name) || 'An app without a name'
}

function endForm(account: Account, end: string, verb: string, what: string): Markup {
  return html`<form method="post" action="${account.action}">
<input type="hidden" name="ticket" value="${account.ticket}">
<button class="button inline" name="end" value="${end}" aria-label="${verb}: ${what}">${verb}</button>
</form>`
}

/** Behind a second press, because it cannot be undone. */
function everywhere(account: Account): Markup {
  return html`<section class="card list">
<details>
<summary>Sign out everywhere</summary>
<p class="small muted">Signs out every browser, this one included, and ends every app above at once. Each app has to ask you again.</p>
<form method="post" action="${account.action}">
<input type="hidden" name="ticket" value="${account.ticket}">
<button class="button danger" name="end" value="everywhere">Sign out everywhere and end all apps</button>
</form>
</details>
</section>`
}

const DAY_MS = 86_400_000
/** Made when first asked for: it loads the platform's calendars, a tenth of a start. */
let dates: Intl.DateTimeFormat | undefined

function longDate(atMs: number): string {
  dates ??= new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeZone: 'UTC' })
  return dates.format(atMs)
}

/** A day is what people remember, and all that is known of a grant; UTC, so near midnight it may differ by one. */
function day(atMs: number, nowMs: number): Markup {
  const iso = new Date(atMs).toISOString()
  const today = Math.floor(nowMs / DAY_MS)
  const daysAgo = today - Math.floor(atMs / DAY_MS)
  const text = daysAgo === 0 ? 'today' : daysAgo === 1 ? 'yesterday' : longDate(atMs)
  return html`<time datetime="${iso}">${text}</time>`
}
