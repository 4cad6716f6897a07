/**
 * The connectors' part of what happens to tokens in the vault: refreshed and revoked at the
 * connector's own authorization server. The room that can do it opens later than the vault; until
 * then every answer is *unknown*, which ends nothing.
 */
import type { TokenSet } from '../oauth/token-answer.ts'
import type { Values } from '../records.ts'
import type { RefreshAnswer } from './refresh.ts'
import type { VaultRecord } from './vault.ts'

export type RevokedThere =
  | { readonly outcome: 'confirmed' }
  /** The server offers no revocation: nothing more can be done. */
  | { readonly outcome: 'unsupported' }
  | { readonly outcome: 'unknown'; readonly reason: string }

export interface ConnectorSide {
  refresh(record: VaultRecord, tokens: TokenSet): Promise<RefreshAnswer>
  /** Refresh token first, then the access token (RFC 7009 section 2.1). */
  revoke(duty: Values['duty'], tokens: TokenSet): Promise<RevokedThere>
}

export interface LateConnectorSide extends ConnectorSide {
  attach(side: ConnectorSide): void
}

export function createLateConnectorSide(): LateConnectorSide {
  let attached: ConnectorSide | undefined
  return {
    attach(side) {
      attached = side
    },
    refresh: async (record, tokens) =>
      attached === undefined ? { outcome: 'unknown' } : attached.refresh(record, tokens),
    revoke: async (duty, tokens) =>
      attached === undefined
        ? { outcome: 'unknown', reason: 'connector_not_open' }
        : attached.revoke(duty, tokens),
  }
}
