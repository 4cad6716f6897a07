/** B16: client addresses for limits, in every spelling, by socket and by a proxy of ours (threats.md section 4). */
import type { IncomingMessage } from 'node:http'
import { expect, it } from 'vitest'
import { networkOf } from '../../src/issuer/rate.ts'
import { createClientAddress } from '../../src/node/client-address.ts'
import { checkFamily, countOf, createDraw, type Draw } from '../kit/family.ts'

const PROXY = '10.0.0.5'

interface Host {
  /** Spellings of addresses that one host may use. */
  readonly same: readonly string[]
  /** A neighbour that is another source. */
  readonly other: string
}

const hex = (number: number): string => number.toString(16)

function version4(draw: Draw): Host {
  // First octets that are no proxy of ours and no special meaning here.
  const parts = [1 + draw.whole(9), draw.whole(256), draw.whole(256), draw.whole(255)]
  const [a = 0, b = 0, c = 0, d = 0] = parts
  const text = parts.join('.')
  const tail = `${hex(a * 256 + b)}:${hex(c * 256 + d)}`
  return {
    same: [
      text,
      `::ffff:${text}`,
      `::FFFF:${text}`,
      `[::ffff:${text}]`,
      `0:0:0:0:0:ffff:${text}`,
      `::ffff:${tail}`,
      `[::FFFF:${tail.toUpperCase()}]`,
      `0000:0000:0000:0000:0000:ffff:${tail}`,
    ],
    other: [a, b, c, d + 1].join('.'),
  }
}

function version6(draw: Draw): Host {
  const [third, fourth] = [1 + draw.whole(0xfffe), 1 + draw.whole(0xfffd)]
  const network = `2001:db8:${hex(third)}:${hex(fourth)}`
  const long = `2001:0db8:${hex(third).padStart(4, '0')}:${hex(fourth).padStart(4, '0')}`
  const host = () => hex(1 + draw.whole(0xfffe))
  return {
    same: [
      `${network}::${host()}`,
      `${network}::`,
      `${network.toUpperCase()}::${host()}`,
      `[${network}::${host()}]`,
      `${long}:0000:0000:0000:${host().padStart(4, '0')}`,
      `${network}:${host()}:${host()}:${host()}:${host()}`,
      `${network}::${host()}%eth0`,
      `${long}::${host()}:${host()}`,
    ],
    other: `2001:db8:${hex(third)}:${hex(fourth + 1)}::1`,
  }
}

const message = (peer: string, headers: IncomingMessage['headers'] = {}): IncomingMessage =>
  ({ socket: { remoteAddress: peer }, headers }) as IncomingMessage

const bracketed = (address: string): string =>
  address.includes(':') && !address.startsWith('[') ? `[${address}]` : address

/** What a proxy of ours may write of this client; what the client itself wrote stands before it. */
function forwarded(draw: Draw, address: string): IncomingMessage['headers'] {
  const plain = address.replace(/^\[|\]$/g, '').replace(/%.*$/, '')
  const forged = draw.pick([
    '',
    '198.51.100.7, ',
    'unknown, ',
    '127.0.0.1, ',
    '10.0.0.6, 203.0.113.1, ',
  ])
  return draw.pick([
    { 'x-forwarded-for': `${forged}${plain}` },
    { 'x-forwarded-for': `${forged} ${bracketed(plain)}:4711 ` },
    { forwarded: `for=198.51.100.7, for="${bracketed(plain)}:4711";proto=https` },
    { forwarded: `For="${bracketed(plain)}"` },
  ])
}

it('B16, M3: one host is one source in every spelling, its neighbour another, and nobody picks theirs', async () => {
  const draw = createDraw()
  const cases = Array.from({ length: countOf(100) }, (_, at) =>
    at % 2 === 0 ? version4(draw) : version6(draw),
  )
  const direct = createClientAddress([])
  const behind = createClientAddress([PROXY])
  await checkFamily('B16', cases, ({ same, other }) => {
    const [first = ''] = same
    const source = networkOf(first)
    expect(networkOf(other)).not.toBe(source)
    for (const address of same) {
      expect(networkOf(address), address).toBe(source)
      const lies = forwarded(draw, other)
      expect(networkOf(direct(message(address, lies)) ?? ''), `direct ${address}`).toBe(source)
      expect(networkOf(behind(message(address, lies)) ?? ''), `no proxy ${address}`).toBe(source)
      const told = forwarded(draw, address)
      const seen = networkOf(behind(message(PROXY, told)) ?? '')
      expect(seen, JSON.stringify(told)).toBe(source)
    }
  })
})
