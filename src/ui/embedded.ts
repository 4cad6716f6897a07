/**
 * Pages of Connect embedded in another product: what linking means, with the product's name and the
 * place where the person signs in; and how it ended. Only the end page has a script, and it is ours.
 */
import { html } from 'hono/html'
import { type Markup, type PageHouse, page } from './layout.ts'
import { shownText } from './text.ts'
import { connectorScopeWords } from './words.ts'

export interface Popup {
  readonly action: string
  readonly ticket: string
  readonly flowId: string
  /** The product, by its name and where its pages are. */
  readonly app: string
  readonly appHost: string
  readonly title: string
  /** URL of the MCP endpoint. */
  readonly server: string
  readonly signInHost: string
  readonly scopes: readonly string[]
  readonly existing?: { readonly state: 'active' | 'reconnect'; readonly label?: string }
}

export function popupPage(house: PageHouse, popup: Popup): Markup {
  const title = shownText(popup.title)
  const app = shownText(popup.app)
  const content = html`<section class="card">
<div>
<h1><span data-connect="app">${app}</span> asks for your account at ${title}</h1>
<p class="lead">It then uses ${title} as you. It never sees a password.</p>
</div>
<div class="destination">
<p class="muted small">You sign in at</p>
<strong class="host mono" data-connect="sign-in-host">${popup.signInHost}</strong>
<p class="muted small">There you choose the account and may give less.</p>
</div>
<dl class="facts">
<dt>Product</dt>
<dd>${app} <span class="tag plain mono">${popup.appHost}</span></dd>
<dt>Server</dt>
<dd><span class="mono small" data-connect="server">${popup.server}</span></dd>
<dt>Asks for</dt>
<dd data-connect="scopes">${popup.scopes.length === 0 ? 'What the server gives by itself; it names nothing.' : html`<ul>${connectorScopeWords(popup.scopes).map(scopeLine)}</ul>`}</dd>
${popup.existing?.label === undefined ? '' : html`<dt>Until now</dt><dd>${shownText(popup.existing.label)}</dd>`}
</dl>
<p class="muted small">Go on only if you came from ${app} yourself, just now.</p>
<form class="actions" method="post" action="${popup.action}">
<input type="hidden" name="ticket" value="${popup.ticket}">
<button class="button primary" name="decision" value="connect">Continue to ${popup.signInHost}</button>
<button class="button" name="decision" value="cancel">Cancel</button>
</form>
</section>`
  return page(house, { title: `Connect ${title}`, flowId: popup.flowId }, content)
}

function scopeLine(scope: { readonly scope: string; readonly words: string }): Markup {
  const isSame = scope.words === scope.scope
  return html`<li>${scope.words}${isSame ? '' : html` <span class="muted mono small">${shownText(scope.scope)}</span>`}</li>`
}

/** How a trip ended, for the page that opened the popup. */
export interface Ending {
  readonly scriptPath: string
  readonly app: string
  readonly attempt: string
  readonly nonce: string
  readonly origin: string
  readonly returnUrl?: string
  /** Absent: it failed, and `code` says why. */
  readonly confirmation?: string
  readonly code?: string
}

export function donePage(house: PageHouse, ending: Ending): Markup {
  const isDone = ending.confirmation !== undefined
  const app = shownText(ending.app)
  const title = isDone ? 'Almost done' : 'Not connected'
  const text = isDone
    ? `Go back to ${app}, which finishes it, and close this window.`
    : `Nothing was connected. Go back to ${app} and close this window.`
  // Shown by the script when there is nobody to tell and nowhere to go: that trip ends with nothing.
  const lost = `This window lost the page that opened it, so nothing was connected. Go back to ${app} and try again there.`
  const content = html`<section class="card">
<div id="told">
<h1>${title}</h1>
<p class="lead" role="status">${text}</p>
</div>
<div id="lost" hidden>
<h1>Not connected</h1>
<p class="lead" role="status">${lost}</p>
</div>
</section>
${script(ending, isDone ? 'postern:done' : 'postern:failed')}`
  return page(house, { title, short: true }, content)
}

function script(ending: Ending, type: 'postern:done' | 'postern:failed'): Markup {
  const { scriptPath, attempt, nonce, origin, returnUrl, confirmation, code } = ending
  return html`<script src="${scriptPath}" data-type="${type}" data-attempt="${attempt}" data-nonce="${nonce}" data-origin="${origin}"${attribute('return-url', returnUrl)}${attribute('confirmation', confirmation)}${attribute('code', code)}><\/script>`
}

function attribute(name: string, value: string | undefined): Markup | string {
  return value === undefined ? '' : html` data-${name}="${value}"`
}
