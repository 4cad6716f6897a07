/**
 * Discovery alone, for a program that has no house: `createDiscover()` gives a function in place of its
 * own fetch, with deadlines, memory, last good copies and breakers.
 *
 * What comes back from a `Cache` is judged as if it had just been fetched: others may write there.
 */
import { createBreakers } from '../../cache/breaker.ts'
import { createQuickCache } from '../../cache/quick-cache.ts'
import { createSealedCache } from '../../cache/sealed-cache.ts'
import { LIMITS } from '../../config/fields.ts'
import { UpstreamError } from '../../errors.ts'
import type { RemotePlatform } from '../../middleware/remote.ts'
import { createEgress } from '../../net/egress.ts'
import { parseJson } from '../../net/json.ts'
import { decodeBase64url } from '../../oauth/base64url.ts'
import { isObject, isTime, type JsonObject } from '../../oauth/claims.ts'
import type { ProtectedResourceMetadata } from '../../oauth/resource-metadata.ts'
import type { AuthorizationServerMetadata } from '../../oauth/server-metadata.ts'
import { parseUrl } from '../../oauth/urls.ts'
import type { Cache, Runtime } from '../../ports.ts'
import { createSealing } from '../../vault/sealing.ts'
import {
  createDiscovery,
  type DiscoveryEngine,
  type DiscoveryLimits,
  type DiscoveryResult,
  type FarMemory,
} from './discovery.ts'
import type { Chain } from './discovery-chain.ts'

/** What protects a remote MCP server, as published. */
export interface Discovery {
  /** RFC 9728. */
  readonly resource: ProtectedResourceMetadata
  /** RFC 8414. */
  readonly authorizationServer: AuthorizationServerMetadata
  /** `stale`: older than its server said; asked again meanwhile. */
  readonly state: 'fresh' | 'stale'
  readonly ageSeconds: number
  /** `challenge`, `path`, `root`, `legacy-metadata` or `legacy-endpoints`. */
  readonly source: string
}

export interface DiscoverOptions {
  /**
   * Outlives this process or isolate, and is shared with others; `kvCache(env.KV)` on Workers. It holds
   * public documents only. Absent: memory of this process alone.
   */
  readonly cache?: Cache
  /**
   * 32 bytes in base64url: what is in `cache` is sealed with it, so that whoever else writes there can make
   * us forget and never believe. Default on Workers: `POSTERN_SEALING_KEY`. Absent: what is read there is
   * judged as if it had just been fetched, and no more; a warning says so.
   */
  readonly sealingKey?: string
  /** Numbers of the configuration, with the same names, defaults and ranges (docs/configuration.md). */
  readonly limits?: Partial<DiscoveryLimits & { readonly connectTimeoutMs: number }>
  /**
   * Exact origins that may be http or private, such as `http://127.0.0.1:8000`. Default none: every
   * other URL is https, and leads to a public address.
   */
  readonly approvedOrigins?: readonly string[]
  /** Ends what is under way and lets connections go. */
  readonly signal?: AbortSignal
}

export interface PlatformOptions {
  /** `node()` or `workers(env)`. */
  readonly platform: RemotePlatform
}

/**
 * Makes the function that finds the authorization server of an MCP server. Nothing is opened before its
 * first call; several calls at once for one server make one chain of exchanges.
 *
 * `postern/node` and `postern/workers` export it with their platform filled in, so that it is one import:
 * `const discover = createDiscover()`, then `(await discover(url)).authorizationServer`.
 *
 * @returns `discover(mcpUrl, { refresh })`. `refresh`: a person asks anew; what was remembered, failures
 *   too, does not count, but the last good documents are given when nobody answers.
 *   It rejects with `UpstreamError`: `ERR_UPSTREAM_ISSUER`, `ERR_UPSTREAM_BODY`, `ERR_UPSTREAM_REDIRECT`
 *   or `ERR_UPSTREAM_URL` for what was said and is not used; `ERR_UPSTREAM_TIMEOUT`,
 *   `ERR_UPSTREAM_BREAKER` or `ERR_UPSTREAM_CONNECT` where nobody answered. Its `cause` says
 *   `{ party, code, text, requirement }`: who is to correct what, by which rule.
 * @throws {RangeError} for a limit outside its range, or a key that is not 32 bytes.
 * @see RFC 9728, RFC 8414, MCP authorization
 */
export function createDiscover(
  options: DiscoverOptions & PlatformOptions,
): (mcpUrl: string, options?: { readonly refresh?: boolean }) => Promise<Discovery> {
  const limits = limitsOf(options.limits)
  const approvedOrigins = new Set(options.approvedOrigins)
  const key = sealingKeyOf(options.sealingKey)
  let engine: DiscoveryEngine | undefined
  return async (mcpUrl, { refresh = false } = {}) => {
    engine ??= openEngine({ ...options, cache: sealed(options, key) }, limits, approvedOrigins)
    const deadlineMs = limits.discoveryTimeoutMs
    return discoverWith(engine, mcpUrl, { refresh, approvedOrigins, deadlineMs })
  }
}

/** By an engine that is open. @throws {UpstreamError} as `createDiscover` says. */
export async function discoverWith(
  engine: DiscoveryEngine,
  mcpUrl: string,
  asked: {
    readonly refresh: boolean
    readonly approvedOrigins: ReadonlySet<string>
    readonly deadlineMs: number
  },
): Promise<Discovery> {
  const url = parseUrl(mcpUrl)
  if (url === undefined) throw new UpstreamError('ERR_UPSTREAM_URL', INVALID)
  const target = {
    url,
    approved: asked.approvedOrigins.has(url.origin),
    hasCredentials: false,
    oauth: { strictResource: false, legacyDiscovery: true, followMetadataRedirects: false },
  }
  const wait = { deadlineMs: asked.deadlineMs }
  const result = await (asked.refresh ? engine.renew(target, wait) : engine.read(target, wait))
  if (!result.ok) throw failure(result, url)
  const { resource, authorizationServer, state, ageSeconds, source } = result.discovered
  return { resource, authorizationServer, state, ageSeconds, source }
}

const INVALID = { operation: 'discovery', origin: 'invalid' }
type OwnLimits = DiscoveryLimits & { readonly connectTimeoutMs: number }

const KEY_BYTES = 32

/** @throws {RangeError} */
function sealingKeyOf(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined
  const key = decodeBase64url(text)
  if (key?.length === KEY_BYTES) return key
  throw new RangeError('sealingKey is 32 bytes in base64url')
}

function sealed(
  { platform: { runtime, emit }, cache }: DiscoverOptions & PlatformOptions,
  key: Uint8Array | undefined,
): Cache | undefined {
  if (cache === undefined) return undefined
  const quick = createQuickCache(cache, runtime)
  if (key !== undefined) {
    const sealing = createSealing([key], runtime)
    return createSealedCache(quick, { sealing, runtime, purpose: 'discovery' })
  }
  emit.event({ type: 'server.warning', level: 'warn', reason: 'cache_unsealed' })
  return quick
}

function openEngine(
  {
    platform,
    cache,
    signal,
  }: Omit<DiscoverOptions, 'cache'> & PlatformOptions & { readonly cache: Cache | undefined },
  limits: OwnLimits,
  approvedOrigins: ReadonlySet<string>,
): DiscoveryEngine {
  const { runtime, emit } = platform
  const outbound = platform.openFetch({})
  const egress = createEgress({
    fetch: outbound.fetch,
    runtime,
    emit,
    approvedOrigins,
    allowHosts: [],
    denyHosts: [],
    connectTimeoutMs: limits.connectTimeoutMs,
    breakers: createBreakers({ runtime, emit }),
  })
  const engine = createDiscovery({
    egress,
    runtime,
    emit,
    limits,
    approvedOrigins,
    ...(cache === undefined
      ? {}
      : { far: farMemory(cache, runtime, limits.discoveryStaleIfErrorSeconds) }),
  })
  const close = (): void => {
    runtime.waitUntil(Promise.all([engine.close(), outbound.close()]))
  }
  signal?.addEventListener('abort', close, { once: true })
  return engine
}

/** @throws {RangeError} with the name, never for one that is left out. */
function limitsOf(given: Partial<OwnLimits> = {}): OwnLimits {
  const read = (name: keyof OwnLimits): number => {
    const { default: usual, min, max } = LIMITS[name]
    const value = given[name] ?? usual
    if (value >= min && value <= max) return value
    throw new RangeError(`limits.${name} is ${min} to ${max}`)
  }
  return {
    discoveryTtlSeconds: read('discoveryTtlSeconds'),
    discoveryStaleSeconds: read('discoveryStaleSeconds'),
    discoveryStaleIfErrorSeconds: read('discoveryStaleIfErrorSeconds'),
    discoveryTimeoutMs: read('discoveryTimeoutMs'),
    metadataTimeoutMs: read('metadataTimeoutMs'),
    connectTimeoutMs: read('connectTimeoutMs'),
  }
}

/** Keys are digests: several products take no long ones. A failing cache is an empty one. */
function farMemory(cache: Cache, runtime: Runtime, ttlSeconds: number): FarMemory {
  const keyOf = (key: string): string => `discovery:${runtime.sha256(key)}`
  return {
    async find(key) {
      const text = await cache.get(keyOf(key))
      return text === undefined ? undefined : readFact(text)
    },
    async save({ key, ...fact }) {
      await cache.set(keyOf(key), JSON.stringify(fact), ttlSeconds)
    },
    remove: (key) => cache.delete(keyOf(key)),
  }
}

/** Two levels around documents that are 16 deep themselves. */
const FACT_DEPTH_MAX = 18
const SOURCES: ReadonlySet<unknown> = new Set([
  'challenge',
  'path',
  'root',
  'legacy-metadata',
  'legacy-endpoints',
])

/** The shape alone; the documents in it are judged by `isStillRight`. */
function readFact(text: string): Awaited<ReturnType<FarMemory['find']>> {
  const fact = parseJson(text, { maxDepth: FACT_DEPTH_MAX })
  if (!isObject(fact) || !isChain(fact['value'])) return undefined
  const { value, loadedAtMs, freshSeconds } = fact
  if (typeof loadedAtMs !== 'number') return undefined
  return { value, loadedAtMs, ...(isTime(freshSeconds) ? { freshSeconds } : {}) }
}

function isChain(value: unknown): value is JsonObject & Chain {
  if (!isObject(value) || !isObject(value['resource']) || !isObject(value['server'])) return false
  const { issuers, source } = value
  return Array.isArray(issuers) && issuers.length > 0 && SOURCES.has(source)
}

function failure(result: Extract<DiscoveryResult, { ok: false }>, url: URL): UpstreamError {
  const { problem, retryAfterMs } = result
  const detail = { operation: 'discovery', origin: url.origin, cause: problem }
  const code = result.state === 'refused' ? REFUSED[problem.code] : SILENT[problem.requirement]
  const usual = result.state === 'refused' ? 'ERR_UPSTREAM_BODY' : 'ERR_UPSTREAM_CONNECT'
  return new UpstreamError(code ?? usual, {
    ...detail,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

const REFUSED: Readonly<Record<string, UpstreamError['code']>> = {
  ERR_DISCOVERY_ISSUER: 'ERR_UPSTREAM_ISSUER',
  ERR_DISCOVERY_ADDRESS: 'ERR_UPSTREAM_URL',
  ERR_DISCOVERY_REDIRECT: 'ERR_UPSTREAM_REDIRECT',
}
const SILENT: Readonly<Record<string, UpstreamError['code']>> = {
  'DSC-13': 'ERR_UPSTREAM_TIMEOUT',
  'DSC-17': 'ERR_UPSTREAM_BREAKER',
}
