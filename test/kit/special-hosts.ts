/**
 * B4: hosts that lead, or seem to lead, to an address that is not public: every range of the IANA
 * special-purpose registries in every spelling that some parser takes for it.
 */
import { BlockList, isIPv4 } from 'node:net'
import type { Draw } from './family.ts'

/** First address and prefix length; the address inside is drawn. */
const RANGES_V4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['169.254.169.254', 32],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  ['255.255.255.255', 32],
  ['168.63.129.16', 32],
]
const RANGES_V6 = [
  '::',
  '::1',
  'fe80::X',
  'febf::X',
  'fec0::X',
  'fc00::X',
  'fd00:ec2::254',
  'fdX::X',
  'ff02::1',
  'ffX::X',
  '100::X',
  '2001:db8::X',
  '2001::X',
  '2001:10::X',
  '2001:20::X',
  '2002:7f00:1::',
  '3fff::X',
  '5f00::X',
  '64:ff9b:1::X',
  '::ffff:0:X:X',
  '4000::X',
] as const

export function specialV4(draw: Draw): string {
  const [network, bits] = draw.pick(RANGES_V4)
  const base = network.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  const size = 2 ** (32 - bits)
  // The edges of a range are where a careless mask is wrong.
  const at = draw.pick([0, size - 1, draw.whole(size)])
  const address = base + at
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.')
}

export function specialV6(draw: Draw): string {
  const hex = (): string => draw.whole(0x1_0000).toString(16)
  return draw
    .pick(RANGES_V6)
    .replace('fdX', `fd${draw.pick(['00', '12', 'ff'])}`)
    .replace('ffX', `ff${draw.pick(['01', '05', '0e'])}`)
    .replaceAll('X', hex)
}

const part = (value: number, form: number): string =>
  form === 1 ? `0x${value.toString(16)}` : form === 2 ? `0${value.toString(8)}` : String(value)
const numberOf = (address: string): number =>
  address.split('.').reduce((sum, each) => sum * 256 + Number(each), 0)
const groupsOf = (address: string): string => {
  const whole = numberOf(address)
  return `${Math.floor(whole / 0x1_0000).toString(16)}:${(whole % 0x1_0000).toString(16)}`
}

/** One IPv4 address, as inet_aton, a browser, or a tired person reads it. */
const SPELLINGS_V4: readonly ((address: string, draw: Draw) => string)[] = [
  (address) => address,
  (address) => `${address}.`,
  (address) => String(numberOf(address)),
  (address) => `0x${numberOf(address).toString(16)}`,
  (address) => `0${numberOf(address).toString(8)}`,
  (address, draw) =>
    address
      .split('.')
      .map((each) => part(Number(each), draw.whole(3)))
      .join('.'),
  (address) => {
    const [first = '0'] = address.split('.')
    return `${first}.${numberOf(address) % 2 ** 24}`
  },
  (address) => {
    const [first = '0', second = '0'] = address.split('.')
    return `${first}.${second}.${numberOf(address) % 2 ** 16}`
  },
  (address) =>
    address
      .split('.')
      .map((each) => each.padStart(3, '0'))
      .join('.'),
  (address) => address.replaceAll('.', '\u3002'),
  (address) => address.replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))),
  (address) => address.replace('.', '%2e'),
  (address) => `[::ffff:${address}]`,
  (address) => `[::ffff:${groupsOf(address)}]`,
  (address) => `[0:0:0:0:0:FFFF:${groupsOf(address).toUpperCase()}]`,
  (address) => `[::${address}]`,
  (address) => `[64:ff9b::${address}]`,
  (address) => `[64:ff9b:1::${address}]`,
  (address) => `[2002:${groupsOf(address)}::]`,
  (address) => `[2001:0:${groupsOf(address)}::]`,
  (address) => `[fe80::5efe:${address}]`,
  (address) => `[2620:0:1::5efe:${groupsOf(address)}]`,
  (address) => `[::ffff:0:${groupsOf(address)}]`,
  (address) => `user:secret@${address}`,
  (address) => `public.example@${address}`,
  (address) => `public.example%40${address}`,
  (address) => `public.example\\@${address}`,
  (address) => `${address}\\.public.example`,
  (address) => `${address}%00.public.example`,
  (address) => `${address}#.public.example`,
  (address) => `${address}?.public.example`,
]
const SPELLINGS_V6: readonly ((address: string) => string)[] = [
  (address) => `[${address}]`,
  (address) => `[${address.toUpperCase()}]`,
  (address) => `[${address}%25eth0]`,
  (address) => `[${address}%eth0]`,
  (address) => address,
  (address) => `user@[${address}]`,
]
const NAMES = [
  'localhost',
  'LOCALHOST',
  'localhost.',
  'a.localhost',
  'localhost.localdomain',
  'ip6-localhost',
  'metadata.google.internal',
  'metadata',
  'instance-data',
  'kubernetes.default.svc',
  'host.docker.internal',
  '127.0.0.1.nip.io',
  'router.lan',
  'evil.example',
  'xn--evil-example.example',
  '\u2460\u2461\u2466.0.0.1',
] as const

const special = new BlockList()
for (const [network, bits] of RANGES_V4) special.addSubnet(network, bits, 'ipv4')

/** Host part of a URL, with whatever belongs before it; never one that a URL parser reads as public. */
export function specialHost(draw: Draw): string {
  for (;;) {
    const host = oddHost(draw)
    const read = URL.parse(`https://${host}/`)?.hostname ?? ''
    if (!isIPv4(read) || special.check(read, 'ipv4')) return host
  }
}

function oddHost(draw: Draw): string {
  const kind = draw.whole(10)
  if (kind < 6) return draw.pick(SPELLINGS_V4)(specialV4(draw), draw)
  if (kind < 8) return draw.pick(SPELLINGS_V6)(specialV6(draw))
  return kind === 8 ? draw.pick(NAMES) : `${draw.whole(10_000)}.attacker.example`
}

/** What the DNS of an attacker says: at least one address that is not public, wherever it stands. */
export function specialAnswers(draw: Draw): { address: string; family: 4 | 6 }[] {
  const one = (): { address: string; family: 4 | 6 } =>
    draw.whole(3) === 0
      ? { address: specialV6(draw), family: 6 }
      : { address: specialV4(draw), family: 4 }
  const open = { address: '93.184.216.34', family: 4 as const }
  return draw.pick([[one()], [open, one()], [one(), open], [one(), one()]])
}
