/** What may stand in the place of a metadata document: refused with a party, a code and plain text. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Answer } from '../../demo/doubles/faults.ts'
import { type DiscoveryHouse, openHouse } from './discovery-house.ts'

const PATH = 'GET /.well-known/oauth-protected-resource/mcp'
const SERVER = 'GET /.well-known/oauth-authorization-server'
const METADATA_MAX_BYTES = 65_536
const PAGE = '<!doctype html><title>Sign in</title>'

let house: DiscoveryHouse
beforeAll(async () => {
  house = await openHouse()
})
afterAll(() => house.close())

const json = (body: string, type = 'application/json'): Answer => ({
  status: 200,
  headers: { 'content-type': type },
  body,
})
const good = (): string =>
  JSON.stringify({ resource: house.remote.url, authorization_servers: [house.remote.issuer] })
const padded = (bytes: number): string => {
  const text = good()
  return text + ' '.repeat(bytes - text.length)
}

const REFUSED: readonly (readonly [string, () => Answer])[] = [
  ['a page with 200', () => json(PAGE, 'text/html; charset=utf-8')],
  ['a right document as a page', () => json(good(), 'text/html')],
  ['a right document as text', () => json(good(), 'text/plain')],
  ['a right document without a type', () => ({ status: 200, body: good() })],
  ['a right document as JSON lines', () => json(good(), 'application/jsonlines')],
  ['a page that says it is JSON', () => json(PAGE)],
  ['an error object with 200', () => json('{"error":"not_found"}')],
  ['an RPC error with 200', () => json('{"jsonrpc":"2.0","id":null,"error":{"code":-32000}}')],
  ['nothing with 200', () => json('')],
  ['a list', () => json(`[${good()}]`)],
  ['a text', () => json('"ok"')],
  ['two documents', () => json(good() + good())],
  ['a member twice', () => json(good().replace('{', '{"resource":"https://evil.example",'))],
  ['a NUL', () => json(good().replace('mcp"', 'mcp\\u0000"'))],
  ['17 levels', () => json(`{"a":${'['.repeat(16)}${']'.repeat(16)}}`)],
  ['1,600 levels', () => json(`${'['.repeat(1_600)}${']'.repeat(1_600)}`)],
  ['64 KiB and one byte', () => json(padded(METADATA_MAX_BYTES + 1))],
  ['100 times 64 KiB', () => json(padded(METADATA_MAX_BYTES * 100))],
  [
    'a coding that nobody asked for',
    () => ({
      ...json(good()),
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    }),
  ],
  ['status 204', () => ({ status: 204 })],
  ['status 206', () => ({ ...json(good()), status: 206 })],
]

for (const [party, endpoint] of [
  ['server', PATH],
  ['authorization-server', SERVER],
] as const) {
  it.each(REFUSED)(`S7, NET-04: %s at the ${party} is no document`, async (_, answer) => {
    const { remote, engine, target } = house
    await engine.drop(target)
    remote.answerWith(endpoint, answer())
    const result = await engine.read(target, { deadlineMs: 5_000, retry: true })
    remote.answerWith(endpoint, undefined)
    expect(result).toMatchObject({ ok: false, problem: { party } })
    if (result.ok) return
    expect(result.problem.code).toMatch(/^ERR_DISCOVERY_(DOCUMENT|MEMBER)$/)
    expect(result.problem.requirement).not.toBe('')
    expect(result.problem.text).toMatch(/^[\x20-\x7e]+$/)
    expect(result.problem.text).not.toContain('<')
    // Nothing of it was kept: the next look at a repaired server finds it (DSC-18).
    expect(engine.peek(target)).toBeUndefined()
    expect(await engine.read(target, { deadlineMs: 5_000, retry: true })).toMatchObject({
      ok: true,
    })
  })
}

it.each([
  ['64 KiB', () => json(padded(METADATA_MAX_BYTES))],
  ['a type with parameters', () => json(good(), 'Application/JSON; charset=utf-8')],
  ['a structured suffix', () => json(good(), 'application/oauth+json')],
  ['members that say null', () => json(good().replace('{', '{"jwks_uri":null,'))],
])('NET-04: %s is taken', async (_, answer) => {
  const { remote, engine, target } = house
  await engine.drop(target)
  remote.answerWith(PATH, answer())
  const result = await engine.read(target, { deadlineMs: 5_000, retry: true })
  remote.answerWith(PATH, undefined)
  expect(result).toMatchObject({ ok: true })
})
