/**
 * The frame of every page: language, title, our style sheet, the brand, one card, the flow id.
 * Works without script; nothing is loaded from another host.
 */
import { html } from 'hono/html'

export type Markup = ReturnType<typeof html>

/** What every page knows about the house that shows it. */
export interface PageHouse {
  readonly brandName: string
  /** Where the brand leads: the home page. */
  readonly homePath: string
  readonly stylePath: string
  readonly markPath: string
  readonly supportUrl?: string
}

export interface PageOptions {
  readonly title: string
  readonly flowId?: string
  readonly wide?: boolean
  /** Few lines: set lower on the screen. */
  readonly short?: boolean
}

export function page(house: PageHouse, options: PageOptions, content: Markup): Markup {
  const wide = options.wide === true ? 'wide' : ''
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${options.title} · ${house.brandName}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="${house.stylePath}">
<link rel="icon" type="image/svg+xml" href="${house.markPath}">
</head>
<body class="${options.short === true ? 'short' : ''}">
<header><a class="brand" href="${house.homePath}">${MARK}${house.brandName}</a></header>
<main class="${wide}">
${content}
</main>
<footer class="${wide}">
${options.flowId === undefined ? '' : html`<span>Flow <code>${options.flowId}</code></span>`}
${house.supportUrl === undefined ? '' : html`<a href="${house.supportUrl}" rel="noreferrer">Help</a>`}
</footer>
</body>
</html>`
}

/** A gate in a wall. */
const MARK = html`<svg viewBox="0 0 18 18" aria-hidden="true" focusable="false"><path fill="currentColor" d="M2 18V8a7 7 0 0 1 14 0v10h-4V8.5a3 3 0 0 0-6 0V18z"/></svg>`

/** The same gate as an icon of its own, readable on light and dark tabs. */
export const MARK_ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 18 18"><style>path{fill:#1c1e26}@media(prefers-color-scheme:dark){path{fill:#f1f1f3}}</style><path d="M2 18V8a7 7 0 0 1 14 0v10h-4V8.5a3 3 0 0 0-6 0V18z"/></svg>'
