/** Fields that several resources have: ids, names, times, pages. Each has a bound. */
import { z } from 'zod'

const ID_LETTERS = '[0-9a-hjkmnp-tv-z]{26}'

/** An id of ours: prefix and 26 letters. */
export function idOf(prefix: string, example?: string): z.ZodString {
  const text = z.string().regex(new RegExp(`^${prefix}_${ID_LETTERS}$`))
  return text.meta({ example: example ?? `${prefix}_01h00000000000000000000000` })
}

/** Whether it can only be somebody who signed in here. */
export function isOurUserId(text: string): boolean {
  return OUR_USER_ID.test(text)
}
const OUR_USER_ID = new RegExp(`^usr_${ID_LETTERS}$`)

export const ConnectionId = z
  .string()
  .regex(/^con_[A-Za-z0-9_-]{20,43}$/)
  .meta({ examples: ['con_AAAAAAAAAAAAAAAAAAAAAA'] })
export const App = z
  .string()
  .regex(/^[a-z0-9-]{1,40}$/)
  .meta({ examples: ['dashboard'] })
export const ConnectorName = z
  .string()
  .regex(/^[a-z0-9-]{1,40}$/)
  .meta({ examples: ['notes'] })
/** Of an embedding product: its own words. */
export const User = z
  .string()
  .min(1)
  .max(256)
  .meta({ examples: ['ada'] })
/** ISO 8601, UTC. */
export const Time = z.iso.datetime().meta({ examples: ['2026-11-21T10:00:00.123Z'] })
/** https, or http on a loopback host: judged by who uses it. */
export const Url = z
  .url()
  .max(2048)
  .meta({ examples: ['https://notes.example/mcp'] })

/** `{ data, nextCursor? }` */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ data: z.array(item), nextCursor: z.string().optional() })
}
