/**
 * `verifyWebhook`: what a product that receives our events calls. It needs nothing of a house: WebCrypto
 * and a clock, so it runs where the product runs. Reads the body once, bounded; compares in constant time.
 * @see https://github.com/standard-webhooks/standard-webhooks
 */
import { readText } from '../net/body.ts'
import type { PosternEvent } from '../ports.ts'
import { secretBytes, signedText } from './signature.ts'

const TOLERANCE_SECONDS = 300
const BODY_MAX_BYTES = 262_144
const SIGNATURES_MAX = 20
/** Base64 of 32 bytes. */
const SIGNATURE_CHARS = 44
const ID = /^[A-Za-z0-9_.-]{1,256}$/
const ALGORITHM = { name: 'HMAC', hash: 'SHA-256' } as const

/** The request is not one of ours, or not any more. `reason` is a word for the receiver's own log. */
export class WebhookSignatureError extends Error {
  override readonly name = 'WebhookSignatureError'
  readonly code = 'ERR_WEBHOOK_SIGNATURE'
  readonly reason: 'headers' | 'timestamp' | 'body' | 'signature'
  constructor(reason: WebhookSignatureError['reason'], cause?: unknown) {
    super(`ERR_WEBHOOK_SIGNATURE: ${reason}`, { cause })
    this.reason = reason
  }
}

/** What a receiver is told: the event, its id, and when it happened (ISO 8601, UTC). */
export type ReceivedEvent = PosternEvent & { readonly id: string; readonly createdAt: string }

/**
 * The event of a webhook request, when we have sent it.
 *
 * @param request Its body is read here, at most 256 KiB; headers `webhook-id`, `webhook-timestamp`,
 *   `webhook-signature` (several signatures, separated by spaces, may stand in it).
 * @param secret `whsec_...`, or several while it is being changed.
 * @returns `id` is the same each time that an event is sent again: keep those of a day to tell them.
 * @throws {WebhookSignatureError} `ERR_WEBHOOK_SIGNATURE`: unsigned, changed, another secret, or its time
 *   is more than 300 s away. @throws {TypeError} for a secret that is none.
 */
export async function verifyWebhook(
  request: Request,
  secret: string | readonly string[],
): Promise<ReceivedEvent> {
  const secrets = (typeof secret === 'string' ? [secret] : secret).map((each) => {
    const bytes = secretBytes(each)
    if (bytes === undefined) throw new TypeError('a webhook secret is whsec_ and base64')
    return bytes
  })
  const id = request.headers.get('webhook-id') ?? ''
  const timestamp = request.headers.get('webhook-timestamp') ?? ''
  const signatures = signaturesOf(request.headers.get('webhook-signature') ?? '')
  if (!ID.test(id) || !/^\d{1,12}$/.test(timestamp) || signatures.length === 0)
    throw new WebhookSignatureError('headers')
  const timestampSeconds = Number(timestamp)
  const awaySeconds = Math.abs(Date.now() / 1000 - timestampSeconds)
  if (awaySeconds > TOLERANCE_SECONDS) throw new WebhookSignatureError('timestamp')
  const body = await readBody(request)
  const data = new TextEncoder().encode(signedText({ id, timestampSeconds, body }))
  if (!(await isSigned(secrets, signatures, data))) throw new WebhookSignatureError('signature')
  return eventOf(body, id)
}

function signaturesOf(header: string): readonly Uint8Array<ArrayBuffer>[] {
  return header
    .split(' ')
    .slice(0, SIGNATURES_MAX)
    .filter((each) => each.startsWith('v1,') && each.length === SIGNATURE_CHARS + 3)
    .map((each) => each.slice(3))
    .filter((each) => /^[A-Za-z0-9+/]{43}=$/.test(each))
    .map((each) => Uint8Array.from(atob(each), (char) => char.charCodeAt(0)))
}

async function readBody(request: Request): Promise<string> {
  try {
    return await readText(request.body, request.headers, BODY_MAX_BYTES, new AbortController())
  } catch (error) {
    throw new WebhookSignatureError('body', error)
  }
}

/** Every secret with every signature, whatever was found before: how long it takes says nothing. */
async function isSigned(
  secrets: readonly Uint8Array<ArrayBuffer>[],
  signatures: readonly Uint8Array<ArrayBuffer>[],
  data: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  let found = false
  for (const secret of secrets) {
    const key = await crypto.subtle.importKey('raw', secret, ALGORITHM, false, ['verify'])
    for (const signature of signatures) {
      if (await crypto.subtle.verify('HMAC', key, signature, data)) found = true
    }
  }
  return found
}

function eventOf(body: string, id: string): ReceivedEvent {
  const told = parse(body)
  if (!isTold(told) || told.id !== id) throw new WebhookSignatureError('body')
  return { ...told.data, id, type: told.type, createdAt: told.createdAt }
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch (error) {
    throw new WebhookSignatureError('body', error)
  }
}

function isTold(value: unknown): value is {
  readonly id: string
  readonly type: PosternEvent['type']
  readonly createdAt: string
  readonly data: Readonly<Record<string, string | number | boolean>>
} {
  if (typeof value !== 'object' || value === null) return false
  const { id, type, createdAt, data } = value as Readonly<Record<string, unknown>>
  const isText = [id, type, createdAt].every((member) => typeof member === 'string')
  return isText && typeof data === 'object' && data !== null
}
