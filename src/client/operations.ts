/**
 * Calls of the REST API and their types. Generated from the table of routes (`src/api/table.ts`);
 * `npm run fix` writes it again.
 */
export type ApiKey = {
  readonly id: string
  readonly name?: string
  readonly role: 'read' | 'connect' | 'tokens' | 'manage'
  readonly app?: string
  readonly connectors?: readonly (string)[]
  readonly createdAt: string
  /** To the minute. */
  readonly usedAt?: string
  readonly expiresAt?: string
}

export type AuditEvent = {
  readonly id: string
  readonly event: string
  readonly createdAt: string
  /** Id of the API key that did it, `admin` or `cli`. */
  readonly actor?: string
  readonly userId?: string
  readonly clientId?: string
  readonly connector?: string
  readonly webhookId?: string
  readonly detail: string
}

export type Cache = {
  readonly name: string
  readonly entries: number
  readonly bytes: number
  /** Reads since the start of this node. */
  readonly outcomes: {
    readonly hit: number
    readonly stale: number
    readonly miss: number
    readonly negative: number
    readonly error: number
  }
}

export type CacheKey = {
  readonly key: string
  readonly state: 'hit' | 'stale' | 'miss' | 'negative' | 'error'
  readonly ageSeconds?: number
}

export type Client = {
  readonly id: string
  readonly name?: string
  readonly redirectUris: readonly (string)[]
  readonly authMethod: string
  readonly source: 'file' | 'registered' | 'operator'
  readonly createdAt?: string
  readonly usedAt?: string
  /** When it ends unless it is used. */
  readonly expiresAt?: string
}

export type ConnectSession = {
  /** For the element's `fetchSession`; shown once. */
  readonly token: string
  readonly expiresAt: string
}

export type Connection = {
  readonly id: string
  /** The embedding product; absent: somebody who signed in here. */
  readonly app?: string
  /** The product's own id of the person, or `usr_...`. */
  readonly user: string
  readonly connector: string
  readonly state: 'active' | 'reconnect' | 'ended'
  readonly cause?: string
  readonly scopes: readonly (string)[]
  readonly accountLabel?: string
  readonly expiresAt?: string
  readonly connectedAt: string
  readonly refreshedAt?: string
}

export type ConnectionToken = {
  /** For the origin of the connector's URL and for no other. */
  readonly accessToken: string
  readonly tokenType: 'Bearer' | 'DPoP'
  readonly expiresAt?: string
  readonly scopes: readonly (string)[]
  readonly connectionId: string
}

export type Connector = {
  readonly url: string
  /** A known server in the place of `url`. */
  readonly preset?: string
  readonly auth: 'none' | 'identity' | 'header' | 'oauth' | 'client_credentials'
  /** Public path; default `/mcp/<name>`. */
  readonly path?: string
  readonly routes?: {
    readonly protected?: readonly (string)[]
    readonly public?: readonly (string)[]
  }
  readonly allow?: 'anyone' | {
    readonly emails?: readonly (string)[]
    readonly emailDomains?: readonly (string)[]
    readonly users?: readonly (string)[]
    readonly groups?: readonly (string)[]
    readonly roles?: readonly (string)[]
    readonly githubOrganizations?: readonly (string)[]
    readonly githubTeams?: readonly (string)[]
    readonly entraTenants?: readonly (string)[]
  }
  readonly claims?: readonly ('name' | 'email' | 'email_verified' | 'login' | 'preferred_username' | 'picture' | 'avatar_url' | 'groups')[]
  readonly scopes?: Readonly<Record<string, {
    readonly title?: string
    readonly tools?: readonly (string)[]
    readonly methods?: readonly (string)[]
    readonly implies?: readonly (string)[]
    readonly upstream?: Readonly<Record<string, readonly (string)[]>>
  }>>
  readonly maxAuthAgeSeconds?: number
  readonly acrValues?: readonly (string)[]
  readonly requestedScopes?: readonly (string)[]
  readonly pinnedIssuer?: string
  readonly endpoints?: {
    readonly authorization: string
    readonly token: string
    readonly registration?: string
    readonly revocation?: string
  }
  readonly omitResource?: boolean
  readonly strictResource?: boolean
  readonly legacyDiscovery?: boolean
  readonly followMetadataRedirects?: boolean
  readonly title?: string
  readonly description?: string
  readonly enabled?: boolean
  readonly header?: {
    readonly name?: string
  }
  readonly client?: {
    readonly clientId?: string
    readonly authMethod?: 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
  }
  readonly name: string
  /** The audience of our tokens for it. */
  readonly resource: string
  readonly madeBy: 'file' | 'api'
  readonly state: 'ready' | 'degraded' | 'unreachable' | 'quarantined' | 'disabled'
  readonly discovery?: {
    readonly issuer: string
    readonly ageSeconds: number
    readonly state: string
    readonly source: string
    readonly checkedAt: string
  }
  readonly problems: readonly ({
    readonly party: 'server' | 'authorization-server' | 'here'
    readonly code: string
    readonly text: string
    readonly requirement: string
  })[]
  /** What an approval has to name. */
  readonly refusedOrigin?: string
}

export type ConnectorInput = {
  /** The MCP endpoint, of a public server. */
  readonly url?: string
  /** A known server in the place of `url`. */
  readonly preset?: string
  readonly auth?: 'none' | 'identity' | 'header' | 'oauth' | 'client_credentials'
  readonly header?: {
    readonly name?: string
    readonly value?: string
  }
  /** Public path; default `/mcp/<name>`. */
  readonly path?: string
  readonly routes?: {
    readonly protected?: readonly (string)[]
    readonly public?: readonly (string)[]
  }
  readonly allow?: 'anyone' | {
    readonly emails?: readonly (string)[]
    readonly emailDomains?: readonly (string)[]
    readonly users?: readonly (string)[]
    readonly groups?: readonly (string)[]
    readonly roles?: readonly (string)[]
    readonly githubOrganizations?: readonly (string)[]
    readonly githubTeams?: readonly (string)[]
    readonly entraTenants?: readonly (string)[]
  }
  readonly claims?: readonly ('name' | 'email' | 'email_verified' | 'login' | 'preferred_username' | 'picture' | 'avatar_url' | 'groups')[]
  readonly scopes?: Readonly<Record<string, {
    readonly title?: string
    readonly tools?: readonly (string)[]
    readonly methods?: readonly (string)[]
    readonly implies?: readonly (string)[]
    readonly upstream?: Readonly<Record<string, readonly (string)[]>>
  }>>
  readonly maxAuthAgeSeconds?: number
  readonly acrValues?: readonly (string)[]
  readonly client?: {
    readonly clientId?: string
    readonly clientSecret?: string
    readonly authMethod?: 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
  }
  readonly requestedScopes?: readonly (string)[]
  readonly pinnedIssuer?: string
  readonly endpoints?: {
    readonly authorization: string
    readonly token: string
    readonly registration?: string
    readonly revocation?: string
  }
  readonly omitResource?: boolean
  readonly strictResource?: boolean
  readonly legacyDiscovery?: boolean
  readonly followMetadataRedirects?: boolean
  readonly title?: string
  readonly description?: string
  readonly enabled?: boolean
}

export type ConnectorPatch = {
  readonly url?: string | null
  readonly preset?: string | null
  readonly auth?: 'none' | 'identity' | 'header' | 'oauth' | 'client_credentials' | null
  readonly header?: {
    readonly name?: string | null
    readonly value?: string | null
  } | null
  readonly path?: string | null
  readonly routes?: {
    readonly protected?: readonly (string)[] | null
    readonly public?: readonly (string)[] | null
  } | null
  readonly allow?: 'anyone' | {
    readonly emails?: readonly (string)[]
    readonly emailDomains?: readonly (string)[]
    readonly users?: readonly (string)[]
    readonly groups?: readonly (string)[]
    readonly roles?: readonly (string)[]
    readonly githubOrganizations?: readonly (string)[]
    readonly githubTeams?: readonly (string)[]
    readonly entraTenants?: readonly (string)[]
  } | null
  readonly claims?: readonly ('name' | 'email' | 'email_verified' | 'login' | 'preferred_username' | 'picture' | 'avatar_url' | 'groups')[] | null
  readonly scopes?: Readonly<Record<string, {
    readonly title?: string
    readonly tools?: readonly (string)[]
    readonly methods?: readonly (string)[]
    readonly implies?: readonly (string)[]
    readonly upstream?: Readonly<Record<string, readonly (string)[]>>
  }>> | null
  readonly maxAuthAgeSeconds?: number | null
  readonly acrValues?: readonly (string)[] | null
  readonly client?: {
    readonly clientId?: string | null
    readonly clientSecret?: string | null
    readonly authMethod?: 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt' | null
  } | null
  readonly requestedScopes?: readonly (string)[] | null
  readonly pinnedIssuer?: string | null
  readonly endpoints?: {
    readonly authorization?: string
    readonly token?: string
    readonly registration?: string
    readonly revocation?: string
  } | null
  readonly omitResource?: unknown
  readonly strictResource?: unknown
  readonly legacyDiscovery?: unknown
  readonly followMetadataRedirects?: unknown
  readonly title?: string | null
  readonly description?: string | null
  readonly enabled?: unknown
}

export type EndedConnection = {
  readonly id: string
  /** The embedding product; absent: somebody who signed in here. */
  readonly app?: string
  /** The product's own id of the person, or `usr_...`. */
  readonly user: string
  readonly connector: string
  readonly state: 'active' | 'reconnect' | 'ended'
  readonly cause?: string
  readonly scopes: readonly (string)[]
  readonly accountLabel?: string
  readonly expiresAt?: string
  readonly connectedAt: string
  readonly refreshedAt?: string
  readonly revocation: 'confirmed' | 'pending' | 'unsupported'
}

export type Grant = {
  readonly id: string
  readonly userId: string
  readonly clientId: string
  readonly resource: string
  readonly scopes: readonly (string)[]
  readonly state: 'pending' | 'active' | 'ended'
  readonly cause?: string
  readonly createdAt: string
  /** When it ends unless it is used. */
  readonly expiresAt: string
}

export type NewApiKey = {
  readonly id: string
  readonly name?: string
  readonly role: 'read' | 'connect' | 'tokens' | 'manage'
  readonly app?: string
  readonly connectors?: readonly (string)[]
  readonly createdAt: string
  /** To the minute. */
  readonly usedAt?: string
  readonly expiresAt?: string
  /** `ptk_...`, shown once. */
  readonly key: string
}

export type NewClient = {
  readonly id: string
  readonly name?: string
  readonly redirectUris: readonly (string)[]
  readonly authMethod: string
  readonly source: 'file' | 'registered' | 'operator'
  readonly createdAt?: string
  readonly usedAt?: string
  /** When it ends unless it is used. */
  readonly expiresAt?: string
  /** Of a confidential client; shown once. */
  readonly secret?: string
}

export type NewWebhook = {
  readonly id: string
  readonly url: string
  readonly events: readonly (string)[]
  readonly state: 'active' | 'disabled'
  /** Why it was disabled. */
  readonly cause?: string
  readonly source: 'api' | 'file'
  readonly createdAt?: string
  readonly disabledAt?: string
  /** `whsec_...` for `verifyWebhook`; shown once. */
  readonly secret: string
}

export type Operation = {
  readonly id: string
  readonly type: 'offboard' | 'revocation'
  readonly state: 'running' | 'done' | 'failed'
  /** Steps that are done. */
  readonly done: number
  readonly total: number
  readonly startedAt: string
  readonly finishedAt?: string
  /** What was done, and what waits. */
  readonly result?: Readonly<Record<string, unknown>>
}

export type Problem = {
  /** Explains the code. */
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly param?: string
  readonly errors?: readonly ({
    readonly param: string
    readonly code: string
    readonly detail: string
  })[]
  readonly connector?: string
  readonly state?: string
  readonly cause?: string
  readonly requestId: string
}

export type RotatedKeys = {
  /** `kid` of the new signing key; absent: none was needed. */
  readonly id?: string
  /** Signing keys that verify nothing any more. */
  readonly withdrawn?: readonly (string)[]
  readonly resealed?: number
  /** In use just now: rotate again. */
  readonly left?: number
  readonly unreadable?: number
}

export type Session = {
  /** Absent of one that an older release made. */
  readonly id?: string
  readonly userId: string
  readonly provider: string
  readonly createdAt: string
  readonly lastSeenAt: string
  readonly expiresAt: string
}

export type SigningKey = {
  /** `kid` */
  readonly id: string
  readonly state: 'next' | 'current' | 'old'
  readonly publishedAt: string
  readonly activeAt: string
  readonly retiredAt?: string
  readonly expiresAt?: string
}

export type User = {
  readonly id: string
  readonly provider: string
  /** At the provider. */
  readonly subject: string
  readonly state: 'active' | 'disabled'
  readonly profile: {
    readonly name?: string
    readonly email?: string
    readonly emailVerified?: boolean
    readonly login?: string
    readonly pictureUrl?: string
  }
  readonly groups: readonly (string)[]
  readonly createdAt: string
  readonly lastSignInAt: string
}

export type Webhook = {
  readonly id: string
  readonly url: string
  readonly events: readonly (string)[]
  readonly state: 'active' | 'disabled'
  /** Why it was disabled. */
  readonly cause?: string
  readonly source: 'api' | 'file'
  readonly createdAt?: string
  readonly disabledAt?: string
}

export type WebhookTest = {
  readonly delivered: boolean
  readonly status?: number
  readonly reason?: string
}

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
