/**
 * What a widget knows and does, without a page: the list, one attempt per server, the way back, and
 * what to tell. The element shows it, the React hook reads it.
 *
 * Nothing here outlives `stop()`: no timer, listener, channel or session. Only an attempt that was
 * started here is confirmed for another window; anything else is confirmed with this page's session,
 * which the server compares with the user and app of the attempt (O1).
 */
import { type ChannelMessage, claimArrival, openChannel, say, takeFragment } from './arrival.ts'
import { Attempt, type AttemptEnd } from './attempt.ts'
import { Calls, type Listing, type Outcome, WidgetError } from './calls.ts'
import { type Row, rowOf } from './rows.ts'
import type { Texts } from './texts.ts'

/** Attempts whose window was lost and whose answer may still come through the channel. */
const LOST_MAX = 8
/** The server keeps the address of a window for 60 s. */
const LINK_MS = 55_000
/** Looks at the list again while the product's backend confirms. */
const BACKEND_WAITS_MS = [1_000, 2_000, 4_000, 8_000]
const CODES_REFUSED = ['access_denied', 'cancelled', 'canceled', 'denied']

export interface ModelEvents {
  'postern-ready': undefined
  'postern-change': Outcome
  'postern-confirm': { readonly confirmation: string; readonly connector?: string }
  'postern-error': { readonly code: string; readonly message: string }
}

export interface ModelOptions {
  /** Address of the issuer with its prefix; undefined when nobody named it. */
  readonly base: string | undefined
  readonly fetchSession: () => Promise<string>
  readonly texts: () => Texts
  readonly onChange: () => void
  readonly onEvent: <N extends keyof ModelEvents>(name: N, detail: ModelEvents[N]) => void
  /** For assistive technology: said once, politely. */
  readonly onSay: (words: string) => void
}

export class Model {
  readonly rows = new Map<string, Row>()
  status: 'loading' | 'ready' | 'failed' = 'loading'
  /** What is wrong with the list as a whole. */
  problem: string | undefined
  /** A quiet word about the page as a whole. */
  notice: string | undefined
  readonly #options: ModelOptions
  readonly #attempts = new Map<string, Attempt>()
  readonly #lost = new Map<string, string>()
  readonly #stop = new AbortController()
  readonly #timers = new Set<ReturnType<typeof setTimeout>>()
  #calls: Calls | undefined
  #channel: BroadcastChannel | undefined
  #confirm: Listing['confirm'] = 'widget'
  #loading: Promise<void> | undefined
  #wasReady = false

  constructor(options: ModelOptions) {
    this.#options = options
  }

  start(): void {
    const { base, fetchSession } = this.#options
    if (base === undefined) {
      this.#failList(new WidgetError('ERR_WIDGET_ISSUER', 'Set the attribute `issuer`.'))
      return
    }
    this.#calls = new Calls(base, fetchSession, this.#stop.signal)
    this.#channel = openChannel((message) => this.#hear(message))
    const { signal } = this.#stop
    window.addEventListener('online', () => this.#backOnline(), { signal })
    takeFragment()
    void this.#takeArrival()
    void this.refresh()
  }

  stop(): void {
    this.#stop.abort()
    this.#channel?.close()
    for (const attempt of this.#attempts.values()) attempt.giveUp()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#attempts.clear()
    this.#lost.clear()
    this.#calls?.forget()
    this.#calls = undefined
  }

  /** Reads the list again; several calls at once are one. Never rejects: see `problem`. */
  refresh(): Promise<void> {
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  /** Call it in the handler of a press: browsers open a window only then. Never rejects. */
  async connect(connector: string): Promise<void> {
    const calls = this.#calls
    const row = this.rows.get(connector)
    if (calls === undefined) return
    if (row === undefined) {
      this.#report(new WidgetError('ERR_WIDGET_CONNECTOR', `There is no server "${connector}".`))
      return
    }
    if (row.phase === 'confirming' || row.phase === 'disconnecting') return
    const running = this.#attempts.get(connector)
    if (running?.hasWindow) return running.focus()
    running?.giveUp()
    const { origin } = new URL(this.#options.base ?? '')
    const attempt = new Attempt(connector, origin, (end) => void this.#end(attempt, end))
    this.#attempts.set(connector, attempt)
    const isOpen = attempt.open(this.#options.texts().opening)
    this.#set(row, { phase: 'opening' })
    try {
      const { url, attempt: id } = await calls.start(connector, attempt.nonce)
      if (this.#attempts.get(connector) !== attempt) return
      if (!isOpen) return this.#block(row, attempt, id, url)
      if (!attempt.hasWindow) return this.cancel(connector)
      attempt.begin(id, url)
      this.#set(row, { phase: 'waiting' })
      this.#options.onSay(this.#options.texts().waiting)
    } catch (error) {
      if (this.#attempts.get(connector) !== attempt) return
      this.cancel(connector)
      this.#failRow(row, error)
    }
  }

  /** The link of a blocked window was pressed. @returns False when the browser should follow it. */
  openBlocked(connector: string): boolean {
    const row = this.rows.get(connector)
    const attempt = this.#attempts.get(connector)
    if (row?.phase !== 'blocked' || attempt === undefined) return true
    const isOpen = attempt.open('', row.link)
    // Without a window of ours the answer comes through the product's page and the channel.
    if (isOpen) attempt.watch()
    else this.#lose(attempt)
    this.#set(row, { phase: isOpen ? 'waiting' : 'idle' })
    return isOpen
  }

  show(connector: string): void {
    this.#attempts.get(connector)?.focus()
  }

  cancel(connector: string): void {
    this.#attempts.get(connector)?.giveUp()
    this.#attempts.delete(connector)
    const row = this.rows.get(connector)
    if (row !== undefined) this.#set(row, { phase: 'idle' })
  }

  /** Ends the connection here and, where the server takes that, there. Never rejects. */
  async disconnect(connector: string): Promise<void> {
    const row = this.rows.get(connector)
    if (this.#calls === undefined || row === undefined || row.phase !== 'idle') return
    this.#set(row, { phase: 'disconnecting' })
    try {
      const outcome = await this.#calls.disconnect(connector)
      await this.#settled({ ...outcome, connector }, this.#options.texts().disconnected)
    } catch (error) {
      this.#failRow(row, error, 'disconnect')
    }
  }

  async #load(): Promise<void> {
    const calls = this.#calls
    if (calls === undefined) return
    try {
      const { confirm, connections } = await calls.list()
      this.#confirm = confirm
      const kept = new Map(this.rows)
      this.rows.clear()
      for (const connection of connections)
        this.rows.set(connection.connector, rowOf(connection, kept.get(connection.connector)))
      this.status = 'ready'
      this.problem = undefined
      this.#options.onChange()
      if (!this.#wasReady) this.#options.onEvent('postern-ready', undefined)
      this.#wasReady = true
    } catch (error) {
      this.#failList(error)
    }
  }

  async #end(attempt: Attempt, end: AttemptEnd): Promise<void> {
    const { connector } = attempt
    if (this.#attempts.get(connector) === attempt) this.#attempts.delete(connector)
    const row = this.rows.get(connector)
    if (row === undefined) return
    if (end.end === 'answered') return await this.#finish(end.confirmation, connector)
    const texts = this.#options.texts()
    if (end.end === 'lost') {
      this.#lose(attempt)
      return this.#quiet(row, texts.lost)
    }
    if (CODES_REFUSED.includes(end.code)) return this.#quiet(row, texts.refused)
    this.#failRow(row, new WidgetError(end.code || 'ERR_WIDGET_ANSWER', texts.failed))
  }

  /** `connector` is known where the attempt was started in this page. */
  async #finish(confirmation: string, connector?: string): Promise<void> {
    const row = connector === undefined ? undefined : this.rows.get(connector)
    if (row !== undefined) this.#set(row, { phase: 'confirming' })
    try {
      if (this.#confirm === 'backend') return await this.#askBackend(confirmation, connector)
      const outcome = await this.#calls?.confirm(confirmation)
      if (outcome !== undefined)
        await this.#settled(outcome, this.#options.texts().connected, connector)
    } catch (error) {
      if (row === undefined) this.#tell(error)
      else this.#failRow(row, error)
    }
  }

  async #askBackend(confirmation: string, connector: string | undefined): Promise<void> {
    this.#options.onEvent('postern-confirm', {
      confirmation,
      ...(connector === undefined ? {} : { connector }),
    })
    const before = [...this.rows.values()].filter(isActive).length
    for (const waitMs of BACKEND_WAITS_MS) {
      await this.#pause(waitMs)
      await this.refresh()
      const row = connector === undefined ? undefined : this.rows.get(connector)
      const isDone =
        row === undefined ? [...this.rows.values()].filter(isActive).length > before : isActive(row)
      if (!isDone) continue
      if (row !== undefined) await this.#settled(row.connection, this.#options.texts().connected)
      return
    }
    const row = connector === undefined ? undefined : this.rows.get(connector)
    if (row !== undefined) this.#quiet(row, this.#options.texts().notConfirmed)
  }

  /** A change that the server told: shown, said, and told to the other elements of this origin. */
  async #settled(outcome: Outcome, words: string, connector = outcome.connector): Promise<void> {
    const row = this.rows.get(connector)
    if (row !== undefined) this.#set(row, { phase: 'idle' })
    await this.refresh()
    this.#options.onSay(
      [this.rows.get(connector)?.connection.title, words].filter(Boolean).join(': '),
    )
    const { state, connectionId } = outcome
    this.#options.onEvent('postern-change', {
      connector,
      state,
      ...(connectionId === undefined ? {} : { connectionId }),
    })
    if (this.#channel !== undefined && !this.#stop.signal.aborted)
      say(this.#channel, { type: 'postern:changed', issuer: this.#options.base ?? '' })
  }

  async #takeArrival(): Promise<void> {
    const arrival = claimArrival()
    if (arrival === undefined) return
    if ('word' in arrival) {
      this.#options.onSay(this.#endOf(arrival.word))
      return
    }
    const isTaken = await arrival.isTaken
    if (isTaken) {
      this.notice = this.#options.texts().takenElsewhere
      this.#options.onChange()
      this.#options.onSay(this.notice)
      window.close()
      return
    }
    await this.refresh()
    await this.#finish(arrival.confirmation)
  }

  /** A word of the address: anybody may have written it, so it changes nothing but this line. */
  #endOf(word: string): string {
    const { connected, refused, failed } = this.#options.texts()
    const words = word === 'connected' ? connected : CODES_REFUSED.includes(word) ? refused : failed
    this.notice = words
    this.#options.onChange()
    return words
  }

  #hear(message: ChannelMessage): void {
    if (message.type === 'postern:changed' && message.issuer === this.#options.base)
      void this.refresh()
    if (message.type !== 'postern:arrived' || this.#channel === undefined) return
    const { attempt: id, confirmation } = message
    const running = [...this.#attempts.values()].find((attempt) => attempt.id === id)
    const connector = running?.connector ?? this.#lost.get(id)
    if (connector === undefined) return
    running?.giveUp()
    this.#attempts.delete(connector)
    this.#lost.delete(id)
    say(this.#channel, { type: 'postern:taken', attempt: id })
    void this.#finish(confirmation, connector)
  }

  #lose({ id, connector }: Attempt): void {
    this.#attempts.delete(connector)
    if (id === undefined) return
    this.#lost.set(id, connector)
    const oldest = this.#lost.keys().next().value
    if (this.#lost.size > LOST_MAX && oldest !== undefined) this.#lost.delete(oldest)
  }

  #block(row: Row, attempt: Attempt, id: string, link: string): void {
    attempt.name(id)
    this.#set(row, { phase: 'blocked', link })
    const message = this.#options.texts().blocked
    this.#options.onEvent('postern-error', { code: 'ERR_WIDGET_POPUP_BLOCKED', message })
    this.#options.onSay(`${row.connection.title}: ${message}`)
    void this.#pause(LINK_MS).then(() => {
      const { connector } = attempt
      const isWaiting = this.rows.get(connector)?.phase === 'blocked'
      if (isWaiting && this.#attempts.get(connector) === attempt) this.cancel(connector)
    })
  }

  #backOnline(): void {
    if (this.status === 'failed') void this.refresh()
  }

  /** Ends early, without going on, when the model stops. */
  #pause(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        resolve()
      }, waitMs)
      this.#timers.add(timer)
    })
  }

  #set(row: Row, next: { readonly phase: Row['phase']; readonly link?: string }): void {
    const { connector } = row.connection
    const { connection } = this.rows.get(connector) ?? row
    this.rows.set(connector, { connection, ...next })
    this.#options.onChange()
  }

  #quiet({ connection }: Row, words: string): void {
    const current = this.rows.get(connection.connector)?.connection ?? connection
    const notice = { words, isError: false, verb: 'connect' } as const
    this.rows.set(current.connector, { connection: current, phase: 'idle', notice })
    this.#options.onChange()
    this.#options.onSay(`${current.title}: ${words}`)
  }

  #failRow({ connection }: Row, error: unknown, verb: 'connect' | 'disconnect' = 'connect'): void {
    if (this.#stop.signal.aborted) return
    const current = this.rows.get(connection.connector)?.connection ?? connection
    const notice = { words: this.#report(error), isError: true, verb }
    this.rows.set(current.connector, { connection: current, phase: 'idle', notice })
    this.#options.onChange()
    this.#options.onSay(`${current.title}: ${notice.words}`)
  }

  #failList(error: unknown): void {
    if (this.#stop.signal.aborted) return
    this.status = this.#wasReady ? 'ready' : 'failed'
    this.#tell(error)
  }

  #tell(error: unknown): void {
    if (this.#stop.signal.aborted) return
    this.problem = this.#report(error)
    this.#options.onChange()
    this.#options.onSay(this.problem)
  }

  /** @returns Words for a person; the page gets code and message as an event. */
  #report(error: unknown): string {
    const texts = this.#options.texts()
    const known =
      error instanceof WidgetError
        ? error
        : new WidgetError('ERR_WIDGET_ANSWER', 'The widget failed.')
    this.#options.onEvent('postern-error', { code: known.code, message: known.message })
    if (known.code === 'ERR_WIDGET_NETWORK' && !navigator.onLine)
      return texts.errors.ERR_WIDGET_OFFLINE ?? texts.failed
    if (known.retryAfterSeconds !== undefined || /_RATE$/.test(known.code)) return texts.wait
    return texts.errors[known.code] ?? texts.failed
  }
}

function isActive({ connection }: Row): boolean {
  return connection.state === 'active'
}
