/**
 * The Fetch port on Node: undici's own HTTP/1.1 client, never `globalThis.fetch`.
 *
 * For `public` requests every address of a name is checked at connect and one bad address refuses
 * the whole answer; the socket goes to a checked address, with no second look-up. Pools are kept per
 * address policy and origin, so a connection made for one policy never serves the other. Behind
 * `proxyUrl` the proxy resolves names: only literals are checked then.
 * @see hot-path.md section 4, threats S1, S2 and S10
 */
import { lookup as systemLookup } from 'node:dns'
import { readFileSync } from 'node:fs'
import type { LookupFunction } from 'node:net'
import { getCACertificates } from 'node:tls'
import type { Dispatcher } from 'undici'
import { isPublicAddress, literalAddress } from '../net/address.ts'
import { FetchFailure } from '../net/failure.ts'
import type { Fetch, FetchRequest, FetchResponse } from '../ports.ts'
import { failureOf } from './fetch-failure.ts'
import { loadedUndici, loadUndici } from './undici.ts'

/** Also the cap on exchanges in flight per origin; the rest waits within its own deadline (F9). */
const CONNECTIONS_PER_ORIGIN_MAX = 32
const POOLS_MAX = 1_000
const HEADER_BYTES_MAX = 16_384
/** A connection keeps its checked address for at most this long (S2, T14). */
const CLIENT_TTL_MS = 300_000
const KEEP_ALIVE_MS = 4_000
const KEEP_ALIVE_MAX_MS = 60_000

export interface Address {
  readonly address: string
  readonly family: 4 | 6
}
/** All addresses of a name; rejects with a `getaddrinfo` error code when there is none. */
export type Resolve = (hostname: string) => Promise<readonly Address[]>

export interface NodeFetchOptions {
  /** PEM file of authorities trusted in addition to the system's. Read once, at creation. */
  readonly extraCaFile?: string
  /** HTTP proxy for everything that goes out. */
  readonly proxyUrl?: string
  /** Default: `getaddrinfo`. */
  readonly resolve?: Resolve
  /** Default 300 000. */
  readonly clientTtlMs?: number
}

export interface NodeFetch {
  readonly fetch: Fetch
  /** Ends all connections; exchanges under way are aborted. */
  close(): Promise<void>
}

export function createNodeFetch(options: NodeFetchOptions = {}): NodeFetch {
  const pools = createPools(options)
  return {
    fetch: async (request) => {
      refuseLiteral(request)
      try {
        const undici = loadedUndici() ?? (await loadUndici())
        return await send(pools.of(request, undici), request)
      } catch (error) {
        throw failureOf(error)
      }
    },
    close: () => pools.close(),
  }
}

/** `connect.lookup` is never called for literals (T13), so they are checked here as well. */
function refuseLiteral({ url, addresses }: FetchRequest): void {
  const literal = literalAddress(url.hostname)
  if (addresses === 'public' && literal !== undefined && !isPublicAddress(literal)) {
    throw new FetchFailure('ERR_UPSTREAM_ADDRESS', 'special-address')
  }
}

async function send(dispatcher: Dispatcher, request: FetchRequest): Promise<FetchResponse> {
  const { url, method, headers, body, signal } = request
  const answer = await dispatcher.request({
    origin: url.origin,
    path: url.pathname + url.search,
    method,
    headers: { ...headers },
    body: body ?? null,
    signal,
    // The total deadline is egress's; undici's own timers are coarse.
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  return {
    status: answer.statusCode,
    headers: toHeaders(answer.headers),
    body: toStream(answer.body),
  }
}

function toHeaders(fields: Record<string, string | string[] | undefined>): Headers {
  const headers = new Headers()
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined) headers.append(name, one)
    }
  }
  return headers
}

function toStream(body: Dispatcher.ResponseData['body']): ReadableStream<Uint8Array> {
  // An answer that is dropped unread fails as a stream, too: nobody else listens then.
  body.on('error', () => undefined)
  const chunks = body[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await chunks.next()
          if (done === true) controller.close()
          else controller.enqueue(value)
        } catch (error) {
          controller.error(failureOf(error))
        }
      },
      cancel: () => {
        body.destroy()
      },
    },
    { highWaterMark: 0 },
  )
}

type Undici = typeof import('undici')

function createPools(options: NodeFetchOptions) {
  const pools = new Map<string, Dispatcher>()
  const ca = authorities(options.extraCaFile)
  const open = options.proxyUrl === undefined ? openPool : openProxy
  let isClosed = false
  return {
    of(request: FetchRequest, undici: Undici): Dispatcher {
      // Closed while the library was being loaded: nothing would end a pool made now.
      if (isClosed) throw new FetchFailure('ERR_UPSTREAM_CONNECT', 'closed')
      const { addresses, url, connectTimeoutMs } = request
      const key = `${addresses} ${connectTimeoutMs} ${url.origin}`
      const pool = pools.get(key) ?? open(undici, request, options, ca)
      // Map order is the order of use: the first is the least recently used.
      pools.delete(key)
      pools.set(key, pool)
      if (pools.size > POOLS_MAX) retireOldest(pools)
      return pool
    },
    async close(): Promise<void> {
      isClosed = true
      const opened = [...pools.values()]
      pools.clear()
      await Promise.all(opened.map((pool) => pool.destroy()))
    },
  }
}

function retireOldest(pools: Map<string, Dispatcher>): void {
  for (const [key, pool] of pools) {
    pools.delete(key)
    // Ends when its exchanges end; each of those has a deadline.
    void pool.close().catch(() => undefined)
    return
  }
}

function clientOptions(
  { connectTimeoutMs, addresses }: FetchRequest,
  options: NodeFetchOptions,
  ca: string[] | undefined,
) {
  return {
    connections: CONNECTIONS_PER_ORIGIN_MAX,
    // undici 8 offers HTTP/2 by default (T12); one fault domain per exchange is wanted.
    allowH2: false,
    pipelining: 1,
    maxHeaderSize: HEADER_BYTES_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MAX_MS,
    clientTtl: options.clientTtlMs ?? CLIENT_TTL_MS,
    autoSelectFamily: true,
    connect: {
      timeout: connectTimeoutMs,
      allowH2: false,
      rejectUnauthorized: true,
      lookup: checkedLookup(options.resolve ?? resolveBySystem, addresses),
      ...(ca === undefined ? {} : { ca }),
    },
  }
}

function openPool(
  { Pool }: Undici,
  request: FetchRequest,
  options: NodeFetchOptions,
  ca: string[] | undefined,
): Dispatcher {
  return new Pool(request.url.origin, clientOptions(request, options, ca))
}

function openProxy(
  { ProxyAgent }: Undici,
  request: FetchRequest,
  options: NodeFetchOptions,
  ca: string[] | undefined,
): Dispatcher {
  const { connections, pipelining, maxHeaderSize } = clientOptions(request, options, ca)
  const tls = {
    allowH2: false,
    timeout: request.connectTimeoutMs,
    ...(ca === undefined ? {} : { ca }),
  }
  return new ProxyAgent({
    uri: options.proxyUrl ?? '',
    connections,
    pipelining,
    maxHeaderSize,
    connectTimeout: request.connectTimeoutMs,
    requestTls: tls,
    proxyTls: tls,
  })
}

/** The system's authorities and those of the file; `undefined` leaves Node's default. */
function authorities(file: string | undefined): string[] | undefined {
  return file === undefined
    ? undefined
    : [...getCACertificates('default'), readFileSync(file, 'utf8')]
}

/** Resolves once, checks every address, hands out only checked ones. */
function checkedLookup(resolve: Resolve, policy: FetchRequest['addresses']): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname).then(
      (found) => {
        const bad = policy === 'public' && !found.every(({ address }) => isPublicAddress(address))
        const [first] = found
        if (bad) callback(new FetchFailure('ERR_UPSTREAM_ADDRESS', 'special-address'), '', 0)
        else if (first === undefined)
          callback(new FetchFailure('ERR_UPSTREAM_DNS', 'no-address'), '', 0)
        else if (options.all === true)
          callback(
            null,
            found.map(({ address, family }) => ({ address, family })),
          )
        else callback(null, first.address, first.family)
      },
      (error: unknown) => callback(failureOf(error), '', 0),
    )
  }
}

function resolveBySystem(hostname: string): Promise<readonly Address[]> {
  return new Promise((resolve, reject) => {
    systemLookup(hostname, { all: true }, (error, found) => {
      if (error !== null) reject(error)
      else resolve(found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 })))
    })
  })
}
