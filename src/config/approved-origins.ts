/**
 * Which origins the configuration file approves by naming them: these, to the letter, may be private
 * addresses, http and on any port. Everything else is held to public https (design.md section 2).
 */
import type { Config, ConnectorConfig } from '../config.ts'

/** Of the operator's allow-list: approved for everybody, whoever names them. */
export function allowedOrigins({ egress }: Pick<Config, 'egress'>): ReadonlySet<string> {
  return new Set(egress.allowHosts.filter(isOrigin))
}

export function approvedOrigins(config: Config): ReadonlySet<string> {
  return new Set([
    ...config.connectors.flatMap(connectorOrigins),
    ...config.providers.flatMap((provider) => provider.approvedOrigins),
    ...(config.assertionIssuers ?? []).flatMap(({ issuer, jwksUri = issuer }) => [
      new URL(issuer).origin,
      new URL(jwksUri).origin,
    ]),
    ...(config.webhooks ?? []).map(({ url }) => new URL(url).origin),
    ...(config.signals ?? []).map(({ issuer, jwksUri = issuer }) => new URL(jwksUri).origin),
    ...config.clients.flatMap(({ jwksUri }) =>
      jwksUri === undefined ? [] : [new URL(jwksUri).origin],
    ),
    ...(config.registration.documentHosts ?? []).filter(isOrigin),
    ...allowedOrigins(config),
  ])
}

/** In a list of hosts: an exact origin, not a host. */
export function isOrigin(entry: string): boolean {
  return entry.includes('://')
}

/**
 * Whether the operator wrote the URL of a connector down. Not of a preset, which is a public server, nor
 * of one made by the API: their addresses are checked like everybody's (I6, S10).
 */
export function isNamedByFile({ preset, made }: Pick<ConnectorConfig, 'preset' | 'made'>): boolean {
  return preset === undefined && made === undefined
}

function connectorOrigins(connector: ConnectorConfig): readonly string[] {
  const { url, oauth } = connector
  if (!isNamedByFile(connector)) return []
  const { pinnedIssuer, endpoints } = oauth ?? {}
  const named = [
    ...Object.values<string>(endpoints ?? {}),
    ...(pinnedIssuer === undefined ? [] : [pinnedIssuer]),
  ]
  return [url.origin, ...named.map((text) => new URL(text).origin)]
}
