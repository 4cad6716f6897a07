/**
 * Metadata documents and key sets that clients publish on their own hosts: fetched through the guarded
 * egress, remembered within bounds, their last good copies kept in the store, so that neither a
 * restart nor a dead host ends anybody's access for a day.
 *
 * A fetch that nobody has paid for is limited per network; failures are remembered for 10 s and never
 * stand for a document (REG-05, REG-11 to REG-15).
 * @see design.md section 1, draft-ietf-oauth-client-id-metadata-document section 4
 */
import { acrossNodes } from '../cache/across-nodes.ts'
import { createCoolDown } from '../cache/cool-down.ts'
import { createLoadingCache, type Loaded, type LoadingCache } from '../cache/loading-cache.ts'
import { type SharedCache, storedFacts } from '../cache/stored-facts.ts'
import type { Config } from '../config.ts'
import { UpstreamError, type UpstreamErrorCode } from '../errors.ts'
import { maxAgeSeconds } from '../net/cache-control.ts'
import type { Egress, EgressResponse, Operation } from '../net/egress.ts'
import { parseJson } from '../net/json.ts'
import {
  CLIENT_DOCUMENT_MAX_BYTES,
  type ClientDocument,
  judgeClientDocument,
} from '../oauth/client-document.ts'
import { CLIENT_KEYS_MAX_CHARS, type ClientKeySet, readClientKeys } from '../oauth/client-keys.ts'
import type { Emit, Lock, Runtime, Store } from '../ports.ts'
import { createRate } from './rate.ts'

/** From the call to the last byte (REG-11). */
const FETCH_TIMEOUT_MS = 3_000
const DEFAULT_FRESH_SECONDS = 3_600
const DOCUMENT_BOUNDS = { min: 60, max: 86_400, otherwise: DEFAULT_FRESH_SECONDS }
const KEYS_BOUNDS = { min: 300, max: 86_400, otherwise: DEFAULT_FRESH_SECONDS }
const STALE_IF_ERROR_SECONDS = 86_400
const FAILURE_SECONDS = 10
/** An unknown key id asks again at most this often per set (VAL-14). */
const KEYS_COOL_DOWN_MS = 30_000
const ENTRIES_MAX = 10_000
const BYTES_MAX = 33_554_432
/**
 * Unknown documents that one host is asked for, the same of key sets, and key sets once more: nobody
 * turns us into a flood against it (A18).
 */
const STRANGERS_PER_HOST_AND_MINUTE_MAX = 60
/** Statuses that say that there is no such document, rather than that somebody is ill. */
const GONE: ReadonlySet<number> = new Set([404, 410])

export type DocumentRead =
  | { readonly state: 'fresh' | 'stale'; readonly document: ClientDocument }
  /** The host said that there is no such document, or sent one that is refused. */
  | { readonly state: 'refused'; readonly reason: string }
  /** It could not be asked, and no copy is young enough. */
  | { readonly state: 'unreachable'; readonly reason: string }

export interface ClientDocuments {
  /** True when `read` would have to ask the client's host. */
  wouldFetch(clientId: string): boolean
  /** Fetches where no fresh copy is at hand; `stale` only while the host fails, at most 24 h. */
  read(clientId: string): Promise<DocumentRead>
  /** Public keys at a client's `jwks_uri`; `undefined` while they cannot be had. */
  keys(jwksUri: string): Promise<ClientKeySet | undefined>
  /** The same after one fetch, at most every 30 s per set; the old set when that fails. */
  refreshKeys(jwksUri: string): Promise<ClientKeySet | undefined>
  close(): Promise<void>
}

export interface ClientDocumentsNeeds {
  readonly config: Pick<Config, 'registration'>
  readonly egress: Egress
  readonly runtime: Runtime
  readonly emit: Emit
  readonly store: Store
  readonly lock: Lock
  readonly shared?: SharedCache | undefined
}

/** Opens both caches with what the store remembers. */
export async function openClientDocuments(needs: ClientDocumentsNeeds): Promise<ClientDocuments> {
  const strangers = createRate(needs.runtime, STRANGERS_PER_HOST_AND_MINUTE_MAX)
  const documents = publishedCache<ClientDocument>(
    needs,
    'client-document',
    async (clientId, previous) => {
      // One we know is asked again whatever others make us ask its host for.
      const { host } = new URL(clientId)
      const isTooMany =
        previous === undefined && strangers.take(host).retryAfterSeconds !== undefined
      return isTooMany
        ? {
            outcome: 'unknown',
            error: failure('ERR_UPSTREAM_BREAKER', 'client-document', clientId),
          }
        : loadDocument(needs, clientId)
    },
  )
  const strangeSets = createRate(needs.runtime, STRANGERS_PER_HOST_AND_MINUTE_MAX)
  const keySets = publishedCache<ClientKeySet>(needs, 'client-jwks', async (uri, previous) => {
    const isTooMany =
      previous === undefined && strangeSets.take(new URL(uri).host).retryAfterSeconds !== undefined
    return isTooMany
      ? { outcome: 'unknown', error: failure('ERR_UPSTREAM_BREAKER', 'jwks', uri) }
      : loadKeys(needs, uri)
  })
  await Promise.all([documents.start(), keySets.start()])
  const readKeys = async (jwksUri: string): Promise<ClientKeySet | undefined> => {
    const found = await keySets.read(jwksUri, { deadlineMs: FETCH_TIMEOUT_MS })
    return 'value' in found ? found.value : undefined
  }
  const mayAskAgain = createCoolDown(needs.runtime, {
    waitMs: KEYS_COOL_DOWN_MS,
    keysMax: ENTRIES_MAX,
  })
  const askedAgain = createRate(needs.runtime, STRANGERS_PER_HOST_AND_MINUTE_MAX)
  return {
    wouldFetch: (clientId) => documents.peek(clientId).state === 'miss',
    async read(clientId) {
      const found = await documents.read(clientId, { deadlineMs: FETCH_TIMEOUT_MS })
      if (found.state === 'hit') return { state: 'fresh', document: found.value }
      if (found.state === 'stale') return { state: 'stale', document: found.value }
      if (found.state === 'negative') return { state: 'refused', reason: found.reason }
      const error = found.state === 'error' ? found.error : undefined
      const reason = error instanceof UpstreamError ? error.code : 'ERR_UPSTREAM_TIMEOUT'
      return { state: 'unreachable', reason }
    },
    keys: readKeys,
    async refreshKeys(jwksUri) {
      const { host } = new URL(jwksUri)
      if (mayAskAgain(jwksUri) && askedAgain.take(host).retryAfterSeconds === undefined) {
        const loaded = await loadKeys(needs, jwksUri)
        if (loaded.outcome === 'yes') keySets.put(jwksUri, loaded.value)
      }
      return readKeys(jwksUri)
    },
    async close() {
      await Promise.all([documents.close(), keySets.close()])
    },
  }
}

function publishedCache<V extends object>(
  { store, lock, shared, runtime, emit }: ClientDocumentsNeeds,
  name: 'client-document' | 'client-jwks',
  load: (key: string, previous: V | undefined) => Promise<Loaded<V>>,
): LoadingCache<V> {
  const facts = storedFacts<V>(store, {
    name,
    lifeSeconds: STALE_IF_ERROR_SECONDS,
    max: ENTRIES_MAX,
    shared,
  })
  return createLoadingCache<V>({
    name,
    load: acrossNodes<V>({
      name,
      load,
      lock,
      facts,
      leaseMs: FETCH_TIMEOUT_MS,
      runtime,
    }),
    freshSeconds: DEFAULT_FRESH_SECONDS,
    // Nothing is served while it is renewed: whoever meets an old copy asks, and knows (REG-15).
    staleSeconds: 1,
    staleIfErrorSeconds: STALE_IF_ERROR_SECONDS,
    negativeSeconds: FAILURE_SECONDS,
    failureSeconds: FAILURE_SECONDS,
    flightDeadlineMs: FETCH_TIMEOUT_MS,
    entriesMax: ENTRIES_MAX,
    bytesMax: BYTES_MAX,
    sizeOf: (value) => JSON.stringify(value).length,
    // Jitter would call a copy stale that its own host calls fresh.
    jitter: 0,
    runtime,
    emit,
    persist: facts,
  })
}

async function loadDocument(
  { egress, config }: ClientDocumentsNeeds,
  clientId: string,
): Promise<Loaded<ClientDocument>> {
  const fetched = await fetchJson(egress, 'client-document', clientId, CLIENT_DOCUMENT_MAX_BYTES)
  if (!('body' in fetched)) return fetched
  const { redirectHosts } = config.registration
  const judged = judgeClientDocument(fetched.body, clientId, { redirectHosts })
  if (!judged.ok) return { outcome: 'no', reason: judged.reason }
  const freshSeconds = maxAgeSeconds(fetched.headers, DOCUMENT_BOUNDS)
  return { outcome: 'yes', value: judged.document, freshSeconds }
}

async function loadKeys(
  { egress }: ClientDocumentsNeeds,
  jwksUri: string,
): Promise<Loaded<ClientKeySet>> {
  const fetched = await fetchJson(egress, 'jwks', jwksUri, CLIENT_KEYS_MAX_CHARS)
  // Keys that are gone for a moment are not an attack: the last good set stays.
  if (!('body' in fetched)) return { outcome: 'unknown', error: fetched }
  const value = readClientKeys(fetched.body)
  if (value === undefined) {
    return { outcome: 'unknown', error: failure('ERR_UPSTREAM_BODY', 'jwks', jwksUri) }
  }
  return { outcome: 'yes', value, freshSeconds: maxAgeSeconds(fetched.headers, KEYS_BOUNDS) }
}

/** A JSON body of a 200, or why there is none. No credentials, no cookies, no redirects: `net/egress.ts`. */
async function fetchJson(
  egress: Egress,
  operation: Operation,
  url: string,
  maxBytes: number,
): Promise<
  | { readonly body: unknown; readonly headers: Headers }
  | Exclude<Loaded<never>, { readonly outcome: 'yes' }>
> {
  let answer: EgressResponse
  try {
    const timeoutMs = FETCH_TIMEOUT_MS
    const request = { operation, method: 'GET', url, timeoutMs, maxBytes } as const
    answer = await egress.exchange({ ...request, namedBy: 'strangers' })
  } catch (error) {
    const retryAfterMs = error instanceof UpstreamError ? error.retryAfterMs : undefined
    return { outcome: 'unknown', error, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
  }
  const { status, headers, text } = answer
  if (GONE.has(status)) return { outcome: 'no', reason: 'document_gone' }
  if (status !== 200) {
    return { outcome: 'unknown', error: failure('ERR_UPSTREAM_STATUS', operation, url, status) }
  }
  if (!isJson(headers)) return { outcome: 'no', reason: 'document_type' }
  try {
    return { body: parseJson(text), headers }
  } catch {
    return { outcome: 'no', reason: 'document_json' }
  }
}

function isJson(headers: Headers): boolean {
  const type = (headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
  return /^application\/(?:json|[\w.!#$&^-]+\+json)$/.test(type)
}

function failure(
  code: UpstreamErrorCode,
  operation: Operation,
  url: string,
  status?: number,
): UpstreamError {
  const { origin } = new URL(url)
  return new UpstreamError(code, { operation, origin, ...(status === undefined ? {} : { status }) })
}
