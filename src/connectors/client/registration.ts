/**
 * Our client at a connector's authorization server: by hand, by our metadata document, or registered
 * there (RFC 7591), in this order (CLI-01).
 *
 * A registration belongs to one issuer and one connector and is never used with another (CLI-04, CLI-14).
 * It is made once by all nodes together, sealed, and made anew ahead of its end. Refused as a client:
 * registered once more, then told, never a loop (CLI-05). Reads are from memory.
 */
import type { Config } from '../../config.ts'
import { StoreError } from '../../errors.ts'
import type { Egress } from '../../net/egress.ts'
import type { Emit, Lock, Runtime, Store } from '../../ports.ts'
import type { ConnectorProblem } from '../../records.ts'
import type { Sealing } from '../../vault/sealing.ts'
import type { Binding } from '../lifecycle/binding.ts'
import { shareWork } from '../waiting.ts'
import type { DocumentMethod } from './client-document.ts'
import { ClientRegister } from './registration-register.ts'
import { staticClient } from './registration-static.ts'

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
  /**
   * The client that tokens were given to, while it lives: a renewal may have made another one, and
   * refresh tokens work with theirs alone (RFC 6749 section 6). From memory.
   */
  find(binding: Binding, clientId: string): OurClient | undefined
  /** In the order of CLI-01; one registration for everybody who asks at once, on all nodes. */
  ensure(binding: Binding): Promise<Registered>
  /** After `invalid_client`: another client, once; then `undefined`, and somebody must look (CLI-05). */
  refused(binding: Binding, client: OurClient): Promise<OurClient | undefined>
  /** How our document of this connector says we authenticate; `undefined`: there is no document. */
  documentMethod(connector: string): Promise<DocumentMethod | undefined>
  /** The connector is another one now: what is in memory of its clients is not used again. */
  forget(connector: string): void
  /** Reads what is stored; before the first `peek`. */
  load(): Promise<void>
}

export interface RegistrationsDeps {
  readonly config: Config
  readonly store: Store
  readonly lock: Lock
  readonly sealing: Sealing
  readonly egress: Egress
  readonly runtime: Runtime
  readonly emit: Emit
}

export function createRegistrations(deps: RegistrationsDeps): Registrations {
  const { config, runtime } = deps
  const register = new ClientRegister(deps)
  const flights = new Map<string, Promise<Registered>>()
  const shared = (name: string, start: () => Promise<Registered>): Promise<Registered> =>
    shareWork(runtime, flights, name, start)
  const place = ({ issuer, connector }: Binding): string => `${issuer}\n${connector.name}`

  return {
    peek(binding) {
      const own = staticClient(config, binding)
      if (own !== undefined) return own.ok ? own.client : undefined
      const known = register.peek(binding)
      if (known !== undefined && register.mayRenew(known, binding))
        runtime.waitUntil(shared(`renew\n${place(binding)}`, () => register.renew(binding)))
      return known?.client
    },
    find(binding, clientId) {
      const own = staticClient(config, binding)
      if (own !== undefined)
        return own.ok && own.client.clientId === clientId ? own.client : undefined
      return register.find(binding, clientId)
    },
    async ensure(binding) {
      const own = staticClient(config, binding)
      if (own !== undefined) return own
      const known = register.peek(binding)
      if (known !== undefined && register.isRead(binding)) return { ok: true, client: known.client }
      try {
        return await shared(`ensure\n${place(binding)}`, () => register.obtain(binding))
      } catch (error) {
        // What is in memory is still right while the store does not answer.
        if (known === undefined || !(error instanceof StoreError)) throw error
        return { ok: true, client: known.client }
      }
    },
    async refused(binding, client) {
      if (client.how !== 'dynamic') return undefined
      const replaced = await shared(`replace\n${place(binding)}\n${client.clientId}`, () =>
        register.replace(binding, client),
      )
      return replaced.ok ? replaced.client : undefined
    },
    documentMethod: (connector) => register.documentMethod(connector),
    forget: (connector) => register.forget(connector),
    load: () => register.load(),
  }
}
