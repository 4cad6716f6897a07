import type { IncomingMessage } from 'node:http'
import { describe, expect, it } from 'vitest'
import { createClientAddress, knowsClientAddress } from './client-address.ts'

const from = (
  remoteAddress: string,
  headers: Readonly<Record<string, string>> = {},
): IncomingMessage => ({ socket: { remoteAddress }, headers }) as unknown as IncomingMessage

describe('the address of a client', () => {
  it('G3: without trusted proxies it is the peer, whatever a header says', () => {
    const addressOf = createClientAddress([])
    expect(addressOf(from('203.0.113.9', { 'x-forwarded-for': '198.51.100.1' }))).toBe(
      '203.0.113.9',
    )
    expect(addressOf(from('::ffff:203.0.113.9', { forwarded: 'for=1.1.1.1' }))).toBe('203.0.113.9')
  })

  it.each([
    ['198.51.100.1', '198.51.100.1'],
    ['6.6.6.6, 198.51.100.1', '198.51.100.1'],
    ['6.6.6.6, 198.51.100.1, 10.0.0.7', '198.51.100.1'],
    ['[2001:db8::1]:4711', '2001:db8::1'],
    ['10.0.0.9', '10.0.0.9'],
  ])(
    'G3, M3: of a trusted proxy "%s" the nearest hop that is not ours counts',
    (header, client) => {
      const addressOf = createClientAddress(['10.0.0.0/8'])
      expect(addressOf(from('10.0.0.5', { 'x-forwarded-for': header }))).toBe(client)
      expect(addressOf(from('203.0.113.9', { 'x-forwarded-for': header }))).toBe('203.0.113.9')
    },
  )

  it.each<Readonly<Record<string, string>>>([{}, { 'x-forwarded-for': 'unknown' }])(
    'SEC-16: a trusted proxy that says nothing usable does not become everybody: %j',
    (headers) => {
      expect(createClientAddress(['10.0.0.5'])(from('10.0.0.5', headers))).toBeUndefined()
    },
  )

  it('SEC-16: behind a proxy that nobody named no address is known, so none is limited', () => {
    const listen = { trustedProxies: [] }
    expect(knowsClientAddress({ development: false, listen })).toBe(false)
    expect(knowsClientAddress({ development: true, listen })).toBe(true)
    expect(
      knowsClientAddress({ development: false, listen: { trustedProxies: ['10.0.0.5'] } }),
    ).toBe(true)
  })
})
