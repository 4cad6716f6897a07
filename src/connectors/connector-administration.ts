/**
 * What an administrator does with connectors, in a running house or by a command: see their state, ask
 * their servers again, approve an origin. Connectors that need no authorization server are listed too.
 */
import type { Config, ConnectorConfig } from '../config.ts'
import { ConfigError, OAuthError } from '../errors.ts'
import type { ConnectorStatus } from './lifecycle/connector-status.ts'
import type { Lifecycle } from './lifecycle/lifecycle.ts'

export interface ConnectorAdministration {
  list(): Promise<readonly ConnectorStatus[]>
  /** `undefined`: there is no such connector. */
  find(name: string): Promise<ConnectorStatus | undefined>
  /** Asks its servers anew while the caller waits. */
  discover(name: string): Promise<ConnectorStatus | undefined>
  /**
   * Lets secrets go to `origin`, which must be what was refused, to the letter.
   *
   * @returns `undefined` when it is not, or when a client that was made by hand belongs elsewhere.
   */
  approve(name: string, origin: string): Promise<ConnectorStatus | undefined>
}

/** The same for a program of our operator, where a wrong name is a mistake of its text. */
export interface ConnectorDoor {
  /** Every connector of the configuration, as it is known: nobody is asked. @throws {StoreError} */
  list(): Promise<readonly ConnectorStatus[]>
  /** One of them. @returns `undefined`: there is no such connector. @throws {StoreError} */
  find(name: string): Promise<ConnectorStatus | undefined>
  /**
   * Asks its servers anew, `discoveryTimeoutMs` (default 5 s) at most, and registers where that is
   * missing. What is wrong is in `problems`, and no error.
   *
   * @throws {ConfigError} for a connector that is not there. @throws {StoreError}
   */
  discover(name: string): Promise<ConnectorStatus>
  /**
   * Lets secrets of this connector go to `origin`: what `refusedOrigin` says, to the letter.
   *
   * @throws {OAuthError} `ERR_CONNECTOR_ORIGIN` (409) when this origin is not what was refused, or when
   *   a client that was made by hand belongs elsewhere. @throws {ConfigError} as above.
   */
  approve(name: string, origin: string): Promise<ConnectorStatus>
}

type Kept = Pick<Lifecycle, 'status' | 'discover' | 'approve'>

/** @param lifecycle `undefined` where no connector has an authorization server. */
export function createConnectorAdministration(
  { connectors }: Pick<Config, 'connectors'>,
  lifecycle: () => Promise<Kept | undefined>,
): ConnectorAdministration {
  const configured = (name: string) => connectors.find((connector) => connector.name === name)
  const statusOf = async (connector: ConnectorConfig): Promise<ConnectorStatus> =>
    (await lifecycle())?.status(connector.name) ?? plainStatus(connector)
  const find = async (name: string): Promise<ConnectorStatus | undefined> => {
    const connector = configured(name)
    return connector === undefined ? undefined : statusOf(connector)
  }
  return {
    list: () => Promise.all(connectors.map(statusOf)),
    find,
    discover: async (name) => (await (await lifecycle())?.discover(name)) ?? find(name),
    approve: async (name, origin) => (await lifecycle())?.approve(name, origin),
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
  }
}

function known(name: string, status: ConnectorStatus | undefined): ConnectorStatus {
  if (status !== undefined) return status
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
