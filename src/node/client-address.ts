/**
 * The client's address: the socket's peer, or what a trusted proxy says of it (`listen.trustedProxies`,
 * addresses or CIDR blocks). Nobody else's `X-Forwarded-For` or `Forwarded` counts (G3, M3).
 *
 * We listen on plain http, so an https issuer is always behind a proxy. Where that proxy is not named
 * its address stands for everybody: then there is none, or one visitor would use up all limits.
 */
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'
import { ConfigError } from '../errors.ts'

const HOPS_MAX = 16

/** Whether limits per address mean anything in this house. */
export function knowsClientAddress(config: {
  readonly development: boolean
  readonly listen: { readonly trustedProxies: readonly string[] }
}): boolean {
  return config.development || config.listen.trustedProxies.length > 0
}

/** @throws {ConfigError} for an entry that is neither an address nor a block. */
export function createClientAddress(
  trustedProxies: readonly string[],
): (request: IncomingMessage) => string | undefined {
  const trusted = new BlockList()
  for (const entry of trustedProxies) add(trusted, entry)
  const isTrusted = (address: string) =>
    trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return (request) => {
    const peer = plain(request.socket.remoteAddress ?? '')
    if (trustedProxies.length === 0 || isIP(peer) === 0 || !isTrusted(peer)) {
      return peer === '' ? undefined : peer
    }
    // From the nearest hop outwards: the first address that is not a proxy of ours is the client.
    let client: string | undefined
    for (const hop of forwardedFor(request).toReversed().slice(0, HOPS_MAX)) {
      if (isIP(hop) === 0) break
      client = hop
      if (!isTrusted(hop)) break
    }
    return client
  }
}

function add(trusted: BlockList, entry: string): void {
  const [address = '', length] = entry.split('/')
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  const bits = length === undefined ? undefined : Number(length)
  const bitsMax = family === 'ipv6' ? 128 : 32
  if (
    isIP(address) === 0 ||
    (bits !== undefined && !(Number.isInteger(bits) && bits >= 0 && bits <= bitsMax))
  ) {
    throw new ConfigError(
      'ERR_CONFIG_VALUE',
      `listen.trustedProxies has ${entry}, which is neither an address nor a block.`,
      'Write an address like 10.0.0.5 or a block like 10.0.0.0/8.',
    )
  }
  if (bits === undefined) trusted.addAddress(address, family)
  else trusted.addSubnet(address, bits, family)
}

/** Addresses of `X-Forwarded-For`, else of the `for` members of `Forwarded` (RFC 7239), in order. */
function forwardedFor(request: IncomingMessage): readonly string[] {
  const header = request.headers['x-forwarded-for']
  if (typeof header === 'string') return header.split(',').map(plain)
  const forwarded = request.headers.forwarded
  if (typeof forwarded !== 'string') return []
  return [...forwarded.matchAll(/for="?([^;,"]+)"?/gi)].map((match) => plain(match[1] ?? ''))
}

/** Without brackets, port and the IPv4-mapped form. */
function plain(address: string): string {
  if (/^[\d.]+$/.test(address)) return address
  const trimmed = address.trim().toLowerCase()
  const inner =
    /^\[([^\]]+)\](?::\d+)?$/.exec(trimmed)?.[1] ?? trimmed.replace(/^(\d+(?:\.\d+){3}):\d+$/, '$1')
  return inner.replace(/^::ffff:(\d+(?:\.\d+){3})$/, '$1')
}
