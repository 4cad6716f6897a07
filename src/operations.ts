/**
 * What an operator does to a running house from outside: revoke many at once, delete a person, rotate
 * keys. By the open house itself, or by a command that opens nothing but the store: other processes
 * learn of it as of any revocation, by bus or by poll.
 */
import type { ApiKeyAdministration } from './api/keys.ts'
import type { Config } from './config.ts'
import {
  type ConnectionAdministration,
  createConnectionAdministration,
} from './connectors/connections/connection-administration.ts'
import type { Connections } from './connectors/connections/connections.ts'
import {
  type ConnectorAdministration,
  createConnectorAdministration,
} from './connectors/connector-administration.ts'
import type { Lifecycle } from './connectors/lifecycle/lifecycle.ts'
import { outboundConnectors } from './connectors/lifecycle/outbound-connector.ts'
import { createLateConsents, type LateConsents } from './connectors/made/late-consents.ts'
import type { MadeConnectors } from './connectors/made/made-connectors.ts'
import { openMade } from './connectors/made/open-made.ts'
import { auditStep } from './issuer/audit.ts'
import {
  type ClientAdministration,
  createClientAdministration,
} from './issuer/client-administration.ts'
import { announceMark, type EndingHouse, endGrant } from './issuer/endings.ts'
import { createKeys, type KeyState, type Keys, type Rotated } from './issuer/keys.ts'
import { endSelected, type Selected } from './issuer/mass-endings.ts'
import { type OffboardProof, offboard } from './issuer/offboard.ts'
import { createSignals, type Signals } from './issuer/signals.ts'
import { createUpstreamRevocation } from './issuer/upstream-revocation.ts'
import type { Egress } from './net/egress.ts'
import type { Bus, Platform, Step, Store, Versioned } from './ports.ts'
import { type Grant, TENANT } from './records.ts'
import { type Resealed, reseal } from './vault/reseal.ts'
import { createSealing, type Sealing } from './vault/sealing.ts'
import { createVault } from './vault/vault.ts'
import type { WebhookAdministration } from './webhooks/administration.ts'
import { openWebhooks, type Webhooks } from './webhooks/room.ts'

export type Person = Versioned<'user'>

export interface Operations {
  /**
   * One mark, whatever it covers; accounts at connectors that it covers end too, here and there.
   * `also` is written in the same commit.
   */
  revoke(selected: Selected, cause: string, also?: readonly Step[]): Promise<void>
  /** Each grant that was made since; told after each page of people. Returns how many ended. */
  revokeSince(sinceMs: number, cause: string, onProgress: (ended: number) => void): Promise<number>
  /** By user id, or by e-mail, login or subject at the provider, to the letter. */
  findPeople(text: string): Promise<readonly Person[]>
  offboard(person: Person): Promise<OffboardProof>
  rotateKeys(options?: { emergency?: boolean; kid?: string }): Promise<Rotated>
  keys(): readonly KeyState[]
  /** Seals again, under the first sealing key, what an older one has sealed. */
  reseal(onProgress: (resealed: number) => void): Promise<Resealed>
  /** Upstream revocations that wait. */
  pending(): Promise<number>
  readonly connectors: ConnectorAdministration
  readonly connections: ConnectionAdministration
  readonly clients: ClientAdministration
  apiKeys(): Promise<ApiKeyAdministration>
  /** Receivers of events. */
  webhooks(): Promise<WebhookAdministration>
}

interface Needs extends EndingHouse {
  /** `undefined` where no connector has an authorization server. */
  lifecycle(): Promise<Lifecycle | undefined>
  readonly connections?: Pick<Connections, 'findById' | 'end'> | undefined
  readonly made: MadeConnectors
  readonly consents: Pick<LateConsents, 'look' | 'describe'>
  readonly webhooks: Pick<Webhooks, 'administration'>
  readonly keys: Keys
  readonly signals: Signals
  readonly sealing: Sealing
}

const PAGE_ROWS = 200
const PAGES_MAX = 100_000
/** People of one name that are looked for before an answer is given up as ambiguous. */
const FOUND_MAX = 10

export function createOperations(needs: Needs): Operations {
  const { store, keys } = needs
  return {
    revoke: (selected, cause, also) => endSelected(needs, selected, cause, also),
    revokeSince: (sinceMs, cause, onProgress) => revokeSince(needs, sinceMs, cause, onProgress),
    findPeople: (text) => findPeople(needs, text),
    offboard: (person) => offboard(needs, person),
    async rotateKeys(options) {
      const rotated = await keys.rotate(options)
      for (const mark of rotated.marks) announceMark(needs, mark)
      return rotated
    },
    keys: () => keys.list(),
    async reseal(onProgress) {
      const done = await reseal(needs, onProgress)
      const { sealing } = needs
      const detail = `sealing ${sealing.primaryKeyId}: ${done.resealed} rows`
      if (done.resealed > 0) await store.commit([auditStep(needs, 'key.rotated', { detail })])
      return done
    },
    pending: () => store.count('duty', TENANT),
    clients: createClientAdministration(needs),
    async apiKeys() {
      const { administerApiKeys } = await import('./api/keys.ts')
      return administerApiKeys(needs)
    },
    webhooks: () => needs.webhooks.administration(),
    connectors: createConnectorAdministration(needs),
    connections: createConnectionAdministration(store, needs.connections, needs.config.apps, () =>
      needs.runtime.nowMs(),
    ),
  }
}

async function revokeSince(
  house: Needs,
  sinceMs: number,
  cause: string,
  onProgress: (ended: number) => void,
): Promise<number> {
  let ended = 0
  const endThose = async (name: 'userId' | 'clientId', value: string): Promise<void> => {
    for await (const grant of grantsOf(house, name, value)) {
      if (grant.createdAtMs < sinceMs || grant.state === 'ended') continue
      if (await endGrant(house, grant, cause)) ended += 1
    }
  }
  for await (const people of peopleOf(house)) {
    for (const { value } of people) await endThose('userId', value.userId)
    onProgress(ended)
  }
  // Clients that act for themselves have no person's row.
  for (const { clientId } of house.config.clients) await endThose('clientId', clientId)
  onProgress(ended)
  return ended
}

async function* grantsOf(
  { store }: Needs,
  name: 'userId' | 'clientId',
  value: string,
): AsyncGenerator<Grant> {
  let after: string | undefined
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const at = { max: PAGE_ROWS, ...(after === undefined ? {} : { after }) }
    const grants = await store.grants.list(TENANT, { name, value }, at)
    yield* grants
    if (grants.length < PAGE_ROWS) return
    after = grants.at(-1)?.id
  }
}

async function* peopleOf({ store }: Needs): AsyncGenerator<readonly Person[]> {
  let after: string | undefined
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const at = { max: PAGE_ROWS, ...(after === undefined ? {} : { after }) }
    const people = await store.list('user', TENANT, undefined, at)
    yield people
    if (people.length < PAGE_ROWS) return
    after = people.at(-1)?.key.id
  }
}

async function findPeople(house: Needs, text: string): Promise<readonly Person[]> {
  const byId = { name: 'userId', value: text }
  const named = await house.store.list('user', TENANT, byId, { max: FOUND_MAX })
  if (named.length > 0) return named
  const found: Person[] = []
  for await (const people of peopleOf(house)) {
    for (const person of people) {
      const { subject, profile } = person.value
      if ([subject, profile.email, profile.login].includes(text)) found.push(person)
      if (found.length >= FOUND_MAX) return found
    }
  }
  return found
}

/**
 * The store of a house and nothing else of it: no listener, no timer, no request to anybody.
 *
 * @throws {StoreError} when the store cannot be opened. @throws {ConfigError} for a wrong sealing key.
 */
export async function openOperations(
  config: Config,
  platform: Platform,
): Promise<{ readonly operations: Operations; close(): Promise<void> }> {
  const { store: plain, bus } = await platform.openStore(config.databaseUrl)
  const webhooks = openWebhooks(config, platform, plain)
  const { store } = webhooks
  const { runtime, emit, lock } = webhooks.platform
  try {
    await webhooks.load()
    const sealing = createSealing(
      config.sealingKeys.length === 0
        ? [await platform.developmentSealingKey(config.databaseUrl)]
        : config.sealingKeys,
      runtime,
    )
    const audit = (detail: string) => auditStep({ runtime, config }, 'key.rotated', { detail })
    const keys = createKeys({ store, sealing, runtime, audit })
    await keys.load()
    const vault = createVault({ store, sealing, runtime })
    // Nobody here remembers a token: the mark in the store is all there is to tell.
    const revocation = { markLocal: () => undefined, marked: () => false }
    const { made, config: live } = openMade({
      config,
      store,
      bus,
      runtime,
      emit,
      sealing,
      revocation,
    })
    await made.load()
    const ending = { store, runtime, emit, bus, config: live, revocation }
    const { endVault } = createUpstreamRevocation({
      ...ending,
      lock,
      vault,
      providers: [],
      forget: () => undefined,
      announce: (mark) => announceMark(ending, mark),
    })
    const signals = createSignals({ ...ending, endVault })
    const wayOut = createLateEgress(live, platform)
    const outbound = createLateClientSide(live, webhooks.platform, {
      ...{ store, bus, sealing, made },
      egress: wayOut.open,
    })
    const consents = createLateConsents({
      ...{ config: live, store, runtime, emit },
      egress: wayOut.open,
    })
    webhooks.administer({ sealing, egress: wayOut.open })
    return {
      operations: createOperations({
        ...ending,
        keys,
        signals,
        sealing,
        made,
        consents,
        webhooks,
        lifecycle: outbound.open,
      }),
      async close() {
        await Promise.all([outbound.close(), consents.close()])
        await wayOut.close()
        await webhooks.stop()
        await store.close()
      },
    }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** The way out of a command, opened by the first that needs it. */
function createLateEgress(
  config: Config,
  platform: Platform,
): { open(): Promise<Egress>; close(): Promise<void> } {
  let opened: ReturnType<Platform['openFetch']> | undefined
  let egress: Egress | undefined
  return {
    async open() {
      const { openEgress } = await import('./net/configured-egress.ts')
      opened ??= platform.openFetch(config.egress)
      egress ??= openEgress(config, platform, opened.fetch)
      return egress
    },
    close: async () => opened?.close(),
  }
}

/** For the commands that ask a connector's servers: opened by the first that needs it, without timers. */
function createLateClientSide(
  config: Config,
  platform: Platform,
  ground: {
    readonly store: Store
    readonly bus: Bus
    readonly sealing: Sealing
    readonly made: MadeConnectors
    egress(): Promise<Egress>
  },
): { open(): Promise<Lifecycle | undefined>; close(): Promise<void> } {
  const { runtime, emit, lock } = platform
  let opening: Promise<{ lifecycle: Lifecycle; close(): Promise<void> }> | undefined
  const openNow = async () => {
    const { openClientSide } = await import('./connectors/outbound.ts')
    const egress = await ground.egress()
    const { lifecycle } = await openClientSide({ ...ground, config, runtime, emit, lock, egress })
    await lifecycle.load()
    return {
      lifecycle,
      close: () => lifecycle.close(),
    }
  }
  return {
    async open() {
      if (outboundConnectors(config).length === 0) return undefined
      const isOpen = opening !== undefined
      opening ??= openNow()
      const { lifecycle } = await opening
      // Made by this very command.
      if (isOpen) await lifecycle.follow()
      return lifecycle
    },
    close: async () => (await opening?.catch(() => undefined))?.close(),
  }
}
