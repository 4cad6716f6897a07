/**
 * The pages of linked accounts: what linking means, what is wrong, which of two accounts it is to be,
 * and the list. Forms only, no script; nothing that a server or an app chose is a link or markup.
 */
import { html } from 'hono/html'
import { type Markup, type PageHouse, page } from './layout.ts'
import { shownText } from './text.ts'
import { connectorScopeWords } from './words.ts'

export interface Connect {
  readonly action: string
  readonly listPath: string
  readonly ticket: string
  readonly flowId: string
  readonly title: string
  /** URL of the MCP endpoint. */
  readonly server: string
  readonly signInHost: string
  readonly scopes: readonly string[]
  /** Asked for before, and not given. */
  readonly refusedScopes: readonly string[]
  readonly account: { readonly label: string; readonly detail?: string }
  /** The app whose call brought the person here. */
  readonly askedBy?: { readonly name: string; readonly host?: string; readonly checked: boolean }
  readonly existing?: { readonly state: 'active' | 'reconnect'; readonly label?: string }
}

export function connectPage(house: PageHouse, connect: Connect): Markup {
  const title = shownText(connect.title)
  const app = connect.askedBy === undefined ? undefined : appName(connect.askedBy)
  const content = html`<section class="card">
<div>
<h1>${heading(connect, title, app)}</h1>
<p class="lead">Your apps then use ${title} as you. They never see a password or a token.</p>
</div>
<div class="destination">
<p class="muted small">You sign in at</p>
<strong class="host mono" data-connect="sign-in-host">${connect.signInHost}</strong>
<p class="muted small">There you choose the account and may give less.</p>
</div>
${connect.refusedScopes.length === 0 ? '' : html`<p class="warning">It was asked for ${words(connect.refusedScopes)} before and did not give it. If that stays so, ask who runs ${title}.</p>`}
${facts(connect)}
<form class="actions" method="post" action="${connect.action}">
<input type="hidden" name="ticket" value="${connect.ticket}">
<button class="button primary" name="decision" value="connect">${verb(connect)}</button>
<a class="button" href="${connect.listPath}">Not now</a>
</form>
</section>`
  return page(house, { title: `Connect ${title}`, flowId: connect.flowId }, content)
}

function heading(connect: Connect, title: string, app: string | undefined): Markup {
  if (app !== undefined)
    return html`<span data-connect="client">${app}</span> needs your account at ${title}`
  if (connect.existing?.state === 'active') return html`Connect ${title} again`
  return connect.existing === undefined ? html`Connect ${title}` : html`Reconnect ${title}`
}

function verb({ signInHost, existing }: Connect): string {
  return existing?.state === 'reconnect'
    ? `Reconnect at ${signInHost}`
    : `Continue to ${signInHost}`
}

function facts(connect: Connect): Markup {
  const { account, askedBy, existing } = connect
  return html`<dl class="facts">
${askedBy === undefined ? '' : html`<dt>App</dt><dd>${appName(askedBy)} ${verification(askedBy)}</dd>`}
<dt>Server</dt>
<dd><span class="mono small" data-connect="server">${connect.server}</span></dd>
<dt>Asks for</dt>
<dd data-connect="scopes">${connect.scopes.length === 0 ? 'What the server gives by itself; it names nothing.' : html`<ul>${connectorScopeWords(connect.scopes).map(scopeLine)}</ul>`}</dd>
<dt>For</dt>
<dd data-connect="account">${shownText(account.label)}${account.detail === undefined ? '' : html`<span class="sub">${shownText(account.detail)}</span>`}</dd>
${existing?.label === undefined ? '' : html`<dt>Until now</dt><dd>${shownText(existing.label)}</dd>`}
</dl>`
}

function scopeLine(scope: { readonly scope: string; readonly words: string }): Markup {
  const isSame = scope.words === scope.scope
  return html`<li>${scope.words}${isSame ? '' : html` <span class="muted mono small">${shownText(scope.scope)}</span>`}</li>`
}

function words(scopes: readonly string[]): string {
  return scopes.map((scope) => `“${shownText(scope)}”`).join(', ')
}

function appName(app: { readonly name: string; readonly host?: string }): string {
  return shownText(app.name) || app.host || 'An app without a name'
}

function verification(app: NonNullable<Connect['askedBy']>): Markup {
  if (app.host !== undefined) return html`<span class="tag plain mono">${app.host}</span>`
  return app.checked
    ? html`<span class="tag plain">set up by your administrator</span>`
    : html`<span class="tag">unverified</span>`
}

/** What is wrong, for the visitor: no code of ours, no answer of theirs. */
export interface Trouble {
  readonly party: 'server' | 'authorization-server' | 'here'
  readonly code: string
  readonly text: string
  readonly requirement: string
}

export interface ConnectorTrouble {
  readonly action: string
  readonly listPath: string
  readonly ticket: string
  readonly flowId: string
  readonly title: string
  readonly host: string
  readonly problems: readonly Trouble[]
}

const SIDES = {
  server: 'The server has to change something.',
  'authorization-server': 'The sign-in server behind it has to change something.',
  here: 'Whoever runs this installation has to look at it.',
} as const

export function connectorTroublePage(house: PageHouse, trouble: ConnectorTrouble): Markup {
  const title = shownText(trouble.title)
  const content = html`<section class="card">
<div>
<h1>${title} cannot be connected right now</h1>
<p class="lead">We looked at <span class="mono">${trouble.host}</span> to find out where you sign in.</p>
</div>
<ul class="troubles">${trouble.problems.length === 0 ? NO_ANSWER : trouble.problems.map(troubleLine)}</ul>
<p>Your other servers keep working. Nothing was shared.</p>
<div class="actions">
<form method="post" action="${trouble.action}">
<input type="hidden" name="ticket" value="${trouble.ticket}">
<button class="button primary" name="decision" value="retry">Try again</button>
</form>
<a class="button" href="${trouble.listPath}">See your connections</a>
</div>
</section>`
  const options = { title: `${title} cannot be connected`, flowId: trouble.flowId, short: true }
  return page(house, options, content)
}

const NO_ANSWER = html`<li><p>It did not answer in time.</p></li>`

function troubleLine(problem: Trouble): Markup {
  return html`<li>
<p data-connect="problem">${sentence(problem.text)}</p>
<p class="muted small"><span data-connect="side">${SIDES[problem.party]}</span> <span class="mono">${problem.requirement}</span></p>
</li>`
}

const TROUBLE_MAX_CHARACTERS = 300

function sentence(text: string): string {
  const shown = shownText(text, TROUBLE_MAX_CHARACTERS)
  // An address stays as it is written.
  const first = /^\w+:\/\//.test(shown) ? shown.charAt(0) : shown.charAt(0).toUpperCase()
  return `${first}${shown.slice(1)}${/[.!?…]$/.test(shown) ? '' : '.'}`
}

export interface Replacement {
  readonly action: string
  readonly ticket: string
  readonly flowId: string
  readonly title: string
  readonly before: string
  readonly after: string
}

export function replacementPage(house: PageHouse, replacement: Replacement): Markup {
  const title = shownText(replacement.title)
  const content = html`<section class="card">
<div>
<h1>This is another account at ${title}</h1>
<p class="lead">Your apps would act as the new one from now on.</p>
</div>
<dl class="facts">
<dt>Until now</dt>
<dd data-connect="before">${shownText(replacement.before)}</dd>
<dt>New</dt>
<dd data-connect="after">${shownText(replacement.after)}</dd>
</dl>
<form class="actions" method="post" action="${replacement.action}">
<input type="hidden" name="ticket" value="${replacement.ticket}">
<button class="button primary" name="decision" value="keep">Keep the one I had</button>
<button class="button" name="decision" value="replace">Use the new one</button>
</form>
</section>`
  const options = { title: `Another account at ${title}`, flowId: replacement.flowId, short: true }
  return page(house, options, content)
}

export interface ShownConnection {
  readonly connector: string
  readonly title: string
  readonly host: string
  /** `none`: not connected. `gone`: connected, and no longer open to this person. */
  readonly state: 'active' | 'reconnect' | 'none' | 'gone'
  readonly label?: string
  readonly scopes: readonly string[]
  readonly sinceMs?: number
  readonly connectionId?: string
  /** Absent where it cannot be connected. */
  readonly connectPath?: string
  readonly trouble?: Trouble
}

export interface ConnectionList {
  readonly action: string
  readonly ticket: string
  readonly accountPath: string
  readonly connections: readonly ShownConnection[]
  readonly done?: keyof typeof DONE_WORDS
}

export const DONE_WORDS = {
  connected: 'Connected. If an app sent you here, go back to it: it goes on by itself.',
  kept: 'Nothing was changed. The new account was signed out again.',
  disconnected: 'Disconnected. Nothing here can use it any more, and the server is being told.',
  'disconnected-here':
    'Disconnected. Nothing here can use it any more. This server cannot be told to end a token; end it there, in your account, if you want to be sure.',
} as const

export function connectionsPage(house: PageHouse, list: ConnectionList): Markup {
  const isEmpty = list.connections.length === 0
  const content = html`<div class="row">
<div>
<h1>Your connections</h1>
<p class="lead">${isEmpty ? 'No server here needs an account of yours.' : 'Accounts at other servers. Connect one once; your apps then use it as you.'}</p>
</div>
<a class="small" href="${list.accountPath}">Your account</a>
</div>
${list.done === undefined ? '' : html`<p class="note" role="status">${DONE_WORDS[list.done]}</p>`}
${isEmpty ? '' : html`<section class="card rows" aria-label="Connections"><ul>${list.connections.map((connection) => connectionRow(connection, list, 2))}</ul></section>`}`
  return page(house, { title: 'Your connections', wide: true }, content)
}

const STATES = {
  active: ['connected', 'plain'],
  reconnect: ['needs you', ''],
  none: ['not connected', 'plain'],
  gone: ['no longer open to you', ''],
} as const

/** One row, for the list and for the account page. */
export function connectionRow(
  connection: ShownConnection,
  form: { readonly action: string; readonly ticket: string; readonly from?: 'account' },
  level: 2 | 3,
): Markup {
  const title = shownText(connection.title)
  const [state, style] = STATES[connection.state]
  const name = html`${title} <span class="tag ${style}">${state}</span>`
  return html`<li class="entry">
<div>
${level === 2 ? html`<h2>${name}</h2>` : html`<h3>${name}</h3>`}
<p class="small"><span class="muted mono">${connection.host}</span>${connection.label === undefined ? '' : html`<br>As ${shownText(connection.label)}`}</p>
${
  connection.scopes.length === 0
    ? ''
    : html`<p class="muted small">${connectorScopeWords(connection.scopes)
        .map((scope) => scope.words)
        .join('; ')}</p>`
}
${connection.trouble === undefined ? '' : html`<p class="warning">${sentence(connection.trouble.text)} ${SIDES[connection.trouble.party]}</p>`}
</div>
<div class="verbs">
${connectLink(connection, title)}
${
  connection.connectionId === undefined
    ? ''
    : html`<form method="post" action="${form.action}">
<input type="hidden" name="ticket" value="${form.ticket}">
${form.from === undefined ? '' : html`<input type="hidden" name="from" value="${form.from}">`}
<button class="button inline" name="end" value="connection:${connection.connectionId}" aria-label="Disconnect: ${title}">Disconnect</button>
</form>`
}
</div>
</li>`
}

function connectLink(connection: ShownConnection, title: string): Markup | string {
  if (connection.connectPath === undefined) return ''
  const verb = { none: 'Connect', reconnect: 'Reconnect', active: 'Change', gone: '' }[
    connection.state
  ]
  const isWanted = connection.state === 'none' || connection.state === 'reconnect'
  return html`<a class="button inline ${isWanted ? 'primary' : ''}" href="${connection.connectPath}" aria-label="${verb}: ${title}">${verb}</a>`
}
