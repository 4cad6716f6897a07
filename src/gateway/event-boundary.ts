/**
 * Knows whether an event stream stands between two events, from its last bytes alone, and when one
 * event goes on for longer than anybody's event should (O14).
 *
 * Only between two events may a comment of ours be written or a stream be ended: inside one it would
 * break two (T8). Lines end in CR, LF or CRLF (WHATWG HTML section 9.2). A CR after a line end is already a
 * blank line; an LF that still belongs to it is one more blank line, which changes nothing.
 */
const LF = 10
const CR = 13
/** Longer events are certainly cut; up to half of this none is. Nothing of them is ever kept. */
export const EVENT_MAX_BYTES = 16_777_216

export class EventBoundary {
  #tail = ''
  #started = false
  #openBytes = 0

  /** True before the first byte and after a blank line. */
  get between(): boolean {
    return !this.#started || /(?:\n\n|\n\r|\r\r)\n?$/.test(this.#tail)
  }

  /** The event that has begun is too long. */
  get isTooLong(): boolean {
    return this.#openBytes > EVENT_MAX_BYTES
  }

  read(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#started = true
    this.#openBytes += chunk.length
    // Looked for only when it matters: until then an event may have ended unseen inside a chunk.
    if (this.#openBytes > EVENT_MAX_BYTES / 2 && hasBlankLine(this.#tail.at(-1) ?? '', chunk)) {
      this.#openBytes = 0
    }
    let tail = ''
    for (let at = Math.max(0, chunk.length - 4); at < chunk.length; at += 1) {
      const byte = chunk[at]
      tail += byte === LF ? '\n' : byte === CR ? '\r' : '.'
    }
    this.#tail = (chunk.length >= 4 ? tail : this.#tail + tail).slice(-4)
  }
}

/** @param before The last character of what came before. */
function hasBlankLine(before: string, chunk: Uint8Array): boolean {
  let last = before === '\n' ? LF : before === '\r' ? CR : 0
  for (const byte of chunk) {
    if (byte === LF && last === LF) return true
    if (byte === CR && last !== 0) return true
    last = byte === LF || byte === CR ? byte : 0
  }
  return false
}
