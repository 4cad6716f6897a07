/**
 * Text that strangers chose, made safe to show: bounded, without control, bidirectional or invisible
 * characters. Escaping is the template's work (`hono/html`); this is about what escaping leaves.
 */

/** Longest client name, account label or description on a page, in code points. */
const SHOWN_TEXT_MAX = 64
/** C0, C1, bidi marks and embeddings, zero width, line separators, tags, interlinear, object replacement. */
const INVISIBLE =
  /[\p{Cc}\p{Cs}\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\uffff\u{e0000}-\u{e0fff}]/gu

/** One line of at most `max` code points; what is cut ends in an ellipsis. Empty when nothing visible is left. */
export function shownText(text: string | undefined, max = SHOWN_TEXT_MAX): string {
  const line = (text ?? '').normalize('NFC').replace(/\s+/gu, ' ').replace(INVISIBLE, '').trim()
  const points = Array.from(line)
  return points.length <= max ? line : `${points.slice(0, max - 1).join('')}…`
}
