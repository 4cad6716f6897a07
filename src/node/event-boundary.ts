/**
 * Knows whether an event stream stands between two events, from its last bytes alone.
 *
 * Only there may a comment of ours be written or a stream be ended: inside an event it would break
 * two (T8). Lines end in CR, LF or CRLF (WHATWG HTML section 9.2). A CR after a line end is already a
 * blank line; an LF that still belongs to it is one more blank line, which changes nothing.
 */
const LF = 10
const CR = 13

export class EventBoundary {
  #tail = ''
  #started = false

  /** True before the first byte and after a blank line. */
  get between(): boolean {
    return !this.#started || /(?:\n\n|\n\r|\r\r)\n?$/.test(this.#tail)
  }

  read(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#started = true
    let tail = ''
    for (let at = Math.max(0, chunk.length - 4); at < chunk.length; at += 1) {
      const byte = chunk[at]
      tail += byte === LF ? '\n' : byte === CR ? '\r' : '.'
    }
    this.#tail = (chunk.length >= 4 ? tail : this.#tail + tail).slice(-4)
  }
}
