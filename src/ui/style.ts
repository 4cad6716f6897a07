/**
 * The one style sheet of our pages: served by us under a name with its digest, so that the pages
 * need neither inline styles nor anybody else's host. Light and dark, wide and narrow, AA contrast.
 */

interface Accent {
  readonly fill: string
  readonly text: string
}

/** The colour of a brand with the text colour that reads better on it (WCAG 2.2, 1.4.3). */
export function accentOf(color: string | undefined): Accent | undefined {
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(color ?? '')
  if (match === null) return undefined
  const [red, green, blue] = match
    .slice(1)
    .map((channel) => linear(Number.parseInt(channel, 16) / 255))
  const luminance = 0.2126 * (red ?? 0) + 0.7152 * (green ?? 0) + 0.0722 * (blue ?? 0)
  const whiteContrast = 1.05 / (luminance + 0.05)
  const blackContrast = (luminance + 0.05) / 0.05
  return {
    fill: match[0].toLowerCase(),
    text: whiteContrast >= blackContrast ? '#ffffff' : '#000000',
  }
}

function linear(channel: number): number {
  return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4
}

export function styleSheet(accentColor: string | undefined): string {
  const accent = accentOf(accentColor)
  const brand =
    accent === undefined ? '' : `:root{--accent:${accent.fill};--on-accent:${accent.text}}\n`
  return `${BASE}${brand}`
}

const BASE = `
:root {
  color-scheme: light dark;
  --page: #f6f6f4; --card: #ffffff; --text: #17181c; --muted: #5a5d66; --line: #e3e3df; --well: #f6f6f4;
  --accent: #1c1e26; --on-accent: #ffffff; --focus: #2f5bea; --warn-bg: #fdf5e3; --warn-line: #e6c882; --warn-text: #5f4206;
  --shadow: 0 1px 2px rgb(20 20 30 / .05), 0 12px 32px -12px rgb(20 20 30 / .12);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101114; --card: #18191d; --text: #ececef; --muted: #a2a5af; --line: #2c2e35; --well: #121317;
    --accent: #f1f1f3; --on-accent: #131418; --focus: #8aa6ff; --warn-bg: #2a2212; --warn-line: #5d4a1d; --warn-text: #f0d596;
    --shadow: none;
  }
}
*, ::before, ::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; min-height: 100vh; min-height: 100dvh; display: flex; flex-direction: column; align-items: center;
  padding: clamp(1.25rem, 5vh, 4rem) 1rem 1.5rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  -webkit-font-smoothing: antialiased; overflow-wrap: anywhere;
}
h1, h2, h3, p, dl, dd, ul, ol, figure { margin: 0; }
ul { padding: 0; list-style: none; }
h1 { font-size: 1.375rem; line-height: 1.3; font-weight: 620; letter-spacing: -.014em; text-wrap: balance; }
h2 { font-size: 1.0625rem; line-height: 1.35; font-weight: 600; letter-spacing: -.008em; }
a { color: inherit; text-decoration-color: var(--muted); text-underline-offset: .18em; }
a:hover { text-decoration-color: currentcolor; }
code, .mono { font-family: ui-monospace, SFMono-Regular, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: .9375em; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; border-radius: 6px; }
.muted { color: var(--muted); }
.small { font-size: .875rem; line-height: 1.45; }

.brand { display: flex; align-items: center; gap: .5rem; margin-bottom: 1rem; font-size: .9375rem; font-weight: 600; letter-spacing: -.005em; color: var(--text); text-decoration: none; }
.brand svg { width: 1.125rem; height: 1.125rem; display: block; }
body.short { padding-top: clamp(1.25rem, 16vh, 9rem); }
main { width: 100%; max-width: 30rem; }
main.wide { max-width: 46rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 14px; box-shadow: var(--shadow); padding: 1.75rem; }
.card > * + * { margin-top: 1.25rem; }
.lead { margin-top: .375rem; color: var(--muted); }
footer { margin-top: 1rem; width: 100%; max-width: 30rem; display: flex; flex-wrap: wrap; gap: .25rem 1rem; justify-content: center; color: var(--muted); font-size: .8125rem; }
footer.wide { max-width: 46rem; }

.destination { padding: .875rem 1.125rem; background: var(--well); border: 1px solid var(--line); border-radius: 10px; }
.destination .host { display: block; margin: .0625rem 0 .1875rem; font-size: 1.5rem; line-height: 1.25; font-weight: 620; letter-spacing: -.02em; }
.tag { display: inline-block; padding: .0625rem .5rem; border: 1px solid var(--warn-line); border-radius: 99px; background: var(--warn-bg); color: var(--warn-text); font-size: .75rem; line-height: 1.4; font-weight: 550; vertical-align: .09em; white-space: nowrap; }
.tag.plain { border-color: var(--line); background: var(--well); color: var(--muted); }
.warning { padding: .75rem .875rem; border: 1px solid var(--warn-line); border-radius: 10px; background: var(--warn-bg); color: var(--warn-text); font-size: .875rem; line-height: 1.45; }
.warning strong { font-weight: 620; }

.facts { display: grid; grid-template-columns: 5rem 1fr; gap: .625rem 1rem; font-size: .9375rem; }
.facts dt { color: var(--muted); }
.facts dd { min-width: 0; }
.facts .sub { display: block; color: var(--muted); font-size: .8125rem; line-height: 1.45; }
.facts li + li { margin-top: .25rem; }

.note { margin-top: 1rem; padding: .625rem .875rem; border: 1px solid var(--line); border-radius: 10px; background: var(--well); font-size: .9375rem; }
.card.list > details:only-child { margin-top: -1.25rem; border-top: 0; }
.rows, main > .list { margin-top: 1.25rem; }
.rows li.entry { display: flex; flex-wrap: wrap; gap: .625rem 1rem; align-items: flex-start; justify-content: space-between; padding: .875rem 0; border-top: 1px solid var(--line); }
.rows li.entry:last-child { padding-bottom: 0; }
.rows li.entry > div { flex: 1 1 16rem; min-width: 0; display: grid; gap: .25rem; }
.rows li.entry > .verbs { flex: 0 0 auto; display: flex; flex-wrap: wrap; gap: .5rem; }
.rows > ul:first-child > li.entry:first-child { padding-top: 0; border-top: 0; }
.rows li.entry h2 { font-size: .9375rem; line-height: 1.4; }
.rows li.entry .warning { margin-top: .25rem; }
.troubles li + li { margin-top: .875rem; padding-top: .875rem; border-top: 1px solid var(--line); }
h3 { font-size: .9375rem; line-height: 1.4; font-weight: 600; }
.button.danger { border-color: var(--warn-line); background: var(--warn-bg); color: var(--warn-text); }
.field { font-size: .875rem; font-weight: 560; }
.input { width: 100%; min-height: 2.75rem; padding: .5rem .75rem; border: 1px solid var(--muted); border-radius: 10px; background: var(--card); color: var(--text); font: inherit; }

.actions { display: grid; gap: .625rem; }
.actions form { display: grid; gap: .625rem; }
.button {
  display: flex; align-items: center; justify-content: center; width: 100%; min-height: 2.75rem; padding: .5rem 1rem; border: 1px solid var(--line); border-radius: 10px;
  background: var(--card); color: var(--text); font: inherit; font-weight: 560; text-align: center; text-decoration: none; cursor: pointer;
  transition: background-color .12s, border-color .12s, opacity .12s;
}
.button:hover { border-color: var(--muted); }
.button.primary { border-color: var(--accent); background: var(--accent); color: var(--on-accent); }
.button.primary:hover { opacity: .9; }
.button.quiet { border-color: transparent; background: transparent; color: var(--muted); font-weight: 500; }
.button.quiet:hover { color: var(--text); }
.button.inline { display: inline-flex; width: auto; min-height: 2.25rem; padding: .25rem .75rem; font-size: .875rem; }
.row { display: flex; flex-wrap: wrap; gap: .75rem; align-items: center; justify-content: space-between; }

.servers { display: grid; gap: 1rem; margin-top: 1.25rem; }
.copy { display: block; padding: .625rem .75rem; background: var(--well); border: 1px solid var(--line); border-radius: 8px; font-size: .8125rem; line-height: 1.5; white-space: pre-wrap; user-select: all; -webkit-user-select: all; }
details { border-top: 1px solid var(--line); }
.card > details { margin-top: 0; }
.card > details:first-of-type { margin-top: 1.25rem; }
.card.list { padding-bottom: .75rem; }
summary { display: flex; align-items: center; justify-content: space-between; padding: .625rem .125rem; cursor: pointer; font-size: .9375rem; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary::after { content: ""; width: .4375rem; height: .4375rem; margin-right: .25rem; border-right: 1.5px solid var(--muted); border-bottom: 1.5px solid var(--muted); transform: rotate(45deg) translate(-2px, -2px); transition: transform .12s; }
details[open] > summary::after { transform: rotate(225deg) translate(-2px, -2px); }
details > :not(summary) { margin-bottom: .875rem; }
details > * + .copy { margin-top: .375rem; }

@media (max-width: 30rem) {
  body { padding-top: 1.25rem; }
  body.short { padding-top: clamp(1.25rem, 8vh, 4rem); }
  .card { padding: 1.25rem; border-radius: 12px; }
  .button { padding: .5rem .625rem; font-size: .9375rem; }
  .facts { grid-template-columns: 1fr; gap: .125rem; }
  .facts dd { margin-bottom: .625rem; }
  .facts dd:last-child { margin-bottom: 0; }
}
@media (prefers-reduced-motion: reduce) { * { transition: none !important; } }
@media (forced-colors: active) { .button, .card, .destination, .tag { border-color: currentcolor; } }
`
