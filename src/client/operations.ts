/**
 * Calls of the REST API and their types. Generated from the table of routes (`src/api/table.ts`);
 * `npm run fix` writes it again.
 */
import type { ApiKey, AuditEvent, Cache, CacheKey, Client, ConnectSession, Connection, ConnectionToken, Connector, ConnectorInput, ConnectorPatch, EndedConnection, Grant, NewApiKey, NewClient, NewWebhook, Operation, RotatedKeys, Session, SigningKey, User, Webhook, WebhookTest } from './schemas.ts'

/** Options of any call. */
export interface CallOptions {
  /** `ETag` of what was read: refused with 412 when it was changed meanwhile. */
  readonly ifMatch?: string
  /** Of a POST. Default: one that nobody has used. */
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
}

/** How each call is sent. */
export const OPERATIONS = {
  'connectors.list': { method: 'GET', path: '/connectors' },
  'connectors.find': { method: 'GET', path: '/connectors/{name}', mayBeAbsent: true },
  'connectors.put': { method: 'PUT', path: '/connectors/{name}', hasBody: true },
  'connectors.update': { method: 'PATCH', path: '/connectors/{name}', hasBody: true },
  'connectors.remove': { method: 'DELETE', path: '/connectors/{name}' },
  'connectors.discover': { method: 'POST', path: '/connectors/{name}/discover' },
  'connectors.approve': { method: 'POST', path: '/connectors/{name}/approve', hasBody: true, isNamed: true },
  'connections.list': { method: 'GET', path: '/connections' },
  'connections.find': { method: 'GET', path: '/connections/{id}', mayBeAbsent: true },
  'connections.disconnect': { method: 'DELETE', path: '/connections/{id}' },
  'connections.start': { method: 'POST', path: '/connections/start', hasBody: true, isNamed: true },
  'connections.confirm': { method: 'POST', path: '/connections/{id}/confirm', hasBody: true, isNamed: true },
  'createConnectSession': { method: 'POST', path: '/connect-sessions', hasBody: true, isNamed: true },
  'getToken': { method: 'POST', path: '/tokens', hasBody: true },
  'users.list': { method: 'GET', path: '/users' },
  'users.find': { method: 'GET', path: '/users/{id}', mayBeAbsent: true },
  'users.offboard': { method: 'POST', path: '/users/{id}/offboard', isNamed: true },
  'grants.list': { method: 'GET', path: '/grants' },
  'grants.find': { method: 'GET', path: '/grants/{id}', mayBeAbsent: true },
  'grants.end': { method: 'DELETE', path: '/grants/{id}' },
  'clients.list': { method: 'GET', path: '/clients' },
  'clients.find': { method: 'GET', path: '/clients/{id}', mayBeAbsent: true },
  'clients.create': { method: 'POST', path: '/clients', hasBody: true, isNamed: true },
  'clients.update': { method: 'PATCH', path: '/clients/{id}', hasBody: true },
  'clients.remove': { method: 'DELETE', path: '/clients/{id}' },
  'sessions.list': { method: 'GET', path: '/sessions' },
  'sessions.find': { method: 'GET', path: '/sessions/{id}', mayBeAbsent: true },
  'sessions.end': { method: 'DELETE', path: '/sessions/{id}' },
  'revocations.create': { method: 'POST', path: '/revocations', hasBody: true, isNamed: true },
  'operations.find': { method: 'GET', path: '/operations/{id}', mayBeAbsent: true },
  'caches.list': { method: 'GET', path: '/caches' },
  'caches.find': { method: 'GET', path: '/caches/{name}', mayBeAbsent: true },
  'caches.forget': { method: 'DELETE', path: '/caches/{name}' },
  'audit.list': { method: 'GET', path: '/audit' },
  'webhooks.list': { method: 'GET', path: '/webhooks' },
  'webhooks.find': { method: 'GET', path: '/webhooks/{id}', mayBeAbsent: true },
  'webhooks.create': { method: 'POST', path: '/webhooks', hasBody: true, isNamed: true },
  'webhooks.remove': { method: 'DELETE', path: '/webhooks/{id}' },
  'webhooks.test': { method: 'POST', path: '/webhooks/{id}/test', isNamed: true },
  'apiKeys.list': { method: 'GET', path: '/api-keys' },
  'apiKeys.find': { method: 'GET', path: '/api-keys/{id}', mayBeAbsent: true },
  'apiKeys.create': { method: 'POST', path: '/api-keys', hasBody: true, isNamed: true },
  'apiKeys.end': { method: 'DELETE', path: '/api-keys/{id}' },
  'keys.list': { method: 'GET', path: '/keys' },
  'keys.rotate': { method: 'POST', path: '/keys/rotate', hasBody: true, isNamed: true },
} as const

export interface Calls {
  readonly connectors: {
    /** Lists connectors by name. */
    list(query?: { readonly limit?: number; readonly cursor?: string; readonly state?: 'ready' | 'degraded' | 'unreachable' | 'quarantined' | 'disabled'; readonly auth?: 'none' | 'identity' | 'header' | 'oauth' | 'client_credentials'; readonly madeBy?: 'file' | 'api' }, options?: CallOptions): Promise<{
        readonly data: readonly (Connector)[]
        readonly nextCursor?: string
      }>
    /** One connector. */
    find(name: string, options?: CallOptions): Promise<Connector | undefined>
    /** Makes a connector or replaces it whole; asks its servers before it answers. */
    put(name: string, body: ConnectorInput, options?: CallOptions): Promise<Connector>
    /** Changes the named fields; `null` takes one away (RFC 7396). */
    update(name: string, body: ConnectorPatch, options?: CallOptions): Promise<Connector>
    /** Removes a connector; its grants and connections end with it. */
    remove(name: string, options?: CallOptions): Promise<undefined>
    /** Asks its servers anew. */
    discover(name: string, options?: CallOptions): Promise<Connector>
    /** Lets its secrets go to an origin that was refused. */
    approve(name: string, body: {
        readonly origin: string
      }, options?: CallOptions): Promise<Connector>
  }
  readonly connections: {
    /** Lists connections. */
    list(query?: { readonly limit?: number; readonly cursor?: string; readonly user?: string; readonly app?: string; readonly connector?: string; readonly state?: 'active' | 'reconnect' | 'ended' }, options?: CallOptions): Promise<{
        readonly data: readonly (Connection)[]
        readonly nextCursor?: string
      }>
    /** One connection. */
    find(id: string, options?: CallOptions): Promise<Connection | undefined>
    /** Ends a connection here at once, then its tokens at the server. */
    disconnect(id: string, options?: CallOptions): Promise<EndedConnection>
    /** A link that takes a person of a product to the server, once. */
    start(body: {
        readonly app?: string
        readonly user: string
        readonly connector: string
        readonly returnUrl: string
      }, options?: CallOptions): Promise<{
        readonly url: string
        readonly expiresAt: string
      }>
    /** Says that the person who came back is the one who left. */
    confirm(id: string, body: {
        readonly app?: string
        readonly user: string
        readonly confirmation: string
      }, options?: CallOptions): Promise<Connection>
  }
  /** A session for `<postern-connect>`, for 15 minutes, one person and one origin. */
  createConnectSession(body: {
        /** Default: the one app. */
        readonly app?: string
        readonly user: string
        readonly connectors?: readonly (string)[]
        readonly origin: string
        readonly returnUrl?: string
      }, options?: CallOptions): Promise<ConnectSession>
  /** A token of a person, fresh for as long as asked. */
  getToken(body: {
        /** Default: the one app. */
        readonly app?: string
        /** The product's own id of the person. */
        readonly user: string
        readonly connector: string
        /** Least life left; default 60. */
        readonly minValiditySeconds?: number
      }, options?: CallOptions): Promise<ConnectionToken>
  readonly users: {
    /** Lists people who signed in here. */
    list(query?: { readonly limit?: number; readonly cursor?: string; readonly provider?: string; readonly email?: string; readonly state?: 'active' | 'disabled' }, options?: CallOptions): Promise<{
        readonly data: readonly (User)[]
        readonly nextCursor?: string
      }>
    /** One person. */
    find(id: string, options?: CallOptions): Promise<User | undefined>
    /** Deletes a person: everything ends here at once, then at providers and servers. */
    offboard(id: string, options?: CallOptions): Promise<Operation>
  }
  readonly grants: {
    /** Lists the grants of a person or a client: one of them is named. */
    list(query?: { readonly limit?: number; readonly cursor?: string; readonly user?: string; readonly client?: string; readonly state?: 'pending' | 'active' | 'ended' }, options?: CallOptions): Promise<{
        readonly data: readonly (Grant)[]
        readonly nextCursor?: string
      }>
    /** One grant. */
    find(id: string, options?: CallOptions): Promise<Grant | undefined>
    /** Ends a grant: its tokens die here at once, on other nodes within the poll. */
    end(id: string, options?: CallOptions): Promise<undefined>
  }
  readonly clients: {
    /** Lists clients; those of the configuration file stand on the first page. */
    list(query?: { readonly limit?: number; readonly cursor?: string }, options?: CallOptions): Promise<{
        readonly data: readonly (Client)[]
        readonly nextCursor?: string
      }>
    /** One client. */
    find(id: string, options?: CallOptions): Promise<Client | undefined>
    /** Makes a client. */
    create(body: {
        readonly name: string
        readonly redirectUris: readonly (string)[]
        /** With a secret. Default false. */
        readonly confidential?: boolean
      }, options?: CallOptions): Promise<NewClient>
    /** Changes a client. */
    update(id: string, body: {
        readonly name?: string
        readonly redirectUris?: readonly (string)[]
      }, options?: CallOptions): Promise<Client>
    /** Removes a client; its grants end with it. */
    remove(id: string, options?: CallOptions): Promise<undefined>
  }
  readonly sessions: {
    /** Lists signed-in browsers. */
    list(query?: { readonly limit?: number; readonly cursor?: string; readonly user?: string }, options?: CallOptions): Promise<{
        readonly data: readonly (Session)[]
        readonly nextCursor?: string
      }>
    /** One signed-in browser. */
    find(id: string, options?: CallOptions): Promise<Session | undefined>
    /** Signs a browser out. */
    end(id: string, options?: CallOptions): Promise<undefined>
  }
  readonly revocations: {
    /** Ends what exactly one of the fields covers. */
    create(body: {
        /** Of this connector. */
        readonly connector?: string
        /** `usr_...` of who signed in here, or the product's own id. */
        readonly user?: string
        /** Of a person who is named by their product. Default: the one app. */
        readonly app?: string
        /** Client id. */
        readonly client?: string
        /** Name of this tenant, to be sure. */
        readonly tenant?: string
        /** Grants made, tokens issued and accounts connected by then; what began later stays. */
        readonly issuedBefore?: string
        readonly all?: true
      }, options?: CallOptions): Promise<Operation>
  }
  readonly operations: {
    /** How far an operation is. */
    find(id: string, options?: CallOptions): Promise<Operation | undefined>
  }
  readonly caches: {
    /** The caches of the node that answers. */
    list(options?: CallOptions): Promise<{
        readonly data: readonly (Cache)[]
      }>
    /** One key of a cache of the node that answers; never its value. */
    find(name: string, query: { readonly key: string }, options?: CallOptions): Promise<CacheKey | undefined>
    /** Forgets one key, here at once and on the other nodes within seconds. */
    forget(name: string, query: { readonly key: string }, options?: CallOptions): Promise<undefined>
  }
  readonly audit: {
    /** Lists changes; with `Accept: text/csv` or `application/x-ndjson` exports them all. */
    list(query?: { readonly limit?: number; readonly cursor?: string; readonly since?: string; readonly until?: string; readonly actor?: string; readonly event?: string; readonly user?: string }, options?: CallOptions): Promise<{
        readonly data: readonly (AuditEvent)[]
        readonly nextCursor?: string
      }>
  }
  readonly webhooks: {
    /** Lists webhooks, those of the configuration file included. */
    list(query?: { readonly limit?: number; readonly cursor?: string }, options?: CallOptions): Promise<{
        readonly data: readonly (Webhook)[]
        readonly nextCursor?: string
      }>
    /** One webhook. */
    find(id: string, options?: CallOptions): Promise<Webhook | undefined>
    /** Makes a webhook. Its URL is public https. */
    create(body: {
        readonly url: string
        readonly events: readonly (string)[]
      }, options?: CallOptions): Promise<NewWebhook>
    /** Removes a webhook and what it was still to be told. */
    remove(id: string, options?: CallOptions): Promise<undefined>
    /** Sends `webhook.test` once, now. A disabled one that answers 2xx is active again. */
    test(id: string, options?: CallOptions): Promise<WebhookTest>
  }
  readonly apiKeys: {
    /** Lists API keys. None is shown itself. */
    list(query?: { readonly limit?: number; readonly cursor?: string }, options?: CallOptions): Promise<{
        readonly data: readonly (ApiKey)[]
        readonly nextCursor?: string
      }>
    /** One API key. */
    find(id: string, options?: CallOptions): Promise<ApiKey | undefined>
    /** Makes an API key. */
    create(body: {
        readonly name?: string
        readonly role: 'read' | 'connect' | 'tokens' | 'manage'
        readonly app?: string
        readonly connectors?: readonly (string)[]
        readonly expiresAt?: string
      }, options?: CallOptions): Promise<NewApiKey>
    /** Ends an API key: here at once, on every other node within 5 s. */
    end(id: string, options?: CallOptions): Promise<undefined>
  }
  readonly keys: {
    /** Lists signing keys. */
    list(options?: CallOptions): Promise<{
        readonly data: readonly (SigningKey)[]
        readonly nextCursor?: string
      }>
    /** A new signing key; or seals again, with the first sealing key, what older ones sealed. */
    rotate(body: {
        readonly kind: 'signing' | 'sealing'
        /** Signing only: the old keys verify nothing any more, from now on. */
        readonly emergency?: boolean
      }, options?: CallOptions): Promise<RotatedKeys>
  }
}
