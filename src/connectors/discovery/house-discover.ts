/**
 * `postern.discover`: any MCP server, by the discovery of this house. Where no connector has an
 * authorization server nothing of it is open before the first call.
 */
import { allowedOrigins, approvedOrigins } from '../../config/approved-origins.ts'
import type { ClientGround } from '../outbound.ts'
import type { Discovery } from './discover.ts'
import type { DiscoveryEngine } from './discovery.ts'

export interface HouseDiscover {
  discover(mcpUrl: string, options?: { readonly refresh?: boolean }): Promise<Discovery>
  close(): Promise<void>
}

/** @param opened The engine of the connectors; where there is none one is opened, and closed here. */
export function createHouseDiscover(
  ground: Omit<ClientGround, 'bus' | 'sealing'>,
  opened: () => DiscoveryEngine | undefined,
): HouseDiscover {
  const { config, store, lock, shared } = ground
  const origins = approvedOrigins(config)
  let own: DiscoveryEngine | undefined
  const openOwn = async (): Promise<DiscoveryEngine> => {
    const { openDiscovery } = await import('./discovery.ts')
    const { limits } = config
    return openDiscovery({
      ...ground,
      limits,
      approvedOrigins: origins,
      allowedOrigins: allowedOrigins(config),
      durable: { store, lock, shared },
    })
  }
  return {
    async discover(mcpUrl, { refresh = false } = {}) {
      const { discoverWith } = await import('./discover.ts')
      const open = opened()
      const engine = open ?? own ?? (await openOwn())
      if (engine !== open) own ??= engine
      const deadlineMs = config.limits.discoveryTimeoutMs
      return discoverWith(engine, mcpUrl, { refresh, approvedOrigins: origins, deadlineMs })
    },
    close: async () => own?.close(),
  }
}
