/** One `ERR_*` code explained: what it means, what to do. Words in backquotes are shown as code. */
import { html } from 'hono/html'
import { type Markup, type PageHouse, page } from './layout.ts'

export interface ErrorEntry {
  readonly code: string
  readonly meaning: string
  readonly fix: string
}

export function errorPage(house: PageHouse, entry: ErrorEntry): Markup {
  const content = html`<section class="card">
<div>
<h1><code>${entry.code}</code></h1>
<p class="lead">${withCode(entry.meaning)}</p>
</div>
<div>
<h2>What to do</h2>
<p>${withCode(entry.fix)}</p>
</div>
</section>`
  return page(house, { title: entry.code, short: true }, content)
}

/** The table's texts are Markdown with backquotes and nothing else. */
function withCode(text: string): readonly (Markup | string)[] {
  return text.split('`').map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : part))
}
