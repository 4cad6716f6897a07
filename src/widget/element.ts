/**
 * `<postern-connect>`: lets the people of a product link their accounts at MCP servers, inside the
 * product's own page. A custom element with a shadow root, never a frame; no dependency, no storage.
 *
 * The session comes from the page by the property `fetchSession` and stays in memory.
 */
import { takeFragment } from './arrival.ts'
import type { Outcome, WidgetConnection } from './calls.ts'
import { Model, type ModelEvents } from './model.ts'
import { textsOf } from './texts.ts'
import { View, type Wording } from './view.ts'

const NAME = 'postern-connect'
/** Only this file name tells where the issuer is; in a bundle the page names it. */
const SCRIPT = /\/widget\.js$/

/** On a server there is no HTMLElement; importing this file must still be possible. */
const Base: typeof HTMLElement =
  typeof HTMLElement === 'undefined' ? (class {} as typeof HTMLElement) : HTMLElement

let scriptBase: string | undefined

/**
 * Where the server, the person and the page's own buttons meet.
 *
 * Attributes: `issuer` (address; default: where `/widget.js` came from), `connectors` (names, space
 * separated, in this order; default all), `layout` (`list` | `buttons`), `theme` (`auto` | `light` |
 * `dark`), `lang`. Events: see `PosternConnectEventMap`; they bubble and cross shadow roots.
 */
export class PosternConnectElement extends Base {
  static readonly observedAttributes = ['connectors', 'issuer', 'lang']
  #view: View | undefined
  #model: Model | undefined
  #fetchSession: (() => Promise<string>) | undefined

  /** Gives a connect session token; called again when a session ends. Never an attribute. */
  get fetchSession(): (() => Promise<string>) | undefined {
    return this.#fetchSession
  }

  set fetchSession(fetchSession: (() => Promise<string>) | undefined) {
    this.#fetchSession = fetchSession
    this.#start()
  }

  /** What was read last, in the order that is shown. */
  get connections(): readonly WidgetConnection[] {
    const rows = [...(this.#model?.rows.values() ?? [])]
    return Object.freeze(rows.map(({ connection }) => connection))
  }

  /** Opens the window: call it in the handler of a press. Never rejects; see the events. */
  async connect(connector: string): Promise<void> {
    await this.#model?.connect(connector)
  }

  /** Ends a connection. Never rejects; see the events. */
  async disconnect(connector: string): Promise<void> {
    await this.#model?.disconnect(connector)
  }

  /** Reads the list again. Never rejects; see the events. */
  async refresh(): Promise<void> {
    await this.#model?.refresh()
  }

  connectedCallback(): void {
    this.#takeEarlyProperty()
    this.#view ??= new View(this.attachShadow({ mode: 'open' }), () => void this.#retry())
    this.#start()
    this.#show()
  }

  disconnectedCallback(): void {
    // An element that is only moved comes back within the same task.
    queueMicrotask(() => {
      if (!this.isConnected) this.#end()
    })
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (before === now) return
    if (name === 'issuer' && this.#model !== undefined) {
      this.#end()
      this.#start()
    }
    this.#show()
  }

  #start(): void {
    const fetchSession = this.#fetchSession
    if (!this.isConnected || this.#view === undefined || this.#model !== undefined) return
    if (fetchSession === undefined) return
    const model = new Model({
      base: baseOf(this.getAttribute('issuer')),
      fetchSession: () => (this.#fetchSession ?? fetchSession)(),
      texts: () => this.#wording().texts,
      onChange: () => this.#show(),
      onEvent: (name, detail) => this.#tell(name, detail),
      onSay: (words) => this.#view?.say(words),
    })
    this.#model = model
    model.start()
    this.#show()
  }

  #end(): void {
    this.#model?.stop()
    this.#model = undefined
    this.#view?.clear()
  }

  async #retry(): Promise<void> {
    await this.#model?.refresh()
  }

  #show(): void {
    const names = (this.getAttribute('connectors') ?? '').split(/\s+/).filter((name) => name !== '')
    if (this.#model === undefined) this.#view?.showWaiting(this.#wording())
    else this.#view?.show(this.#model, this.#wording(), names)
  }

  #wording(): Wording {
    const closest = this.closest<HTMLElement>('[lang]')
    return textsOf(closest?.lang ?? navigator.language)
  }

  #tell<N extends keyof ModelEvents>(name: N, detail: ModelEvents[N]): void {
    this.dispatchEvent(new CustomEvent(name, { bubbles: true, composed: true, detail }))
  }

  /** Set before this script was there: it lies on the element itself and hides the accessor. */
  #takeEarlyProperty(): void {
    if (!Object.hasOwn(this, 'fetchSession')) return
    const early = Object.getOwnPropertyDescriptor(this, 'fetchSession')?.value
    Reflect.deleteProperty(this, 'fetchSession')
    if (typeof early === 'function') this.fetchSession = early as () => Promise<string>
  }
}

export interface PosternConnectEventMap {
  /** The list was read for the first time. */
  'postern-ready': CustomEvent<undefined>
  /** A server was connected or disconnected. */
  'postern-change': CustomEvent<Outcome>
  /** `confirm: 'backend'` only: send it to your backend, which confirms it for its own user. */
  'postern-confirm': CustomEvent<{ readonly confirmation: string; readonly connector?: string }>
  /** Something failed; the element shows it too. */
  'postern-error': CustomEvent<{ readonly code: string; readonly message: string }>
}

declare global {
  interface HTMLElementTagNameMap {
    'postern-connect': PosternConnectElement
  }
  interface HTMLElementEventMap extends PosternConnectEventMap {}
}

/**
 * Registers the element, once for all callers. Does nothing where there is no page.
 *
 * @param script Address of the calling script; where it is `/widget.js`, its folder is the issuer.
 */
export function defineElement(script?: string): void {
  if (typeof customElements === 'undefined') return
  const url = URL.parse(script ?? '')
  if (url !== null && SCRIPT.test(url.pathname))
    scriptBase ??= url.origin + url.pathname.replace(SCRIPT, '')
  takeFragment()
  if (customElements.get(NAME) === undefined) customElements.define(NAME, PosternConnectElement)
}

/** @param issuer What the page says; else where the script came from. */
export function baseOf(issuer: string | null | undefined): string | undefined {
  if (issuer === null || issuer === undefined || issuer === '') return scriptBase
  const url = URL.parse(issuer, document.baseURI)
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined
  return url.origin + url.pathname.replace(/\/+$/, '')
}
