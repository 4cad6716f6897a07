/**
 * Connectors at whose authorization server we are a client: which they are, and what makes one another.
 * Small, because every start reads it; the rooms behind are loaded only where there is one.
 */
import type { Config, ConnectorConfig, ConnectorOAuth } from '../../config.ts'
import type { Runtime } from '../../ports.ts'

export type OutboundConnector = ConnectorConfig & { readonly oauth: ConnectorOAuth }

export function outboundConnectors(config: Pick<Config, 'connectors'>): OutboundConnector[] {
  return config.connectors.filter(isOutbound)
}

export function isOutbound(connector: ConnectorConfig): connector is OutboundConnector {
  const { auth, enabled, oauth } = connector
  return enabled && (auth === 'oauth' || auth === 'client_credentials') && oauth !== undefined
}

/**
 * Digest of what a connector is: another URL, kind of authentication, client or pin starts anew, and
 * what was stored for the old one is not used (O5). A new secret of the same client changes nothing.
 */
export function definitionOf(
  runtime: Pick<Runtime, 'sha256'>,
  { url, auth, oauth, madeAtMs }: Pick<ConnectorConfig, 'url' | 'auth' | 'oauth' | 'madeAtMs'>,
): string {
  const { client, pinnedIssuer, endpoints } = oauth ?? {}
  const own = [client?.clientId, pinnedIssuer, endpoints].map((value) => value ?? null)
  if (madeAtMs !== undefined) own.push(String(madeAtMs))
  return runtime.sha256(JSON.stringify([url.href, auth, ...own]))
}
