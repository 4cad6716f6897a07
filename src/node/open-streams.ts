/**
 * Every open event stream of this process, by user, under one timer.
 *
 * Each second: streams whose token expired or was revoked end (X2), silent ones get a comment (X5),
 * and during a drain they are told to come back. All of it only between two events; a stream that
 * stands inside one is given a moment and then cut.
 */
import type { Session } from '../issuer/authenticate.ts'

export interface OpenStream {
  readonly session: Session
  /** A GET stream waits for whatever comes; a POST stream answers one call. */
  readonly idleKind: boolean
  /** `Mcp-Session-Id` that the client sent with it. */
  readonly sessionId: string | undefined
  /** Between two events, and free to take a comment. */
  readonly between: boolean
  readonly silentMs: number
  comment(text: string): void
  /** Ends with its terminator. */
  endStream(): void
  /** Ends without: the client sees that it is cut. */
  cutStream(): void
}

export interface OpenStreamsDeps {
  readonly nowMs: () => number
  readonly perUserMax: number
  readonly marked: (session: Session) => boolean | 'view-too-old'
  readonly dead: (session: Session) => boolean
  readonly onCount: (open: number) => void
  /** Default 1,000. */
  readonly tickMs?: number
  /** Silence after which a comment is written. Default 10,000. */
  readonly keepAliveMs?: number
}

const TICK_MS = 1_000
const KEEP_ALIVE_MS = 10_000
/** A stream that must end and stands inside an event: cut at the tick after this. */
const INSIDE_EVENT_MAX_MS = 2_000
const KEEP_ALIVE = ': keep-alive\n\n'
const DRAINING = ': draining\nretry: 1000\n\n'

export class OpenStreams {
  readonly #deps: OpenStreamsDeps
  readonly #open = new Set<OpenStream>()
  readonly #due = new Map<OpenStream, number>()
  readonly #byUser = new Map<string, number>()
  readonly #timer: NodeJS.Timeout
  #told = 0
  #draining: 'no' | 'idle' | 'all' = 'no'

  constructor(deps: OpenStreamsDeps) {
    this.#deps = deps
    this.#timer = setInterval(() => this.tick(), deps.tickMs ?? TICK_MS)
    this.#timer.unref()
  }

  /** The process is ending: answers that have not started close their connection. */
  get draining(): boolean {
    return this.#draining !== 'no'
  }

  get size(): number {
    return this.#open.size
  }

  /** Takes one of the user's places; false when they are all taken. */
  reserve(userId: string): boolean {
    const taken = this.#byUser.get(userId) ?? 0
    if (taken >= this.#deps.perUserMax) return false
    this.#byUser.set(userId, taken + 1)
    return true
  }

  release(userId: string): void {
    const taken = this.#byUser.get(userId) ?? 0
    if (taken <= 1) this.#byUser.delete(userId)
    else this.#byUser.set(userId, taken - 1)
  }

  add(stream: OpenStream): void {
    this.#open.add(stream)
  }

  remove(stream: OpenStream): void {
    this.#open.delete(stream)
    this.#due.delete(stream)
  }

  /** Writes an event to the idle stream of a session, if one is open and between two events. */
  tell(sessionId: string, event: string): void {
    for (const stream of this.#open) {
      if (stream.sessionId !== sessionId || !stream.idleKind || !stream.between) continue
      stream.comment(event)
      return
    }
  }

  /** Also called at once when a mark arrives, so that nobody waits for the timer. */
  tick(): void {
    const nowMs = this.#deps.nowMs()
    for (const stream of this.#open) {
      const due = this.#due.get(stream)
      if (due !== undefined || this.#mustEnd(stream, nowMs))
        this.#endWhenBetween(stream, due, nowMs)
      else if (stream.silentMs >= (this.#deps.keepAliveMs ?? KEEP_ALIVE_MS) && stream.between) {
        stream.comment(KEEP_ALIVE)
      }
    }
    if (this.#open.size === this.#told) return
    this.#told = this.#open.size
    this.#deps.onCount(this.#told)
  }

  /** First idle streams, which lose nothing; `all` when calls have had their time. */
  drain(which: 'idle' | 'all'): void {
    this.#draining = which
    this.tick()
  }

  close(): void {
    clearInterval(this.#timer)
    for (const stream of this.#open) stream.cutStream()
    this.#open.clear()
  }

  #mustEnd({ session, idleKind }: OpenStream, nowMs: number): boolean {
    if (this.#draining === 'all' || (this.#draining === 'idle' && idleKind)) return true
    try {
      if (session.expiresAtMs <= nowMs || this.#deps.dead(session)) return true
      return this.#deps.marked(session) !== false
    } catch {
      // Nobody can say that it is still good: it is not (I7).
      return true
    }
  }

  #endWhenBetween(stream: OpenStream, due: number | undefined, nowMs: number): void {
    if (stream.between) {
      if (this.#draining !== 'no') stream.comment(DRAINING)
      this.remove(stream)
      stream.endStream()
    } else if (due === undefined) this.#due.set(stream, nowMs)
    else if (nowMs - due >= INSIDE_EVENT_MAX_MS) {
      this.remove(stream)
      stream.cutStream()
    }
  }
}
