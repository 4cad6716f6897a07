/**
 * GitHub's webhooks (docs.github.com: `validating-webhook-deliveries`, `webhook-events-and-payloads`):
 * the signature over the whole body first, in constant time, then what it says. Pure.
 */
import { parseJson } from '../net/json.ts'
import { isObject } from '../oauth/claims.ts'
import type { Runtime } from '../ports.ts'
import type { Secret } from '../secret.ts'

export const WEBHOOK_BODY_MAX_BYTES = 65_536

export interface Delivery {
  readonly headers: Headers
  readonly body: string
}

/** `other`: signed, and of no concern to us. `malformed`: signed, and not what is documented. */
export type JudgedDelivery =
  | { readonly outcome: 'unsigned' | 'other' | 'malformed' }
  /** The person took the whole authorization back. `subject`: the numeric user id. */
  | { readonly outcome: 'revoked'; readonly subject: string }

/** The signature over the raw body comes first; nothing is parsed before it. */
export function judgeDelivery(
  { headers, body }: Delivery,
  secret: Secret,
  runtime: Pick<Runtime, 'hmacSha256' | 'equal'>,
): JudgedDelivery {
  const key = new TextEncoder().encode(secret.reveal())
  const expected = `sha256=${hex(runtime.hmacSha256(key, body))}`
  if (!runtime.equal(expected, headers.get('x-hub-signature-256') ?? ''))
    return { outcome: 'unsigned' }
  if (headers.get('x-github-event') !== 'github_app_authorization') return { outcome: 'other' }
  const payload = parsed(body)
  if (payload === undefined) return { outcome: 'malformed' }
  if (payload['action'] !== 'revoked') return { outcome: 'other' }
  const sender = payload['sender']
  const id = isObject(sender) ? sender['id'] : undefined
  return Number.isSafeInteger(id) && Number(id) > 0
    ? { outcome: 'revoked', subject: String(id) }
    : { outcome: 'malformed' }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function parsed(body: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = parseJson(body)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
