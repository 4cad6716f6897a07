/**
 * Connections: a person's account at a connector, one per person and connector.
 *
 * A connection's row and the vault record with its tokens are written in one commit with an audit
 * row. Connecting again replaces; what was there before is queued for revocation. Ending counts
 * here at once, then on the other nodes, then at the server (flows.md section 11).
 */
import type { TokenSet } from '../oauth/token-answer.ts'

export interface ConnectionView {
  readonly connectionId: string
  readonly userId: string
  readonly connector: string
  readonly vaultId: string
  /** `reconnect`: its server refused us; only the person can make it good. */
  readonly state: 'active' | 'reconnect' | 'ended'
  readonly cause?: string
  readonly scopes: readonly string[]
  readonly requestedScopes: readonly string[]
  readonly accountLabel?: string
  readonly accountSubject?: string
  /** Of the access token; absent: the server did not say. */
  readonly expiresAtMs?: number
  readonly connectedAtMs: number
  readonly refreshedAtMs?: number
}

export interface ConnectInput {
  readonly userId: string
  readonly connector: string
  readonly issuer: string
  readonly tokenOrigin: string
  /** What the tokens are for; the connector's URL when the parameter is left out. */
  readonly resource: string
  readonly clientId: string
  readonly tokens: TokenSet
  /** As granted. */
  readonly scopes: readonly string[]
  readonly requestedScopes: readonly string[]
  readonly account?: { readonly subject?: string; readonly label?: string }
}

export interface Connections {
  find(userId: string, connector: string): Promise<ConnectionView | undefined>
  findById(connectionId: string): Promise<ConnectionView | undefined>
  /** Those of a person that have not ended. */
  list(userId: string): Promise<readonly ConnectionView[]>
  /**
   * Writes a connection whose tokens have just arrived; an older one is replaced and revoked.
   *
   * @throws {OAuthError} `access_denied` when the person was deleted or disabled meanwhile.
   */
  connect(input: ConnectInput): Promise<ConnectionView>
  /** `undefined`: there is none, or it has ended before. */
  end(
    connectionId: string,
    cause: string,
  ): Promise<{ readonly revocation: 'pending' | 'unsupported' } | undefined>
}
