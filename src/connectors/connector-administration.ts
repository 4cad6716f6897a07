/**
 * What an administrator does with connectors, in a running house or by a command: see their state, ask
 * their servers again, approve an origin, make them and take them away. Those of the configuration file
 * are listed like all others, and are read-only.
 */
import type { Config, ConnectorConfig, ConnectorInput } from '../config.ts'
import { ConfigError, OAuthError } from '../errors.ts'
import { needsConsent } from './directory.ts'
import type { ConnectorStatus } from './lifecycle/connector-status.ts'
import type { Lifecycle } from './lifecycle/lifecycle.ts'
import { isOutbound } from './lifecycle/outbound-connector.ts'
import type { LateConsents } from './made/late-consents.ts'
import type { ChangeOptions, MadeConnectors, MadeFacts } from './made/made-connectors.ts'

/** State, and what it is: one shape for file and API. */
export interface ConnectorView extends ConnectorStatus {
  readonly madeBy: 'file' | 'api'
  /** Of one made by the API: what `ifVersion` compares. */
  readonly version?: number
  /** The audience of our tokens for it: issuer and path. */
  readonly resource: string
  /** As it was given; header values and client secrets are in no answer. */
  readonly definition: ConnectorInput
}

export interface ConnectorAdministration {
  list(): Promise<readonly ConnectorView[]>
  /** `undefined`: there is no such connector. */
  find(name: string): Promise<ConnectorView | undefined>
  /** Asks its servers anew while the caller waits. */
  discover(name: string): Promise<ConnectorView | undefined>
  /**
   * Lets secrets go to `origin`, which must be what was refused, to the letter.
   *
   * @returns `undefined` when it is not, or when a client that was made by hand belongs elsewhere.
   */
  approve(name: string, origin: string): Promise<ConnectorView | undefined>
  /**
   * Creates a connector or takes the place of one that the API made, secrets included; asks its servers
   * and registers while the caller waits, `discoveryTimeoutMs` (default 5 s) and one registration at most.
   *
   * @throws {ConfigError} with `field`. @throws {OAuthError} 409 `ERR_CONNECTOR_IN_FILE`, 409
   *   `ERR_CONNECTOR_LIMIT`, 412 `ERR_CONNECTOR_CHANGED`. @throws {StoreError}
   */
  put(
    name: string,
    input: ConnectorInput,
    options?: ChangeOptions,
  ): Promise<{ readonly created: boolean; readonly connector: ConnectorView }>
  /**
   * Changes the named fields; `null` takes one away (RFC 7396). Secrets stay unless the server or client
   * that they are for changes. Throws as `put`.
   *
   * @returns `undefined`: there is none.
   */
  update(
    name: string,
    patch: Readonly<Record<string, unknown>>,
    options?: ChangeOptions,
  ): Promise<ConnectorView | undefined>
  /** Its grants and connections end with it. Throws as `put`. @returns false: there is none. */
  remove(name: string, options?: ChangeOptions): Promise<boolean>
}

/** The same for a program of our operator, where a wrong name is a mistake of its text. */
export interface ConnectorDoor {
  /** Every connector, as it is known: nobody is asked. @throws {StoreError} */
  list(): Promise<readonly ConnectorView[]>
  /** One of them. @returns `undefined`: there is no such connector. @throws {StoreError} */
  find(name: string): Promise<ConnectorView | undefined>
  /**
   * Asks its servers anew, `discoveryTimeoutMs` (default 5 s) at most, and registers where that is
   * missing. What is wrong is in `problems`, and no error.
   *
   * @throws {ConfigError} for a connector that is not there. @throws {StoreError}
   */
  discover(name: string): Promise<ConnectorView>
  /**
   * Lets secrets of this connector go to `origin`: what `refusedOrigin` says, to the letter.
   *
   * @throws {OAuthError} `ERR_CONNECTOR_ORIGIN` (409) when this origin is not what was refused, or when
   *   a client that was made by hand belongs elsewhere. @throws {ConfigError} as above.
   */
  approve(name: string, origin: string): Promise<ConnectorView>
  /**
   * Creates a connector, or takes the place of one that was made so before. Public servers only, and no
   * `env:` or `file:` values; what was found stands in `state` and `problems`.
   *
   * @throws {ConfigError} with the `field`. @throws {OAuthError} `ERR_CONNECTOR_IN_FILE`,
   *   `ERR_CONNECTOR_LIMIT` (409), `ERR_CONNECTOR_CHANGED` (412). @throws {StoreError}
   */
  put(name: string, input: ConnectorInput, options?: ChangeOptions): Promise<ConnectorView>
  /** Changes the named fields; `null` takes one away (RFC 7396). @throws as `put`, and for a wrong name. */
  update(
    name: string,
    patch: Readonly<Record<string, unknown>>,
    options?: ChangeOptions,
  ): Promise<ConnectorView>
  /** Ends its grants and connections, and revokes these at their server. @throws as `update`. */
  remove(name: string, options?: ChangeOptions): Promise<void>
}

type Kept = Pick<Lifecycle, 'status' | 'discover' | 'approve' | 'prepare' | 'follow'>

interface Rooms {
  /** Its `connectors` are those that there are now. */
  readonly config: Pick<Config, 'connectors' | 'limits' | 'issuer'>
  readonly made: MadeConnectors
  /** `undefined` where no connector has an authorization server. */
  lifecycle(): Promise<Kept | undefined>
  readonly consents: Pick<LateConsents, 'look' | 'describe'>
}

export function createConnectorAdministration({
  config,
  made,
  lifecycle,
  consents,
}: Rooms): ConnectorAdministration {
  const viewOf = async (connector: ConnectorConfig): Promise<ConnectorView> => {
    const { name, resource } = connector
    const facts = made.facts(name)
    const known = isOutbound(connector) ? (await lifecycle())?.status(name) : undefined
    return {
      ...(known ?? plainStatus(connector)),
      ...(needsConsent(connector) ? await consents.describe(connector) : {}),
      ...(facts === undefined
        ? { madeBy: 'file', definition: definitionOf(connector) }
        : { madeBy: 'api', version: facts.version, definition: facts.input }),
      resource,
    }
  }
  const find = async (name: string): Promise<ConnectorView | undefined> => {
    const connector = made.find(name)
    if (connector !== undefined) return viewOf(connector)
    const facts = made.facts(name)
    return facts && unusable(name, facts, config)
  }
  /** A look that is under way is waited for; what is known and right is not asked again. */
  const lookAt = async (name: string): Promise<ConnectorView | undefined> => {
    const connector = made.find(name)
    if (connector !== undefined && isOutbound(connector)) {
      const life = await lifecycle()
      await life?.follow()
      const { discoveryTimeoutMs, tokenCallTimeoutMs } = config.limits
      await life?.prepare(name, { deadlineMs: discoveryTimeoutMs + tokenCallTimeoutMs })
    }
    if (connector !== undefined && needsConsent(connector))
      await consents.look(connector, { anew: true })
    return find(name)
  }
  return {
    async list() {
      const shown = new Set(made.list().map(({ name }) => name))
      const broken = made.names().filter((name) => !shown.has(name))
      const views = await Promise.all([...made.list().map(viewOf), ...broken.map(find)])
      return views.filter((view) => view !== undefined)
    },
    find,
    async discover(name) {
      const connector = made.find(name)
      if (connector === undefined || !isOutbound(connector)) return lookAt(name)
      await (await lifecycle())?.discover(name)
      return find(name)
    },
    async approve(name, origin) {
      const status = await (await lifecycle())?.approve(name, origin)
      return status && find(name)
    },
    async put(name, input, options) {
      const { created } = await made.put(name, input, options)
      return { created, connector: known(name, await lookAt(name)) }
    },
    async update(name, patch, options) {
      return (await made.update(name, patch, options)) ? lookAt(name) : undefined
    },
    remove: (name, options) => made.remove(name, options),
  }
}

export function createConnectorDoor(
  administration: () => Promise<ConnectorAdministration>,
): ConnectorDoor {
  return {
    list: async () => (await administration()).list(),
    find: async (name) => (await administration()).find(name),
    discover: async (name) => known(name, await (await administration()).discover(name)),
    async approve(name, origin) {
      const connectors = await administration()
      const { refusedOrigin } = known(name, await connectors.find(name))
      const status = await connectors.approve(name, origin)
      if (status !== undefined) return status
      throw new OAuthError('invalid_request', `refused is ${refusedOrigin ?? 'nothing'}`, {
        status: 409,
        code: 'ERR_CONNECTOR_ORIGIN',
      })
    },
    put: async (name, input, options) =>
      (await (await administration()).put(name, input, options)).connector,
    update: async (name, patch, options) =>
      known(name, await (await administration()).update(name, patch, options)),
    async remove(name, options) {
      const isDone = await (await administration()).remove(name, options)
      if (!isDone) known(name, undefined)
    },
  }
}

function known(name: string, view: ConnectorView | undefined): ConnectorView {
  if (view !== undefined) return view
  throw new ConfigError(
    'ERR_CONFIG_VALUE',
    `there is no connector ${JSON.stringify(name)}.`,
    'Name one of connectors.',
  )
}

function plainStatus({ name, url, auth, enabled }: ConnectorConfig): ConnectorStatus {
  const state = enabled ? 'ready' : 'disabled'
  return { name, url: url.href, auth, state, problems: [] }
}

/** The configuration has changed since it was made, and now it is in the way of something. */
function unusable(
  name: string,
  { version, input, problem }: MadeFacts,
  { issuer }: Pick<Config, 'issuer'>,
): ConnectorView {
  const { url = '', auth = 'identity', path = `/mcp/${name}` } = input
  return {
    name,
    url,
    auth,
    state: 'degraded',
    problems: problem === undefined ? [] : [problem],
    madeBy: 'api',
    version,
    resource: `${issuer}${path}`,
    definition: input,
  }
}

/** What the file says, as far as it is for people; never a secret. */
function definitionOf(connector: ConnectorConfig): ConnectorInput {
  const { url, preset, auth, path, routes, allow, claims, enabled, title, description } = connector
  return {
    ...(preset === undefined ? { url: url.href } : { preset }),
    auth,
    path,
    ...(routes.protected.length + routes.public.length === 0 ? {} : { routes }),
    ...(allow === undefined ? {} : { allow }),
    ...(claims.length === 0 ? {} : { claims }),
    ...(title === undefined ? {} : { title }),
    ...(description === undefined ? {} : { description }),
    enabled,
  }
}
