/**
 * Reads `webhooks`: who is told of which events, signed with which secret. Standing in the file approves
 * the exact origin of the URL, a private one included.
 */
import type { Secret } from '../secret.ts'
import { isEventPattern } from '../webhooks/event-names.ts'
import { SECRET_MAX_BYTES, SECRET_MIN_BYTES, secretBytes } from '../webhooks/signature.ts'
import type { Sources } from './values.ts'
import * as read from './values.ts'

export interface WebhookInput {
  /** https, or http on a loopback or private host that you mean. */
  readonly url: string
  /** Names and patterns: `connection.*`, `user.offboarded`; `*` for all. */
  readonly events: readonly string[]
  /** `whsec_` and base64 of 24 to 64 random bytes. */
  readonly secret: string
}

export interface WebhookConfig {
  readonly url: string
  readonly events: readonly string[]
  readonly secret: Secret
}

const FIELDS = ['url', 'events', 'secret']
const WEBHOOKS_MAX = 50
export const WEBHOOK_PATTERNS_MAX = 50

/** @throws {ConfigError} for a URL, pattern or secret that cannot be right, and for one URL twice. */
export function readWebhooks(value: unknown, sources: Sources): readonly WebhookConfig[] {
  if (!Array.isArray(value) || value.length > WEBHOOKS_MAX)
    throw read.invalid('webhooks', `a list of at most ${WEBHOOKS_MAX} webhooks`)
  const webhooks = value.map((entry: unknown, index) => readWebhook(entry, index, sources))
  webhooks.forEach(({ url }, index) => {
    if (webhooks.findIndex((other) => other.url === url) !== index)
      throw read.invalid(`webhooks[${index}].url`, 'a URL that no other webhook has')
  })
  return webhooks
}

function readWebhook(entry: unknown, index: number, sources: Sources): WebhookConfig {
  const at = `webhooks[${index}]`
  const input = read.record(at, entry)
  read.refuseUnknown(at, input, FIELDS)
  const url = read.url(`${at}.url`, input['url'], sources)
  const events = read.list(`${at}.events`, input['events'] ?? [], sources)
  if (events.length === 0 || events.length > WEBHOOK_PATTERNS_MAX)
    throw read.invalid(`${at}.events`, `1 to ${WEBHOOK_PATTERNS_MAX} names or patterns of events`)
  events.forEach((pattern, position) => {
    if (!isEventPattern(pattern))
      throw read.invalid(
        `${at}.events[${position}]`,
        'the name of an event, or a pattern like connection.*',
        'See docs/webhooks.md for the names.',
      )
  })
  const secret = read.secret(`${at}.secret`, input['secret'], sources)
  if (secretBytes(secret.reveal()) === undefined)
    throw read.invalid(
      `${at}.secret`,
      `whsec_ and base64 of ${SECRET_MIN_BYTES} to ${SECRET_MAX_BYTES} random bytes`,
      "Make one: node -p \"'whsec_' + crypto.randomBytes(32).toString('base64')\"",
    )
  return { url: url.href, events, secret }
}
