/**
 * The registrations of this house: what memory knows of them, and how one is made, renewed and
 * replaced. Between nodes the lease keeps registrations apart and the compare-and-set decides.
 */
import { createWaits, type Waits } from '../../cache/waits.ts'
import { auditStep } from '../../issuer/audit.ts'
import type { Lease } from '../../ports.ts'
import { type ConnectorProblem, TENANT } from '../../records.ts'
import type { Binding } from '../lifecycle/binding.ts'
import { canPublishDocument, type DocumentMethod } from './client-document.ts'
import { clientDocumentUrl, connectCallbackUrl } from './connect-urls.ts'
import type { OurClient, Registered, RegistrationsDeps } from './registration.ts'
import {
  type RegistrationCall,
  type RegistrationCallsDeps,
  registerClient,
  renewClient,
} from './registration-calls.ts'
import { registrationProblem } from './registration-problems.ts'
import {
  createRegistrationRows,
  type NewRegistration,
  type Registration,
  type RegistrationRows,
} from './registration-rows.ts'

/** A secret is renewed this long before its end, or at a tenth of a shorter life. */
const RENEW_AHEAD_MS = 86_400_000
const RENEW_AHEAD_SHARE = 0.1
/** A client that replaced a refused one and worked this long may be replaced once more (CLI-05). */
const REPLACED_AGAIN_MS = 86_400_000
/** How old what is known of the store may be before `ensure` reads it again. */
const REREAD_MS = 60_000
const FAILED_WAIT_MIN_MS = 10_000
const FAILED_WAIT_MAX_MS = 300_000
const PLACES_MAX = 1_000
const LEASE_SLACK_MS = 5_000
const LOCK_POLL_MS = 200

/** `undefined`: the row is what it was, and no client of it fits. */
type Made = RegistrationCall | undefined

export class ClientRegister {
  readonly #deps: RegistrationsDeps
  readonly #rows: RegistrationRows
  readonly #calls: RegistrationCallsDeps
  readonly #known = new Map<string, { registration: Registration; readMs: number }>()
  readonly #failed: Waits
  readonly #problems = new Map<string, ConnectorProblem>()

  constructor(deps: RegistrationsDeps) {
    const { config, egress, runtime } = deps
    this.#deps = deps
    const audit = (detail: string) =>
      auditStep({ runtime, config }, 'client.registered', { detail })
    const documentUrl = (connector: string) => clientDocumentUrl(config, connector)
    this.#rows = createRegistrationRows({ ...deps, audit, documentUrl })
    const timeoutMs = config.limits.tokenCallTimeoutMs
    this.#calls = { egress, house: config, timeoutMs, nowMs: () => runtime.nowMs() }
    this.#failed = createWaits(runtime, {
      minMs: FAILED_WAIT_MIN_MS,
      maxMs: FAILED_WAIT_MAX_MS,
      keysMax: PLACES_MAX,
    })
  }

  async load(): Promise<void> {
    for (const registration of await this.#rows.load()) this.#remember(registration)
  }

  forget(connector: string): void {
    for (const [place, { registration }] of this.#known)
      if (registration.row.connector === connector) this.#known.delete(place)
    this.#problems.clear()
  }

  peek(binding: Binding): Registration | undefined {
    const known = this.#known.get(placeOf(binding))?.registration
    return known !== undefined && this.#isUsable(known, binding) ? known : undefined
  }

  find(binding: Binding, clientId: string): OurClient | undefined {
    const known = this.#known.get(placeOf(binding))?.registration
    if (known === undefined || known.row.issuer !== binding.issuer) return undefined
    const clients = [known.client, ...(known.previous === undefined ? [] : [known.previous])]
    const nowMs = this.#deps.runtime.nowMs()
    return clients.find(
      (client) => client.clientId === clientId && (client.expiresAtMs ?? Infinity) > nowMs,
    )
  }

  /** The store was asked within the last minute. */
  isRead(binding: Binding): boolean {
    const readMs = this.#known.get(placeOf(binding))?.readMs ?? Number.NEGATIVE_INFINITY
    return this.#deps.runtime.monotonicMs() - readMs < REREAD_MS
  }

  mayRenew(registration: Registration, binding: Binding): boolean {
    return this.#isEnding(registration) && this.#failed.leftMs(`renew\n${placeOf(binding)}`) === 0
  }

  async documentMethod(connector: string): Promise<DocumentMethod | undefined> {
    const isOurs = ({ row, client }: Registration): boolean =>
      row.connector === connector && client.how === 'document'
    const known = [...this.#known.values()].map(({ registration }) => registration).find(isOurs)
    const found = known ?? (await this.#rows.load()).find(isOurs)
    const method = found?.client.authMethod
    return method === 'none' || method === 'private_key_jwt' ? method : undefined
  }

  /** What the store has, else our document, else a registration, else what an administrator must do. */
  async obtain(binding: Binding): Promise<Registered> {
    const stored = await this.#read(binding)
    if (stored !== undefined) return { ok: true, client: stored.client }
    const document = this.#document(binding)
    if (document !== undefined) return this.#keep(binding, document, await this.#rows.find(binding))
    if (binding.server.registration_endpoint === undefined)
      return { ok: false, problem: registrationProblem(this.#deps.config, binding, 'closed') }
    return this.#alone(
      binding,
      () => this.#read(binding),
      async (before) => {
        const call = await this.#register(binding, placeOf(binding))
        return { call, made: { replacesRefused: false }, before }
      },
    )
  }

  /** The same client with a newer secret where the server can do that, else another client. */
  async renew(binding: Binding): Promise<Registered> {
    const place = `renew\n${placeOf(binding)}`
    const settled = async (): Promise<Registration | undefined> => {
      const stored = await this.#read(binding)
      return stored === undefined || this.#isEnding(stored) ? undefined : stored
    }
    return this.#alone(binding, settled, async (before) => {
      const same =
        before === undefined ? undefined : await renewClient(this.#calls, binding, before)
      if (same?.ok === true && isLonger(same.client.secretExpiresAtMs, before))
        return { call: same, made: { replacesRefused: false }, before }
      const call = await this.#register(binding, place)
      const previous = before === undefined ? {} : { previous: before.client }
      return { call, made: { replacesRefused: false, ...previous }, before }
    })
  }

  /** Another client in the place of one that the server does not know any more; once (CLI-05). */
  async replace(binding: Binding, refused: OurClient): Promise<Registered> {
    const other = async (): Promise<Registration | undefined> => {
      const stored = await this.#read(binding)
      return stored === undefined || stored.client.clientId === refused.clientId
        ? undefined
        : stored
    }
    return this.#alone(binding, other, async (before) => {
      const { row } = before ?? {}
      const isOften =
        row?.replacesRefused === true &&
        this.#deps.runtime.nowMs() - row.createdAtMs < REPLACED_AGAIN_MS
      const call = isOften ? undefined : await this.#register(binding, placeOf(binding))
      return { call, made: { replacesRefused: true }, before }
    })
  }

  /**
   * One node at a time; whoever waited takes what the other made. A lock that fails or is held for too
   * long keeps nobody from trying: the write decides.
   */
  async #alone(
    binding: Binding,
    settled: () => Promise<Registration | undefined>,
    work: (before: Registration | undefined) => Promise<{
      readonly call: Made
      readonly made: Pick<NewRegistration, 'replacesRefused' | 'previous'>
      readonly before: Registration | undefined
    }>,
  ): Promise<Registered> {
    const lease = await this.#lease(binding, settled)
    try {
      const stored = await settled()
      if (stored !== undefined) return { ok: true, client: stored.client }
      const { call, made, before } = await work(await this.#rows.find(binding))
      if (call === undefined)
        return { ok: false, problem: registrationProblem(this.#deps.config, binding, 'closed') }
      if (!call.ok) return call
      const next = { ...made, how: 'dynamic', client: call.client } as const
      return await this.#keep(binding, next, before)
    } finally {
      await lease?.release()
    }
  }

  async #lease(
    binding: Binding,
    settled: () => Promise<Registration | undefined>,
  ): Promise<Lease | undefined> {
    const { lock, runtime } = this.#deps
    const untilMs = runtime.monotonicMs() + this.#calls.timeoutMs
    const leaseMs = this.#calls.timeoutMs + LEASE_SLACK_MS
    const name = `registration:${runtime.sha256(placeOf(binding))}`
    for (;;) {
      const taken = await lock.acquire(name, leaseMs, 0)
      if (taken.state === 'acquired') return taken.lease
      if (taken.state === 'error' || runtime.monotonicMs() >= untilMs) return undefined
      await new Promise<void>((resolve) => runtime.after(LOCK_POLL_MS, resolve))
      if ((await settled()) !== undefined) return undefined
    }
  }

  /** A place that failed is asked again after a growing wait; its problem is told meanwhile. */
  async #register(binding: Binding, place: string): Promise<RegistrationCall> {
    const problem = this.#failed.leftMs(place) > 0 ? this.#problems.get(place) : undefined
    if (problem !== undefined) return { ok: false, problem }
    const endpoint = binding.server.registration_endpoint
    const call: RegistrationCall =
      endpoint === undefined
        ? { ok: false, problem: registrationProblem(this.#deps.config, binding, 'closed') }
        : await registerClient(this.#calls, binding, endpoint)
    if (call.ok) {
      this.#failed.done(place)
      this.#problems.delete(place)
      return call
    }
    this.#failed.failed(place, call.retryAfterMs)
    if (this.#problems.size >= PLACES_MAX) this.#problems.clear()
    this.#problems.set(place, call.problem)
    return call
  }

  /** CLI-01, the second way: nobody is asked, the server reads our document when it needs it. */
  #document({ server, connector }: Binding): Omit<NewRegistration, 'redirectUri'> | undefined {
    const { config } = this.#deps
    if (server.client_id_metadata_document_supported !== true) return undefined
    const listed = server.token_endpoint_auth_methods_supported
    const algorithms = server.token_endpoint_auth_signing_alg_values_supported
    const signs = listed?.includes('private_key_jwt') === true
    const method: DocumentMethod | undefined =
      signs && (algorithms?.includes('ES256') ?? true)
        ? 'private_key_jwt'
        : (listed?.includes('none') ?? true)
          ? 'none'
          : undefined
    if (method === undefined || !canPublishDocument(config, connector.name, method))
      return undefined
    const clientId = clientDocumentUrl(config, connector.name)
    return { how: 'document', client: { clientId, authMethod: method }, replacesRefused: false }
  }

  async #keep(
    binding: Binding,
    made: Omit<NewRegistration, 'redirectUri'>,
    before: Registration | undefined,
  ): Promise<Registered> {
    const { config, emit } = this.#deps
    const { name } = binding.connector
    const redirectUri = connectCallbackUrl(config, name)
    const { won, registration } = await this.#rows.write(binding, { ...made, redirectUri }, before)
    if (registration === undefined || !this.#isUsable(registration, binding))
      return { ok: false, problem: registrationProblem(config, binding, 'lost') }
    this.#remember(registration)
    if (won) {
      const reason = made.replacesRefused ? 'replaced' : made.how
      emit.event({ type: 'client.registered', tenant: TENANT, connector: name, reason })
    }
    return { ok: true, client: registration.client }
  }

  /** From the store, into memory; `undefined`: nothing there that can be used. */
  async #read(binding: Binding): Promise<Registration | undefined> {
    const stored = await this.#rows.find(binding)
    if (stored === undefined) this.#known.delete(placeOf(binding))
    else this.#remember(stored)
    return stored !== undefined && this.#isUsable(stored, binding) ? stored : undefined
  }

  #remember(registration: Registration): void {
    const { issuer, connector } = registration.row
    // An issuer of before is nobody's any more: its row is gone, or goes with the next write.
    const readMs = this.#deps.runtime.monotonicMs()
    this.#known.set(placeOf({ issuer, connector: { name: connector } }), { registration, readMs })
  }

  /** For this issuer and this callback, alive, and still believed there. */
  #isUsable({ row, client }: Registration, binding: Binding): boolean {
    const { config, runtime } = this.#deps
    const { name } = binding.connector
    const isAlive = (client.expiresAtMs ?? Infinity) > runtime.nowMs()
    const isBelieved =
      client.how === 'dynamic' || binding.server.client_id_metadata_document_supported === true
    return (
      row.issuer === binding.issuer &&
      row.connector === name &&
      row.redirectUri === connectCallbackUrl(config, name) &&
      isAlive &&
      isBelieved
    )
  }

  #isEnding({ row, client }: Registration): boolean {
    const { expiresAtMs } = client
    if (expiresAtMs === undefined) return false
    const lifeMs = Math.max(0, expiresAtMs - row.createdAtMs)
    const aheadMs = Math.min(RENEW_AHEAD_MS, lifeMs * RENEW_AHEAD_SHARE)
    return this.#deps.runtime.nowMs() >= expiresAtMs - aheadMs
  }
}

function placeOf({
  issuer,
  connector,
}: Pick<Binding, 'issuer'> & { readonly connector: { readonly name: string } }): string {
  return `${issuer}\n${connector.name}`
}

function isLonger(expiresAtMs: number | undefined, before: Registration | undefined): boolean {
  const until = before?.client.expiresAtMs ?? 0
  return (expiresAtMs ?? Infinity) > until
}
