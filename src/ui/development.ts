/** The page of the development sign-in: says that it proves nothing, and takes a name. */
import { html } from 'hono/html'
import { type Markup, type PageHouse, page } from './layout.ts'

export interface DevelopmentSignIn {
  readonly action: string
  readonly state: string
  /** The name that was typed is none. */
  readonly refused: boolean
}

export function developmentPage(house: PageHouse, signIn: DevelopmentSignIn): Markup {
  const content = html`<section class="card">
<div>
<h1>Who are you?</h1>
<p class="lead">Type any name. This server is set up for development and believes it.</p>
</div>
<p class="warning"><strong>There is no password.</strong> Whoever reaches this page signs in as anybody.</p>
<form class="actions" method="post" action="${signIn.action}">
<input type="hidden" name="state" value="${signIn.state}">
<label class="field" for="name">Name</label>
<input class="input" id="name" name="name" required maxlength="64" autocomplete="off" spellcheck="false"${signIn.refused ? html` aria-invalid="true" aria-describedby="refused"` : ''}>
${signIn.refused ? html`<p class="small" id="refused" role="alert">A name starts with a letter or digit and has at most 64 characters.</p>` : ''}
<button class="button primary" name="decision" value="continue">Continue</button>
<button class="button" name="decision" value="cancel" formnovalidate>Cancel</button>
</form>
</section>`
  return page(house, { title: 'Sign in for development', short: true }, content)
}
