/**
 * Who may ask: static clients of the configuration, dynamic ones of the store. A dynamic client that
 * never signed anybody in ends after `unusedRegistrationTtlSeconds`, one that was used after 90 idle
 * days; then it is unknown here, which tells current clients to register again (REG-26).
 */
import type { StaticClient } from '../config.ts'
import type { Client } from '../oauth/client.ts'
import { isLoopbackRedirect, isPrivateUseRedirect } from '../oauth/redirect-uri.ts'
import type { Runtime } from '../ports.ts'
import type { Values } from '../records.ts'
import type { IssuerDeps } from './house.ts'
import { key } from './ids.ts'

const DAY_MS = 86_400_000
const CLIENT_IDLE_MS = 90 * DAY_MS
const CLIENT_ID_MAX_CHARACTERS = 2048
const STATIC_GRANT_TYPES: readonly string[] = ['authorization_code', 'refresh_token']

export interface Clients {
  /** `undefined`: never registered, or ended. Rejects with `StoreError` when nobody can say. */
  find(clientId: string): Promise<Client | undefined>
  /** Keeps a dynamic client alive, after the answer and at most once a day. */
  markUsed(client: Client): void
}

export function createClients(deps: IssuerDeps): Clients {
  const { config, store, runtime } = deps
  const fixed = new Map(
    config.clients.map((entry) => [entry.clientId, staticClient(runtime, entry)]),
  )
  return {
    async find(clientId) {
      if (clientId.length > CLIENT_ID_MAX_CHARACTERS) return undefined
      const known = fixed.get(clientId)
      if (known !== undefined) return known
      if (!/^cli_[a-z0-9]{1,64}$/.test(clientId)) return undefined
      const row = await store.get('client', key(clientId))
      if (row === undefined || row.value.expiresAtMs <= runtime.nowMs()) return undefined
      return dynamicClient(runtime, clientId, row.value)
    },
    markUsed(client) {
      if (client.kind === 'dynamic') runtime.waitUntil(prolong(deps, client.clientId))
    },
  }
}

/** One conditional write; losing it means that another request of this client did the same. */
async function prolong(deps: IssuerDeps, clientId: string): Promise<void> {
  const { store, runtime } = deps
  const row = await store.get('client', key(clientId))
  if (row === undefined) return
  const nowMs = runtime.nowMs()
  const used = row.value.usedAtMs !== undefined
  if (used && row.value.expiresAtMs - nowMs > CLIENT_IDLE_MS - DAY_MS) return
  await store.put('client', row.key, row.version, {
    ...row.value,
    usedAtMs: nowMs,
    expiresAtMs: nowMs + CLIENT_IDLE_MS,
  })
}

function staticClient(runtime: Runtime, entry: StaticClient): Client {
  const onDevice = (uri: string): boolean => isLoopbackRedirect(uri) || isPrivateUseRedirect(uri)
  return fingerprinted(runtime, {
    clientId: entry.clientId,
    kind: 'static',
    ...(entry.name === undefined ? {} : { name: entry.name }),
    redirectUris: entry.redirectUris,
    authMethod: entry.secret === undefined ? 'none' : 'client_secret_basic',
    ...(entry.secret === undefined ? {} : { secretDigest: runtime.sha256(entry.secret.reveal()) }),
    grantTypes: STATIC_GRANT_TYPES,
    applicationType: entry.redirectUris.some(onDevice) ? 'native' : 'web',
  })
}

function dynamicClient(runtime: Runtime, clientId: string, record: Values['client']): Client {
  return fingerprinted(runtime, {
    clientId,
    kind: 'dynamic',
    ...(record.name === undefined ? {} : { name: record.name }),
    ...(record.clientUri === undefined ? {} : { clientUri: record.clientUri }),
    redirectUris: record.redirectUris,
    authMethod: record.authMethod,
    ...(record.secretDigest === undefined ? {} : { secretDigest: record.secretDigest }),
    grantTypes: record.grantTypes,
    applicationType: record.applicationType,
  })
}

/** Changes with everything that a person agreed to (CON-10, REG-16). */
function fingerprinted(runtime: Runtime, client: Omit<Client, 'fingerprint'>): Client {
  const agreed = [
    client.kind,
    client.name ?? null,
    client.clientUri ?? null,
    client.redirectUris.toSorted(),
    client.authMethod,
    client.grantTypes.toSorted(),
    client.applicationType,
  ]
  return { ...client, fingerprint: runtime.sha256(JSON.stringify(agreed)) }
}
