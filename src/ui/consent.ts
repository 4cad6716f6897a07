/**
 * The consent page (CON-04, CON-05): who asks, where the answer goes, what it may do, as whom.
 * The redirect host is the most prominent line; nothing the client chose is a link, image or markup.
 */
import { html } from 'hono/html'
import { type Markup, type PageHouse, page } from './layout.ts'
import { shownText } from './text.ts'
import { claimWords, ourScopeWords, providerScopeWords } from './words.ts'

export interface ConsentProvider {
  readonly id: string
  readonly title: string
  readonly scopes: readonly string[]
}

export interface Consent {
  readonly action: string
  readonly ticket: string
  readonly flowId: string
  readonly clientName?: string
  /**
   * `operator`: named in the configuration. `website`: described by a document at `clientHost`. `self`:
   * registered itself, so its name proves nothing.
   */
  readonly registeredBy: 'operator' | 'website' | 'self'
  readonly clientHost?: string
  readonly redirect: { readonly kind: 'web' | 'loopback' | 'app'; readonly host: string }
  readonly loopbackOnly: boolean
  readonly resource: { readonly url: string; readonly title?: string }
  readonly scopes: readonly string[]
  /** Words of the operator for scopes of this server. */
  readonly scopeTitles?: ReadonlyMap<string, string>
  /** Names of claims that this server is told of the person with each call. */
  readonly claims?: readonly string[]
  readonly providers: readonly ConsentProvider[]
  readonly account?: {
    readonly label: string
    readonly detail?: string
    readonly providerTitle: string
  }
}

export function consentPage(house: PageHouse, consent: Consent): Markup {
  const client = shownText(consent.clientName) || 'An app without a name'
  const server = shownText(consent.resource.title) || new URL(consent.resource.url).host
  const content = html`<section class="card">
<div>
<h1><span data-consent="client">${client}</span> wants to use ${server} as you</h1>
</div>
${destination(consent)}
${consent.loopbackOnly ? LOOPBACK_WARNING : ''}
${facts(consent, client)}
<form class="actions" method="post" action="${consent.action}">
<input type="hidden" name="ticket" value="${consent.ticket}">
${consent.account === undefined ? signInButtons(consent) : ALLOW}
<button class="button" name="decision" value="deny">Deny</button>
${consent.account === undefined ? '' : otherAccountButtons(consent)}
</form>
</section>`
  return page(house, { title: `Allow ${client}?`, flowId: consent.flowId }, content)
}

function destination(consent: Consent): Markup {
  const note = {
    web: 'This website receives the access.',
    loopback: 'A program on this computer receives the access.',
    app: 'The app on this computer that opens such links receives the access.',
  }[consent.redirect.kind]
  return html`<div class="destination">
<p class="muted small">After you allow it, you are sent to</p>
<strong class="host mono" data-consent="redirect-host">${consent.redirect.host}</strong>
<p class="muted small">${note}</p>
</div>`
}

const LOOPBACK_WARNING = html`<p class="warning" data-consent="loopback-warning"><strong>Did you start this yourself, just now, on this computer?</strong> Any program on it can claim this name. If you are not sure, deny.</p>`

function facts(consent: Consent, client: string): Markup {
  return html`<dl class="facts">
<dt>App</dt>
<dd>${client} ${verification(consent)}</dd>
<dt>Server</dt>
<dd><span class="mono small" data-consent="resource">${consent.resource.url}</span></dd>
<dt>May</dt>
<dd><ul data-consent="scopes">${ourScopeWords(consent.scopes, consent.scopeTitles).map((scope) => html`<li>${scope.words} <span class="muted mono small">${scope.scope}</span></li>`)}</ul></dd>
${claimFacts(consent.claims ?? [])}
${signInFacts(consent.providers)}
<dt>Account</dt>
<dd data-consent="account">${
    consent.account === undefined
      ? 'You choose the account in the next step.'
      : html`${shownText(consent.account.label)}<span class="sub">${consent.account.detail === undefined ? '' : `${shownText(consent.account.detail)} · `}${consent.account.providerTitle}</span>`
  }</dd>
</dl>`
}

/** Who vouches for the name. The host of a document is what its address says, nothing it chose. */
function verification(consent: Consent): Markup {
  if (consent.registeredBy === 'operator') {
    return html`<span class="tag plain" data-consent="verification">set up by your administrator</span>`
  }
  if (consent.registeredBy === 'website') {
    return html`<span class="tag plain mono" data-consent="verification">${consent.clientHost ?? ''}</span><span class="sub">This website describes the app under this name.</span>`
  }
  return html`<span class="tag" data-consent="verification">unverified</span><span class="sub">It named itself; nobody checked who made it.</span>`
}

/** The server learns more than who calls only where its operator released it (flows.md section 12). */
function claimFacts(claims: readonly string[]): Markup | string {
  if (claims.length === 0) return ''
  return html`<dt>Is told</dt>
<dd data-consent="claims">The server is told ${list(claimWords(claims), 'and')}.</dd>`
}

/** What the sign-in asks of each provider; providers that are asked the same share a line. */
function signInFacts(providers: readonly ConsentProvider[]): Markup | string {
  const titles = new Map<string, string[]>()
  for (const provider of providers) {
    const words = list(
      providerScopeWords(provider.scopes).map((scope) => scope.words),
      'and',
    )
    if (words !== '') titles.set(words, [...(titles.get(words) ?? []), provider.title])
  }
  if (titles.size === 0) return ''
  return html`<dt>Sign-in</dt>
<dd data-consent="provider-scopes">${[...titles].map(([words, names]) => html`<p>${list(names, 'or')} lets us ${words}.</p>`)}<span class="sub">The app never sees that token.</span></dd>`
}

function list(words: readonly string[], last: 'and' | 'or'): string {
  return words.length < 2
    ? words.join('')
    : `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`
}

function signInButtons(consent: Consent): Markup[] {
  return consent.providers.map(
    (provider, index) =>
      html`<button class="button ${index === 0 ? 'primary' : ''}" name="decision" value="allow:${provider.id}">Allow and continue with ${provider.title}</button>`,
  )
}

const ALLOW = html`<button class="button primary" name="decision" value="allow">Allow</button>`

function otherAccountButtons(consent: Consent): Markup[] {
  const several = consent.providers.length > 1
  return consent.providers.map(
    (provider) =>
      html`<button class="button quiet" name="decision" value="switch:${provider.id}">Use another ${several ? `${provider.title} ` : ''}account</button>`,
  )
}
