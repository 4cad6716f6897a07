/**
 * Our client at a connector's authorization server: by hand, by our metadata document, or registered
 * there (RFC 7591), in this order.
 *
 * A registration belongs to one issuer and one connector and is never used with another (CLI-04). It
 * is made once by all nodes together, sealed, and made anew ahead of its end. Reads are from memory.
 */
import type { ConnectorProblem } from '../records.ts'
import type { Binding } from './binding.ts'

export interface OurClient {
  readonly clientId: string
  readonly how: 'static' | 'document' | 'dynamic'
  readonly authMethod: 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
  /** Only where `authMethod` is one of the two that send it. Never in an error, event or log. */
  readonly secret?: string
  readonly redirectUri: string
  /** `client_secret_expires_at` (RFC 7591 section 3.2.1); absent: never. */
  readonly expiresAtMs?: number
}

export type Registered =
  | { readonly ok: true; readonly client: OurClient }
  | { readonly ok: false; readonly problem: ConnectorProblem }

export interface Registrations {
  /** From memory: no wait, no exchange. Starts the renewal behind when the end is near. */
  peek(binding: Binding): OurClient | undefined
  /** In the order of CLI-01; one registration for everybody who asks at once, on all nodes. */
  ensure(binding: Binding): Promise<Registered>
  /** After `invalid_client`: another client, once; then `undefined`, and somebody must look (CLI-05). */
  refused(binding: Binding, client: OurClient): Promise<OurClient | undefined>
  /** Reads what is stored; before the first `peek`. */
  load(): Promise<void>
}
