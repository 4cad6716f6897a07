/**
 * Shapes of the REST API. Generated from the table of routes (`src/api/table.ts`); `npm run fix`
 * writes it again.
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
  /** `pending`: waits for the product's word; never in a list. */
  readonly state: 'pending' | 'active' | 'reconnect' | 'ended'
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
  /** `pending`: waits for the product's word; never in a list. */
  readonly state: 'pending' | 'active' | 'reconnect' | 'ended'
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
