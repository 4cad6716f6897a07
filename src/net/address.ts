/**
 * Decides on a binary IP address whether an outbound request may go there.
 *
 * Public means: in no entry of the IANA special-purpose registries, after undoing the forms that
 * carry an IPv4 address inside an IPv6 one. Host names are never judged here, only addresses.
 * @see RFC 6890, RFC 6052 (NAT64), the IANA IPv4 and IPv6 special-purpose address registries
 */

/** [network, prefix length]. Registered anycast services are refused too: no OAuth server lives there. */
const REFUSED_V4: readonly (readonly [number, number])[] = [
  network4('0.0.0.0', 8), // this network
  network4('10.0.0.0', 8), // private
  network4('100.64.0.0', 10), // carrier-grade NAT
  network4('127.0.0.0', 8), // loopback
  // WireServer: the instance metadata service of Azure answers on a public-looking address.
  network4('168.63.129.16', 32),
  network4('169.254.0.0', 16), // link-local and metadata services
  network4('172.16.0.0', 12), // private
  network4('192.0.0.0', 24), // IETF protocol assignments
  network4('192.0.2.0', 24), // documentation
  network4('192.31.196.0', 24), // AS112
  network4('192.52.193.0', 24), // AMT
  network4('192.88.99.0', 24), // 6to4 relay
  network4('192.168.0.0', 16), // private
  network4('192.175.48.0', 24), // AS112
  network4('198.18.0.0', 15), // benchmarking
  network4('198.51.100.0', 24), // documentation
  network4('203.0.113.0', 24), // documentation
  network4('224.0.0.0', 4), // multicast
  network4('240.0.0.0', 4), // reserved, broadcast
]

/** [first 16-bit groups, prefix length] inside 2000::/3; all outside it is refused. */
const REFUSED_V6: readonly (readonly [readonly number[], number])[] = [
  // IETF protocol assignments: Teredo (2001::/32), benchmarking, ORCHID, AMT and the rest. Teredo
  // hides the client's IPv4 address inverted; the whole range is refused, whatever it hides.
  [[0x2001, 0x0000], 23],
  [[0x2001, 0x0db8], 32], // documentation
  // 6to4 is obsolete (RFC 7526): refused, whatever IPv4 address it carries.
  [[0x2002], 16],
  [[0x2620, 0x004f, 0x8000], 48], // AS112
  [[0x3fff, 0x0000], 20], // documentation
]

/**
 * True when a socket may be opened to `ip` for a request whose origin the configuration file does
 * not name. Anything that is not one plain address (a name, a zone, a port) is not public.
 */
export function isPublicAddress(ip: string): boolean {
  const v4 = parseV4(ip)
  if (v4 !== undefined) return isPublicV4(v4)
  const groups = parseV6(ip)
  return groups !== undefined && isPublicV6(groups)
}

/**
 * The address in `URL.hostname` when it is a literal, else `undefined`. WHATWG URL has already
 * turned decimal, octal, hexadecimal and short spellings into the plain one.
 */
export function literalAddress(hostname: string): string | undefined {
  if (hostname.startsWith('[') && hostname.endsWith(']')) return hostname.slice(1, -1)
  if (parseV4(hostname) !== undefined || hostname.includes(':')) return hostname
  return undefined
}

function isPublicV4(address: number): boolean {
  return !REFUSED_V4.some(([network, bits]) => prefix4(address, bits) === network)
}

function isPublicV6(groups: readonly number[]): boolean {
  const embedded = embeddedV4(groups)
  if (embedded !== undefined) return isPublicV4(embedded)
  const isGlobalUnicast = ((groups[0] ?? 0) & 0xe000) === 0x2000
  if (!isGlobalUnicast || hidesPrivateIsatap(groups)) return false
  return !REFUSED_V6.some(([network, bits]) => hasPrefix6(groups, network, bits))
}

/**
 * IPv4-mapped (::ffff:0:0/96) and NAT64 (64:ff9b::/96) addresses reach the IPv4 host they name.
 * IPv4-compatible (::/96), IPv4-translated (::ffff:0:0:0/96) and local NAT64 (64:ff9b:1::/48) lie
 * outside 2000::/3 and are refused whole.
 */
function embeddedV4(groups: readonly number[]): number | undefined {
  const mapped = hasPrefix6(groups, [0, 0, 0, 0, 0, 0xffff], 96)
  const nat64 = hasPrefix6(groups, [0x64, 0xff9b], 96)
  return mapped || nat64 ? lowV4(groups) : undefined
}

/** ISATAP (RFC 5214): interface id [0-2]00:5efe, then an IPv4 address, behind any prefix. */
function hidesPrivateIsatap(groups: readonly number[]): boolean {
  const isIsatap = ((groups[4] ?? 0) & 0xfcff) === 0 && groups[5] === 0x5efe
  return isIsatap && !isPublicV4(lowV4(groups))
}

function lowV4(groups: readonly number[]): number {
  return (((groups[6] ?? 0) << 16) | (groups[7] ?? 0)) >>> 0
}

function parseV4(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return undefined
  let address = 0
  for (const part of match.slice(1)) {
    const byte = Number(part)
    // A leading zero may mean octal to somebody else: not one plain address.
    if (byte > 255 || (part.length > 1 && part.startsWith('0'))) return undefined
    address = address * 256 + byte
  }
  return address
}

function parseV6(text: string): readonly number[] | undefined {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  let hex = text
  if (dotted !== null) {
    const v4 = parseV4(dotted[2] ?? '')
    if (v4 === undefined) return undefined
    hex = `${dotted[1]}${(v4 >>> 16).toString(16)}:${(v4 & 0xffff).toString(16)}`
  }
  const halves = hex.split('::')
  if (halves.length > 2) return undefined
  const head = parseGroups(halves[0] ?? '')
  const tail = parseGroups(halves[1] ?? '')
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 1) return missing === 0 ? head : undefined
  if (missing < 1) return undefined
  return [...head, ...new Array<number>(missing).fill(0), ...tail]
}

function parseGroups(text: string): readonly number[] | undefined {
  if (text === '') return []
  const parts = text.split(':')
  if (!parts.every((part) => /^[0-9a-f]{1,4}$/i.test(part))) return undefined
  return parts.map((part) => Number.parseInt(part, 16))
}

function network4(text: string, bits: number): readonly [number, number] {
  const address = parseV4(text)
  if (address === undefined) throw new TypeError(`not an IPv4 network: ${text}`)
  return [prefix4(address, bits), bits]
}

function prefix4(address: number, bits: number): number {
  return Math.floor(address / 2 ** (32 - bits))
}

function hasPrefix6(groups: readonly number[], network: readonly number[], bits: number): boolean {
  for (let index = 0; index * 16 < bits; index++) {
    const kept = Math.min(16, bits - index * 16)
    const mask = (0xffff << (16 - kept)) & 0xffff
    if (((groups[index] ?? 0) & mask) !== ((network[index] ?? 0) & mask)) return false
  }
  return true
}
