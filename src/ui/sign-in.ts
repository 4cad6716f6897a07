/** Sign-in to this house itself, without a client: one button per provider, one POST. */
import { html } from 'hono/html'
import { type Markup, type PageHouse, page } from './layout.ts'

export interface SignIn {
  readonly action: string
  readonly ticket: string
  readonly flowId: string
  /** What for; default: what the home page is for. */
  readonly lead?: string
  readonly providers: readonly { readonly id: string; readonly title: string }[]
}

export function signInPage(house: PageHouse, signIn: SignIn): Markup {
  const content = html`<section class="card">
<div>
<h1>Sign in to ${house.brandName}</h1>
<p class="lead">${signIn.providers.length === 0 ? 'No sign-in provider is set up yet.' : (signIn.lead ?? 'See the servers you may use, and how to add them to your client.')}</p>
</div>
<form class="actions" method="post" action="${signIn.action}">
<input type="hidden" name="ticket" value="${signIn.ticket}">
${signIn.providers.map(
  (provider, index) =>
    html`<button class="button ${index === 0 ? 'primary' : ''}" name="decision" value="allow:${provider.id}">Continue with ${provider.title}</button>`,
)}
</form>
</section>`
  return page(house, { title: 'Sign in', flowId: signIn.flowId, short: true }, content)
}
