/**
 * Who is told: the webhooks of the configuration file and those made by the API. Kept in memory, so that
 * a commit knows without reading whom it has to tell; looked at again every 30 s and before each delivery.
 *
 * A disabled one gets no new deliveries until a test reaches it.
 */
import type { Config } from '../config.ts'
import { derivedId, key } from '../issuer/ids.ts'
import type { Runtime, Store } from '../ports.ts'
import { TENANT, type Values } from '../records.ts'
import { webhookOwner } from '../vault/reseal.ts'
import type { Sealing } from '../vault/sealing.ts'
import { matchesAny } from './event-names.ts'
import { secretBytes } from './signature.ts'

export interface Endpoint {
  readonly id: string
  readonly url: string
  readonly events: readonly string[]
  readonly state: 'active' | 'disabled'
  readonly cause?: string
  /** Of the configuration file: its origin is approved, and the API cannot remove it. */
  readonly isInFile: boolean
  readonly createdAtMs?: number
  readonly disabledAtMs?: number
}

export interface Endpoints {
  list(): readonly Endpoint[]
  find(id: string): Endpoint | undefined
  /** Ids of the active ones that ask for this event. */
  subscribed(type: string): readonly string[]
  /** Reads all rows again. */
  load(): Promise<void>
  /** Reads one row again: what is delivered must not go by a memory of 30 s. */
  refresh(id: string): Promise<Endpoint | undefined>
  /** `undefined`: sealed with a key that is not configured. */
  secretOf(endpoint: Endpoint, sealing: Sealing): Promise<Uint8Array | undefined>
}

export const WEBHOOKS_MAX = 100

export interface EndpointsDeps {
  readonly config: Pick<Config, 'webhooks'>
  readonly store: Store
  readonly runtime: Runtime
}

type Row = Values['webhook']

export function createEndpoints({ config, store, runtime }: EndpointsDeps): Endpoints {
  const inFile = new Map(
    (config.webhooks ?? []).map((entry) => [derivedId(runtime, 'whk', entry.url), entry]),
  )
  const known = new Map<string, Endpoint>()
  const keep = (id: string, row: Row | undefined): Endpoint | undefined => {
    const entry = inFile.get(id)
    const endpoint = entry === undefined ? ofRow(id, row) : ofFile(id, entry, row)
    if (endpoint === undefined) known.delete(id)
    else known.set(id, endpoint)
    return endpoint
  }
  for (const id of inFile.keys()) keep(id, undefined)
  return {
    list: () => [...known.values()],
    find: (id) => known.get(id),
    subscribed(type) {
      const ids: string[] = []
      for (const { id, state, events } of known.values())
        if (state === 'active' && matchesAny(events, type)) ids.push(id)
      return ids
    },
    async load() {
      const rows = await store.list('webhook', TENANT, undefined, { max: WEBHOOKS_MAX })
      const found = new Map(rows.map((row) => [row.key.id, row.value]))
      for (const id of new Set([...known.keys(), ...inFile.keys(), ...found.keys()]))
        keep(id, found.get(id))
    },
    refresh: async (id) => keep(id, (await store.get('webhook', key(id)))?.value),
    async secretOf({ id }, sealing) {
      const entry = inFile.get(id)
      if (entry !== undefined) return secretBytes(entry.secret.reveal())
      const { sealed, keyId } = (await store.get('webhook', key(id)))?.value ?? {}
      if (sealed === undefined || keyId === undefined) return undefined
      return secretBytes(sealing.open(sealed, keyId, webhookOwner(id)) ?? '')
    },
  }
}

function ofRow(id: string, row: Row | undefined): Endpoint | undefined {
  // A row of one that stood in the file, and does not any more, names nobody.
  if (row?.url === undefined) return undefined
  return { id, url: row.url, events: row.events ?? [], isInFile: false, ...standingOf(row) }
}

function ofFile(
  id: string,
  { url, events }: { readonly url: string; readonly events: readonly string[] },
  row: Row | undefined,
): Endpoint {
  const standing = row === undefined ? { state: 'active' as const } : standingOf(row)
  return { id, url, events, isInFile: true, ...standing }
}

function standingOf({ state, cause, createdAtMs, disabledAtMs }: Row) {
  return {
    state,
    createdAtMs,
    ...(cause === undefined ? {} : { cause }),
    ...(disabledAtMs === undefined ? {} : { disabledAtMs }),
  }
}
