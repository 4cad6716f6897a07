import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isReadOnly, scanMessage, withoutParams } from './message.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

describe('a JSON-RPC message in bytes', () => {
  it('B21: finds what JSON.parse finds, in any order and spacing', () => {
    const value = fc.jsonValue({ maxDepth: 4 })
    const message = fc.record({
      jsonrpc: fc.constant('2.0'),
      id: fc.oneof(fc.integer(), fc.string({ maxLength: 30 })),
      method: fc.string({ maxLength: 30 }),
      params: fc.record({ name: fc.string({ maxLength: 30 }), arguments: value }),
      _meta: value,
    })
    fc.assert(
      fc.property(message, fc.constantFrom(0, 1, '\t'), fc.boolean(), (input, space, turned) => {
        const entries = Object.entries(input)
        const ordered = Object.fromEntries(turned ? entries.reverse() : entries)
        const found = scanMessage(bytes(JSON.stringify(ordered, null, space)), true)
        expect(found).toMatchObject({
          complete: true,
          repeated: false,
          method: input.method,
          name: input.params.name,
        })
        if (found.id !== undefined) expect(JSON.parse(found.id)).toEqual(input.id)
      }),
    )
  })

  it('B9, D1: never throws, and what it calls an id is JSON, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }),
          fc.string({ unit: fc.constantFrom(...'{}[]",:\\id0e1 '), maxLength: 60 }).map(bytes),
        ),
        (input) => {
          const { id } = scanMessage(input, true)
          if (id !== undefined) expect(() => JSON.parse(id)).not.toThrow()
        },
      ),
    )
  })

  it('T15: keeps the bytes of an id, and none when keys repeat', () => {
    expect(scanMessage(bytes('{"id":123456789012345678901,"method":"a"}')).id).toBe(
      '123456789012345678901',
    )
    expect(scanMessage(bytes('{"id":1,"method":"a","id":2}'), true)).toMatchObject({
      repeated: true,
    })
    expect(scanMessage(bytes('{"id":1,"method":"a","id":2}'), true).id).toBeUndefined()
    expect(scanMessage(bytes('{"id":"\\u0061","\\u0069d":2}'), true).id).toBeUndefined()
  })

  it.each([
    '{"id":1',
    '{"id":1,"method":"a"}x',
    '{"id":01}',
    '{"id":"a\u0001"}',
    '[]',
    '',
    '{',
    '{,}',
    '{"a"}',
  ])('B9: %s is not a whole message of a read-only method', (text) =>
    expect(isReadOnly(bytes(text))).toBe(false),
  )

  it('GW-26: read-only is a closed list, judged on the whole body', () => {
    expect(isReadOnly(bytes('{"id":1,"method":"tools/list"}'))).toBe(true)
    expect(isReadOnly(bytes('{"id":1,"method":"tools/call"}'))).toBe(false)
    expect(isReadOnly(bytes('{"id":1,"method":"tools/list","method":"tools/call"}'))).toBe(false)
    expect(isReadOnly(bytes('{"id":1,"method":"tools/list"}{"method":"tools/call"}'))).toBe(false)
    expect(isReadOnly(bytes(`{"id":1,"method":"tools/list","x":${'['.repeat(100_000)}}`))).toBe(
      false,
    )
  })
})

describe('withoutParams', () => {
  const names = new Set(['requestState', 'inputResponses'])
  const without = (text: string): string | undefined => {
    const left = withoutParams(new TextEncoder().encode(text), names)
    return left === undefined ? undefined : new TextDecoder().decode(left)
  }

  it.each([
    ['{"id":1,"params":{"a":1,"requestState":"x"}}', '{"id":1,"params":{"a":1}}'],
    ['{"params":{"requestState":"x","a":[1, 2]},"id":1.0}', '{"params":{"a":[1, 2]},"id":1.0}'],
    ['{"params":{ "inputResponses" : {"a":"}"} , "requestState":"x" }}', '{"params":{}}'],
    [
      '{"params":{"a":{"requestState":1},"b":"é\\"}"}}',
      '{"params":{"a":{"requestState":1},"b":"é\\"}"}}',
    ],
    ['{"params":{"request\\u0053tate":"x","a":1}}', '{"params":{"a":1}}'],
    ['{"params":{"requestState":1,"a":2,"requestState":3}}', '{"params":{"a":2}}'],
    ['{"requestState":1,"params":{}}', '{"requestState":1,"params":{}}'],
  ])('%s', (text, left) => {
    expect(without(text)).toBe(left)
  })

  it.each([
    '',
    '{}',
    '[]',
    '{"params":1}',
    '{"params":{}',
    '{"params":{},"params":{}}',
    '{"params":[1]}',
  ])('is nothing for %s', (text) => {
    expect(without(text)).toBeUndefined()
  })
})
