/**
 * One attempt to connect in a window of its own: opens it at once (before any wait, so that browsers
 * allow it), sends it to the issuer's page and takes one answer from it.
 *
 * A message counts only from the issuer's origin, from that very window, with the nonce and the
 * attempt of this try (W4, CLI-24). Everything else is as if it had never been said.
 */

const NONCE_BYTES = 32
const POLL_MS = 500
/** A person may take this long to sign in elsewhere. */
const ATTEMPT_MAX_MS = 15 * 60_000
/** A window that says goodbye and closes may be seen closed before it is heard. */
const CLOSED_POLLS = 2
const WINDOW = { width: 520, height: 760 }

export type AttemptEnd =
  | { readonly end: 'answered'; readonly confirmation: string }
  | { readonly end: 'failed'; readonly code: string }
  /** Closed, or cut off from this page by the other server's `Cross-Origin-Opener-Policy`. */
  | { readonly end: 'lost' }

export class Attempt {
  readonly connector: string
  readonly nonce = createNonce()
  readonly #origin: string
  readonly #onEnd: (end: AttemptEnd) => void
  readonly #listener = (event: MessageEvent) => this.#hear(event)
  #window: Window | null = null
  #id: string | undefined
  #timer: ReturnType<typeof setInterval> | undefined

  /** @param origin Of the issuer. @param onEnd Called once at most, never after `give up`. */
  constructor(connector: string, origin: string, onEnd: (end: AttemptEnd) => void) {
    this.connector = connector
    this.#origin = origin
    this.#onEnd = onEnd
  }

  /** What the server calls this attempt, once it has been started there. */
  get id(): string | undefined {
    return this.#id
  }

  get hasWindow(): boolean {
    return this.#window !== null && !this.#window.closed
  }

  /** Opens the window, empty or at `url`. @returns False when the browser blocked it. */
  open(words: string, url = ''): boolean {
    this.#window = window.open(url, '_blank', features())
    if (this.#window !== null && url === '') sayIn(this.#window, words)
    return this.#window !== null
  }

  /** From now on the answer is awaited; with a window, it goes to `url`. */
  begin(id: string, url: string): void {
    this.#id = id
    this.#window?.location.replace(url)
    this.watch()
  }

  /** Names the attempt without a window: the person opens it later, by a link. */
  name(id: string): void {
    this.#id = id
  }

  watch(): void {
    window.addEventListener('message', this.#listener)
    let polls = 0
    let closed = 0
    this.#timer = setInterval(() => {
      polls += 1
      closed = this.hasWindow ? 0 : closed + 1
      if (closed < CLOSED_POLLS && polls * POLL_MS < ATTEMPT_MAX_MS) return
      this.#finish({ end: 'lost' })
    }, POLL_MS)
  }

  focus(): void {
    this.#window?.focus()
  }

  /** Nothing is awaited any more; `onEnd` is not called. */
  giveUp(): void {
    window.removeEventListener('message', this.#listener)
    clearInterval(this.#timer)
    this.#window?.close()
    this.#window = null
  }

  #hear({ origin, source, data }: MessageEvent): void {
    if (origin !== this.#origin || source === null || source !== this.#window) return
    if (typeof data !== 'object' || data === null) return
    const { type, nonce, attempt, confirmation, code } = data as Readonly<Record<string, unknown>>
    if (nonce !== this.nonce || attempt !== this.#id) return
    if (type === 'postern:done' && typeof confirmation === 'string')
      this.#finish({ end: 'answered', confirmation })
    if (type === 'postern:failed')
      this.#finish({ end: 'failed', code: typeof code === 'string' ? code : '' })
  }

  #finish(end: AttemptEnd): void {
    if (end.end === 'lost') this.#window = null
    this.giveUp()
    this.#onEnd(end)
  }
}

function createNonce(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(NONCE_BYTES))
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

/** In the middle of the window that the person looks at. */
function features(): string {
  const left = Math.round(window.screenX + Math.max(0, window.outerWidth - WINDOW.width) / 2)
  const top = Math.round(window.screenY + Math.max(0, window.outerHeight - WINDOW.height) / 3)
  return `popup,width=${WINDOW.width},height=${WINDOW.height},left=${left},top=${top}`
}

/** Words for the moment before the issuer's page is there; by the DOM, so that no policy is in the way. */
function sayIn({ document }: Window, words: string): void {
  document.title = words
  document.documentElement.lang = 'en'
  document.documentElement.style.colorScheme = 'light dark'
  const line = document.createElement('p')
  line.textContent = words
  Object.assign(line.style, {
    font: '1rem/1.5 system-ui, sans-serif',
    margin: '30vh auto',
    textAlign: 'center',
  })
  document.body.append(line)
}
