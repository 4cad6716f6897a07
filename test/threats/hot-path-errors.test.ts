/** G6, I7: an exception or an odd value at any point of a decision is a refusal, never a call. */
import { createServer } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import type { GatewayView } from '../../src/gateway/view.ts'
import { createCarrier } from '../../src/node/carrier.ts'
import { type GatewayOptions, startGateway } from '../kit/gateway.ts'
import { closeServer, listen, raw, request, startServer } from '../kit/http.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call"}'

/** A carrier whose view is changed in one place; the token is remembered already. */
async function start(
  change: (view: GatewayView) => Partial<GatewayView>,
  options: Partial<GatewayOptions> = {},
) {
  const behind = await startServer()
  const house = await startGateway({
    connectors: [{ name: 'c1', url: `${behind.origin}/mcp`, auth: 'identity' }],
    ...options,
  })
  const token = house.token()
  const lines = [house.host, `Authorization: Bearer ${token}`, 'Content-Type: application/json']
  const text = request('POST', '/mcp/c1', [...lines, 'Connection: close'], CALL)
  expect((await raw(house.port, text)).status).toBe(200)
  const view = { ...house.view, ...change(house.view) }
  const carrier = createCarrier(view, house.upstreams, house.emit)
  const server = createServer((incoming, response) => carrier.handle(incoming, response))
  const port = await listen(server)
  closing.push(
    () => behind.close(),
    () => house.close(),
    () => carrier.drain(0),
    () => closeServer(server),
  )
  return { port, text, behind, house }
}

const boom = (): never => {
  throw new Error('a bug')
}
const POINTS: readonly (keyof GatewayView)[] = [
  'route',
  'hostAllowed',
  'remembered',
  'allowed',
  'marked',
  'proof',
  'credential',
]

describe('G6: nothing fails open', () => {
  it.each(POINTS)('a throw in %s is 500 and reaches nobody', async (point) => {
    const { port, text, behind } = await start(() => ({ [point]: boom }))
    expect((await raw(port, text)).status).toBe(500)
    expect(behind.seen).toHaveLength(1)
  })

  it('a throw in judge is 500 and reaches nobody', async () => {
    const { port, text, behind } = await start(() => ({ remembered: () => undefined, judge: boom }))
    expect((await raw(port, text)).status).toBe(500)
    expect(behind.seen).toHaveLength(1)
  })

  it('a load that rejects is 503 and reaches nobody', async () => {
    const { port, text, behind } = await start(() => ({
      proof: () => 'cold' as const,
      load: () => Promise.reject(new Error('a bug')),
    }))
    expect((await raw(port, text)).status).toBe(503)
    expect(behind.seen).toHaveLength(1)
  })

  it('a load after which all is still cold ends, and reaches nobody', async () => {
    let loads = 0
    const { port, text, behind } = await start(() => ({
      remembered: () => undefined,
      judge: () => 'cold' as const,
      load: async () => {
        loads += 1
      },
    }))
    expect((await raw(port, text)).status).toBe(503)
    expect([loads, behind.seen.length]).toEqual([1, 1])
  })

  it.each(['marked', 'proof'] as const)('an odd value of %s is a refusal', async (point) => {
    for (const odd of [undefined, null, 0, 'maybe', {}]) {
      const { port, text, behind } = await start(
        () => ({ [point]: () => odd }) as Partial<GatewayView>,
      )
      expect((await raw(port, text)).status).toBeGreaterThanOrEqual(400)
      expect(behind.seen).toHaveLength(1)
    }
  })

  it('a session whose expiry is not a number is expired', async () => {
    const { port, text } = await start((view) => ({
      remembered: (token) => {
        const session = view.remembered(token)
        return session === undefined ? undefined : { ...session, expiresAtMs: Number.NaN }
      },
    }))
    expect((await raw(port, text)).status).toBe(401)
  })
})
