/**
 * Postern: the auth plane for MCP. `createPostern` with `node()` or `workers(env)` makes a house;
 * `postern/node`, `/express`, `/hono` and `/fetch` put it in front of, or inside, a server.
 */
export { createPostern, type Postern } from './app.ts'
export {
  type Allow,
  type AppInput,
  type ConnectorInput,
  defineConfig,
  type Limits,
  type PosternConfig,
  type StaticClientInput,
} from './config.ts'
export type {
  AuthProvider,
  ConnectionToken,
  TokenOptions,
} from './connectors/connections/auth-provider.ts'
export type {
  Connection,
  ConnectionAdministration,
  ConnectionQuery,
  EndedConnection,
  Page,
} from './connectors/connections/connection-administration.ts'
export type { ConnectorDoor, ConnectorView } from './connectors/connector-administration.ts'
export {
  createDiscover,
  type DiscoverOptions,
  type Discovery,
} from './connectors/discovery/discover.ts'
export type {
  ConfirmInput,
  ConnectSession,
  ConnectSessionInput,
  StartedConnection,
  StartInput,
} from './connectors/embedded/embedded-door.ts'
export type { ConnectorState, ConnectorStatus } from './connectors/lifecycle/connector-status.ts'
export type { ChangeOptions } from './connectors/made/made-connectors.ts'
export {
  ConfigError,
  isPosternError,
  OAuthError,
  type PosternError,
  StoreError,
  UpstreamError,
} from './errors.ts'
export type { AuthInfo, Principal, ProtectOptions } from './middleware/guard.ts'
export type { Cache, EventType, Platform, PosternEvent } from './ports.ts'
export type { ConnectorProblem, Profile } from './records.ts'
export { type ReceivedEvent, verifyWebhook } from './webhooks/verify.ts'
