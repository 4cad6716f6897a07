/**
 * Text that strangers chose, made safe to show: bounded, without control, bidirectional or invisible
 * characters. Escaping is the template's work (`hono/html`); this is about what escaping leaves.
 */

/** Longest client name, account label or description on a page, in code points. */
const SHOWN_TEXT_MAX = 64
/** Controls, format and bidi characters, surrogates, unassigned, and all that is drawn as nothing. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Default_Ignorable_Code_Point}\u2028\u2029]/gu

/** One line of at most `max` code points; what is cut ends in an ellipsis. Empty when nothing visible is left. */
export function shownText(text: string | undefined, max = SHOWN_TEXT_MAX): string {
  const line = (text ?? '').normalize('NFC').replace(/\s+/gu, ' ').replace(INVISIBLE, '').trim()
  const points = Array.from(line)
  return points.length <= max ? line : `${points.slice(0, max - 1).join('')}…`
}
