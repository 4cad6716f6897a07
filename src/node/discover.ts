/** `createDiscover` of `postern` with Node's clock and sockets. */
import {
  createDiscover as createDiscoverOn,
  type DiscoverOptions,
  type PlatformOptions,
} from '../connectors/discovery/discover.ts'
import { remotePlatform } from './remote-platform.ts'

/**
 * Finds the authorization server of an MCP server, with deadlines, memory, stale serving and breakers.
 *
 * @param options All have defaults; `platform`: this process.
 * @returns As `createDiscover` of `postern`.
 */
export function createDiscover(
  options: DiscoverOptions & Partial<PlatformOptions> = {},
): ReturnType<typeof createDiscoverOn> {
  return createDiscoverOn({ platform: remotePlatform(), ...options })
}
