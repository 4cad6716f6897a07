/**
 * Shows a model in a shadow root. Elements are made once and changed, so that focus and a screen
 * reader's place stay; every word is text content, never markup (W3).
 */
import type { Model } from './model.ts'
import type { Row } from './rows.ts'
import { STYLE } from './style.ts'
import type { Texts } from './texts.ts'

export interface Wording {
  readonly texts: Texts
  readonly language: string
}

let sheet: CSSStyleSheet | undefined

export class View {
  readonly #root: ShadowRoot
  readonly #box = make('div', 'root')
  readonly #page = make('div', 'page', 'error')
  readonly #pageWords = make('p')
  readonly #retry: HTMLButtonElement
  readonly #list = make('ul')
  readonly #said = make('div', 'said')
  readonly #rows = new Map<string, RowView>()

  constructor(root: ShadowRoot, retry: () => void) {
    if (sheet === undefined) {
      sheet = new CSSStyleSheet()
      sheet.replaceSync(STYLE)
    }
    this.#root = root
    root.adoptedStyleSheets = [sheet]
    this.#retry = button('button', retry)
    // Safari takes the role of a list away together with its bullets.
    this.#list.setAttribute('role', 'list')
    this.#said.setAttribute('role', 'status')
    this.#pageWords.dir = 'auto'
    this.#page.append(this.#pageWords, this.#retry)
    this.#box.append(this.#page, this.#list)
    root.append(this.#box, this.#said)
  }

  /** Announces politely; the same words twice are said twice. */
  say(words: string): void {
    const line = make('p')
    line.textContent = words
    this.#said.replaceChildren(line)
  }

  show(model: Model, { texts, language }: Wording, names: readonly string[]): void {
    this.#box.lang = language
    this.#said.lang = language
    const rows = shownRows(model, names)
    this.#showPage(model, texts, rows.length === 0)
    this.#list.setAttribute('aria-label', texts.list)
    this.#list.setAttribute('aria-busy', String(model.status === 'loading'))
    this.#list.hidden = rows.length === 0
    const wanted = new Set(rows.map(({ connection }) => connection.connector))
    for (const [name, view] of this.#rows)
      if (!wanted.has(name)) {
        view.item.remove()
        this.#rows.delete(name)
      }
    rows.forEach((row, index) => {
      const { connector } = row.connection
      const view = this.#rows.get(connector) ?? new RowView(model, connector)
      this.#rows.set(connector, view)
      if (this.#list.children[index] !== view.item)
        this.#list.insertBefore(view.item, this.#list.children[index] ?? null)
      view.show(row, texts, this.#root.activeElement)
    })
  }

  /** Before the page has said whose connections to show. */
  showWaiting({ texts, language }: Wording): void {
    this.#box.lang = language
    this.#list.hidden = true
    this.#retry.hidden = true
    this.#pageWords.textContent = texts.loading
  }

  /** Forgets the rows: another model comes. */
  clear(): void {
    this.#rows.clear()
    this.#list.replaceChildren()
  }

  #showPage({ status, problem, notice }: Model, texts: Texts, isEmpty: boolean): void {
    const words =
      problem ??
      notice ??
      (status === 'loading' ? texts.loading : isEmpty ? texts.empty : undefined)
    this.#page.hidden = words === undefined
    this.#pageWords.textContent = words ?? ''
    this.#page.toggleAttribute('data-error', problem !== undefined)
    this.#retry.hidden = problem === undefined
    this.#retry.textContent = texts.retry
  }
}

function shownRows(model: Model, names: readonly string[]): readonly Row[] {
  if (names.length === 0) return [...model.rows.values()]
  return names.flatMap((name) => model.rows.get(name) ?? [])
}

class RowView {
  readonly item = make('li', 'row', 'row')
  readonly #icon = make('span', 'icon', 'icon')
  readonly #name = make('span', 'name', 'name')
  readonly #more = make('span', 'more')
  readonly #state = make('span', 'state', 'state')
  readonly #notice = make('p', 'notice', 'error')
  readonly #noticeWords = make('span')
  readonly #connect: HTMLButtonElement
  readonly #link: HTMLAnchorElement
  readonly #show: HTMLButtonElement
  readonly #cancel: HTMLButtonElement
  readonly #disconnect: HTMLButtonElement

  constructor(model: Model, connector: string) {
    this.#connect = button('button primary', () => void model.connect(connector))
    this.#link = anchor(() => model.openBlocked(connector))
    this.#show = button('button', () => model.show(connector))
    this.#cancel = button('button quiet', () => model.cancel(connector))
    this.#disconnect = button('button quiet', () => void model.disconnect(connector))
    this.item.tabIndex = -1
    this.#icon.setAttribute('aria-hidden', 'true')
    for (const line of [this.#name, this.#more, this.#state, this.#noticeWords]) line.dir = 'auto'
    this.#notice.append(this.#noticeWords)
    const about = make('div', 'about')
    about.append(this.#name, this.#more, this.#state)
    const verbs = make('div', 'verbs')
    verbs.append(this.#connect, this.#link, this.#show, this.#cancel, this.#disconnect)
    this.item.append(this.#icon, about, verbs, this.#notice)
  }

  show(row: Row, texts: Texts, focused: Element | null): void {
    const { connection, phase, notice } = row
    const { title, state } = connection
    this.item.dataset.connector = connection.connector
    this.#icon.textContent = [...title.trim()][0]?.toUpperCase() ?? ''
    this.#name.textContent = title
    this.#more.textContent = connection.description ?? connection.host
    this.#state.textContent = stateWords(row, texts)
    this.#state.dataset.state = state
    this.#state.toggleAttribute('data-busy', phase !== 'idle' && phase !== 'blocked')
    const words = phase === 'blocked' ? texts.blocked : notice?.words
    this.#notice.hidden = words === undefined
    this.#noticeWords.textContent = words ?? ''
    this.#notice.toggleAttribute('data-error', phase === 'blocked' || notice?.isError === true)
    const isIdle = phase === 'idle'
    const canConnect = isIdle && state !== 'active'
    const verb =
      notice?.verb === 'connect' || state === 'unavailable'
        ? texts.retry
        : state === 'reconnect'
          ? texts.reconnect
          : texts.connect
    label(this.#connect, verb, title, canConnect)
    // A press that changes the row still follows the link that was pressed.
    if (row.link !== undefined) this.#link.href = row.link
    label(this.#link, texts.openWindow, title, phase === 'blocked')
    label(this.#show, texts.show, title, phase === 'waiting')
    label(this.#cancel, texts.cancel, title, ['opening', 'waiting', 'blocked'].includes(phase))
    const canEnd = isIdle && (state === 'active' || state === 'reconnect')
    label(this.#disconnect, texts.disconnect, title, canEnd)
    this.#keepFocus(focused)
  }

  /** A verb that goes away must not take the keyboard's place along. */
  #keepFocus(focused: Element | null): void {
    if (!(focused instanceof HTMLElement) || !focused.hidden) return
    if (this.item.contains(focused)) this.item.focus({ preventScroll: true })
  }
}

function stateWords({ connection, phase }: Row, texts: Texts): string {
  const { state, accountLabel } = connection
  if (phase === 'opening') return texts.opening
  if (phase === 'waiting') return texts.waiting
  if (phase === 'confirming') return texts.confirming
  if (phase === 'disconnecting') return texts.disconnecting
  if (state === 'reconnect') return texts.needsReconnect
  if (state === 'unavailable') return texts.unavailable
  if (state === 'none') return texts.none
  return accountLabel === undefined ? texts.active : `${texts.active} · ${accountLabel}`
}

function label(verb: HTMLElement, words: string, title: string, isShown: boolean): void {
  verb.hidden = !isShown
  verb.textContent = words
  verb.setAttribute('aria-label', `${words}: ${title}`)
}

function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  name = '',
  part = '',
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  if (name !== '') element.className = name
  if (part !== '') element.setAttribute('part', part)
  return element
}

function button(name: string, press: () => void): HTMLButtonElement {
  const verb = make('button', name, 'button')
  verb.type = 'button'
  verb.addEventListener('click', press)
  return verb
}

function anchor(press: () => boolean): HTMLAnchorElement {
  const link = make('a', 'button primary', 'button')
  link.target = '_blank'
  link.rel = 'noopener'
  link.addEventListener('click', (event) => {
    if (press()) event.preventDefault()
  })
  return link
}
