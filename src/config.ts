/**
 * The configuration: what a user writes (`PosternConfig`) and what the house runs on (`Config`).
 *
 * One file plus environment: flag > environment > file > default. Parsed once, frozen, unknown
 * names refused with the nearest known one. The table of scalar fields is `config/fields.ts`,
 * from which `docs/configuration.md` is generated.
 */
import type { AppConfig, AppInput } from './config/apps.ts'
import type {
  Capability,
  ClaimName,
  GrantType,
  Limits,
  LogFormat,
  LogLevel,
} from './config/fields.ts'
import type { SignalReceiver, SignalReceiverInput } from './config/signals.ts'
import type { TenantInput } from './config/tenants.ts'
import type {
  AssertionIssuer,
  AssertionIssuerInput,
  ExchangeInput,
  ExchangePolicy,
} from './config/token-policies.ts'
import type { WebhookConfig, WebhookInput } from './config/webhooks.ts'
import type { AllowRule as Allow } from './oauth/allow.ts'
import type { ClientKeySet } from './oauth/client-keys.ts'
import type { ScopeTable } from './oauth/scope-table.ts'
import type { AuthorizationEndpoints } from './oauth/server-metadata.ts'
import type { PosternEvent } from './ports.ts'
import type { Provider, ProviderEntry } from './providers/provider.ts'
import type { Secret } from './secret.ts'

export type { AppInput } from './config/apps.ts'
export type { Capability, ClaimName, Limits } from './config/fields.ts'
export type { SignalReceiverInput } from './config/signals.ts'
export type { TenantInput } from './config/tenants.ts'
export type { AllowRule as Allow } from './oauth/allow.ts'

/** A remote MCP server as a user writes it. Name: `[a-z0-9-]{1,40}`, part of URLs. */
export interface ConnectorInput {
  /** The MCP endpoint. Standing here approves its exact origin, private or http included. */
  readonly url?: string
  /** A known server instead of `url`, with what is particular about it; names: docs/connectors.md. */
  readonly preset?: string
  /**
   * Default `identity`, a short-lived JWT of ours; `oauth` with `preset`. `header` sends a fixed secret,
   * `oauth` a token of the person's own connection, `client_credentials` one of this house.
   */
  readonly auth?: 'none' | 'identity' | 'header' | 'oauth' | 'client_credentials'
  readonly header?: { readonly name?: string; readonly value?: string }
  /** Public path, default `/mcp/<name>`; one connector may take `/mcp`. */
  readonly path?: string
  /** Other paths of the same server; a trailing `*` matches the rest of the path. */
  readonly routes?: { readonly protected?: readonly string[]; readonly public?: readonly string[] }
  readonly allow?: Allow
  /** `identity` only: `sub` is our user id, or the subject at the sign-in provider. Default `postern`. */
  readonly subject?: 'postern' | 'provider'
  /** Released in the identity JWT. Default none. */
  readonly claims?: readonly ClaimName[]
  /**
   * What a token needs besides `mcp`, by scope name. A call needs every scope that matches it; `mcp` is
   * for what no scope names. Bodies of calls are read before they are forwarded. Default: `mcp` alone.
   */
  readonly scopes?: Readonly<Record<string, ScopeInput>>
  /**
   * Longest time since the person signed in at the provider; older: 401
   * `insufficient_user_authentication` (RFC 9470). Default no limit.
   */
  readonly maxAuthAgeSeconds?: number
  /** Accepted `acr` values, in the words of the sign-in provider (RFC 9470). Default any. */
  readonly acrValues?: readonly string[]
  /**
   * `oauth` and `client_credentials`, which needs it: our client at the server's authorization server, as
   * registered there by hand. Default: what that server offers.
   */
  readonly client?: {
    readonly clientId?: string
    readonly clientSecret?: string
    readonly authMethod?: 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
  }
  /** Scopes to ask for there. Default what the server's challenge or metadata name. */
  readonly requestedScopes?: readonly string[]
  /** The `issuer` that its metadata says, where it is not the one that its server names. */
  readonly pinnedIssuer?: string
  /** Of an authorization server without metadata: nothing is discovered. */
  readonly endpoints?: AuthorizationEndpoints
  /** Leaves `resource` out, for servers that refuse it (RFC 8707). Default false. */
  readonly omitResource?: boolean
  /** `resource` of its metadata must be `url` to the letter. Default false. */
  readonly strictResource?: boolean
  /** Tries how servers were found before they had resource metadata (2025-03-26). Default true. */
  readonly legacyDiscovery?: boolean
  /** Follows redirects of its metadata documents on their own origin. Default false. */
  readonly followMetadataRedirects?: boolean
  readonly title?: string
  readonly description?: string
  readonly enabled?: boolean
}

/** One scope of a connector. Patterns: an exact name, or a prefix that ends in `*`. */
export interface ScopeInput {
  /** What it allows, in words, for the consent page. */
  readonly title?: string
  /** Tools that need it. */
  readonly tools?: readonly string[]
  /** JSON-RPC methods that need it. */
  readonly methods?: readonly string[]
  /** Other scopes of this connector, or `mcp`, that it includes; transitive. */
  readonly implies?: readonly string[]
  /** Scopes it needs at a sign-in provider, by provider id: asked for at sign-in. */
  readonly upstream?: Readonly<Record<string, readonly string[]>>
}

/** A client registered by hand. `secret`, `jwks` or `jwksUri`, one of them, makes it confidential. */
export interface StaticClientInput {
  readonly name?: string
  /** May be left out when `grants` has no `authorization_code`. */
  readonly redirectUris?: readonly string[]
  readonly secret?: string
  /** Public keys of a `private_key_jwt` client, or where it publishes them (https). */
  readonly jwks?: { readonly keys: readonly object[] }
  readonly jwksUri?: string
  /** Grant types it may use. Default `authorization_code` and `refresh_token`. */
  readonly grants?: readonly GrantType[]
  /** Scopes it may ask for. Default all of a resource. */
  readonly scopes?: readonly string[]
  /** Resources it may ask for, as published. Default all. */
  readonly resources?: readonly string[]
  /** Token exchange (`enable: ['token-exchange']`); absent: none. */
  readonly exchange?: ExchangeInput
}

/** What `postern.config.ts` exports and `createPostern` takes. Every field has a default but `allow`. */
export interface PosternConfig {
  /**
   * Public URL of this house, https unless loopback, without a trailing slash; everything of it lives
   * below its path. Default `http://127.0.0.1:<port>`.
   */
  readonly issuer?: string
  readonly listen?: {
    /** Default `127.0.0.1`. */
    readonly host?: string
    /** Default 8414; 0 takes a free one. */
    readonly port?: number
    /** Default 9464; 0 = no metrics. */
    readonly metricsPort?: number
    /** Addresses whose `Forwarded` or `X-Forwarded-For` counts. Default none. */
    readonly trustedProxies?: readonly string[]
  }
  /** Moves pages and API, and a mounted house's endpoints, below this path. Default none. */
  readonly prefix?: string
  /** `sqlite:<file>` or `memory:`. Default `sqlite:.postern/postern.db`. */
  readonly databaseUrl?: string
  /** 32 bytes base64url; several with commas: the first seals, all open. Made for a loopback issuer. */
  readonly sealingKey?: string
  /** A first API key with the role `manage`, 32 to 512 visible ASCII characters. Default none. */
  readonly adminApiKey?: string
  /** Identity providers, in the order of the buttons. Default none: nobody signs in. */
  readonly providers?: readonly ProviderEntry[]
  /** Who may sign in. Required with `providers` unless the issuer is loopback. */
  readonly allow?: Allow
  /** Remote MCP servers by name. */
  readonly connectors?: Readonly<Record<string, ConnectorInput>>
  /** Public URLs of servers that use `protect()`; `credential` (32 characters or more) for another process. */
  readonly resources?: readonly (string | { readonly url: string; readonly credential?: string })[]
  /** Of a request that names none, when there are several. */
  readonly defaultResource?: string
  /** Scope names of migrated clients -> ours, e.g. `{ user: 'mcp' }`. */
  readonly scopeAliases?: Readonly<Record<string, string>>
  /** Products that embed Connect, by name: where their pages are, and where a trip may end. */
  readonly apps?: Readonly<Record<string, AppInput>>
  /** Clients registered by hand, by client id. */
  readonly clients?: Readonly<Record<string, StaticClientInput>>
  /**
   * Dynamic registration (RFC 7591) and Client ID Metadata Documents, default both; hosts that redirect
   * URIs may have, default all https.
   */
  readonly registration?: {
    readonly dynamic?: boolean
    readonly metadataDocuments?: boolean
    readonly redirectHosts?: readonly string[]
    /** Hosts whose metadata documents are accepted; empty: all public ones. */
    readonly documentHosts?: readonly string[]
  }
  /**
   * Loopback issuer only: a page where one types a name and is believed. It gives away that anybody
   * who reaches this server signs in as anybody. Default false; told at every start.
   */
  readonly insecureDevelopmentSignIn?: boolean
  /** Optional grants and endpoints, off until named. Default none. */
  readonly enable?: readonly Capability[]
  /** Who may post shared signals to `/events/<name>` (`enable: ['shared-signals']`). Default nobody. */
  readonly signals?: Readonly<Record<string, SignalReceiverInput>>
  /** Whose identity assertions are believed (`enable: ['id-jag']`). Default nobody's. */
  readonly assertionIssuers?: readonly AssertionIssuerInput[]
  /** Who is told of which events (docs/webhooks.md). Default nobody. */
  readonly webhooks?: readonly WebhookInput[]
  /** Rules of outbound requests; origins of this file are approved besides. */
  readonly egress?: {
    readonly allowHosts?: readonly string[]
    readonly denyHosts?: readonly string[]
    readonly proxyUrl?: string
    readonly extraCaFile?: string
  }
  readonly brand?: {
    readonly name?: string
    readonly accentColor?: string
    readonly supportUrl?: string
  }
  readonly log?: {
    readonly level?: LogLevel
    readonly format?: LogFormat
  }
  /** Called with every event, never awaited; a throw is dropped. TypeScript only. */
  readonly onEvent?: (event: PosternEvent) => void
  /** Numbers with their unit in their name; defaults and ranges: docs/configuration.md. */
  readonly limits?: Partial<Limits>
  /**
   * Houses of their own in this process and database, by name (`[a-z0-9-]{1,40}`, at most 100): own
   * issuer, default `<issuer>/t/<name>`, own keys, people, clients, connectors. Default none.
   */
  readonly tenants?: Readonly<Record<string, TenantInput>>
}

export interface ConnectorConfig {
  readonly name: string
  readonly url: URL
  readonly auth: 'none' | 'identity' | 'header' | 'oauth' | 'client_credentials'
  readonly header?: { readonly name: string; readonly value: Secret }
  /** Made of this preset: a public server, whose addresses are checked like everybody's. */
  readonly preset?: string
  /** By the API: no origin of it is approved, and `sub` is pairwise (flows.md section 12). */
  readonly made?: true
  /** When: one that was removed and made again is another one. */
  readonly madeAtMs?: number
  /** Of one made by the API: last change of what it is. Tokens of before are not for its server. */
  readonly definedAtMs?: number
  /** Of one made by the API: what its people allowed before this is void. Milliseconds. */
  readonly releasedAtMs?: number
  /** `oauth` and `client_credentials` only. */
  readonly oauth?: ConnectorOAuth
  readonly path: string
  /** issuer + path: the audience of our tokens for it. */
  readonly resource: string
  readonly routes: { readonly protected: readonly string[]; readonly public: readonly string[] }
  readonly allow?: Allow
  readonly subject: 'postern' | 'provider'
  readonly claims: readonly ClaimName[]
  /** Absent: exactly `mcp`, and no body is read. */
  readonly scopes?: ScopeTable
  /** How the person must have been authenticated (RFC 9470). Absent: no rule. */
  readonly stepUp?: {
    readonly maxAuthAgeSeconds?: number
    readonly acrValues?: readonly string[]
  }
  readonly title?: string
  readonly description?: string
  readonly enabled: boolean
}

/** How we are a client of a connector's authorization server (api.md section 1). */
export interface ConnectorOAuth {
  /** Registered by hand at the server's authorization server. */
  readonly client?: {
    readonly clientId: string
    readonly clientSecret?: Secret
    /** Absent: the first that the server lists and that fits; `client_secret_basic` when it lists none. */
    readonly authMethod?: 'none' | 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt'
  }
  readonly requestedScopes?: readonly string[]
  /** Takes the place of the comparison of issuers (DSC-08). */
  readonly pinnedIssuer?: string
  /** Nothing is discovered (DSC-08, DSC-09). */
  readonly endpoints?: AuthorizationEndpoints
  readonly omitResource: boolean
  readonly strictResource: boolean
  readonly legacyDiscovery: boolean
  readonly followMetadataRedirects: boolean
}

export interface StaticClient {
  readonly clientId: string
  readonly name?: string
  readonly redirectUris: readonly string[]
  readonly secret?: Secret
  readonly jwks?: ClientKeySet
  readonly jwksUri?: string
  /** Default `authorization_code` and `refresh_token`. */
  readonly grants?: readonly GrantType[]
  readonly scopes?: readonly string[]
  readonly resources?: readonly string[]
  readonly exchange?: ExchangePolicy
}

/** A server that uses `protect()`: its own public URL; `credential` for another process. */
export interface ResourceConfig {
  readonly url: string
  readonly credential?: Secret
}

/** The parsed, frozen configuration. */
export interface Config {
  /** Name of the tenant whose house this is; absent: the outer house. */
  readonly tenant?: string
  /** In the order of the file; absent: none. */
  readonly tenants?: readonly Config[]
  /** Issuers of the other houses of this process; absent: there are none. */
  readonly neighbours?: readonly string[]
  readonly issuer: string
  /** The issuer is http on a loopback host: `allow` may be absent, the sealing key may be made. */
  readonly development: boolean
  readonly listen: {
    readonly host: string
    readonly port: number
    readonly metricsPort: number
    readonly trustedProxies: readonly string[]
  }
  readonly prefix: string
  readonly databaseUrl: string
  /** 32 bytes each: the first seals, all open. Empty only in development, where one is made. */
  readonly sealingKeys: readonly Uint8Array[]
  readonly adminApiKey?: Secret
  readonly providers: readonly Provider[]
  readonly allow?: Allow
  readonly connectors: readonly ConnectorConfig[]
  readonly resources: readonly ResourceConfig[]
  readonly defaultResource?: string
  readonly scopeAliases: Readonly<Record<string, string>>
  readonly clients: readonly StaticClient[]
  /** Default none. */
  readonly apps?: readonly AppConfig[]
  readonly registration: {
    readonly dynamic: boolean
    readonly metadataDocuments: boolean
    readonly redirectHosts: readonly string[]
    /** Absent or empty: all public ones. */
    readonly documentHosts?: readonly string[]
  }
  readonly enable: readonly Capability[]
  /** Default none. */
  readonly signals?: readonly SignalReceiver[]
  /** Default none. */
  readonly assertionIssuers?: readonly AssertionIssuer[]
  /** Default none. */
  readonly webhooks?: readonly WebhookConfig[]
  readonly egress: {
    readonly allowHosts: readonly string[]
    readonly denyHosts: readonly string[]
    readonly proxyUrl?: string
    readonly extraCaFile?: string
  }
  readonly brand: {
    readonly name: string
    readonly accentColor?: string
    readonly supportUrl?: string
  }
  readonly log: {
    readonly level: LogLevel
    readonly format: LogFormat
  }
  readonly onEvent?: (event: PosternEvent) => void
  readonly limits: Limits
}

/** Types a configuration in an editor; returns it unchanged. */
export function defineConfig(config: PosternConfig): PosternConfig {
  return config
}

export { parseConfig } from './config/parse.ts'
