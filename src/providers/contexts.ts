/**
 * What each provider is asked through: the guarded egress and two loading caches, for discovery
 * documents and key sets. Both keep their last good copy in the store, so that neither a restart nor
 * a dead provider is felt by anybody who signs in.
 */
import { acrossNodes } from '../cache/across-nodes.ts'
import { createCoolDown } from '../cache/cool-down.ts'
import {
  createLoadingCache,
  type Loaded,
  type LoadingCache,
  type Read,
} from '../cache/loading-cache.ts'
import { type SharedCache, storedFacts } from '../cache/stored-facts.ts'
import type { Config } from '../config.ts'
import { UpstreamError } from '../errors.ts'
import { maxAgeSeconds } from '../net/cache-control.ts'
import type { Egress } from '../net/egress.ts'
import type { Emit, Lock, Runtime, Store } from '../ports.ts'
import {
  type Fetched,
  type JsonWebKeySet,
  loadJwks,
  loadOpenIdMetadata,
} from './openid-metadata.ts'
import type { Provider, ProviderContext } from './provider.ts'

const FRESH_MIN_SECONDS = 300
const FRESH_MAX_SECONDS = 86_400
const JWKS_STALE_IF_ERROR_SECONDS = 86_400
/** An unknown key id asks again at most this often per issuer (VAL-14). */
const JWKS_COOL_DOWN_MS = 30_000
const FAILURE_SECONDS = 30
const ENTRIES_MAX = 1_000
const BYTES_MAX = 16_777_216

/** `jwksUri`: default from its discovery document. */
interface TrustedIssuer {
  readonly issuer: string
  readonly jwksUri?: string
}

export interface ProviderContexts {
  of(provider: Provider): ProviderContext
  /** Key sets of trusted assertion issuers, by the same caches (issuer/assertions.ts). */
  readonly assertionKeys: {
    keys(trusted: TrustedIssuer): Promise<JsonWebKeySet>
    askAgain(trusted: TrustedIssuer): Promise<JsonWebKeySet>
  }
  /** Loads what each OpenID provider will be asked for, so that the first sign-in finds it warm. */
  warm(): Promise<void>
  close(): Promise<void>
}

interface Needs {
  readonly config: Config
  readonly egress: Egress
  readonly runtime: Runtime
  readonly emit: Emit
  readonly store: Store
  readonly lock: Lock
  readonly shared?: SharedCache | undefined
}

export async function createProviderContexts(needs: Needs): Promise<ProviderContexts> {
  const { config, egress, runtime } = needs
  const { limits } = config
  const asked = { egress, timeoutMs: limits.metadataTimeoutMs }
  const discovery = documentCache(
    needs,
    'discovery',
    limits.discoveryStaleIfErrorSeconds,
    (key) => {
      const [issuer = key, documentIssuer] = key.split('#', 2)
      return loadOpenIdMetadata(issuer, asked, documentIssuer)
    },
  )
  const jwks = documentCache(needs, 'jwks', JWKS_STALE_IF_ERROR_SECONDS, (uri) =>
    loadJwks(uri, asked),
  )
  const readDocument = async <V>(
    cache: LoadingCache<V>,
    key: string,
    operation: string,
  ): Promise<V> =>
    documentOf(await cache.read(key, { deadlineMs: limits.metadataTimeoutMs }), operation, key)
  await Promise.all([discovery.start(), jwks.start()])
  // A provider may announce a new URI each time: as many are remembered as documents.
  const mayAskAgain = createCoolDown(runtime, { waitMs: JWKS_COOL_DOWN_MS, keysMax: ENTRIES_MAX })
  const refreshJwks = async (uri: string): Promise<JsonWebKeySet> => {
    // A failure keeps the set we have: the caller finds no key in it and refuses.
    if (mayAskAgain(uri)) {
      await loadJwks(uri, asked).then(
        ({ value }) => jwks.put(uri, value),
        () => undefined,
      )
    }
    return readDocument(jwks, uri, 'jwks')
  }
  const keysUri = async ({ issuer, jwksUri }: TrustedIssuer): Promise<string> =>
    jwksUri ?? (await readDocument(discovery, issuer, 'discovery')).jwksUri
  return {
    of: (provider) => ({
      egress,
      runtime,
      redirectUri: `${config.issuer}${provider.callbackPath}`,
      timeoutMs: limits.tokenCallTimeoutMs,
      discovery: (issuer, documentIssuer) =>
        readDocument(discovery, documentKey(issuer, documentIssuer), 'discovery'),
      jwks: (uri) => readDocument(jwks, uri, 'jwks'),
      refreshJwks,
    }),
    assertionKeys: {
      keys: async (trusted) => readDocument(jwks, await keysUri(trusted), 'jwks'),
      askAgain: async (trusted) => refreshJwks(await keysUri(trusted)),
    },
    async warm() {
      await Promise.allSettled(
        config.providers.map(async ({ openId }) => {
          if (openId === undefined) return
          const key = documentKey(openId.issuer, openId.documentIssuer)
          const { jwksUri } = await readDocument(discovery, key, 'discovery')
          await readDocument(jwks, jwksUri, 'jwks')
        }),
      )
      await Promise.allSettled(
        (config.assertionIssuers ?? []).map(async (trusted) =>
          readDocument(jwks, await keysUri(trusted), 'jwks'),
        ),
      )
    },
    async close() {
      await Promise.all([discovery.close(), jwks.close()])
    },
  }
}

/** An issuer identifier has no fragment, so that one can carry what the document must say. */
function documentKey(issuer: string, documentIssuer = issuer): string {
  return documentIssuer === issuer ? issuer : `${issuer}#${documentIssuer}`
}

function documentCache<V extends object>(
  needs: Needs,
  name: 'discovery' | 'jwks',
  staleIfErrorSeconds: number,
  fetchDocument: (key: string) => Promise<Fetched<V>>,
): LoadingCache<V> {
  const { store, lock, shared, runtime, emit } = needs
  const { limits } = needs.config
  const facts = storedFacts<V>(store, {
    name,
    lifeSeconds: staleIfErrorSeconds,
    max: ENTRIES_MAX,
    shared,
  })
  return createLoadingCache<V>({
    name,
    load: acrossNodes<V>({
      name,
      load: (key) => loaded(key, limits.discoveryTtlSeconds, fetchDocument),
      lock,
      facts,
      leaseMs: limits.discoveryTimeoutMs,
      runtime,
    }),
    freshSeconds: limits.discoveryTtlSeconds,
    staleSeconds: limits.discoveryStaleSeconds,
    staleIfErrorSeconds,
    negativeSeconds: FAILURE_SECONDS,
    failureSeconds: FAILURE_SECONDS,
    flightDeadlineMs: limits.discoveryTimeoutMs,
    entriesMax: ENTRIES_MAX,
    bytesMax: BYTES_MAX,
    sizeOf: (value) => JSON.stringify(value).length,
    runtime,
    emit,
    persist: facts,
  })
}

async function loaded<V>(
  key: string,
  otherwise: number,
  fetchDocument: (key: string) => Promise<Fetched<V>>,
): Promise<Loaded<V>> {
  try {
    const { value, headers } = await fetchDocument(key)
    const bounds = { min: FRESH_MIN_SECONDS, max: FRESH_MAX_SECONDS, otherwise }
    return { outcome: 'yes', value, freshSeconds: maxAgeSeconds(headers, bounds) }
  } catch (error) {
    const retryAfterMs = error instanceof UpstreamError ? error.retryAfterMs : undefined
    return { outcome: 'unknown', error, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
  }
}

function documentOf<V>(read: Read<V>, operation: string, key: string): V {
  if (read.state === 'hit' || read.state === 'stale') return read.value
  if (read.state === 'error' && read.error instanceof UpstreamError) throw read.error
  throw new UpstreamError('ERR_UPSTREAM_TIMEOUT', { operation, origin: new URL(key).origin })
}
