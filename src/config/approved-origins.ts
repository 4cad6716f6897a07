/**
 * Which origins the configuration file approves by naming them: these, to the letter, may be private
 * addresses, http and on any port. Everything else is held to public https (design.md section 2).
 */
import type { Config } from '../config.ts'

export function approvedOrigins(config: Config): ReadonlySet<string> {
  return new Set([
    ...config.connectors.flatMap(connectorOrigins),
    ...config.providers.flatMap((provider) => provider.approvedOrigins),
    ...(config.assertionIssuers ?? []).flatMap(({ issuer, jwksUri = issuer }) => [
      new URL(issuer).origin,
      new URL(jwksUri).origin,
    ]),
    ...(config.signals ?? []).map(({ issuer, jwksUri = issuer }) => new URL(jwksUri).origin),
    ...config.clients.flatMap(({ jwksUri }) =>
      jwksUri === undefined ? [] : [new URL(jwksUri).origin],
    ),
    ...(config.registration.documentHosts ?? []).filter(isOrigin),
    ...config.egress.allowHosts.filter(isOrigin),
  ])
}

/** In a list of hosts: an exact origin, not a host. */
export function isOrigin(entry: string): boolean {
  return entry.includes('://')
}

/** A preset is a public server: its addresses are checked like everybody's. */
function connectorOrigins({ url, preset, oauth }: Config['connectors'][number]): readonly string[] {
  if (preset !== undefined) return []
  const { pinnedIssuer, endpoints } = oauth ?? {}
  const named = [
    ...Object.values<string>(endpoints ?? {}),
    ...(pinnedIssuer === undefined ? [] : [pinnedIssuer]),
  ]
  return [url.origin, ...named.map((text) => new URL(text).origin)]
}
