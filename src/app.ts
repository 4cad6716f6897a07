/**
 * Postern itself: `createPostern` reads the configuration at once and opens the house on first use.
 * What a request may do before that is wait for `ready()`; nothing is answered half open.
 */
import { ENDPOINT_SEGMENTS, PAGE_SEGMENTS, WIDGET_SEGMENTS } from './config/paths.ts'
import { type Config, type PosternConfig, parseConfig } from './config.ts'
import type {
  AuthProvider,
  ConnectionToken,
  TokenOptions,
} from './connectors/connections/auth-provider.ts'
import type { ConnectionAdministration } from './connectors/connections/connection-administration.ts'
import { type ConnectorDoor, createConnectorDoor } from './connectors/connector-administration.ts'
import type { Discovery } from './connectors/discovery/discover.ts'
import type { EmbeddedDoor } from './connectors/embedded/embedded-door.ts'
import { StoreError, toResponse } from './errors.ts'
import type { House } from './house.ts'
import { createId } from './issuer/ids.ts'
import { REVOCATION_FEED_PATH } from './issuer/revocation-feed.ts'
import type { AuthInfo, Guard, Principal, ProtectOptions } from './middleware/guard.ts'
import { authenticateRequest } from './middleware/guard.ts'
import type { Platform } from './ports.ts'
import type { Busy } from './tenants/busy.ts'
import { createHouses, type OpenableHouse, type TenantHouses } from './tenants/houses.ts'
import { outerPlatform, unknownTenant } from './tenants/tenant-platform.ts'

export interface Postern {
  /** Answers every route of the house; others get 404, and all get 503 while the store cannot be opened. */
  fetch(request: Request): Promise<Response>
  /** Whether a URL is one of ours. */
  handles(url: string | URL): boolean
  /** Who calls: the principal, or the response to send. Warm calls wait for nothing. */
  authenticate(
    request: Request,
    options?: ProtectOptions,
  ): Promise<{ principal: Principal; authInfo: AuthInfo } | { response: Response; reason: string }>
  /**
   * A token of this person for the server of a connector: from memory when warm, refreshed first when
   * less than `minValiditySeconds` (default 60) of it is left.
   *
   * @param user A string is the embedding product's own id; a `Principal` somebody who signed in here.
   * @returns Good for the origin of the connector's URL and for no other.
   * @throws {OAuthError} `ERR_CONNECTION_NEEDED`; `ERR_CONNECTION_RECONNECT` with the cause as `reason`;
   *   `access_denied` (403) when `allow` does not name the `Principal`.
   * @throws {UpstreamError} when it has ended and its server does not answer, or nobody can say whether
   *   `allow` names the `Principal`. @throws {StoreError}
   * @throws {ConfigError} for a connector that is not there or connects nobody. @throws {TypeError} for
   *   a user or app that is no name.
   * @see RFC 6750, MCP authorization, access token usage
   */
  getToken(
    user: string | Principal,
    connector: string,
    options?: TokenOptions,
  ): Promise<ConnectionToken>
  /**
   * For one transport of the official MCP client: its token, renewed when the server refuses it, once
   * for all calls that come back refused within 10 s. Both of its methods reject as `getToken` does.
   *
   * @param user As for `getToken`; a string names a person of the app `default`.
   */
  authProvider(user: string | Principal, connector: string): AuthProvider
  /**
   * The authorization server of an MCP server, by the caches of this house. See `createDiscover`.
   *
   * @param options.refresh A person asks anew.
   * @throws {UpstreamError} what was said is not used, or nobody answered; its `cause` says who is to
   *   correct what. @throws {StoreError}
   */
  discover(mcpUrl: string, options?: { readonly refresh?: boolean }): Promise<Discovery>
  /** Connectors, their state, and what is wrong on which side. */
  readonly connectors: ConnectorDoor
  /** Accounts that people linked, and trips of people of an embedding product (flows.md section 7). */
  readonly connections: ConnectionAdministration & Pick<EmbeddedDoor, 'start' | 'confirm'>
  /**
   * For the element in a product's page: 15 minutes, one person, one origin.
   *
   * @throws {OAuthError} 422 `ERR_APP_UNKNOWN`, `ERR_APP_ORIGIN`, `ERR_APP_RETURN_URL`; 404
   *   `ERR_CONNECTOR_NOT_FOUND`. @throws {TypeError} for a user that is no name. @throws {StoreError}
   */
  createConnectSession: EmbeddedDoor['createConnectSession']
  /** Resolves when the store is open, keys and revocations are loaded, of every tenant, too; else rejects. */
  ready(): Promise<void>
  /**
   * One tenant's house: its people, connectors, connections and tokens. Its requests are answered by
   * `fetch` of the whole, which knows them by host and path; `authenticate` and `getToken` of the whole
   * find the house by resource and `Principal`, everything else there is the outer house's.
   *
   * @param name As in `tenants` of the configuration.
   * @throws {ConfigError} `ERR_CONFIG_VALUE`: there is no such tenant.
   */
  tenant(name: string): Postern
  /** Periodic work, for a platform without timers: sweep, key rotation, renewals. */
  runDue(): Promise<void>
  /** Ends timers and connections and writes what is behind. */
  close(): Promise<void>
}

/** What entries of this package reach inside a `Postern`. */
export interface Opening {
  readonly config: Config
  readonly platform: Platform
  readonly guard: Guard
  /** The endpoints of a mounted house live below `prefix`. To be called before `ready()`. */
  mounted(): void
  open(): Promise<House>
  /** The house when it is open. */
  opened(): House | undefined
  /** Absent: no tenant is configured. */
  readonly tenants?: TenantHouses
  /** A tenant's share of the process. */
  readonly busy?: Busy
}

const OPENINGS = new WeakMap<object, Opening>()

/** The inside of a `Postern`; `undefined` for anything else. */
export function openingOf(value: object): Opening | undefined {
  return OPENINGS.get(value)
}

/**
 * @param input Every field has a default but `allow`, which a public issuer with providers needs.
 * @param platform `node()` or `workers(env)`.
 * @param flags Field paths of the command line; they win over environment and file.
 * @throws {ConfigError} `ERR_CONFIG_*` with the field and the fix. Opens nothing.
 */
export function createPostern(
  input: PosternConfig,
  platform: Platform,
  flags: Readonly<Record<string, string>> = {},
): Postern {
  const { environment, readFile } = platform
  const config = parseConfig(
    input,
    { environment, ...(readFile === undefined ? {} : { readFile }) },
    flags,
  )
  platform.emit.configure?.(config.log, config.onEvent)
  const { postern, opening } =
    config.tenants === undefined
      ? createHouse(config, outerPlatform(platform))
      : createHouses(config, platform, createHouse)
  // The platform as it was given, where its metrics are of one house.
  OPENINGS.set(postern, config.tenants === undefined ? { ...opening, platform } : opening)
  for (const tenant of opening.tenants?.all ?? [])
    OPENINGS.set(postern.tenant(tenant.config.tenant ?? ''), tenant)
  return postern
}

/** One house; opens with its first use. */
function createHouse(
  config: Config,
  platform: Platform,
  onOpened: () => void = () => undefined,
): OpenableHouse {
  let endpointPrefix = ''
  const rooms = createOpener(platform, async () => {
    const store = platform.openStore(config.databaseUrl)
    // Told where it is awaited. The store opens in its own thread while the rooms are being loaded.
    store.catch(() => undefined)
    const { openHouse } = await import('./house.ts')
    const house = await openHouse(config, platform, endpointPrefix, await store)
    onOpened()
    return house
  })
  const guard: Guard = {
    authenticate: (authorization, options, memory, proof) =>
      rooms.opened()?.guard.authenticate(authorization, options, memory, proof) ??
      rooms.open().then((house) => house.guard.authenticate(authorization, options, memory, proof)),
  }
  /** The store may be back for the next request; a mistake of the configuration is nobody's answer. */
  const notOpened = (error: unknown): Response => {
    if (!(error instanceof StoreError)) throw error
    const requestId = createId(platform.runtime, 'req')
    const told = { reason: error.code, requestId, status: 503 }
    platform.emit.event({ type: 'server.failed', level: 'error', ...told })
    return toResponse(error, requestId)
  }
  const postern: Postern = {
    async fetch(request) {
      const house = rooms.opened() ?? (await rooms.open().catch(notOpened))
      return house instanceof Response ? house : house.fetch(request)
    },
    handles(url) {
      const pathname = URL.parse(url, config.issuer)?.pathname
      if (pathname === undefined) return false
      return rooms.opened()?.handles(pathname) ?? mayBeOurs(config, endpointPrefix, pathname)
    },
    authenticate: (request, options = {}) => authenticateRequest(guard, request, options),
    getToken: async (user, connector, options) =>
      (rooms.opened() ?? (await rooms.open())).tokenDoor.getToken(user, connector, options),
    authProvider(user, connector) {
      let provider: AuthProvider | undefined
      const opened = async (): Promise<AuthProvider> => {
        const house = rooms.opened() ?? (await rooms.open())
        provider ??= house.tokenDoor.authProvider(user, connector)
        return provider
      }
      return {
        token: async () => (await opened()).token(),
        onUnauthorized: async () => (await opened()).onUnauthorized(),
      }
    },
    discover: async (mcpUrl, options) =>
      (rooms.opened() ?? (await rooms.open())).discover(mcpUrl, options),
    connectors: createConnectorDoor(async () => (await rooms.open()).operations.connectors),
    connections: {
      list: async (query) => (await rooms.open()).operations.connections.list(query),
      find: async (id) => (await rooms.open()).operations.connections.find(id),
      disconnect: async (id) => (await rooms.open()).operations.connections.disconnect(id),
      start: async (input) => (await rooms.open()).embedded.start(input),
      confirm: async (input) => (await rooms.open()).embedded.confirm(input),
    },
    createConnectSession: async (input) =>
      (await rooms.open()).embedded.createConnectSession(input),
    tenant(name) {
      throw unknownTenant(name)
    },
    ready: async () => void (await rooms.open()),
    runDue: async () => (await rooms.open()).runDue(),
    close: () => rooms.close(),
  }
  const opening: Opening = {
    config,
    platform,
    guard,
    mounted() {
      endpointPrefix = config.prefix
    },
    open: rooms.open,
    opened: rooms.opened,
  }
  return { postern, opening }
}

interface Opener {
  open(): Promise<House>
  opened(): House | undefined
  close(): Promise<void>
}

/** Opens once, and again after a start that failed: the store may be back. */
function createOpener({ runtime }: Platform, openNew: () => Promise<House>): Opener {
  let house: House | undefined
  let opening: Promise<House> | undefined
  const openShared = (): Promise<House> => {
    opening ??= openNew().then((opened) => {
      house = opened
      return opened
    })
    opening.catch(() => {
      opening = undefined
    })
    return opening
  }
  // Where a promise belongs to its request, each request opens until one has opened; stores are shared.
  const openAlone = async (): Promise<House> => {
    const opened = house ?? (await openNew())
    house ??= opened
    return house
  }
  return {
    open: runtime.sharesPromises ? openShared : openAlone,
    opened: () => house,
    async close() {
      const opened = house ?? (await opening?.catch(() => undefined))
      house = undefined
      opening = undefined
      await opened?.close()
    },
  }
}

/** Before the house is open every path that could be ours is: it waits, then gets its answer. */
function mayBeOurs(config: Config, endpointPrefix: string, path: string): boolean {
  const base = new URL(config.issuer).pathname.replace(/\/$/, '')
  const below = [
    '/.well-known',
    REVOCATION_FEED_PATH,
    ...ENDPOINT_SEGMENTS.map((name) => `${endpointPrefix}/${name}`),
    ...PAGE_SEGMENTS.map((name) => `${config.prefix}/${name}`),
    ...((config.apps ?? []).length === 0 ? [] : WIDGET_SEGMENTS).map(
      (name) => `${config.prefix}/${name}`,
    ),
    ...config.providers.map((provider) => provider.callbackPath),
    ...config.connectors.map((connector) => connector.path),
  ]
  // The well-known documents of an issuer with a path stand at the root of its host (RFC 8414 section 3).
  const ours = ['/.well-known', ...below.map((own) => base + own)]
  return ours.some((own) => path === own || path.startsWith(`${own}/`))
}
