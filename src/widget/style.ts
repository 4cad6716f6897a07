/**
 * The look of the widget, as text of a constructed style sheet: a host policy without `style-src`
 * does not stop it. Light and dark by `theme` or the person's wish, any width, either direction.
 */

export const STYLE = `
:host {
  display: block; color-scheme: light dark; container-type: inline-size; text-align: start;
  --accent: var(--postern-accent, light-dark(#1c1e26, #f1f1f3));
  --background: var(--postern-background, light-dark(#ffffff, #18191d));
  --text: var(--postern-text, light-dark(#17181c, #ececef));
  --muted: var(--postern-muted, light-dark(#5a5d66, #a2a5af));
  --border: var(--postern-border, light-dark(#e3e3df, #2c2e35));
  --danger: var(--postern-danger, light-dark(#a32020, #ff9d94));
  --success: var(--postern-success, light-dark(#17693a, #7ed6a0));
  --radius: var(--postern-radius, 10px);
  --gap: var(--postern-gap, .875rem);
  --focus: light-dark(#2f5bea, #8aa6ff);
  font: var(--postern-font-size, 1rem)/1.45 var(--postern-font, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif);
  color: var(--text);
}
:host([hidden]) { display: none; }
:host([theme=light]) { color-scheme: light; }
:host([theme=dark]) { color-scheme: dark; }
*, ::before, ::after { box-sizing: border-box; }
.root { background: var(--background); border: 1px solid var(--border); border-radius: calc(var(--radius) * 1.4); padding-inline: calc(var(--gap) * 1.25); overflow-wrap: anywhere; }
ul { margin: 0; padding: 0; list-style: none; }
li { display: flex; flex-wrap: wrap; align-items: center; gap: calc(var(--gap) * .75) var(--gap); padding-block: var(--gap); }
li + li { border-block-start: 1px solid var(--border); }
.icon { flex: none; display: grid; place-items: center; inline-size: 2.25em; block-size: 2.25em; border: 1px solid var(--border); border-radius: var(--radius); color: var(--muted); font-weight: 600; }
.about { flex: 1 1 12rem; min-inline-size: 0; }
.name { display: block; font-weight: 600; letter-spacing: -.005em; }
.more, .state, .notice { display: block; font-size: .875em; color: var(--muted); }
[dir=auto] { display: block; text-align: -webkit-match-parent; text-align: match-parent; }
.state::before { content: ""; display: inline-block; inline-size: .5em; block-size: .5em; margin-inline-end: .5em; border: 1.5px solid currentcolor; border-radius: 50%; vertical-align: .08em; }
.state[data-state=active]::before { border-color: var(--success); background: var(--success); }
.state[data-state=reconnect], .state[data-state=unavailable] { color: var(--danger); }
.state[data-state=reconnect]::before { background: linear-gradient(to right, currentcolor 50%, transparent 50%); }
.state[data-state=unavailable]::before { border-radius: 1px; transform: rotate(45deg); }
.state[data-busy]::before { border-color: var(--accent); border-inline-end-color: transparent; animation: turn .9s linear infinite; }
.verbs { flex: none; display: flex; flex-wrap: wrap; gap: .5rem; margin-inline-start: auto; }
.notice { flex-basis: 100%; margin: 0; padding: .5em .75em; border: 1px solid var(--border); border-inline-start: 3px solid var(--muted); border-radius: calc(var(--radius) * .6); color: var(--text); }
.notice[data-error] { border-inline-start-color: var(--danger); }
.button { display: inline-flex; align-items: center; justify-content: center; min-block-size: 2.5em; padding: .375em .875em; border: 1px solid var(--border); border-radius: var(--radius); background: var(--background); color: var(--text); font: inherit; font-size: .9375em; font-weight: 560; text-decoration: none; cursor: pointer; transition: border-color .12s, opacity .12s; }
.button:hover { border-color: var(--muted); }
.button.primary { border-color: var(--accent); background: var(--accent); color: oklch(from var(--accent) clamp(0, (.65 - l) * 1000, 1) 0 0); }
.button.primary:hover { opacity: .9; }
.button.quiet { padding-inline: .25em; border-color: transparent; background: none; color: var(--muted); text-decoration: underline; text-decoration-color: var(--border); text-underline-offset: .2em; }
.button.quiet:hover { color: var(--text); text-decoration-color: currentcolor; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; border-radius: 6px; }
.button:focus-visible { border-radius: var(--radius); }
.page { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem var(--gap); justify-content: space-between; margin: 0; padding-block: var(--gap); color: var(--muted); }
.page[data-error] { color: var(--text); }
.page:not([hidden]) + ul { border-block-start: 1px solid var(--border); }
.page p { margin: 0; flex: 1 1 12rem; }
.said { position: absolute; inline-size: 1px; block-size: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
[hidden] { display: none !important; }
@container (max-width: 26rem) {
  .verbs { flex: 1 1 100%; margin-inline-start: calc(2.25em + var(--gap)); }
}
:host([layout=buttons]) .root { border: 0; padding: 0; background: none; }
:host([layout=buttons]) ul { display: flex; flex-wrap: wrap; align-items: flex-start; gap: var(--gap); }
:host([layout=buttons]) li { flex: 0 1 auto; max-inline-size: 100%; border: 1px solid var(--border); border-radius: calc(var(--radius) * 1.4); padding: calc(var(--gap) * .6) var(--gap); background: var(--background); }
:host([layout=buttons]) .about { flex: 0 1 auto; }
:host([layout=buttons]) .more { display: none; }
:host([layout=buttons]) .notice { contain: inline-size; }
:host([layout=buttons]) .verbs { flex: none; margin-inline-start: 0; }
:host([layout=buttons]) .page { padding: var(--gap); border: 1px solid var(--border); border-radius: calc(var(--radius) * 1.4); background: var(--background); }
:host([layout=buttons]) .page:not([hidden]) + ul { margin-block-start: var(--gap); border: 0; }
@keyframes turn { to { transform: rotate(1turn); } }
@media (prefers-reduced-motion: reduce) {
  * { transition: none !important; }
  .state[data-busy]::before { animation: none; }
}
@media (forced-colors: active) {
  .button, .icon, .state::before { forced-color-adjust: auto; border-color: currentcolor; }
}
`
