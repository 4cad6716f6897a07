/**
 * Pages that say what happened and what to do: refusals, and the page that asks before it leads back
 * to a client with an error (AZ-15). Never a link to a redirect URI that was not checked.
 */
import { html } from 'hono/html'
import { type Markup, type PageHouse, page } from './layout.ts'

/** Who has to do something about it. */
export type Side = 'app' | 'server' | 'provider' | 'remote' | 'you'

const SIDE_WORDS: Readonly<Record<Side, string>> = {
  app: 'The app has to change something.',
  server: 'This server has to be looked at by whoever runs it.',
  provider: 'The sign-in provider did not do its part.',
  remote: 'The server that you wanted to connect did not do its part.',
  you: 'It is up to you.',
}

export interface Message {
  /** Absent where nothing is wrong. */
  readonly side?: Side
  readonly title: string
  /** What is wrong, in one sentence for the visitor. */
  readonly text: string
  /** What to do about it. */
  readonly fix?: string
  /** For who looks it up: `ERR_*` of `error-codes.ts`, or the RFC's error word. */
  readonly code?: string
  /** Where the code is explained; shown as a link on it. */
  readonly codePath?: string
  readonly flowId?: string
  /** A button back to a client whose redirect URI was checked, carrying the error. */
  readonly back?: { readonly host: string; readonly url: string }
  /** A form that starts the same sign-in again with a new ticket. */
  readonly retry?: {
    readonly action: string
    readonly ticket: string
    readonly decision: string
    readonly text?: string
  }
  /** A plain link on our own origin. */
  readonly link?: { readonly path: string; readonly text: string }
}

export function messagePage(house: PageHouse, message: Message): Markup {
  const content = html`<section class="card">
<div>
<h1>${message.title}</h1>
<p class="lead">${message.text}</p>
</div>
${message.fix === undefined ? '' : html`<p>${message.fix}</p>`}
${side(message)}
${actions(message)}
</section>`
  const flow = message.flowId === undefined ? {} : { flowId: message.flowId }
  return page(house, { title: message.title, ...flow, short: true }, content)
}

/** Which side is wrong, and the code to look up. */
function side(message: Message): Markup | string {
  if (message.side === undefined && message.code === undefined) return ''
  const words = message.side === undefined ? '' : SIDE_WORDS[message.side]
  return html`<p class="muted small"><span data-message="side">${words}</span> ${code(message)}</p>`
}

function code({ code, codePath }: Message): Markup | string {
  if (code === undefined) return ''
  return codePath === undefined
    ? html`<code>${code}</code>`
    : html`<a href="${codePath}"><code>${code}</code></a>`
}

function actions(message: Message): Markup | string {
  const { retry, back, link } = message
  if (retry === undefined && back === undefined && link === undefined) return ''
  const backClass = retry === undefined ? 'button primary' : 'button'
  return html`<div class="actions">
${
  retry === undefined
    ? ''
    : html`<form method="post" action="${retry.action}">
<input type="hidden" name="ticket" value="${retry.ticket}">
<button class="button primary" name="decision" value="${retry.decision}">${retry.text ?? 'Try again'}</button>
</form>`
}
${back === undefined ? '' : html`<a class="${backClass}" rel="noreferrer" href="${back.url}">Return to ${back.host}</a>`}
${link === undefined ? '' : html`<a class="button" href="${link.path}">${link.text}</a>`}
</div>`
}
