import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anyText, SEED } from '../../test/kit/family.ts'
import { readStrictMessage } from './strict-message.ts'

const encoder = new TextEncoder()
const read = (text: string) => readStrictMessage(encoder.encode(text))
const call = (params: string, rest = '') =>
  `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":${params}${rest}}`

describe('one message', () => {
  it('GW-05: request, notification and response, with what a decision needs', () => {
    expect(read(call('{"name":"add","arguments":{"name":"other"}}'))).toEqual({
      kind: 'request',
      method: 'tools/call',
      id: '7',
      name: 'add',
    })
    expect(read('{"jsonrpc":"2.0","method":"notifications/initialized"}')).toEqual({
      kind: 'notification',
      method: 'notifications/initialized',
    })
    expect(read(' {"result":{"method":"x"},"id":"a\\n","jsonrpc":"2.0"} ')).toEqual({
      kind: 'response',
      id: '"a\\n"',
    })
    expect(
      read(
        call(
          '{"uri":"a\\u0062","taskId":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}',
        ),
      ),
    ).toEqual({
      kind: 'request',
      method: 'tools/call',
      id: '7',
      uri: 'ab',
      taskId: 't',
      protocolVersion: '2026-07-28',
    })
    expect(read('{"jsonrpc":"2.0","id":90071992547409931234,"method":"ping"}')).toMatchObject({
      id: '90071992547409931234',
    })
  })

  it('GW-05: refuses what another parser may read as another message', () => {
    const shape = [
      call('{"name":"list","name":"create"}'),
      call('{"name":"list","n\\u0061me":"create"}'),
      call('{"name":"list","NAME":"create"}'),
      call('{"Name":"create"}'),
      call('{"name":"list"}', ',"method":"resources/read"'),
      call('{"name":"list"}', ',"METHOD":"resources/read"'),
      call('{"name":"list"}', ',"params":{"name":"create"}'),
      call('{"name":"list"}', ',"param\u017f":{"name":"create"}'),
      call('{"name":"list"}', ',"result":{}'),
      '{"jsonrpc":"2.0","id":1,"result":{},"Method":"tools/call"}',
      '{"jsonrpc":"2.0","id":1,"result":{},"error":{},"method":"x"}',
      '{"jsonrpc":"2.0","id":1}',
      '{"id":1,"method":"ping"}',
      '{"jsonrpc":2.0,"id":1,"method":"ping"}',
      '{"jsonrpc":"2.0","id":{},"method":"ping"}',
      '{"jsonrpc":"2.0","id":true,"method":"ping"}',
      '{"jsonrpc":"2.0","id":1,"method":["tools/call"]}',
      `{"jsonrpc":"2.0","id":1,"method":"${'m'.repeat(257)}"}`,
      call(`{"name":"a","arguments":${'['.repeat(300)}${']'.repeat(300)}}`),
      `{"jsonrpc":"2.0",${Array.from({ length: 256 }, (_, at) => `"k${at}":1`).join()},"method":"ping"}`,
      '"tools/call"',
      'null',
      '{}',
    ]
    for (const text of shape) expect(read(text), text.slice(0, 120)).toBe('shape')
    for (const text of ['[]', `[${call('{}')}]`, `[${call('{}')},${call('{}')}]`]) {
      expect(read(text), text).toBe('batch')
    }
    const syntax = [
      '',
      ' ',
      '\u{feff}{"jsonrpc":"2.0","method":"ping"}',
      call('{"name":"a",}'),
      call("{'name':'a'}"),
      call('{"name":"a"} // x'),
      call('{"name":"a\u0001"}'),
      call('{"name":"a\\x"}'),
      call('{"name":01}'),
      call('{"name":tru}'),
      call('{"name":NaN}'),
      call('{"name" "a"}'),
      call('[1,,2]'),
      call('[1,]'),
      `${call('{}')}${call('{}')}`,
      call('{}').slice(0, -1),
    ]
    for (const text of syntax) expect(read(text), text).toBe('syntax')
    expect(readStrictMessage(Uint8Array.of(0x22, 0xff, 0x22))).toBe('syntax')
    expect(readStrictMessage(Uint8Array.of(0xff, 0xfe, 0x7b, 0))).toBe('syntax')
  })

  it('GW-05: takes for JSON exactly what JSON.parse takes (RFC 8259)', () => {
    const json = fc.json({ maxDepth: 5 })
    const damaged = fc
      .tuple(
        json,
        fc.nat(),
        fc.constantFrom('', ',', '"', '}', '[', '\\', '0', ' ', '\u0000', '-', 'e'),
      )
      .map(([text, at, by]) => {
        const cut = at % (text.length + 1)
        return text.slice(0, cut) + by + text.slice(cut + 1)
      })
    fc.assert(
      fc.property(fc.oneof(json, damaged, anyText), (text) => {
        let isJson = true
        try {
          JSON.parse(text.toWellFormed())
        } catch {
          isJson = false
        }
        // As a member that nobody looks into, so that names in it may repeat.
        const found = read(`{"jsonrpc":"2.0","method":"ping","x":${text.toWellFormed()}}`)
        const injected = /^[^"]*[,}]/.test(text)
        if (!injected) expect(found === 'syntax').toBe(!isJson)
        if (typeof found === 'object' && !injected) expect(found.method).toBe('ping')
      }),
      { seed: SEED, numRuns: 3_000 },
    )
  })

  it('GW-05: reads the very texts that JSON.parse reads', () => {
    const member = fc.record({
      name: fc.string({ unit: 'binary' }),
      uri: anyText,
      extra: fc.jsonValue(),
    })
    fc.assert(
      fc.property(member, fc.string({ unit: 'binary', maxLength: 200 }), (params, method) => {
        const text = JSON.stringify({ jsonrpc: '2.0', id: 1, params, method })
        expect(read(text)).toEqual({
          kind: 'request',
          id: '1',
          method,
          name: params.name,
          uri: params.uri,
        })
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})
