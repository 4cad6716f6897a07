/**
 * The access tokens of connections in memory, so that a warm call reads no store: loaded and
 * refreshed on demand, refreshed ahead of their end while in use, forgotten on marks.
 *
 * Bounded by count and size. Never gives a token of another person, never one that has ended here.
 */

export type HeldToken =
  | {
      readonly state: 'token'
      readonly accessToken: string
      readonly expiresAtMs?: number
      readonly scopes: readonly string[]
      readonly connectionId: string
      /** The only origin that the token may be sent to (CLI-21). */
      readonly resourceOrigin: string
    }
  | { readonly state: 'missing' | 'reconnect'; readonly cause?: string }
  /** Nothing in memory: `load`. */
  | { readonly state: 'cold' }

/** The server or the store cannot say now. */
export interface UnknownToken {
  readonly state: 'unknown'
  readonly retryAfterMs?: number
}

export interface LoadOptions {
  /** Longest wait of this caller. */
  readonly deadlineMs: number
  /** Least life left; at most half of the token's whole life is honoured. Default 0. */
  readonly minValidityMs?: number
}

export interface ConnectionTokens {
  /** Memory only. */
  peek(userId: string, connector: string): HeldToken
  /** @throws {StoreError} when the store cannot be read. */
  load(userId: string, connector: string, options: LoadOptions): Promise<HeldToken | UnknownToken>
  /**
   * The server answered 401 to this token: another one, if there is one or a refresh brings one. At
   * most one refresh a minute however often it answers so (O8); then `reconnect`.
   */
  refused(
    userId: string,
    connector: string,
    accessToken: string,
    deadlineMs: number,
  ): Promise<HeldToken | UnknownToken>
  /** Memory only: the token of a connector with `client_credentials`. */
  machine(connector: string): HeldToken
  loadMachine(connector: string, options: LoadOptions): Promise<HeldToken | UnknownToken>
  refusedMachine(
    connector: string,
    accessToken: string,
    deadlineMs: number,
  ): Promise<HeldToken | UnknownToken>
  forget(vaultId: string): void
  /** Drops what is remembered of one person at one connector. */
  drop(userId: string, connector: string): void
  close(): void
}
