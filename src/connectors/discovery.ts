/**
 * Discovery of remote MCP servers: protected resource metadata, then the metadata of its authorization
 * server, as one chain of exchanges per exact URL and policy.
 *
 * Warm: memory only. Cold: one chain per key at a time, on this node and, by lease, among nodes. Remote
 * down: the last good documents for `discoveryStaleIfErrorSeconds`, across restarts. A document that
 * was refused is never stored. Follows no redirects unless a connector says so.
 * @see design.md section 1, requirements DSC-01 to DSC-21, RFC 9728, RFC 8414, RFC 5861
 */
import type { ConnectorOAuth } from '../config.ts'
import type { ProtectedResourceMetadata } from '../oauth/resource-metadata.ts'
import type { AuthorizationServerMetadata } from '../oauth/server-metadata.ts'
import type { ConnectorProblem } from '../records.ts'

/** Which server, and by which rules. Two targets with the same URL and rules share their documents. */
export interface DiscoveryTarget {
  readonly url: URL
  /** Name of the connector, for `revalidate`: once per connector per 30 s. */
  readonly connector?: string
  /** The configuration file names this server: its origins may be http or private. */
  readonly approved: boolean
  readonly oauth: Pick<
    ConnectorOAuth,
    'pinnedIssuer' | 'endpoints' | 'strictResource' | 'legacyDiscovery' | 'followMetadataRedirects'
  >
  /**
   * Credentials, a registration or an issuer are stored that did *not* come from legacy rules: then
   * what legacy rules find is refused (DSC-10). False for a connector whose accepted issuer was found
   * by them (`source` began with `legacy-`), or it could never be used twice.
   */
  readonly hasCredentials: boolean
}

export type DiscoverySource =
  | 'challenge'
  | 'path'
  | 'root'
  | 'legacy-metadata'
  | 'legacy-endpoints'
  | 'configuration'

export interface Discovered {
  readonly resource: ProtectedResourceMetadata
  readonly authorizationServer: AuthorizationServerMetadata
  readonly source: DiscoverySource
  /** `scope` of the 401 challenge, split. */
  readonly challengeScopes?: readonly string[]
  /** How the server answered without a token (DSC-21); absent: it asked for one first. */
  readonly era?: 'modern' | 'legacy'
  readonly state: 'fresh' | 'stale'
  readonly ageSeconds: number
  /** Why the last renewal failed, while older documents are served. */
  readonly problem?: ConnectorProblem
}

export type DiscoveryResult =
  | { readonly ok: true; readonly discovered: Discovered }
  /** `refused`: somebody said something that is not used. `unreachable`: nobody said anything. */
  | {
      readonly ok: false
      readonly state: 'refused' | 'unreachable'
      readonly problem: ConnectorProblem
      readonly retryAfterMs?: number
    }

export interface DiscoveryEngine {
  /** Memory only, no exchange. Starts the renewal behind when what it gives is stale. */
  peek(target: DiscoveryTarget): Discovered | undefined
  /**
   * Asks when memory has nothing. Never rejects.
   *
   * @param options.deadlineMs Longest wait of this caller, at most `discoveryTimeoutMs`.
   * @param options.retry A person asked again: skips remembered failures, never the breaker (DSC-18).
   */
  read(
    target: DiscoveryTarget,
    options: { readonly deadlineMs: number; readonly retry?: boolean },
  ): Promise<DiscoveryResult>
  /** Soft (DSC-19): asked again behind, last good kept, once per connector per 30 s. */
  revalidate(
    target: DiscoveryTarget,
    reason: 'challenge' | 'invalid_client' | 'endpoint_gone',
  ): void
  /** Hard (DSC-19): forgotten here and in the store before it resolves. */
  drop(target: DiscoveryTarget, reason: 'asked' | 'url_changed' | 'issuer_mismatch'): Promise<void>
  /** Renewed ahead of expiry from now on, for as long as the engine is open. */
  keepWarm(target: DiscoveryTarget): void
  close(): Promise<void>
}
