/**
 * One try: the body of an event, signed anew, posted by the egress. Never follows a redirect, never
 * reads more of the answer than its status needs.
 * @see https://github.com/standard-webhooks/standard-webhooks
 */
import { UpstreamError } from '../errors.ts'
import type { Egress } from '../net/egress.ts'
import type { Emit, Runtime } from '../ports.ts'
import type { Values } from '../records.ts'
import type { Sealing } from '../vault/sealing.ts'
import type { Endpoint, Endpoints } from './endpoints.ts'
import { signatureHeaders } from './signature.ts'

export type Sent =
  | { readonly outcome: 'delivered'; readonly status: number }
  /** No try of this delivery: its origin failed repeatedly and waits, or this node stops. */
  | { readonly outcome: 'held'; readonly waitMs: number }
  | { readonly outcome: 'failed'; readonly reason: string; readonly status?: number }

export interface SenderDeps {
  readonly runtime: Runtime
  readonly emit: Emit
  readonly egress: Egress
  readonly sealing: Sealing
  readonly endpoints: Pick<Endpoints, 'secretOf'>
  /** This node stops: what is under way is given back. */
  readonly stopped?: AbortSignal
}

const WEBHOOK_TIMEOUT_MS = 10_000
const ANSWER_MAX_BYTES = 1_048_576
const HELD_MIN_MS = 1_000

/** What the body says. */
export type Message = Pick<Values['delivery'], 'eventId' | 'type' | 'createdAtMs' | 'data'>

function bodyOf({ eventId, type, createdAtMs, data }: Message): string {
  const createdAt = new Date(createdAtMs).toISOString()
  return JSON.stringify({ id: eventId, type, createdAt, data })
}

export function createSender(
  deps: SenderDeps,
): (endpoint: Endpoint, message: Message) => Promise<Sent> {
  return async (endpoint, message) => {
    const sent = await send(deps, endpoint, message)
    deps.emit.count('postern_webhook_deliveries_total', { outcome: sent.outcome })
    return sent
  }
}

async function send(
  { runtime, egress, sealing, endpoints, stopped }: SenderDeps,
  endpoint: Endpoint,
  message: Message,
): Promise<Sent> {
  const key = await endpoints.secretOf(endpoint, sealing)
  if (key === undefined) return { outcome: 'failed', reason: 'secret_unreadable' }
  const body = bodyOf(message)
  const id = message.eventId
  const timestampSeconds = Math.floor(runtime.nowMs() / 1000)
  try {
    const { status } = await egress.exchange({
      operation: 'webhook',
      method: 'POST',
      url: endpoint.url,
      headers: {
        'content-type': 'application/json',
        ...signatureHeaders(runtime, key, { id, timestampSeconds, body }),
      },
      body,
      timeoutMs: WEBHOOK_TIMEOUT_MS,
      maxBytes: ANSWER_MAX_BYTES,
      ...(stopped === undefined ? {} : { signal: stopped }),
      // Made by the API: who has a key must not reach what the operator alone may name (S1).
      ...(endpoint.isInFile ? {} : { publicOnly: true, namedBy: `webhook:${endpoint.id}` }),
    })
    const isTaken = status >= 200 && status < 300
    return isTaken
      ? { outcome: 'delivered', status }
      : { outcome: 'failed', reason: `status_${status}`, status }
  } catch (error) {
    if (stopped?.aborted === true) return { outcome: 'held', waitMs: HELD_MIN_MS }
    if (!(error instanceof UpstreamError)) throw error
    if (error.code === 'ERR_UPSTREAM_BREAKER')
      return { outcome: 'held', waitMs: Math.max(HELD_MIN_MS, error.retryAfterMs ?? 0) }
    return { outcome: 'failed', reason: reasonOf(error) }
  }
}

function reasonOf({ code }: UpstreamError): string {
  return code.replace('ERR_UPSTREAM_', '').toLowerCase()
}
