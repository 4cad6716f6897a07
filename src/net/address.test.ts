import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isPublicAddress, literalAddress } from './address.ts'

const SPECIAL_V4 = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '10.255.255.255',
  '100.64.0.1',
  '100.127.255.255',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.0.192',
  '192.0.2.7',
  '192.88.99.1',
  '192.168.1.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.3',
  '203.0.113.9',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '168.63.129.16',
  '100.100.100.200',
]
const PUBLIC_V4 = [
  '1.1.1.1',
  '8.8.8.8',
  '9.255.255.255',
  '11.0.0.1',
  '100.63.255.255',
  '100.128.0.0',
  '126.255.255.255',
  '128.0.0.1',
  '172.15.255.255',
  '172.32.0.0',
  '192.0.1.1',
  '198.17.255.255',
  '198.20.0.0',
  '223.255.255.255',
]
const SPECIAL_V6 = [
  '::',
  '::1',
  '0:0:0:0:0:0:0:1',
  'fe80::1',
  'fec0::1',
  'fc00::1',
  'fd00:ec2::254',
  'ff02::1',
  '100::1',
  '2001::1',
  '2001:2::1',
  '2001:10::1',
  '2001:20::1',
  '2001:db8::1',
  '3fff::1',
  '3fff:fff::1',
  '5f00::1',
  '64:ff9b:1::1',
  '2620:4f:8000::1',
  '2002:7f00:1::',
  '2002:a00:1::1',
  '2002:808:808::1',
  '4000::1',
]
const PUBLIC_V6 = [
  '2606:4700:4700::1111',
  '2a00:1450:4001:81b::200e',
  '2600::1',
  '3ffe::1',
  '2001:200::1',
  '3fff:1000::1',
]

function hex(v4: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = v4.split('.').map(Number)
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}
function inverted(v4: string): string {
  return hex(
    v4
      .split('.')
      .map((byte) => 255 - Number(byte))
      .join('.'),
  )
}

describe('isPublicAddress', () => {
  it.each([...SPECIAL_V4, ...SPECIAL_V6])('S1: refuses %s', (ip) => {
    expect(isPublicAddress(ip)).toBe(false)
  })

  it.each([...PUBLIC_V4, ...PUBLIC_V6])('NET-02: accepts %s', (ip) => {
    expect(isPublicAddress(ip)).toBe(true)
  })

  it.each(SPECIAL_V4)('S1: refuses %s inside every form that embeds it', (v4) => {
    const forms = [
      `::ffff:${v4}`,
      `::ffff:${hex(v4)}`,
      `0:0:0:0:0:ffff:${hex(v4)}`,
      `::${v4}`,
      `::${hex(v4)}`,
      `::ffff:0:${v4}`,
      `2002:${hex(v4)}::1`,
      `64:ff9b::${v4}`,
      `64:ff9b::${hex(v4)}`,
      `64:ff9b:1::${v4}`,
      `2001:0:808:808:8000:63bf:${inverted(v4)}`,
      `2606:4700::5efe:${v4}`,
      `2606:4700::200:5efe:${hex(v4)}`,
    ]
    expect(forms.filter(isPublicAddress)).toEqual([])
  })

  it('NET-02: judges an IPv4-mapped or NAT64 address as the IPv4 address it reaches', () => {
    expect(isPublicAddress('::ffff:8.8.8.8')).toBe(true)
    expect(isPublicAddress('64:ff9b::808:808')).toBe(true)
  })

  it.each([
    '',
    'localhost',
    '127.1',
    '2130706433',
    '0x7f.1',
    '0177.0.0.1',
    '08.8.8.8',
    '8.8.8.8.',
    '8.8.8',
    '256.1.1.1',
    'fe80::1%eth0',
    '2606:4700::1%1',
    '[2606:4700::1]',
    '2606:4700:::1',
    '1:2:3:4:5:6:7:8:9',
    '2606:4700::g',
    ':2606::1',
    '2606:4700::1.2.3',
    '1.1.1.1:80',
    ' 1.1.1.1',
  ])('S1: %j is not one plain address', (text) => {
    expect(isPublicAddress(text)).toBe(false)
  })

  it('S1: agrees with the groups that were written, however they were shortened', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 }),
        (groups) => {
          const long = groups.map((group) => group.toString(16)).join(':')
          const short = new URL(`http://[${long}]/`).hostname.slice(1, -1)
          return isPublicAddress(long) === isPublicAddress(short)
        },
      ),
    )
  })
})

describe('literalAddress', () => {
  it.each([
    ['http://2130706433/', '127.0.0.1'],
    ['http://0x7f.1/', '127.0.0.1'],
    ['http://0177.0.0.1/', '127.0.0.1'],
    ['http://127.1/', '127.0.0.1'],
    ['http://127.0.0.1./', '127.0.0.1'],
    ['http://[::ffff:127.0.0.1]/', '::ffff:7f00:1'],
    ['http://[::1]/', '::1'],
    ['http://0/', '0.0.0.0'],
    ['http://１２７.０.０.１/', '127.0.0.1'],
  ])('T13: finds the literal in %s', (url, literal) => {
    expect(literalAddress(new URL(url).hostname)).toBe(literal)
  })

  it.each(['example.com', 'localhost', '1.1.1.1.example.com'])(
    'leaves the name %s to the resolver',
    (name) => {
      expect(literalAddress(name)).toBeUndefined()
    },
  )
})
