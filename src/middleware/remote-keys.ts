/**
 * The issuer's public keys in another process: one loading cache, refreshed ahead of its bound.
 *
 * Warm: no exchange, no wait. An unknown key id asks once per 30 s and issuer; a failed fetch keeps
 * the set, served for 24 h while the issuer is silent, then nobody is let in.
 * @see requirement VAL-14, RFC 7517 section 5
 */
import { createLoadingCache, type Loaded } from '../cache/loading-cache.ts'
import { UpstreamError } from '../errors.ts'
import { maxAgeSeconds } from '../net/cache-control.ts'
import type { Egress } from '../net/egress.ts'
import { JWKS_PATH } from '../oauth/metadata.ts'
import type { Emit, Runtime, VerifyKey } from '../ports.ts'
import { type JsonWebKeySet, loadJwks } from '../providers/openid-metadata.ts'

export type KeySet = ReadonlyMap<string, VerifyKey>

export interface RemoteKeys {
  /** What is known now; a stale set is renewed behind. `undefined`: ask `load`. */
  known(): KeySet | undefined
  /** Waits for the first set. Never rejects: ask `known` again. */
  load(): Promise<void>
  /** What a token of an unknown key means now. `ask`: call `askAgain`, then judge again. */
  unknownKey(): 'ask' | 'refuse' | 'unavailable'
  /** One fetch per cool-down. Never rejects. */
  askAgain(): Promise<void>
  /** Doubt: the set is asked again behind. */
  revalidate(): void
  /** Loads at once and ahead of the bound from now on, where the platform has timers. */
  start(): void
  close(): Promise<void>
}

const FRESH_MIN_SECONDS = 300
const FRESH_MAX_SECONDS = 86_400
/** What a house says of its own set. */
const FRESH_SECONDS = 300
const STALE_SECONDS = 3_600
const STALE_IF_ERROR_SECONDS = 86_400
const COOL_DOWN_MS = 30_000
const FETCH_TIMEOUT_MS = 3_000
const WAIT_MS = 3_500
/** A set that could not be loaded at all is asked for again after this. */
const FAILURE_SECONDS = 2
const KEY_ID_MAX_CHARS = 256
const BYTES_MAX = 1_048_576

export function createRemoteKeys(deps: {
  readonly issuer: string
  readonly egress: Egress
  readonly runtime: Runtime
  readonly emit: Emit
}): RemoteKeys {
  const { issuer, egress, runtime, emit } = deps
  const uri = `${issuer}${JWKS_PATH}`
  const cache = createLoadingCache<KeySet>({
    name: 'jwks',
    load: () => loadKeys(uri, egress, runtime),
    freshSeconds: FRESH_SECONDS,
    staleSeconds: STALE_SECONDS,
    staleIfErrorSeconds: STALE_IF_ERROR_SECONDS,
    negativeSeconds: 0,
    failureSeconds: FAILURE_SECONDS,
    flightDeadlineMs: FETCH_TIMEOUT_MS,
    entriesMax: 1,
    bytesMax: BYTES_MAX,
    runtime,
    emit,
  })
  const again: { sinceMs: number; outcome: 'asking' | 'yes' | 'unknown'; flight?: Promise<void> } =
    {
      sinceMs: Number.NEGATIVE_INFINITY,
      outcome: 'yes',
    }
  const ask = async (): Promise<void> => {
    const loaded = await loadKeys(uri, egress, runtime)
    if (loaded.outcome === 'yes') cache.put(issuer, loaded.value)
    again.outcome = loaded.outcome === 'yes' ? 'yes' : 'unknown'
    again.flight = undefined
  }
  return {
    known() {
      const read = cache.peek(issuer)
      if (read.state === 'stale') cache.renew(issuer)
      return read.state === 'hit' || read.state === 'stale' ? read.value : undefined
    },
    async load() {
      await cache.read(issuer, { deadlineMs: WAIT_MS })
    },
    unknownKey() {
      if (again.flight !== undefined || runtime.monotonicMs() - again.sinceMs >= COOL_DOWN_MS)
        return 'ask'
      // A set that could not be fetched says nothing about a key that it may hold by now (I7).
      return again.outcome === 'yes' ? 'refuse' : 'unavailable'
    },
    askAgain() {
      if (again.flight !== undefined) return again.flight
      again.sinceMs = runtime.monotonicMs()
      again.outcome = 'asking'
      const work = ask()
      if (runtime.sharesPromises) again.flight = work
      return work
    },
    revalidate: () => cache.revalidate(issuer),
    start() {
      cache.keepWarm(issuer, Number.POSITIVE_INFINITY)
      runtime.waitUntil(cache.read(issuer, { deadlineMs: WAIT_MS }))
    },
    close: () => cache.close(),
  }
}

async function loadKeys(uri: string, egress: Egress, runtime: Runtime): Promise<Loaded<KeySet>> {
  try {
    const { value, headers } = await loadJwks(uri, { egress, timeoutMs: FETCH_TIMEOUT_MS })
    const keys = importKeys(value, runtime)
    // A house always has a key: an empty set is a mistake on the way, not a fact.
    if (keys.size === 0) {
      const detail = { operation: 'jwks', origin: new URL(uri).origin }
      return { outcome: 'unknown', error: new UpstreamError('ERR_UPSTREAM_BODY', detail) }
    }
    const bounds = { min: FRESH_MIN_SECONDS, max: FRESH_MAX_SECONDS, otherwise: FRESH_SECONDS }
    return { outcome: 'yes', value: keys, freshSeconds: maxAgeSeconds(headers, bounds) }
  } catch (error) {
    const retryAfterMs = error instanceof UpstreamError ? error.retryAfterMs : undefined
    return { outcome: 'unknown', error, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
  }
}

/** ES256 signing keys of the set; what is anything else is left out. */
function importKeys(set: JsonWebKeySet, runtime: Runtime): KeySet {
  const keys = new Map<string, VerifyKey>()
  for (const jwk of set.keys) {
    const { kid, kty, crv, x, y, alg, use } = jwk
    if (typeof kid !== 'string' || kid === '' || kid.length > KEY_ID_MAX_CHARS) continue
    if (kty !== 'EC' || crv !== 'P-256' || typeof x !== 'string' || typeof y !== 'string') continue
    if ((alg !== undefined && alg !== 'ES256') || (use !== undefined && use !== 'sig')) continue
    try {
      keys.set(kid, runtime.importVerifyKey({ kty: 'EC', crv: 'P-256', x, y }))
    } catch {
      // Not a point of the curve: no token can be signed by it.
    }
  }
  return keys
}
