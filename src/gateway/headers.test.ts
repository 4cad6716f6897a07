import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { removeHeader, responseHeaders, scanHeaders, scanRaw } from './headers.ts'

const NAMES = (out: readonly string[]) => out.filter((_, index) => index % 2 === 0)

/** Family B12: what may never reach the server behind, in every spelling that somebody reads alike. */
const NEVER = [
  'Authorization',
  'Cookie',
  'DPoP',
  'Host',
  'Forwarded',
  'X-Forwarded-For',
  'X-Forwarded-Proto',
  'X-Real-IP',
  'Proxy-Authorization',
  'Proxy-Connection',
  'X-Postern-User',
  'X-Postern-Groups',
  'X-Postern',
  'TE',
  'Trailer',
  'Upgrade',
  'Keep-Alive',
  'Transfer-Encoding',
  'Connection',
  'Expect',
  'Mcp-Session-Id',
  'Last-Event-ID',
  'X-HTTP-Method-Override',
  'X-Original-URL',
  'Sec-WebSocket-Key',
  'HTTP2-Settings',
  // Tokens, assertions and addresses that a proxy in front of the house adds.
  'X-Amzn-Oidc-Accesstoken',
  'X-Amzn-Oidc-Data',
  'Cf-Access-Jwt-Assertion',
  'CF-Access-Client-Secret',
  'X-Goog-IAP-JWT-Assertion',
  'X-MS-TOKEN-AAD-ACCESS-TOKEN',
  'X-MS-CLIENT-PRINCIPAL',
  'CF-Connecting-IP',
  'Fly-Client-IP',
]
const SPELLINGS: readonly ((name: string) => string)[] = [
  (name) => name,
  (name) => name.toLowerCase(),
  (name) => name.toUpperCase(),
  (name) => name.replaceAll('-', '_'),
  (name) => name.replace('-', '_').toLowerCase(),
  (name) =>
    [...name]
      .map((char, index) => (index % 2 === 0 ? char.toUpperCase() : char.toLowerCase()))
      .join(''),
]

describe('headers of a request', () => {
  it.each(NEVER)('G1, GW-22, B12: %s is never forwarded', (name) => {
    for (const spell of SPELLINGS) {
      const out: string[] = []
      scanRaw([spell(name), 'chunked', 'X-Kept', '1'], out)
      expect([spell(name), NAMES(out)]).toEqual([spell(name), ['X-Kept']])
    }
  })

  it('B12: no order, repetition or Connection list lets one through', () => {
    const line = fc.tuple(
      fc.constantFrom(...NEVER, 'X-A', 'Accept'),
      fc.constantFrom(...SPELLINGS),
      fc.constantFrom('x', 'keep-alive', 'x-a, x-postern-user', 'chunked', ''),
    )
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
        const out: string[] = []
        scanRaw(
          lines.flatMap(([name, spell, value]) => [spell(name), value]),
          out,
        )
        const kept = NAMES(out).map((name) => name.toLowerCase().replaceAll('_', '-'))
        expect(kept.filter((name) => name !== 'x-a' && name !== 'accept')).toEqual([])
      }),
    )
  })

  it('G2: what Connection names is dropped, before anything of ours is added', () => {
    const out: string[] = []
    const head = scanRaw(['X-Named', '1', 'Connection', 'close, X-NAMED', 'X-Kept', '2'], out)
    expect([head.fault, out]).toEqual([undefined, ['X-Kept', '2']])
  })

  it('T9: Connection may not name what was decided on', () => {
    for (const name of [
      'authorization',
      'host',
      'mcp-name',
      'content-type',
      'content-length',
      'origin',
    ]) {
      expect(scanRaw(['Connection', `keep-alive, ${name}`], []).fault).toBe('connection_names')
      expect(scanHeaders(new Headers({ connection: name }), []).fault).toBe('connection_names')
    }
  })

  it('unknown headers pass in their own spelling, repeats included', () => {
    const out: string[] = []
    expect(scanRaw(['Accept', 'a', 'ACCEPT', 'b', 'Mcp-Param-X', '1'], out).fault).toBeUndefined()
    expect(out).toEqual(['Accept', 'a', 'ACCEPT', 'b', 'Mcp-Param-X', '1'])
  })

  it('I9: a flood of odd names leaves the table as it is', () => {
    for (let turn = 0; turn < 10_000; turn += 1) scanRaw([`X-${turn}`, '1'], [])
    const out: string[] = []
    scanRaw(['Cookie', 'a', 'X-99999', '1'], out)
    expect(out).toEqual(['X-99999', '1'])
  })

  it('removes a header in every spelling', () => {
    const out = ['X-Api-Key', '1', 'Other', '2', 'x_api_key', '3', 'X-API-KEY', '4']
    removeHeader(out, 'x-api-key')
    expect(out).toEqual(['Other', '2'])
  })
})

describe('headers of an answer', () => {
  it('keeps back what is hop-by-hop, secret or ours', () => {
    const facts = responseHeaders(
      {
        connection: 'x-hop, close',
        'x-hop': '1',
        'set-cookie': ['a=b', 'c=d'],
        'www-authenticate': 'Bearer',
        'x-postern-user': 'eve',
        'mcp-session-id': 'up-1',
        'transfer-encoding': 'chunked',
        'content-type': 'application/json',
        'x-many': ['1', '2'],
        'access-control-allow-origin': '*',
      },
      true,
      false,
    )
    expect(facts.headers).toEqual([
      'content-type',
      'application/json',
      'x-many',
      '1',
      'x-many',
      '2',
    ])
    expect(facts).toMatchObject({ eventStream: false, coded: false, sessionId: 'up-1' })
  })

  it('GW-16: marks event streams, and those that no comment may enter', () => {
    const plain = responseHeaders(
      { 'content-type': 'text/event-stream; charset=utf-8' },
      false,
      false,
    )
    expect(plain).toMatchObject({ eventStream: true, coded: false })
    expect(plain.headers).toEqual([
      'content-type',
      'text/event-stream; charset=utf-8',
      'x-accel-buffering',
      'no',
    ])
    const coded = responseHeaders(
      { 'content-type': 'Text/Event-Stream', 'content-encoding': 'gzip' },
      false,
      false,
    )
    expect(coded).toMatchObject({ eventStream: true, coded: true })
  })

  it.each([
    [undefined, undefined, 'no-store', 'Authorization'],
    ['public, max-age=60', 'Accept', 'private, max-age=60', 'Accept, Authorization'],
    ['s-maxage=9, max-age=1', undefined, 'private, max-age=1', 'Authorization'],
    ['no-store', undefined, 'private, no-store', 'Authorization'],
    ['no-cache, no-transform', undefined, 'private, no-cache, no-transform', 'Authorization'],
  ])(
    'C10: an answer for one person that says %s is for no shared cache',
    (caching, vary, said, varies) => {
      const facts = responseHeaders({ 'cache-control': caching, vary }, false, true)
      expect(facts.headers).toEqual(['cache-control', said, 'vary', varies])
      const open = responseHeaders({ 'cache-control': 'public, max-age=60' }, false, false)
      expect(open.headers).toEqual(['cache-control', 'public, max-age=60'])
    },
  )
})
