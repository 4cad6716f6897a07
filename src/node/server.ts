/**
 * `serve`: the listeners of one process on Node. Calls go to the carrier, straight from `node:http`;
 * pages and OAuth endpoints go through Hono. Drains on SIGTERM and SIGINT, then closes the house.
 */
import { readFileSync } from 'node:fs'
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { openingOf, type Postern } from '../app.ts'
import type { Config } from '../config.ts'
import type { Lifecycle } from '../connectors/lifecycle/lifecycle.ts'
import { ConfigError } from '../errors.ts'
import type { Health, House } from '../house.ts'
import { rememberClientAddress } from '../middleware/client-address.ts'
import { createCarrier } from './carrier.ts'
import { createClientAddress, knowsClientAddress } from './client-address.ts'
import type { NodeEmit } from './emit.ts'
import { createRefusalPace, type RefusalPace } from './refusal-pace.ts'
import { type CarriedHouse, createTenantCarriers, type TenantCarriers } from './tenant-carriers.ts'
import { loadUndici } from './undici.ts'
import { createUpstreams } from './upstreams.ts'

export interface ServeOptions {
  /** Sees every request first; true when it has answered. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean
  /** Ends by SIGTERM and SIGINT. Default true. */
  readonly signals?: boolean
}

export interface RunningServer {
  readonly config: Config
  readonly version: string
  readonly environment: Readonly<Record<string, string | undefined>>
  /** The port that is really listened on. */
  readonly port: number
  /** Connectors with an authorization server; absent: there is none. */
  readonly connectors?: Pick<Lifecycle, 'status' | 'list' | 'looked'>
  /** Status of one POST of our own to a connector, without a token. */
  probe(url: URL, body: string): Promise<number>
  metricsText(): Promise<string>
  close(): Promise<void>
  /** Settles when the server has drained and closed. */
  readonly closed: Promise<void>
}

// An import statement would read every member of the module, and one of them loads the platform's
// own fetch: a fifth of the start.
const { createServer } = process.getBuiltinModule('node:http')

const METRICS_VARIABLE = 'POSTERN_LISTEN_METRICS_PORT'
const HEADER_MAX_BYTES = 16_384
const PROBE_TIMEOUT_MS = 2_000
const PROBE_MAX_BYTES = 1_048_576
/** Loading what pages and calls need holds the process for tens of milliseconds: first let it answer. */
const PRELOAD_AFTER_MS = 200

const manifest = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as {
  version: string
}

/**
 * Starts listening; resolves when the house answers.
 *
 * @throws {ConfigError} `ERR_LISTEN_IN_USE`. @throws {StoreError} when the store cannot be opened.
 */
export async function serve(postern: Postern, options: ServeOptions = {}): Promise<RunningServer> {
  const opening = openingOf(postern)
  if (opening === undefined) throw new TypeError('serve() takes what createPostern() returned')
  const { config, platform } = opening
  const emit = platform.emit as Partial<NodeEmit>
  const house = await opening.open()
  const upstreams = createUpstreams({
    firstByteTimeoutMs: config.limits.firstByteTimeoutMs,
    connectTimeoutMs: config.limits.connectTimeoutMs,
  })
  const findAddress = createClientAddress(config.listen.trustedProxies)
  const addressOf = knowsClientAddress(config) ? findAddress : () => undefined
  const refusals = createRefusalPace({
    perSecondMax: config.limits.refusalsPerSecondMax,
    addressOf,
    monotonicMs: platform.runtime.monotonicMs,
    after: platform.runtime.after,
  })
  const carrier = createCarrier(house.view, upstreams, platform.emit, { refusals })
  const stopListening = house.onMark(() => carrier.recheck())
  const pages = createPages(postern, house, { addressOf, refusals })
  const tenants =
    opening.tenants &&
    createTenantCarriers(opening.tenants, (own, { platform: { emit: ownEmit } }) =>
      createCarrier(own.view, upstreams, ownEmit, { refusals }),
    )
  const whole = opening.tenants === undefined ? house : { ...house, health: opening.tenants.health }
  const doors: Doors = { outer: { house: whole, carrier }, tenants, pages, options }
  const metricsText = async () => (await emit.metrics?.text()) ?? ''
  let metricsServer: Server | undefined
  const shut = async (drainTimeoutMs: number): Promise<void> => {
    const served = carrier.drain(drainTimeoutMs)
    await Promise.all([served, tenants?.drain(drainTimeoutMs, served)])
    stopListening()
    metricsServer?.close()
    await upstreams.close()
    await postern.close()
  }
  let port: number
  try {
    port = await listenEverywhere(config, () => createHouseServer(doors))
    if (config.listen.metricsPort !== 0) metricsServer = await serveMetrics(metricsText, config)
  } catch (error) {
    await shut(0)
    throw error
  }
  // Behind the first answers; a failure shows where it is used.
  const cancelPreload = platform.runtime.after(PRELOAD_AFTER_MS, () => {
    Promise.all([pages.load(), loadUndici()]).catch(() => {})
  })
  emit.gauge?.('postern_build_info', 1, {
    version: manifest.version,
    engine: config.databaseUrl.split(':')[0] ?? '',
  })

  let closing: Promise<void> | undefined
  let settled = (): void => {}
  const closed = new Promise<void>((resolve) => {
    settled = resolve
  })
  const close = async (): Promise<void> => {
    cancelPreload()
    await shut(config.limits.drainTimeoutMs)
    settled()
  }
  const closeOnce = (): Promise<void> => {
    closing ??= close()
    return closing
  }
  if (options.signals !== false) {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => void closeOnce())
  }
  return {
    config,
    version: manifest.version,
    environment: platform.environment,
    port,
    ...(house.lifecycle === undefined ? {} : { connectors: house.lifecycle }),
    probe: async (url, body) => {
      const headers = {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      }
      const limits = { timeoutMs: PROBE_TIMEOUT_MS, maxBytes: PROBE_MAX_BYTES }
      return (
        await house.egress.exchange({
          operation: 'discovery',
          method: 'POST',
          url,
          headers,
          body,
          ...limits,
        })
      ).status
    },
    metricsText,
    close: closeOnce,
    closed,
  }
}

/** What a request may come to. */
interface Doors {
  readonly outer: CarriedHouse
  /** Absent: no tenant is configured. */
  readonly tenants: TenantCarriers | undefined
  readonly pages: Pages
  readonly options: ServeOptions
}

function createHouseServer({ outer, tenants, pages, options }: Doors): Server {
  const listener: RequestListener = (request, response) => {
    if (options.intercept?.(request, response) === true) return
    if (tenants?.take(request, response, (own) => answer(own, pages, request, response)) !== true)
      answer(outer, pages, request, response)
  }
  const server = createServer({ maxHeaderSize: HEADER_MAX_BYTES }, listener)
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    const proceed = (own: CarriedHouse): void => {
      if (isCall(request.url ?? '/', own)) own.carrier.checkContinue(request, response)
      else {
        response.writeContinue()
        if (options.intercept?.(request, response) !== true) answer(own, pages, request, response)
      }
    }
    if (tenants?.take(request, response, proceed) !== true) proceed(outer)
  })
  outer.carrier.attach(server)
  return server
}

/** All hosts on one port: the first one decides which, when any will do. */
async function listenEverywhere(config: Config, create: () => Server): Promise<number> {
  let { port } = config.listen
  for (const host of hostsOf(config)) {
    const server = create()
    await listen(server, port, host, 'POSTERN_PORT')
    port = (server.address() as AddressInfo | null)?.port ?? port
  }
  return port
}

type AddressOf = (request: IncomingMessage) => string | undefined

/** Answers of the OAuth endpoints that a flood would ask for again and again. */
const REFUSALS: readonly number[] = [400, 401, 403, 413, 429]

interface Pages {
  readonly answer: RequestListener
  load(): Promise<unknown>
}

/** Pages and OAuth endpoints, by way of `Request` and `Response`; what that takes is loaded late. */
function createPages(
  postern: Postern,
  house: House,
  sources: { addressOf: AddressOf; refusals: RefusalPace },
): Pages {
  let loaded: RequestListener | undefined
  const load = async (): Promise<RequestListener> => {
    const [{ getRequestListener }, { RESPONSE_ALREADY_SENT }] = await Promise.all([
      import('@hono/node-server'),
      import('@hono/node-server/utils/response'),
    ])
    loaded ??= getRequestListener(
      async (request, { incoming, outgoing }) => {
        const message = incoming as IncomingMessage
        rememberClientAddress(request, sources.addressOf(message))
        const answer = await (house.link(request) ?? postern.fetch(request))
        if (!(answer instanceof Response)) {
          const headers = [...answer.headers(), ['content-length', '0']].flat()
          ;(outgoing as ServerResponse).writeHead(answer.status, headers).end()
          return RESPONSE_ALREADY_SENT
        }
        if (!REFUSALS.includes(answer.status)) return answer
        return new Promise((resolve) => {
          sources.refusals.pace(message, () => resolve(answer))
        })
      },
      { overrideGlobalObjects: false, hostname: new URL(house.config.issuer).host },
    )
    return loaded
  }
  return {
    load,
    answer(request, response) {
      if (loaded !== undefined) void loaded(request, response)
      else {
        load().then(
          (listener) => listener(request, response),
          () => response.destroy(),
        )
      }
    },
  }
}

function answer(
  carried: CarriedHouse,
  pages: Pages,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const target = request.url ?? '/'
  const health = carried.house.health(target)
  if (health !== undefined) answerHealth(response, health)
  else if (isCall(target, carried)) carried.carrier.handle(request, response)
  else pages.answer(request, response)
}

function answerHealth(response: ServerResponse, { status, headers, body }: Health): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
}

/** A connector's endpoint; or a path that is not ours and that some connector's routes take. */
function isCall(target: string, { house, carrier }: CarriedHouse): boolean {
  if (carrier.claims(target)) return true
  return !house.isOurs(pathOf(target, house.config.issuer)) && carrier.takes(target)
}

/** Segments of letters, digits, `_`, `~` and `-` are what any parser says they are. */
const PLAIN_PATH = /^(?:\/[\w~-]+)+$/

function pathOf(target: string, issuer: string): string {
  const end = target.indexOf('?')
  const path = end < 0 ? target : target.slice(0, end)
  return PLAIN_PATH.test(path) ? path : (URL.parse(target, issuer)?.pathname ?? '/')
}

/** An issuer on `localhost` answers on both loopback addresses, because browsers pick either. */
function hostsOf(config: Config): readonly string[] {
  const isLocalhost = new URL(config.issuer).hostname === 'localhost'
  return isLocalhost && config.listen.host === '127.0.0.1'
    ? ['127.0.0.1', '::1']
    : [config.listen.host]
}

/** @param variable What moves this listener elsewhere. */
function listen(server: Server, port: number, host: string, variable: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') {
        reject(
          new ConfigError(
            'ERR_LISTEN_IN_USE',
            `port ${port} is taken by another program.`,
            `Stop it, or set ${variable}.`,
          ),
        )
      } else if (error.code === 'EADDRNOTAVAIL' && host === '::1') resolve()
      else reject(error)
    })
    server.listen(port, host, resolve)
  })
}

async function serveMetrics(text: () => Promise<string>, config: Config): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.url !== '/metrics') {
      response.writeHead(404).end()
      return
    }
    void text().then((body) => {
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(body)
    })
  })
  await listen(server, config.listen.metricsPort, config.listen.host, METRICS_VARIABLE)
  server.unref()
  return server
}
