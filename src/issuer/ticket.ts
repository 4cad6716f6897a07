/**
 * The consent ticket: a validated request sealed into the form, bound to the form cookie of the
 * browser that was shown it. Showing a page writes nothing to the store; the ticket's id can be
 * inserted as a transaction once (CON-06, A1).
 */
import type { Runtime } from '../ports.ts'
import { type AuthorizationRequest, type EmbeddedTrip, TENANT } from '../records.ts'
import { createFlowId, createId } from './ids.ts'

export const TICKET_TTL_MS = 600_000
/** Larger than any ticket we make: `state` is at most 4 kB. */
const SEALED_TICKET_MAX_CHARACTERS = 32_768
const ASSOCIATED_DATA = JSON.stringify([TENANT, 'ticket'])

export interface Ticket {
  readonly id: string
  /** A client's request, or sign-in to this house itself, which ends at `returnTo`. */
  readonly request?: AuthorizationRequest
  readonly returnTo?: string
  /** Absent: answered at `/consent`. One purpose's ticket is refused where another's is taken. */
  readonly purpose?: 'account' | 'connect' | 'replace' | 'embedded' | 'embedded-replace'
  /** What a form of `/connect` is about. */
  readonly connect?: ConnectSubject
  readonly formDigest: string
  /** The account that the page showed, if it showed one (A27). */
  readonly shownUserId?: string
  readonly flowId: string
  readonly expiresAtMs: number
}

/** One account to link, as the page showed it. */
export interface ConnectSubject {
  readonly connector: string
  /** What a call asked for beyond the usual (CLI-09). */
  readonly scopes: readonly string[]
  /** The client whose call needs it. */
  readonly client?: { readonly clientId: string; readonly name?: string }
  /** What the page said: where the trip leads, and what is asked for there. */
  readonly shown?: { readonly issuer: string; readonly scopes: readonly string[] }
  /** An answer of the server that waits for a word of the person. */
  readonly handle?: string
  /** A trip of an embedding product; its person has no session here. */
  readonly embedded?: EmbeddedTrip & { readonly userId: string }
}

export type TicketSubject = Pick<
  Ticket,
  'request' | 'returnTo' | 'purpose' | 'shownUserId' | 'connect'
> & {
  readonly flowId?: string
}

export function createTicket(
  runtime: Runtime,
  formCookieValue: string,
  subject: TicketSubject,
): Ticket {
  return {
    ...subject,
    id: createId(runtime, 'tkt'),
    formDigest: runtime.sha256(formCookieValue),
    flowId: subject.flowId ?? createFlowId(runtime),
    expiresAtMs: runtime.nowMs() + TICKET_TTL_MS,
  }
}

export function sealTicket(runtime: Runtime, ticketKey: Uint8Array, ticket: Ticket): string {
  return runtime.seal(ticketKey, JSON.stringify(ticket), ASSOCIATED_DATA)
}

/** `undefined`: not ours. An expired or foreign ticket is told apart by the caller. */
export function openTicket(
  runtime: Runtime,
  ticketKey: Uint8Array,
  sealed: string,
): Ticket | undefined {
  if (sealed.length > SEALED_TICKET_MAX_CHARACTERS) return undefined
  const text = runtime.open(ticketKey, sealed, ASSOCIATED_DATA)
  // Sealed by us with this key and purpose, so its shape is ours.
  return text === undefined ? undefined : (JSON.parse(text) as Ticket)
}
