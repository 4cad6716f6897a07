/**
 * The calls that the widget makes, each with the connect session of the page and to one address.
 *
 * The session token lives in one private field and nowhere else; it is asked for again once when the
 * server says that it ended. No cookie goes along, no redirect is followed, every wait has an end.
 */

/** How long one call, or one `fetchSession`, may take. */
const CALL_TIMEOUT_MS = 20_000
const TOKEN_MAX_CHARACTERS = 4_096
const CONNECTIONS_MAX = 200

export type ConnectionState = 'none' | 'active' | 'reconnect' | 'unavailable'

/** One server of the app, and what the person has there. */
export interface WidgetConnection {
  /** Name in the configuration. */
  readonly connector: string
  readonly title: string
  readonly description?: string
  /** Host of the server. */
  readonly host: string
  readonly state: ConnectionState
  readonly connectionId?: string
  /** The account at the server, as it names it. */
  readonly accountLabel?: string
  /** RFC 3339. */
  readonly connectedAt?: string
}

export interface Listing {
  /** Who finishes a connection: this element, or the product's backend (`postern-confirm`). */
  readonly confirm: 'widget' | 'backend'
  readonly connections: readonly WidgetConnection[]
}

export interface StartedAttempt {
  /** Page of the issuer for the popup; 60 s, once. */
  readonly url: string
  readonly attempt: string
}

export interface Outcome {
  readonly connector: string
  readonly state: ConnectionState
  readonly connectionId?: string
}

/** Something that failed, with a stable code (`docs/errors.md`); never carries a token. */
export class WidgetError extends Error {
  readonly code: string
  readonly retryAfterSeconds: number | undefined

  constructor(code: string, message: string, retryAfterSeconds?: number) {
    super(message)
    this.name = 'WidgetError'
    this.code = code
    this.retryAfterSeconds = retryAfterSeconds
  }
}

export class Calls {
  readonly #base: string
  readonly #fetchSession: () => Promise<string>
  readonly #stopped: AbortSignal
  #session: Promise<string> | undefined

  /** @param base Address of the issuer, with its prefix, no slash at the end. */
  constructor(base: string, fetchSession: () => Promise<string>, stopped: AbortSignal) {
    this.#base = base
    this.#fetchSession = fetchSession
    this.#stopped = stopped
  }

  async list(): Promise<Listing> {
    const answer = await this.#call('GET', 'connections')
    if (!Array.isArray(answer.data)) throw unreadable()
    const connections = answer.data.slice(0, CONNECTIONS_MAX).map(readConnection)
    return { confirm: answer.confirm === 'backend' ? 'backend' : 'widget', connections }
  }

  async start(connector: string, nonce: string): Promise<StartedAttempt> {
    const answer = await this.#call('POST', 'attempts', { connector, nonce })
    const url = text(answer.url)
    const attempt = text(answer.attempt)
    // Whatever answers here must not send the window anywhere but to the issuer.
    if (attempt === '' || URL.parse(url)?.origin !== new URL(this.#base).origin) throw unreadable()
    return { url, attempt }
  }

  async confirm(confirmation: string): Promise<Outcome> {
    return readOutcome(await this.#call('POST', 'confirm', { confirmation }))
  }

  async disconnect(connector: string): Promise<Outcome> {
    return readOutcome(await this.#call('POST', 'disconnect', { connector }))
  }

  /** The next call asks for a session again. */
  forget(): void {
    this.#session = undefined
  }

  async #call(method: string, path: string, body?: unknown): Promise<Fields> {
    const session = this.#currentSession()
    const answer = await this.#exchange(method, path, await session, body)
    if (answer.status !== 401) return await readAnswer(answer)
    if (this.#session === session) this.#session = undefined
    return await readAnswer(await this.#exchange(method, path, await this.#currentSession(), body))
  }

  async #exchange(method: string, path: string, session: string, body: unknown): Promise<Response> {
    const signal = AbortSignal.any([this.#stopped, AbortSignal.timeout(CALL_TIMEOUT_MS)])
    try {
      return await fetch(`${this.#base}/widget/${path}`, {
        method,
        headers: {
          authorization: `Bearer ${session}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        credentials: 'omit',
        cache: 'no-store',
        redirect: 'error',
        signal,
      })
    } catch {
      throw this.#stopped.aborted ? stopped() : noNetwork()
    }
  }

  /** One question to the page at a time, whoever waits for it. */
  #currentSession(): Promise<string> {
    const session = this.#session ?? this.#askForSession()
    if (this.#session === undefined) {
      this.#session = session
      session.catch(() => {
        if (this.#session === session) this.#session = undefined
      })
    }
    return session
  }

  async #askForSession(): Promise<string> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(reject, CALL_TIMEOUT_MS, noSession())
    })
    try {
      const session = await Promise.race([this.#fetchSession(), deadline])
      if (typeof session !== 'string') throw noSession()
      const token = session.trim()
      if (token === '' || token.length > TOKEN_MAX_CHARACTERS || /\s/.test(token)) throw noSession()
      return token
    } catch {
      // What the page's function throws is the page's: its text may hold anything.
      throw navigator.onLine ? noSession() : noNetwork()
    } finally {
      clearTimeout(timer)
    }
  }
}

type Fields = Readonly<Record<string, unknown>>

async function readAnswer(answer: Response): Promise<Fields> {
  const body: unknown = await answer.json().catch(() => undefined)
  const fields = isFields(body) ? body : undefined
  if (answer.ok && fields !== undefined) return fields
  if (answer.ok) throw unreadable()
  const code = text(fields?.code) || 'ERR_WIDGET_ANSWER'
  const seconds = Number(answer.headers.get('retry-after') ?? Number.NaN)
  throw new WidgetError(
    code,
    text(fields?.detail) || text(fields?.title) || `The server answered ${answer.status}.`,
    Number.isFinite(seconds) && seconds > 0 ? Math.ceil(seconds) : undefined,
  )
}

function readConnection(value: unknown): WidgetConnection {
  if (!isFields(value)) throw unreadable()
  const connector = text(value.connector)
  if (connector === '') throw unreadable()
  return Object.freeze({
    connector,
    title: text(value.title) || connector,
    host: text(value.host),
    state: readState(value.state),
    ...optional(value, ['description', 'connectionId', 'accountLabel', 'connectedAt']),
  })
}

function readOutcome(fields: Fields): Outcome {
  return {
    connector: text(fields.connector),
    state: readState(fields.state),
    ...optional(fields, ['connectionId']),
  }
}

function readState(value: unknown): ConnectionState {
  return value === 'active' || value === 'reconnect' || value === 'unavailable' ? value : 'none'
}

function optional<K extends string>(
  fields: Fields,
  names: readonly K[],
): { readonly [name in K]?: string } {
  const found: { [name in K]?: string } = {}
  for (const name of names) {
    const value = text(fields[name])
    if (value !== '') found[name] = value
  }
  return found
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function noNetwork(): WidgetError {
  return new WidgetError('ERR_WIDGET_NETWORK', 'The server could not be reached.')
}

function noSession(): WidgetError {
  return new WidgetError('ERR_WIDGET_SESSION', 'fetchSession gave no connect session.')
}

function unreadable(): WidgetError {
  return new WidgetError('ERR_WIDGET_ANSWER', 'The answer of the server cannot be read.')
}

/** The element left the page while a call was under way: nobody is told. */
function stopped(): WidgetError {
  return new WidgetError('ERR_WIDGET_STOPPED', 'The element left the page.')
}
