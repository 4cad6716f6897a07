/**
 * Who may ask: static clients of the configuration, dynamic ones of the store, and those whose
 * identifier is the URL of their document. A dynamic client that never signed anybody in ends after
 * `unusedRegistrationTtlSeconds`, one that was used after 90 idle days; then it is unknown here, which
 * tells current clients to register again (REG-26).
 */
import type { StaticClient } from '../config.ts'
import type { Client } from '../oauth/client.ts'
import { type ClientDocument, isDocumentUrl, refuseDocumentUrl } from '../oauth/client-document.ts'
import { isLoopbackRedirect, isPrivateUseRedirect } from '../oauth/redirect-uri.ts'
import type { AuthMethod, RegisteredMetadata } from '../oauth/registration.ts'
import type { Runtime, Step } from '../ports.ts'
import type { Values } from '../records.ts'
import type { IssuerDeps } from './house.ts'
import { key } from './ids.ts'
import { createRate, networkOf } from './rate.ts'
import { registrationAuditKey, wantRegistration } from './registration-room.ts'

const DAY_MS = 86_400_000
const CLIENT_IDLE_MS = 90 * DAY_MS
const CLIENT_ID_MAX_CHARACTERS = 2048
const STATIC_GRANT_TYPES: readonly string[] = ['authorization_code', 'refresh_token']
/** Documents that one network makes us fetch; one that is at hand costs nothing (SEC-16). */
const DOCUMENT_FETCHES_PER_MINUTE_MAX = 30

/** What is known of a client when it, or somebody with its name, comes. */
export type Arrival =
  /** `isFresh` is false for a document whose host fails: good for who approved it before (REG-15). */
  | { readonly state: 'known'; readonly client: Client; readonly isFresh: boolean }
  /** Never registered, ended, or the URL of no document; `reason` is for the log. */
  | { readonly state: 'unknown'; readonly reason: string }
  /** Nobody can say now. */
  | { readonly state: 'unreachable'; readonly reason: string }
  | { readonly state: 'limited'; readonly retryAfterSeconds: number }

export interface Clients {
  /** `undefined`: nobody we know. Rejects with `StoreError` when nobody can say. */
  find(clientId: string): Promise<Client | undefined>
  /** The same for a request from outside: `address` pays for what has to be fetched. */
  arrive(clientId: string, address: string | undefined): Promise<Arrival>
  /** Somebody allowed it and goes to a provider now: it stays until they are back. */
  markWanted(clientId: string): void
  /** Keeps a dynamic client alive, after the answer and at most once a day. */
  markUsed(client: Client): void
}

export function createClients(deps: IssuerDeps): Clients {
  const { config, store, runtime } = deps
  const fixed = new Map(
    config.clients.map((entry) => [entry.clientId, staticClient(runtime, entry)]),
  )
  const fetches = createRate(runtime, DOCUMENT_FETCHES_PER_MINUTE_MAX)
  const findRegistered = async (clientId: string): Promise<Client | undefined> => {
    if (!isRegisteredId(clientId)) return undefined
    const row = await store.get('client', key(clientId))
    if (row === undefined || row.value.expiresAtMs <= runtime.nowMs()) return undefined
    return describedClient(runtime, { clientId, kind: 'dynamic' }, row.value)
  }
  const arrive = async (clientId: string, address: string | undefined): Promise<Arrival> => {
    const known = fixed.get(clientId)
    if (known !== undefined) return { state: 'known', client: known, isFresh: true }
    if (clientId.length > CLIENT_ID_MAX_CHARACTERS) return unknown('client_id_too_long')
    if (isDocumentUrl(clientId)) return arriveDocument(deps, clientId, { address, fetches })
    const client = await findRegistered(clientId)
    return client === undefined
      ? unknown('client_unknown')
      : { state: 'known', client, isFresh: true }
  }
  return {
    arrive,
    async find(clientId) {
      const arrival = await arrive(clientId, undefined)
      return arrival.state === 'known' ? arrival.client : undefined
    },
    markWanted(clientId) {
      if (isRegisteredId(clientId)) runtime.waitUntil(wantRegistration(deps, clientId))
    },
    markUsed(client) {
      if (client.kind === 'dynamic') runtime.waitUntil(prolong(deps, client.clientId))
    },
  }
}

function isRegisteredId(clientId: string): boolean {
  return /^cli_[a-z0-9]{1,64}$/.test(clientId)
}

async function arriveDocument(
  { config, documents, runtime }: IssuerDeps,
  clientId: string,
  payer: { readonly address: string | undefined; readonly fetches: ReturnType<typeof createRate> },
): Promise<Arrival> {
  if (documents === undefined || !config.registration.metadataDocuments) {
    return unknown('documents_off')
  }
  const refusal = refuseDocumentUrl(clientId, config.registration.documentHosts ?? [])
  if (refusal !== undefined) return unknown(`document_${refusal}`)
  if (payer.address !== undefined && documents.wouldFetch(clientId)) {
    const { retryAfterSeconds } = payer.fetches.take(networkOf(payer.address))
    if (retryAfterSeconds !== undefined) return { state: 'limited', retryAfterSeconds }
  }
  const read = await documents.read(clientId)
  if (read.state === 'refused') return unknown(read.reason)
  if (read.state === 'unreachable') return read
  const client = describedClient(runtime, { clientId, kind: 'document' }, read.document)
  return { state: 'known', client, isFresh: read.state === 'fresh' }
}

function unknown(reason: string): Arrival {
  return { state: 'unknown', reason }
}

/** One conditional write; losing it means that another request of this client did the same. */
async function prolong(deps: IssuerDeps, clientId: string): Promise<void> {
  const { store, runtime, config } = deps
  const row = await store.get('client', key(clientId))
  if (row === undefined) return
  const nowMs = runtime.nowMs()
  const used = row.value.usedAtMs !== undefined
  if (used && row.value.expiresAtMs - nowMs > CLIENT_IDLE_MS - DAY_MS) return
  const value = { ...row.value, usedAtMs: nowMs, expiresAtMs: nowMs + CLIENT_IDLE_MS }
  const steps: Step[] = [
    { verb: 'put', kind: 'client', key: row.key, ifVersion: row.version, value },
  ]
  // The registration of a client that is used is worth remembering as long as any other change.
  const audit = used ? undefined : await store.get('audit', registrationAuditKey(clientId))
  if (audit !== undefined) {
    const expiresAtMs = audit.value.atMs + config.limits.auditTtlDays * DAY_MS
    steps.push({
      verb: 'put',
      kind: 'audit',
      key: audit.key,
      ifVersion: audit.version,
      value: { ...audit.value, expiresAtMs },
    })
  }
  await store.commit(steps)
}

function staticClient(runtime: Runtime, entry: StaticClient): Client {
  const onDevice = (uri: string): boolean => isLoopbackRedirect(uri) || isPrivateUseRedirect(uri)
  const { clientId, name, redirectUris, secret, jwks, jwksUri, scopes, resources } = entry
  return fingerprinted(runtime, {
    clientId,
    kind: 'static',
    ...(name === undefined ? {} : { name }),
    redirectUris,
    authMethod: staticMethod(entry),
    ...(secret === undefined ? {} : { secretDigest: runtime.sha256(secret.reveal()) }),
    ...(jwks === undefined ? {} : { jwks }),
    ...(jwksUri === undefined ? {} : { jwksUri }),
    grantTypes: entry.grants ?? STATIC_GRANT_TYPES,
    ...(scopes === undefined ? {} : { scopes }),
    ...(resources === undefined ? {} : { resources }),
    applicationType: redirectUris.some(onDevice) ? 'native' : 'web',
  })
}

function staticMethod(entry: StaticClient): AuthMethod {
  if (entry.secret !== undefined) return 'client_secret_basic'
  return entry.jwks === undefined && entry.jwksUri === undefined ? 'none' : 'private_key_jwt'
}

/** A client that described itself: in its registration, or in its document. */
function describedClient(
  runtime: Runtime,
  who: Pick<Client, 'clientId' | 'kind'>,
  described: Values['client'] | ClientDocument,
): Client {
  const { name, clientUri, jwks, jwksUri, scope } = described
  const secretDigest = 'secretDigest' in described ? described.secretDigest : undefined
  const logoUri = 'logoUri' in described ? described.logoUri : undefined
  const offersNone = 'offersNone' in described ? described.offersNone : undefined
  const client: Omit<Client, 'fingerprint'> = {
    ...who,
    ...(name === undefined ? {} : { name }),
    ...(clientUri === undefined ? {} : { clientUri }),
    redirectUris: described.redirectUris,
    authMethod: described.authMethod,
    ...(secretDigest === undefined ? {} : { secretDigest }),
    ...(jwks === undefined ? {} : { jwks }),
    ...(jwksUri === undefined ? {} : { jwksUri }),
    ...(offersNone === undefined ? {} : { offersNone }),
    grantTypes: described.grantTypes,
    applicationType: described.applicationType,
  }
  return fingerprinted(runtime, client, { scope, logoUri })
}

/** Changes with everything that a person agreed to (CON-10, REG-16). */
function fingerprinted(
  runtime: Runtime,
  client: Omit<Client, 'fingerprint'>,
  also: Pick<RegisteredMetadata, 'scope'> & { readonly logoUri?: string | undefined } = {},
): Client {
  const agreed = [
    client.kind,
    client.name ?? null,
    client.clientUri ?? null,
    client.redirectUris.toSorted(),
    client.authMethod,
    client.grantTypes.toSorted(),
    client.applicationType,
    client.jwks ?? null,
    client.jwksUri ?? null,
    also.scope ?? null,
    also.logoUri ?? null,
  ]
  return { ...client, fingerprint: runtime.sha256(JSON.stringify(agreed)) }
}
