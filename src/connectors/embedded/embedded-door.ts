/**
 * Connect embedded in another product, for that product's backend: a session for the element in its
 * page, a trip that its backend starts, and the word that ends either (flows.md section 7). What each
 * of them takes is loaded at the first use.
 */
import type { ConnectHouse } from '../connect/connect-rooms.ts'
import type { Connection } from '../connections/connection-administration.ts'

export interface ConnectSessionInput {
  /** Default: the one app. */
  readonly app?: string
  /** The product's own id of the person who is signed in there, 1 to 256 characters. */
  readonly user: string
  /** Names; default every connector that connects people and has no `allow` of its own. */
  readonly connectors?: readonly string[]
  /** Of the page with the element: one of `apps.<app>.origins`. */
  readonly origin: string
  /** Where a browser without an opener ends: one of `apps.<app>.returnUrls`. */
  readonly returnUrl?: string
}

export interface ConnectSession {
  /** For the element's `fetchSession`: `pcs_` and 256 random bits. Good for 15 minutes. */
  readonly token: string
  /** ISO 8601. */
  readonly expiresAt: string
}

export interface StartInput {
  readonly app?: string
  readonly user: string
  readonly connector: string
  /** One of `apps.<app>.returnUrls`. */
  readonly returnUrl: string
}

export interface StartedConnection {
  /** A page of ours; the browser of the person goes there, once, within 10 minutes. */
  readonly url: string
  readonly expiresAt: string
}

export interface ConfirmInput {
  readonly app?: string
  /** Who is signed in at the product in the browser that brought the confirmation. */
  readonly user: string
  /** `postern-confirmation` of the return URL, or of the element's `postern-confirm`. */
  readonly confirmation: string
  /** Of the connection, where the caller knows it: `attempt` of the return URL. */
  readonly id?: string
}

export interface EmbeddedDoor {
  /**
   * @throws {OAuthError} 422 `ERR_APP_UNKNOWN`, `ERR_APP_ORIGIN`, `ERR_APP_RETURN_URL`; 404
   *   `ERR_CONNECTOR_NOT_FOUND`. @throws {TypeError} for a user that is no name. @throws {StoreError}
   */
  createConnectSession(input: ConnectSessionInput): Promise<ConnectSession>
  /** Writes nothing. @throws as `createConnectSession`. */
  start(input: StartInput): Promise<StartedConnection>
  /**
   * Makes the pending connection usable, once.
   *
   * @param input `connectors`: those that the caller may confirm; absent: all.
   * @throws {OAuthError} 409 `ERR_CONFIRMATION`: unknown, used, too old, of another user, app or
   *   connector, in one code; 422 `ERR_APP_UNKNOWN`. @throws {StoreError}
   */
  confirm(input: ConfirmInput & { readonly connectors?: readonly string[] }): Promise<Connection>
  /** Ends one that is pending: its tokens go back to their server. `undefined`: there is none. */
  withdraw(
    id: string,
    cause: string,
  ): Promise<{ readonly revocation: 'pending' | 'unsupported' } | undefined>
  /** Gives back what nobody confirmed in time, where timers do not. */
  runDue(): Promise<void>
}

/** @param house `undefined` where no connector connects people. */
export function createEmbeddedDoor(house: () => ConnectHouse | undefined): EmbeddedDoor {
  const rooms = async () => {
    const { openEmbedded } = await import('./embedded.ts')
    return openEmbedded(house())
  }
  return {
    createConnectSession: async (input) => (await rooms()).createConnectSession(input),
    start: async (input) => (await rooms()).start(input),
    confirm: async (input) => (await rooms()).confirm(input),
    withdraw: async (...asked) => (await rooms()).withdraw(...asked),
    runDue: async () => (await rooms()).runDue(),
  }
}
